//! What is said while an import goes on, one JSON object a line: the same from the command line and from a running server.

use serde::{Deserialize, Serialize};

use super::apply::Progress;
use super::diff::UnitReport;
use super::plan::Summary;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// What would happen in one unit.
    Unit(UnitReport),
    /// The diff is complete; the plan's digest.
    Plan(Summary),
    /// Records are being written.
    Progress(Progress),
    /// All records are written.
    Done {
        /// How many.
        records: usize,
    },
    /// It cannot be done, or it stopped half way.
    Error(Failed),
}

/// Why it cannot be done. No name in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Error code of the protocol's table.
    pub code: u32,
    /// What is wrong and what to do.
    pub message: String,
    /// The line of the file that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

impl Report {
    /// As a line, with its end.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("texts and numbers always encode");
        line.push(b'\n');
        line
    }
}
