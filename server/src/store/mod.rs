//! The store: where commits are kept. This file is the contract; [`memory`] is the reference,
//! [`fjall`](mod@fjall) the embedded backend, [`scylla`](mod@scylla) the one on a cluster, and
//! `conformance` the suite all must pass.
//!
//! A store knows ledgers, commits and the rows derived from them. It knows nothing of actors,
//! rights or protocols.
//!
//! # Promises
//!
//! 1. **Durable.** When [`Store::commit`] returns `Ok`, the commits and everything derived from
//!    them survive a kill and a power loss.
//! 2. **Atomic.** A batch is there whole or not at all, with all its derived rows.
//! 3. **Compare and set.** A batch whose `expected_seq` is not the ledger's head changes nothing
//!    and returns [`CommitError::Conflict`].
//! 4. **Reads see writes.** After `Ok`, every read by anyone shows the batch.
//! 5. **Never guess.** [`CommitError::Unknown`] means: it may or may not be there. The caller
//!    reads the head and compares commit ids.
//! 6. **Damage is an error.** A row that is missing, altered, undecodable or out of place is
//!    [`StoreError::Damaged`] naming ledger and place. A read never skips it, and never answers
//!    with something that was not written.
//! 7. **After a failed write or flush a store with a disk of its own is poisoned**: it refuses every
//!    later write with [`StoreError::Unavailable`] until it is opened anew, because after a failed
//!    fsync nobody knows what the disk has. (A cluster's nodes judge their own disks.)

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::ledger::{
    ChannelName, CommitHash, Entry, Epoch, IndexKey, LedgerId, RecordKey, SealedCommit,
};

mod cache;
#[cfg(test)]
pub mod chain;
#[cfg(test)]
pub mod conformance;
mod fault;
#[cfg(test)]
pub mod faulty;
pub mod fjall;
mod keys;
pub mod memory;
mod rows;
pub mod scylla;
mod status;

/// Where a ledger stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Sequence number of the last commit.
    pub seq: u64,
    /// Hash of the last commit.
    pub hash: CommitHash,
    /// The ledger's epoch.
    pub epoch: Epoch,
}

/// Commits of one ledger to be written together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its head as the writer knows it; 0 for a ledger that does not exist yet.
    pub expected_seq: u64,
    /// The commits `expected_seq + 1 ..`, dense, chained by hash, at least one.
    pub commits: Vec<SealedCommit>,
}

impl Batch {
    /// Checks that the batch follows `head`: dense, chained, one epoch.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when the head is another, [`CommitError::Malformed`] when the
    /// batch is wrong in itself.
    pub fn check(&self, head: Option<&Head>) -> Result<(), CommitError> {
        let found = head.map_or(0, |head| head.seq);
        if found != self.expected_seq {
            return Err(CommitError::Conflict {
                expected: self.expected_seq,
                found,
            });
        }
        if self.commits.is_empty() {
            return Err(CommitError::Malformed("no commits"));
        }
        let mut prev = head.map_or(CommitHash::GENESIS, |head| head.hash);
        let mut epoch = head.map(|head| &head.epoch);
        for (sealed, seq) in self.commits.iter().zip(found + 1..) {
            if !sealed.follows(&self.ledger, seq, prev) {
                return Err(CommitError::Malformed(
                    "a commit does not follow the one before",
                ));
            }
            if *epoch.get_or_insert(&sealed.commit.epoch) != &sealed.commit.epoch {
                return Err(CommitError::Malformed("the epoch changes"));
            }
            prev = sealed.hash;
        }
        Ok(())
    }
}

/// Why something could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot serve now (poisoned, closed, disk full, not reachable). Nothing was
    /// changed by the call that got this.
    #[error("the store is unavailable: {0}")]
    Unavailable(Arc<str>),
    /// What is stored is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// Stored data that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ledger {ledger} is damaged at {place}: {what}")]
pub struct Damaged {
    /// The ledger it belongs to; `*` when that cannot be told.
    pub ledger: Arc<str>,
    /// Where in it.
    pub place: Place,
    /// What is wrong, without content.
    pub what: Arc<str>,
}

