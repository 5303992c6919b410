//! One shard: a thread's connections, its hub and its clock, and the loop that drives them.
//!
//! Everything a shard owns lies in one [`Core`] behind one cell, borrowed for the length of one
//! event and never over an `await`. Futures that need the answer of somebody else run as tasks of
//! the same thread and come back with an event of their own.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use klokke_protocol::{ChannelName, DisconnectCode};
use tokio::sync::{Notify, watch};
use tower::ServiceExt as _;

use super::Services;
use super::admitting::Keeper;
use super::connections::{Connection, Connections};
use super::doors;
use super::mailbox::{Inbound, ShardInput, Shards};
use super::nodes;
use super::positions::{self, Positions};
use super::sink::{Outcome, Sink};
use super::steering::Steering;
use super::tally::Tally;
use super::wheel::Wheel;
use crate::hub::{Announcement, ConnKey, Hub, Kind, Movement, Unsubscribed};
use crate::ledger::LedgerId;
use crate::people::SubjectId;
use crate::session::{self, Event, PingStyle, Session};
use crate::telemetry::catalogue;
use crate::transport::admission::Refused;
use crate::transport::listener::Intake;
use crate::transport::quic::{self, Arrival};
use crate::transport::{
    Asked, Cause, Door, HandingOn, Host, Last, Link, LocalFuture, Opening, Reason, RequestBody,
    Resumed, Standing, Uplink, serve,
};

/// Subscribers written to before connections that have something to say get their turn. At some
/// microseconds a write, a turn is about a millisecond.
const FAN_OUT_BUDGET: usize = 256;
/// Inputs taken before the fan-out has its turn.
const INPUTS_PER_TURN: usize = 256;
/// Longest a stopping shard waits for its ledgers to end: their last batch is on its way to disk.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How often the loop comes round at least, so that it is seen when it comes late.
const BEAT: Duration = Duration::from_secs(1);

/// What one thread owns.
pub(super) struct Core {
    pub(super) connections: Connections,
    pub(super) hub: Hub,
    pub(super) wheel: Wheel,
    pub(super) tally: Tally,
    /// Ledgers that could not say what a login sees, and will be asked again.
    pub(super) unsaid: HashSet<(LedgerId, SubjectId)>,
    /// When entitlements are computed anew because the day turns.
    pub(super) midnight_ms: u64,
    pub(super) positions: Positions,
    pub(super) keeper: Keeper,
}

/// One shard, as its own tasks see it.
pub(super) struct Shard {
    pub(super) index: usize,
    pub(super) services: Services,
    pub(super) shards: Arc<Shards>,
    pub(super) core: RefCell<Core>,
    /// Of use on one shard only, which looks for all.
    pub(super) steering: RefCell<Steering>,
    /// How often everybody here was told how service is.
    pub(super) notices: Cell<u32>,
    pub(super) work: Notify,
    pub(super) draining: Cell<bool>,
    pub(super) stopping: Cell<bool>,
    /// Ends kept-alive HTTP connections.
    pub(super) drain: watch::Sender<bool>,
}

impl Shard {
    pub(super) fn new(index: usize, mut services: Services, shards: Arc<Shards>) -> Rc<Self> {
        let now = services.clock.now_ms();
        services.meters = services.telemetry.meters();
        let tally = Tally::new(
            index,
            services.meters.clone(),
            Arc::clone(&services.session),
        );
        let core = Core {
            connections: Connections::default(),
            hub: Hub::timed(&tally.watch),
            wheel: Wheel::new(now),
            tally,
            unsaid: HashSet::new(),
            midnight_ms: crate::people::day::next_midnight_ms(now),
            positions: Positions::new(now, services.session.position_check_delay_ms),
            keeper: Keeper::new(services.gate, services.meters.clone()),
        };
        let figure = services.meters.gauge(catalogue::ADMISSION_LEVEL, &[]);
        let steering = Steering::new(services.lag_max_ms, figure);
        Rc::new(Self {
            index,
            services,
            shards,
            core: RefCell::new(core),
            steering: RefCell::new(steering),
            notices: Cell::new(0),
            work: Notify::new(),
            draining: Cell::new(false),
            stopping: Cell::new(false),
            drain: watch::channel(false).0,
        })
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.services.clock.now_ms()
    }

