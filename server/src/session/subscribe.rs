//! Subscribing, by command or by the server: the checks in their documented order (`docs/protocol.md`,
//! section 4), the options that follow, and the result.

use std::sync::Arc;

use klokke_protocol::{
    ChannelName, ClientInfo, DisconnectCode, ErrorCode, ErrorReply, Push, ReplyResult,
    StreamPosition, SubscribeRequest, SubscribeResult, TagFilter, Unsubscribe, UnsubscribeCode,
    UnsubscribeRequest,
};

use super::counts::Recovery;
use super::keepalive::ttl_seconds;
use super::machine::{Phase, Session, Task};
use super::rights::{self, Asker};
use super::subscription::{Joining, Origin, Subscription, Wish};
use super::{
    Answer, BacklogWish, ChannelOptions, Effect, Namespace, RecoveryMode, ServerSubscription,
    Source, SubscribeEffect, SubscribeFailure, Subscribed, Ticket, recovery,
};
use crate::auth::{Override, Overrides, SubscriptionToken, TokenError, TokenSubscription};
use crate::hub::{Lens, SubOptions};

/// Request flag: answer 112 in place of a subscription that could not recover.
const FLAG_MUST_RECOVER: i64 = 1 << 1;
/// The only kind of delta there is.
const DELTA_FOSSIL: &str = "fossil";

/// A subscribe command whose channel was found.
#[derive(Debug)]
pub(super) struct Asked {
    channel: ChannelName,
    options: Arc<ChannelOptions>,
    request: SubscribeRequest,
    filter: Option<Box<TagFilter>>,
}

/// Why a subscribe command is refused.
enum Refusal {
    Error(ErrorCode),
    Close(DisconnectCode),
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code)
    }
}

impl Session {
    pub(super) fn on_subscribe(&mut self, id: u32, request: SubscribeRequest) {
        let asked = match self.examine(request) {
            Ok(asked) => asked,
            Err(Refusal::Error(code)) => return self.refuse(id, code),
            Err(Refusal::Close(code)) => return self.close(code),
        };
        if !asked.request.token.is_empty() {
            let token = asked.request.token.as_str().into();
            let ticket = self.wait(id, Task::VerifySubscribe(Box::new(asked)));
            return self.effect(Effect::VerifySubscription { ticket, token });
        }
        let rules = self.settings.namespaces.rules();
        let channel = asked.channel.as_str();
        if !rights::may_subscribe(&asked.options, rules, channel, self.asker(false)) {
            return self.refuse(id, ErrorCode::PERMISSION_DENIED);
        }
        self.begin(id, asked, TokenSubscription::default(), None);
    }

