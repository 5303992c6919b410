//! What this backend counts besides what every store does.

use std::time::Duration;

use super::session::Swapped;
use crate::telemetry::{Count, Meters, Spread, catalogue};

/// Handles of what is counted often.
pub(super) struct Counts {
    meters: Meters,
    commit_seconds: Spread,
    batch: Spread,
    replayed: Count,
    shared: Count,
}

impl Counts {
    pub(super) fn new(meters: &Meters) -> Self {
        Self {
            meters: meters.clone(),
            commit_seconds: meters.histogram(catalogue::STORE_COMMIT_SECONDS, &[]),
            batch: meters.histogram(catalogue::STORE_BATCH, &[]),
            replayed: meters.counter(catalogue::STORE_REPLAYED, &[]),
            shared: meters.counter(catalogue::STORE_SHARED_READS, &[]),
        }
    }

    /// A batch is durable and derived.
    pub(super) fn wrote(&self, commits: usize, took: Duration) {
        self.commit_seconds.observe_duration(took);
        self.batch
            .observe(f64::from(u32::try_from(commits).unwrap_or(u32::MAX)));
    }

    /// A lightweight transaction ended.
    pub(super) fn swapped(&self, ended: &Swapped) {
        let outcome = match ended {
            Swapped::Done => "applied",
            Swapped::Not => "not_applied",
            Swapped::Unclear(_) => "unclear",
            Swapped::NotBegun(_) => "not_begun",
        };
        self.meters.count(catalogue::STORE_LWT, &[outcome]);
    }

    /// What was unclear was looked into: whether it was written, or `None` when that stays open.
    pub(super) fn resolved(&self, was_unclear: bool, written: Option<bool>) {
        if !was_unclear {
            return;
        }
        let end = match written {
            Some(true) => "written",
            Some(false) => "not_written",
            None => "open",
        };
        self.meters.count(catalogue::STORE_UNCLEAR, &[end]);
    }

    /// Commits were derived that somebody else, or an earlier run, left.
    pub(super) fn replayed(&self, commits: usize) {
        self.replayed.add(commits as u64);
    }

    /// A read was answered by one under way.
    pub(super) fn shared(&self) {
        self.shared.add(1);
    }
}
