//! The stored shape of a commit, version 1: protobuf messages and their conversion to and from
//! [`Commit`]. Field numbers are frozen.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::codec::DecodeError;
use super::{
    Actor, Audience, ChannelName, Commit, Content, Entry, IdempotencyKey, IndexKey, LedgerId,
    OutboxItem, Publisher, RecordChange, RecordKey,
};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HeaderRow {
    #[prost(string, tag = "1")]
    pub(super) ledger: String,
    #[prost(uint64, tag = "2")]
    pub(super) seq: u64,
    #[prost(string, tag = "3")]
    pub(super) epoch: String,
    #[prost(uint64, tag = "4")]
    pub(super) time_ms: u64,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) id: Bytes,
    #[prost(string, tag = "6")]
    subject: String,
    #[prost(string, optional, tag = "7")]
    profile: Option<String>,
    #[prost(string, tag = "8")]
    door: String,
    #[prost(string, tag = "9")]
    pub(super) operation: String,
    #[prost(bytes = "bytes", tag = "10")]
    pub(super) prev_hash: Bytes,
    #[prost(uint64, tag = "11")]
    pub(super) body_len: u64,
    #[prost(bytes = "bytes", tag = "12")]
    pub(super) body_digest: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BodyRow {
    #[prost(message, optional, tag = "1")]
    idempotency: Option<IdempotencyRow>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) outcome: Bytes,
    #[prost(message, repeated, tag = "3")]
    records: Vec<RecordRow>,
    #[prost(message, repeated, tag = "4")]
    entries: Vec<EntryRow>,
    #[prost(message, repeated, tag = "5")]
    outbox: Vec<OutboxRow>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct IdempotencyRow {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "bytes", tag = "2")]
    fingerprint: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RecordRow {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "bytes", optional, tag = "2")]
    value: Option<Bytes>,
    #[prost(string, repeated, tag = "3")]
    index: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    unindex: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EntryRow {
    #[prost(string, repeated, tag = "1")]
    channels: Vec<String>,
    #[prost(uint64, repeated, tag = "2")]
    offsets: Vec<u64>,
    #[prost(bytes = "bytes", tag = "3")]
    full: Bytes,
    #[prost(bytes = "bytes", optional, tag = "4")]
    bare: Option<Bytes>,
    /// Roles the entry is *not* for, so that the common case costs nothing.
    #[prost(uint32, tag = "5")]
    audience_not: u32,
    #[prost(btree_map = "string, string", tag = "6")]
    tags: BTreeMap<String, String>,
    #[prost(message, optional, tag = "7")]
    publisher: Option<PublisherRow>,
    #[prost(string, optional, tag = "8")]
    subject: Option<String>,
    #[prost(uint64, tag = "9")]
    time_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PublisherRow {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(string, tag = "2")]
    client: String,
    #[prost(bytes = "bytes", tag = "3")]
    conn_info: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    chan_info: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OutboxRow {
    #[prost(string, tag = "1")]
    to: String,
    #[prost(string, tag = "2")]
    operation: String,
    #[prost(bytes = "bytes", tag = "3")]
    input: Bytes,
}

impl HeaderRow {
    pub(super) fn of(commit: &Commit, body: &[u8]) -> Self {
        Self {
            ledger: commit.ledger.as_str().to_owned(),
            seq: commit.seq,
            epoch: commit.epoch.as_str().to_owned(),
            time_ms: commit.time_ms,
            id: Bytes::copy_from_slice(commit.id.as_bytes()),
            subject: (*commit.actor.subject).to_owned(),
            profile: commit.actor.profile.as_deref().map(str::to_owned),
            door: (*commit.actor.door).to_owned(),
            operation: (*commit.operation).to_owned(),
            prev_hash: Bytes::copy_from_slice(&commit.prev_hash.0),
            body_len: body.len() as u64,
            body_digest: Bytes::copy_from_slice(blake3::hash(body).as_bytes()),
        }
    }

    pub(super) fn actor(&self) -> Actor {
        Actor {
            subject: self.subject.as_str().into(),
            profile: self.profile.as_deref().map(Into::into),
            door: self.door.as_str().into(),
        }
    }
}

impl BodyRow {
    pub(super) fn of(commit: &Commit) -> Self {
        Self {
            idempotency: commit.idempotency.as_ref().map(|key| IdempotencyRow {
                key: (*key.key).to_owned(),
                fingerprint: Bytes::copy_from_slice(&key.fingerprint),
            }),
            outcome: commit.outcome.clone(),
            records: commit.records.iter().map(record_row).collect(),
            entries: commit
                .entries
                .iter()
                .map(|entry| entry_row(entry))
                .collect(),
            outbox: commit.outbox.iter().map(outbox_row).collect(),
        }
    }

    pub(super) fn idempotency(&self) -> Result<Option<IdempotencyKey>, DecodeError> {
        let Some(row) = &self.idempotency else {
            return Ok(None);
        };
        let fingerprint = row.fingerprint.as_ref().try_into();
        let fingerprint = fingerprint.map_err(|_| DecodeError::Structure("fingerprint"))?;
        Ok(Some(IdempotencyKey {
            key: row.key.as_str().into(),
            fingerprint,
        }))
    }

    pub(super) fn records(&self) -> Vec<RecordChange> {
        let keys = |keys: &[String]| keys.iter().map(|key| IndexKey::new(key)).collect();
        let change = |row: &RecordRow| RecordChange {
            key: RecordKey::new(&row.key),
            value: row.value.clone(),
            index: keys(&row.index),
            unindex: keys(&row.unindex),
        };
        self.records.iter().map(change).collect()
    }

    pub(super) fn entries(&self) -> Result<Vec<Arc<Entry>>, DecodeError> {
        self.entries
            .iter()
            .map(|row| entry(row).map(Arc::new))
            .collect()
    }

    pub(super) fn outbox(&self) -> Result<Vec<OutboxItem>, DecodeError> {
        self.outbox.iter().map(outbox_item).collect()
    }
}

fn record_row(change: &RecordChange) -> RecordRow {
    let keys = |keys: &[IndexKey]| keys.iter().map(|key| key.as_str().to_owned()).collect();
    RecordRow {
        key: change.key.as_str().to_owned(),
        value: change.value.clone(),
        index: keys(&change.index),
        unindex: keys(&change.unindex),
    }
}

fn entry_row(entry: &Entry) -> EntryRow {
    let content = &entry.content;
    EntryRow {
        channels: entry
            .channels
            .iter()
            .map(|(name, _)| name.as_str().to_owned())
            .collect(),
        offsets: entry.channels.iter().map(|(_, offset)| *offset).collect(),
        full: content.full.clone(),
        bare: content.bare.clone(),
        audience_not: u32::from(!content.audience.0),
        tags: content.tags.clone(),
        publisher: content.publisher.as_ref().map(|publisher| PublisherRow {
            user: publisher.user.clone(),
            client: publisher.client.clone(),
            conn_info: publisher.conn_info.clone(),
            chan_info: publisher.chan_info.clone(),
        }),
        subject: content.subject.as_ref().map(|key| key.as_str().to_owned()),
        time_ms: content.time_ms,
    }
}

fn entry(row: &EntryRow) -> Result<Entry, DecodeError> {
    let bad = DecodeError::Structure;
    if row.channels.len() != row.offsets.len() {
        return Err(bad("list of channels"));
    }
    let name = |text: &String| ChannelName::parse(text).map_err(|_| bad("channel name"));
    let names: Result<Vec<_>, _> = row.channels.iter().map(name).collect();
    let audience_not = u16::try_from(row.audience_not).map_err(|_| bad("audience"))?;
    let content = Content {
        full: row.full.clone(),
        bare: row.bare.clone(),
        audience: Audience(!audience_not),
        tags: row.tags.clone(),
        publisher: row.publisher.as_ref().map(|publisher| Publisher {
            user: publisher.user.clone(),
            client: publisher.client.clone(),
            conn_info: publisher.conn_info.clone(),
            chan_info: publisher.chan_info.clone(),
        }),
        subject: row.subject.as_deref().map(RecordKey::new),
        time_ms: row.time_ms,
    };
    Ok(Entry {
        channels: names?
            .into_iter()
            .zip(row.offsets.iter().copied())
            .collect(),
        content,
    })
}

fn outbox_row(item: &OutboxItem) -> OutboxRow {
    OutboxRow {
        to: item.to.as_str().to_owned(),
        operation: (*item.operation).to_owned(),
        input: item.input.clone(),
    }
}

fn outbox_item(row: &OutboxRow) -> Result<OutboxItem, DecodeError> {
    let to = LedgerId::parse(&row.to).map_err(|_| DecodeError::Structure("outbox"))?;
    Ok(OutboxItem {
        to,
        operation: row.operation.as_str().into(),
        input: row.input.clone(),
    })
}
