//! The connect command: who is it, what is the person subscribed to, and the one reply that tells all.

use std::collections::BTreeMap;
use std::sync::Arc;

use klokke_protocol::{
    ChannelName, ConnectRequest, ConnectResult, DisconnectCode, ErrorCode, ErrorReply, ReplyResult,
    StreamPosition, SubscribeRequest, SubscribeResult,
};

use super::counts::ClientName;
use super::keepalive::ttl_seconds;
use super::machine::{Phase, PingStyle, Session, Task};
use super::subscription::{Joining, Origin, Wish};
use super::{
    Answer, Effect, Entitlement, Identity, Login, RecoveryMode, ServerSubscription,
    SubscribeFailure, Ticket, rights,
};
use crate::auth::{ConnectionToken, TokenError, UnixMillis};

/// A connect command being worked on.
#[derive(Debug, Default)]
pub(super) struct Connecting {
    /// Positions the client has of its server-side subscriptions.
    positions: BTreeMap<String, SubscribeRequest>,
    /// What the token, the configuration or the client itself asks for.
    wanted: Vec<(Origin, ServerSubscription)>,
    expires_at_ms: Option<UnixMillis>,
    /// Subscriptions that stand.
    results: BTreeMap<String, SubscribeResult>,
    /// Comings to be announced after the reply.
    announce: Vec<Effect>,
}

impl Connecting {
    /// The client's position in a channel, when it asked for recovery.
    fn since(&self, channel: &str) -> Option<StreamPosition> {
        let request = self
            .positions
            .get(channel)
            .filter(|request| request.recover)?;
        Some(StreamPosition {
            offset: request.offset,
            epoch: request.epoch.clone(),
        })
    }
}

impl Session {
    pub(super) fn on_connect(&mut self, id: u32, request: ConnectRequest, now_ms: u64) {
        self.phase = Phase::Connecting;
        self.client_name = ClientName::of(&request.name);
        self.is_resumed = request.subs.values().any(|sub| sub.recover);
        let connecting = Connecting {
            positions: request.subs,
            ..Connecting::default()
        };
        if !request.token.is_empty() {
            let ticket = self.wait(id, Task::Connect(Box::new(connecting)));
            let token = request.token.into();
            return self.effect(Effect::Verify { ticket, token });
        }
        if self.settings.insecure || self.settings.allow_anonymous_connect_without_token {
            return self.on_known(id, connecting, now_ms);
        }
        self.close(DisconnectCode::BAD_REQUEST);
    }

    pub(super) fn on_connect_answer(
        &mut self,
        id: u32,
        connecting: Connecting,
        answer: Answer,
        now_ms: u64,
    ) {
        match answer {
            Answer::Verified(verdict) => self.on_verdict(id, connecting, verdict, now_ms),
            Answer::Admitted(Ok(())) => self.on_admitted(id, connecting, now_ms),
            // Temporary, so that SDKs come again, each after a pause of its own.
            Answer::Admitted(Err(error)) => self.reject(id, error),
            Answer::Entered(Ok(entitlements)) => {
                self.on_entered(id, connecting, entitlements, now_ms);
            }
            Answer::Entered(Err(error)) => self.reject(id, error),
            _ => self.reject(id, ErrorCode::INTERNAL),
        }
    }

    fn on_verdict(
        &mut self,
        id: u32,
        mut connecting: Connecting,
        verdict: Result<Arc<ConnectionToken>, TokenError>,
        now_ms: u64,
    ) {
        let token = match verdict {
            Ok(token) => token,
            Err(TokenError::Expired) => return self.reject(id, ErrorCode::TOKEN_EXPIRED),
            Err(TokenError::Unavailable) => return self.reject(id, ErrorCode::INTERNAL),
            Err(_) => return self.close(DisconnectCode::INVALID_TOKEN),
        };
        self.identity = Arc::new(Identity {
            subject: token.subject.as_str().into(),
            client: self.identity.client.clone(),
            info: token.info.clone().unwrap_or_default(),
            profiles: token.profiles.clone().into(),
            level: token.level,
            authenticated_ms: token.authenticated_at,
            login: Login::of(&token),
            raised_by: None,
        });
        connecting.expires_at_ms = token.expires_at.filter(|_| !self.settings.insecure);
        if connecting.expires_at_ms.is_some_and(|at| at <= now_ms) {
            return self.reject(id, ErrorCode::TOKEN_EXPIRED);
        }
        for (channel, subscription) in &token.subscriptions {
            connecting.wanted.push((
                Origin::Token,
                ServerSubscription {
                    channel: channel.as_str().into(),
                    info: subscription.info.clone(),
                    data: subscription.data.clone(),
                    overrides: subscription.overrides,
                    ..ServerSubscription::default()
                },
            ));
        }
        self.on_known(id, connecting, now_ms);
    }

