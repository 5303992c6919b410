//! No file grows until nobody reads it to its end.

use super::{Complaint, Source};

/// Lines above the inline tests; nine of ten files of the models we follow stay below it.
const LINES_MAX: usize = 600;
/// Files of tests are read case by case.
const TEST_LINES_MAX: usize = 1_000;

/// Longer ones, each with its reason.
const EXCUSED: &[(&str, &str)] = &[(
    "client/src/session.rs",
    "the core of a state machine: its transitions are read together",
)];

/// Complains about a file with too many lines above its inline tests.
pub(crate) fn check(source: &Source) -> Option<Complaint> {
    if EXCUSED.iter().any(|(path, _)| *path == source.path) {
        return None;
    }
    let lines = source
        .text
        .lines()
        .take_while(|line| *line != "mod tests {")
        .count();
    let max = if is_test(&source.path) {
        TEST_LINES_MAX
    } else {
        LINES_MAX
    };
    (lines > max).then(|| {
        Complaint::new(
            &source.path,
            0,
            format!("{lines} lines, more than {max}: split it by what its parts know"),
        )
    })
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.ends_with("conformance.rs") || path.starts_with("tests/")
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

    #[test]
    fn tests_may_be_longer_but_not_endless() {
        let long = "x\n".repeat(LINES_MAX + 1);
        assert!(check(&source("server/src/hub/tests.rs", &long)).is_none());
        assert!(check(&source("server/src/hub/tests.rs", &long.repeat(2))).is_some());
    }
}
