//! The catalogue of metrics and its page name the same metrics.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};

use super::{Complaint, Source};
use crate::house::House;

/// The one table of metrics.
const CATALOGUE: &str = "server/src/telemetry/catalogue.rs";
/// The page operators read.
const PAGE: &str = "docs/metrics.md";
/// What a metric's name begins with.
const PREFIXES: &[&str] = &["klokke_", "centrifugo_"];

/// Complains about metrics that only one of the two names.
pub(crate) fn check(house: &House, sources: &[Source]) -> Result<Vec<Complaint>> {
    let catalogue = sources
        .iter()
        .find(|source| source.path == CATALOGUE)
        .with_context(|| {
            format!("{CATALOGUE} is gone; tell xtask/src/tidy/metrics.rs where the metrics are")
        })?;
    let page = fs::read_to_string(house.path(PAGE)).context("read docs/metrics.md")?;
    Ok(compare(&quoted(&catalogue.text, '"'), &quoted(&page, '`')))
}

fn compare(catalogue: &BTreeSet<String>, page: &BTreeSet<String>) -> Vec<Complaint> {
    let missing = catalogue
        .difference(page)
        .map(|name| Complaint::new(PAGE, 0, format!("does not name the metric {name}")));
    let gone = page.difference(catalogue).map(|name| {
        Complaint::new(
            PAGE,
            0,
            format!("names {name}, which the catalogue does not have"),
        )
    });
    missing.chain(gone).collect()
}

/// The metric names that stand between two marks.
fn quoted(text: &str, mark: char) -> BTreeSet<String> {
    text.split(mark)
        .filter(|part| {
            PREFIXES.iter().any(|prefix| part.starts_with(prefix))
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{compare, quoted};

    #[test]
    fn both_sides_are_held_to_each_other() {
        let catalogue = quoted(r#"A: Counter = "klokke_a_total"; B = "klokke_b";"#, '"');
        let page = quoted("| `klokke_a_total` | a |\n| `klokke_c` | c |", '`');
        let complaints = compare(&catalogue, &page);
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].to_string().contains("klokke_b"));
        assert!(complaints[1].to_string().contains("klokke_c"));
        assert!(compare(&catalogue, &catalogue).is_empty());
    }
}
