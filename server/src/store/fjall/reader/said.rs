//! What was said: commits, one after the other, and the entries that lie in their channels.

use std::sync::Arc;

use bytes::Bytes;

use super::super::fault::{at, derived};
use super::super::keys::{self, Parts, after_prefix};
use super::super::rows::{ChannelValue, EntryValue, Kind, open};
use super::{Reader, next, pair};
use crate::ledger::{ChannelName, LedgerId, SealedCommit};
use crate::store::{
    ChannelEntry, ChannelHead, Damaged, EntryRange, EntryRow, Order, Place, StoreError,
};

impl Reader<'_> {
    /// One commit that must be there.
    pub(in crate::store::fjall) fn commit(
        &self,
        id: &LedgerId,
        seq: u64,
    ) -> Result<SealedCommit, StoreError> {
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

    pub(in crate::store::fjall) fn commits_since(
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

    pub(in crate::store::fjall) fn channel_head(
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

    pub(in crate::store::fjall) fn entry_rows(
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

    pub(in crate::store::fjall) fn entries(
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

    pub(in crate::store::fjall) fn channels(
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
}

fn decode(id: &LedgerId, seq: u64, row: Bytes) -> Result<SealedCommit, StoreError> {
    let sealed = SealedCommit::decode(row).map_err(|error| at(id, seq, &error.to_string()))?;
    if sealed.commit.ledger != *id || sealed.commit.seq != seq {
        return Err(at(id, seq, "another commit lies in its place"));
    }
    Ok(sealed)
}
