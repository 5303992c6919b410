//! The session itself: its state, what may come in, and the order in which things are done.
//!
//! What each command means stands in the neighbouring files (`connect`, `subscribe`, `channel_commands`,
//! `refresh`, `server_side`); time in `keepalive`.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use klokke_protocol::{
    Command, Disconnect, DisconnectCode, ErrorReply, Push, Reply, ReplyResult, Request,
};

use super::connect::Connecting;
use super::counts::{Asked, ClientName};
use super::keepalive::Deadlines;
use super::subscription::{Joining, Subscriptions};
use super::{Answer, Counts, Effect, Event, Frame, Identity, NamespaceId, Settings, Ticket};
use crate::hub::Wire;

/// Largest frames that may wait behind a command that takes its time. The driver stops reading at one;
/// this is room for what was on the way.
const WAITING_FRAMES_MAX: usize = 4;
/// Events that may wait while a connection is being opened. Opening takes some milliseconds; a person's
/// relations do not change more often than this meanwhile.
const DEFERRED_MAX: usize = 64;

/// Frames that may wait, whatever their size: empty ones cost memory too. The driver stops reading at an eighth; one read
/// of its 16 KiB holds at most 2,340 of them.
const WAITING_MAX: usize = 4096;

/// What a session is told of its connection when it begins.
#[derive(Debug, Clone)]
pub struct Link {
    /// How messages are written.
    pub wire: Wire,
    /// How pings are sent.
    pub ping: PingStyle,
    /// The connection's id, a fresh UUID; told to the client and seen by others.
    pub client: Box<str>,
    /// The secret by which an emulated connection's commands are matched; told to the client.
    pub emulation: Option<Box<str>>,
    /// A random number that spreads first pings.
    pub jitter: u32,
    /// Where its doings are counted.
    pub counts: Rc<Counts>,
}

/// How a connection is kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingStyle {
    /// Empty replies and commands of the protocol.
    Messages,
    /// Ping and pong frames of WebSocket (`cf_ws_frame_ping_pong`).
    Frames,
}

/// Where in its life a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing came yet; only a connect command may.
    Fresh,
    /// The connect command is being worked on.
    Connecting,
    /// Connected.
    Open,
    /// Connect was refused by an error reply; nothing may follow.
    Rejected,
    /// Closed by us, or told so.
    Closed,
}

/// One connection's protocol state; see the [module](super) for the order of calls.
///
/// It is kept small: what only few connections have, or for a moment only, is boxed.
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) identity: Arc<Identity>,
    pub(super) subscriptions: Subscriptions,
    pub(super) deadlines: Deadlines,
    effects: VecDeque<Effect>,
    /// Encoded messages that go out in one write.
    messages: Vec<Bytes>,
    /// The command that waits for its answer.
    pub(super) current: Option<Box<Current>>,
    /// What waits behind it.
    waiting: Option<Box<Waiting>>,
    /// Server-side subscriptions being made.
    pub(super) joinings: Option<Box<Joinings>>,
    pub(super) emulation: Option<Box<str>>,
    next_ticket: u32,
    errors: u32,
    pub(super) jitter: u32,
    pub(super) phase: Phase,
    pub(super) ping: PingStyle,
    wire: Wire,
    pub(super) client_name: ClientName,
    /// It stands among the open connections in the figures.
    pub(super) is_counted: bool,
    /// Its connect command came with positions to recover.
    pub(super) is_resumed: bool,
    pub(super) counts: Rc<Counts>,
    /// The command being worked on, or the last one.
    asked: Asked,
    pub(super) pinged_us: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_counted {
            self.counts.disconnected(self.client_name);
        }
        for subscription in self.subscriptions.iter().filter(|it| it.is_active) {
            let namespace = subscription.namespace;
            self.counts.unsubscribed(self.client_name, namespace);
        }
    }
}

/// Server-side subscriptions being made, by the question asked for each.
pub(super) type Joinings = Vec<(Ticket, Joining)>;

/// The command that waits for an answer.
#[derive(Debug)]
pub(super) struct Current {
    /// The command's id.
    pub(super) id: u32,
    pub(super) ticket: Ticket,
    pub(super) task: Task,
}

