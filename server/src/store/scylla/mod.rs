//! The store on a cluster: ScyllaDB, or Apache Cassandra, by the `scylla` driver.
//!
//! - `commit`: how a batch becomes durable, why none can be written into another, and what is done when an answer is lost.
//! - `known`: where a ledger stands, and what is done before it is used. `derive`: rows derived from commits, and replay.
//! - `said`: reads of commits and entries. `found`: reads by key. `merged`: lists over several partitions. `flights`: equal
//!   reads. `trim`: retention.
//! - `schema`, `statements`: all CQL there is. `rows`: how rows lie. `session`: the connection, its bounds and deadlines.
//!   `open`, `tls`: how it is opened, and why it may not.
//!
//! # What is promised, and how it differs from a store on a disk of one's own
//!
//! - *Durable* is a majority of replicas. *Reads see writes* is a majority of replicas again, and that everything derived
//!   is written before `Ok`.
//! - *Atomic* is the batch's own row. On the node that writes, reads of a ledger wait for a commit in flight; on another one
//!   they may see some of its derived rows before it is acknowledged. After a crash they are replayed before the ledger is
//!   used, on whichever node.
//! - The store is never poisoned: the nodes of the cluster judge their own disks. A ledger whose last write is in doubt
//!   answers nothing on this node until that is settled; the others go on.
//! - The compare-and-set is not trusted alone. Commits are checked against checksum, place and chain whenever they are
//!   read, and a head that does not lie on the chain this node knows is refused as a branch.

mod commit;
mod counts;
mod derive;
#[cfg(test)]
mod faults;
mod flights;
mod found;
mod known;
mod merged;
mod open;
mod rows;
mod said;
mod schema;
mod session;
mod statements;
#[cfg(test)]
mod tests;
mod tls;
mod trim;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;

use self::counts::Counts;
use self::flights::Flights;
use self::known::Slots;
pub use self::open::{OpenError, Options, Spread, Tls};
pub use self::schema::{Migrated, SCHEMA_VERSION, migrate};
use self::session::Cql;
use super::cache::CommitCache;
use super::fault::at;
use super::status::{Read, Status};
use super::{
    Anchor, Batch, ChannelEntry, ChannelHead, CommitError, Damaged, EntryRange, EntryRow, Head,
    OutboxEnd, OutboxKey, Record, Remembered, Store, StoreError, Trim,
};
use crate::ledger::{ChannelName, IndexKey, LedgerId, RecordKey, SealedCommit};

/// Most commits of a batch: how far back a commit's row may begin. The ledger's rounds have 256.
const BATCH_COMMITS_MAX: u64 = 1_024;

/// The store on a cluster.
pub struct ScyllaStore {
    inner: Arc<Inner>,
    status: Status,
    is_closed: AtomicBool,
}

/// What its parts share.
struct Inner {
    cql: Cql,
    slots: Slots,
    cache: CommitCache,
    flights: Flights,
    counts: Counts,
    spread: Spread,
}

impl Inner {
    /// In which bucket the batch that begins with this commit lies.
    fn bucket(&self, seq: u64) -> u64 {
        seq.saturating_sub(1) / self.spread.commits
    }

    fn first_of(&self, bucket: u64) -> u64 {
        bucket * self.spread.commits + 1
    }

    /// The first bucket in which the batch that holds this commit may lie.
    fn lowest_bucket(&self, seq: u64) -> u64 {
        self.bucket(seq.saturating_sub(BATCH_COMMITS_MAX).max(1))
    }

    /// In which partition of its channel an entry lies.
    fn span(&self, offset: u64) -> u64 {
        offset.saturating_sub(1) / self.spread.entries
    }

    /// Lowest and highest offset of such a partition.
    fn offsets_of(&self, span: u64) -> (u64, u64) {
        let first = span * self.spread.entries + 1;
        (first, first + self.spread.entries - 1)
    }
}

