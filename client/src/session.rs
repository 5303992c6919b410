//! The client's state machine: what comes in and what time it is, and what must go out. No socket, no clock.
//!
//! Tell it what happened with `handle_*`, ask it with its verbs, then take everything from [`Session::poll_output`] and
//! call [`Session::handle_timeout`] at [`Session::next_deadline`]. Times are a clock of the caller's own that starts
//! anywhere and never goes back.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use klokke_protocol::{
    Codec, Command, ConnectRequest, ConnectResult, DisconnectCode, ErrorCode, ErrorReply,
    HistoryRequest, PresenceRequest, PresenceStatsRequest, Publication, PublishRequest, Push,
    RefreshRequest, Reply, RpcRequest, SendRequest, SubRefreshRequest, SubscribeResult,
    UnsubscribeCode, UnsubscribeRequest,
};

use crate::{
    backoff::Backoff,
    config::Config,
    event::{Answer, Event, Refusal},
    subscription::{Stage, Subscription, Taken},
};

/// The client's own reasons to end a connection, below the server's; the SDKs of the protocol use the same.
const NO_PING: (u32, &str) = (2, "no ping");
const SUBSCRIBE_TIMEOUT: (u32, &str) = (3, "subscribe timeout");
const UNREADABLE: (u32, &str) = (5, "unreadable frame");
const CONNECT_TIMEOUT: (u32, &str) = (6, "connect timeout");

/// Names a call until its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u32);

/// What must go out.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Open a connection; answer with `handle_opened` or `handle_closed`.
    Open,
    /// Send this as one frame.
    Send(Bytes),
    /// Close the connection; no answer is needed.
    Close,
    /// Tell the application.
    Event(Event),
    /// A call is over.
    Answered(Ticket, Result<Answer, Refusal>),
}

/// Where the connection is.
#[derive(Debug, PartialEq)]
enum State {
    /// Not wanted.
    Ended,
    /// Wanted; the next try is due then.
    Waiting { until: Duration },
    /// A socket is being opened.
    Opening,
    /// The connect command is out.
    Connecting,
    /// A token must come from the application first.
    WantsToken,
    /// The connection stands.
    Connected,
}

/// What an unanswered command was for.
#[derive(Debug)]
enum Awaited {
    Connect,
    Refresh,
    Subscribe(String),
    SubRefresh(String),
    Unsubscribe,
    Call(Ticket),
}

/// The state machine of one client.
#[derive(Debug)]
pub struct Session {
    config: Config,
    state: State,
    subscriptions: BTreeMap<String, Subscription>,
    awaited: HashMap<u32, (Awaited, Duration)>,
    /// Commands that go out as one frame.
    unsent: BytesMut,
    outputs: VecDeque<Output>,
    backoff: Backoff,
    next_id: u32,
    /// Time between pings, and whether they are answered; known once connected.
    ping: Option<(Duration, bool)>,
    heard: Duration,
    refresh_due: Option<Duration>,
    subscription_refreshes: BTreeMap<String, Duration>,
    retries: BTreeMap<String, Duration>,
}

impl Session {
    /// A client that is not connected.
    pub fn new(config: Config) -> Self {
        Self {
            backoff: Backoff::new(config.reconnect_wait),
            config,
            state: State::Ended,
            subscriptions: BTreeMap::new(),
            awaited: HashMap::new(),
            unsent: BytesMut::new(),
            outputs: VecDeque::new(),
            next_id: 1,
            ping: None,
            heard: Duration::ZERO,
            refresh_due: None,
            subscription_refreshes: BTreeMap::new(),
            retries: BTreeMap::new(),
        }
    }

    /// Wants a connection, now and until told otherwise.
    pub fn connect(&mut self) {
        if self.state == State::Ended {
            self.open(0, "connect called");
        }
    }

    /// Wants no connection any more. Subscriptions stay for a later `connect`.
    pub fn disconnect(&mut self) {
        self.end(0, "disconnect called");
    }

    /// Reads a channel from now on, over all connections to come. Asking again changes nothing.
    pub fn subscribe(&mut self, channel: &str, now: Duration) {
        self.subscribe_with(channel, "", false, now);
    }

    /// Reads a channel with a subscription token (or none, when empty), and with deltas when wanted.
    pub fn subscribe_with(&mut self, channel: &str, token: &str, delta: bool, now: Duration) {
        if self.subscriptions.contains_key(channel) {
            return;
        }
        let mut subscription = Subscription::new(false, Backoff::new(self.config.reconnect_wait));
        token.clone_into(&mut subscription.token);
        subscription.wants_delta = delta;
        self.subscriptions.insert(channel.to_owned(), subscription);
        self.ask_for_subscription(channel, now);
    }

