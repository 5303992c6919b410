//! Every setting does something: a key of the configuration that no code reads would be a promise to operators that
//! nobody keeps.

use anyhow::{Context, Result};

use super::{Complaint, Source};

/// Where settings are declared, and where each must be read.
struct Table {
    /// The file that declares them.
    path: &'static str,
    /// What a block of declarations begins with.
    begins: &'static str,
    /// Whether a file, by its path, is a place that counts.
    reads: fn(&str) -> bool,
}

const TABLES: &[Table] = &[
    // What operators write; the composition root hands it on.
    Table {
        path: "server/src/config/sections.rs",
        begins: "section! {",
        reads: |path| path.starts_with("server/src/app/"),
    },
    // What it is handed on to; there it must be acted on.
    Table {
        path: "server/src/session/settings.rs",
        begins: "pub struct Settings {",
        reads: acts,
    },
    Table {
        path: "server/src/session/namespace.rs",
        begins: "pub struct ChannelOptions {",
        reads: acts,
    },
    Table {
        path: "server/src/transport/serve.rs",
        begins: "pub struct Settings {",
        reads: acts,
    },
    Table {
        path: "server/src/transport/admission.rs",
        begins: "pub struct Limits {",
        reads: acts,
    },
];

fn acts(path: &str) -> bool {
    path.starts_with("server/src/") && !path.starts_with("server/src/app/")
}

/// Complains about settings that nobody reads.
pub(crate) fn check(sources: &[Source]) -> Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for table in TABLES {
        let declaring = sources
            .iter()
            .find(|source| source.path == table.path)
            .with_context(|| format!("{} is gone; tell xtask/src/tidy/settings.rs", table.path))?;
        let readers: Vec<&str> = sources
            .iter()
            .filter(|source| (table.reads)(&source.path) && !source.path.contains("/tests"))
            .map(|source| untested(&source.text))
            .collect();
        let mut found = 0;
        for (line, name) in declared(&declaring.text, table.begins) {
            found += 1;
            if !readers.iter().any(|text| reads(text, name)) {
                let says = format!("the setting `{name}` is read by nobody");
                complaints.push(Complaint::new(table.path, line, says));
            }
        }
        if found == 0 {
            let says = format!("declares no setting after `{}`", table.begins);
            complaints.push(Complaint::new(table.path, 0, says));
        }
    }
    Ok(complaints)
}

/// The fields of every block, each with its line.
fn declared<'a>(text: &'a str, begins: &str) -> Vec<(usize, &'a str)> {
    let mut inside = false;
    let mut fields = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line == "}" {
            inside = false;
        } else if line == begins {
            inside = true;
        } else if inside {
            fields.extend(field(line).map(|name| (at + 1, name)));
        }
    }
    fields
}

/// The name in `name: Type ...,`.
fn field(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let (name, _) = line.split_once(": ")?;
    let is_name = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    (is_name && !name.is_empty() && line.ends_with(',')).then_some(name)
}

/// Whether `.name` stands in a text, as a whole word.
fn reads(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].trim_end().ends_with('.');
        let after = text[at + name.len()..].chars().next();
        before && !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// What stands before a file's own tests.
fn untested(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_and_their_readers() {
        let text = "section! {\n    /// Help: with a colon,\n    Name {\n        /// Help.\n        \
            some_limit: u32 = 0,\n    }\n}\nlet other: u32 = 1,\n";
        let found = declared(text, "section! {");
        assert_eq!(found, [(5, "some_limit")]);
        assert!(reads("config.some_limit.get()", "some_limit"));
        assert!(reads("config\n    .some_limit", "some_limit"));
        assert!(!reads("config.some_limit_more", "some_limit"));
        assert!(!reads("some_limit: 5", "some_limit"));
        let tested = "fn f() {}\n#[cfg(test)]\nmod tests { config.some_limit }";
        assert!(!reads(untested(tested), "some_limit"));
    }
}
