//! What the driver brings to a session: answers to its questions, and events nobody asked for.

use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{
    ChannelName, ClientInfo, Disconnect, Epoch, ErrorReply, Publication, StreamPosition,
    Unsubscribe,
};

use crate::auth::{ConnectionToken, Overrides, SubscriptionToken, TokenError, UnixMillis};
use crate::hub::Lens;

/// The answer to a question of the session.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To [`Effect::Verify`](super::Effect::Verify).
    Verified(Result<Arc<ConnectionToken>, TokenError>),
    /// To [`Effect::VerifySubscription`](super::Effect::VerifySubscription).
    SubscriptionVerified(Result<Arc<SubscriptionToken>, TokenError>),
    /// To [`Effect::Admit`](super::Effect::Admit).
    Admitted(Result<(), ErrorReply>),
    /// To [`Effect::Enter`](super::Effect::Enter): every domain channel the person may see now.
    Entered(Result<Vec<Entitlement>, ErrorReply>),
    /// To [`Effect::Subscribe`](super::Effect::Subscribe).
    Subscribed(Result<Subscribed, SubscribeFailure>),
    /// To [`Effect::Publish`](super::Effect::Publish).
    Published(Result<(), ErrorReply>),
    /// To [`Effect::History`](super::Effect::History).
    History(Result<HistoryPage, ErrorReply>),
    /// To [`Effect::Presence`](super::Effect::Presence).
    Presence(Result<Vec<Arc<ClientInfo>>, ErrorReply>),
    /// To [`Effect::PresenceStats`](super::Effect::PresenceStats).
    PresenceStats(Result<PresenceCount, ErrorReply>),
    /// To [`Effect::Rpc`](super::Effect::Rpc).
    Rpc(Result<Bytes, ErrorReply>),
    /// To [`Effect::StepUp`](super::Effect::StepUp).
    SteppedUp(Result<SteppedUp, ErrorReply>),
}

/// A newer login of the same person that raises the session.
#[derive(Debug, Clone)]
pub struct SteppedUp {
    /// What the newer token says.
    pub token: Arc<ConnectionToken>,
    /// The operation's output.
    pub output: Bytes,
}

/// One domain channel a person may see, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// The channel.
    pub channel: ChannelName,
    /// How it is seen.
    pub lens: Lens,
}

/// A subscription that is active in the hub. The driver must hand this over, and write what the session
/// then says, before it lets the hub fan out again: a reply precedes the pushes it announces.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subscribed {
    /// The stream; empty when the channel has none.
    pub epoch: Epoch,
    /// Its top when the subscription became active.
    pub top: u64,
    /// First offset of the unbroken run that was read and that ends at `top`; `top + 1` when nothing
    /// was read. What was hidden or filtered counts as read.
    pub unbroken_from: u64,
    /// What was read, ascending, as this subscriber may see it.
    pub publications: Vec<Publication>,
    /// Where it was read, for the figures.
    pub source: Source,
}

/// Where what a client missed was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Source {
    /// Nothing was read.
    #[default]
    None,
    /// The ledger's recent entries.
    Memory,
    /// The store.
    Store,
}

/// Why a subscription could not be made.
#[derive(Debug, Clone, PartialEq)]
pub enum SubscribeFailure {
    /// History and live publications could not be merged without a hole; the client starts again.
    Insufficient,
    /// It was ended while it was being made.
    Ended,
    /// Anything else.
    Refused(ErrorReply),
}

/// A page of history.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistoryPage {
    /// The publications in the order asked for, as the reader may see them.
    pub publications: Vec<Publication>,
    /// The stream.
    pub epoch: Epoch,
    /// Its top.
    pub offset: u64,
}

/// How many are present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PresenceCount {
    /// Connections.
    pub clients: u32,
    /// Distinct users.
    pub users: u32,
}

/// What happens to a session without its asking.
#[derive(Debug, Clone)]
pub enum Event {
    /// Everything the person may see in the domain now; it replaces what was said before.
    Entitlements(Vec<Entitlement>),
    /// The hub found that a subscription missed something.
    PositionLost {
        /// The channel.
        channel: ChannelName,
    },
    /// A back end subscribes this connection.
    Subscribe(Box<ServerSubscription>),
    /// A back end, or a change in the server, ends a subscription.
    Unsubscribe {
        /// The channel; `None` ends all but domain subscriptions.
        channel: Option<ChannelName>,
        /// What the client is told.
        unsubscribe: Unsubscribe,
    },
    /// A back end, or the server, ends the connection.
    Disconnect(Disconnect),
    /// A back end prolongs the connection (or ends it, when the moment is past).
    Refresh {
        /// When it must have been refreshed again; `None` means never.
        expires_at_ms: Option<UnixMillis>,
        /// New `conn_info`.
        info: Option<Bytes>,
    },
    /// A back end, or an operation, sends a message outside of channels.
    Message(Bytes),
}

/// A subscription the server makes for a client.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerSubscription {
    /// The channel, in a namespace opened by configuration.
    pub channel: Box<str>,
    /// Shown to others as `chan_info`.
    pub info: Option<Bytes>,
    /// Handed to the client.
    pub data: Option<Bytes>,
    /// When it must have been refreshed; `None` means never.
    pub expires_at_ms: Option<UnixMillis>,
    /// Recover from here.
    pub recover_since: Option<StreamPosition>,
    /// Options that replace the namespace's.
    pub overrides: Overrides,
}
