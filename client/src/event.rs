//! What a client tells its application.

use klokke_protocol::{
    ClientInfo, ErrorReply, HistoryResult, PresenceResult, PresenceStatsResult, Publication,
    RpcResult,
};

/// Something the application may want to know. Nothing here needs an answer except the two requests for tokens.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A connection is being made, for the first time or again.
    Connecting {
        /// Why the last connection ended; 0 at the start.
        code: u32,
        /// The same for people.
        reason: String,
    },
    /// The connection stands.
    Connected {
        /// Its id.
        client: String,
    },
    /// The client has given up, or was told to stop; it does not come back by itself.
    Disconnected {
        /// Why.
        code: u32,
        /// The same for people.
        reason: String,
    },
    /// A subscription stands, the application's own or one the server made.
    Subscribed {
        /// The channel.
        channel: String,
        /// Whether the server filled the gap since the last subscription; `false` also at the first.
        recovered: bool,
        /// Whether a gap was to be filled.
        was_recovering: bool,
    },
    /// A subscription is gone for good.
    Unsubscribed {
        /// The channel.
        channel: String,
        /// Why.
        code: u32,
        /// The same for people.
        reason: String,
    },
    /// Something was published.
    Publication {
        /// The channel.
        channel: String,
        /// What, with any delta already applied.
        publication: Publication,
    },
    /// Somebody came.
    Join {
        /// The channel.
        channel: String,
        /// Who.
        info: ClientInfo,
    },
    /// Somebody went.
    Leave {
        /// The channel.
        channel: String,
        /// Who.
        info: ClientInfo,
    },
    /// A message outside any channel.
    Message {
        /// Its payload.
        data: bytes::Bytes,
    },
    /// A newer connection token is wanted: answer with `set_token`.
    TokenNeeded,
    /// A newer subscription token is wanted: answer with `set_subscription_token`.
    SubscriptionTokenNeeded {
        /// The channel.
        channel: String,
    },
}

/// What a call brought.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// It is published.
    Published,
    /// The output of an operation.
    Rpc(RpcResult),
    /// What was published before.
    History(HistoryResult),
    /// Who is there.
    Presence(PresenceResult),
    /// How many are there.
    PresenceStats(PresenceStatsResult),
}

/// Why a call brought nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The server said no.
    #[error("the server refused with {} {}", .0.code, .0.message)]
    Server(ErrorReply),
    /// No answer came in time; whether it was done is not known.
    #[error("no answer in time")]
    Timeout,
    /// The connection ended before the answer; whether it was done is not known.
    #[error("the connection ended before the answer")]
    ConnectionLost,
    /// Too many calls wait already.
    #[error("too many calls wait for an answer")]
    TooMany,
    /// The payload cannot be told in JSON.
    #[error("the payload is not JSON")]
    NotJson,
    /// The client has ended.
    #[error("the client has ended")]
    Ended,
}
