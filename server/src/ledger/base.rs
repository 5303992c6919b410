//! A loaded ledger in memory: head, resident state, recent entries, and caches over the store.
//! Everything in it is durable; what jobs stage lies over it, in the view.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use hashbrown::HashMap;

use super::cache::Cache;
use super::ring::Rings;
use super::state::is_resident;
use super::{ChannelName, Commit, CommitHash, Epoch, LedgerId, RecordKey, SealedCommit, State};
use crate::store::{
    ChannelEntry, ChannelHead, Damaged, EntryRange, Head, Place, Record, Remembered, Store,
    StoreError,
};

/// Records, channel tops and idempotency keys cached per ledger (each kind; up to twice this).
/// A school in a busy hour touches some hundred threads and two thousand personal channels.
const CACHED_MAX: usize = 2_048;

/// What a cached record (a message, a place in a thread), a channel's extent and an idempotency key
/// take with their keys and their places in the maps: seen in the units of a test municipality.
const RECORD_BYTES: usize = 512;
const EXTENT_BYTES: usize = 96;
const KEY_BYTES: usize = 192;

/// Channels whose extent is compared with the store in one look, in any order: a busy school has some hundred with recent entries.
const LOOK_CHANNELS: usize = 512;

/// Records taken in before others of the shard have their turn.
const LOADED_AT_ONCE: usize = 500;

/// Resident records of a kind read at once while loading: more than a school of a thousand pupils has of any (with their guardians and the staff some
/// 3,000 persons), because each further page is read from every partition of a cluster's ledger.
const LOAD_PAGE: usize = 8_000;

/// See the module.
pub(super) struct Base<S: State> {
    pub(super) ledger: LedgerId,
    pub(super) store: Arc<dyn Store>,
    pub(super) state: S,
    pub(super) head: Head,
    pub(super) rings: Rings,
    /// Other nodes write the same store: what is read there may be newer than the head.
    is_shared: bool,
    /// Whether the last write was done is not known yet, and so not where the ledger stands.
    pub(super) is_in_doubt: bool,
    /// The store has less than this knows: what is in memory is of another history.
    pub(super) is_astray: bool,
    cached: RefCell<Cached>,
    read: Cell<ReadSince>,
    /// What a planted bug holds back.
    #[cfg(test)]
    late: std::collections::VecDeque<Vec<S::Change>>,
}

/// What was read since somebody began to look: whether it is as of the head is asked of this.
#[derive(Debug, Clone, Copy, Default)]
struct ReadSince {
    /// The newest commit that any of it was written by.
    seq: u64,
    /// There was something that does not say by which commit it was written.
    has_unsure: bool,
}

/// A subject with an idempotency key of theirs.
pub(super) type SubjectKey = (Arc<str>, Arc<str>);

struct Cached {
    records: Cache<RecordKey, Option<Record>>,
    heads: Cache<ChannelName, ChannelHead>,
    /// Extents that may be newer than the head: of use only when it turns out that nobody else wrote.
    unsure_heads: HashMap<ChannelName, ChannelHead>,
    keys: Cache<SubjectKey, Remembered>,
}

impl<S: State> Base<S> {
    /// Reads head and resident records. `unborn_epoch` is the epoch if there are no commits.
    pub(super) async fn load(
        ledger: LedgerId,
        store: Arc<dyn Store>,
        unborn_epoch: Epoch,
        is_shared: bool,
    ) -> Result<Self, StoreError> {
        let unborn = Head {
            seq: 0,
            hash: CommitHash::GENESIS,
            epoch: unborn_epoch,
        };
        let head = store.head(&ledger).await?.unwrap_or(unborn);
        let mut state = S::new(&ledger);
        if head.seq > 0 {
            for prefix in S::RESIDENT {
                load_prefix(&ledger, &*store, prefix, &mut state).await?;
            }
        }
        let cached = RefCell::new(Cached {
            records: Cache::new(CACHED_MAX),
            heads: Cache::new(CACHED_MAX),
            unsure_heads: HashMap::new(),
            keys: Cache::new(CACHED_MAX),
        });
        Ok(Self {
            ledger,
            store,
            state,
            head,
            rings: Rings::default(),
            is_shared,
            is_in_doubt: false,
            is_astray: false,
            cached,
            read: Cell::default(),
            #[cfg(test)]
            late: std::collections::VecDeque::default(),
        })
    }

