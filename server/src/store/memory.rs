//! The reference store: plain maps behind a lock, gone with the process. It is what the other
//! backends are compared with, and what tests of other rooms run on. Written for being obviously
//! right, not for speed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    Anchor, Batch, ChannelEntry, ChannelHead, CommitError, Damaged, EntryRange, EntryRow, Head,
    Order, OutboxEnd, OutboxKey, Place, Record, Remembered, Store, StoreError, Trim,
};
use crate::ledger::{
    ChannelName, Commit, CommitHash, IdempotencyKey, IndexKey, LedgerId, RecordKey, SealedCommit,
};

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    ledgers: BTreeMap<LedgerId, Ledger>,
    index: BTreeSet<(IndexKey, LedgerId, RecordKey)>,
    pending: BTreeSet<OutboxKey>,
    refused: BTreeSet<OutboxKey>,
    closed: bool,
}

#[derive(Debug)]
struct Ledger {
    head: Head,
    anchor: Anchor,
    commits: BTreeMap<u64, SealedCommit>,
    channels: BTreeMap<ChannelName, Channel>,
    records: BTreeMap<RecordKey, Record>,
    keys: BTreeMap<(Arc<str>, Arc<str>), Remembered>,
}

#[derive(Debug, Default)]
struct Channel {
    head: ChannelHead,
    rows: BTreeMap<u64, EntryRow>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn open(&self) -> Result<MutexGuard<'_, Memory>, StoreError> {
        let memory = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.closed {
            return Err(StoreError::Unavailable("the store is closed".into()));
        }
        Ok(memory)
    }

    fn with<R>(
        &self,
        ledger: &LedgerId,
        read: impl FnOnce(&Ledger) -> R,
    ) -> Result<Option<R>, StoreError> {
        Ok(self.open()?.ledgers.get(ledger).map(read))
    }
}

impl Memory {
    fn write(&mut self, batch: &Batch) -> Result<(), CommitError> {
        batch.check(self.ledgers.get(&batch.ledger).map(|ledger| &ledger.head))?;
        for sealed in &batch.commits {
            self.derive(&sealed.commit);
            let (seq, hash) = (sealed.commit.seq, sealed.hash);
            let epoch = sealed.commit.epoch.clone();
            let ledger = self
                .ledgers
                .entry(batch.ledger.clone())
                .or_insert_with(Ledger::empty);
            ledger.head = Head { seq, hash, epoch };
            ledger.commits.insert(seq, sealed.clone());
        }
        Ok(())
    }

    fn derive(&mut self, commit: &Commit) {
        let ledger = self
            .ledgers
            .entry(commit.ledger.clone())
            .or_insert_with(Ledger::empty);
        for change in &commit.records {
            for key in &change.unindex {
                let row = (key.clone(), commit.ledger.clone(), change.key.clone());
                self.index.remove(&row);
            }
            for key in &change.index {
                self.index
                    .insert((key.clone(), commit.ledger.clone(), change.key.clone()));
            }
            match &change.value {
                Some(value) => {
                    let (index, value) = (change.index.clone(), value.clone());
                    let record = Record {
                        seq: commit.seq,
                        index,
                        value,
                    };
                    ledger.records.insert(change.key.clone(), record);
                }
                None => drop(ledger.records.remove(&change.key)),
            }
        }
        for (entry, n) in commit.entries.iter().zip(0..) {
            for (name, offset) in &entry.channels {
                let (offset, time_ms) = (*offset, entry.content.time_ms);
                let channel = ledger.channels.entry(name.clone()).or_default();
                channel.head.top = offset;
                channel.rows.insert(
                    offset,
                    EntryRow {
                        offset,
                        seq: commit.seq,
                        n,
                        time_ms,
                    },
                );
            }
        }
        if let Some(key) = &commit.idempotency {
            let pair = (Arc::clone(&commit.actor.subject), Arc::clone(&key.key));
            let (seq, fingerprint) = (commit.seq, key.fingerprint);
            ledger.keys.insert(
                pair,
                Remembered {
                    seq,
                    fingerprint,
                    time_ms: commit.time_ms,
                },
            );
        }
        for (_, n) in commit.outbox.iter().zip(0..) {
            let (source, seq) = (commit.ledger.clone(), commit.seq);
            self.pending.insert(OutboxKey { source, seq, n });
        }
    }
}

