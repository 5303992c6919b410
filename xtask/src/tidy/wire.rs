//! The wire and its page change together: a fingerprint of `protocol/src` is kept in `docs/protocol.md`.
//!
//! Whoever changes a message, a code or a limit reads the page again, corrects it, and writes the new fingerprint there.

use std::fs;

use anyhow::{Context, Result};

use super::{Complaint, Source};
use crate::house::House;

/// The page that describes the wire.
const PAGE: &str = "docs/protocol.md";
/// What stands before the fingerprint on that page.
const MARK: &str = "<!-- wire: ";
/// The sources that define what goes over the wire; tests may change freely.
const WIRE: &str = "protocol/src/";

/// Complains when the sources and the page's fingerprint differ.
pub(crate) fn check(house: &House, sources: &[Source]) -> Result<Option<Complaint>> {
    let page = fs::read_to_string(house.path(PAGE)).context("read docs/protocol.md")?;
    Ok(compare(&page, &fingerprint(sources)))
}

fn compare(page: &str, now: &str) -> Option<Complaint> {
    let kept = page
        .split_once(MARK)
        .and_then(|(_, after)| after.split_whitespace().next());
    (kept != Some(now)).then(|| {
        Complaint::new(
            PAGE,
            0,
            format!(
                "the sources of the wire changed: read this page again, correct it, and let it say `{MARK}{now} -->`"
            ),
        )
    })
}

/// FNV-1a over all code lines: stable over machines and compilers, blind to comments, blank lines and inline tests.
fn fingerprint(sources: &[Source]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let wire = sources
        .iter()
        .filter(|source| source.path.starts_with(WIRE) && !source.path.ends_with("tests.rs"));
    for source in wire {
        let code = source
            .text
            .lines()
            .take_while(|line| *line != "mod tests {")
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("//"));
        for byte in code.flat_map(str::bytes) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::{super::source, compare, fingerprint};

    #[test]
    fn code_changes_the_fingerprint_and_comments_do_not() {
        let at = "protocol/src/code.rs";
        let one = fingerprint(&[source(at, "//! Codes.\nconst A: u32 = 1;\n")]);
        let commented = fingerprint(&[source(at, "//! Numbers.\n\nconst A: u32 = 1;\n")]);
        let changed = fingerprint(&[source(at, "//! Codes.\nconst A: u32 = 2;\n")]);
        assert_eq!(one, commented);
        assert_ne!(one, changed);
    }

    #[test]
    fn the_page_must_carry_the_present_fingerprint() {
        assert!(compare("text\n<!-- wire: abc -->\n", "abc").is_none());
        assert!(compare("text\n<!-- wire: abc -->\n", "abd").is_some());
        assert!(compare("text\n", "abc").is_some());
    }
}
