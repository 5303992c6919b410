//! Time in a session: ping and pong, expiry, and the wait for the connect command.

use klokke_protocol::{DisconnectCode, Reply, UnsubscribeCode};

use super::machine::{Phase, PingStyle, Session};
use super::{Effect, Frame, NamespaceId};
use crate::auth::UnixMillis;

/// A WebSocket ping without a payload.
const NATIVE_PING_BYTES: u64 = 2;
/// Stands for "never".
const NEVER: u64 = u64::MAX;

/// What is due when; [`NEVER`] for what is not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// The connect command must have come.
    stale: u64,
    /// A ping goes out.
    ping: u64,
    /// The pong must have come.
    pong: u64,
    /// The connection must have been refreshed, the delay for late ones included.
    expiry: u64,
    /// The same for the first of its subscriptions.
    subscription: u64,
}

impl Deadlines {
    pub(super) const fn none() -> Self {
        Self {
            stale: NEVER,
            ping: NEVER,
            pong: NEVER,
            expiry: NEVER,
            subscription: NEVER,
        }
    }

    pub(super) const fn stale(at_ms: u64) -> Self {
        Self {
            stale: at_ms,
            ..Self::none()
        }
    }

    fn next(&self) -> u64 {
        self.stale
            .min(self.ping)
            .min(self.pong)
            .min(self.expiry)
            .min(self.subscription)
    }
}

/// Whole seconds until a moment, at least one: a ttl of 0 would mean "does not expire".
pub(super) fn ttl_seconds(at_ms: UnixMillis, now_ms: u64) -> u32 {
    u32::try_from(at_ms.saturating_sub(now_ms) / 1000)
        .unwrap_or(u32::MAX)
        .max(1)
}

impl Session {
    /// When [`Session::handle_timeout`] wants to be called; `None` once closed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        Some(self.deadlines.next()).filter(|at| *at != NEVER)
    }

    /// Does what is due at `now_ms`. Calling early or twice is harmless.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.deadlines.stale <= now_ms {
            return self.close(DisconnectCode::STALE);
        }
        if self.deadlines.expiry <= now_ms {
            return self.close(DisconnectCode::EXPIRED);
        }
        if self.deadlines.subscription <= now_ms {
            self.on_subscription_expiry(now_ms);
        }
        if self.deadlines.pong <= now_ms {
            if !self.is_behind() {
                return self.close(DisconnectCode::NO_PONG);
            }
            // The driver reads no further while commands wait, so the pong may be there, unread.
            self.deadlines.pong = now_ms.saturating_add(self.settings.pong_timeout_ms);
        }
        if self.deadlines.ping <= now_ms {
            self.send_ping(now_ms);
        }
    }

    /// Begins to ping. The first one comes at a random moment of the second half of the interval: after a
    /// restart thousands connect at once, and their pings must not come at once for ever.
    pub(super) fn start_pings(&mut self, now_ms: u64) {
        self.deadlines.stale = NEVER;
        let interval = self.settings.ping_interval_ms;
        if interval > 0 {
            let half = interval / 2;
            let spread = u64::from(self.jitter) % (interval - half + 1);
            self.deadlines.ping = now_ms.saturating_add(half + spread);
        }
    }

    /// Whether the client has to answer pings.
    pub(super) fn wants_pong(&self) -> bool {
        self.settings.ping_interval_ms > 0 && self.settings.pong_timeout_ms > 0
    }

    fn send_ping(&mut self, now_ms: u64) {
        match self.ping {
            PingStyle::Messages => self.say(&Reply::ping()),
            PingStyle::Frames => {
                let (ping, bytes) = (Frame::ServerPing, NATIVE_PING_BYTES);
                self.counts.sent(ping, NamespaceId::NONE, 1, bytes);
                self.effect(Effect::Ping);
            }
        }
        self.pinged_us = self.counts.now_us();
        self.deadlines.ping = now_ms.saturating_add(self.settings.ping_interval_ms);
        if self.wants_pong() && self.deadlines.pong == NEVER {
            self.deadlines.pong = now_ms.saturating_add(self.settings.pong_timeout_ms);
        }
    }

    /// A pong as a command: each ping allows one.
    pub(super) fn on_pong(&mut self) {
        if self.deadlines.pong == NEVER {
            return self.close(DisconnectCode::BAD_REQUEST);
        }
        self.counts.pong(self.pinged_us);
        self.deadlines.pong = NEVER;
    }

    /// Takes a native WebSocket pong ([`PingStyle::Frames`]). One that was not asked for is allowed by
    /// RFC 6455.
    pub fn handle_pong(&mut self) {
        if self.phase == Phase::Open && self.ping == PingStyle::Frames {
            self.counts
                .received(Frame::ClientPong, NamespaceId::NONE, 0);
            if self.deadlines.pong != NEVER {
                self.counts.pong(self.pinged_us);
            }
            self.deadlines.pong = NEVER;
        }
    }

    /// The connection lives until `at_ms`, with the delay for a late refresh.
    pub(super) fn set_expiry(&mut self, at_ms: Option<UnixMillis>) {
        let delay = self.settings.expired_close_delay_ms;
        let at_ms = at_ms.filter(|_| !self.settings.insecure);
        self.deadlines.expiry = at_ms.map_or(NEVER, |at| at.saturating_add(delay));
    }

    /// Looks for the first expiry among the subscriptions.
    pub(super) fn watch_subscriptions(&mut self) {
        let delay = self.settings.expired_sub_close_delay_ms;
        let next = self.subscriptions.next_expiry_ms();
        self.deadlines.subscription = next.map_or(NEVER, |at| at.saturating_add(delay));
    }

    fn on_subscription_expiry(&mut self, now_ms: u64) {
        let delay = self.settings.expired_sub_close_delay_ms;
        let mut expired = Vec::new();
        for subscription in self.subscriptions.iter() {
            let is_over = |at: u64| at.saturating_add(delay) <= now_ms;
            if subscription.expires_at_ms.is_some_and(is_over) {
                expired.push((subscription.channel.clone(), subscription.origin));
            }
        }
        for (channel, origin) in expired {
            if origin.is_server_side() {
                return self.close(DisconnectCode::SUBSCRIPTION_EXPIRED);
            }
            self.drop_subscription(channel.as_str(), UnsubscribeCode::EXPIRED.into());
        }
        self.watch_subscriptions();
    }
}