    /// Runs until told to stop.
    pub(super) async fn run(self: Rc<Self>, mut inbound: Inbound) {
        let mut actors = tokio::task::JoinSet::new();
        let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
        let mut fired = Vec::new();
        let mut due = Instant::now();
        tokio::task::spawn_local(Rc::clone(&self).feel());
        while !self.stopping.get() {
            let input = tokio::select! {
                biased;
                Some(task) = inbound.tasks.recv() => { actors.spawn_local(task()); None }
                Some(_) = actors.join_next() => None,
                Some(input) = inbound.inputs.recv() => Some(input),
                () = self.work.notified() => None,
                () = &mut sleep => None,
            };
            let began = Instant::now();
            if began >= due {
                self.core.borrow().tally.late(began - due);
            }
            if let Some(input) = input {
                self.take(input);
                self.take_more(&mut inbound);
            }
            self.turn(&mut fired);
            self.core.borrow().tally.turned(began);
            let wake = self.next_wake().min(BEAT);
            due = Instant::now() + wake;
            sleep.as_mut().reset(tokio::time::Instant::now() + wake);
            if self.core.borrow().hub.has_work() {
                self.work.notify_one();
                tokio::task::yield_now().await;
            }
        }
        self.end(inbound, actors).await;
    }

    /// Lets ledgers finish what they have; their news is for nobody here any more.
    async fn end(&self, mut inbound: Inbound, mut actors: tokio::task::JoinSet<()>) {
        let rest = async {
            loop {
                tokio::select! {
                    Some(task) = inbound.tasks.recv() => { actors.spawn_local(task()); }
                    Some(_) = inbound.inputs.recv() => {}
                    ended = actors.join_next() => if ended.is_none() { break },
                }
            }
        };
        if tokio::time::timeout(STOP_GRACE, rest).await.is_err() {
            tracing::warn!(shard = self.index, "ledgers did not end in time");
        }
    }

    fn take_more(self: &Rc<Self>, inbound: &mut Inbound) {
        for _ in 1..INPUTS_PER_TURN {
            match inbound.inputs.try_recv() {
                Ok(input) => self.take(input),
                Err(_) => return,
            }
        }
        self.work.notify_one();
    }

    fn take(self: &Rc<Self>, input: ShardInput) {
        let now = self.now_ms();
        self.core.borrow().tally.tell_time();
        match input {
            ShardInput::Socket(incoming) => {
                let serving = serve(
                    incoming,
                    Rc::clone(self),
                    Arc::clone(&self.services.transport),
                    self.drain.subscribe(),
                );
                let shard = Rc::clone(self);
                tokio::task::spawn_local(async move {
                    serving.await;
                    shard.unload();
                });
            }
            ShardInput::Quic(door) => {
                let settings = Arc::clone(&self.services.transport);
                tokio::task::spawn_local(quic::serve(*door, Rc::clone(self), settings));
            }
            ShardInput::Delivery(delivery) => self.deliver(&delivery),
            ShardInput::Answer(answer) => self.ledger_answered(answer),
            ShardInput::Publish(publication) => {
                self.note_message(Kind::Publication, &publication.channel);
                self.core.borrow_mut().hub.publish(&publication, now);
            }
            ShardInput::Announce(news) => {
                self.note_message(news.movement.into(), &news.channel);
                self.core.borrow_mut().hub.announce(&news, now);
            }
            ShardInput::Ask(question) => self.answer_question(question),
            ShardInput::Tell(directive) => {
                let keys = self.core.borrow().connections.meant(&directive.target);
                for key in keys {
                    self.happen(key, directive.event.clone());
                }
            }
            ShardInput::Status(notice) => self.tell_status(notice),
            ShardInput::Judge(judgement) => self.judge(&judgement),
            ShardInput::Uplink { secret, frame } => self.receive_emulated(&secret, frame),
            ShardInput::Drain { over } => self.drain(over),
            ShardInput::Stop => self.stopping.set(true),
        }
    }

