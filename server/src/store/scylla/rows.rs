//! Rows that only this backend has; what they share with the embedded one is in [`crate::store::rows`]. Each is sealed with
//! a checksum over its kind, its key and its value.

use bytes::Bytes;
use klokke_protocol::Epoch;
use prost::Message;
use scylla::value::CqlValue;

use crate::ledger::{CommitHash, DecodeError, SealedCommit};
use crate::store::rows::{Kind, open, seal};
use crate::store::{Anchor, Head, OutboxKey};

/// Where a ledger stood after the last batch of a bucket: what lightweight transactions compare.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HeadValue {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
    #[prost(bytes = "bytes", tag = "2")]
    hash: Bytes,
    #[prost(string, tag = "3")]
    epoch: String,
    /// Raised to make sure that what expects the head before is never written.
    #[prost(uint64, tag = "4")]
    pub(super) turn: u64,
}

/// How far derived rows are written.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StateValue {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(bytes = "bytes", tag = "2")]
    hash: Bytes,
    #[prost(string, tag = "3")]
    epoch: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AnchorValue {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(bytes = "bytes", tag = "2")]
    hash: Bytes,
}

/// A number that only grows: a channel's top, or how far it is trimmed.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct NumberValue {
    #[prost(uint64, tag = "1")]
    pub(super) number: u64,
}

impl HeadValue {
    pub(super) fn new(head: &Head, turn: u64) -> Self {
        Self {
            seq: head.seq,
            hash: Bytes::copy_from_slice(&head.hash.0),
            epoch: head.epoch.as_str().to_owned(),
            turn,
        }
    }

    pub(super) fn head(&self) -> Result<Head, &'static str> {
        head(self.seq, &self.hash, &self.epoch)
    }
}

impl StateValue {
    pub(super) fn new(head: &Head) -> Self {
        Self {
            seq: head.seq,
            hash: Bytes::copy_from_slice(&head.hash.0),
            epoch: head.epoch.as_str().to_owned(),
        }
    }

    pub(super) fn head(&self) -> Result<Head, &'static str> {
        head(self.seq, &self.hash, &self.epoch)
    }
}

impl AnchorValue {
    pub(super) fn new(anchor: &Anchor) -> Self {
        Self {
            seq: anchor.seq,
            hash: Bytes::copy_from_slice(&anchor.hash.0),
        }
    }

    pub(super) fn read(&self) -> Result<(u64, CommitHash), &'static str> {
        Ok((self.seq, hash(&self.hash)?))
    }
}

fn head(seq: u64, bytes: &Bytes, epoch: &str) -> Result<Head, &'static str> {
    let (hash, epoch) = (hash(bytes)?, Epoch::from(epoch));
    Ok(Head { seq, hash, epoch })
}

fn hash(bytes: &Bytes) -> Result<CommitHash, &'static str> {
    let hash = bytes.as_ref().try_into();
    Ok(CommitHash(hash.map_err(|_| "the row cannot be decoded")?))
}

/// The commits of a batch, one behind the other, each with its length before it.
pub(super) fn join(commits: &[SealedCommit]) -> Vec<u8> {
    let size: usize = commits.iter().map(|sealed| sealed.row.len() + 4).sum();
    let mut data = Vec::with_capacity(size);
    for sealed in commits {
        let len = u32::try_from(sealed.row.len()).unwrap_or(u32::MAX);
        data.extend_from_slice(&len.to_le_bytes());
        data.extend_from_slice(&sealed.row);
    }
    data
}

/// The rows of a batch's commits, not yet looked into.
pub(super) fn split(mut data: Bytes) -> Result<Vec<Bytes>, DecodeError> {
    let mut rows = Vec::new();
    while !data.is_empty() {
        let len = *data.first_chunk::<4>().ok_or(DecodeError::Short)?;
        let end = 4 + u32::from_le_bytes(len) as usize;
        if end > data.len() {
            return Err(DecodeError::Short);
        }
        rows.push(data.slice(4..end));
        data = data.slice(end..);
    }
    Ok(rows)
}

