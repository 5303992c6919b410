//! Only command line tools print; everything else has its log without content.

use super::{Complaint, Source};

/// What writes to the terminal behind the log's back.
const PRINTS: &[&str] = &["println!(", "print!(", "eprintln!(", "eprint!(", "dbg!("];

/// Where printing is the purpose: the tools and the tests; the server's command line says so in place.
const MAY_PRINT: &[&str] = &["xtask/", "bench/", "tests/"];

/// Complains about every stray print.
pub(crate) fn check(source: &Source) -> Vec<Complaint> {
    let is_tool = MAY_PRINT.iter().any(|place| source.path.starts_with(place));
    if is_tool || source.path.ends_with("tests.rs") || says_so(&source.text) {
        return Vec::new();
    }
    source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| {
            let code = line.split("//").next().unwrap_or_default();
            PRINTS.iter().any(|print| has_word(code, print))
        })
        .map(|(at, _)| {
            Complaint::new(
                &source.path,
                at + 1,
                "prints; use the log of `telemetry` (without content)",
            )
        })
        .collect()
}

/// Whether the file prints on purpose: clippy wants that said, and a reviewer sees it.
fn says_so(text: &str) -> bool {
    text.contains("clippy::print_stdout") || text.contains("clippy::print_stderr")
}

/// Whether the text holds the macro's name as a whole word: `writeln!(` is not `println!(`.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::{super::source, check};

    #[test]
    fn a_print_in_a_room_is_found_with_its_line() {
        let text = "//! A room.\nfn ring() {\n    println!(\"ding\");\n}\n";
        let found = check(&source("server/src/hub/mod.rs", text));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 3);
    }

    #[test]
    fn tools_comments_and_longer_names_are_left_alone() {
        assert!(check(&source("xtask/src/a.rs", "println!(\"\")")).is_empty());
        assert!(check(&source("server/src/a.rs", "// println!(\"\")")).is_empty());
        assert!(check(&source("server/src/a.rs", "my_println!(\"\")")).is_empty());
    }
}
