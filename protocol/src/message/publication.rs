//! What is published, and by whom.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{is_default, or_default};
use crate::raw;

/// Who is behind a connection.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientInfo {
    /// User id; empty for an anonymous one.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// Id of the connection.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    pub client: String,
    /// Information from the connection token.
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub conn_info: Bytes,
    /// Information from the subscription token.
    #[prost(bytes = "bytes", tag = "4")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub chan_info: Bytes,
}

/// One entry of a channel. Field numbers 1 to 3 and 11 to 16 belong to what is not built here.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Publication {
    /// The payload.
    #[prost(bytes = "bytes", tag = "4")]
    #[serde(with = "raw", skip_serializing_if = "Bytes::is_empty")]
    pub data: Bytes,
    /// The publisher, for what a client published.
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<ClientInfo>,
    /// Place in the stream, from 1; 0 without history.
    #[prost(uint64, tag = "6")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub offset: u64,
    /// Set by the server API; used for filtering.
    #[prost(btree_map = "string, string", tag = "7")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub tags: BTreeMap<String, String>,
    /// `data` is a Fossil delta against the publication before it.
    #[prost(bool, tag = "8")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub delta: bool,
    /// When it was published, in milliseconds since 1970; 0 when not told.
    #[prost(int64, tag = "9")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub time: i64,
    /// The real channel of a wildcard subscription.
    #[prost(string, tag = "10")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub channel: String,
}

/// A place in a stream.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamPosition {
    /// Offset of the last publication seen.
    #[prost(uint64, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub offset: u64,
    /// The stream that the offset belongs to.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub epoch: String,
}

/// A filter over the tags of publications: a tree of comparisons.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct FilterNode {
    /// `and`, `or`, `not`, or empty for a comparison.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub op: String,
    /// Tag that is compared.
    #[prost(string, tag = "2")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub key: String,
    /// `eq neq in nin ex nex sw ew ct lt lte gt gte`.
    #[prost(string, tag = "3")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub cmp: String,
    /// What it is compared with.
    #[prost(string, tag = "4")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub val: String,
    /// What it is compared with, for `in` and `nin`.
    #[prost(string, repeated, tag = "5")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub vals: Vec<String>,
    /// Operands of `op`.
    #[prost(message, repeated, tag = "6")]
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub nodes: Vec<Self>,
}