/// What a waiting command wants to do next.
#[derive(Debug)]
pub(super) enum Task {
    Connect(Box<Connecting>),
    VerifySubscribe(Box<super::subscribe::Asked>),
    Subscribe(Box<Joining>),
    Publish,
    History,
    Presence,
    PresenceStats,
    Rpc,
    Refresh,
    SubRefresh(klokke_protocol::ChannelName),
    StepUp,
}

/// Frames and commands behind the current one, and events that wait for the connection to be open.
#[derive(Debug, Default)]
struct Waiting {
    /// With when they came.
    frames: VecDeque<(Bytes, u64)>,
    bytes: usize,
    commands: VecDeque<Command>,
    /// When those came, and the bytes of each.
    commands_since_us: u64,
    command_bytes: usize,
    events: Vec<Event>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.commands.is_empty() && self.events.is_empty()
    }
}

impl Session {
    /// A session that waits for its connect command.
    #[must_use]
    pub fn new(settings: Arc<Settings>, link: Link, now_ms: u64) -> Self {
        let identity = Identity {
            client: link.client,
            ..Identity::default()
        };
        Self {
            deadlines: Deadlines::stale(now_ms.saturating_add(settings.stale_close_delay_ms)),
            settings,
            identity: Arc::new(identity),
            subscriptions: Subscriptions::default(),
            effects: VecDeque::new(),
            messages: Vec::new(),
            current: None,
            waiting: None,
            joinings: None,
            emulation: link.emulation,
            next_ticket: 0,
            errors: 0,
            jitter: link.jitter,
            phase: Phase::Fresh,
            ping: link.ping,
            wire: link.wire,
            client_name: ClientName::default(),
            is_counted: false,
            is_resumed: false,
            counts: link.counts,
            asked: Asked::default(),
            pinged_us: 0,
        }
    }

    /// Takes what the client sent: the payload of one WebSocket message, HTTP body or emulation request.
    pub fn handle_frame(&mut self, frame: Bytes, now_ms: u64) {
        if self.phase == Phase::Closed {
            return;
        }
        if self.phase == Phase::Open && is_pong(&frame) {
            // A pong answers at once: it must not wait behind a slow command and be found missing.
            let pong = Frame::ClientPong;
            self.counts.received(pong, NamespaceId::NONE, frame.len());
            return self.on_pong();
        }
        let now_us = self.counts.now_us();
        let waiting = self.waiting.get_or_insert_default();
        waiting.bytes += frame.len();
        let bytes_max = WAITING_FRAMES_MAX.saturating_mul(self.settings.frame_max_bytes);
        if waiting.bytes > bytes_max || waiting.frames.len() >= WAITING_MAX {
            return self.close(DisconnectCode::TOO_MANY_REQUESTS);
        }
        waiting.frames.push_back((frame, now_us));
        self.run(now_ms);
    }

    /// Whether more frames may come now. While not, the driver leaves them in the socket; what is handed in
    /// all the same counts against a bound that closes the connection.
    #[must_use]
    pub fn wants_frames(&self) -> bool {
        self.waiting.as_ref().is_none_or(|waiting| {
            waiting.bytes < self.settings.frame_max_bytes && waiting.frames.len() < WAITING_MAX / 8
        })
    }