    /// One turn: what is due by the clock, then some of what waits in the hub.
    fn turn(self: &Rc<Self>, fired: &mut Vec<u32>) {
        let now = self.now_ms();
        self.core.borrow_mut().wheel.advance(now, fired);
        for index in fired.drain(..) {
            let Some(key) = self.core.borrow().connections.at(index) else {
                continue;
            };
            self.with_session(key, |session| session.handle_timeout(now));
        }
        self.turn_day();
        if now >= self.core.borrow().positions.due_ms {
            positions::look(self, now);
        }
        self.open_gate(now);
        self.fan_out(now);
    }

    fn next_wake(&self) -> Duration {
        let core = self.core.borrow();
        let next = core.wheel.next_wake_ms().unwrap_or(u64::MAX);
        let next = next.min(core.midnight_ms).min(core.positions.due_ms);
        let next = next.min(core.keeper.next_due_ms().unwrap_or(u64::MAX));
        let wait = next.saturating_sub(self.now_ms());
        Duration::from_millis(wait)
    }

    fn fan_out(self: &Rc<Self>, now: u64) {
        let mut outcome = Outcome::default();
        {
            let Core {
                hub,
                connections,
                tally,
                ..
            } = &mut *self.core.borrow_mut();
            if !hub.has_work() {
                return;
            }
            let mut sink = Sink {
                connections,
                tally,
                outcome: &mut outcome,
            };
            let done = hub.fan_out(now, FAN_OUT_BUDGET, &mut sink);
            tally.fanned_out(&done);
        }
        for key in outcome.slow {
            self.cut_off(key, DisconnectCode::SLOW);
        }
        for key in outcome.inappropriate {
            self.cut_off(key, DisconnectCode::INAPPROPRIATE_PROTOCOL);
        }
        for (key, channel) in outcome.lost {
            self.happen(key, Event::PositionLost { channel });
        }
    }

    /// Tells a session of something and does what it then wants.
    pub(super) fn happen(self: &Rc<Self>, key: ConnKey, event: Event) {
        let now = self.now_ms();
        self.with_session(key, |session| session.handle_event(event, now));
    }

    /// Calls a session, carries out what it wants and sets its next deadline.
    pub(super) fn with_session(self: &Rc<Self>, key: ConnKey, call: impl FnOnce(&mut Session)) {
        {
            let mut core = self.core.borrow_mut();
            core.tally.tell_time();
            let Some(connection) = core.connections.find_mut(key) else {
                return;
            };
            call(&mut connection.session);
        }
        loop {
            let effect = {
                let mut core = self.core.borrow_mut();
                let Some(connection) = core.connections.find_mut(key) else {
                    break;
                };
                connection.session.poll_effect()
            };
            match effect {
                Some(effect) => self.carry_out(key, effect),
                None => break,
            }
        }
        self.rearm(key);
        self.settle(key);
        if self.core.borrow().hub.has_work() {
            self.work.notify_one();
        }
    }

    fn rearm(&self, key: ConnKey) {
        let core = &mut *self.core.borrow_mut();
        let Some(connection) = core.connections.find(key) else {
            return;
        };
        if connection.link.is_paused() && connection.session.wants_frames() {
            connection.link.resume();
        }
        match connection.session.next_deadline() {
            Some(deadline) => core.wheel.arm(key.index, deadline),
            None => core.wheel.disarm(key.index),
        }
        // The loop sleeps until what it last knew to be the earliest deadline.
        self.work.notify_one();
    }

