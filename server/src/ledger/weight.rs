//! How much memory a loaded ledger takes, reckoned from counts that are at hand anyway, for the figures.

use super::State;
use super::base::Base;
use crate::telemetry::Level;

/// One ledger's part of its shard's figures; taken out when the ledger is unloaded.
pub(super) struct Weight {
    recent: Part,
    roster: Part,
}

impl Weight {
    /// A ledger that weighs nothing yet, with the figures of its shard.
    pub(super) fn new((recent, rosters): &(Level, Level)) -> Self {
        Self {
            recent: Part::of(recent),
            roster: Part::of(rosters),
        }
    }

    /// Brings the figures up to date.
    pub(super) fn update<S: State>(&mut self, base: &Base<S>) {
        self.recent.set(base.kept_bytes());
        self.roster.set(base.state.resident_bytes());
    }
}

struct Part {
    shown: Level,
    counted: i64,
}

impl Part {
    fn of(shown: &Level) -> Self {
        Self {
            shown: shown.clone(),
            counted: 0,
        }
    }

    fn set(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if bytes != self.counted {
            self.shown.add(bytes - self.counted);
            self.counted = bytes;
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.set(0);
    }
}
