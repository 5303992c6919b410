//! What a client asks.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{FilterNode, StreamPosition, is_default, or_default};
use crate::raw;

/// One request of a client. Exactly one of the optional fields should be set; none is the answer to a ping.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Command {
    /// Number of the request, above 0; 0 for `send` and for the answer to a ping.
    #[prost(uint32, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub id: u32,
    /// The request `connect`.
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<ConnectRequest>,
    /// The request `subscribe`.
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<SubscribeRequest>,
    /// The request `unsubscribe`.
    #[prost(message, optional, tag = "6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<UnsubscribeRequest>,
    /// The request `publish`.
    #[prost(message, optional, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<PublishRequest>,
    /// The request `presence`.
    #[prost(message, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceRequest>,
    /// The request `presence_stats`.
    #[prost(message, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_stats: Option<PresenceStatsRequest>,
    /// The request `history`.
    #[prost(message, optional, tag = "10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryRequest>,
    /// The request `ping`.
    #[prost(message, optional, tag = "11")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<PingRequest>,
    /// The request `send`.
    #[prost(message, optional, tag = "12")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<SendRequest>,
    /// The request `rpc`.
    #[prost(message, optional, tag = "13")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpc: Option<RpcRequest>,
    /// The request `refresh`.
    #[prost(message, optional, tag = "14")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshRequest>,
    /// The request `sub_refresh`.
    #[prost(message, optional, tag = "15")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_refresh: Option<SubRefreshRequest>,
}

/// The first command of every connection.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectRequest {
    /// Connection token.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub token: String,
    /// Data of the application.
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// Positions in server-side subscriptions, by channel.
    #[prost(btree_map = "string, message", tag = "3")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub subs: BTreeMap<String, SubscribeRequest>,
    /// Name of the client's software.
    #[prost(string, tag = "4")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub name: String,
    /// Version of the client's software.
    #[prost(string, tag = "5")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub version: String,
    /// Headers a browser could not set.
    #[prost(btree_map = "string, string", tag = "6")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, String>,
    /// Bit 0: dictionary compression; not offered here.
    #[prost(int64, tag = "7")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub flag: i64,
    /// Dictionary the client holds.
    #[prost(string, tag = "8")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub dict: String,
    /// Profile of the dictionary.
    #[prost(string, tag = "9")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub profile: String,
}

/// Asks for the publications of a channel. Fields 15 to 19 belong to map subscriptions.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscribeRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub channel: String,
    /// Subscription token.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub token: String,
    /// Asks for what was missed since the position.
    #[prost(bool, tag = "3")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub recover: bool,
    /// The stream that was seen.
    #[prost(string, tag = "6")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub epoch: String,
    /// The last publication that was seen.
    #[prost(uint64, tag = "7")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub offset: u64,
    /// Data of the application.
    #[prost(bytes = "bytes", tag = "8")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// Asks the server to watch the position.
    #[prost(bool, tag = "9")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub positioned: bool,
    /// Asks for recovery.
    #[prost(bool, tag = "10")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub recoverable: bool,
    /// Asks for join and leave.
    #[prost(bool, tag = "11")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub join_leave: bool,
    /// `fossil` asks for deltas.
    #[prost(string, tag = "12")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub delta: String,
    /// Filter over tags.
    #[prost(message, optional, tag = "13")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tf: Option<FilterNode>,
    /// Bit 1: refuse rather than recover incompletely.
    #[prost(int64, tag = "14")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub flag: i64,
    /// Kind of subscription; only 0, a stream, is served here.
    #[prost(int32, tag = "15")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub r#type: i32,
}

/// Ends a subscription.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct UnsubscribeRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub channel: String,
}

/// Publishes into a channel. Fields 3 to 5 belong to map subscriptions.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub channel: String,
    /// The payload.
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// Kind of publication; only 0, a stream, is served here.
    #[prost(int32, tag = "3")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub r#type: i32,
}

/// Asks who is in a channel.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PresenceRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub channel: String,
}

/// Asks how many are in a channel.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PresenceStatsRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub channel: String,
}

/// Asks for what was published.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub channel: String,
    /// At most this many; 0 for the position only, -1 for all.
    #[prost(int32, tag = "7")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub limit: i32,
    /// From here, this place not included.
    #[prost(message, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<StreamPosition>,
    /// Newest first.
    #[prost(bool, tag = "9")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub reverse: bool,
}

/// A command of old clients that no server answers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct PingRequest {}

/// A message to the server that has no answer.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SendRequest {
    /// The payload.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
}

/// Calls an operation.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RpcRequest {
    /// Its input.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// Its name.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub method: String,
}

/// Gives a newer connection token.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct RefreshRequest {
    /// The token.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub token: String,
}

/// Gives a newer subscription token. Fields 3 to 5 belong to shared polls.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct SubRefreshRequest {
    /// The channel.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub channel: String,
    /// The token.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub token: String,
}

/// Carries commands of a connection whose transport only goes one way.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct EmulationRequest {
    /// Node that holds the connection.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub node: String,
    /// Secret of the connection.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub session: String,
    /// The commands, as one frame.
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
}

/// The one request of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// The answer to a ping.
    Pong,
    /// See [`ConnectRequest`].
    Connect(ConnectRequest),
    /// See [`SubscribeRequest`].
    Subscribe(SubscribeRequest),
    /// See [`UnsubscribeRequest`].
    Unsubscribe(UnsubscribeRequest),
    /// See [`PublishRequest`].
    Publish(PublishRequest),
    /// See [`PresenceRequest`].
    Presence(PresenceRequest),
    /// See [`PresenceStatsRequest`].
    PresenceStats(PresenceStatsRequest),
    /// See [`HistoryRequest`].
    History(HistoryRequest),
    /// See [`PingRequest`].
    Ping(PingRequest),
    /// See [`SendRequest`].
    Send(SendRequest),
    /// See [`RpcRequest`].
    Rpc(RpcRequest),
    /// See [`RefreshRequest`].
    Refresh(RefreshRequest),
    /// See [`SubRefreshRequest`].
    SubRefresh(SubRefreshRequest),
}

impl Command {
    /// The command's number and its request; where several are set, the first in the order of the protocol wins.
    pub fn into_request(self) -> (u32, Request) {
        let request = None
            .or(self.connect.map(Request::Connect))
            .or(self.subscribe.map(Request::Subscribe))
            .or(self.unsubscribe.map(Request::Unsubscribe))
            .or(self.publish.map(Request::Publish))
            .or(self.presence.map(Request::Presence))
            .or(self.presence_stats.map(Request::PresenceStats))
            .or(self.history.map(Request::History))
            .or(self.ping.map(Request::Ping))
            .or(self.send.map(Request::Send))
            .or(self.rpc.map(Request::Rpc))
            .or(self.refresh.map(Request::Refresh))
            .or(self.sub_refresh.map(Request::SubRefresh));
        (self.id, request.unwrap_or(Request::Pong))
    }
}
