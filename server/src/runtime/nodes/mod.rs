//! This node among others, as far as connections go: what they tell each other of channels without history, and what they ask each other
//! about who is there.
//!
//! What is told is told at most once, as such channels promise. What is asked is asked of all: an answer that lacks a node's part is none,
//! and whoever asked is told to come again, so that nobody takes a part for the whole. A node that is gone is no part of it.

mod answer;
mod direct;
mod rows;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use klokke_protocol::{ChannelName, ClientInfo, ErrorCode, ErrorReply};

use super::Services;
use super::mailbox::{ConnectionInfo, Directive, Listing};
use crate::bus::{AskError, Asks, MESSAGE_BYTES_MAX, NodeId, Question, kind};
use crate::hub::{Announcement, PresenceTally, Publication};
use crate::transport::Uplink;

/// Longest that others may take to answer: below what a client waits for (5 s), and much above what a busy node takes.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What the names and numbers around a publication's payload and tags may take.
const AROUND_BYTES: usize = 4 * 1024;

/// Asks all other nodes and waits for all of them.
///
/// # Errors
/// 100 (temporary) when one does not answer or the bus is away, 106 when one has more to say than an answer holds.
pub async fn everybody(asks: &Asks, kind: u32, body: Bytes) -> Result<Vec<Bytes>, ErrorReply> {
    wholly(asks)?;
    all(asks, kind, body).await
}

/// Whether all others are known, and none just did not answer: that one would let everybody wait once more.
fn wholly(asks: &Asks) -> Result<(), ErrorReply> {
    asks.whole().map_err(|error| reply_of(&error))?;
    let mut is_silent = asks.members().ids().into_iter();
    let is_silent = is_silent.any(|node| asks.members().is_suspect(node));
    (!is_silent)
        .then_some(())
        .ok_or_else(|| reply_of(&AskError::Late))
}

async fn all(asks: &Asks, kind: u32, body: Bytes) -> Result<Vec<Bytes>, ErrorReply> {
    let answers = asks.ask_all(Question { kind, body }, ANSWER_WITHIN).await;
    let part = |(node, answer): (NodeId, Result<Bytes, AskError>)| {
        answer.map_err(|error| {
            tracing::debug!(%node, %error, kind = kind::name(kind), "a node has not answered what all must answer");
            reply_of(&error)
        })
    };
    answers.into_iter().map(part).collect()
}

/// What whoever asked for it is told.
fn reply_of(error: &AskError) -> ErrorReply {
    match error {
        AskError::Busy => ErrorCode::TOO_MANY_REQUESTS.into(),
        AskError::TooLarge => ErrorCode::LIMIT_EXCEEDED.into(),
        _ => ErrorCode::INTERNAL.into(),
    }
}

async fn parts<T>(
    asks: &Asks,
    kind: u32,
    body: Bytes,
    read: fn(Bytes) -> Option<T>,
) -> Result<Vec<T>, ErrorReply> {
    let answers = everybody(asks, kind, body).await?;
    let parts: Option<Vec<T>> = answers.into_iter().map(read).collect();
    parts.ok_or_else(|| ErrorCode::INTERNAL.into())
}

/// Who is present on other nodes.
pub(super) async fn presence(
    asks: Asks,
    channel: ChannelName,
) -> Result<Vec<ClientInfo>, ErrorReply> {
    let body = rows::channel(&channel);
    let parts = parts(&asks, kind::PRESENCE, body, rows::read_presence);
    Ok(parts.await?.into_iter().flatten().collect())
}

/// How many are.
pub(super) async fn tally(asks: Asks, channel: ChannelName) -> Result<PresenceTally, ErrorReply> {
    let body = rows::channel(&channel);
    let parts = parts(&asks, kind::PRESENCE_STATS, body, rows::read_tally);
    let mut sum = PresenceTally::default();
    parts.await?.into_iter().for_each(|part| sum.merge(part));
    Ok(sum)
}

/// Channels with subscribers on other nodes.
pub(super) async fn channels(asks: &Asks) -> Result<Vec<(ChannelName, usize)>, ErrorReply> {
    let parts = parts(asks, kind::CHANNELS, Bytes::new(), rows::read_channels);
    Ok(parts.await?.into_iter().flatten().collect())
}

/// A page of other nodes' connections, each node's in order.
pub(super) async fn connections(
    asks: &Asks,
    listing: &Listing,
) -> Result<Vec<ConnectionInfo>, ErrorReply> {
    let body = rows::listing(listing);
    let parts = parts(asks, kind::CONNECTIONS, body, rows::read_connections);
    Ok(parts.await?.into_iter().flatten().collect())
}

/// Lets something happen to sessions of other nodes.
pub(super) async fn direct(asks: &Asks, directive: &Directive) -> Result<(), ErrorReply> {
    let Some(body) = direct::write(directive) else {
        return Ok(()); // What does not come from a back end is each node's own.
    };
    // Told to all that can be told, whoever else is silent: it may take away what somebody must not have any longer.
    let is_whole = wholly(asks);
    all(asks, kind::DIRECT, body).await?;
    is_whole
}

/// Hands commands of an emulated connection to the node that has it.
pub(super) async fn uplink(asks: Asks, node: &str, session: &str, frame: Bytes) -> Uplink {
    let Some(node) = NodeId::parse(node) else {
        return Uplink::UnknownNode;
    };
    let body = rows::uplink(session, frame);
    let kind = kind::UPLINK;
    match asks.ask(node, Question { kind, body }, ANSWER_WITHIN).await {
        Ok(_) => Uplink::Accepted,
        // Gone for good, unless it is the bus that is: then it may be there again.
        Err(AskError::Away) if asks.whole().is_ok() => Uplink::UnknownNode,
        Err(_) => Uplink::Busy,
    }
}

/// A publication as other nodes are told of it; nothing when there are none.
///
/// # Errors
/// 106 when it is larger than what nodes tell each other: nobody is to hear what only some could.
pub(super) fn publication(
    services: &Services,
    publication: &Publication,
) -> Result<Option<Question>, ErrorReply> {
    if !services.asks.has_others() {
        return Ok(None);
    }
    let body = rows::publication(publication);
    if body.len() + AROUND_BYTES > MESSAGE_BYTES_MAX {
        return Err(ErrorCode::LIMIT_EXCEEDED.into());
    }
    let kind = kind::PUBLICATION;
    Ok(Some(Question { kind, body }))
}

/// Tells other nodes. It is counted where that fails; such channels promise no more.
pub(super) fn tell(services: &Services, told: Option<Question>) {
    if let Some(told) = told {
        let _ = services.asks.tell_all(&told);
    }
}

/// Tells other nodes who came or went.
pub(super) fn announce(services: &Services, news: &Announcement) {
    if services.asks.has_others() {
        let told = Question {
            kind: kind::MOVEMENT,
            body: rows::movement(news),
        };
        let _ = services.asks.tell_all(&told);
    }
}
