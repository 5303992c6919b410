//! What a shard counts, with the handles found once.

use super::connections::Connections;
use crate::auth::TokenError;
use crate::hub::{FanOut, Hub};
use crate::telemetry::{Count, Level, Meters, catalogue};
use crate::transport::{Cause, Door};

/// One shard's counters.
pub(super) struct Tally {
    meters: Meters,
    clients: Level,
    users: Level,
    channels: Level,
    subscriptions: Level,
    writes: Count,
    frames: Count,
}

impl Tally {
    pub(super) fn new(meters: Meters) -> Self {
        meters.gauge(catalogue::SHARDS, &[]).set(1);
        Self {
            clients: meters.gauge(catalogue::NODE_NUM_CLIENTS, &[]),
            users: meters.gauge(catalogue::NODE_NUM_USERS, &[]),
            channels: meters.gauge(catalogue::NODE_NUM_CHANNELS, &[]),
            subscriptions: meters.gauge(catalogue::NODE_NUM_SUBSCRIPTIONS, &[]),
            writes: meters.counter(catalogue::FANOUT_WRITES, &[]),
            frames: meters.counter(catalogue::FANOUT_FRAMES, &[]),
            meters,
        }
    }

    /// How much the shard holds now.
    pub(super) fn holds(&self, connections: &Connections, hub: &Hub) {
        let level = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.clients.set(level(connections.len()));
        self.users.set(level(connections.users()));
        self.channels.set(level(hub.channel_count()));
        self.subscriptions.set(level(hub.subscription_count()));
    }

    pub(super) fn fanned_out(&self, done: &FanOut) {
        self.writes.add(done.writes as u64);
        self.frames.add(done.messages as u64);
    }

    /// The server closed a connection.
    pub(super) fn disconnected(&self, code: u32) {
        let code = code.to_string();
        self.meters.count(catalogue::CLIENT_DISCONNECTS, &[&code]);
    }

    /// A token was judged.
    pub(super) fn verified(&self, error: Option<&TokenError>) {
        let outcome = match error {
            None => "accepted",
            Some(TokenError::Expired) => "expired",
            Some(TokenError::Revoked) => "revoked",
            Some(TokenError::Unavailable) => "unavailable",
            Some(_) => "invalid",
        };
        self.meters.count(catalogue::TOKENS_VERIFIED, &[outcome]);
    }

    pub(super) fn slow(&self, door: Door) {
        self.meters.count(catalogue::SLOW_CONSUMERS, &[door.name()]);
    }

    /// A socket ended by itself.
    pub(super) fn closed(&self, cause: Cause) {
        let reason = match cause {
            Cause::Framing(1009) => "too_large",
            Cause::Framing(1007) => "utf8",
            Cause::Framing(_) => "protocol",
            Cause::Slow => return self.slow(Door::WebSocket),
            Cause::Client | Cause::Broken => return,
        };
        self.meters.count(catalogue::FRAMES_REFUSED, &[reason]);
    }
}