    /// Closes a connection that cannot be talked to in an orderly way any more.
    pub(super) fn cut_off(&self, key: ConnKey, code: DisconnectCode) {
        let Some(connection) = self.forget(key) else {
            return;
        };
        // Counted first: whoever sees the close may look at the figures.
        {
            let core = self.core.borrow();
            core.tally.disconnected(connection.door, code.number());
            if code == DisconnectCode::SLOW {
                core.tally.slow(connection.door);
            }
        }
        let goodbye = doors::goodbye(connection.door, code.number(), code.text());
        connection.link.end_with(code.number());
        connection.link.finish(goodbye, Last::InsteadOfQueue);
    }

    /// Takes a connection out of everything the shard has.
    pub(super) fn forget(&self, key: ConnKey) -> Option<Connection> {
        let (gone, ended) = {
            let core = &mut *self.core.borrow_mut();
            let gone = core.connections.remove(key)?;
            core.wheel.disarm(key.index);
            if let Some(under_way) = gone.under_way {
                core.keeper.gone(under_way);
            }
            let ended = core.hub.remove(key);
            gone.link.leave();
            core.tally.holds(&core.connections, &core.hub);
            (gone, ended)
        };
        self.unload();
        for unsubscribed in ended {
            self.say_left(unsubscribed);
        }
        Some(gone)
    }

    /// Tells a channel that somebody left, where that is wanted.
    pub(super) fn say_left(&self, unsubscribed: Unsubscribed) {
        if let Some(info) = unsubscribed.announce {
            self.announce(Announcement {
                channel: unsubscribed.channel,
                movement: Movement::Leave,
                info,
            });
        }
    }

    /// Tells every shard, and other nodes, who came or went. Presence is the truth; this is news, and may be lost
    /// when shards have too much waiting.
    pub(super) fn announce(&self, news: Announcement) {
        let news = Arc::new(news);
        let _ = self
            .shards
            .give_all(Some(self.index), || ShardInput::Announce(Arc::clone(&news)));
        nodes::announce(&self.services, &news);
        self.note_message(news.movement.into(), &news.channel);
        self.core.borrow_mut().hub.announce(&news, self.now_ms());
        self.work.notify_one();
    }

    /// Counts what goes through a channel of the node. All shards hear it and one counts.
    pub(super) fn note_message(&self, kind: Kind, channel: &ChannelName) {
        if self.index == 0 {
            self.core.borrow().tally.heard(kind, channel);
        }
    }

