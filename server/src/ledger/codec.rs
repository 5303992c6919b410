//! How a commit lies on disk. Version 1, frozen: a change needs a new version byte, and rows of
//! this one must stay readable (see the fixture test).
//!
//! ```text
//! row    = version (1 byte, 1) | crc32c of all other bytes (4, little endian)
//!        | hash (32) | header length (4, little endian) | header | body
//! header = protobuf: who, when, where, hash of the commit before, length and digest of the body
//! body   = protobuf: idempotency key, outcome, records, entries, outbox
//! hash   = BLAKE3(header)          digest = BLAKE3(body)
//! ```
//!
//! The hash covers the body through its digest only, so that a body can one day be shredded and
//! the chain still be checked. The checksum finds what a disk does to bytes, at the price of
//! reading them once; digest and hash find what is put there on purpose. All are checked at every
//! decode (about 1 µs for a commit of 300 bytes).

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::wire::{BodyRow, HeaderRow};
use super::{Commit, CommitHash, LedgerId};

/// The format version this code writes.
pub const COMMIT_FORMAT: u8 = 1;

/// Bytes before the header: version, checksum, hash, header length.
const PREFIX_BYTES: usize = 1 + 4 + 32 + 4;

/// A commit with its bytes and hash, ready to be stored or as read.
#[derive(Debug, Clone)]
pub struct SealedCommit {
    /// The commit.
    pub commit: Arc<Commit>,
    /// Its row.
    pub row: Bytes,
    /// Its hash.
    pub hash: CommitHash,
}

/// Why bytes are no commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Shorter than it says or than any commit.
    #[error("the row is cut short")]
    Short,
    /// Written by a newer program; this one must not touch it.
    #[error("commit format {0} is not known to this version")]
    Version(u8),
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// The header is not the one that was hashed.
    #[error("the hash does not match")]
    Hash,
    /// The body is not the one the header names.
    #[error("the digest of the body does not match")]
    Digest,
    /// Not the structure of this format.
    #[error("the {0} cannot be decoded")]
    Structure(&'static str),
}

impl SealedCommit {
    /// Encodes and hashes a commit.
    #[must_use]
    pub fn seal(commit: Commit) -> Self {
        let body = BodyRow::of(&commit).encode_to_vec();
        let header = HeaderRow::of(&commit, &body).encode_to_vec();
        let hash = CommitHash(*blake3::hash(&header).as_bytes());
        let header_len = u32::try_from(header.len()).unwrap_or(u32::MAX);
        let mut row = Vec::with_capacity(PREFIX_BYTES + header.len() + body.len());
        row.push(COMMIT_FORMAT);
        row.extend_from_slice(&[0; 4]);
        row.extend_from_slice(&hash.0);
        row.extend_from_slice(&header_len.to_le_bytes());
        row.extend_from_slice(&header);
        row.extend_from_slice(&body);
        let sum = checksum(&row);
        row[1..5].copy_from_slice(&sum.to_le_bytes());
        Self {
            commit: Arc::new(commit),
            row: row.into(),
            hash,
        }
    }

    /// Reads a row back and checks everything that can be checked without its neighbours.
    ///
    /// # Errors
    /// When the bytes are not exactly a commit as [`SealedCommit::seal`] wrote it.
    pub fn decode(row: Bytes) -> Result<Self, DecodeError> {
        let (hash, header_bytes, body_bytes) = parts(&row)?;
        if *blake3::hash(&header_bytes).as_bytes() != hash.0 {
            return Err(DecodeError::Hash);
        }
        let header =
            HeaderRow::decode(header_bytes).map_err(|_| DecodeError::Structure("header"))?;
        if header.body_len != body_bytes.len() as u64
            || header.body_digest.as_ref() != blake3::hash(&body_bytes).as_bytes()
        {
            return Err(DecodeError::Digest);
        }
        let body = BodyRow::decode(body_bytes).map_err(|_| DecodeError::Structure("body"))?;
        let commit = Arc::new(assemble(&header, body)?);
        Ok(Self { commit, row, hash })
    }

    /// Whether this may follow a commit with this hash as number `seq` of `ledger`.
    #[must_use]
    pub fn follows(&self, ledger: &LedgerId, seq: u64, prev: CommitHash) -> bool {
        self.commit.ledger == *ledger && self.commit.seq == seq && self.commit.prev_hash == prev
    }
}

/// Checks version, length and checksum, and cuts the row into its parts.
fn parts(row: &Bytes) -> Result<(CommitHash, Bytes, Bytes), DecodeError> {
    let version = *row.first().ok_or(DecodeError::Short)?;
    if version != COMMIT_FORMAT {
        return Err(DecodeError::Version(version));
    }
    let prefix: &[u8; PREFIX_BYTES] = row.first_chunk().ok_or(DecodeError::Short)?;
    if prefix[1..5] != checksum(row).to_le_bytes() {
        return Err(DecodeError::Checksum);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(&prefix[5..37]);
    let header_len = u32::from_le_bytes([prefix[37], prefix[38], prefix[39], prefix[40]]) as usize;
    let rest = row.slice(PREFIX_BYTES..);
    if header_len > rest.len() {
        return Err(DecodeError::Short);
    }
    Ok((
        CommitHash(hash),
        rest.slice(..header_len),
        rest.slice(header_len..),
    ))
}

/// Over everything but the checksum's own place.
fn checksum(row: &[u8]) -> u32 {
    let (version, rest) = row.split_at(1.min(row.len()));
    crc32c::crc32c_append(crc32c::crc32c(version), rest.get(4..).unwrap_or_default())
}

fn assemble(header: &HeaderRow, body: BodyRow) -> Result<Commit, DecodeError> {
    let bad = DecodeError::Structure;
    let ledger = LedgerId::parse(&header.ledger).map_err(|_| bad("ledger name"))?;
    let id = Uuid::from_slice(&header.id).map_err(|_| bad("commit id"))?;
    let prev = header
        .prev_hash
        .as_ref()
        .try_into()
        .map_err(|_| bad("hash before"))?;
    Ok(Commit {
        ledger,
        seq: header.seq,
        epoch: header.epoch.as_str().into(),
        time_ms: header.time_ms,
        id,
        actor: header.actor(),
        operation: header.operation.as_str().into(),
        idempotency: body.idempotency()?,
        records: body.records(),
        entries: body.entries()?,
        outbox: body.outbox()?,
        outcome: body.outcome,
        prev_hash: CommitHash(prev),
    })
}