    /// Who it is is known; now whether it is their turn.
    fn on_known(&mut self, id: u32, connecting: Connecting, now_ms: u64) {
        if !self.settings.admission {
            return self.on_admitted(id, connecting, now_ms);
        }
        let ticket = self.wait(id, Task::Connect(Box::new(connecting)));
        let identity = Arc::clone(&self.identity);
        self.effect(Effect::Admit { ticket, identity });
    }

    /// It is their turn; now what the person may see.
    fn on_admitted(&mut self, id: u32, mut connecting: Connecting, now_ms: u64) {
        self.want_personal_channel(&mut connecting);
        self.want_own_choice(&mut connecting);
        if self.settings.domain && !self.identity.subject.is_empty() {
            let ticket = self.wait(id, Task::Connect(Box::new(connecting)));
            let identity = Arc::clone(&self.identity);
            return self.effect(Effect::Enter { ticket, identity });
        }
        self.on_entered(id, connecting, Vec::new(), now_ms);
    }

    fn want_personal_channel(&self, connecting: &mut Connecting) {
        let user = &*self.identity.subject;
        if let Some(personal) = &self.settings.personal_channel
            && !user.is_empty()
        {
            let rules = self.settings.namespaces.rules();
            let channel = match &*personal.namespace {
                "" => format!("{}{user}", rules.user_boundary),
                name => format!(
                    "{name}{}{}{user}",
                    rules.namespace_boundary, rules.user_boundary
                ),
            };
            let channel = channel.into();
            connecting.wanted.push((
                Origin::Server,
                ServerSubscription {
                    channel,
                    ..ServerSubscription::default()
                },
            ));
        }
    }

    /// Channels the client names with its positions and may subscribe to by itself.
    fn want_own_choice(&self, connecting: &mut Connecting) {
        let mut own = Vec::new();
        for name in connecting.positions.keys() {
            let is_there = connecting
                .wanted
                .iter()
                .any(|(_, it)| *it.channel == **name);
            if !is_there && self.may_choose(name) {
                own.push(ServerSubscription {
                    channel: name.as_str().into(),
                    ..ServerSubscription::default()
                });
            }
        }
        connecting
            .wanted
            .extend(own.into_iter().map(|it| (Origin::Server, it)));
    }

    fn may_choose(&self, name: &str) -> bool {
        let Ok(channel) = ChannelName::parse(name) else {
            return false;
        };
        let namespaces = &self.settings.namespaces;
        namespaces.options(&channel).is_some_and(|options| {
            rights::is_well_named(options, namespaces.rules(), name)
                && rights::may_subscribe(options, namespaces.rules(), name, self.asker(false))
        })
    }

    /// What the person may see is known; now subscribe to all of it, held back until the reply is written.
    fn on_entered(
        &mut self,
        id: u32,
        mut connecting: Connecting,
        entitlements: Vec<Entitlement>,
        now_ms: u64,
    ) {
        for (origin, wanted) in std::mem::take(&mut connecting.wanted) {
            let mut wanted = wanted;
            wanted.recover_since = connecting.since(&wanted.channel);
            if self.subscriptions.find(&wanted.channel).is_some() {
                continue;
            }
            if let Err(error) = self.join_generic(origin, wanted, now_ms) {
                return self.abandon(id, error);
            }
        }
        if self.subscriptions.limited() > self.settings.channel_limit {
            return self.close(DisconnectCode::CHANNEL_LIMIT);
        }
        for entitlement in entitlements {
            let since = connecting.since(entitlement.channel.as_str());
            self.join_domain(entitlement, since);
        }
        // No question has this name's answer; the joinings' answers bring the command on.
        self.wait(id, Task::Connect(Box::new(connecting)));
        self.finish_connect(now_ms);
    }

    /// Subscribes to a channel of the domain.
    pub(super) fn join_domain(&mut self, entitlement: Entitlement, since: Option<StreamPosition>) {
        let joining = Joining {
            channel: entitlement.channel,
            origin: Origin::Domain,
            wish: Wish {
                since,
                mode: RecoveryMode::Stream,
                ..Wish::default()
            },
            is_positioned: true,
            is_recoverable: true,
            delta: false,
            expires_at_ms: None,
            data: None,
            announce: None,
        };
        let mut options = self.plain_options();
        options.lens = entitlement.lens;
        options.positioned = true;
        self.join(joining, options);
    }

    /// The entitlements of a channel changed while its subscription was being made: whatever was read of it
    /// is void, and it is made again.
    pub(super) fn rejoin_domain(&mut self, entitlement: Entitlement) {
        let channel = entitlement.channel.clone();
        self.forget(channel.as_str());
        let since = self
            .connecting()
            .and_then(|connecting| connecting.since(channel.as_str()));
        self.join_domain(entitlement, since);
    }

    /// The position a connecting client has in a channel.
    pub(super) fn connecting_since(&mut self, channel: &str) -> Option<StreamPosition> {
        self.connecting()?.since(channel)
    }

