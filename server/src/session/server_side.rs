//! What the server does to an open connection: entitlements that changed, subscriptions made and ended by
//! back ends, refresh, messages.

use klokke_protocol::{
    DisconnectCode, Message, Push, Refresh, Subscribe, Unsubscribe, UnsubscribeCode,
};

use super::counts::Change;
use super::keepalive::ttl_seconds;
use super::machine::{Phase, Session};
use super::subscription::{Joining, Origin};
use super::{Effect, Entitlement, Event, Identity, SubscribeFailure, Subscribed};
use crate::hub::Lens;

impl Session {
    pub(super) fn on_event(&mut self, event: Event, now_ms: u64) {
        match event {
            Event::Entitlements(entitlements) => self.on_entitlements(entitlements, now_ms),
            Event::PositionLost { channel } => self.on_position_lost(channel.as_str()),
            Event::Subscribe(wanted) => {
                let is_there = self.subscriptions.find(&wanted.channel).is_some();
                if !is_there {
                    // A channel that cannot be is the back end's mistake, not this client's: the server API
                    // has refused it, and here there is nothing to do.
                    self.join_generic(Origin::Server, *wanted, now_ms).ok();
                }
            }
            Event::Unsubscribe {
                channel: Some(channel),
                unsubscribe,
            } => self.on_unsubscribed(channel.as_str(), unsubscribe),
            Event::Unsubscribe {
                channel: None,
                unsubscribe,
            } => {
                let channels: Vec<_> = self
                    .subscriptions
                    .iter()
                    .map(|it| it.channel.clone())
                    .collect();
                for channel in channels {
                    self.on_unsubscribed(channel.as_str(), unsubscribe.clone());
                }
            }
            Event::Disconnect(disconnect) => self.close_with(disconnect),
            Event::Refresh {
                expires_at_ms,
                info,
            } => self.on_server_refresh(expires_at_ms, info, now_ms),
            Event::Message(data) => self.push(Push {
                message: Some(Message { data }),
                ..Push::default()
            }),
        }
    }

    /// Back ends end what back ends and clients began; the domain's subscriptions follow rights alone.
    fn on_unsubscribed(&mut self, channel: &str, unsubscribe: Unsubscribe) {
        let origin = self.subscriptions.find(channel).map(|it| it.origin);
        if origin.is_some_and(|origin| origin != Origin::Domain) {
            self.drop_subscription(channel, unsubscribe);
        }
    }

    /// Replaces the domain's subscriptions: what is gone ends, what is new begins, what is seen otherwise is
    /// seen so from now on.
    pub(super) fn on_entitlements(&mut self, entitlements: Vec<Entitlement>, now_ms: u64) {
        let mut gone = Vec::new();
        for subscription in self.subscriptions.iter() {
            let channel = &subscription.channel;
            let is_kept = entitlements.iter().any(|it| it.channel == *channel);
            if subscription.origin == Origin::Domain && !is_kept {
                gone.push(channel.clone());
            }
        }
        for channel in gone {
            if self.phase == Phase::Connecting {
                self.forget(channel.as_str());
            } else {
                self.counts.entitlement(Change::Removed);
                self.drop_subscription(channel.as_str(), UnsubscribeCode::SERVER.into());
            }
        }
        for entitlement in entitlements {
            self.on_entitlement(entitlement);
        }
        self.finish_connect(now_ms);
    }

    fn on_entitlement(&mut self, entitlement: Entitlement) {
        let channel = entitlement.channel.as_str();
        let Some(subscription) = self.subscriptions.find_mut(channel) else {
            if self.phase == Phase::Open {
                self.counts.entitlement(Change::Added);
            }
            let since = self.connecting_since(channel);
            return self.join_domain(entitlement, since);
        };
        if subscription.lens == entitlement.lens {
            return;
        }
        if self.phase == Phase::Open {
            let change = change_of(subscription.lens, entitlement.lens);
            self.counts.entitlement(change);
        }
        let is_told = subscription.is_active && self.phase != Phase::Connecting;
        if !is_told {
            // What was read of it may show too much.
            return self.rejoin_domain(entitlement);
        }
        subscription.lens = entitlement.lens;
        self.effect(Effect::SetLens {
            channel: entitlement.channel,
            lens: entitlement.lens,
        });
    }

    /// A server-side subscription of an open connection was made, or failed.
    pub(super) fn on_pushed(
        &mut self,
        joining: Joining,
        outcome: Result<Subscribed, SubscribeFailure>,
        now_ms: u64,
    ) {
        let channel = joining.channel.as_str();
        if self.subscriptions.find(channel).is_none() {
            return;
        }
        self.note_failure(&joining, &outcome);
        let subscribed = match outcome {
            Ok(subscribed) => subscribed,
            // The client comes back and gets it with the connect result: never a silent gap.
            Err(_) if joining.origin == Origin::Domain => {
                return self.close(DisconnectCode::INSUFFICIENT_STATE);
            }
            Err(_) => {
                self.leave(channel);
                return;
            }
        };
        let wants_recovery = joining.wish.since.is_some();
        let Ok(mut result) = self.recovered(&joining, subscribed) else {
            self.leave(channel);
            return;
        };
        self.complete(&joining, &mut result, now_ms);
        self.push(Push {
            channel: channel.to_owned(),
            subscribe: Some(Subscribe {
                recoverable: result.recoverable,
                epoch: result.epoch,
                offset: result.offset,
                positioned: result.positioned,
                data: result.data,
            }),
            ..Push::default()
        });
        if wants_recovery {
            for publication in result.publications {
                self.push(Push {
                    channel: channel.to_owned(),
                    publication: Some(publication),
                    ..Push::default()
                });
            }
        }
        if let Some(info) = joining.announce {
            let channel = joining.channel;
            self.effect(Effect::Announce { channel, info });
        }
    }

    fn on_server_refresh(
        &mut self,
        expires_at_ms: Option<u64>,
        info: Option<bytes::Bytes>,
        now_ms: u64,
    ) {
        if expires_at_ms.is_some_and(|at| at <= now_ms) {
            return self.close(DisconnectCode::EXPIRED);
        }
        if let Some(info) = info {
            self.identity = std::sync::Arc::new(Identity {
                info,
                ..(*self.identity).clone()
            });
        }
        self.set_expiry(expires_at_ms);
        self.push(Push {
            refresh: Some(Refresh {
                expires: expires_at_ms.is_some(),
                ttl: expires_at_ms.map_or(0, |at| ttl_seconds(at, now_ms)),
            }),
            ..Push::default()
        });
    }
}

/// What a new lens means for who looks through it: more of it in one way and less in another is less.
const fn change_of(old: Lens, new: Lens) -> Change {
    let keeps_roles = old.audience.0 & !new.audience.0 == 0;
    if keeps_roles && new.full_until_ms >= old.full_until_ms {
        Change::Widened
    } else {
        Change::Narrowed
    }
}
