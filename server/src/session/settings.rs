//! Options of client connections, typed; configuration fills them.

use std::sync::Arc;

use klokke_protocol::limits;

use super::Namespaces;

/// What all sessions of a server share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Told to clients in the connect result.
    pub version: Arc<str>,
    /// This node's id; told to emulated connections so that their commands find the way.
    pub node: Arc<str>,
    /// Between pings; 0 sends none.
    pub ping_interval_ms: u64,
    /// How long a pong may take; 0 asks for none. Less than the interval.
    pub pong_timeout_ms: u64,
    /// How long the connect command may take.
    pub stale_close_delay_ms: u64,
    /// Time after expiry for a late refresh.
    pub expired_close_delay_ms: u64,
    /// Time after a subscription's expiry for a late refresh.
    pub expired_sub_close_delay_ms: u64,
    /// Largest frame that a transport hands in, in bytes; some of that size may wait behind a slow command.
    pub frame_max_bytes: usize,
    /// Most channels of one connection, those of the domain not counted.
    pub channel_limit: usize,
    /// Most connections of one user on this node; 0 means no limit.
    pub user_connection_limit: u32,
    /// How long a channel must be quiet before positions are compared with its stream; 0 never does.
    pub position_check_delay_ms: u64,
    /// Most publications of one history page.
    pub history_max_publication_limit: u32,
    /// Most publications of one recovery.
    pub recovery_max_publication_limit: u32,
    /// Error replies after which the connection is closed (3509); 0 means never.
    pub error_limit: u32,
    /// No rights are checked and nothing expires. For trials only.
    pub insecure: bool,
    /// Connections without a token are let in as anonymous.
    pub allow_anonymous_connect_without_token: bool,
    /// Every named user is subscribed to a channel of their own.
    pub personal_channel: Option<PersonalChannel>,
    /// Connects go on when their turn comes; asks [`Effect::Admit`](super::Effect::Admit).
    pub admission: bool,
    /// People of the domain get their channels; asks [`Effect::Enter`](super::Effect::Enter).
    pub domain: bool,
    /// Somebody handles RPC; otherwise it is answered 108.
    pub rpc: bool,
    /// Somebody handles messages without reply; otherwise they close the connection (3508).
    pub messages: bool,
    /// The generic channels.
    pub namespaces: Namespaces,
}

/// Where the personal channels are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalChannel {
    /// Their namespace; empty for channels without one.
    pub namespace: Box<str>,
}

impl Default for Settings {
    /// The protocol's defaults (`docs/protocol.md`, section 9).
    fn default() -> Self {
        let publications = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        Self {
            version: concat!("klokke ", env!("CARGO_PKG_VERSION")).into(),
            node: "".into(),
            ping_interval_ms: 25_000,
            pong_timeout_ms: 8_000,
            stale_close_delay_ms: 10_000,
            expired_close_delay_ms: 25_000,
            expired_sub_close_delay_ms: 25_000,
            frame_max_bytes: limits::FRAME_BYTES_MAX,
            channel_limit: limits::CHANNELS_PER_CONNECTION_MAX,
            user_connection_limit: 0,
            position_check_delay_ms: 40_000,
            history_max_publication_limit: publications(limits::HISTORY_PUBLICATIONS_MAX),
            recovery_max_publication_limit: publications(limits::RECOVERY_PUBLICATIONS_MAX),
            error_limit: 0,
            insecure: false,
            allow_anonymous_connect_without_token: false,
            personal_channel: None,
            admission: false,
            domain: false,
            rpc: false,
            messages: false,
            namespaces: Namespaces::default(),
        }
    }
}
