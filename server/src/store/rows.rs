//! Values of the derived rows (a commit's own row is the ledger's affair). Each begins with a
//! checksum over the keyspace, the key and the rest, so that a row that was altered, or that turns
//! up under another key, is found when it is read.

use bytes::Bytes;
use klokke_protocol::Epoch;
use prost::Message;

use crate::ledger::{CommitHash, IndexKey};
use crate::store::{Anchor, Head, Record, Remembered};

/// Which keyspace a row lies in; mixed into its checksum. Numbers are frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Head = 1,
    Entry = 2,
    Channel = 3,
    Record = 4,
    Index = 5,
    Key = 6,
    Outbox = 7,
    // Of the backend on a cluster alone.
    CommitHead = 8,
    State = 9,
    Anchor = 10,
    Forgotten = 11,
    Top = 12,
    Trimmed = 13,
    Refused = 14,
}

/// Where a ledger stands and where its remaining commits begin.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HeadValue {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
    #[prost(bytes = "bytes", tag = "2")]
    hash: Bytes,
    #[prost(string, tag = "3")]
    epoch: String,
    #[prost(uint64, tag = "4")]
    anchor_seq: u64,
    #[prost(bytes = "bytes", tag = "5")]
    anchor_hash: Bytes,
    #[prost(uint64, tag = "6")]
    forgotten_before_ms: u64,
}

/// Where the body of an entry is.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct EntryValue {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
    #[prost(uint32, tag = "2")]
    pub(super) n: u32,
    #[prost(uint64, tag = "3")]
    pub(super) time_ms: u64,
}

/// What retention did to a channel. The row is there from the channel's first entry on.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ChannelValue {
    /// Everything up to here was removed. The top is the last entry's offset or this.
    #[prost(uint64, tag = "1")]
    pub(super) trimmed: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RecordValue {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
    #[prost(string, repeated, tag = "2")]
    index: Vec<String>,
    #[prost(bytes = "bytes", tag = "3")]
    value: Bytes,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct IndexValue {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(bytes = "bytes", tag = "2")]
    fingerprint: Bytes,
    #[prost(uint64, tag = "3")]
    time_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct OutboxValue {
    #[prost(bool, tag = "1")]
    pub(super) refused: bool,
}

/// A row's bytes.
pub(super) fn seal(kind: Kind, key: &[u8], value: &impl Message) -> Vec<u8> {
    let mut row = Vec::with_capacity(4 + value.encoded_len());
    row.extend_from_slice(&[0; 4]);
    row.extend_from_slice(&value.encode_to_vec());
    let sum = checksum(kind, key, &row[4..]);
    row[..4].copy_from_slice(&sum.to_le_bytes());
    row
}

/// Reads a row back; the error says what is wrong.
pub(super) fn open<T: Message + Default>(
    kind: Kind,
    key: &[u8],
    row: &[u8],
) -> Result<T, &'static str> {
    let (sum, rest) = row.split_first_chunk::<4>().ok_or("the row is cut short")?;
    if *sum != checksum(kind, key, rest).to_le_bytes() {
        return Err("the row's checksum does not match");
    }
    T::decode(Bytes::copy_from_slice(rest)).map_err(|_| "the row cannot be decoded")
}

fn checksum(kind: Kind, key: &[u8], rest: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&[kind as u8]);
    crc32c::crc32c_append(crc32c::crc32c_append(sum, key), rest)
}

impl HeadValue {
    pub(super) fn new(head: &Head, anchor: &Anchor) -> Self {
        Self {
            seq: head.seq,
            hash: Bytes::copy_from_slice(&head.hash.0),
            epoch: head.epoch.as_str().to_owned(),
            anchor_seq: anchor.seq,
            anchor_hash: Bytes::copy_from_slice(&anchor.hash.0),
            forgotten_before_ms: anchor.forgotten_before_ms,
        }
    }

    pub(super) fn read(&self) -> Result<(Head, Anchor), &'static str> {
        let hash = |bytes: &Bytes| match bytes.as_ref().try_into() {
            Ok(hash) => Ok(CommitHash(hash)),
            Err(_) => Err("the row cannot be decoded"),
        };
        let epoch = Epoch::from(self.epoch.as_str());
        let head = Head {
            seq: self.seq,
            hash: hash(&self.hash)?,
            epoch,
        };
        Ok((
            head,
            Anchor {
                seq: self.anchor_seq,
                hash: hash(&self.anchor_hash)?,
                forgotten_before_ms: self.forgotten_before_ms,
            },
        ))
    }
}

impl RecordValue {
    pub(super) fn new(seq: u64, index: &[IndexKey], value: &Bytes) -> Self {
        let index = index.iter().map(|key| key.as_str().to_owned()).collect();
        Self {
            seq,
            index,
            value: value.clone(),
        }
    }

    pub(super) fn read(self) -> Record {
        let index = self.index.iter().map(|key| IndexKey::new(key)).collect();
        Record {
            seq: self.seq,
            index,
            value: self.value,
        }
    }
}

impl KeyValue {
    pub(super) fn new(key: &Remembered) -> Self {
        let fingerprint = Bytes::copy_from_slice(&key.fingerprint);
        Self {
            seq: key.seq,
            fingerprint,
            time_ms: key.time_ms,
        }
    }

    pub(super) fn read(&self) -> Result<Remembered, &'static str> {
        let fingerprint = self.fingerprint.as_ref().try_into();
        let fingerprint = fingerprint.map_err(|_| "the row cannot be decoded")?;
        Ok(Remembered {
            seq: self.seq,
            fingerprint,
            time_ms: self.time_ms,
        })
    }
}
