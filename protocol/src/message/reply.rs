//! What a server answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ClientInfo, Publication, Push, is_default, or_default};
use crate::raw;

/// An answer to a command, or a push. All fields empty: a ping.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    /// Number of the command; 0 for a push.
    #[prost(uint32, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub id: u32,
    /// Why it was refused.
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReply>,
    /// What happened.
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<Push>,
    /// Result of `connect`.
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<ConnectResult>,
    /// Result of `subscribe`.
    #[prost(message, optional, tag = "6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<SubscribeResult>,
    /// Result of `unsubscribe`.
    #[prost(message, optional, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<UnsubscribeResult>,
    /// Result of `publish`.
    #[prost(message, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<PublishResult>,
    /// Result of `presence`.
    #[prost(message, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceResult>,
    /// Result of `presence_stats`.
    #[prost(message, optional, tag = "10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_stats: Option<PresenceStatsResult>,
    /// Result of `history`.
    #[prost(message, optional, tag = "11")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryResult>,
    /// Result of `ping`.
    #[prost(message, optional, tag = "12")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<PingResult>,
    /// Result of `rpc`.
    #[prost(message, optional, tag = "13")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpc: Option<RpcResult>,
    /// Result of `refresh`.
    #[prost(message, optional, tag = "14")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshResult>,
    /// Result of `sub_refresh`.
    #[prost(message, optional, tag = "15")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_refresh: Option<SubRefreshResult>,
}

/// Why a command was refused; the wire calls it `Error`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorReply {
    /// See [`crate::ErrorCode`].
    #[prost(uint32, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub code: u32,
    /// For people.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub message: String,
    /// Trying again later may help.
    #[prost(bool, tag = "3")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub temporary: bool,
}

/// The connection stands.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectResult {
    /// Id of the connection.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub client: String,
    /// The server's version.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub version: String,
    /// The connection expires unless refreshed.
    #[prost(bool, tag = "3")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub expires: bool,
    /// Seconds until then.
    #[prost(uint32, tag = "4")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub ttl: u32,
    /// Data for the application.
    #[prost(bytes = "bytes", tag = "5")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// Server-side subscriptions, by channel.
    #[prost(btree_map = "string, message", tag = "6")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub subs: BTreeMap<String, SubscribeResult>,
    /// Seconds between pings.
    #[prost(uint32, tag = "7")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub ping: u32,
    /// Pings must be answered.
    #[prost(bool, tag = "8")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub pong: bool,
    /// Secret of an emulated connection.
    #[prost(string, tag = "9")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub session: String,
    /// Node that holds it.
    #[prost(string, tag = "10")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub node: String,
    /// The server's clock, in milliseconds since 1970.
    #[prost(int64, tag = "11")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub time: i64,
}

/// The subscription stands.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscribeResult {
    /// The subscription expires unless refreshed.
    #[prost(bool, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub expires: bool,
    /// Seconds until then.
    #[prost(uint32, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub ttl: u32,
    /// Missed publications can be asked for.
    #[prost(bool, tag = "3")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub recoverable: bool,
    /// The stream.
    #[prost(string, tag = "6")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub epoch: String,
    /// What was missed.
    #[prost(message, repeated, tag = "7")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub publications: Vec<Publication>,
    /// Nothing is missing.
    #[prost(bool, tag = "8")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub recovered: bool,
    /// Where the publications begin, or the stream's top.
    #[prost(uint64, tag = "9")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub offset: u64,
    /// The server watches the position.
    #[prost(bool, tag = "10")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub positioned: bool,
    /// Data for the application.
    #[prost(bytes = "bytes", tag = "11")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// Recovery was asked for.
    #[prost(bool, tag = "12")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub was_recovering: bool,
    /// Deltas are sent.
    #[prost(bool, tag = "13")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub delta: bool,
}

/// The subscription is gone.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct UnsubscribeResult {}

/// It is published.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishResult {}

/// Who is in the channel.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PresenceResult {
    /// By connection id.
    #[prost(btree_map = "string, message", tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub presence: BTreeMap<String, ClientInfo>,
}

/// How many are in the channel.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PresenceStatsResult {
    /// Connections.
    #[prost(uint32, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub num_clients: u32,
    /// Different users.
    #[prost(uint32, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    pub num_users: u32,
}

/// What was published.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryResult {
    /// The publications asked for.
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub publications: Vec<Publication>,
    /// The stream.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    pub epoch: String,
    /// Its top.
    #[prost(uint64, tag = "3")]
    #[serde(deserialize_with = "or_default")]
    pub offset: u64,
}

/// Answers a command that no client sends.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PingResult {}

/// Output of an operation.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RpcResult {
    /// The output.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
}

/// The connection lives longer.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RefreshResult {
    /// Id of the connection.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub client: String,
    /// The server's version.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub version: String,
    /// The connection expires.
    #[prost(bool, tag = "3")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub expires: bool,
    /// Seconds until then.
    #[prost(uint32, tag = "4")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub ttl: u32,
}

/// The subscription lives longer.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SubRefreshResult {
    /// The subscription expires.
    #[prost(bool, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub expires: bool,
    /// Seconds until then.
    #[prost(uint32, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub ttl: u32,
}

/// The result of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyResult {
    /// See [`ConnectResult`].
    Connect(Box<ConnectResult>),
    /// See [`SubscribeResult`].
    Subscribe(Box<SubscribeResult>),
    /// See [`UnsubscribeResult`].
    Unsubscribe,
    /// See [`PublishResult`].
    Publish,
    /// See [`PresenceResult`].
    Presence(PresenceResult),
    /// See [`PresenceStatsResult`].
    PresenceStats(PresenceStatsResult),
    /// See [`HistoryResult`].
    History(HistoryResult),
    /// See [`RpcResult`].
    Rpc(RpcResult),
    /// See [`RefreshResult`].
    Refresh(RefreshResult),
    /// See [`SubRefreshResult`].
    SubRefresh(SubRefreshResult),
}

impl Reply {
    /// The server's ping: a reply with nothing in it.
    pub fn ping() -> Self {
        Self::default()
    }

    /// The command failed.
    pub fn error(id: u32, error: impl Into<ErrorReply>) -> Self {
        Self {
            id,
            error: Some(error.into()),
            ..Self::default()
        }
    }

    /// Something happened.
    pub fn push(push: Push) -> Self {
        Self {
            push: Some(push),
            ..Self::default()
        }
    }

    /// The command succeeded.
    pub fn result(id: u32, result: ReplyResult) -> Self {
        let mut reply = Self {
            id,
            ..Self::default()
        };
        match result {
            ReplyResult::Connect(it) => reply.connect = Some(*it),
            ReplyResult::Subscribe(it) => reply.subscribe = Some(*it),
            ReplyResult::Unsubscribe => reply.unsubscribe = Some(UnsubscribeResult {}),
            ReplyResult::Publish => reply.publish = Some(PublishResult {}),
            ReplyResult::Presence(it) => reply.presence = Some(it),
            ReplyResult::PresenceStats(it) => reply.presence_stats = Some(it),
            ReplyResult::History(it) => reply.history = Some(it),
            ReplyResult::Rpc(it) => reply.rpc = Some(it),
            ReplyResult::Refresh(it) => reply.refresh = Some(it),
            ReplyResult::SubRefresh(it) => reply.sub_refresh = Some(it),
        }
        reply
    }
}
