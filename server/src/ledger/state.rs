//! The resident state of a ledger: what must be at hand for every decision, kept parsed in memory
//! while the ledger is loaded. `people` has one (who is who in the unit); generic namespaces need
//! none and use `()`.

use super::{Commit, LedgerId, RecordKey};

/// A stored record that cannot be what was written: undecodable, or at odds with another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record cannot be read: {reason}")]
pub struct Damage {
    /// What is wrong with it, without its content.
    pub reason: &'static str,
}

/// Resident state of one ledger, rebuilt from records at load and moved on by commits.
///
/// Only durable commits are applied, each once, in order. `apply` must not fail: what a commit
/// may put into a resident record was decided by the job that staged it.
pub trait State: 'static {
    /// What a commit changed for people (for example: these subjects' rights), delivered together
    /// with the commit's entries.
    type Change: Send + Sync + 'static;

    /// Prefixes of the record keys that are loaded whole when the ledger is. A job that changes
    /// one of them is the last of its batch, so that the next job sees the new state.
    const RESIDENT: &'static [&'static str];

    /// The state of a ledger without commits.
    fn new(ledger: &LedgerId) -> Self;

    /// Takes in one resident record at load.
    ///
    /// # Errors
    /// When the value cannot be read; the ledger is then refused as damaged.
    fn load(&mut self, key: &RecordKey, value: &[u8]) -> Result<(), Damage>;

    /// Takes in a durable commit.
    fn apply(&mut self, commit: &Commit) -> Vec<Self::Change>;

    /// What may have changed for people since `before`, where the commits in between are not at hand: everything, when in doubt.
    fn renewed(&self, before: &Self, now_ms: u64) -> Vec<Self::Change>;

    /// Memory it takes, reckoned from counts: asked after each batch, so it walks over nothing.
    fn resident_bytes(&self) -> usize {
        0
    }
}

impl State for () {
    type Change = std::convert::Infallible;

    const RESIDENT: &'static [&'static str] = &[];

    fn new(_: &LedgerId) -> Self {}

    fn load(&mut self, _: &RecordKey, _: &[u8]) -> Result<(), Damage> {
        Ok(())
    }

    fn apply(&mut self, _: &Commit) -> Vec<Self::Change> {
        Vec::new()
    }

    fn renewed(&self, (): &Self, _: u64) -> Vec<Self::Change> {
        Vec::new()
    }
}

/// Whether a record is part of `S`'s resident state.
pub(crate) fn is_resident<S: State>(key: &RecordKey) -> bool {
    S::RESIDENT
        .iter()
        .any(|prefix| key.as_str().starts_with(prefix))
}
