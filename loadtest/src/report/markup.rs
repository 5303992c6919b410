//! The few pieces of HTML that every part of the report is made of; all of it is well-formed XML too.

use std::fmt::Write as _;

use super::text::Text;

/// What may stand between tags and in quoted attributes. Characters that XML does not know become a mark.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(character),
            // Also what turns the direction of writing, which could make one login look like another.
            _ if character.is_control()
                || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}') =>
            {
                safe.push('\u{fffd}');
            }
            _ => safe.push(character),
        }
    }
    safe
}

/// Danish, and English small beside it.
pub(super) fn both(text: Text) -> String {
    pair(text.da, text.en)
}

/// The same with places filled in.
pub(super) fn filled(text: Text, values: &[(&str, &str)]) -> String {
    let (da, en) = text.fill(values);
    pair(&da, &en)
}

/// Two languages beside each other; once where they are the same.
pub(super) fn pair(da: &str, en: &str) -> String {
    if da == en {
        return escape(da);
    }
    format!(
        "<span class=\"da\">{}</span> <span class=\"en\" lang=\"en\">{}</span>",
        escape(da),
        escape(en)
    )
}

/// One language in an attribute, where nothing can stand small.
pub(super) fn plain(text: Text) -> String {
    if text.da == text.en {
        escape(text.da)
    } else {
        escape(&format!("{} ({})", text.da, text.en))
    }
}

/// A part of the page under a heading.
pub(super) fn section(class: &str, title: Text, body: &str) -> String {
    format!(
        "<section class=\"{class}\">\n<h2>{}</h2>\n{body}</section>\n",
        both(title)
    )
}

/// A paragraph in both languages.
pub(super) fn note(text: Text) -> String {
    format!("<p class=\"note\">{}</p>\n", both(text))
}

/// One cell of a table.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    html: String,
    class: &'static str,
}

impl Cell {
    /// Words, as markup.
    pub(super) fn words(html: impl Into<String>) -> Self {
        Self {
            html: html.into(),
            class: "",
        }
    }

    /// A number: set to the right.
    pub(super) fn number(html: impl Into<String>) -> Self {
        Self {
            html: html.into(),
            class: "n",
        }
    }

    /// Markup in a class of its own.
    pub(super) fn of(class: &'static str, html: impl Into<String>) -> Self {
        Self {
            html: html.into(),
            class,
        }
    }
}

/// A table that can be pushed sideways where the page is narrow.
pub(super) fn table(heads: &[Cell], rows: &[Vec<Cell>]) -> String {
    let mut html = String::from("<div class=\"table\"><table>\n<thead><tr>");
    for head in heads {
        let _ = write!(
            html,
            "<th scope=\"col\" class=\"{}\">{}</th>",
            head.class, head.html
        );
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let _ = if index == 0 {
                write!(
                    html,
                    "<th scope=\"row\" class=\"{}\">{}</th>",
                    cell.class, cell.html
                )
            } else {
                write!(html, "<td class=\"{}\">{}</td>", cell.class, cell.html)
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html
}

/// A head over words.
pub(super) fn head(text: Text) -> Cell {
    Cell::words(both(text))
}

/// A head over numbers.
pub(super) fn number_head(text: Text) -> Cell {
    Cell::number(both(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_becomes_markup() {
        for (text, safe) in [
            (
                "<script>alert('x')</script>",
                "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;",
            ),
            ("a & \"b\"", "a &amp; &quot;b&quot;"),
            ("\u{0}\u{1b}[31m\u{202e}x", "\u{fffd}\u{fffd}[31m\u{fffd}x"),
            ("æøå", "æøå"),
        ] {
            assert_eq!(escape(text), safe);
        }
        assert_eq!(pair("a<", "a<"), "a&lt;", "the same words are said once");
        assert!(pair("a", "<b>").contains("lang=\"en\">&lt;b&gt;</span>"));
    }
}