    /// Whether other nodes write the same store.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Somebody begins to look.
    pub(super) fn begin_reading(&self) {
        self.read.set(ReadSince::default());
    }

    /// Whether what was read since then is certainly newer than the head, for others wrote meanwhile.
    pub(super) fn has_read_ahead(&self) -> bool {
        self.read.get().seq > self.head.seq
    }

    /// Whether it may be.
    pub(super) fn has_read_unsure(&self) -> bool {
        self.read.get().has_unsure
    }

    /// Whether the store has more than this knows. If not, what was read before is as of the head.
    pub(super) async fn is_behind(&self) -> Result<bool, StoreError> {
        let there = self.store.head(&self.ledger).await?;
        let is_behind = there.is_some_and(|there| there.seq > self.head.seq);
        if !is_behind {
            self.confirm_heads();
        }
        Ok(is_behind)
    }

    /// Somebody else wrote; the store's head is there.
    pub(super) fn note_conflict(&mut self, found: u64) {
        self.is_astray |= found < self.head.seq;
    }

    /// Something was read that this commit wrote.
    pub(super) fn note_read(&self, seq: u64) {
        let mut read = self.read.get();
        read.seq = read.seq.max(seq);
        self.read.set(read);
    }

    fn note_record(&self, record: Option<&Record>) {
        self.note_read(record.map_or(0, |record| record.seq));
    }

    /// A durable record.
    pub(super) async fn record(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        let at_hand = self.cached.borrow_mut().records.get(key);
        if let Some(record) = at_hand {
            self.note_record(record.as_ref());
            return Ok(record);
        }
        let record = self.store.get(&self.ledger, key).await?;
        self.note_record(record.as_ref());
        self.cached
            .borrow_mut()
            .records
            .insert(key.clone(), record.clone());
        Ok(record)
    }

    /// Reads records that will be asked for one by one, in one trip to the store instead of one each. No more than
    /// [`CACHED_MAX`] of them stay at hand.
    pub(super) async fn prefetch(&self, keys: &[RecordKey]) -> Result<(), StoreError> {
        let missing: Vec<RecordKey> = {
            let mut cached = self.cached.borrow_mut();
            let missing = keys.iter().filter(|key| cached.records.get(*key).is_none());
            missing.take(CACHED_MAX).cloned().collect()
        };
        let read = if self.head.seq == 0 && !self.is_shared {
            vec![None; missing.len()]
        } else {
            self.store.get_many(&self.ledger, &missing).await?
        };
        let mut cached = self.cached.borrow_mut();
        for (key, record) in missing.into_iter().zip(read) {
            cached.records.insert(key, record);
        }
        Ok(())
    }

    /// Records under a prefix, as the store has them.
    pub(super) async fn scan(
        &self,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Record)>, StoreError> {
        let rows = self.store.scan(&self.ledger, prefix, after, limit).await?;
        for (_, record) in &rows {
            self.note_read(record.seq);
        }
        Ok(rows)
    }

    /// Entries of a channel, as the store has them.
    pub(super) async fn entries(
        &self,
        channel: &ChannelName,
        range: EntryRange,
    ) -> Result<Vec<ChannelEntry>, StoreError> {
        let entries = self.store.entries(&self.ledger, channel, range).await?;
        for entry in &entries {
            self.note_read(entry.seq);
        }
        Ok(entries)
    }

