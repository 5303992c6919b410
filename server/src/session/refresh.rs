//! Newer tokens: for the connection, for one subscription, and to step up.

use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{
    ChannelName, DisconnectCode, ErrorCode, ErrorReply, RefreshRequest, RefreshResult, ReplyResult,
    RpcResult, SubRefreshRequest, SubRefreshResult,
};

use super::keepalive::ttl_seconds;
use super::machine::{Session, Task};
use super::subscription::{Origin, Subscription};
use super::{Effect, Identity, Login, SteppedUp};
use crate::auth::{ConnectionToken, SubscriptionToken, TokenError, UnixMillis};

impl Session {
    pub(super) fn on_refresh(&mut self, id: u32, request: RefreshRequest) {
        if request.token.is_empty() {
            return self.close(DisconnectCode::BAD_REQUEST);
        }
        let ticket = self.wait(id, Task::Refresh);
        let token = request.token.into();
        self.effect(Effect::Verify { ticket, token });
    }

    pub(super) fn on_refreshed(
        &mut self,
        id: u32,
        verdict: Result<Arc<ConnectionToken>, TokenError>,
        now_ms: u64,
    ) {
        let token = match verdict {
            Ok(token) => token,
            Err(TokenError::Expired) => return self.close(DisconnectCode::EXPIRED),
            Err(TokenError::Unavailable) => return self.refuse(id, ErrorCode::INTERNAL),
            Err(_) => return self.close(DisconnectCode::INVALID_TOKEN),
        };
        if *token.subject != *self.identity.subject {
            return self.close(DisconnectCode::INVALID_TOKEN);
        }
        if token.expires_at.is_some_and(|at| at <= now_ms) {
            return self.close(DisconnectCode::EXPIRED);
        }
        if !self.names_the_same_channels(&token) {
            // The client comes back into the new set.
            return self.close(DisconnectCode::INSUFFICIENT_STATE);
        }
        let expires_at_ms = token.expires_at.filter(|_| !self.settings.insecure);
        self.set_expiry(expires_at_ms);
        let result = RefreshResult {
            client: self.identity.client.to_string(),
            version: self.settings.version.to_string(),
            expires: expires_at_ms.is_some(),
            ttl: expires_at_ms.map_or(0, |at| ttl_seconds(at, now_ms)),
        };
        self.reply(id, ReplyResult::Refresh(result));
        self.adopt(&token);
    }

    fn names_the_same_channels(&self, token: &ConnectionToken) -> bool {
        let is_named = |it: &&Subscription| it.origin == Origin::Token;
        self.subscriptions.iter().filter(is_named).count() == token.subscriptions.len()
            && self
                .subscriptions
                .iter()
                .filter(is_named)
                .all(|it| token.subscriptions.contains_key(it.channel.as_str()))
    }

    /// Takes over what a renewed token says of the person. A level once reached is not given up for a token
    /// that says less; it lapses by its age, so among strong logins the newer one counts.
    fn adopt(&mut self, token: &ConnectionToken) {
        let old = &*self.identity;
        let rises = strength(token.level, token.authenticated_at)
            > strength(old.level, old.authenticated_ms);
        let profiles_differ = *token.profiles != *old.profiles;
        let info_differs = token.info.as_ref().is_some_and(|info| *info != old.info);
        let is_same = Login::of(token) == old.login;
        if rises || profiles_differ || info_differs || !is_same {
            let renewed = if rises {
                // Stronger than whatever raised it, so it lives by this one alone.
                Identity {
                    level: token.level,
                    authenticated_ms: token.authenticated_at,
                    raised_by: None,
                    ..self.known_as(token)
                }
            } else {
                self.known_as(token)
            };
            let login = Login::of(token);
            self.identity = Arc::new(Identity { login, ..renewed });
            if rises || profiles_differ {
                self.reassess();
            }
        }
    }