    /// Everything that can be said before rights are looked at, in the documented order.
    fn examine(&self, request: SubscribeRequest) -> Result<Asked, Refusal> {
        let name = request.channel.as_str();
        if name.is_empty() {
            return Err(Refusal::Close(DisconnectCode::BAD_REQUEST));
        }
        let namespaces = &self.settings.namespaces;
        let channel = ChannelName::parse(name).map_err(|_| ErrorCode::BAD_REQUEST)?;
        if name.len() > namespaces.rules().max_length {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        if self.subscriptions.find(name).is_some() {
            return Err(ErrorCode::ALREADY_SUBSCRIBED.into());
        }
        if self.subscriptions.limited() >= self.settings.channel_limit {
            return Err(ErrorCode::LIMIT_EXCEEDED.into());
        }
        let options = match namespaces.resolve(&channel) {
            None => return Err(ErrorCode::UNKNOWN_CHANNEL.into()),
            Some(Namespace::Domain) => return Err(ErrorCode::PERMISSION_DENIED.into()),
            Some(Namespace::Generic(options)) => Arc::clone(options),
        };
        if !rights::is_well_named(&options, namespaces.rules(), name) {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        if request.r#type != 0 {
            return Err(ErrorCode::PERMISSION_DENIED.into());
        }
        if !matches!(request.delta.as_str(), "" | DELTA_FOSSIL) {
            return Err(Refusal::Close(DisconnectCode::BAD_REQUEST));
        }
        let filter = match &request.tf {
            None => None,
            Some(_) if !options.allow_tags_filter => return Err(ErrorCode::BAD_REQUEST.into()),
            Some(node) => Some(TagFilter::new(node).map_err(|_| ErrorCode::BAD_REQUEST)?),
        };
        Ok(Asked {
            channel,
            options,
            request,
            filter: filter.map(Box::new),
        })
    }

    pub(super) fn on_subscription_token(
        &mut self,
        id: u32,
        asked: Asked,
        verdict: Result<Arc<SubscriptionToken>, TokenError>,
        now_ms: u64,
    ) {
        let token = match verdict {
            Ok(token) => token,
            Err(TokenError::Expired) => return self.refuse(id, ErrorCode::TOKEN_EXPIRED),
            Err(TokenError::Unavailable) => return self.refuse(id, ErrorCode::INTERNAL),
            Err(_) => return self.refuse(id, ErrorCode::PERMISSION_DENIED),
        };
        if !self.is_for_us(&token, asked.channel.as_str()) {
            return self.close(DisconnectCode::INVALID_TOKEN);
        }
        let expires_at_ms = token.expires_at.filter(|_| !self.settings.insecure);
        if expires_at_ms.is_some_and(|at| at <= now_ms) {
            return self.refuse(id, ErrorCode::EXPIRED);
        }
        if self.subscriptions.find(asked.channel.as_str()).is_some() {
            // The server subscribed it while the token was looked at.
            return self.refuse(id, ErrorCode::ALREADY_SUBSCRIBED);
        }
        self.begin(id, asked, token.subscription.clone(), expires_at_ms);
    }

    /// Whether a subscription token speaks of this user, this channel and this connection.
    pub(super) fn is_for_us(&self, token: &SubscriptionToken, channel: &str) -> bool {
        *token.subject == *self.identity.subject
            && token.channel == channel
            && token
                .client
                .as_ref()
                .is_none_or(|client| **client == *self.identity.client)
    }

    /// The subscription is allowed: ask for it in the hub.
    fn begin(
        &mut self,
        id: u32,
        asked: Asked,
        extra: TokenSubscription,
        expires_at_ms: Option<u64>,
    ) {
        let Asked {
            channel,
            options,
            request,
            filter,
        } = asked;
        let since = request.recover.then_some(StreamPosition {
            offset: request.offset,
            epoch: request.epoch,
        });
        let as_subscriber = self.asker(true);
        let reads_history = rights::may_read_history(&options, as_subscriber);
        let sees_presence = rights::may_see_presence(&options, as_subscriber);
        let server = ServerSubscription {
            channel: channel.as_str().into(),
            info: extra.info,
            data: extra.data,
            expires_at_ms,
            recover_since: since,
            overrides: extra.overrides,
        };
        let (mut joining, mut sub_options) =
            self.prepare(Origin::Client, channel, &options, server);
        joining.wish.must_recover = request.flag & FLAG_MUST_RECOVER != 0;
        if options.has_history() {
            let may_position = options.allow_positioning || reads_history;
            let may_recover = options.allow_recovery || reads_history;
            joining.is_recoverable |= request.recoverable && may_recover;
            joining.is_positioned |= request.positioned && may_position;
            joining.is_positioned |= joining.is_recoverable;
        }
        joining.delta = request.delta == DELTA_FOSSIL && options.allow_delta;
        sub_options.positioned = joining.is_positioned;
        sub_options.delta = joining.delta;
        sub_options.filter = filter;
        sub_options.join_leave |= request.join_leave && sub_options.announce && sees_presence;
        let effect = self.subscribe_effect(&joining, sub_options);
        let ticket = self.wait(id, Task::Subscribe(Box::new(joining)));
        self.effect(Effect::Subscribe(Box::new(SubscribeEffect {
            ticket,
            ..effect
        })));
    }

    /// What a subscription to a generic channel is like by its namespace and what replaces that.
    fn prepare(
        &self,
        origin: Origin,
        channel: ChannelName,
        options: &ChannelOptions,
        wanted: ServerSubscription,
    ) -> (Joining, SubOptions) {
        let Overrides {
            presence,
            join_leave,
            force_push_join_leave,
            force_recovery,
            force_positioning,
        } = wanted.overrides;
        let pick = |by: Option<Override>, option: bool| by.map_or(option, |by| by.value);
        let is_recoverable = options.has_history() && pick(force_recovery, options.force_recovery);
        let is_positioned = is_recoverable
            || (options.has_history() && pick(force_positioning, options.force_positioning));
        let presence = pick(presence, options.presence);
        let announce = pick(join_leave, options.join_leave);
        let forced = pick(force_push_join_leave, options.force_push_join_leave);
        let info = (presence || announce || wanted.info.is_some())
            .then(|| self.client_info(wanted.info.unwrap_or_default()));
        let joining = Joining {
            channel,
            origin,
            wish: Wish {
                since: wanted.recover_since,
                mode: options.recovery_mode,
                newest_anyway: options.auto_cache_recover,
                must_recover: false,
            },
            is_positioned,
            is_recoverable,
            delta: false,
            expires_at_ms: wanted.expires_at_ms,
            data: wanted.data,
            announce: info.clone().filter(|_| announce),
        };
        let mut sub_options = self.plain_options();
        sub_options.positioned = is_positioned;
        sub_options.join_leave = announce && forced;
        sub_options.info = info;
        sub_options.presence = presence;
        sub_options.announce = announce;
        (joining, sub_options)
    }

    /// A subscription in the hub with nothing special.
    pub(super) fn plain_options(&self) -> SubOptions {
        let mut options = SubOptions::live(self.wire());
        options.held = self.phase == Phase::Connecting;
        options
    }

    /// Notes the subscription and says what is to be done for it; the question's name is still missing.
    fn subscribe_effect(&mut self, joining: &Joining, options: SubOptions) -> SubscribeEffect {
        self.subscriptions.add(Subscription {
            channel: joining.channel.clone(),
            origin: joining.origin,
            namespace: self.settings.namespaces.id_of(joining.channel.as_str()),
            is_active: false,
            expires_at_ms: None,
            lens: options.lens,
            info: options.info.clone(),
        });
        SubscribeEffect {
            ticket: Ticket(0),
            channel: joining.channel.clone(),
            backlog: self.backlog(joining),
            options,
        }
    }

    fn backlog(&self, joining: &Joining) -> BacklogWish {
        if !joining.is_positioned {
            return BacklogWish::None;
        }
        match (&joining.wish.since, joining.wish.mode) {
            _ if !joining.is_recoverable => BacklogWish::Top,
            (Some(since), RecoveryMode::Stream) => BacklogWish::Since {
                since: since.clone(),
                limit: self.settings.recovery_max_publication_limit,
            },
            (Some(_), RecoveryMode::Cache) => BacklogWish::Latest,
            (None, RecoveryMode::Cache) if joining.wish.newest_anyway => BacklogWish::Latest,
            (None, _) => BacklogWish::Top,
        }
    }

    /// Makes a server-side subscription in the background.
    pub(super) fn join(&mut self, joining: Joining, options: SubOptions) {
        let effect = self.subscribe_effect(&joining, options);
        let ticket = self.ticket();
        self.joinings
            .get_or_insert_default()
            .push((ticket, joining));
        self.effect(Effect::Subscribe(Box::new(SubscribeEffect {
            ticket,
            ..effect
        })));
    }

    /// Makes a server-side subscription to a generic channel.
    pub(super) fn join_generic(
        &mut self,
        origin: Origin,
        wanted: ServerSubscription,
        now_ms: u64,
    ) -> Result<(), ErrorCode> {
        let channel = ChannelName::parse(&wanted.channel).map_err(|_| ErrorCode::BAD_REQUEST)?;
        let options = match self.settings.namespaces.resolve(&channel) {
            Some(Namespace::Generic(options)) => Arc::clone(options),
            Some(Namespace::Domain) => return Err(ErrorCode::PERMISSION_DENIED),
            None => return Err(ErrorCode::UNKNOWN_CHANNEL),
        };
        if wanted.expires_at_ms.is_some_and(|at| at <= now_ms) {
            return Err(ErrorCode::EXPIRED);
        }
        let (mut joining, mut sub_options) = self.prepare(origin, channel, &options, wanted);
        if joining.wish.since.is_some() && options.has_history() && options.allow_recovery {
            joining.is_recoverable = true;
            joining.is_positioned = true;
            sub_options.positioned = true;
        }
        self.join(joining, sub_options);
        Ok(())
    }

    /// The answer to a client's own subscription.
    pub(super) fn on_subscribed(
        &mut self,
        id: u32,
        joining: Joining,
        outcome: Result<Subscribed, SubscribeFailure>,
        now_ms: u64,
    ) {
        let is_gone = self.subscriptions.find(joining.channel.as_str()).is_none();
        self.note_failure(&joining, &outcome);
        let subscribed = match outcome {
            // The server ended it while it was being made.
            Err(SubscribeFailure::Ended) => return self.refuse(id, ErrorCode::PERMISSION_DENIED),
            _ if is_gone => return self.refuse(id, ErrorCode::PERMISSION_DENIED),
            Ok(subscribed) => subscribed,
            Err(SubscribeFailure::Insufficient) => {
                return self.close(DisconnectCode::INSUFFICIENT_STATE);
            }
            Err(SubscribeFailure::Refused(error)) => return self.give_up(id, joining, error),
        };
        let Ok(mut result) = self.recovered(&joining, subscribed) else {
            return self.give_up(id, joining, ErrorCode::UNRECOVERABLE_POSITION);
        };
        self.complete(&joining, &mut result, now_ms);
        self.reply(id, ReplyResult::Subscribe(Box::new(result)));
        if let Some(info) = joining.announce {
            let channel = joining.channel;
            self.effect(Effect::Announce { channel, info });
        }
    }

    fn give_up(&mut self, id: u32, joining: Joining, error: impl Into<ErrorReply>) {
        let channel = joining.channel;
        self.strike(channel.as_str());
        self.effect(Effect::Unsubscribe { channel });
        self.refuse(id, error);
    }

    /// The subscription stands: note it, and fill what does not depend on the stream.
    pub(super) fn complete(
        &mut self,
        joining: &Joining,
        result: &mut SubscribeResult,
        now_ms: u64,
    ) {
        if let Some(subscription) = self.subscriptions.find_mut(joining.channel.as_str()) {
            subscription.is_active = true;
            self.counts
                .subscribed(self.client_name, subscription.namespace);
            subscription.expires_at_ms = joining.expires_at_ms;
        }
        if let Some(at) = joining.expires_at_ms {
            result.expires = true;
            result.ttl = ttl_seconds(at, now_ms);
            self.watch_subscriptions();
        }
        result.data = joining.data.clone().unwrap_or_default();
    }

    /// What a client is told of its stream, counted when it wanted to recover.
    pub(super) fn recovered(
        &self,
        joining: &Joining,
        subscribed: Subscribed,
    ) -> Result<SubscribeResult, recovery::Unrecoverable> {
        let source = subscribed.source;
        let result = recovery::result(joining, subscribed);
        if joining.wish.since.is_some() {
            let namespace = self.settings.namespaces.id_of(joining.channel.as_str());
            let told = result.as_ref().ok().filter(|result| result.recovered);
            let publications = told.is_some_and(|result| !result.publications.is_empty());
            self.counts
                .recovery(namespace, told.is_some(), publications);
            let outcome = match &result {
                Ok(result) if result.recovered => Recovery::Complete,
                Ok(_) => Recovery::Incomplete,
                Err(_) => Recovery::Failed,
            };
            self.counts.recovered(outcome, source);
        }
        result
    }

    /// Counts a recovery of which no subscription came.
    pub(super) fn note_failure(
        &self,
        joining: &Joining,
        outcome: &Result<Subscribed, SubscribeFailure>,
    ) {
        let is_failure = matches!(
            outcome,
            Err(SubscribeFailure::Insufficient | SubscribeFailure::Refused(_))
        );
        if is_failure && joining.wish.since.is_some() {
            self.counts.recovered(Recovery::Failed, Source::None);
        }
    }

    /// Takes a subscription off the list.
    pub(super) fn strike(&mut self, channel: &str) -> Option<Subscription> {
        let gone = self.subscriptions.remove(channel)?;
        if gone.is_active {
            self.counts.unsubscribed(self.client_name, gone.namespace);
        }
        Some(gone)
    }

    /// The answer to a server-side subscription.
    pub(super) fn on_joining_answer(&mut self, ticket: Ticket, answer: Answer, now_ms: u64) {
        let Answer::Subscribed(outcome) = answer else {
            return;
        };
        let Some(joining) = self.take_joining(ticket) else {
            return;
        };
        if self.phase == Phase::Connecting {
            return self.on_connect_subscribed(joining, outcome, now_ms);
        }
        self.on_pushed(joining, outcome, now_ms);
    }

    pub(super) fn on_unsubscribe(&mut self, id: u32, request: &UnsubscribeRequest) {
        if request.channel.is_empty() {
            return self.close(DisconnectCode::BAD_REQUEST);
        }
        self.leave(&request.channel);
        self.reply(id, ReplyResult::Unsubscribe);
    }

    /// Ends a subscription, whether it stands or is being made. Says whether there was one.
    pub(super) fn leave(&mut self, channel: &str) -> bool {
        let is_known = self.subscriptions.find(channel).is_some();
        self.forget(channel);
        self.watch_subscriptions();
        is_known
    }

    /// Ends a subscription and tells the client.
    pub(super) fn drop_subscription(&mut self, channel: &str, unsubscribe: Unsubscribe) {
        if self.leave(channel) {
            let namespace = self.settings.namespaces.id_of(channel);
            self.counts.dropped(unsubscribe.code, namespace);
            self.push(Push {
                channel: channel.to_owned(),
                unsubscribe: Some(unsubscribe),
                ..Push::default()
            });
        }
    }

    /// The hub found that something was missed.
    pub(super) fn on_position_lost(&mut self, channel: &str) {
        let Some(subscription) = self.subscriptions.find(channel) else {
            return;
        };
        if subscription.origin.is_server_side() {
            return self.close(DisconnectCode::INSUFFICIENT_STATE);
        }
        self.drop_subscription(channel, UnsubscribeCode::INSUFFICIENT_STATE.into());
    }

    /// Who asks for a right.
    pub(super) fn asker(&self, is_subscribed: bool) -> Asker<'_> {
        Asker {
            user: &self.identity.subject,
            is_subscribed,
            insecure: self.settings.insecure,
        }
    }

    /// This client as others see it.
    pub(super) fn client_info(&self, chan_info: bytes::Bytes) -> Arc<ClientInfo> {
        Arc::new(ClientInfo {
            user: self.identity.subject.to_string(),
            client: self.identity.client.to_string(),
            conn_info: self.identity.info.clone(),
            chan_info,
        })
    }

    /// How this client looks at a channel it is subscribed to.
    pub(super) fn lens(&self, channel: &str) -> Option<Lens> {
        self.subscriptions
            .find(channel)
            .filter(|it| it.is_active)
            .map(|it| it.lens)
    }
}
