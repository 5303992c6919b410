//! Reads, all on a snapshot of the files, all checked: a row must have its checksum, lie where it
//! belongs, and stand next to its neighbours without a gap.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fjall::{Keyspace, Readable, Snapshot};
use prost::Message;

use super::files::Files;
use super::keys::{self, Parts, after_prefix};
use super::rows::{
    ChannelValue, EntryValue, HeadValue, IndexValue, KeyValue, Kind, OutboxValue, RecordValue, open,
};
use crate::ledger::{Cache, ChannelName, IndexKey, LedgerId, RecordKey, SealedCommit};
use crate::store::{
    Anchor, ChannelEntry, ChannelHead, Damaged, EntryRange, EntryRow, Head, Order, OutboxKey,
    Place, Record, Remembered, StoreError,
};

/// Decoded commits kept (up to twice this), so that reading a list does not decode its commits
/// again and again.
const COMMITS_CACHED: usize = 512;

/// Larger commits are not kept: 1,024 of this size are 64 MiB.
const CACHED_BYTES_MAX: usize = 64 << 10;

/// Decoded commits by ledger and sequence number.
pub(super) struct CommitCache(Mutex<Cache<(LedgerId, u64), SealedCommit>>);

impl CommitCache {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Cache::new(COMMITS_CACHED)))
    }

    fn find(&self, key: &(LedgerId, u64)) -> Option<SealedCommit> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
    }

    fn keep(&self, key: (LedgerId, u64), sealed: &SealedCommit) {
        if sealed.row.len() <= CACHED_BYTES_MAX {
            let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            cache.insert(key, sealed.clone());
        }
    }
}

/// A consistent look at the files.
pub(super) struct Reader<'a> {
    files: &'a Files,
    cache: &'a CommitCache,
    snapshot: Snapshot,
}

type Row = (Bytes, Bytes);

impl<'a> Reader<'a> {
    pub(super) fn new(files: &'a Files, cache: &'a CommitCache) -> Self {
        Self {
            files,
            cache,
            snapshot: files.db.snapshot(),
        }
    }

    pub(super) fn head(&self, id: &LedgerId) -> Result<Option<(Head, Anchor)>, StoreError> {
        let key = keys::ledger(id);
        let value: Option<HeadValue> = self.row(id, &self.files.heads, Kind::Head, &key)?;
        let read = |value: HeadValue| value.read().map_err(|what| derived(id, what));
        value.map(read).transpose()
    }

    /// The names of all ledgers, whatever their heads say.
    pub(super) fn ledger_names(&self) -> Result<Vec<LedgerId>, StoreError> {
        let mut names = Vec::new();
        for row in self.range(&self.files.heads, Vec::new(), None) {
            let (key, _) = pair(row)?;
            let name = Parts(&key).ledger();
            names.push(name.ok_or_else(|| somewhere("the key of a head is unreadable"))?);
        }
        Ok(names)
    }

    pub(super) fn ledgers(
        &self,
        after: Option<&LedgerId>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, Head)>, StoreError> {
        let start = after.map_or_else(Vec::new, |id| next(keys::ledger(id)));
        let mut found = Vec::new();
        for row in self.range(&self.files.heads, start, None).take(limit) {
            let (key, value) = pair(row)?;
            let mut parts = Parts(&key);
            let id = parts
                .ledger()
                .ok_or_else(|| somewhere("the key of a head is unreadable"))?;
            let value: HeadValue =
                open(Kind::Head, &key, &value).map_err(|what| derived(&id, what))?;
            let (head, _) = value.read().map_err(|what| derived(&id, what))?;
            found.push((id, head));
        }
        Ok(found)
    }

    /// One commit that must be there.
    pub(super) fn commit(&self, id: &LedgerId, seq: u64) -> Result<SealedCommit, StoreError> {
        let place = (id.clone(), seq);
        if let Some(sealed) = self.cache.find(&place) {
            return Ok(sealed);
        }
        let row = self.get(&self.files.commits, &keys::commit(id, seq))?;
        let row = row.ok_or_else(|| at(id, seq, "the commit is missing"))?;
        let sealed = decode(id, seq, row)?;
        self.cache.keep(place, &sealed);
        Ok(sealed)
    }

