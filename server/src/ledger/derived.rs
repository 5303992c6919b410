//! What the rows derived from commits must look like, and the comparison with what is there.
//! Used by `verify` over a whole ledger and by the embedded store over its newest commits at start.

use std::sync::Arc;

use async_trait::async_trait;
use hashbrown::HashMap;

use super::{ChannelName, Commit, IndexKey, LedgerId, RecordKey};
use crate::store::{ChannelHead, Damaged, EntryRow, Place, Record, Remembered, Store, StoreError};

/// Rows compared at once.
const PAGE: usize = 1_000;

/// Where the rows are read from.
#[async_trait]
pub(crate) trait DerivedRows: Sync {
    async fn record(&self, id: &LedgerId, key: &RecordKey) -> Result<Option<Record>, StoreError>;

    async fn channel_head(
        &self,
        id: &LedgerId,
        name: &ChannelName,
    ) -> Result<ChannelHead, StoreError>;

    async fn entry_rows(
        &self,
        id: &LedgerId,
        name: &ChannelName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EntryRow>, StoreError>;

    async fn lookup(
        &self,
        index: &IndexKey,
        after: Option<&(LedgerId, RecordKey)>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, RecordKey)>, StoreError>;

    async fn idempotent(
        &self,
        id: &LedgerId,
        subject: &str,
        key: &str,
    ) -> Result<Option<Remembered>, StoreError>;
}

#[async_trait]
impl DerivedRows for Arc<dyn Store> {
    async fn record(&self, id: &LedgerId, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.get(id, key).await
    }

    async fn channel_head(
        &self,
        id: &LedgerId,
        name: &ChannelName,
    ) -> Result<ChannelHead, StoreError> {
        let heads = self.channel_heads(id, std::slice::from_ref(name)).await?;
        Ok(heads.first().copied().unwrap_or_default())
    }

