//! What the ledgers of a node count.

use std::time::Duration;

use super::{CallError, Commit, Done, LedgerId};
use crate::store::OutboxEnd;
use crate::telemetry::{Count, Level, Meters, Spread, catalogue};

/// Handles found once. Shared by all ledgers: a call is worth some hundred microseconds of disk.
pub(super) struct Counts {
    /// Actors that run.
    pub(super) loaded: Level,
    /// Outbox items not ended.
    pending: Level,
    delivered: Count,
    refused: Count,
    pub(super) failed: Count,
    /// A ledger looked what the store has.
    pub(super) read_backs: Count,
    domain: Count,
    channel: Count,
    entries: Count,
    busy: Count,
    replays: Count,
    calls: Spread,
}

impl Counts {
    pub(super) fn new(meters: &Meters) -> Self {
        let delivery = |outcome| meters.counter(catalogue::OUTBOX_DELIVERIES, &[outcome]);
        let commits = |kind| meters.counter(catalogue::LEDGER_COMMITS, &[kind]);
        Self {
            loaded: meters.gauge(catalogue::LEDGERS_LOADED, &[]),
            pending: meters.gauge(catalogue::OUTBOX_PENDING, &[]),
            delivered: delivery("delivered"),
            refused: delivery("refused"),
            failed: delivery("failed"),
            read_backs: meters.counter(catalogue::LEDGER_READ_BACKS, &[]),
            domain: commits("domain"),
            channel: commits("channel"),
            entries: meters.counter(catalogue::LEDGER_ENTRIES, &[]),
            busy: meters.counter(catalogue::LEDGER_MAILBOX_FULL, &[]),
            replays: meters.counter(catalogue::LEDGER_REPLAYS, &[]),
            calls: meters.histogram(catalogue::LEDGER_CALL_SECONDS, &[]),
        }
    }

    /// A commit of this node is durable.
    pub(super) fn committed(&self, ledger: &LedgerId, commit: &Commit) {
        match ledger.namespace() {
            None => self.domain.add(1),
            Some(_) => self.channel.add(1),
        }
        let placed: usize = commit.entries.iter().map(|it| it.channels.len()).sum();
        self.entries.add(placed as u64);
        self.pend(commit.outbox.len());
    }

    /// Outbox items that wait from now on.
    pub(super) fn pend(&self, items: usize) {
        self.pending.add(i64::try_from(items).unwrap_or(i64::MAX));
    }

    /// An outbox item has come to its end.
    pub(super) fn ended(&self, end: OutboxEnd) {
        self.pending.add(-1);
        match end {
            OutboxEnd::Done => self.delivered.add(1),
            OutboxEnd::Refused => self.refused.add(1),
        }
    }

    /// A call ended.
    pub(super) fn called(&self, took: Duration, outcome: &Result<Done, CallError>) {
        match outcome {
            // It never came to the ledger.
            Err(CallError::Busy) => return,
            Ok(done) if done.replayed => self.replays.add(1),
            _ => {}
        }
        self.calls.observe_duration(took);
    }

    /// A ledger had as much waiting as allowed.
    pub(super) fn turned_away(&self) {
        self.busy.add(1);
    }
}
