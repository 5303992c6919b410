//! Reads, all on a snapshot of the files, all checked: a row must have its checksum, lie where it
//! belongs, and stand next to its neighbours without a gap.
//!
//! - here: heads, and how a row is read. `said`: commits and entries. `derived`: what is found by
//!   key.

mod derived;
mod said;

use bytes::Bytes;
use fjall::{Keyspace, Readable, Snapshot};
use prost::Message;

use super::cache::CommitCache;
use super::fault::{derived, engine, somewhere};
use super::files::Files;
use super::keys::{self, Parts};
use super::rows::{HeadValue, Kind, open};
use crate::ledger::LedgerId;
use crate::store::{Anchor, Head, StoreError};

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

fn pair(guard: fjall::Guard) -> Result<Row, StoreError> {
    let (key, value) = guard.into_inner().map_err(|error| engine(&error))?;
    Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
}

/// The smallest key above this one.
fn next(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}