/// A place in a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Commit with this sequence number.
    Seq(u64),
    /// The row of an entry with this offset in one of the ledger's channels.
    Offset(u64),
    /// A row derived from commits (record, index, idempotency, outbox), of which the sequence
    /// number cannot be told.
    Derived,
    /// The files of the store as a whole.
    Files,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seq(seq) => write!(f, "seq {seq}"),
            Self::Offset(offset) => write!(f, "channel offset {offset}"),
            Self::Derived => f.write_str("a derived row"),
            Self::Files => f.write_str("the store's files"),
        }
    }
}

/// Why a batch was not, or perhaps not, committed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The ledger's head is another. Nothing was written.
    #[error("somebody else wrote: expected seq {expected}, found {found}")]
    Conflict {
        /// What the writer expected.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// It may or may not have been written; read the head and compare.
    #[error("the outcome of the write is unknown: {0}")]
    Unknown(Arc<str>),
    /// The batch is not dense, not chained or empty. Nothing was written.
    #[error("the batch is malformed: {0}")]
    Malformed(&'static str),
    /// Certainly nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which entries of a channel to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRange {
    /// Lowest offset wanted, at least 1.
    pub from: u64,
    /// Highest offset wanted.
    pub to: u64,
    /// How many at most.
    pub limit: usize,
    /// Which end to start from.
    pub order: Order,
}

/// Direction of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// An entry as found in one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelEntry {
    /// Its offset in the channel.
    pub offset: u64,
    /// The commit that holds it.
    pub seq: u64,
    /// The entry.
    pub entry: Arc<Entry>,
}

/// Extent of a channel's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelHead {
    /// Offset of the last entry ever appended; 0 when none was.
    pub top: u64,
    /// Everything up to and including this offset was removed by retention. `trimmed == top`
    /// means the history is empty.
    pub trimmed: u64,
}

/// A record as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The commit that wrote it.
    pub seq: u64,
    /// The index keys it is found under.
    pub index: Vec<IndexKey>,
    /// Its value.
    pub value: Bytes,
}

/// What is remembered of a call with an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// The commit it made; its `outcome` is the answer.
    pub seq: u64,
    /// Digest of operation and input.
    pub fingerprint: [u8; 16],
    /// When.
    pub time_ms: u64,
}

/// Names one outbox item: the `n`th of commit `seq` of `source`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxKey {
    /// The ledger that sends.
    pub source: LedgerId,
    /// Its commit.
    pub seq: u64,
    /// Place in that commit's outbox, from 0.
    pub n: u32,
}

/// How the delivery of an outbox item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxEnd {
    /// The other ledger has done it.
    Done,
    /// The other ledger refused for good; the item is set aside and shown by `ledger verify`.
    Refused,
}

/// What to remove of one ledger, decided by [`crate::ledger::retention`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trim {
    /// The ledger.
    pub ledger: LedgerId,
    /// For each channel: remove entries up to and including this offset. Offsets beyond the top
    /// are cut to it.
    pub channels: Vec<(ChannelName, u64)>,
    /// Remove commits up to and including this one and leave an anchor, so that the hash chain
    /// can still be checked from there. Only commits below the head; only when no remaining row
    /// needs them.
    pub commits_to: u64,
    /// Forget idempotency keys of commits older than this (milliseconds since 1970).
    pub forget_before_ms: u64,
}

/// The row of an entry in a channel, without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRow {
    /// Offset in the channel.
    pub offset: u64,
    /// The commit that holds the body.
    pub seq: u64,
    /// Place in that commit's entries.
    pub n: u32,
    /// When it was said.
    pub time_ms: u64,
}

impl Anchor {
    /// Of a ledger from which nothing was removed.
    pub const NONE: Self = Self {
        seq: 0,
        hash: CommitHash::GENESIS,
        forgotten_before_ms: 0,
    };
}

/// What retention removed of a ledger, and where the remaining commits begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The last commit removed; 0 when none was.
    pub seq: u64,
    /// Its hash; the chain goes on from it.
    pub hash: CommitHash,
    /// Idempotency keys of calls older than this (milliseconds since 1970) may be forgotten.
    pub forgotten_before_ms: u64,
}