impl Ledger {
    fn empty() -> Self {
        let head = Head {
            seq: 0,
            hash: CommitHash::GENESIS,
            epoch: "".into(),
        };
        Self {
            head,
            anchor: Anchor::NONE,
            commits: BTreeMap::new(),
            channels: BTreeMap::new(),
            records: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }

    fn entry(&self, row: &EntryRow) -> Result<ChannelEntry, StoreError> {
        let sealed = self.commits.get(&row.seq);
        let entry = sealed.and_then(|sealed| sealed.commit.entries.get(row.n as usize));
        let entry = entry.ok_or_else(|| {
            let (what, place) = ("no such entry".into(), Place::Seq(row.seq));
            Damaged {
                ledger: "*".into(),
                place,
                what,
            }
        })?;
        Ok(ChannelEntry {
            offset: row.offset,
            seq: row.seq,
            entry: Arc::clone(entry),
        })
    }

    fn entries(
        &self,
        channel: &ChannelName,
        range: EntryRange,
    ) -> Result<Vec<ChannelEntry>, StoreError> {
        let Some(channel) = self.channels.get(channel) else {
            return Ok(Vec::new());
        };
        if range.from > range.to {
            return Ok(Vec::new());
        }
        let rows = channel
            .rows
            .range(range.from..=range.to)
            .map(|(_, row)| row);
        match range.order {
            Order::Ascending => rows.take(range.limit).map(|row| self.entry(row)).collect(),
            Order::Descending => rows
                .rev()
                .take(range.limit)
                .map(|row| self.entry(row))
                .collect(),
        }
    }

    fn trim(&mut self, trim: &Trim) {
        for (name, to) in &trim.channels {
            let Some(channel) = self.channels.get_mut(name) else {
                continue;
            };
            channel.head.trimmed = channel.head.trimmed.max((*to).min(channel.head.top));
            channel
                .rows
                .retain(|offset, _| *offset > channel.head.trimmed);
        }
        let to = trim.commits_to.min(self.head.seq.saturating_sub(1));
        if to > self.anchor.seq
            && let Some(last) = self.commits.get(&to)
        {
            self.anchor = Anchor {
                seq: to,
                hash: last.hash,
                ..self.anchor
            };
            self.commits.retain(|seq, _| *seq > to);
        }
        let forgotten = &mut self.anchor.forgotten_before_ms;
        *forgotten = (*forgotten).max(trim.forget_before_ms);
        self.keys.retain(|(_, key), value| {
            value.time_ms >= trim.forget_before_ms || IdempotencyKey::is_of_outbox(key)
        });
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn head(&self, ledger: &LedgerId) -> Result<Option<Head>, StoreError> {
        self.with(ledger, |ledger| ledger.head.clone())
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.open()?.write(&batch)
    }

    async fn commits_since(
        &self,
        ledger: &LedgerId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<SealedCommit>, StoreError> {
        let page = |ledger: &Ledger| {
            let rest = ledger.commits.range(after.saturating_add(1)..);
            rest.take(limit).map(|(_, sealed)| sealed.clone()).collect()
        };
        Ok(self.with(ledger, page)?.unwrap_or_default())
    }

    async fn anchor(&self, ledger: &LedgerId) -> Result<Anchor, StoreError> {
        Ok(self
            .with(ledger, |ledger| ledger.anchor)?
            .unwrap_or(Anchor::NONE))
    }

    async fn entries(
        &self,
        ledger: &LedgerId,
        channel: &ChannelName,
        range: EntryRange,
    ) -> Result<Vec<ChannelEntry>, StoreError> {
        self.with(ledger, |ledger| ledger.entries(channel, range))?
            .unwrap_or(Ok(Vec::new()))
    }

    async fn entry_rows(
        &self,
        ledger: &LedgerId,
        channel: &ChannelName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let rows = |ledger: &Ledger| {
            let channel = ledger.channels.get(channel)?;
            let rows = channel.rows.range(after.saturating_add(1)..);
            Some(rows.take(limit).map(|(_, row)| *row).collect())
        };
        Ok(self.with(ledger, rows)?.flatten().unwrap_or_default())
    }

    async fn channel_heads(
        &self,
        ledger: &LedgerId,
        channels: &[ChannelName],
    ) -> Result<Vec<ChannelHead>, StoreError> {
        let heads = self.with(ledger, |ledger| {
            let head = |name| {
                ledger
                    .channels
                    .get(name)
                    .map_or_else(ChannelHead::default, |c| c.head)
            };
            channels.iter().map(head).collect()
        })?;
        Ok(heads.unwrap_or_else(|| vec![ChannelHead::default(); channels.len()]))
    }

    async fn channels(
        &self,
        ledger: &LedgerId,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<ChannelName>, StoreError> {
        let page = |ledger: &Ledger| {
            let names = ledger
                .channels
                .keys()
                .filter(|name| after.is_none_or(|a| *name > a));
            names.take(limit).cloned().collect()
        };
        Ok(self.with(ledger, page)?.unwrap_or_default())
    }

    async fn get(&self, ledger: &LedgerId, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        Ok(self
            .with(ledger, |ledger| ledger.records.get(key).cloned())?
            .flatten())
    }

    async fn scan(
        &self,
        ledger: &LedgerId,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Record)>, StoreError> {
        let page = |ledger: &Ledger| {
            let rows = ledger
                .records
                .iter()
                .filter(|(key, _)| key.as_str().starts_with(prefix));
            let rows = rows.filter(|(key, _)| after.is_none_or(|after| *key > after));
            rows.take(limit)
                .map(|(key, record)| (key.clone(), record.clone()))
                .collect()
        };
        Ok(self.with(ledger, page)?.unwrap_or_default())
    }

    async fn lookup(
        &self,
        index: &IndexKey,
        after: Option<&(LedgerId, RecordKey)>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, RecordKey)>, StoreError> {
        let memory = self.open()?;
        let rows = memory.index.iter().filter(|(key, ..)| key == index);
        let rows = rows.map(|(_, ledger, key)| (ledger.clone(), key.clone()));
        Ok(rows
            .filter(|row| after.is_none_or(|after| row > after))
            .take(limit)
            .collect())
    }

    async fn idempotent(
        &self,
        ledger: &LedgerId,
        subject: &str,
        key: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        let pair = (subject.into(), key.into());
        Ok(self
            .with(ledger, |ledger| ledger.keys.get(&pair).copied())?
            .flatten())
    }

    async fn ledgers(
        &self,
        after: Option<&LedgerId>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, Head)>, StoreError> {
        let memory = self.open()?;
        let rows = memory
            .ledgers
            .iter()
            .filter(|(id, _)| after.is_none_or(|after| *id > after));
        Ok(rows
            .take(limit)
            .map(|(id, ledger)| (id.clone(), ledger.head.clone()))
            .collect())
    }

    async fn outbox_pending(
        &self,
        source: Option<&LedgerId>,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        let memory = self.open()?;
        let rows = memory
            .pending
            .iter()
            .filter(|key| source.is_none_or(|s| key.source == *s));
        Ok(rows
            .filter(|key| after.is_none_or(|after| *key > after))
            .take(limit)
            .cloned()
            .collect())
    }

    async fn outbox_refused(
        &self,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        let memory = self.open()?;
        let rows = memory
            .refused
            .iter()
            .filter(|key| after.is_none_or(|after| *key > after));
        Ok(rows.take(limit).cloned().collect())
    }

    async fn outbox_done(&self, item: &OutboxKey, end: OutboxEnd) -> Result<(), StoreError> {
        let mut memory = self.open()?;
        if memory.pending.remove(item) && end == OutboxEnd::Refused {
            memory.refused.insert(item.clone());
        }
        Ok(())
    }

    async fn trim(&self, trim: Trim) -> Result<(), StoreError> {
        if let Some(ledger) = self.open()?.ledgers.get_mut(&trim.ledger) {
            ledger.trim(&trim);
        }
        Ok(())
    }

    fn damage(&self) -> Vec<Damaged> {
        Vec::new()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.open()?.closed = true;
        Ok(())
    }
}