    async fn entry_rows(
        &self,
        id: &LedgerId,
        name: &ChannelName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EntryRow>, StoreError> {
        Store::entry_rows(&**self, id, name, after, limit).await
    }

    async fn lookup(
        &self,
        index: &IndexKey,
        after: Option<&(LedgerId, RecordKey)>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, RecordKey)>, StoreError> {
        Store::lookup(&**self, index, after, limit).await
    }

    async fn idempotent(
        &self,
        id: &LedgerId,
        subject: &str,
        key: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        Store::idempotent(&**self, id, subject, key).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Value {
    seq: u64,
    sum: u32,
    len: usize,
}

impl Value {
    fn of(seq: u64, bytes: &[u8]) -> Self {
        Self {
            seq,
            sum: crc32c::crc32c(bytes),
            len: bytes.len(),
        }
    }
}

/// What the rows of one ledger must be after a run of commits.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// Commit, checksum and length of the value; `None` for a deleted record.
    records: HashMap<RecordKey, Option<Value>>,
    index: HashMap<(IndexKey, RecordKey), bool>,
    channels: HashMap<ChannelName, Vec<EntryRow>>,
    keys: HashMap<(Arc<str>, Arc<str>), Remembered>,
}

impl Expected {
    /// Takes in the next commit.
    pub(crate) fn add(&mut self, commit: &Commit) {
        for change in &commit.records {
            let value = change
                .value
                .as_ref()
                .map(|value| Value::of(commit.seq, value));
            self.records.insert(change.key.clone(), value);
            for key in &change.unindex {
                self.index.insert((key.clone(), change.key.clone()), false);
            }
            for key in &change.index {
                self.index.insert((key.clone(), change.key.clone()), true);
            }
        }
        for (entry, n) in commit.entries.iter().zip(0..) {
            for (channel, offset) in &entry.channels {
                let (seq, time_ms) = (commit.seq, entry.content.time_ms);
                let row = EntryRow {
                    offset: *offset,
                    seq,
                    n,
                    time_ms,
                };
                self.channels.entry(channel.clone()).or_default().push(row);
            }
        }
        if let Some(key) = &commit.idempotency {
            let (seq, fingerprint) = (commit.seq, key.fingerprint);
            let value = Remembered {
                seq,
                fingerprint,
                time_ms: commit.time_ms,
            };
            self.keys.insert(
                (Arc::clone(&commit.actor.subject), Arc::clone(&key.key)),
                value,
            );
        }
    }

    /// Compares the rows that no later commit changes, entries and idempotency keys, and forgets
    /// them, so that a long run of commits needs little memory. Idempotency keys older than
    /// `forgotten_before_ms` may be gone. Each channel and key gives at most one finding.
    pub(crate) async fn settle(
        &mut self,
        id: &LedgerId,
        rows: &dyn DerivedRows,
        forgotten_before_ms: u64,
    ) -> Vec<Damaged> {
        let mut found = Vec::new();
        for (name, wanted) in std::mem::take(&mut self.channels) {
            note(&mut found, channel(id, rows, &name, &wanted).await);
        }
        for ((subject, key), wanted) in std::mem::take(&mut self.keys) {
            if wanted.time_ms >= forgotten_before_ms {
                let there = rows.idempotent(id, &subject, &key).await;
                let same = there.map(|there| there == Some(wanted));
                note(
                    &mut found,
                    expect(id, wanted.seq, same, "an idempotency key is not kept"),
                );
            }
        }
        found
    }

    /// Compares everything. Right only after the ledger's last commit: an earlier one may have
    /// written what a later one changed.
    pub(crate) async fn compare(
        mut self,
        id: &LedgerId,
        rows: &dyn DerivedRows,
        forgotten_before_ms: u64,
    ) -> Vec<Damaged> {
        let mut found = self.settle(id, rows, forgotten_before_ms).await;
        for (key, wanted) in &self.records {
            note(&mut found, record(id, rows, key, *wanted).await);
        }
        for ((index, key), wanted) in &self.index {
            note(&mut found, index_row(id, rows, index, key, *wanted).await);
        }
        found
    }

    /// Whether some commit put this record.
    pub(crate) fn knows(&self, key: &RecordKey) -> bool {
        self.records.get(key).is_some_and(Option::is_some)
    }
}

async fn record(
    id: &LedgerId,
    rows: &dyn DerivedRows,
    key: &RecordKey,
    wanted: Option<Value>,
) -> Result<(), StoreError> {
    let there = rows.record(id, key).await?;
    let same = there.map(|there| Value::of(there.seq, &there.value)) == wanted;
    let seq = wanted.map_or(0, |value| value.seq);
    expect(
        id,
        seq,
        Ok(same),
        "a record is not as its last commit left it",
    )
}

async fn index_row(
    id: &LedgerId,
    rows: &dyn DerivedRows,
    index: &IndexKey,
    key: &RecordKey,
    wanted: bool,
) -> Result<(), StoreError> {
    let mut after: Option<(LedgerId, RecordKey)> = None;
    let mut there = false;
    loop {
        let page = rows.lookup(index, after.as_ref(), PAGE).await?;
        there |= page
            .iter()
            .any(|(ledger, record)| ledger == id && record == key);
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
    }
    expect(
        id,
        0,
        Ok(there == wanted),
        "an index row is not as its last commit left it",
    )
}

async fn channel(
    id: &LedgerId,
    rows: &dyn DerivedRows,
    name: &ChannelName,
    wanted: &[EntryRow],
) -> Result<(), StoreError> {
    let head = rows.channel_head(id, name).await?;
    let top = wanted.last().map_or(0, |row| row.offset);
    if head.top < top {
        return expect(id, 0, Ok(false), "a channel ends before its last entry");
    }
    let kept: Vec<_> = wanted
        .iter()
        .filter(|row| row.offset > head.trimmed)
        .collect();
    let Some(first) = kept.first() else {
        return Ok(());
    };
    let mut after = first.offset - 1;
    for page in kept.chunks(PAGE) {
        let there = rows.entry_rows(id, name, after, page.len()).await?;
        for (i, wanted) in page.iter().enumerate() {
            let same = there.get(i) == Some(wanted);
            expect(
                id,
                wanted.seq,
                Ok(same),
                "the row of an entry is not as its commit made it",
            )?;
        }
        after = page.last().map_or(after, |row| row.offset);
    }
    Ok(())
}

fn expect(
    id: &LedgerId,
    seq: u64,
    same: Result<bool, StoreError>,
    what: &str,
) -> Result<(), StoreError> {
    if same? {
        return Ok(());
    }
    let place = if seq == 0 {
        Place::Derived
    } else {
        Place::Seq(seq)
    };
    Err(StoreError::Damaged(Damaged {
        ledger: id.as_str().into(),
        place,
        what: what.into(),
    }))
}

fn note(found: &mut Vec<Damaged>, result: Result<(), StoreError>) {
    match result {
        Ok(()) => {}
        Err(StoreError::Damaged(damaged)) => found.push(damaged),
        Err(StoreError::Unavailable(what)) => {
            found.push(Damaged {
                ledger: "*".into(),
                place: Place::Files,
                what,
            });
        }
    }
}
