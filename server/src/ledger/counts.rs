//! What the ledgers of a node count.

use std::time::Duration;

use super::waiting::Waiting;
use super::{CallError, Commit, Done, LedgerId};
use crate::store::{OutboxEnd, OutboxKey};
use crate::telemetry::{Count, Level, Meters, Spread, catalogue};

/// Handles found once. Shared by all ledgers: a call is worth some hundred microseconds of disk.
pub(super) struct Counts {
    /// Actors that run.
    pub(super) loaded: Level,
    /// Outbox items not ended, as far as this node knows, and since when.
    waiting: Waiting,
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
    /// Somebody else wrote first.
    pub(super) conflicts: Count,
    /// Commits of other nodes, taken in as they were told ...
    pub(super) foreign_told: Count,
    /// ... and as they were read.
    pub(super) foreign_read: Count,
    /// Two commits with one number.
    pub(super) forks: Count,
    /// A ledger was begun anew from the store.
    pub(super) renewed: Count,
    groups: Spread,
    writes: Spread,
    /// By shard: what its ledgers keep at hand, and who is who.
    memory: Box<[(Level, Level)]>,
}

impl Counts {
    pub(super) fn new(meters: &Meters, shards: usize) -> Self {
        let delivery = |outcome| meters.counter(catalogue::OUTBOX_DELIVERIES, &[outcome]);
        let commits = |kind| meters.counter(catalogue::LEDGER_COMMITS, &[kind]);
        let memory_of = |shard: usize| {
            let shard = shard.to_string();
            let part = |part| meters.gauge(catalogue::SHARD_MEMORY_BYTES, &[&shard, part]);
            (part("recent"), part("rosters"))
        };
        Self {
            loaded: meters.gauge(catalogue::LEDGERS_LOADED, &[]),
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
            conflicts: meters.counter(catalogue::LEDGER_CONFLICTS, &[]),
            foreign_told: meters.counter(catalogue::LEDGER_FOREIGN_COMMITS, &["bus"]),
            foreign_read: meters.counter(catalogue::LEDGER_FOREIGN_COMMITS, &["store"]),
            forks: meters.counter(catalogue::LEDGER_FORKS, &[]),
            renewed: meters.counter(catalogue::LEDGER_RENEWED, &[]),
            groups: meters.histogram(catalogue::LEDGER_GROUP, &[]),
            writes: meters.histogram(catalogue::LEDGER_COMMIT_SECONDS, &[]),
            memory: (0..shards.max(1)).map(memory_of).collect(),
            waiting: Waiting::new(
                meters.gauge(catalogue::OUTBOX_PENDING, &[]),
                meters.age(catalogue::OUTBOX_OLDEST_SECONDS, &[]),
            ),
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
        if !commit.outbox.is_empty() {
            self.pend(ledger, commit.outbox.len(), commit.time_ms);
        }
    }

    /// A group of commits is durable and with every shard.
    #[expect(clippy::cast_precision_loss, reason = "groups are of some hundred")]
    pub(super) fn wrote(&self, commits: usize, took: Duration) {
        self.groups.observe(commits as f64);
        self.writes.observe_duration(took);
    }

    /// Outbox items of a ledger that wait from now on, the first since `since_ms`.
    pub(super) fn pend(&self, source: &LedgerId, items: usize, since_ms: u64) {
        self.waiting.begin(source, items, since_ms);
    }

    /// So many outbox items of a ledger wait: somebody has looked.
    pub(super) fn found_waiting(&self, source: &LedgerId, items: usize, now_ms: u64) {
        self.waiting.settle(source, items, now_ms);
    }

    /// Of a ledger's outbox nothing waits any more that is older than this.
    pub(super) fn oldest(&self, source: &LedgerId, since_ms: u64) {
        self.waiting.oldest(source, since_ms);
    }

    /// An outbox item has come to its end.
    pub(super) fn ended(&self, key: &OutboxKey, end: OutboxEnd) {
        self.waiting.end(&key.source);
        match end {
            OutboxEnd::Done => self.delivered.add(1),
            OutboxEnd::Refused => self.refused.add(1),
        }
    }

    /// What the ledgers of a shard weigh: kept at hand, and who is who.
    pub(super) fn memory_of(&self, shard: usize) -> &(Level, Level) {
        &self.memory[shard % self.memory.len()]
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
