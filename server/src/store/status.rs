//! What all parts of the embedded store must know of its health.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;

use crate::ledger::LedgerId;
use crate::store::{CommitError, Damaged, StoreError};
use crate::telemetry::{Count, Meters, Spread, catalogue};

/// Findings kept for `damage()`. More than this many say nothing new.
const FINDINGS_MAX: usize = 256;

/// Shared by the writer and the readers.
#[derive(Debug)]
pub(super) struct Status {
    inner: Mutex<Inner>,
    groups: AtomicU64,
    meters: Meters,
    damage: Count,
    /// By what is read.
    reads: Box<[Spread]>,
}

/// What is read, in the order of [`catalogue::READS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Head,
    Commits,
    Entries,
    Channels,
    Record,
    Records,
    Index,
    Idempotency,
    Ledgers,
    Outbox,
    Retention,
}

#[derive(Debug, Default)]
struct Inner {
    /// Why nothing is written any more.
    poisoned: Option<Arc<str>>,
    /// Ledgers that must not be worked on before they are restored.
    damaged: HashMap<LedgerId, Damaged>,
    /// Ledgers whose last write has an unknown outcome.
    doubtful: HashMap<LedgerId, Arc<str>>,
    findings: Vec<Damaged>,
}

impl Status {
    pub(super) fn new(meters: &Meters) -> Self {
        Self {
            inner: Mutex::default(),
            groups: AtomicU64::new(0),
            meters: meters.clone(),
            damage: meters.counter(catalogue::STORE_DAMAGE, &[]),
            reads: catalogue::READS
                .iter()
                .map(|kind| meters.histogram(catalogue::STORE_READ_SECONDS, &[kind]))
                .collect(),
        }
    }

    /// Counts a read, with its wait for a thread.
    pub(super) fn has_read(&self, kind: Read, took: Duration) {
        self.reads[kind as usize].observe_duration(took);
    }

    /// Counts an answer that is an error, and passes it on.
    pub(super) fn counted<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &answer {
            self.failed(kind_of(error));
        }
        answer
    }

    /// Counts a write that did not succeed.
    pub(super) fn count_write(&self, written: &Result<(), CommitError>) {
        match written {
            // A malformed batch is the caller's mistake, not the store's answer.
            Ok(()) | Err(CommitError::Malformed(_)) => {}
            Err(CommitError::Conflict { .. }) => self.failed("conflict"),
            Err(CommitError::Unknown(_)) => self.failed("unknown"),
            Err(CommitError::Store(error)) => self.failed(kind_of(error)),
        }
    }

    fn failed(&self, kind: &str) {
        self.meters.count(catalogue::STORE_ERRORS, &[kind]);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more group was written and flushed.
    pub(super) fn count_group(&self) {
        self.groups.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn groups(&self) -> u64 {
        self.groups.load(Ordering::Relaxed)
    }

    /// From now on nothing is written.
    pub(super) fn poison(&self, why: &Arc<str>) {
        let mut inner = self.inner();
        if inner.poisoned.is_none() {
            tracing::error!(%why, "the store refuses writes until it is opened anew");
            inner.poisoned = Some(Arc::clone(why));
        }
    }

    /// From now on nothing is written, as is right: the store is being closed.
    pub(super) fn close(&self) {
        let mut inner = self.inner();
        inner.poisoned.get_or_insert("the store is closed".into());
    }

    pub(super) fn poisoned(&self) -> Option<Arc<str>> {
        self.inner().poisoned.clone()
    }

    pub(super) fn writable(&self) -> Result<(), StoreError> {
        match &self.inner().poisoned {
            Some(why) => Err(StoreError::Unavailable(Arc::clone(why))),
            None => Ok(()),
        }
    }

    pub(super) fn doubt(&self, ledger: &LedgerId, why: &Arc<str>) {
        self.inner()
            .doubtful
            .insert(ledger.clone(), Arc::clone(why));
    }

    /// The ledger must not be worked on.
    pub(super) fn refuse(&self, ledger: &LedgerId, damaged: Damaged) {
        self.note(&damaged);
        self.inner()
            .damaged
            .entry(ledger.clone())
            .or_insert(damaged);
    }

    /// Whether the ledger may be worked on.
    pub(super) fn usable(&self, ledger: &LedgerId) -> Result<(), StoreError> {
        let inner = self.inner();
        if let Some(damaged) = inner.damaged.get(ledger) {
            return Err(StoreError::Damaged(damaged.clone()));
        }
        match inner.doubtful.get(ledger) {
            Some(why) => Err(StoreError::Unavailable(Arc::clone(why))),
            None => Ok(()),
        }
    }

    pub(super) fn note(&self, damaged: &Damaged) {
        let mut inner = self.inner();
        if inner.findings.len() < FINDINGS_MAX && !inner.findings.contains(damaged) {
            let (ledger, place, what) = (&damaged.ledger, damaged.place, &damaged.what);
            tracing::error!(%ledger, %place, %what, "stored data is damaged");
            inner.findings.push(damaged.clone());
            self.damage.add(1);
        }
    }

    pub(super) fn findings(&self) -> Vec<Damaged> {
        self.inner().findings.clone()
    }
}

const fn kind_of(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Damaged(_) => "damaged",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    #[test]
    fn reads_are_counted_under_their_names() {
        let telemetry = Telemetry::new();
        let status = Status::new(&telemetry.meters());
        assert_eq!(catalogue::READS.len(), Read::Retention as usize + 1);
        for kind in [Read::Head, Read::Idempotency, Read::Retention] {
            status.has_read(kind, Duration::from_micros(300));
        }
        let text = telemetry.exposition();
        for (kind, times) in [
            ("head", 1),
            ("idempotency", 1),
            ("retention", 1),
            ("record", 0),
        ] {
            let series =
                format!("klokke_store_read_duration_seconds_count{{kind=\"{kind}\"}} {times}\n");
            assert!(text.contains(&series), "{series}");
        }
    }
}