    pub(super) fn commits_since(
        &self,
        id: &LedgerId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<SealedCommit>, StoreError> {
        let Some((head, anchor)) = self.head(id)? else {
            return Ok(Vec::new());
        };
        let first = after.max(anchor.seq).saturating_add(1);
        let mut prev = (first == anchor.seq + 1).then_some(anchor.hash);
        let (start, end) = (keys::commit(id, first), after_prefix(&keys::ledger(id)));
        let mut found = Vec::new();
        let mut rows = self.range(&self.files.commits, start, end);
        for seq in (first..=head.seq).take(limit) {
            let (key, row) = match rows.next() {
                Some(row) => pair(row)?,
                None => return Err(at(id, seq, "the commit is missing")),
            };
            if *key != keys::commit(id, seq) {
                return Err(at(id, seq, "the commit is missing"));
            }
            let sealed = decode(id, seq, row)?;
            if prev.is_some_and(|prev| prev != sealed.commit.prev_hash) {
                return Err(at(id, seq, "the hash chain is broken"));
            }
            if seq == head.seq && sealed.hash != head.hash {
                return Err(at(id, seq, "the last commit is not the one the head names"));
            }
            prev = Some(sealed.hash);
            found.push(sealed);
        }
        Ok(found)
    }

    pub(super) fn channel_head(
        &self,
        id: &LedgerId,
        name: &ChannelName,
    ) -> Result<ChannelHead, StoreError> {
        let prefix = keys::channel(id, name);
        let value = self.row(id, &self.files.channels, Kind::Channel, &prefix)?;
        let Some(ChannelValue { trimmed }) = value else {
            return Ok(ChannelHead::default());
        };
        let end = after_prefix(&prefix);
        let top = match self.range(&self.files.entries, prefix, end).next_back() {
            None => trimmed,
            Some(row) => {
                let (key, row) = pair(row)?;
                self.entry_row(id, &key, &row)?.offset
            }
        };
        if top < trimmed {
            return Err(derived(id, "a channel ends before it begins"));
        }
        Ok(ChannelHead { top, trimmed })
    }

    pub(super) fn entry_rows(
        &self,
        id: &LedgerId,
        name: &ChannelName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let from = after.saturating_add(1);
        let range = EntryRange {
            from,
            to: u64::MAX,
            limit,
            order: Order::Ascending,
        };
        self.rows_in(id, name, range)
    }

    pub(super) fn entries(
        &self,
        id: &LedgerId,
        name: &ChannelName,
        range: EntryRange,
    ) -> Result<Vec<ChannelEntry>, StoreError> {
        let rows = self.rows_in(id, name, range)?;
        rows.into_iter()
            .map(|row| self.body(id, name, row))
            .collect()
    }

    /// Rows of a channel, dense, complete at both ends.
    fn rows_in(
        &self,
        id: &LedgerId,
        name: &ChannelName,
        range: EntryRange,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let head = self.channel_head(id, name)?;
        let (from, to) = (range.from.max(head.trimmed + 1), range.to.min(head.top));
        if from > to {
            return Ok(Vec::new());
        }
        let (start, end) = (keys::entry(id, name, from), next(keys::entry(id, name, to)));
        let mut rows = self.range(&self.files.entries, start, Some(end));
        let count = usize::try_from(to - from + 1)
            .unwrap_or(usize::MAX)
            .min(range.limit);
        let mut found = Vec::with_capacity(count.min(1_024));
        for i in 0..count as u64 {
            let (row, offset) = match range.order {
                Order::Ascending => (rows.next(), from + i),
                Order::Descending => (rows.next_back(), to - i),
            };
            let gap = || Damaged {
                ledger: id.as_str().into(),
                place: Place::Offset(offset),
                what: "the row of an entry is missing".into(),
            };
            let (key, value) = pair(row.ok_or_else(gap)?)?;
            let row = self.entry_row(id, &key, &value)?;
            if row.offset != offset {
                return Err(gap().into());
            }
            found.push(row);
        }
        Ok(found)
    }

    fn entry_row(&self, id: &LedgerId, key: &[u8], row: &[u8]) -> Result<EntryRow, StoreError> {
        let offset = key
            .last_chunk::<8>()
            .map(|bytes| u64::from_be_bytes(*bytes));
        let offset = offset.ok_or_else(|| derived(id, "the key of an entry is unreadable"))?;
        let value: EntryValue = open(Kind::Entry, key, row).map_err(|what| Damaged {
            ledger: id.as_str().into(),
            place: Place::Offset(offset),
            what: what.into(),
        })?;
        Ok(EntryRow {
            offset,
            seq: value.seq,
            n: value.n,
            time_ms: value.time_ms,
        })
    }

    /// The entry a row stands for; it must name this channel and offset itself.
    fn body(
        &self,
        id: &LedgerId,
        name: &ChannelName,
        row: EntryRow,
    ) -> Result<ChannelEntry, StoreError> {
        let sealed = self.commit(id, row.seq)?;
        let entry = sealed.commit.entries.get(row.n as usize);
        let entry = entry.filter(|entry| {
            entry
                .channels
                .iter()
                .any(|(channel, offset)| channel == name && *offset == row.offset)
        });
        let entry = entry.ok_or_else(|| at(id, row.seq, "the commit lacks an entry of a row"))?;
        Ok(ChannelEntry {
            offset: row.offset,
            seq: row.seq,
            entry: Arc::clone(entry),
        })
    }

    pub(super) fn channels(
        &self,
        id: &LedgerId,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<ChannelName>, StoreError> {
        let prefix = keys::ledger(id);
        let end = after_prefix(&prefix);
        let start = after.map_or(prefix, |name| next(keys::channel(id, name)));
        let mut found = Vec::new();
        for row in self.range(&self.files.channels, start, end).take(limit) {
            let (key, value) = pair(row)?;
            let _: ChannelValue =
                open(Kind::Channel, &key, &value).map_err(|what| derived(id, what))?;
            let mut parts = Parts(&key);
            let name = parts.ledger().and_then(|_| parts.channel());
            found.push(name.ok_or_else(|| derived(id, "the key of a channel is unreadable"))?);
        }
        Ok(found)
    }

    pub(super) fn record(
        &self,
        id: &LedgerId,
        record: &RecordKey,
    ) -> Result<Option<Record>, StoreError> {
        let key = keys::record(id, record.as_str());
        let value: Option<RecordValue> = self.row(id, &self.files.records, Kind::Record, &key)?;
        Ok(value.map(RecordValue::read))
    }

    pub(super) fn scan(
        &self,
        id: &LedgerId,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Record)>, StoreError> {
        let first = keys::record(id, prefix);
        let end = after_prefix(&first);
        let after = after.map(|record| next(keys::record(id, record.as_str())));
        let start = after.map_or(first.clone(), |after| after.max(first));
        let own = keys::ledger(id).len();
        let mut found = Vec::new();
        for row in self.range(&self.files.records, start, end).take(limit) {
            let (key, value) = pair(row)?;
            let name = key.get(own..).and_then(|rest| Parts(rest).rest());
            let name = name.ok_or_else(|| derived(id, "the key of a record is unreadable"))?;
            let value: RecordValue =
                open(Kind::Record, &key, &value).map_err(|what| derived(id, what))?;
            found.push((RecordKey::new(name), value.read()));
        }
        Ok(found)
    }

    pub(super) fn lookup(
        &self,
        index: &IndexKey,
        after: Option<&(LedgerId, RecordKey)>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, RecordKey)>, StoreError> {
        let prefix = keys::index(index);
        let (own, end) = (prefix.len(), after_prefix(&prefix));
        let after = after.map(|(id, record)| next(keys::index_row(index, id, record)));
        let start = after.unwrap_or(prefix);
        let mut found = Vec::new();
        for row in self.range(&self.files.index, start, end).take(limit) {
            let (key, value) = pair(row)?;
            let mut parts = Parts(key.get(own..).unwrap_or_default());
            let (id, record) = (parts.ledger(), parts.rest());
            let pair = id.zip(record.map(RecordKey::new));
            let pair = pair.ok_or_else(|| somewhere("the key of an index row is unreadable"))?;
            let _: IndexValue =
                open(Kind::Index, &key, &value).map_err(|what| derived(&pair.0, what))?;
            found.push(pair);
        }
        Ok(found)
    }

    pub(super) fn idempotent(
        &self,
        id: &LedgerId,
        subject: &str,
        key: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        let key = keys::idempotency(id, subject, key);
        let value: Option<KeyValue> = self.row(id, &self.files.keys, Kind::Key, &key)?;
        value
            .map(|value| value.read().map_err(|what| derived(id, what)))
            .transpose()
    }

    /// Keys of what is remembered of callers' calls older than a time, at most `limit`. What came
    /// from outboxes is remembered for good: nobody knows how late an item may come again.
    pub(super) fn keys_before(
        &self,
        id: &LedgerId,
        before_ms: u64,
        limit: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let prefix = keys::ledger(id);
        let end = after_prefix(&prefix);
        let mut found = Vec::new();
        for row in self.range(&self.files.keys, prefix, end) {
            let (key, value) = pair(row)?;
            let value: KeyValue =
                open(Kind::Key, &key, &value).map_err(|what| derived(id, what))?;
            let time_ms = value.read().map_err(|what| derived(id, what))?.time_ms;
            if time_ms < before_ms && !keys::is_of_outbox(&key) {
                found.push(key);
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn outbox(
        &self,
        source: Option<&LedgerId>,
        after: Option<&OutboxKey>,
        limit: usize,
        refused: bool,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        let prefix = source.map(keys::ledger).unwrap_or_default();
        let end = after_prefix(&prefix);
        let start = after.map_or(prefix.clone(), |item| next(keys::outbox(item)).max(prefix));
        let mut found = Vec::new();
        for row in self.range(&self.files.outbox, start, end) {
            if found.len() >= limit {
                break;
            }
            let (key, value) = pair(row)?;
            let mut parts = Parts(&key);
            let item = parts.ledger().zip(parts.number()).zip(parts.small());
            let ((source, seq), n) =
                item.ok_or_else(|| somewhere("the key of an outbox row is unreadable"))?;
            let value: OutboxValue =
                open(Kind::Outbox, &key, &value).map_err(|what| derived(&source, what))?;
            if value.refused == refused {
                found.push(OutboxKey { source, seq, n });
            }
        }
        Ok(found)
    }

    fn row<T: Message + Default>(
        &self,
        id: &LedgerId,
        keyspace: &Keyspace,
        kind: Kind,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        let row = self.get(keyspace, key)?;
        row.map(|row| open(kind, key, &row).map_err(|what| derived(id, what)))
            .transpose()
    }

    fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let row = self
            .snapshot
            .get(keyspace, key)
            .map_err(|error| engine(&error))?;
        Ok(row.map(|row| Bytes::copy_from_slice(&row)))
    }

    fn range(
        &self,
        keyspace: &Keyspace,
        start: Vec<u8>,
        end: Option<Vec<u8>>,
    ) -> impl DoubleEndedIterator<Item = fjall::Guard> + use<> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let empty = end.as_ref().is_some_and(|end| *end <= start);
        let end = end.map_or(Unbounded, Excluded);
        let range = if empty {
            (Included(start.clone()), Excluded(start))
        } else {
            (Included(start), end)
        };
        self.snapshot.range(keyspace, range)
    }
}

/// The smallest key above this one.
fn next(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

fn pair(guard: fjall::Guard) -> Result<Row, StoreError> {
    let (key, value) = guard.into_inner().map_err(|error| engine(&error))?;
    Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
}

fn decode(id: &LedgerId, seq: u64, row: Bytes) -> Result<SealedCommit, StoreError> {
    let sealed = SealedCommit::decode(row).map_err(|error| at(id, seq, &error.to_string()))?;
    if sealed.commit.ledger != *id || sealed.commit.seq != seq {
        return Err(at(id, seq, "another commit lies in its place"));
    }
    Ok(sealed)
}

pub(super) fn at(id: &LedgerId, seq: u64, what: &str) -> StoreError {
    let ledger = id.as_str().into();
    StoreError::Damaged(Damaged {
        ledger,
        place: Place::Seq(seq),
        what: what.into(),
    })
}

pub(super) fn derived(id: &LedgerId, what: &str) -> StoreError {
    let ledger = id.as_str().into();
    StoreError::Damaged(Damaged {
        ledger,
        place: Place::Derived,
        what: what.into(),
    })
}

fn somewhere(what: &str) -> StoreError {
    let ledger = "*".into();
    StoreError::Damaged(Damaged {
        ledger,
        place: Place::Derived,
        what: what.into(),
    })
}

/// What the storage engine says: trouble with the disk is one thing, with what lies on it another.
pub(super) fn engine(error: &fjall::Error) -> StoreError {
    let text = plain(error);
    if let fjall::Error::Poisoned | fjall::Error::Locked = error {
        return StoreError::Unavailable(text);
    }
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match io(error).map(std::io::Error::kind) {
        // A file that ends early or holds nonsense is damage; everything else may pass.
        Some(kind) if !matches!(kind, InvalidData | InvalidInput | UnexpectedEof) => {
            StoreError::Unavailable(text)
        }
        _ => StoreError::Damaged(Damaged {
            ledger: "*".into(),
            place: Place::Files,
            what: text,
        }),
    }
}

fn io(error: &fjall::Error) -> Option<&std::io::Error> {
    match error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => Some(io),
        _ => None,
    }
}

/// An error of the storage engine for people: what the system says, where it said something.
pub(super) fn plain(error: &fjall::Error) -> Arc<str> {
    io(error)
        .map_or_else(|| error.to_string(), ToString::to_string)
        .into()
}
