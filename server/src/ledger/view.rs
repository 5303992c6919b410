//! What a job sees and stages: the resident state, records, channels, and over them what earlier
//! jobs of the same batch and the job itself staged. Nothing staged is visible to anybody else
//! before it is durable.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::base::Base;
use super::{
    Actor, ChannelName, Content, IndexKey, LedgerId, OutboxItem, RecordChange, RecordKey, Refusal,
    State,
};
use crate::store::{ChannelEntry, EntryRange, Record, StoreError};

/// Most records one `scan` gives: a page, so that a job stays short.
pub const SCAN_LIMIT_MAX: usize = 1_000;

/// A job's view of the ledger it runs on.
pub struct View<'a, S: State> {
    base: &'a Base<S>,
    earlier: &'a Overlay,
    actor: &'a Actor,
    now_ms: u64,
    staged: Staged,
    failure: RefCell<Option<StoreError>>,
}

/// What earlier jobs of a batch staged and will be in the store before this job is.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    pub(super) records: BTreeMap<RecordKey, Option<Record>>,
    pub(super) tops: std::collections::HashMap<ChannelName, u64>,
}

/// What one job staged.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) records: BTreeMap<RecordKey, RecordChange>,
    pub(super) entries: Vec<(Vec<ChannelName>, Content)>,
    pub(super) outbox: Vec<OutboxItem>,
}

impl Staged {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.entries.is_empty() && self.outbox.is_empty()
    }
}

impl<'a, S: State> View<'a, S> {
    pub(super) fn new(
        base: &'a Base<S>,
        earlier: &'a Overlay,
        actor: &'a Actor,
        now_ms: u64,
    ) -> Self {
        let failure = RefCell::new(None);
        Self {
            base,
            earlier,
            actor,
            now_ms,
            staged: Staged::default(),
            failure,
        }
    }

    pub(super) fn into_staged(self) -> (Staged, Option<StoreError>) {
        (self.staged, self.failure.into_inner())
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &LedgerId {
        &self.base.ledger
    }

    /// The resident state: everything durable. What earlier jobs of the batch changed of resident
    /// records is in it too, because such a job ends its batch.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.base.state
    }