    /// Reads a channel no more.
    pub fn unsubscribe(&mut self, channel: &str, now: Duration) {
        let Some(gone) = self.subscriptions.remove(channel) else {
            return;
        };
        self.retries.remove(channel);
        self.subscription_refreshes.remove(channel);
        if gone.stage != Stage::Waiting && self.state == State::Connected {
            let request = UnsubscribeRequest {
                channel: channel.to_owned(),
            };
            let command = Command {
                unsubscribe: Some(request),
                ..Command::default()
            };
            self.ask(command, Awaited::Unsubscribe, now);
        }
        let reason = "unsubscribe called".to_owned();
        self.tell(Event::Unsubscribed {
            channel: channel.to_owned(),
            code: 0,
            reason,
        });
    }

    /// Takes a newer connection token, asked for or not.
    pub fn set_token(&mut self, token: &str, now: Duration) {
        token.clone_into(&mut self.config.token);
        match self.state {
            State::WantsToken => self.open(0, "token renewed"),
            State::Connected => {
                let request = RefreshRequest {
                    token: token.to_owned(),
                };
                let command = Command {
                    refresh: Some(request),
                    ..Command::default()
                };
                self.ask(command, Awaited::Refresh, now);
            }
            _ => {}
        }
    }

    /// Takes a newer subscription token.
    pub fn set_subscription_token(&mut self, channel: &str, token: &str, now: Duration) {
        let Some(subscription) = self.subscriptions.get_mut(channel) else {
            return;
        };
        token.clone_into(&mut subscription.token);
        match subscription.stage {
            Stage::Waiting => self.ask_for_subscription(channel, now),
            Stage::Asked => {}
            Stage::Standing => {
                let request = SubRefreshRequest {
                    channel: channel.to_owned(),
                    token: token.to_owned(),
                };
                let command = Command {
                    sub_refresh: Some(request),
                    ..Command::default()
                };
                self.ask(command, Awaited::SubRefresh(channel.to_owned()), now);
            }
        }
    }

    /// Publishes into a channel.
    pub fn publish(&mut self, channel: &str, data: Bytes, now: Duration) -> Ticket {
        let request = PublishRequest {
            channel: channel.to_owned(),
            data,
            ..Default::default()
        };
        self.call(
            Command {
                publish: Some(request),
                ..Command::default()
            },
            now,
        )
    }

    /// Calls an operation.
    pub fn rpc(&mut self, method: &str, data: Bytes, now: Duration) -> Ticket {
        let request = RpcRequest {
            method: method.to_owned(),
            data,
        };
        self.call(
            Command {
                rpc: Some(request),
                ..Command::default()
            },
            now,
        )
    }

    /// Asks for what was published.
    pub fn history(&mut self, request: HistoryRequest, now: Duration) -> Ticket {
        self.call(
            Command {
                history: Some(request),
                ..Command::default()
            },
            now,
        )
    }

    /// Asks who is in a channel.
    pub fn presence(&mut self, channel: &str, now: Duration) -> Ticket {
        let request = PresenceRequest {
            channel: channel.to_owned(),
        };
        self.call(
            Command {
                presence: Some(request),
                ..Command::default()
            },
            now,
        )
    }

    /// Asks how many are in a channel.
    pub fn presence_stats(&mut self, channel: &str, now: Duration) -> Ticket {
        let request = PresenceStatsRequest {
            channel: channel.to_owned(),
        };
        self.call(
            Command {
                presence_stats: Some(request),
                ..Command::default()
            },
            now,
        )
    }

    /// Sends a message that has no answer. Nothing is sent while there is no connection.
    pub fn send(&mut self, data: Bytes) {
        if self.state == State::Connected {
            self.write(&Command {
                send: Some(SendRequest { data }),
                ..Command::default()
            });
        }
    }

    /// The socket is open.
    pub fn handle_opened(&mut self, now: Duration) {
        if self.state != State::Opening {
            return;
        }
        self.state = State::Connecting;
        self.heard = now;
        let by_server = self.subscriptions.iter().filter(|(_, it)| it.by_server);
        let subs = by_server
            .map(|(channel, it)| (channel.clone(), it.request(channel)))
            .collect();
        let request = ConnectRequest {
            token: self.config.token.clone(),
            data: self.config.data.clone(),
            name: self.config.name.clone(),
            version: self.config.version.clone(),
            subs,
            ..ConnectRequest::default()
        };
        self.ask(
            Command {
                connect: Some(request),
                ..Command::default()
            },
            Awaited::Connect,
            now,
        );
    }

