//! How many cases passed and failed, read from what each test runner says at its end.

use std::fmt;

/// Cases of one or more runners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Passed cases.
    pub(crate) passed: u64,
    /// Failed cases, those that could not run included.
    pub(crate) failed: u64,
}

impl Counts {
    /// Adds another runner's cases.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Whether something ran and nothing failed: a runner that found no case has shown nothing.
    pub(crate) fn is_good(self) -> bool {
        self.passed > 0 && self.failed == 0
    }

    /// A runner that ended badly counts as failed even where it named no failed case.
    pub(crate) fn with_exit(mut self, ended_well: bool) -> Self {
        if !ended_well && self.failed == 0 {
            self.failed = 1;
        }
        self
    }

    /// `test result: ok. 12 passed; 0 failed; ...`, one line a test program.
    pub(crate) fn of_cargo(lines: &[String]) -> Self {
        let mut counts = Self::default();
        for line in lines {
            if let Some(result) = line.trim().strip_prefix("test result: ") {
                counts.add(Self {
                    passed: before(result, " passed"),
                    failed: before(result, " failed"),
                });
            }
        }
        counts
    }

    /// `# pass 12` and `# fail 0`, as `node --test --test-reporter=tap` ends.
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
        }
    }

    /// `3 passed, 1 failed, 1 error in 2.03s`, the last line of pytest (and, with other words around it, of schemathesis).
    pub(crate) fn of_pytest(lines: &[String]) -> Self {
        let last = lines.iter().rev().find(|line| {
            line.contains(" passed") || line.contains(" failed") || line.contains(" error")
        });
        let last = last.map_or("", String::as_str);
        Self {
            passed: before(last, " passed"),
            failed: before(last, " failed") + before(last, " error"),
        }
    }

    /// `--- PASS: TestName`, as `go test -v` says for each test; subtests are indented and left out.
    pub(crate) fn of_go(lines: &[String]) -> Self {
        let count = |mark: &str| lines.iter().filter(|line| line.starts_with(mark)).count() as u64;
        Self {
            passed: count("--- PASS: "),
            failed: count("--- FAIL: "),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
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
                     test result: FAILED. 3 passed; 2 failed; 0 ignored";
        let node = "TAP version 13\n# tests 5\n# pass 3\n# fail 1\n# cancelled 1\n";
        let python = "collected 4 items\n==== 1 failed, 2 passed, 1 error in 0.52s ====";
        let go = "=== RUN   TestA\n--- PASS: TestA (0.1s)\n    --- PASS: TestA/x\n--- FAIL: TestB (0.2s)\nFAIL";
        let counts = |passed, failed| Counts { passed, failed };
        assert_eq!(Counts::of_cargo(&lines(cargo)), counts(15, 2));
        assert_eq!(Counts::of_node(&lines(node)), counts(3, 2));
        assert_eq!(Counts::of_pytest(&lines(python)), counts(2, 2));
        assert_eq!(Counts::of_go(&lines(go)), counts(1, 1));
    }

    #[test]
    fn silence_and_bad_endings_are_not_good() {
        assert!(!Counts::default().is_good());
        let passed = Counts {
            passed: 1,
            failed: 0,
        };
        assert!(passed.is_good());
        assert!(!passed.with_exit(false).is_good());
    }
}
