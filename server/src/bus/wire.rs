//! What nodes tell each other: protobuf messages, field numbers frozen. A node of the next version may tell more: what is not known is
//! passed over, what is of another format is refused, and both are only hints missed.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::asks::{Question, Refused};
use super::members::NodeId;
use super::parts::Part;
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

/// A question under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its number, by which it is answered; dense for each asker.
    pub(super) number: u64,
    /// When the asker gives up, by its clock.
    pub(super) until_ms: u64,
    /// What is asked.
    pub(super) question: Question,
}

/// An answer under way, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question's number.
    pub(super) number: u64,
    /// What became of it.
    pub(super) outcome: Outcome,
}

/// See [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Part(Part),
    Refused(Refused),
    Busy,
    TooLarge,
}

/// A message, with who told it, and to whom unless to all.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) from: NodeId,
    pub(super) to: Option<NodeId>,
    pub(super) message: Message,
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
    /// A node asks this one.
    Asked(Asked),
    /// A node answers this one.
    Answer(Answer),
    /// A node tells something that wants no answer.
    Told(Question),
    /// Something that a newer version tells.
    Unknown,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(bytes = "bytes", tag = "2")]
    from: Bytes,
    #[prost(oneof = "Body", tags = "3, 4, 5, 6, 7, 8")]
    body: Option<Body>,
    /// Empty: to all.
    #[prost(bytes = "bytes", tag = "9")]
    to: Bytes,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Body {
    #[prost(message, tag = "3")]
    Commits(CommitsRow),
    #[prost(message, tag = "4")]
    Positions(PositionsRow),
    #[prost(message, tag = "5")]
    Hello(HelloRow),
    #[prost(message, tag = "6")]
    Asked(AskedRow),
    #[prost(message, tag = "7")]
    Answer(AnswerRow),
    #[prost(message, tag = "8")]
    Told(ToldRow),
}

#[derive(Clone, PartialEq, prost::Message)]
struct AskedRow {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
    #[prost(uint64, tag = "4")]
    until_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnswerRow {
    #[prost(uint64, tag = "1")]
    number: u64,
    /// One of `END_*`.
    #[prost(uint32, tag = "2")]
    end: u32,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
    #[prost(uint32, tag = "4")]
    nth: u32,
    #[prost(uint32, tag = "5")]
    count: u32,
    #[prost(uint32, tag = "6")]
    code: u32,
    #[prost(string, tag = "7")]
    text: String,
}

const END_PART: u32 = 0;
const END_REFUSED: u32 = 1;
const END_BUSY: u32 = 2;
const END_TOO_LARGE: u32 = 3;

#[derive(Clone, PartialEq, prost::Message)]
struct ToldRow {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(bytes = "bytes", tag = "2")]
    body: Bytes,
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
    addressed(from, None, body)
}

fn addressed(from: NodeId, to: Option<NodeId>, body: Body) -> Bytes {
    let id = |node: NodeId| Bytes::copy_from_slice(&node.to_bytes());
    let envelope = Envelope {
        format: FORMAT,
        from: id(from),
        body: Some(body),
        to: to.map(id).unwrap_or_default(),
    };
    envelope.encode_to_vec().into()
}

/// A question to a node, as a message.
pub(super) fn asked(from: NodeId, to: NodeId, asked: &Asked) -> Bytes {
    let row = AskedRow {
        number: asked.number,
        kind: asked.question.kind,
        body: asked.question.body.clone(),
        until_ms: asked.until_ms,
    };
    addressed(from, Some(to), Body::Asked(row))
}

/// An answer to a node, as a message.
pub(super) fn answer(from: NodeId, to: NodeId, answer: Answer) -> Bytes {
    let mut row = AnswerRow {
        number: answer.number,
        ..AnswerRow::default()
    };
    match answer.outcome {
        Outcome::Part(part) => {
            row.end = END_PART;
            (row.nth, row.count, row.body) = (part.nth, part.count, part.body);
        }
        Outcome::Refused(refused) => {
            row.end = END_REFUSED;
            (row.code, row.text) = (refused.code, refused.text);
        }
        Outcome::Busy => row.end = END_BUSY,
        Outcome::TooLarge => row.end = END_TOO_LARGE,
    }
    addressed(from, Some(to), Body::Answer(row))
}

/// What wants no answer, as a message.
pub(super) fn told(from: NodeId, told: &Question) -> Bytes {
    let row = ToldRow {
        kind: told.kind,
        body: told.body.clone(),
    };
    envelope(from, Body::Told(row))
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

/// Reads a message: who told it, to whom, and what.
///
/// # Errors
/// When it is of another format, or no message.
pub(super) fn decode(message: Bytes) -> Result<Heard, Undecodable> {
    let envelope = Envelope::decode(message).map_err(|_| Undecodable::Damaged)?;
    if envelope.format != FORMAT {
        return Err(Undecodable::Format(envelope.format));
    }
    let from = NodeId::from_bytes(&envelope.from).ok_or(Undecodable::Damaged)?;
    let to = match envelope.to.len() {
        0 => None,
        _ => Some(NodeId::from_bytes(&envelope.to).ok_or(Undecodable::Damaged)?),
    };
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
        Some(Body::Asked(row)) => Message::Asked(Asked {
            number: row.number,
            until_ms: row.until_ms,
            question: Question {
                kind: row.kind,
                body: row.body,
            },
        }),
        Some(Body::Answer(row)) => Message::Answer(Answer {
            number: row.number,
            outcome: outcome(row)?,
        }),
        Some(Body::Told(row)) => Message::Told(Question {
            kind: row.kind,
            body: row.body,
        }),
    };
    Ok(Heard { from, to, message })
}

fn outcome(row: AnswerRow) -> Result<Outcome, Undecodable> {
    Ok(match row.end {
        END_PART => Outcome::Part(Part {
            nth: row.nth,
            count: row.count,
            body: row.body,
        }),
        END_REFUSED => Outcome::Refused(Refused {
            code: row.code,
            text: row.text,
        }),
        END_BUSY => Outcome::Busy,
        END_TOO_LARGE => Outcome::TooLarge,
        _ => return Err(Undecodable::Damaged),
    })
}