    /// The socket closed, or could not be opened. `chance`, drawn from 0 to 1, spreads the next try.
    pub fn handle_closed(&mut self, code: u32, reason: &str, now: Duration, chance: f64) {
        if matches!(
            self.state,
            State::Opening | State::Connecting | State::Connected
        ) {
            if DisconnectCode::from_wire(code) == DisconnectCode::STATE_INVALIDATED {
                self.config.token.clear();
                self.subscriptions
                    .values_mut()
                    .for_each(Subscription::forget_position);
            }
            if DisconnectCode::from_wire(code).reconnects() {
                self.come_back(code, reason, now, chance);
            } else {
                self.end(code, reason);
            }
        }
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, frame: &[u8], now: Duration, chance: f64) {
        self.heard = now;
        match self.config.codec.decode_replies(frame) {
            Ok(replies) => replies
                .into_iter()
                .for_each(|it| self.on_reply(it, now, chance)),
            Err(_) => self.drop_connection(UNREADABLE, now, chance),
        }
    }

    /// A deadline has passed.
    pub fn handle_timeout(&mut self, now: Duration, chance: f64) {
        if matches!(self.state, State::Waiting { until } if until <= now) {
            self.state = State::Opening;
            self.outputs.push_back(Output::Open);
        }
        if self.silent_since().is_some_and(|deadline| deadline <= now) {
            self.drop_connection(NO_PING, now, chance);
        }
        let late: Vec<u32> = self
            .awaited
            .iter()
            .filter(|(_, (_, due))| *due <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            match self.awaited.remove(&id).map(|(awaited, _)| awaited) {
                Some(Awaited::Connect) => self.drop_connection(CONNECT_TIMEOUT, now, chance),
                Some(Awaited::Subscribe(_)) => self.drop_connection(SUBSCRIBE_TIMEOUT, now, chance),
                Some(Awaited::Call(ticket)) => self.answer(ticket, Err(Refusal::Timeout)),
                Some(_) | None => {}
            }
        }
        for channel in take_due(&mut self.retries, now) {
            self.ask_for_subscription(&channel, now);
        }
        if self.refresh_due.is_some_and(|due| due <= now) {
            self.refresh_due = None;
            self.tell(Event::TokenNeeded);
        }
        for channel in take_due(&mut self.subscription_refreshes, now) {
            self.tell(Event::SubscriptionTokenNeeded { channel });
        }
    }