    /// Whether commands wait behind one that is being worked on.
    pub(super) fn is_behind(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes the answer to a question. Answers to questions that no longer matter are ignored.
    pub fn handle_answer(&mut self, ticket: Ticket, answer: Answer, now_ms: u64) {
        if self.phase == Phase::Closed {
            return;
        }
        match self.current.take_if(|current| current.ticket == ticket) {
            Some(current) => self.on_answer(*current, answer, now_ms),
            None => self.on_joining_answer(ticket, answer, now_ms),
        }
        self.run(now_ms);
    }

    fn on_answer(&mut self, current: Current, answer: Answer, now_ms: u64) {
        let id = current.id;
        match (current.task, answer) {
            (Task::Connect(connecting), answer) => {
                self.on_connect_answer(id, *connecting, answer, now_ms);
            }
            (Task::VerifySubscribe(asked), Answer::SubscriptionVerified(verdict)) => {
                self.on_subscription_token(id, *asked, verdict, now_ms);
            }
            (Task::Subscribe(joining), Answer::Subscribed(outcome)) => {
                self.on_subscribed(id, *joining, outcome, now_ms);
            }
            (Task::Refresh, Answer::Verified(verdict)) => self.on_refreshed(id, verdict, now_ms),
            (Task::StepUp, Answer::SteppedUp(outcome)) => self.on_stepped_up(id, outcome),
            (Task::SubRefresh(channel), Answer::SubscriptionVerified(verdict)) => {
                self.on_sub_refreshed(id, &channel, verdict, now_ms);
            }
            (task, answer) => self.on_channel_answer(id, &task, answer),
        }
    }

    /// Takes what happened without the session's asking.
    pub fn handle_event(&mut self, event: Event, now_ms: u64) {
        match (self.phase, event) {
            (Phase::Closed, _) => {}
            (_, Event::Disconnect(disconnect)) => self.close_with(disconnect),
            (Phase::Open, event) => self.on_event(event, now_ms),
            (Phase::Connecting, Event::Entitlements(entitlements)) => {
                self.on_entitlements(entitlements, now_ms);
                self.run(now_ms);
            }
            (Phase::Connecting, event) => {
                let waiting = self.waiting.get_or_insert_default();
                waiting.events.push(event);
                if waiting.events.len() > DEFERRED_MAX {
                    self.close(DisconnectCode::FORCE_RECONNECT);
                }
            }
            (Phase::Fresh | Phase::Rejected, _) => {}
        }
    }

    /// The events that had to wait for the connection to be open.
    pub(super) fn take_deferred(&mut self) -> Vec<Event> {
        self.waiting
            .as_mut()
            .map(|waiting| std::mem::take(&mut waiting.events))
            .unwrap_or_default()
    }

    /// The next thing to do, if any.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front();
        if effect.is_some() {
            return effect;
        }
        if self.messages.is_empty() {
            // An idle connection keeps no buffers.
            self.effects = VecDeque::new();
            self.messages = Vec::new();
            return None;
        }
        self.flush();
        self.effects.pop_front()
    }

    /// Whether [`Effect::Close`] was given out; nothing follows it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether the connect command has succeeded.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether its connect command came with positions to recover.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// When the command being worked on came, by the driver's time.
    #[must_use]
    pub fn asked_us(&self) -> u64 {
        self.asked.since_us
    }

    /// Whether the connect command is being worked on.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    /// Who it is; without a subject until connected.
    #[must_use]
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// How its messages are written.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// The channels it is subscribed to.
    pub fn channels(&self) -> impl Iterator<Item = &klokke_protocol::ChannelName> {
        self.subscriptions
            .iter()
            .filter(|it| it.is_active)
            .map(|it| &it.channel)
    }

    /// Runs what waits until a command has to wait for its answer.
    fn run(&mut self, now_ms: u64) {
        while self.current.is_none() && self.phase != Phase::Closed {
            let Some(waiting) = &mut self.waiting else {
                return;
            };
            if let Some(command) = waiting.commands.pop_front() {
                self.on_command(command, now_ms);
            } else if let Some((frame, since_us)) = waiting.frames.pop_front() {
                waiting.bytes -= frame.len();
                match self.wire.codec().decode_commands(&frame) {
                    Ok(commands) => {
                        waiting.commands_since_us = since_us;
                        // Commands that share a frame share its bytes evenly; few do.
                        waiting.command_bytes = frame.len() / commands.len().max(1);
                        waiting.commands = commands.into();
                    }
                    Err(_) => {
                        self.counts.malformed();
                        self.close(DisconnectCode::BAD_REQUEST);
                    }
                }
            } else if waiting.is_empty() {
                self.waiting = None;
            } else {
                return;
            }
        }
    }

    fn on_command(&mut self, command: Command, now_ms: u64) {
        let (id, request) = command.into_request();
        self.note_command(&request);
        let wants_no_id = matches!(request, Request::Send(_) | Request::Pong);
        let is_sound = if wants_no_id {
            id == 0 || matches!(request, Request::Send(_))
        } else {
            id > 0
        };
        match (self.phase, request) {
            (Phase::Fresh, Request::Connect(request)) if id > 0 => {
                self.on_connect(id, request, now_ms);
            }
            (Phase::Open, request) if is_sound => self.on_request(id, request),
            _ => self.close(DisconnectCode::BAD_REQUEST),
        }
    }

