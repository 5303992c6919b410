//! A table in the code and the page that explains it name the same things: metrics, errors.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};

use super::{Complaint, Source};
use crate::house::House;

/// A table whose every row has a line on a page.
struct Pair {
    /// The one place where the names are declared, as string literals.
    table: &'static str,
    /// The page people read, with the names in backquotes.
    page: &'static str,
    /// What a name begins with.
    prefixes: &'static [&'static str],
}

const PAIRS: &[Pair] = &[
    Pair {
        table: "server/src/telemetry/catalogue.rs",
        page: "docs/metrics.md",
        prefixes: &["klokke_", "centrifugo_"],
    },
    Pair {
        table: "server/src/domain/error.rs",
        page: "docs/errors.md",
        prefixes: &["error."],
    },
];

/// Complains about names that only one of the two has.
pub(crate) fn check(house: &House, sources: &[Source]) -> Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for pair in PAIRS {
        let table = sources
            .iter()
            .find(|source| source.path == pair.table)
            .with_context(|| {
                format!(
                    "{} is gone; tell xtask/src/tidy/pages.rs where its table is",
                    pair.table
                )
            })?;
        let page = fs::read_to_string(house.path(pair.page))
            .with_context(|| format!("read {}", pair.page))?;
        complaints.extend(compare(
            pair.page,
            &quoted(&table.text, '"', pair.prefixes),
            &quoted(&page, '`', pair.prefixes),
        ));
    }
    Ok(complaints)
}

fn compare(page: &str, table: &BTreeSet<String>, named: &BTreeSet<String>) -> Vec<Complaint> {
    let missing = table
        .difference(named)
        .map(|name| Complaint::new(page, 0, format!("does not name {name}")));
    let gone = named.difference(table).map(|name| {
        Complaint::new(
            page,
            0,
            format!("names {name}, which the code does not have"),
        )
    });
    missing.chain(gone).collect()
}

/// The names that stand between two marks.
fn quoted(text: &str, mark: char, prefixes: &[&str]) -> BTreeSet<String> {
    text.split(mark)
        .filter(|part| {
            prefixes
                .iter()
                .any(|prefix| part.starts_with(prefix) && part.len() > prefix.len())
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{compare, quoted};

    #[test]
    fn both_sides_are_held_to_each_other() {
        let prefixes = &["klokke_"];
        let table = quoted(
            r#"A: Counter = "klokke_a_total"; B = "klokke_b";"#,
            '"',
            prefixes,
        );
        let page = quoted(
            "| `klokke_a_total` | a |\n| `klokke_c` | c |",
            '`',
            prefixes,
        );
        let complaints = compare("docs/metrics.md", &table, &page);
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].to_string().contains("klokke_b"));
        assert!(complaints[1].to_string().contains("klokke_c"));
        assert!(compare("docs/metrics.md", &table, &table).is_empty());
    }
}
