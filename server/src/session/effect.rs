//! What a session asks of its driver.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{ChannelName, ClientInfo, Disconnect, StreamPosition};

use crate::auth::{ConnectionToken, UnixMillis};
use crate::hub::{Lens, SubOptions};

/// Names one question of a session. The driver gives it back with the [`Answer`](super::Answer);
/// numbers are used once within a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u32);

/// What the driver has to do. Effects are carried out in the order they are polled.
///
/// Every effect with a ticket must be answered, also when the work failed or took too long: the session
/// waits without a limit of its own, and the commands behind wait with it.
#[derive(Clone, PartialEq)]
pub enum Effect {
    /// Write these bytes; they are complete for the connection's transport.
    Write {
        /// A whole frame (or several).
        frame: Bytes,
        /// How many replies and pushes it holds.
        messages: u32,
    },
    /// Send a native WebSocket ping frame; the pong comes back by
    /// [`Session::handle_pong`](super::Session::handle_pong).
    Ping,
    /// Close the connection; nothing follows. On emulated transports the announcing message was written.
    Close(Disconnect),
    /// Verify a connection token; answered by [`Answer::Verified`](super::Answer::Verified).
    Verify {
        /// The question.
        ticket: Ticket,
        /// The token as sent.
        token: Box<str>,
    },
    /// Verify a subscription token; answered by
    /// [`Answer::SubscriptionVerified`](super::Answer::SubscriptionVerified).
    VerifySubscription {
        /// The question.
        ticket: Ticket,
        /// The token as sent.
        token: Box<str>,
    },
    /// Let the connect go on when its turn comes; answered by
    /// [`Answer::Admitted`](super::Answer::Admitted). From then on it is under way until the session is open, rejected or
    /// closed.
    Admit {
        /// The question.
        ticket: Ticket,
        /// Who came.
        identity: Arc<Identity>,
    },
    /// Find what the person may see in the domain; answered by
    /// [`Answer::Entered`](super::Answer::Entered). From now on the driver reports changes of it
    /// by [`Event::Entitlements`](super::Event::Entitlements).
    Enter {
        /// The question.
        ticket: Ticket,
        /// Who came.
        identity: Arc<Identity>,
    },
    /// The level, the time of authentication or the profiles changed: compute the entitlements anew and
    /// report them by [`Event::Entitlements`](super::Event::Entitlements).
    Reassess {
        /// Who it is now.
        identity: Arc<Identity>,
    },
    /// Subscribe in the hub, read what recovery needs, activate; answered by
    /// [`Answer::Subscribed`](super::Answer::Subscribed).
    Subscribe(Box<SubscribeEffect>),
    /// The client was told of all its subscriptions: those held back become active
    /// ([`Hub::release`](crate::hub::Hub::release)).
    Release,
    /// Tell the channel's subscribers on all shards that this client came.
    Announce {
        /// The channel.
        channel: ChannelName,
        /// The client as others see it.
        info: Arc<ClientInfo>,
    },
    /// End a subscription in the hub, and tell the channel that the client left, where that is announced.
    Unsubscribe {
        /// The channel.
        channel: ChannelName,
    },
    /// Change how a subscriber looks at a channel, before anything more is delivered there.
    SetLens {
        /// The channel.
        channel: ChannelName,
        /// The new lens.
        lens: Lens,
    },
    /// Publish; rights are checked. Answered by [`Answer::Published`](super::Answer::Published).
    Publish {
        /// The question.
        ticket: Ticket,
        /// The channel.
        channel: ChannelName,
        /// The payload.
        data: Bytes,
        /// The publisher as others see it.
        info: Arc<ClientInfo>,
    },
    /// Read history; rights and limit are checked. Answered by
    /// [`Answer::History`](super::Answer::History).
    History(Box<HistoryEffect>),
    /// Collect presence from all shards; answered by
    /// [`Answer::Presence`](super::Answer::Presence).
    Presence {
        /// The question.
        ticket: Ticket,
        /// The channel.
        channel: ChannelName,
    },
    /// Count presence on all shards; answered by
    /// [`Answer::PresenceStats`](super::Answer::PresenceStats).
    PresenceStats {
        /// The question.
        ticket: Ticket,
        /// The channel.
        channel: ChannelName,
    },
    /// Run an operation; answered by [`Answer::Rpc`](super::Answer::Rpc).
    Rpc {
        /// The question.
        ticket: Ticket,
        /// Its name.
        method: Box<str>,
        /// Its input.
        data: Bytes,
    },
    /// Judge a newer login for this session; answered by [`Answer::SteppedUp`](super::Answer::SteppedUp).
    StepUp {
        /// The question.
        ticket: Ticket,
        /// The operation's input, which holds the token.
        data: Bytes,
    },
    /// A message to the server that wants no answer.
    Message {
        /// The payload.
        data: Bytes,
    },
}

