//! How far the country is: a bar in a terminal, now and then a plain line anywhere else. It goes to standard error.

use std::io::{IsTerminal as _, Write as _};

use super::sink::Written;

/// Municipalities between two plain lines.
const PLAIN_EACH: usize = 20;
/// Characters of the bar.
const WIDTH: usize = 40;

/// Progress over municipalities.
pub(super) struct Progress {
    done: usize,
    all: usize,
    is_terminal: bool,
}

impl Progress {
    pub(super) fn new(all: usize) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self {
            done: 0,
            all,
            is_terminal,
        }
    }

    /// One more municipality is written.
    pub(super) fn step(&mut self, written: Written) {
        self.done += 1;
        let (done, all, lines) = (self.done, self.all, written.lines);
        let mut to = std::io::stderr();
        // Progress that nobody can see changes nothing.
        let _ = if self.is_terminal {
            let full = WIDTH * done / all.max(1);
            let (full, empty) = ("█".repeat(full), "░".repeat(WIDTH - full));
            write!(
                to,
                "\r{full}{empty} {done} of {all} municipalities, {lines} lines"
            )
        } else if done.is_multiple_of(PLAIN_EACH) || done == all {
            writeln!(to, "{done} of {all} municipalities, {lines} lines")
        } else {
            Ok(())
        };
    }

    /// The bar's line ends.
    pub(super) fn end(&self) {
        if self.is_terminal {
            let _ = writeln!(std::io::stderr());
        }
    }
}
