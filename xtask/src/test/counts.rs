//! How many cases passed and failed, and which failed, read from what each test runner says.

use std::fmt;

/// Cases of one or more runners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Passed cases.
    pub(crate) passed: u64,
    /// Failed cases, those that could not run included.
    pub(crate) failed: u64,
    /// The failed ones, as far as the runner names them.
    pub(crate) names: Vec<String>,
}

impl Counts {
    /// Adds another runner's cases.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.names.extend(other.names);
    }

    /// Whether something ran and nothing failed: a runner that found no case has shown nothing.
    pub(crate) const fn is_good(&self) -> bool {
        self.passed > 0 && self.failed == 0
    }

    /// A runner that ended badly counts as failed even where it named no failed case.
    pub(crate) fn with_exit(mut self, ended_well: bool) -> Self {
        if !ended_well && self.failed == 0 {
            self.failed = 1;
        }
        self
    }

    /// `test result: ok. 12 passed; 0 failed; ...`, one line a test program, and `test a::name ... FAILED` before it.
    pub(crate) fn of_cargo(lines: &[String]) -> Self {
        let mut counts = Self::default();
        for line in lines {
            let line = line.trim();
            if let Some(result) = line.strip_prefix("test result: ") {
                counts.passed += before(result, " passed");
                counts.failed += before(result, " failed");
            } else if let Some(named) = line.strip_prefix("test ")
                && let Some(name) = named.strip_suffix(" ... FAILED")
            {
                counts.names.push(name.to_owned());
            }
        }
        counts
    }

    /// `# pass 12` and `# fail 0`, as `node --test --test-reporter=tap` ends; `not ok 3 - a name` for each, indented in its suite.
    pub(crate) fn of_node(lines: &[String]) -> Self {
        let sum = |mark: &str| {
            lines
                .iter()
                .filter_map(|line| line.strip_prefix(mark)?.trim().parse::<u64>().ok())
                .sum()
        };
        Self {
            passed: sum("# pass "),
            failed: sum("# fail ") + sum("# cancelled "),
            names: lines
                .iter()
                .filter_map(|line| line.trim().strip_prefix("not ok ")?.split_once(" - "))
                .map(|(_, name)| name.to_owned())
                .collect(),
        }
    }

    /// `3 passed, 1 failed, 1 error in 2.03s`, the last line of pytest (and, with other words around it, of schemathesis), after a line
    /// `FAILED file::name - why` or `ERROR file::name - why` for each.
    pub(crate) fn of_pytest(lines: &[String]) -> Self {
        let last = lines.iter().rev().find(|line| {
            line.contains(" passed") || line.contains(" failed") || line.contains(" error")
        });
        let last = last.map_or("", String::as_str);
        Self {
            passed: before(last, " passed"),
            failed: before(last, " failed") + before(last, " error"),
            names: [
                named(lines, "FAILED ", " - "),
                named(lines, "ERROR ", " - "),
            ]
            .concat(),
        }
    }

    /// `--- PASS: TestName`, as `go test -v` says for each test; subtests are indented and left out.
    pub(crate) fn of_go(lines: &[String]) -> Self {
        let passed = lines.iter().filter(|line| line.starts_with("--- PASS: "));
        let names = named(lines, "--- FAIL: ", " (");
        Self {
            passed: passed.count() as u64,
            failed: names.len() as u64,
            names,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// What stands between a mark and an end, for each line that begins with the mark.
fn named(lines: &[String], mark: &str, end: &str) -> Vec<String> {
    let name = |line: &String| Some(line.strip_prefix(mark)?.split(end).next()?.to_owned());
    lines.iter().filter_map(name).collect()
}

/// The number that stands right before a word; 0 where there is none.
fn before(line: &str, word: &str) -> u64 {
    line.find(word).map_or(0, |at| {
        let digits: String = line[..at]
            .chars()
            .rev()
            .take_while(char::is_ascii_digit)
            .collect();
        digits
            .chars()
            .rev()
            .collect::<String>()
            .parse()
            .unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::Counts;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_runner_is_understood() {
        let cargo = "running 2 tests\ntest result: ok. 12 passed; 0 failed; 1 ignored; finished in 0.1s\n\
                     test a::holds ... ok\ntest a::b ... FAILED\n    test c ... FAILED\n\
                     test result: FAILED. 3 passed; 2 failed; 0 ignored";
        let node = "TAP version 13\n    not ok 2 - inner case\nnot ok 1 - whole\n# tests 5\n# pass 3\n# fail 1\n# cancelled 1\n";
        let python = "collected 4 items\nFAILED test_a.py::test_b[x y] - assert 1 == 2\nERROR test_a.py::test_c - panicked\n==== 1 failed, 2 passed, 1 error in 0.52s ====";
        let go = "=== RUN   TestA\n--- PASS: TestA (0.1s)\n    --- PASS: TestA/x\n--- FAIL: TestB (0.2s)\nFAIL";
        let counts = |passed, failed, names: &[&str]| Counts {
            passed,
            failed,
            names: names.iter().map(|&it| it.to_owned()).collect(),
        };
        assert_eq!(
            Counts::of_cargo(&lines(cargo)),
            counts(15, 2, &["a::b", "c"])
        );
        assert_eq!(
            Counts::of_node(&lines(node)),
            counts(3, 2, &["inner case", "whole"])
        );
        assert_eq!(
            Counts::of_pytest(&lines(python)),
            counts(2, 2, &["test_a.py::test_b[x y]", "test_a.py::test_c"])
        );
        assert_eq!(Counts::of_go(&lines(go)), counts(1, 1, &["TestB"]));
    }

    #[test]
    fn silence_and_bad_endings_are_not_good() {
        assert!(!Counts::default().is_good());
        let passed = Counts {
            passed: 1,
            ..Counts::default()
        };
        assert!(passed.is_good());
        assert!(!passed.with_exit(false).is_good());
    }
}
