//! What nodes tell each other: protobuf messages, field numbers frozen. A node of the next version may tell more: what is not known is
//! passed over, what is of another format is refused, and both are only hints missed.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::members::NodeId;
use crate::ledger::{LedgerId, SealedCommit};

/// The format this code speaks.
pub const FORMAT: u32 = 1;

/// A message that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecodable {
    /// It is of another format.
    #[error("a message of format {0}, this node speaks {FORMAT}")]
    Format(u32),
    /// It is none.
    #[error("bytes that are no message")]
    Damaged,
}

/// Where a ledger stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its head.
    pub seq: u64,
}

/// A node says that it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Its name, for people.
    pub name: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// Digest of the settings that must be the same on all nodes.
    pub settings: u64,
    /// Its clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// It takes no new connections and hands over.
    pub leaving: bool,
    /// It is gone with this.
    pub gone: bool,
}

/// What is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Message {
    /// Commits of one ledger are durable.
    Commits(LedgerId, Vec<SealedCommit>),
    /// Ledgers stand at least here.
    Positions(Vec<Position>),
    /// A node is there.
    Hello(Hello),
    /// Something that a newer version tells.
    Unknown,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(bytes = "bytes", tag = "2")]
    from: Bytes,
    #[prost(oneof = "Body", tags = "3, 4, 5")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Body {
    #[prost(message, tag = "3")]
    Commits(CommitsRow),
    #[prost(message, tag = "4")]
    Positions(PositionsRow),
    #[prost(message, tag = "5")]
    Hello(HelloRow),
}

#[derive(Clone, PartialEq, prost::Message)]
struct CommitsRow {
    #[prost(string, tag = "1")]
    ledger: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    rows: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PositionsRow {
    #[prost(message, repeated, tag = "1")]
    all: Vec<PositionRow>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PositionRow {
    #[prost(string, tag = "1")]
    ledger: String,
    #[prost(uint64, tag = "2")]
    seq: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HelloRow {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(fixed64, tag = "3")]
    settings: u64,
    #[prost(uint64, tag = "4")]
    now_ms: u64,
    #[prost(bool, tag = "5")]
    leaving: bool,
    #[prost(bool, tag = "6")]
    gone: bool,
}

fn envelope(from: NodeId, body: Body) -> Bytes {
    let envelope = Envelope {
        format: FORMAT,
        from: Bytes::copy_from_slice(&from.to_bytes()),
        body: Some(body),
    };
    envelope.encode_to_vec().into()
}

/// Commits of a ledger, as a message.
pub(super) fn commits(from: NodeId, ledger: &LedgerId, commits: &[SealedCommit]) -> Bytes {
    let rows = commits.iter().map(|sealed| sealed.row.clone());
    let row = CommitsRow {
        ledger: ledger.as_str().to_owned(),
        rows: rows.collect(),
    };
    envelope(from, Body::Commits(row))
}

/// Positions, as a message.
pub(super) fn positions<'a>(
    from: NodeId,
    all: impl IntoIterator<Item = (&'a LedgerId, u64)>,
) -> Bytes {
    let row = |(ledger, seq): (&LedgerId, u64)| PositionRow {
        ledger: ledger.as_str().to_owned(),
        seq,
    };
    let all = all.into_iter().map(row).collect();
    envelope(from, Body::Positions(PositionsRow { all }))
}

/// A greeting, as a message.
pub(super) fn hello(from: NodeId, hello: &Hello) -> Bytes {
    let row = HelloRow {
        name: hello.name.to_string(),
        version: hello.version.to_string(),
        settings: hello.settings,
        now_ms: hello.now_ms,
        leaving: hello.leaving,
        gone: hello.gone,
    };
    envelope(from, Body::Hello(row))
}

/// Reads a message: who told it, and what.
///
/// # Errors
/// When it is of another format, or no message.
pub(super) fn decode(message: Bytes) -> Result<(NodeId, Message), Undecodable> {
    let envelope = Envelope::decode(message).map_err(|_| Undecodable::Damaged)?;
    if envelope.format != FORMAT {
        return Err(Undecodable::Format(envelope.format));
    }
    let from = NodeId::from_bytes(&envelope.from).ok_or(Undecodable::Damaged)?;
    let ledger = |name: &str| LedgerId::parse(name).map_err(|_| Undecodable::Damaged);
    let message = match envelope.body {
        None => Message::Unknown,
        Some(Body::Commits(row)) => {
            let rows = row.rows.into_iter().map(SealedCommit::decode);
            let rows: Result<Vec<_>, _> = rows.collect();
            Message::Commits(
                ledger(&row.ledger)?,
                rows.map_err(|_| Undecodable::Damaged)?,
            )
        }
        Some(Body::Positions(row)) => {
            let mut all = Vec::with_capacity(row.all.len());
            for position in row.all {
                all.push(Position {
                    ledger: ledger(&position.ledger)?,
                    seq: position.seq,
                });
            }
            Message::Positions(all)
        }
        Some(Body::Hello(row)) => Message::Hello(Hello {
            name: row.name.into(),
            version: row.version.into(),
            settings: row.settings,
            now_ms: row.now_ms,
            leaving: row.leaving,
            gone: row.gone,
        }),
    };
    Ok((from, message))
}