/// A sealed row as CQL takes it.
pub(super) fn blob(kind: Kind, key: &[u8], value: &impl Message) -> CqlValue {
    CqlValue::Blob(seal(kind, key, value))
}

/// Opens a row that may be missing.
pub(super) fn open_some<T: Message + Default>(
    kind: Kind,
    key: &[u8],
    row: Option<Bytes>,
) -> Result<Option<T>, &'static str> {
    row.map(|row| open(kind, key, &row)).transpose()
}

pub(super) fn text(text: &str) -> CqlValue {
    CqlValue::Text(text.to_owned())
}

/// Numbers here count commits and entries; none comes near what a bigint holds.
pub(super) fn big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn number(number: u64) -> CqlValue {
    CqlValue::BigInt(big(number))
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// When a row made by a commit was written, as the database orders writes: by sequence number alone, so that writing it
/// again changes nothing.
pub(super) fn written_at(seq: u64) -> CqlValue {
    number(seq.saturating_mul(2))
}

/// When something done about rows up to that commit was done: after them, and before the next commit's.
pub(super) fn removed_at(seq: u64) -> CqlValue {
    number(seq.saturating_mul(2).saturating_add(1))
}

/// Over how many partitions things of one kind are spread. Part of what is stored.
pub(super) const PARTS: u32 = 16;

/// Over how many the list of ledgers is: every commit writes there.
pub(super) const LEDGER_PARTS: u32 = 64;

/// In which of them something is.
pub(super) fn part(name: &str, parts: u32) -> i32 {
    i32::try_from(crc32c::crc32c(name.as_bytes()) % parts).unwrap_or(0)
}

/// In which of them a record is: with all that begin with the same two words (`box/P17/`), because those are listed together, and a list
/// that lies in one partition costs one read. Records with a shorter name are spread.
pub(super) fn record_part(key: &str) -> i32 {
    part(group_of(key).unwrap_or(key), PARTS)
}

/// The two words that a record's key, or a prefix of keys, begins with.
pub(super) fn group_of(key: &str) -> Option<&str> {
    let (at, _) = key.match_indices('/').nth(1)?;
    key.get(..=at)
}

pub(super) fn part_of(item: &OutboxKey) -> i32 {
    part(item.source.as_str(), PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::chain::Chain;

    #[test]
    fn commits_of_a_batch_come_apart_as_they_were_joined() {
        let mut chain = Chain::new("G1");
        let commits: Vec<_> = (0..3).map(|_| chain.next(|_| {})).collect();
        let rows = split(join(&commits).into()).expect("whole");
        let there: Vec<_> = commits.iter().map(|sealed| sealed.row.clone()).collect();
        assert_eq!(rows, there);
        let cut = join(&commits);
        assert_eq!(
            split(Bytes::copy_from_slice(&cut[..cut.len() - 1])),
            Err(DecodeError::Short)
        );
    }

    #[test]
    fn where_rows_are_never_moves() {
        // These are in keys; a change here would lose every row.
        assert_eq!(part("person:G10001/p17", PARTS), 0);
        assert_eq!(part("G10001", LEDGER_PARTS), 61);
        assert_eq!(record_part("box/P17/000a"), part("box/P17/", PARTS));
        assert_eq!(record_part("box/P17/"), record_part("box/P17/x/y"));
        assert_eq!(record_part("person/P17"), part("person/P17", PARTS));
    }

    #[test]
    fn what_is_removed_comes_after_what_was_written() {
        let (CqlValue::BigInt(written), CqlValue::BigInt(removed)) = (written_at(7), removed_at(7))
        else {
            panic!("numbers");
        };
        let CqlValue::BigInt(next) = written_at(8) else {
            panic!("a number");
        };
        assert!(written < removed && removed < next);
    }
}
