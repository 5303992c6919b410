//! The port between the server API and the running node.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use klokke_protocol::{ChannelName, ClientInfo, Disconnect, Position, StreamPosition, Unsubscribe};
use serde::Serialize;

use super::Failure;
use crate::session::{HistoryPage, PresenceCount, ServerSubscription};

/// What a back end publishes to one channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The payload.
    pub data: Bytes,
    /// Tags, for filters.
    pub tags: BTreeMap<String, String>,
    /// Do not keep it in the channel's history.
    pub skip_history: bool,
    /// Make a delta for those who asked for deltas.
    pub delta: bool,
    /// Against publishing it twice, where the channel has a history.
    pub idempotency_key: Option<String>,
    /// When the call arrived, by [`telemetry::now_us`](crate::telemetry::now_us).
    pub arrived_us: u64,
}

/// Which part of a history.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Range {
    /// Publications at most; `None` is all of them, 0 asks only for the position.
    pub limit: Option<u32>,
    /// After (or, reversed, before) this position.
    pub since: Option<StreamPosition>,
    /// Newest first.
    pub reverse: bool,
}

/// Which connections are meant: all of a user, or of them only those with this client id or session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// The user; empty is any, where `client` or `session` says which.
    pub user: String,
    /// The client id; empty is any.
    pub client: String,
    /// The session id; empty is any.
    pub session: String,
}

/// An open connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionInfo {
    /// Its client id.
    #[serde(skip)]
    pub client: String,
    /// The user.
    pub user: String,
    /// `websocket`, `http_stream`, `sse`.
    pub transport: String,
    /// `json`, `protobuf`.
    pub protocol: String,
    /// Its channels.
    pub channels: Vec<String>,
}

/// This node, or another of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeInfo {
    /// Its id, new at each start.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Which version runs.
    pub version: String,
    /// Connections.
    pub num_clients: u32,
    /// Different users.
    pub num_users: u32,
    /// Channels with a subscriber.
    pub num_channels: u32,
    /// Subscriptions.
    pub num_subs: u32,
    /// Seconds since its start.
    pub uptime: u64,
    /// What was counted.
    pub metrics: NodeMetrics,
    /// What its process uses.
    pub process: NodeProcess,
}

/// What a node counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeMetrics {
    /// Over how many seconds: since its start.
    pub interval: f64,
    /// Counters and gauges by name, summed over their labels.
    pub items: BTreeMap<String, f64>,
}

/// What a node's process uses.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeProcess {
    /// Processor time since its start, in percent of one core.
    pub cpu: f64,
    /// Resident memory in bytes.
    pub rss: u64,
}

/// What the server API asks of the node. Channels of the domain are refused by all of it with
/// [`Failure::PERMISSION_DENIED`](Failure), since nobody but the domain opens them.
#[async_trait]
pub trait Realtime: Send + Sync + 'static {
    /// Publishes to a channel; the position it has there, where the channel has a history. Durable
    /// when it returns, where the channel has one.
    ///
    /// # Errors
    /// 102 unknown namespace, 107 payload the namespace does not take, 111 too much waiting.
    async fn publish(
        &self,
        channel: &ChannelName,
        outgoing: Outgoing,
    ) -> Result<Option<Position>, Failure>;

    /// Reads a channel's history.
    ///
    /// # Errors
    /// 102; 108 no history; 112 another epoch.
    async fn history(&self, channel: &ChannelName, range: Range) -> Result<HistoryPage, Failure>;

    /// Empties a channel's history; positions stay.
    ///
    /// # Errors
    /// 102; 108 no history.
    async fn history_remove(&self, channel: &ChannelName) -> Result<(), Failure>;

    /// Who is subscribed.
    ///
    /// # Errors
    /// 102; 108 presence is off.
    async fn presence(&self, channel: &ChannelName) -> Result<Vec<ClientInfo>, Failure>;

    /// How many are.
    ///
    /// # Errors
    /// As [`Self::presence`].
    async fn presence_stats(&self, channel: &ChannelName) -> Result<PresenceCount, Failure>;

    /// Subscribes connections to a channel.
    ///
    /// # Errors
    /// 102; 103 a channel of the domain; 107 a name or a time that cannot be.
    async fn subscribe(&self, who: Who, subscription: ServerSubscription) -> Result<(), Failure>;

    /// Ends subscriptions: to one channel, or to all but those of the domain.
    ///
    /// # Errors
    /// When the node cannot be asked.
    async fn unsubscribe(
        &self,
        who: Who,
        channel: Option<ChannelName>,
        unsubscribe: Unsubscribe,
    ) -> Result<(), Failure>;

    /// Closes connections, except those with a client id in `spared`.
    ///
    /// # Errors
    /// When the node cannot be asked.
    async fn disconnect(
        &self,
        who: Who,
        disconnect: Disconnect,
        spared: Vec<String>,
    ) -> Result<(), Failure>;

    /// Prolongs connections, or with a moment that is past lets them end.
    ///
    /// # Errors
    /// When the node cannot be asked.
    async fn refresh(
        &self,
        who: Who,
        expires_at_ms: Option<u64>,
        info: Option<Bytes>,
    ) -> Result<(), Failure>;

    /// Channels with a subscriber and how many each has, in no order. Those of the domain are left
    /// out: their names tell who is in which unit.
    ///
    /// # Errors
    /// When the node cannot be asked.
    async fn channels(&self) -> Result<Vec<(ChannelName, u32)>, Failure>;

    /// Open connections, of one user or of all, in the order of their ids: those after `after`, at
    /// most `limit`.
    ///
    /// # Errors
    /// When the node cannot be asked.
    async fn connections(
        &self,
        user: Option<String>,
        after: &str,
        limit: usize,
    ) -> Result<Vec<ConnectionInfo>, Failure>;

    /// All nodes.
    ///
    /// # Errors
    /// When the node cannot be asked.
    async fn nodes(&self) -> Result<Vec<NodeInfo>, Failure>;
}