    /// The time of the commit, milliseconds since 1970 (UTC).
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Who calls.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        self.actor
    }

    /// One record, as JSON.
    ///
    /// # Errors
    /// When the store fails or the record does not have this shape.
    pub async fn get<T: DeserializeOwned>(&self, key: &RecordKey) -> Result<Option<T>, Refusal> {
        let value = self.get_raw(key).await?;
        value.map(|value| self.decode(&value)).transpose()
    }

    /// One record's bytes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get_raw(&self, key: &RecordKey) -> Result<Option<Bytes>, Refusal> {
        if let Some(change) = self.staged.records.get(key) {
            return Ok(change.value.clone());
        }
        Ok(self.committed(key).await?.map(|record| record.value))
    }

    /// Fetches records that the job will get or put one by one, in one trip to the store.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn prefetch(&self, keys: &[RecordKey]) -> Result<(), Refusal> {
        let fetched = self.base.prefetch(keys).await;
        fetched.map_err(|error| self.fail(error))
    }

    /// Records whose key starts with `prefix`, after `after`, as JSON, at most `limit` (cut to
    /// [`SCAN_LIMIT_MAX`]).
    ///
    /// # Errors
    /// When the store fails or a record does not have this shape.
    pub async fn scan<T: DeserializeOwned>(
        &self,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, T)>, Refusal> {
        let rows = self.scan_raw(prefix, after, limit).await?;
        rows.into_iter()
            .map(|(key, value)| Ok((key, self.decode(&value)?)))
            .collect()
    }

    /// Like [`View::scan`], bytes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn scan_raw(
        &self,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Bytes)>, Refusal> {
        let limit = limit.min(SCAN_LIMIT_MAX);
        let over = self.changes_under(prefix, after);
        // Each change can hide at most one stored row, so this many always suffice.
        let wanted = limit + over.len();
        let stored = self.base.scan(prefix, after, wanted).await;
        let stored = stored.map_err(|error| self.fail(error))?;
        let mut rows: BTreeMap<RecordKey, Bytes> = stored
            .into_iter()
            .map(|(key, record)| (key, record.value))
            .collect();
        for (key, value) in over {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    /// Puts a record that stands under no index key, as JSON. A record key is written either
    /// always with this or always with [`View::put_indexed`].
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub fn put<T: Serialize>(&mut self, key: &RecordKey, value: &T) -> Result<(), Refusal> {
        let value = encode(value)?;
        self.put_raw(key, value);
        Ok(())
    }

    /// Like [`View::put`], bytes.
    pub fn put_raw(&mut self, key: &RecordKey, value: Bytes) {
        self.stage(key, Some(value), Vec::new(), Vec::new());
    }

    /// Puts a record that can be found under index keys, as JSON. Index keys it had before and
    /// has no more are removed.
    ///
    /// # Errors
    /// When the store fails or the value cannot be written as JSON.
    pub async fn put_indexed<T: Serialize>(
        &mut self,
        key: &RecordKey,
        value: &T,
        index: Vec<IndexKey>,
    ) -> Result<(), Refusal> {
        let value = encode(value)?;
        let old = self
            .committed(key)
            .await?
            .map(|record| record.index)
            .unwrap_or_default();
        let unindex = old.into_iter().filter(|old| !index.contains(old)).collect();
        self.stage(key, Some(value), index, unindex);
        Ok(())
    }

    /// Deletes a record with its index keys. Deleting what is not there is fine.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&mut self, key: &RecordKey) -> Result<(), Refusal> {
        let Some(old) = self.committed(key).await? else {
            self.staged.records.remove(key);
            return Ok(());
        };
        self.stage(key, None, Vec::new(), old.index);
        Ok(())
    }

    /// Appends one content to channels of this ledger. A channel named twice gets it once;
    /// no channels at all is nothing.
    pub fn append(&mut self, channels: impl IntoIterator<Item = ChannelName>, content: Content) {
        let mut channels: Vec<ChannelName> = channels.into_iter().collect();
        channels.sort_unstable();
        channels.dedup();
        #[cfg(feature = "broken")]
        channels.retain(|_| !crate::broken::strikes(crate::broken::Way::DropQuietly));
        if !channels.is_empty() {
            let content = Content {
                time_ms: self.now_ms,
                ..content
            };
            self.staged.entries.push((channels, content));
        }
    }

    /// Hands work to another ledger: it will run `operation` with `input` there, exactly once in
    /// effect, after this commit is durable.
    pub fn outbox(&mut self, to: &LedgerId, operation: &str, input: Bytes) {
        self.staged.outbox.push(OutboxItem {
            to: to.clone(),
            operation: operation.into(),
            input,
        });
    }

    /// The next number of a kind in this ledger, from 1, never given twice. The counter is the
    /// record `counter/KIND`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next_number(&mut self, kind: &str) -> Result<u64, Refusal> {
        let key = RecordKey::from(format!("counter/{kind}"));
        let last: u64 = self.get(&key).await?.unwrap_or(0);
        self.put(&key, &(last + 1))?;
        Ok(last + 1)
    }

    /// A new object id of this ledger, `G10001.t5` for kind `t`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next_id(&mut self, kind: &str) -> Result<String, Refusal> {
        let number = self.next_number(kind).await?;
        Ok(format!("{}.{kind}{number}", self.base.ledger))
    }

    /// Offset of the last entry of a channel, with what earlier jobs of the batch appended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn channel_top(&self, channel: &ChannelName) -> Result<u64, Refusal> {
        if let Some(top) = self.earlier.tops.get(channel) {
            return Ok(*top);
        }
        let heads = self.base.heads(std::slice::from_ref(channel)).await;
        let heads = heads.map_err(|error| self.fail(error))?;
        Ok(heads.first().map_or(0, |head| head.top))
    }

    /// Durable entries of a channel (what earlier jobs of the batch appended is not among them).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn entries(
        &self,
        channel: &ChannelName,
        range: EntryRange,
    ) -> Result<Vec<ChannelEntry>, Refusal> {
        let entries = self.base.entries(channel, range).await;
        entries.map_err(|error| self.fail(error))
    }

    /// The record as it will be in the store before this job's commit.
    async fn committed(&self, key: &RecordKey) -> Result<Option<Record>, Refusal> {
        if let Some(record) = self.earlier.records.get(key) {
            return Ok(record.clone());
        }
        self.base
            .record(key)
            .await
            .map_err(|error| self.fail(error))
    }

    /// Changes staged by this and earlier jobs under a prefix, later ones winning.
    fn changes_under(
        &self,
        prefix: &str,
        after: Option<&RecordKey>,
    ) -> BTreeMap<RecordKey, Option<Bytes>> {
        let start = RecordKey::new(prefix);
        let inside = |key: &RecordKey| {
            key.as_str().starts_with(prefix) && after.is_none_or(|after| key > after)
        };
        let earlier = self.earlier.records.range(start.clone()..);
        let earlier = earlier.take_while(|(key, _)| key.as_str().starts_with(prefix));
        let earlier =
            earlier.map(|(key, r)| (key.clone(), r.as_ref().map(|record| record.value.clone())));
        let own = self.staged.records.range(start..);
        let own = own.take_while(|(key, _)| key.as_str().starts_with(prefix));
        let own = own.map(|(key, change)| (key.clone(), change.value.clone()));
        earlier.chain(own).filter(|(key, _)| inside(key)).collect()
    }

    fn stage(
        &mut self,
        key: &RecordKey,
        value: Option<Bytes>,
        index: Vec<IndexKey>,
        unindex: Vec<IndexKey>,
    ) {
        let change = RecordChange {
            key: key.clone(),
            value,
            index,
            unindex,
        };
        self.staged.records.insert(key.clone(), change);
    }

    fn decode<T: DeserializeOwned>(&self, value: &[u8]) -> Result<T, Refusal> {
        serde_json::from_slice(value).map_err(|_| self.fail(self.base.unreadable()))
    }

    /// Keeps the store's error for the call's answer; the refusal only ends the job.
    fn fail(&self, error: StoreError) -> Refusal {
        *self.failure.borrow_mut() = Some(error);
        Refusal::temporary(100, "error.internal", "the store failed")
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, Refusal> {
    let encoded = serde_json::to_vec(value);
    encoded
        .map(Bytes::from)
        .map_err(|_| Refusal::new(100, "error.internal", "a record cannot be written as JSON"))
}