    fn note_command(&mut self, request: &Request) {
        let (since_us, bytes) = self.waiting.as_ref().map_or((0, 0), |waiting| {
            (waiting.commands_since_us, waiting.command_bytes)
        });
        if let Some(asked) = Asked::of(request, &self.settings.namespaces, since_us) {
            self.counts.received(asked.frame, asked.namespace, bytes);
            self.asked = asked;
        }
    }

    fn on_request(&mut self, id: u32, request: Request) {
        match request {
            Request::Pong => self.on_pong(),
            Request::Connect(_) | Request::Ping(_) => self.close(DisconnectCode::BAD_REQUEST),
            Request::Subscribe(request) => self.on_subscribe(id, request),
            Request::Unsubscribe(request) => self.on_unsubscribe(id, &request),
            Request::Publish(request) => self.on_publish(id, request),
            Request::Presence(request) => self.on_presence(id, &request),
            Request::PresenceStats(request) => self.on_presence_stats(id, &request),
            Request::History(request) => self.on_history(id, request),
            Request::Send(request) => self.on_send(request),
            Request::Rpc(request) => self.on_rpc(id, request),
            Request::Refresh(request) => self.on_refresh(id, request),
            Request::SubRefresh(request) => self.on_sub_refresh(id, request),
        }
    }

    /// A new question's name.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        Ticket(self.next_ticket)
    }

    /// Lets the command `id` wait for the answer to a question; gives the question's name.
    pub(super) fn wait(&mut self, id: u32, task: Task) -> Ticket {
        let ticket = self.ticket();
        self.current = Some(Box::new(Current { id, ticket, task }));
        ticket
    }

    /// Does something after all that was said so far.
    pub(super) fn effect(&mut self, effect: Effect) {
        self.flush();
        self.effects.push_back(effect);
    }

    pub(super) fn reply(&mut self, id: u32, result: ReplyResult) {
        self.counts.answered(self.asked);
        self.say(&Reply::result(id, result));
    }

    pub(super) fn refuse(&mut self, id: u32, error: impl Into<ErrorReply>) {
        self.say_error(id, error.into());
        self.errors = self.errors.saturating_add(1);
        let limit = self.settings.error_limit;
        if limit > 0 && self.errors > limit {
            self.close(DisconnectCode::TOO_MANY_ERRORS);
        }
    }

    /// Refuses the connect command: the connection is of no use any more.
    pub(super) fn reject(&mut self, id: u32, error: impl Into<ErrorReply>) {
        self.phase = Phase::Rejected;
        self.say_error(id, error.into());
    }

    fn say_error(&mut self, id: u32, error: ErrorReply) {
        self.counts.refused(self.asked, error.code);
        self.say(&Reply::error(id, error));
    }

    pub(super) fn push(&mut self, push: Push) {
        self.say(&Reply::push(push));
    }

    pub(super) fn say(&mut self, reply: &Reply) {
        if self.phase == Phase::Closed {
            return;
        }
        let mut out = BytesMut::new();
        match self.wire.codec().encode_reply(reply, &mut out) {
            Ok(()) => {
                let namespaces = &self.settings.namespaces;
                self.counts.said(reply, self.asked, namespaces, out.len());
                self.messages.push(out.freeze());
            }
            Err(_) => self.close(DisconnectCode::INAPPROPRIATE_PROTOCOL),
        }
    }

    /// Closes the connection; what was said before still goes out.
    pub(super) fn close(&mut self, code: DisconnectCode) {
        self.close_with(code.into());
    }

    pub(super) fn close_with(&mut self, disconnect: Disconnect) {
        if self.phase == Phase::Closed {
            return;
        }
        if self.wire.announces_close() {
            self.push(Push {
                disconnect: Some(disconnect.clone()),
                ..Push::default()
            });
        }
        self.effect(Effect::Close(disconnect));
        self.phase = Phase::Closed;
        self.current = None;
        self.waiting = None;
        self.joinings = None;
        self.deadlines = Deadlines::none();
    }

    /// Makes one write of the messages so far.
    fn flush(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        let frame = self.wire.frame(&self.messages);
        let messages = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        self.messages.clear();
        self.effects.push_back(Effect::Write { frame, messages });
    }
}

/// Whether a frame is one pong and nothing else.
fn is_pong(frame: &[u8]) -> bool {
    matches!(frame, b"{}" | b"{}\n" | [0])
}