impl std::fmt::Debug for ScyllaStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScyllaStore")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl ScyllaStore {
    /// Connects to the cluster and checks its schema.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: &Options) -> Result<Self, OpenError> {
        let Spread { commits, entries } = options.spread;
        if commits == 0 || entries == 0 {
            let what = "a partition holds at least one thing".to_owned();
            return Err(OpenError::Setting(what));
        }
        let inner = Inner {
            cql: Cql::open(options).await?,
            slots: Slots::default(),
            cache: CommitCache::new(),
            flights: Flights::default(),
            counts: Counts::new(&options.meters),
            spread: options.spread,
        };
        Ok(Self {
            inner: Arc::new(inner),
            status: Status::new(&options.meters),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Runs a read: counted, in time, damage noted.
    async fn read<T>(
        &self,
        kind: Read,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let result = self.in_time(read).await;
        self.status.has_read(kind, began.elapsed());
        self.checked(result)
    }

    /// As `read`, after the ledger was brought up to date.
    async fn read_of<T>(
        &self,
        kind: Read,
        ledger: &LedgerId,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let ready = async {
            self.inner.ready(ledger).await?;
            read.await
        };
        self.read(kind, ready).await
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.open_still()?;
        let ended = tokio::time::timeout(self.inner.cql.deadline, work).await;
        let late = |_| StoreError::Unavailable("the cluster did not answer in time".into());
        ended.map_err(late)?
    }

    fn checked<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Damaged(damaged)) = &result {
            self.status.note(damaged);
        }
        self.status.counted(result)
    }

    fn open_still(&self) -> Result<(), StoreError> {
        match self.is_closed.load(Ordering::Acquire) {
            true => Err(StoreError::Unavailable("the store is closed".into())),
            false => Ok(()),
        }
    }

    async fn write(&self, batch: Batch) -> Result<(), CommitError> {
        self.open_still()?;
        if batch.commits.len() as u64 > BATCH_COMMITS_MAX {
            return Err(CommitError::Malformed("a batch has at most 1,024 commits"));
        }
        let deadline = self.inner.cql.deadline;
        let ended = tokio::time::timeout(deadline, self.inner.commit(batch)).await;
        // Wherever that was, the ledger is marked, and looked into before it is used again.
        ended.unwrap_or_else(|_| {
            let what = "the cluster did not answer in time";
            Err(CommitError::Unknown(what.into()))
        })
    }

    async fn said(
        &self,
        ledger: &LedgerId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<SealedCommit>, StoreError> {
        let inner = &self.inner;
        let slot = inner.ready(ledger).await?;
        let (anchor, head) = {
            let known = slot.known.lock().await;
            (known.anchor, known.head.clone())
        };
        let page = |anchor: Anchor| async move {
            let first = after.max(anchor.seq);
            let page = inner.commits_after(ledger, first, limit).await?;
            if let Some(sealed) = page.first()
                && first == anchor.seq
                && sealed.commit.prev_hash != anchor.hash
            {
                return Err(at(ledger, sealed.commit.seq, "the hash chain is broken"));
            }
            let reached = page.last().map_or(first, |sealed| sealed.commit.seq);
            if page.len() < limit && reached < head.seq {
                return Err(at(ledger, reached + 1, "the commit is missing"));
            }
            if let Some(sealed) = page.iter().find(|sealed| sealed.commit.seq == head.seq)
                && sealed.hash != head.hash
            {
                let what = "the last commit is not the one the head names";
                return Err(at(ledger, head.seq, what));
            }
            Ok((page, reached))
        };
        let read = page(anchor).await;
        let (page, reached) = match read {
            Err(StoreError::Damaged(missing)) => {
                // Retention of another node may have come between.
                let now = inner.checkpoint(ledger).await?.anchor;
                if now.seq == anchor.seq {
                    return Err(missing.into());
                }
                slot.known.lock().await.anchor = now;
                page(now).await?
            }
            read => read?,
        };
        let mut known = slot.known.lock().await;
        if reached > known.applied {
            // Somebody else's. Whoever takes them in reads what is derived from them next.
            inner.settle(ledger, &slot, &mut known).await?;
        }
        Ok(page)
    }
}

#[async_trait]
impl Store for ScyllaStore {
    async fn head(&self, ledger: &LedgerId) -> Result<Option<Head>, StoreError> {
        let head = async {
            let slot = self.inner.slots.of(ledger);
            let mut known = slot.known.lock().await;
            self.inner.settle(ledger, &slot, &mut known).await?;
            Ok(known.head().cloned())
        };
        self.read(Read::Head, head).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let written = self.write(batch).await;
        if let Err(CommitError::Store(StoreError::Damaged(damaged))) = &written {
            self.status.note(damaged);
        }
        self.status.count_write(&written);
        written
    }

