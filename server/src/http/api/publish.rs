//! `publish` and `broadcast`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::join_all;
use klokke_protocol::{ChannelName, Position};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Outgoing;
use super::methods::{channel_of, decoded, encoded};
use super::reply::Failure;
use crate::http::Edge;
use crate::telemetry::now_us;

/// Most channels of one broadcast: every class of a large municipality.
const BROADCAST_CHANNELS_MAX: usize = 10_000;

/// Channels of one broadcast published at once; the others wait, so that one broadcast does not
/// fill every mailbox.
const BROADCAST_AT_ONCE: usize = 64;

/// What is published, wherever to. `channel` and `channels` are read apart from it, because
/// verbatim JSON cannot be read through a flattened struct.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    data: Option<Box<RawValue>>,
    b64data: String,
    skip_history: bool,
    tags: BTreeMap<String, String>,
    idempotency_key: String,
    delta: bool,
    version: u64,
    version_epoch: String,
    #[serde(skip)]
    arrived_us: u64,
}

/// Where it came to stand; empty where the channel has no history.
#[derive(Debug, Default, Serialize)]
struct Published {
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    epoch: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands in a reference"
)]
fn is_zero(offset: &u64) -> bool {
    *offset == 0
}

impl From<Option<Position>> for Published {
    fn from(position: Option<Position>) -> Self {
        position.map_or_else(Self::default, |position| Self {
            offset: position.offset,
            epoch: position.epoch.to_string(),
        })
    }
}

/// A payload given as JSON or as base64; `None` when neither was.
pub(super) fn payload(data: Option<&RawValue>, b64: &str) -> Result<Option<Bytes>, Failure> {
    if !b64.is_empty() {
        let decoded = STANDARD.decode(b64);
        let decoded = decoded.map_err(|_| Failure::bad_request("b64data is not base64"))?;
        return Ok(Some(decoded.into()));
    }
    Ok(data.map(|data| Bytes::copy_from_slice(data.get().as_bytes())))
}

/// `publish`: to one channel.
pub(super) async fn publish(edge: &Edge, params: &[u8]) -> Result<Box<RawValue>, Failure> {
    #[derive(Deserialize)]
    struct Target {
        #[serde(default)]
        channel: String,
    }
    let arrived_us = now_us();
    let Target { channel } = decoded(params)?;
    let message = Message {
        arrived_us,
        ..decoded(params)?
    };
    let data = data_of(&message)?;
    let published = to_one(edge, &channel, &message, data).await?;
    encoded(&published)
}

/// `broadcast`: the same to many. One channel's failure is told at its place and harms no other.
pub(super) async fn broadcast(edge: &Edge, params: &[u8]) -> Result<Box<RawValue>, Failure> {
    #[derive(Deserialize)]
    struct Targets {
        #[serde(default)]
        channels: Vec<String>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Response {
        Result(Published),
        Error(Failure),
    }
    #[derive(Serialize)]
    struct Responses {
        responses: Vec<Response>,
    }
    let arrived_us = now_us();
    let Targets { channels } = decoded(params)?;
    if channels.is_empty() || channels.len() > BROADCAST_CHANNELS_MAX {
        let why = format!("channels must name 1 to {BROADCAST_CHANNELS_MAX}");
        return Err(Failure::bad_request(&why));
    }
    let message = Message {
        arrived_us,
        ..decoded(params)?
    };
    let data = data_of(&message)?;
    let mut responses = Vec::with_capacity(channels.len());
    for some in channels.chunks(BROADCAST_AT_ONCE) {
        let published = some
            .iter()
            .map(|channel| to_one(edge, channel, &message, data.clone()));
        for outcome in join_all(published).await {
            responses.push(match outcome {
                Ok(published) => Response::Result(published),
                Err(failure) => Response::Error(failure),
            });
        }
    }
    encoded(&Responses { responses })
}

/// The payload. That it is there is checked here; what it must be, by its namespace.
fn data_of(message: &Message) -> Result<Bytes, Failure> {
    let data = payload(message.data.as_deref(), &message.b64data)?;
    data.ok_or_else(|| Failure::bad_request("data is missing"))
}

async fn to_one(
    edge: &Edge,
    channel: &str,
    message: &Message,
    data: Bytes,
) -> Result<Published, Failure> {
    let channel: ChannelName = channel_of(channel)?;
    let (version, epoch) = (message.version, &message.version_epoch);
    if version > 0 && !edge.suppression.is_news(channel.as_str(), version, epoch) {
        return Ok(Published::default());
    }
    let key = &message.idempotency_key;
    let outgoing = Outgoing {
        data,
        tags: message.tags.clone(),
        skip_history: message.skip_history,
        delta: message.delta,
        idempotency_key: (!key.is_empty()).then(|| key.clone()),
        arrived_us: message.arrived_us,
    };
    let data = outgoing.data.clone();
    let publish = || edge.realtime.publish(&channel, outgoing);
    let position = if key.is_empty() {
        publish().await?
    } else {
        edge.suppression
            .once(channel.as_str(), key, &data, publish)
            .await?
    };
    Ok(position.into())
}
