//! Content goes out through `people`: operations say what a thing is, and never judge themselves who may see how much of it.

use super::{Complaint, Source};

/// What judges freshness, sensitivity or audience.
const JUDGES: &[&str] = &[
    ".is_fresh(",
    ".meets(",
    ".measure(",
    "Measure::",
    "measure(",
];

/// Where operations live.
const ROOM: &str = "server/src/domain/";

/// The one place in it that asks whether a session is stepped up: to write down that it listens.
const EXCUSED: &[&str] = &["server/src/domain/dispatch.rs"];

/// Complains about an operation that decides by itself.
pub(crate) fn check(source: &Source) -> Vec<Complaint> {
    let excused = EXCUSED.contains(&source.path.as_str()) || source.path.ends_with("tests.rs");
    if !source.path.starts_with(ROOM) || excused {
        return Vec::new();
    }
    let lines = source.text.lines().enumerate();
    let judging = lines.filter(|(_, line)| {
        let code = line.split("//").next().unwrap_or_default();
        JUDGES.iter().any(|judge| code.contains(judge))
    });
    judging
        .map(|(at, _)| {
            let says =
                "judges who may see what; let `people::show` do it, which also writes down who saw";
            Complaint::new(&source.path, at + 1, says)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::source, check};

    #[test]
    fn an_operation_that_judges_itself_is_found_with_its_line() {
        let text = "//! A list.\nfn run() {\n    if post.audience().meets(own) {}\n}\n";
        let found = check(&source("server/src/domain/posts/list.rs", text));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 3);
        let text = "//! A get.\n    let hidden = thread.sensitive && !assurance.is_fresh(now);\n";
        assert_eq!(
            check(&source("server/src/domain/threads/get.rs", text)).len(),
            1
        );
    }

    #[test]
    fn people_tests_and_comments_are_left_alone() {
        let text = "//! A room.\nlet it = audience.meets(own);\n";
        assert!(check(&source("server/src/people/show.rs", text)).is_empty());
        assert!(check(&source("server/src/domain/threads/tests.rs", text)).is_empty());
        let text = "//! A get.\n// never ask .is_fresh( here\n";
        assert!(check(&source("server/src/domain/threads/get.rs", text)).is_empty());
    }
}