    /// When `handle_timeout` is wanted; `None` while nothing is awaited.
    pub fn next_deadline(&self) -> Option<Duration> {
        let waiting = match self.state {
            State::Waiting { until } => Some(until),
            _ => None,
        };
        let answers = self.awaited.values().map(|(_, due)| *due).min();
        let retries = self.retries.values().min().copied();
        let refreshes = self.subscription_refreshes.values().min().copied();
        [
            waiting,
            answers,
            retries,
            refreshes,
            self.refresh_due,
            self.silent_since(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Takes the next thing that must go out.
    pub fn poll_output(&mut self) -> Option<Output> {
        if !self.unsent.is_empty() {
            let frame = self.unsent.split().freeze();
            self.outputs.push_back(Output::Send(frame));
        }
        self.outputs.pop_front()
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    fn on_reply(&mut self, reply: Reply, now: Duration, chance: f64) {
        if let Some(push) = reply.push {
            return self.on_push(push, now, chance);
        }
        if reply.id == 0 {
            if self.ping.is_some_and(|(_, pong)| pong) {
                self.write(&Command::default());
            }
            return;
        }
        let Some((awaited, _)) = self.awaited.remove(&reply.id) else {
            return;
        };
        match (awaited, reply.error) {
            (Awaited::Connect, Some(error)) => self.on_connect_refused(&error, now, chance),
            (Awaited::Connect, None) => {
                self.on_connected(reply.connect.unwrap_or_default(), now);
            }
            (Awaited::Subscribe(channel), Some(error)) => {
                self.on_subscribe_refused(channel, error, now, chance);
            }
            (Awaited::Subscribe(channel), None) => {
                self.on_subscribed(&channel, reply.subscribe.unwrap_or_default(), now);
            }
            (Awaited::Refresh, None) => {
                let result = reply.refresh.unwrap_or_default();
                self.refresh_due = expiry(result.expires, result.ttl, now);
            }
            (Awaited::SubRefresh(channel), None) => {
                let result = reply.sub_refresh.unwrap_or_default();
                if let Some(due) = expiry(result.expires, result.ttl, now) {
                    self.subscription_refreshes.insert(channel, due);
                }
            }
            (Awaited::Refresh, Some(_)) => self.tell(Event::TokenNeeded),
            (Awaited::SubRefresh(channel), Some(_)) => {
                self.tell(Event::SubscriptionTokenNeeded { channel });
            }
            (Awaited::Unsubscribe, error) => {
                if let Some(error) = error {
                    // What this client believes and what the server believes differ: only a new connection helps.
                    self.drop_connection((error.code, "unsubscribe failed"), now, chance);
                }
            }
            (Awaited::Call(ticket), Some(error)) => {
                self.answer(ticket, Err(Refusal::Server(error)));
            }
            (Awaited::Call(ticket), None) => {
                let answer = None
                    .or(reply.publish.map(|_| Answer::Published))
                    .or(reply.rpc.map(Answer::Rpc))
                    .or(reply.history.map(Answer::History))
                    .or(reply.presence.map(Answer::Presence))
                    .or(reply.presence_stats.map(Answer::PresenceStats));
                self.answer(ticket, answer.ok_or(Refusal::ConnectionLost));
            }
        }
    }

    fn on_connect_refused(&mut self, error: &ErrorReply, now: Duration, chance: f64) {
        if error.code == ErrorCode::TOKEN_EXPIRED.number() {
            self.outputs.push_back(Output::Close);
            self.lose_connection();
            self.state = State::WantsToken;
            self.tell(Event::TokenNeeded);
        } else if error.temporary || error.code < 100 {
            self.drop_connection((error.code, &error.message), now, chance);
        } else {
            self.end(error.code, &error.message);
        }
    }

    fn on_connected(&mut self, result: ConnectResult, now: Duration) {
        self.state = State::Connected;
        self.backoff.reset();
        self.ping =
            (result.ping > 0).then(|| (Duration::from_secs(u64::from(result.ping)), result.pong));
        self.refresh_due = expiry(result.expires, result.ttl, now);
        self.tell(Event::Connected {
            client: result.client,
        });
        self.take_server_subscriptions(result.subs, now);
        let own: Vec<String> = self
            .subscriptions
            .iter()
            .filter(|(_, it)| !it.by_server && it.stage == Stage::Waiting)
            .map(|(channel, _)| channel.clone())
            .collect();
        for channel in own {
            self.ask_for_subscription(&channel, now);
        }
    }

    fn take_server_subscriptions(
        &mut self,
        subs: BTreeMap<String, SubscribeResult>,
        now: Duration,
    ) {
        let gone: Vec<String> = self
            .subscriptions
            .iter()
            .filter(|(channel, it)| it.by_server && !subs.contains_key(*channel))
            .map(|(channel, _)| channel.clone())
            .collect();
        for channel in gone {
            self.subscriptions.remove(&channel);
            let (code, reason) = (
                UnsubscribeCode::SERVER.number(),
                UnsubscribeCode::SERVER.text(),
            );
            self.tell(Event::Unsubscribed {
                channel,
                code,
                reason: reason.to_owned(),
            });
        }
        for (channel, result) in subs {
            let backoff = Backoff::new(self.config.reconnect_wait);
            self.subscriptions
                .entry(channel.clone())
                .or_insert_with(|| Subscription::new(true, backoff))
                .by_server = true;
            self.on_subscribed(&channel, result, now);
        }
    }

    fn on_subscribed(&mut self, channel: &str, result: SubscribeResult, now: Duration) {
        let json = self.config.codec == Codec::Json;
        let Some(subscription) = self.subscriptions.get_mut(channel) else {
            return;
        };
        let (recovered, was_recovering) = (result.recovered, result.was_recovering);
        if !subscription.by_server
            && let Some(due) = expiry(result.expires, result.ttl, now)
        {
            self.subscription_refreshes.insert(channel.to_owned(), due);
        }
        let missed = subscription.accept(result, json);
        self.tell(Event::Subscribed {
            channel: channel.to_owned(),
            recovered,
            was_recovering,
        });
        for publication in missed {
            self.tell(Event::Publication {
                channel: channel.to_owned(),
                publication,
            });
        }
    }

    fn on_subscribe_refused(
        &mut self,
        channel: String,
        error: ErrorReply,
        now: Duration,
        chance: f64,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&channel) else {
            return;
        };
        subscription.stage = Stage::Waiting;
        if error.code == ErrorCode::TOKEN_EXPIRED.number() {
            subscription.token.clear();
            self.tell(Event::SubscriptionTokenNeeded { channel });
        } else if error.code == ErrorCode::UNRECOVERABLE_POSITION.number() {
            subscription.forget_position();
            self.retries.insert(channel, now);
        } else if error.temporary || error.code < 100 {
            let wait = subscription.backoff.next(chance);
            self.retries.insert(channel, now + wait);
        } else {
            self.subscriptions.remove(&channel);
            self.tell(Event::Unsubscribed {
                channel,
                code: error.code,
                reason: error.message,
            });
        }
    }

    fn on_push(&mut self, push: Push, now: Duration, chance: f64) {
        let channel = push.channel;
        if let Some(publication) = push.publication {
            self.on_publication(channel, publication, now);
        } else if let Some(info) = push.join.and_then(|join| join.info) {
            self.tell(Event::Join { channel, info });
        } else if let Some(info) = push.leave.and_then(|leave| leave.info) {
            self.tell(Event::Leave { channel, info });
        } else if let Some(message) = push.message {
            self.tell(Event::Message { data: message.data });
        } else if let Some(subscribe) = push.subscribe {
            let backoff = Backoff::new(self.config.reconnect_wait);
            self.subscriptions
                .insert(channel.clone(), Subscription::new(true, backoff));
            let result = SubscribeResult {
                recoverable: subscribe.recoverable,
                positioned: subscribe.positioned,
                epoch: subscribe.epoch,
                offset: subscribe.offset,
                ..SubscribeResult::default()
            };
            self.on_subscribed(&channel, result, now);
        } else if let Some(unsubscribe) = push.unsubscribe {
            self.on_unsubscribe(channel, unsubscribe.code, unsubscribe.reason, now);
        } else if let Some(refresh) = push.refresh {
            self.refresh_due = expiry(refresh.expires, refresh.ttl, now);
        } else if let Some(disconnect) = push.disconnect {
            self.outputs.push_back(Output::Close);
            self.handle_closed(disconnect.code, &disconnect.reason, now, chance);
        }
    }

    fn on_publication(&mut self, channel: String, publication: Publication, now: Duration) {
        let json = self.config.codec == Codec::Json;
        // While it is asked for, what still comes is of the one before: the answer tells all after the position asked from.
        let Some(subscription) = self.subscriptions.get_mut(&channel) else {
            return;
        };
        if subscription.stage != Stage::Standing {
            return;
        }
        match subscription.take(publication, json) {
            Taken::Fresh(publication) => {
                self.tell(Event::Publication {
                    channel,
                    publication: *publication,
                });
            }
            Taken::Seen => {}
            Taken::Broken => {
                // Without its base a delta says nothing: end the subscription and begin it again from its position.
                let request = UnsubscribeRequest {
                    channel: channel.clone(),
                };
                let command = Command {
                    unsubscribe: Some(request),
                    ..Command::default()
                };
                self.ask(command, Awaited::Unsubscribe, now);
                self.subscribe_again(&channel, now);
            }
        }
    }

    fn on_unsubscribe(&mut self, channel: String, code: u32, reason: String, now: Duration) {
        let Some(subscription) = self.subscriptions.get_mut(&channel) else {
            return;
        };
        let kind = UnsubscribeCode::from_wire(code);
        if kind.resubscribes() && !subscription.by_server {
            if kind == UnsubscribeCode::STATE_INVALIDATED {
                subscription.forget_position();
                subscription.token.clear();
            }
            // What is asked for already was not meant: the end was on its way, and a second asking would be refused.
            if subscription.stage == Stage::Standing {
                self.subscribe_again(&channel, now);
            }
        } else {
            self.subscriptions.remove(&channel);
            self.tell(Event::Unsubscribed {
                channel,
                code,
                reason,
            });
        }
    }

    fn subscribe_again(&mut self, channel: &str, now: Duration) {
        if let Some(subscription) = self.subscriptions.get_mut(channel) {
            subscription.lose_connection();
        }
        self.ask_for_subscription(channel, now);
    }

    fn ask_for_subscription(&mut self, channel: &str, now: Duration) {
        if self.state != State::Connected {
            return;
        }
        let Some(subscription) = self.subscriptions.get_mut(channel) else {
            return;
        };
        subscription.stage = Stage::Asked;
        let command = Command {
            subscribe: Some(subscription.request(channel)),
            ..Command::default()
        };
        self.ask(command, Awaited::Subscribe(channel.to_owned()), now);
    }

    fn call(&mut self, command: Command, now: Duration) -> Ticket {
        let ticket = Ticket(self.next_id);
        let calls = self
            .awaited
            .values()
            .filter(|(it, _)| matches!(it, Awaited::Call(_)))
            .count();
        if self.state != State::Connected {
            self.next_id += 1;
            self.answer(ticket, Err(Refusal::ConnectionLost));
        } else if calls >= self.config.calls_max {
            self.next_id += 1;
            self.answer(ticket, Err(Refusal::TooMany));
        } else {
            self.ask(command, Awaited::Call(ticket), now);
        }
        ticket
    }

    fn ask(&mut self, mut command: Command, awaited: Awaited, now: Duration) {
        command.id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1).max(1);
        if self.write(&command) {
            self.awaited
                .insert(command.id, (awaited, now + self.config.answer_timeout));
        } else if let Awaited::Call(ticket) = awaited {
            self.answer(ticket, Err(Refusal::NotJson));
        }
    }

    /// Puts a command into the frame that goes out next; `false` where it cannot be told in the codec.
    fn write(&mut self, command: &Command) -> bool {
        let before = self.unsent.len();
        if before > 0 && self.config.codec == Codec::Json {
            self.unsent.extend_from_slice(b"\n");
        }
        let written = self
            .config
            .codec
            .encode_command(command, &mut self.unsent)
            .is_ok();
        if !written {
            self.unsent.truncate(before);
        }
        written
    }

    fn answer(&mut self, ticket: Ticket, result: Result<Answer, Refusal>) {
        self.outputs.push_back(Output::Answered(ticket, result));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn silent_since(&self) -> Option<Duration> {
        let (interval, _) = self.ping.filter(|_| self.state == State::Connected)?;
        Some(self.heard + interval + self.config.ping_grace)
    }

    fn open(&mut self, code: u32, reason: &str) {
        self.tell(Event::Connecting {
            code,
            reason: reason.to_owned(),
        });
        self.state = State::Opening;
        self.outputs.push_back(Output::Open);
    }

    /// This side ends the connection and comes back.
    fn drop_connection(&mut self, (code, reason): (u32, &str), now: Duration, chance: f64) {
        self.outputs.push_back(Output::Close);
        self.come_back(code, reason, now, chance);
    }

    fn come_back(&mut self, code: u32, reason: &str, now: Duration, chance: f64) {
        self.lose_connection();
        self.state = State::Waiting {
            until: now + self.backoff.next(chance),
        };
        self.tell(Event::Connecting {
            code,
            reason: reason.to_owned(),
        });
    }

    fn end(&mut self, code: u32, reason: &str) {
        if self.state != State::Ended {
            self.outputs.push_back(Output::Close);
            self.lose_connection();
            self.state = State::Ended;
            self.tell(Event::Disconnected {
                code,
                reason: reason.to_owned(),
            });
        }
    }

    fn lose_connection(&mut self) {
        self.unsent.clear();
        self.ping = None;
        self.refresh_due = None;
        self.retries.clear();
        self.subscription_refreshes.clear();
        self.subscriptions
            .values_mut()
            .for_each(Subscription::lose_connection);
        for (_, (awaited, _)) in std::mem::take(&mut self.awaited) {
            if let Awaited::Call(ticket) = awaited {
                self.answer(ticket, Err(Refusal::ConnectionLost));
            }
        }
    }
}

/// A token is renewed when nine tenths of its time are over, so that the new one is there in time.
fn expiry(expires: bool, ttl_seconds: u32, now: Duration) -> Option<Duration> {
    expires.then(|| now + Duration::from_secs(u64::from(ttl_seconds)).mul_f64(0.9))
}

fn take_due(deadlines: &mut BTreeMap<String, Duration>, now: Duration) -> Vec<String> {
    let due: Vec<String> = deadlines
        .iter()
        .filter(|(_, at)| **at <= now)
        .map(|(channel, _)| channel.clone())
        .collect();
    for channel in &due {
        deadlines.remove(channel);
    }
    due
}

#[cfg(test)]
mod tests;