    fn connecting(&mut self) -> Option<&mut Connecting> {
        match self.current.as_deref_mut().map(|current| &mut current.task) {
            Some(Task::Connect(connecting)) => Some(connecting),
            _ => None,
        }
    }

    /// Forgets what was read for a subscription of the connect result, and ends it in the hub.
    pub(super) fn forget(&mut self, channel: &str) {
        if let Some(connecting) = self.connecting() {
            connecting.results.remove(channel);
            connecting.announce.retain(|effect| {
                !matches!(effect, Effect::Announce { channel: it, .. } if it.as_str() == channel)
            });
        }
        if let Some(joinings) = &mut self.joinings {
            joinings.retain(|(_, joining)| joining.channel.as_str() != channel);
            if joinings.is_empty() {
                self.joinings = None;
            }
        }
        if let Some(gone) = self.strike(channel) {
            self.effect(Effect::Unsubscribe {
                channel: gone.channel,
            });
        }
    }

    /// A subscription of the connect result was made, or failed.
    pub(super) fn on_connect_subscribed(
        &mut self,
        joining: Joining,
        outcome: Result<super::Subscribed, SubscribeFailure>,
        now_ms: u64,
    ) {
        let Some(id) = self.current.as_ref().map(|current| current.id) else {
            return;
        };
        self.note_failure(&joining, &outcome);
        let subscribed = match outcome {
            Ok(subscribed) => subscribed,
            Err(SubscribeFailure::Insufficient | SubscribeFailure::Ended) => {
                return self.close(DisconnectCode::INSUFFICIENT_STATE);
            }
            Err(SubscribeFailure::Refused(error)) => return self.abandon(id, error),
        };
        let Ok(mut result) = self.recovered(&joining, subscribed) else {
            return self.abandon(id, ErrorCode::UNRECOVERABLE_POSITION);
        };
        self.complete(&joining, &mut result, now_ms);
        if let Some(connecting) = self.connecting() {
            connecting
                .results
                .insert(joining.channel.as_str().to_owned(), result);
            if let Some(info) = joining.announce {
                let channel = joining.channel;
                connecting.announce.push(Effect::Announce { channel, info });
            }
        }
        self.finish_connect(now_ms);
    }

    /// One of the server-side subscriptions failed, and with it the connect command.
    fn abandon(&mut self, id: u32, error: impl Into<ErrorReply>) {
        self.current = None;
        self.joinings = None;
        let channels: Vec<_> = self
            .subscriptions
            .iter()
            .map(|it| it.channel.clone())
            .collect();
        for channel in channels {
            self.strike(channel.as_str());
            self.effect(Effect::Unsubscribe { channel });
        }
        self.reject(id, error);
    }

    /// Answers the connect command once all its subscriptions stand.
    pub(super) fn finish_connect(&mut self, now_ms: u64) {
        if self.phase != Phase::Connecting || self.joinings.is_some() {
            return;
        }
        let Some(current) = self.current.take() else {
            return;
        };
        let id = current.id;
        let Task::Connect(connecting) = current.task else {
            return;
        };
        let expires_at_ms = connecting.expires_at_ms;
        let is_pinged = self.ping == PingStyle::Messages;
        let interval = u32::try_from(self.settings.ping_interval_ms / 1000).unwrap_or(u32::MAX);
        let emulation = self.emulation.take();
        let result = ConnectResult {
            client: self.identity.client.to_string(),
            version: self.settings.version.to_string(),
            expires: expires_at_ms.is_some(),
            ttl: expires_at_ms.map_or(0, |at| ttl_seconds(at, now_ms)),
            subs: connecting.results,
            ping: if is_pinged { interval } else { 0 },
            pong: is_pinged && self.wants_pong(),
            node: if emulation.is_some() {
                self.settings.node.to_string()
            } else {
                String::new()
            },
            session: emulation.map(Into::into).unwrap_or_default(),
            ..ConnectResult::default()
        };
        self.phase = Phase::Open;
        self.counts.connected(self.client_name);
        self.is_counted = true;
        self.reply(id, ReplyResult::Connect(Box::new(result)));
        self.start_pings(now_ms);
        self.set_expiry(expires_at_ms);
        for event in self.take_deferred() {
            self.handle_event(event, now_ms);
        }
        if self.phase == Phase::Closed {
            return;
        }
        self.effect(Effect::Release);
        for announce in connecting.announce {
            self.effect(announce);
        }
    }

    /// The ticket of a server-side subscription's answer.
    pub(super) fn take_joining(&mut self, ticket: Ticket) -> Option<Joining> {
        let joinings = self.joinings.as_mut()?;
        let place = joinings.iter().position(|(it, _)| *it == ticket)?;
        let (_, joining) = joinings.swap_remove(place);
        if joinings.is_empty() {
            self.joinings = None;
        }
        Some(joining)
    }
}