    /// Extent of some channels, in the order asked. Where others write and it had to be read, it may be newer than the
    /// head, and is noted as unsure: good for a write, which fails if it is, and for nothing else before [`Self::is_behind`]
    /// was asked.
    pub(super) async fn heads(
        &self,
        channels: &[ChannelName],
    ) -> Result<Vec<ChannelHead>, StoreError> {
        let mut known: Vec<Option<ChannelHead>> = Vec::with_capacity(channels.len());
        let mut missing = Vec::new();
        let mut is_unsure = false;
        {
            let mut cached = self.cached.borrow_mut();
            for channel in channels {
                let mut head = cached.heads.get(channel);
                if head.is_none() {
                    head = cached.unsure_heads.get(channel).copied();
                    is_unsure |= head.is_some();
                }
                if head.is_none() {
                    missing.push(channel.clone());
                }
                known.push(head);
            }
        }
        if !missing.is_empty() {
            let read = if self.head.seq == 0 && !self.is_shared {
                vec![ChannelHead::default(); missing.len()]
            } else {
                self.store.channel_heads(&self.ledger, &missing).await?
            };
            is_unsure |= self.is_shared;
            self.keep_heads(&missing, &read);
            let mut read = read.into_iter();
            for head in known.iter_mut().filter(|head| head.is_none()) {
                *head = read.next();
            }
        }
        if is_unsure {
            let mut read = self.read.get();
            read.has_unsure = true;
            self.read.set(read);
        }
        Ok(known.into_iter().flatten().collect())
    }

    fn keep_heads(&self, channels: &[ChannelName], heads: &[ChannelHead]) {
        let cached = &mut *self.cached.borrow_mut();
        if cached.unsure_heads.len() >= CACHED_MAX {
            cached.unsure_heads.clear();
        }
        for (channel, head) in channels.iter().zip(heads) {
            if self.is_shared {
                cached.unsure_heads.insert(channel.clone(), *head);
            } else {
                cached.heads.insert(channel.clone(), *head);
            }
        }
    }

    /// Nobody else has written since these extents were read, so they are as of the head.
    fn confirm_heads(&self) {
        let cached = &mut *self.cached.borrow_mut();
        for (channel, head) in cached.unsure_heads.drain() {
            cached.heads.insert(channel, head);
        }
    }

    /// What is remembered of an idempotency key.
    pub(super) async fn remembered(
        &self,
        subject: &Arc<str>,
        key: &Arc<str>,
    ) -> Result<Option<Remembered>, StoreError> {
        let pair = (Arc::clone(subject), Arc::clone(key));
        if let Some(found) = self.cached.borrow_mut().keys.get(&pair) {
            return Ok(Some(found));
        }
        if self.head.seq == 0 && !self.is_shared {
            return Ok(None);
        }
        self.store.idempotent(&self.ledger, subject, key).await
    }

    /// Takes in commits that this node wrote right behind its head: so nobody else wrote meanwhile.
    pub(super) fn apply_own(&mut self, sealed: &SealedCommit) -> Vec<S::Change> {
        self.confirm_heads();
        self.apply(sealed)
    }

    /// Takes in what another node wrote.
    pub(super) fn apply_foreign(&mut self, sealed: &SealedCommit) -> Vec<S::Change> {
        self.cached.get_mut().unsure_heads.clear();
        self.apply(sealed)
    }

