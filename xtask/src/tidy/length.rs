//! No file grows until nobody reads it to its end.

use super::{Complaint, Source};

/// Lines above the inline tests; nine of ten files of the models we follow stay below it.
const LINES_MAX: usize = 600;

/// Complains about a file with too many lines above its inline tests.
pub(crate) fn check(source: &Source) -> Option<Complaint> {
    let lines = source
        .text
        .lines()
        .take_while(|line| *line != "mod tests {")
        .count();
    (lines > LINES_MAX).then(|| {
        Complaint::new(
            &source.path,
            0,
            format!("{lines} lines, more than {LINES_MAX}: split it by what its parts know"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{super::source, LINES_MAX, check};

    #[test]
    fn only_lines_above_the_tests_count() {
        let long = "x\n".repeat(LINES_MAX);
        assert!(check(&source("a.rs", &long)).is_none());
        assert!(check(&source("a.rs", &format!("{long}x\n"))).is_some());
        assert!(check(&source("a.rs", &format!("{long}mod tests {{\n{long}"))).is_none());
    }
}