impl fmt::Debug for Effect {
    /// The kind alone: effects hold tokens and payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write { .. } => "Write",
            Self::Ping => "Ping",
            Self::Close(disconnect) => return write!(f, "Close({})", disconnect.code),
            Self::Verify { .. } => "Verify",
            Self::VerifySubscription { .. } => "VerifySubscription",
            Self::Admit { .. } => "Admit",
            Self::Enter { .. } => "Enter",
            Self::Reassess { .. } => "Reassess",
            Self::Subscribe(_) => "Subscribe",
            Self::Release => "Release",
            Self::Announce { .. } => "Announce",
            Self::Unsubscribe { .. } => "Unsubscribe",
            Self::SetLens { .. } => "SetLens",
            Self::Publish { .. } => "Publish",
            Self::History(_) => "History",
            Self::Presence { .. } => "Presence",
            Self::PresenceStats { .. } => "PresenceStats",
            Self::Rpc { .. } => "Rpc",
            Self::StepUp { .. } => "StepUp",
            Self::Message { .. } => "Message",
        })
    }
}

/// A subscription to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscribeEffect {
    /// The question.
    pub ticket: Ticket,
    /// The channel.
    pub channel: ChannelName,
    /// How it is wanted in the hub.
    pub options: SubOptions,
    /// What to read before activating.
    pub backlog: BacklogWish,
}

/// What has to be read from a channel's stream before a subscription becomes active.
#[derive(Debug, Clone, PartialEq)]
pub enum BacklogWish {
    /// Nothing; the subscription is live only. It is active at once, or on a cluster when the channel's ledger is loaded.
    None,
    /// The top of the stream (offset and epoch).
    Top,
    /// The top and everything after `since`, oldest first, at most `limit` publications.
    Since {
        /// The last position the client has.
        since: StreamPosition,
        /// Most publications to read.
        limit: u32,
    },
    /// The top and the newest publication.
    Latest,
}

/// A page of history to be read.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEffect {
    /// The question.
    pub ticket: Ticket,
    /// The channel.
    pub channel: ChannelName,
    /// Most publications; 0 asks for the position only.
    pub limit: u32,
    /// Read from here (exclusive); `None` reads from the end the direction starts at.
    pub since: Option<StreamPosition>,
    /// Newest first.
    pub reverse: bool,
    /// How the reader looks at the channel.
    pub lens: Lens,
}

/// Who a connection is, as its token said.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The user; empty when anonymous.
    pub subject: Box<str>,
    /// This connection's id.
    pub client: Box<str>,
    /// Shown to others as `conn_info`.
    pub info: Bytes,
    /// Institution profiles this sign-in may act as; empty means all of the subject's.
    pub profiles: Box<[String]>,
    /// Assurance level, 0 (none told) to 4.
    pub level: u8,
    /// When the person last authenticated.
    pub authenticated_ms: Option<UnixMillis>,
    /// The token by which it is connected: the one it came with, or that renewed it.
    pub login: Login,
    /// The token that raised its level, when that was another one.
    pub raised_by: Option<Box<Login>>,
}

/// A token that was shown, as far as it can be taken back.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Login {
    /// Its `jti`.
    pub token: Option<Box<str>>,
    /// When it was issued.
    pub issued_ms: Option<UnixMillis>,
}

impl Login {
    /// Of a token's claims.
    #[must_use]
    pub fn of(token: &ConnectionToken) -> Self {
        Self {
            token: token.id.as_deref().map(Into::into),
            issued_ms: token.issued_at,
        }
    }
}

impl Identity {
    /// Every token it lives by: when one of them is taken back, it is over.
    pub fn logins(&self) -> impl Iterator<Item = &Login> {
        std::iter::once(&self.login).chain(self.raised_by.as_deref())
    }
}

impl fmt::Debug for Identity {
    /// Leaves out whatever could name a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("client", &self.client)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}
