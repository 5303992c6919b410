//! Subscriptions as the session keeps them, and those that are being made.

use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{ChannelName, ClientInfo, StreamPosition};

use super::{NamespaceId, RecoveryMode};
use crate::auth::UnixMillis;
use crate::hub::Lens;

/// Who made a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The client's subscribe command.
    Client,
    /// The connection token: a refresh must name the same ones.
    Token,
    /// The server: personal channel, server API, or the connect command's wish.
    Server,
    /// What the person may see in the domain.
    Domain,
}

impl Origin {
    /// Whether the client learns of it by the connect result or a push, not by its own command.
    pub(super) const fn is_server_side(self) -> bool {
        !matches!(self, Self::Client)
    }
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) channel: ChannelName,
    pub(super) origin: Origin,
    pub(super) namespace: NamespaceId,
    /// False while the driver is still at it.
    pub(super) is_active: bool,
    pub(super) expires_at_ms: Option<UnixMillis>,
    pub(super) lens: Lens,
    /// The client as others see it in this channel, when that is more than its connection.
    pub(super) info: Option<Arc<ClientInfo>>,
}

/// A subscription being made: what has to be known when it becomes active.
#[derive(Debug, Clone)]
pub(super) struct Joining {
    pub(super) channel: ChannelName,
    pub(super) origin: Origin,
    pub(super) wish: Wish,
    pub(super) is_positioned: bool,
    pub(super) is_recoverable: bool,
    pub(super) delta: bool,
    pub(super) expires_at_ms: Option<UnixMillis>,
    pub(super) data: Option<Bytes>,
    /// The client as others see it, when its coming is announced.
    pub(super) announce: Option<Arc<ClientInfo>>,
}

/// What the client wants to have recovered.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    /// The last position it has, when it asked for recovery.
    pub(super) since: Option<StreamPosition>,
    pub(super) mode: RecoveryMode,
    /// Give the newest publication without being asked.
    pub(super) newest_anyway: bool,
    /// Refuse the subscription if recovery fails (error 112).
    pub(super) must_recover: bool,
}

/// The subscriptions of one connection, some dozens at most: a list.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Vec<Subscription>);

impl Subscriptions {
    pub(super) fn find(&self, channel: &str) -> Option<&Subscription> {
        self.0
            .iter()
            .find(|subscription| subscription.channel.as_str() == channel)
    }

    pub(super) fn find_mut(&mut self, channel: &str) -> Option<&mut Subscription> {
        self.0
            .iter_mut()
            .find(|subscription| subscription.channel.as_str() == channel)
    }

    pub(super) fn add(&mut self, subscription: Subscription) {
        self.0.push(subscription);
    }

    pub(super) fn remove(&mut self, channel: &str) -> Option<Subscription> {
        let place = self
            .0
            .iter()
            .position(|it| it.channel.as_str() == channel)?;
        Some(self.0.swap_remove(place))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.0.iter()
    }

    /// How many count against the connection's limit: the domain's are not the client's doing.
    pub(super) fn limited(&self) -> usize {
        self.0
            .iter()
            .filter(|it| it.origin != Origin::Domain)
            .count()
    }

    /// The earliest expiry.
    pub(super) fn next_expiry_ms(&self) -> Option<UnixMillis> {
        self.0.iter().filter_map(|it| it.expires_at_ms).min()
    }
}
