//! What is written: the commit and its parts, as values. How they lie on disk is in
//! [`super::codec`]; nothing here knows of stores or actors.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{ChannelName, Epoch};
use bytes::Bytes;
use uuid::Uuid;

use super::LedgerId;

/// One atomic, durable change of one ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// The ledger this is part of.
    pub ledger: LedgerId,
    /// Place in the ledger: 1, 2, 3 … without gaps.
    pub seq: u64,
    /// Random text made when the ledger was created; a ledger started anew has another.
    pub epoch: Epoch,
    /// When it was made, milliseconds since 1970 (UTC).
    pub time_ms: u64,
    /// Identity of this attempt to commit, to tell one's own commit from another's after an
    /// answer was lost. UUID version 7.
    pub id: Uuid,
    /// Who did it.
    pub actor: Actor,
    /// The operation that made it, `message.send`.
    pub operation: Arc<str>,
    /// The caller's key against doing it twice.
    pub idempotency: Option<IdempotencyKey>,
    /// The operation's output; a retry with the same key gets it again.
    pub outcome: Bytes,
    /// Records put and deleted, in the order staged, at most one change per key.
    pub records: Vec<RecordChange>,
    /// Entries appended to channels.
    pub entries: Vec<Arc<Entry>>,
    /// Work for other ledgers.
    pub outbox: Vec<OutboxItem>,
    /// Hash of commit `seq - 1`; [`CommitHash::GENESIS`] for the first.
    pub prev_hash: CommitHash,
}

/// BLAKE3 over a commit's header, which carries the digest of its body and the hash before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommitHash(pub [u8; 32]);

impl CommitHash {
    /// What the first commit of a ledger names as the hash before it.
    pub const GENESIS: Self = Self([0; 32]);
}

impl fmt::Display for CommitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for CommitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who did it and through which door, for the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actor {
    /// The account, as the token names it. Empty for the server itself.
    pub subject: Arc<str>,
    /// The institution profile acted as, `G10001.p17`.
    pub profile: Option<Arc<str>>,
    /// Where it came in: `rpc`, `rest`, `api`, `cli`, `outbox`, `server`.
    pub door: Arc<str>,
}

/// A caller's key against doing the same thing twice. Its scope is the ledger and the actor's
/// subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// As the caller gave it, behind a mark of where it comes from.
    pub key: Arc<str>,
    /// Digest of operation and input: the same key with another fingerprint is a conflict.
    pub fingerprint: [u8; 16],
}

/// How long a key of [`IdempotencyKey::of_route`] counts: much longer than a node waits for another before it does something itself.
pub const ROUTE_KEY_TTL_MS: u64 = 10 * 60 * 1_000;

impl IdempotencyKey {
    /// A caller's key for this operation with this input.
    #[must_use]
    pub fn new(key: &str, operation: &str, input: &[u8]) -> Self {
        // Callers' keys and the outbox's have different first letters, so that nobody can use up
        // the key of a delivery.
        Self::marked(format!("k/{key}"), operation, input)
    }

    /// The key under which an outbox item is delivered.
    #[must_use]
    pub fn of_outbox(source: &LedgerId, seq: u64, n: u32, item: &OutboxItem) -> Self {
        Self::marked(
            format!("o/{source}/{seq}/{n}"),
            &item.operation,
            &item.input,
        )
    }

    /// A key that a node made for a caller that gave none, so that what it sends to another node is done once. Nobody asks by it again
    /// after [`ROUTE_KEY_TTL_MS`].
    #[must_use]
    pub fn of_route(key: &str, operation: &str, input: &[u8]) -> Self {
        Self::marked(format!("r/{key}"), operation, input)
    }

    /// Whether a stored key is one of those.
    #[must_use]
    pub fn is_of_route(key: &str) -> bool {
        key.starts_with("r/")
    }

    /// Whether a stored key is one of an outbox delivery.
    #[must_use]
    pub fn is_of_outbox(key: &str) -> bool {
        key.starts_with("o/")
    }

    fn marked(key: String, operation: &str, input: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(operation.len() as u64).to_le_bytes());
        hasher.update(operation.as_bytes());
        hasher.update(input);
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self {
            key: key.into(),
            fingerprint,
        }
    }
}

/// Key of a record inside its ledger, `thread/t5`. At most 512 bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(Arc<str>);

/// Longest record key and index key in bytes; keys are built from ids, so this is generous.
pub const KEY_BYTES_MAX: usize = 512;

impl RecordKey {
    /// A key. Keys are made by code, not by callers; length is checked when staged.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(key.into())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RecordKey {
    fn from(key: &str) -> Self {
        Self::new(key)
    }
}

impl From<String> for RecordKey {
    fn from(key: String) -> Self {
        Self(key.into())
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Under what a record can be found without knowing its ledger, `profiles-of/<subject>`. One name
/// space over all ledgers. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexKey(Arc<str>);

impl IndexKey {
    /// An index key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(key.into())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One record put or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// Which record.
    pub key: RecordKey,
    /// Its new value; `None` deletes it.
    pub value: Option<Bytes>,
    /// Index keys it is found under from now on.
    pub index: Vec<IndexKey>,
    /// Index keys it was found under and is no more.
    pub unindex: Vec<IndexKey>,
}

/// One thing said, in one or many channels of the ledger: the body is stored once, each channel
/// holds a small index row to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The channels and the offset it has in each.
    pub channels: Vec<(ChannelName, u64)>,
    /// What was said.
    pub content: Content,
}

/// What an entry carries. Who sees how much of it is decided by `people` when it is delivered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The whole payload.
    pub full: Bytes,
    /// What a session below the needed level gets. Present if and only if the content is
    /// sensitive.
    pub bare: Option<Bytes>,
    /// Which portal roles it is for.
    pub audience: Audience,
    /// Tags of the publication, for filters.
    pub tags: BTreeMap<String, String>,
    /// Who published, when a client did.
    pub publisher: Option<Publisher>,
    /// The record this speaks of. When that is withdrawn, edited or protected by the time of
    /// reading, the reader gets the record's present state, not this old one.
    pub subject: Option<RecordKey>,
    /// When it was said, milliseconds since 1970 (UTC); set when committed.
    pub time_ms: u64,
}

/// Client information of a publication, as the protocol shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Publisher {
    /// User id.
    pub user: String,
    /// Client (session) id.
    pub client: String,
    /// Connection info, opaque.
    pub conn_info: Bytes,
    /// Channel info, opaque.
    pub chan_info: Bytes,
}

/// A set of portal roles, one bit each; which bit is which role is `people`'s affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Audience(pub u16);

impl Audience {
    /// Everybody in the channel.
    pub const ALL: Self = Self(u16::MAX);

    /// Whether a reader with these roles is meant.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Default for Audience {
    fn default() -> Self {
        Self::ALL
    }
}

/// Work that a commit hands to another ledger: delivered at least once, with a key that makes its
/// effect happen exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// The ledger that shall do it.
    pub to: LedgerId,
    /// Which operation it shall run.
    pub operation: Arc<str>,
    /// The operation's input.
    pub input: Bytes,
}
