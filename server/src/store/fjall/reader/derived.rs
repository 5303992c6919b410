//! What commits left behind to be found: records, index, idempotency keys, the outbox.

use bytes::Bytes;

use super::super::fault::{derived, somewhere};
use super::super::keys::{self, Parts, after_prefix};
use super::super::rows::{IndexValue, KeyValue, Kind, OutboxValue, RecordValue, open};
use super::{Reader, next, pair};
use crate::ledger::{IndexKey, LedgerId, RecordKey};
use crate::store::{OutboxKey, Record, Remembered, StoreError};

impl Reader<'_> {
    pub(in crate::store::fjall) fn record(
        &self,
        id: &LedgerId,
        record: &RecordKey,
    ) -> Result<Option<Record>, StoreError> {
        let key = keys::record(id, record.as_str());
        let value: Option<RecordValue> = self.row(id, &self.files.records, Kind::Record, &key)?;
        Ok(value.map(RecordValue::read))
    }

    pub(in crate::store::fjall) fn scan(
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

    pub(in crate::store::fjall) fn lookup(
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

    pub(in crate::store::fjall) fn idempotent(
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
    pub(in crate::store::fjall) fn keys_before(
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

    pub(in crate::store::fjall) fn outbox(
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
}