    async fn commits_since(
        &self,
        ledger: &LedgerId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<SealedCommit>, StoreError> {
        self.read(Read::Commits, self.said(ledger, after, limit))
            .await
    }

    async fn anchor(&self, ledger: &LedgerId) -> Result<Anchor, StoreError> {
        let anchor = async { Ok(self.inner.checkpoint(ledger).await?.anchor) };
        self.read(Read::Head, anchor).await
    }

    async fn entries(
        &self,
        ledger: &LedgerId,
        channel: &ChannelName,
        range: EntryRange,
    ) -> Result<Vec<ChannelEntry>, StoreError> {
        let entries = async {
            let rows = self.inner.rows_in(ledger, channel, range).await?;
            self.inner.bodies(ledger, channel, rows).await
        };
        self.read_of(Read::Entries, ledger, entries).await
    }

    async fn entry_rows(
        &self,
        ledger: &LedgerId,
        channel: &ChannelName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let range = EntryRange {
            from: after.saturating_add(1),
            to: u64::MAX,
            limit,
            order: super::Order::Ascending,
        };
        let rows = self.inner.rows_in(ledger, channel, range);
        self.read_of(Read::Retention, ledger, rows).await
    }

    async fn channel_heads(
        &self,
        ledger: &LedgerId,
        channels: &[ChannelName],
    ) -> Result<Vec<ChannelHead>, StoreError> {
        let heads = self.inner.extents(ledger, channels);
        self.read_of(Read::Channels, ledger, heads).await
    }

    async fn channels(
        &self,
        ledger: &LedgerId,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<ChannelName>, StoreError> {
        let names = self.inner.channels(ledger, after, limit);
        self.read_of(Read::Channels, ledger, names).await
    }

    async fn get(&self, ledger: &LedgerId, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        let record = self.inner.record(ledger, key);
        self.read_of(Read::Record, ledger, record).await
    }

    async fn get_many(
        &self,
        ledger: &LedgerId,
        keys: &[RecordKey],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let records = self.inner.several(ledger, keys);
        self.read_of(Read::Records, ledger, records).await
    }

    async fn scan(
        &self,
        ledger: &LedgerId,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Record)>, StoreError> {
        let records = self.inner.scan(ledger, prefix, after, limit);
        self.read_of(Read::Records, ledger, records).await
    }

    async fn lookup(
        &self,
        index: &IndexKey,
        after: Option<&(LedgerId, RecordKey)>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, RecordKey)>, StoreError> {
        let rows = self.inner.lookup(index, after, limit);
        self.read(Read::Index, rows).await
    }

    async fn idempotent(
        &self,
        ledger: &LedgerId,
        subject: &str,
        key: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        let found = self.inner.idempotent(ledger, subject, key);
        self.read_of(Read::Idempotency, ledger, found).await
    }

    async fn ledgers(
        &self,
        after: Option<&LedgerId>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, Head)>, StoreError> {
        let list = self.inner.ledgers(after, limit);
        self.read(Read::Ledgers, list).await
    }

    async fn outbox_pending(
        &self,
        source: Option<&LedgerId>,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        let items = async {
            if let Some(source) = source {
                self.inner.ready(source).await?;
            }
            self.inner.pending(source, after, limit).await
        };
        self.read(Read::Outbox, items).await
    }

    async fn outbox_refused(
        &self,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        let items = self.inner.refused(after, limit);
        self.read(Read::Outbox, items).await
    }

    async fn outbox_done(&self, item: &OutboxKey, end: OutboxEnd) -> Result<(), StoreError> {
        let done = self.in_time(self.inner.outbox_done(item, end)).await;
        self.checked(done)
    }

    async fn trim(&self, trim: Trim) -> Result<(), StoreError> {
        // As long as it takes: each of its requests has a deadline of its own.
        self.open_still()?;
        let trimmed = self.inner.trim(&trim).await;
        self.checked(trimmed)
    }

    fn damage(&self) -> Vec<Damaged> {
        self.status.findings()
    }

    fn identity(&self) -> Option<uuid::Uuid> {
        Some(self.inner.cql.identity)
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return self.open_still();
        }
        self.inner.cql.finish().await;
        Ok(())
    }
}
