//! What a server sends without being asked.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ClientInfo, Publication, SubscribeResult, is_default, or_default};
use crate::raw;

/// Something that happened in a channel or to the connection. Exactly one of the optional fields is set.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Push {
    /// Number in place of the channel's name; not used here.
    #[prost(int64, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub id: i64,
    /// The channel; empty for what concerns the whole connection.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub channel: String,
    /// A publication.
    #[prost(message, optional, tag = "4")]
    #[serde(rename = "pub", skip_serializing_if = "Option::is_none")]
    pub publication: Option<Publication>,
    /// Somebody came.
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// Somebody went.
    #[prost(message, optional, tag = "6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leave: Option<Leave>,
    /// The server ended the subscription.
    #[prost(message, optional, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<Unsubscribe>,
    /// A message outside any channel.
    #[prost(message, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// The server added a subscription.
    #[prost(message, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Subscribe>,
    /// The connection stands; one-way transports only.
    #[prost(message, optional, tag = "10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Connect>,
    /// The connection ends; transports without a close code of their own.
    #[prost(message, optional, tag = "11")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disconnect: Option<Disconnect>,
    /// The connection lives longer.
    #[prost(message, optional, tag = "12")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
}

/// Somebody joined a channel.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Join {
    /// Who.
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<ClientInfo>,
}

/// Somebody left a channel.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Leave {
    /// Who.
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<ClientInfo>,
}

/// The server ended a subscription.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Unsubscribe {
    /// See [`crate::UnsubscribeCode`].
    #[prost(uint32, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub code: u32,
    /// For people.
    #[prost(string, tag = "3")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub reason: String,
}

/// The server added a subscription.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Subscribe {
    /// Missed publications can be asked for.
    #[prost(bool, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub recoverable: bool,
    /// The stream.
    #[prost(string, tag = "4")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub epoch: String,
    /// Its top.
    #[prost(uint64, tag = "5")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub offset: u64,
    /// The server watches the position.
    #[prost(bool, tag = "6")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub positioned: bool,
    /// Data for the application.
    #[prost(bytes = "bytes", tag = "7")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
}

/// A message outside any channel.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// The payload.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
}

/// The connection stands, told to one-way clients.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// Id of the connection.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub client: String,
    /// The server's version.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub version: String,
    /// Data for the application.
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// Subscriptions the server made.
    #[prost(btree_map = "string, message", tag = "4")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub subs: BTreeMap<String, SubscribeResult>,
    /// The connection expires.
    #[prost(bool, tag = "5")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub expires: bool,
    /// Seconds until then.
    #[prost(uint32, tag = "6")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub ttl: u32,
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

/// The connection ends.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Disconnect {
    /// See [`crate::DisconnectCode`].
    #[prost(uint32, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub code: u32,
    /// For people.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub reason: String,
    /// Obsolete; never set.
    #[prost(bool, tag = "3")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub reconnect: bool,
}

/// The connection lives longer.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Refresh {
    /// The connection expires.
    #[prost(bool, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub expires: bool,
    /// Seconds until then.
    #[prost(uint32, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub ttl: u32,
}