/// The contract; see the module for the promises. Lists are paged: `after` is the last item of
/// the page before, an empty page ends the list.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Where the ledger stands; `None` when it has no commits.
    async fn head(&self, ledger: &LedgerId) -> Result<Option<Head>, StoreError>;

    /// Writes a batch.
    async fn commit(&self, batch: Batch) -> Result<(), CommitError>;

    /// Commits with a sequence number above `after`, in order, at most `limit`, checked against
    /// checksum, place and hash chain within the page. Trimmed ones are left out at the front
    /// only (see [`Store::anchor`]).
    async fn commits_since(
        &self,
        ledger: &LedgerId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<SealedCommit>, StoreError>;

    /// Where the remaining commits begin.
    async fn anchor(&self, ledger: &LedgerId) -> Result<Anchor, StoreError>;

    /// Entries of a channel. Offsets in the answer are dense except where the range was cut by
    /// retention or limit.
    async fn entries(
        &self,
        ledger: &LedgerId,
        channel: &ChannelName,
        range: EntryRange,
    ) -> Result<Vec<ChannelEntry>, StoreError>;

    /// The rows of a channel's entries without their bodies, offsets above `after`, ascending.
    async fn entry_rows(
        &self,
        ledger: &LedgerId,
        channel: &ChannelName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EntryRow>, StoreError>;

    /// Extent of the history of some channels, in the order asked.
    async fn channel_heads(
        &self,
        ledger: &LedgerId,
        channels: &[ChannelName],
    ) -> Result<Vec<ChannelHead>, StoreError>;

    /// The ledger's channels that ever had an entry, in a fixed order.
    async fn channels(
        &self,
        ledger: &LedgerId,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<ChannelName>, StoreError>;

    /// One record.
    async fn get(&self, ledger: &LedgerId, key: &RecordKey) -> Result<Option<Record>, StoreError>;

    /// Several records, in the order asked, in one trip where the store can.
    async fn get_many(
        &self,
        ledger: &LedgerId,
        keys: &[RecordKey],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let mut records = Vec::with_capacity(keys.len());
        for key in keys {
            records.push(self.get(ledger, key).await?);
        }
        Ok(records)
    }

    /// Records whose key starts with `prefix`, in key order, after `after`. Fewer than `limit` are the last ones.
    async fn scan(
        &self,
        ledger: &LedgerId,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Record)>, StoreError>;

    /// Which records of which ledgers stand under an index key, in order.
    async fn lookup(
        &self,
        index: &IndexKey,
        after: Option<&(LedgerId, RecordKey)>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, RecordKey)>, StoreError>;

    /// What is remembered of an idempotency key of a subject.
    async fn idempotent(
        &self,
        ledger: &LedgerId,
        subject: &str,
        key: &str,
    ) -> Result<Option<Remembered>, StoreError>;

    /// All ledgers, in order.
    async fn ledgers(
        &self,
        after: Option<&LedgerId>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, Head)>, StoreError>;

    /// Outbox items not yet ended, in order of source, seq, n; of one source or of all.
    async fn outbox_pending(
        &self,
        source: Option<&LedgerId>,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError>;

    /// Outbox items that were set aside as refused.
    async fn outbox_refused(
        &self,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError>;

    /// Notes durably how the delivery of an item ended. Doing it again is harmless.
    async fn outbox_done(&self, item: &OutboxKey, end: OutboxEnd) -> Result<(), StoreError>;

    /// Removes what retention no longer keeps.
    async fn trim(&self, trim: Trim) -> Result<(), StoreError>;

    /// Damage found so far, oldest first, bounded; also what opening found.
    fn damage(&self) -> Vec<Damaged>;

    /// What tells this store from all others; `None` for one that only one node can have open.
    fn identity(&self) -> Option<uuid::Uuid> {
        None
    }

    /// Why writes are refused until the store is opened anew; `None` while they are not.
    fn refuses_writes(&self) -> Option<Arc<str>> {
        None
    }

    /// Writes down what is in flight and closes; later calls get [`StoreError::Unavailable`].
    async fn close(&self) -> Result<(), StoreError>;
}
