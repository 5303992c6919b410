//! Every file says on its first line what it is for.

use super::{Complaint, Source};

/// Complains about a file that does not open with `//!`.
pub(crate) fn check(source: &Source) -> Option<Complaint> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//!").map(str::trim);
    match says {
        Some(says) if !says.is_empty() => None,
        _ => Some(Complaint::new(
            &source.path,
            1,
            "the first line must be `//!` and say what this file is for",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::source, check};

    #[test]
    fn a_file_must_open_with_its_purpose() {
        assert!(check(&source("server/src/a.rs", "//! The bell.\nfn ring() {}\n")).is_none());
        for text in [
            "",
            "fn ring() {}\n",
            "//!\nfn ring() {}\n",
            "// The bell.\n",
        ] {
            assert!(
                check(&source("server/src/a.rs", text)).is_some(),
                "{text:?}"
            );
        }
    }
}