    /// The changes of rights to be handed on with a commit: its own, ahead of what it says.
    #[cfg_attr(
        not(test),
        expect(
            clippy::unused_self,
            clippy::needless_pass_by_ref_mut,
            reason = "tests plant a bug here"
        )
    )]
    pub(super) fn due(&mut self, changes: Vec<S::Change>) -> Vec<S::Change> {
        #[cfg(test)]
        if super::planted::planted(super::planted::Bug::DeliverFirst) {
            self.late.push_back(changes);
            let is_late = self.late.len() > 2;
            return is_late
                .then(|| self.late.pop_front())
                .flatten()
                .unwrap_or_default();
        }
        changes
    }

    /// Takes in a durable commit; gives what it changed.
    fn apply(&mut self, sealed: &SealedCommit) -> Vec<S::Change> {
        let commit = &*sealed.commit;
        let cached = self.cached.get_mut();
        for change in &commit.records {
            let (index, seq) = (change.index.clone(), commit.seq);
            let record = change
                .value
                .clone()
                .map(|value| Record { seq, index, value });
            // What is resident is not kept a second time: after an import that would be all of a unit's people.
            if is_resident::<S>(&change.key) {
                cached.records.remove(&change.key);
            } else {
                cached.records.insert(change.key.clone(), record);
            }
        }
        for (channel, offset) in commit.entries.iter().flat_map(|entry| &entry.channels) {
            let head = match cached.heads.get(channel) {
                Some(head) => ChannelHead {
                    top: *offset,
                    ..head
                },
                None if *offset == 1 => ChannelHead { top: 1, trimmed: 0 },
                None => continue,
            };
            cached.heads.insert(channel.clone(), head);
        }
        remember(&mut cached.keys, commit);
        self.head = Head {
            seq: commit.seq,
            hash: sealed.hash,
            epoch: commit.epoch.clone(),
        };
        self.rings.push(commit);
        self.state.apply(commit)
    }

    /// Memory of what is kept for those who come back or ask again, reckoned.
    pub(super) fn kept_bytes(&self) -> usize {
        let cached = self.cached.borrow();
        self.rings.bytes()
            + cached.records.len() * RECORD_BYTES
            + cached.heads.len() * EXTENT_BYTES
            + cached.keys.len() * KEY_BYTES
    }

    /// Forgets what retention removed.
    pub(super) fn trimmed(&mut self, channel: &ChannelName, to: u64) {
        self.rings.trim(channel, to);
        let cached = self.cached.get_mut();
        cached.heads.remove(channel);
        cached.unsure_heads.remove(channel);
    }

    /// Looks what retention, perhaps another node's, has removed of what is kept at hand.
    pub(super) async fn look_at_trims(&mut self) -> Result<(), StoreError> {
        let channels = self.rings.channels(LOOK_CHANNELS);
        if channels.is_empty() {
            return Ok(());
        }
        let heads = self.store.channel_heads(&self.ledger, &channels).await?;
        for (channel, head) in channels.iter().zip(heads) {
            if head.trimmed > 0 {
                self.trimmed(channel, head.trimmed);
            }
        }
        Ok(())
    }

    /// A commit of this ledger that must be there and is not, or does not fit.
    pub(super) fn missing(&self, seq: u64) -> StoreError {
        let (ledger, place) = (self.ledger.as_str().into(), Place::Seq(seq));
        let what = "the commit is missing or does not follow the one before".into();
        StoreError::Damaged(Damaged {
            ledger,
            place,
            what,
        })
    }

    /// A record of this ledger that is there but is not what was written.
    pub(super) fn unreadable(&self) -> StoreError {
        damaged(&self.ledger, "a record does not have the expected shape")
    }
}

fn remember(keys: &mut Cache<SubjectKey, Remembered>, commit: &Commit) {
    if let Some(key) = &commit.idempotency {
        let pair = (Arc::clone(&commit.actor.subject), Arc::clone(&key.key));
        let (seq, fingerprint) = (commit.seq, key.fingerprint);
        keys.insert(
            pair,
            Remembered {
                seq,
                fingerprint,
                time_ms: commit.time_ms,
            },
        );
    }
}

async fn load_prefix<S: State>(
    ledger: &LedgerId,
    store: &dyn Store,
    prefix: &str,
    state: &mut S,
) -> Result<(), StoreError> {
    let mut after: Option<RecordKey> = None;
    loop {
        let page = store
            .scan(ledger, prefix, after.as_ref(), LOAD_PAGE)
            .await?;
        for some in page.chunks(LOADED_AT_ONCE) {
            for (key, record) in some {
                let loaded = state.load(key, &record.value);
                loaded.map_err(|damage| damaged(ledger, damage.reason))?;
            }
            // The shard has others to serve.
            tokio::task::yield_now().await;
        }
        // A short page is the last: asking for one more costs a cluster a read of each partition.
        match page.last() {
            Some((last, _)) if page.len() == LOAD_PAGE => after = Some(last.clone()),
            _ => return Ok(()),
        }
    }
}

fn damaged(ledger: &LedgerId, what: &str) -> StoreError {
    let ledger = ledger.as_str().into();
    StoreError::Damaged(Damaged {
        ledger,
        place: Place::Derived,
        what: what.into(),
    })
}

pub(super) fn missing_commit(ledger: &LedgerId, seq: u64) -> StoreError {
    let what = "the commit is missing or does not follow the one before".into();
    StoreError::Damaged(Damaged {
        ledger: ledger.as_str().into(),
        place: Place::Seq(seq),
        what,
    })
}

#[cfg(test)]
#[path = "base_tests.rs"]
mod tests;