    /// Runs a question to somebody else: at once when the answer is there, else as a task.
    pub(super) fn ask<T: 'static>(
        self: &Rc<Self>,
        question: impl Future<Output = T> + 'static,
        then: impl FnOnce(&Rc<Self>, T) + 'static,
    ) {
        let mut question = Box::pin(question);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(answer) = question.as_mut().poll(&mut cx) {
            return then(self, answer);
        }
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let answer = question.await;
            then(&shard, answer);
        });
    }

    /// A socket in its handshake, or a connection, is no longer the shard's.
    fn unload(&self) {
        if let Some(mailbox) = self.shards.mailbox(self.index) {
            mailbox.load.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Shard {
    fn connection(&self, opening: &Opening, link: &Rc<Link>) -> Connection {
        let wire = doors::wire_of(opening.door, opening.codec);
        let secret: Option<Box<str>> = opening
            .door
            .is_emulated()
            .then(|| format!("{:04x}{}", self.index, random_id()).into());
        let client: Box<str> = random_id().into();
        let begun = session::Link {
            wire,
            ping: if opening.native_ping {
                PingStyle::Frames
            } else {
                PingStyle::Messages
            },
            client: client.clone(),
            emulation: secret.clone(),
            jitter: rand::random(),
            counts: Rc::clone(self.core.borrow().tally.sessions(opening.door)),
        };
        let settings = Arc::clone(&self.services.session);
        Connection {
            generation: 0,
            session: Box::new(Session::new(settings, begun, self.now_ms())),
            link: Rc::clone(link),
            door: opening.door,
            client,
            user: Box::default(),
            secret,
            person: None,
            place: None,
            since_us: opening.since_us,
            under_way: None,
        }
    }
}

/// A random UUID. From the thread's generator: the system's costs a call each.
fn random_id() -> String {
    uuid::Builder::from_random_bytes(rand::random())
        .into_uuid()
        .to_string()
}

impl Host for Shard {
    fn has_room(self: &Rc<Self>) -> bool {
        !self.draining.get()
    }

    fn refused(self: &Rc<Self>, why: Refused) {
        Intake::refused(&*self.shards, why);
    }

    fn open(self: &Rc<Self>, opening: &Opening, link: &Rc<Link>) -> Option<ConnKey> {
        if self.draining.get() {
            return None;
        }
        let connection = self.connection(opening, link);
        let key = {
            let core = &mut *self.core.borrow_mut();
            let key = core.connections.insert(connection);
            core.tally.holds(&core.connections, &core.hub);
            key
        };
        if let Some(mailbox) = self.shards.mailbox(self.index) {
            mailbox.load.fetch_add(1, Ordering::Relaxed);
        }
        self.rearm(key);
        Some(key)
    }

    fn receive(self: &Rc<Self>, id: ConnKey, frame: Bytes) {
        let now = self.now_ms();
        self.with_session(id, |session| session.handle_frame(frame, now));
    }

    fn wants_frames(self: &Rc<Self>, id: ConnKey) -> bool {
        let core = self.core.borrow();
        let connection = core.connections.find(id);
        connection.is_none_or(|it| it.session.wants_frames())
    }

    fn shook_hands(self: &Rc<Self>, resumed: Resumed) {
        let kind = match resumed {
            Resumed::Yes => "resumed",
            Resumed::No => "full",
        };
        self.services
            .meters
            .count(catalogue::TLS_HANDSHAKES, &[kind]);
    }

    fn arrived(self: &Rc<Self>, arrival: Arrival) {
        self.services
            .meters
            .count(catalogue::QUIC_ARRIVALS, &[arrival.name()]);
    }

    fn handing_on(&self) -> HandingOn {
        let handed = self.services.meters.counter(catalogue::QUIC_HANDED_ON, &[]);
        Box::new(move |datagrams| handed.add(datagrams))
    }

    fn turned_away(self: &Rc<Self>, asked: Asked, why: Reason) {
        self.core.borrow().tally.turned_away(asked, why);
    }

    fn standing(self: &Rc<Self>, door: Door) -> Rc<Standing> {
        Rc::clone(self.core.borrow().tally.standing(door, None))
    }

    fn pong(self: &Rc<Self>, id: ConnKey) {
        self.with_session(id, Session::handle_pong);
    }

    fn closed(self: &Rc<Self>, id: ConnKey, cause: Cause) {
        if let Some(gone) = self.forget(id) {
            self.core.borrow().tally.closed(gone.door, cause);
        }
    }

    fn uplink<'a>(
        self: &'a Rc<Self>,
        session: &'a str,
        node: &'a str,
        frame: Bytes,
    ) -> LocalFuture<'a, Uplink> {
        if node.is_empty() || *node == *self.services.session.node {
            let outcome = self.route(session, frame);
            return Box::pin(std::future::ready(outcome));
        }
        let asks = self.services.asks.clone();
        Box::pin(nodes::uplink(asks, node, session, frame))
    }

    fn edge(
        self: &Rc<Self>,
        request: Request<RequestBody>,
        peer: SocketAddr,
    ) -> LocalFuture<'_, Response<axum::body::Body>> {
        let mut request = request.map(axum::body::Body::new);
        request
            .extensions_mut()
            .insert(axum::extract::ConnectInfo(peer));
        let edge = self.services.edge.clone();
        Box::pin(async move {
            let Ok(response) = edge.oneshot(request).await;
            response
        })
    }
}