    /// Who it is by what a newer token says of the person, at the level it has.
    fn known_as(&self, token: &ConnectionToken) -> Identity {
        let old = &*self.identity;
        Identity {
            info: token.info.clone().unwrap_or_else(|| old.info.clone()),
            profiles: token.profiles.clone().into(),
            ..old.clone()
        }
    }

    fn reassess(&mut self) {
        if self.settings.domain {
            let identity = Arc::clone(&self.identity);
            self.effect(Effect::Reassess { identity });
        }
    }

    pub(super) fn on_step_up(&mut self, id: u32, data: Bytes) {
        let ticket = self.wait(id, Task::StepUp);
        self.effect(Effect::StepUp { ticket, data });
    }

    /// The newer login was judged; one that holds is what the session is from now on.
    pub(super) fn on_stepped_up(&mut self, id: u32, outcome: Result<SteppedUp, ErrorReply>) {
        let SteppedUp { token, output } = match outcome {
            Ok(raised) => raised,
            Err(error) => return self.refuse(id, error),
        };
        // It still lives by the token it came with: whichever of the two is taken back ends it.
        self.identity = Arc::new(Identity {
            level: token.level,
            authenticated_ms: token.authenticated_at,
            raised_by: Some(Box::new(Login::of(&token))),
            ..self.known_as(&token)
        });
        // Before the reply: who reads that content shows in full from now on must find it so.
        self.reassess();
        self.reply(id, ReplyResult::Rpc(RpcResult { data: output }));
    }

    pub(super) fn on_sub_refresh(&mut self, id: u32, request: SubRefreshRequest) {
        if request.channel.is_empty() {
            return self.close(DisconnectCode::BAD_REQUEST);
        }
        let subscription = self
            .subscriptions
            .find(&request.channel)
            .filter(|it| it.is_active);
        let Some(channel) = subscription.map(|it| it.channel.clone()) else {
            return self.refuse(id, ErrorCode::PERMISSION_DENIED);
        };
        if request.token.is_empty() {
            return self.refuse(id, ErrorCode::BAD_REQUEST);
        }
        let ticket = self.wait(id, Task::SubRefresh(channel));
        let token = request.token.into();
        self.effect(Effect::VerifySubscription { ticket, token });
    }

    pub(super) fn on_sub_refreshed(
        &mut self,
        id: u32,
        channel: &ChannelName,
        verdict: Result<Arc<SubscriptionToken>, TokenError>,
        now_ms: u64,
    ) {
        let token = match verdict {
            Ok(token) => token,
            Err(TokenError::Expired) => return self.refuse(id, ErrorCode::TOKEN_EXPIRED),
            Err(TokenError::Unavailable) => return self.refuse(id, ErrorCode::INTERNAL),
            Err(_) => return self.refuse(id, ErrorCode::PERMISSION_DENIED),
        };
        if !self.is_for_us(&token, channel.as_str()) {
            return self.close(DisconnectCode::INVALID_TOKEN);
        }
        let expires_at_ms = token.expires_at.filter(|_| !self.settings.insecure);
        if expires_at_ms.is_some_and(|at| at <= now_ms) {
            return self.refuse(id, ErrorCode::EXPIRED);
        }
        let Some(subscription) = self.subscriptions.find_mut(channel.as_str()) else {
            return self.refuse(id, ErrorCode::PERMISSION_DENIED);
        };
        subscription.expires_at_ms = expires_at_ms;
        self.watch_subscriptions();
        let result = SubRefreshResult {
            expires: expires_at_ms.is_some(),
            ttl: expires_at_ms.map_or(0, |at| ttl_seconds(at, now_ms)),
        };
        self.reply(id, ReplyResult::SubRefresh(result));
    }
}

/// Lowest level (`loa`) that opens sensitive content while it is fresh.
const STRONG_LEVEL: u8 = 3;

/// Orders logins by what they open and for how long.
fn strength(level: u8, authenticated_ms: Option<UnixMillis>) -> (bool, Option<UnixMillis>, u8) {
    (level >= STRONG_LEVEL, authenticated_ms, level)
}
