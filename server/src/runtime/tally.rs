//! What a shard counts, with the handles found once, or when first used.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use klokke_protocol::ChannelName;

use super::connections::Connections;
use crate::auth::TokenError;
use crate::hub::{FanOut, Hub, Kind, Told, Wire};
use crate::session::{self, Counts, Frame, NamespaceId, Namespaces};
use crate::telemetry::{Count, Histogram, Level, Meters, Spread, Stopwatch, Table, catalogue};
use crate::transport::{Asked, Cause, Door, Reason};

/// Kinds of things that go through channels.
const KINDS: usize = 3;

/// One shard's counters.
pub(super) struct Tally {
    meters: Meters,
    settings: Arc<session::Settings>,
    labels: Arc<[Box<str>]>,
    /// The time sessions and hub measure by.
    pub(super) watch: Stopwatch,
    began: Instant,
    /// By door.
    sessions: [Rc<Counts>; 3],
    clients: Level,
    users: Level,
    channels: Level,
    subscriptions: Level,
    pub(super) queued: Level,
    turns: Spread,
    writes: Count,
    frames: Count,
    encodings: Count,
    withheld: Count,
    /// By kind and namespace.
    messages: Table<(Count, Count)>,
    broadcasts: Table<Spread>,
    /// By namespace.
    filtered: Table<Count>,
}

impl Tally {
    pub(super) fn new(meters: Meters, settings: Arc<session::Settings>) -> Self {
        meters.gauge(catalogue::SHARDS, &[]).set(1);
        let watch = Stopwatch::default();
        let labels = settings.namespaces.labels();
        let of_door = |door: Door| Counts::new(&meters, door.name(), &settings.namespaces, &watch);
        Self {
            sessions: DOORS.map(of_door),
            clients: meters.gauge(catalogue::NODE_NUM_CLIENTS, &[]),
            users: meters.gauge(catalogue::NODE_NUM_USERS, &[]),
            channels: meters.gauge(catalogue::NODE_NUM_CHANNELS, &[]),
            subscriptions: meters.gauge(catalogue::NODE_NUM_SUBSCRIPTIONS, &[]),
            queued: meters.gauge(catalogue::QUEUED_BYTES, &[]),
            turns: meters.histogram(catalogue::SHARD_TURN_SECONDS, &[]),
            writes: meters.counter(catalogue::FANOUT_WRITES, &[]),
            frames: meters.counter(catalogue::FANOUT_FRAMES, &[]),
            encodings: meters.counter(catalogue::FANOUT_ENCODINGS, &[]),
            withheld: meters.counter(catalogue::STEP_UP_REQUIRED, &[]),
            messages: Table::new(KINDS, labels.len()),
            broadcasts: Table::new(KINDS, labels.len()),
            filtered: Table::new(1, labels.len()),
            labels,
            settings,
            watch,
            began: Instant::now(),
            meters,
        }
    }

    /// Where sessions of a door are counted.
    pub(super) fn sessions(&self, door: Door) -> &Rc<Counts> {
        &self.sessions[match door {
            Door::WebSocket => 0,
            Door::HttpStream => 1,
            Door::Sse => 2,
        }]
    }

    /// Tells sessions and hub the time. Once for each thing that happens is enough.
    pub(super) fn tell_time(&self) {
        self.watch.tell(self.now_us());
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// How much the shard holds now.
    pub(super) fn holds(&self, connections: &Connections, hub: &Hub) {
        let level = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.clients.set(level(connections.len()));
        self.users.set(level(connections.users()));
        self.channels.set(level(hub.channel_count()));
        self.subscriptions.set(level(hub.subscription_count()));
    }

    /// The loop did what there was to do.
    pub(super) fn turned(&self, began: Instant) {
        self.turns.observe_duration(began.elapsed());
    }

    pub(super) fn fanned_out(&self, done: &FanOut) {
        self.writes.add(done.writes as u64);
        self.frames.add(done.messages as u64);
        self.encodings.add(done.encodings as u64);
    }

    /// Subscribers took what a frame tells.
    pub(super) fn delivered(&self, channel: &ChannelName, wire: Wire, told: &Told, times: u32) {
        let times = u64::from(times);
        let counts = self.sessions(door_of(wire));
        let namespace = self.namespaces().id_of(channel.as_str());
        let rows = [
            (
                Frame::PushPublication,
                told.publications,
                told.publication_bytes,
            ),
            (Frame::PushJoin, told.joins, told.join_bytes),
            (Frame::PushLeave, told.leaves, told.leave_bytes),
        ];
        for (frame, messages, bytes) in rows.into_iter().filter(|(_, messages, _)| *messages > 0) {
            counts.sent(frame, namespace, u64::from(messages) * times, bytes * times);
        }
        self.withheld(u64::from(told.withheld) * times);
    }

    /// Content was kept from its readers until they step up.
    pub(super) fn withheld(&self, times: u64) {
        self.withheld.add(times);
    }

    pub(super) fn filtered(&self, channel: &ChannelName, publications: u64) {
        let namespace = self.namespaces().id_of(channel.as_str());
        let filtered = self.filtered.at(0, namespace.place(), || {
            let label = self.label(namespace);
            self.meters.counter(catalogue::NODE_TAGS_FILTERED, &[label])
        });
        filtered.add(publications);
    }

    /// These have reached the last subscriber of their channel.
    pub(super) fn finished(&self, channel: &ChannelName, items: impl Iterator<Item = (Kind, u64)>) {
        let namespace = self.namespaces().id_of(channel.as_str());
        let now_us = self.now_us();
        for (kind, came_us) in items {
            let spread = self.broadcasts.at(kind as usize, namespace.place(), || {
                let seconds: Histogram = catalogue::NODE_BROADCAST_SECONDS;
                let labels = [name_of(kind), self.label(namespace)];
                self.meters.histogram(seconds, &labels)
            });
            spread.observe_duration(Duration::from_micros(now_us.saturating_sub(came_us)));
        }
    }

    /// A message was published on this node, which is also its only receiver as long as there is
    /// no other node. Every shard hears of it; one counts.
    pub(super) fn heard(&self, kind: Kind, channel: &ChannelName) {
        let namespace = self.namespaces().id_of(channel.as_str());
        let (sent, received) = self.messages.at(kind as usize, namespace.place(), || {
            let labels = [name_of(kind), self.label(namespace)];
            (
                self.meters.counter(catalogue::NODE_MESSAGES_SENT, &labels),
                self.meters
                    .counter(catalogue::NODE_MESSAGES_RECEIVED, &labels),
            )
        });
        sent.add(1);
        received.add(1);
    }

    fn namespaces(&self) -> &Namespaces {
        &self.settings.namespaces
    }

    fn label(&self, namespace: NamespaceId) -> &str {
        &self.labels[namespace.place()]
    }

    /// The server closed a connection.
    pub(super) fn disconnected(&self, door: Door, code: u32) {
        let code = code.to_string();
        self.meters.count(catalogue::CLIENT_DISCONNECTS, &[&code]);
        self.meters
            .count(catalogue::TRANSPORT_CLOSES, &[door.name(), &code]);
    }

    /// A token was judged.
    pub(super) fn verified(&self, error: Option<&TokenError>) {
        let outcome = TokenError::outcome(error);
        self.meters.count(catalogue::TOKENS_VERIFIED, &[outcome]);
    }

    pub(super) fn slow(&self, door: Door) {
        self.meters.count(catalogue::SLOW_CONSUMERS, &[door.name()]);
    }

    /// A socket ended by itself.
    pub(super) fn closed(&self, door: Door, cause: Cause) {
        let reason = match cause {
            Cause::Framing(1009) => "too_large",
            Cause::Framing(1007) => "utf8",
            Cause::Framing(_) => "protocol",
            Cause::Slow => return self.slow(door),
            Cause::Client | Cause::Broken => return,
        };
        self.meters.count(catalogue::FRAMES_REFUSED, &[reason]);
        if let Cause::Framing(code) = cause {
            let code = code.to_string();
            self.meters
                .count(catalogue::TRANSPORT_CLOSES, &[door.name(), &code]);
        }
    }

    /// Somebody was refused before there was a connection or an operation.
    pub(super) fn turned_away(&self, asked: Asked, why: Reason) {
        let metric = match asked {
            Asked::Connection => catalogue::HANDSHAKES_REFUSED,
            Asked::Uplink => catalogue::HTTP_REFUSED,
        };
        let reason = match (why, asked) {
            (Reason::Origin, _) => "origin",
            (Reason::Tls, _) => "tls",
            (Reason::Malformed, _) => "malformed",
            (Reason::TooLarge, _) => "too_large",
            (Reason::Timeout, _) => "timeout",
            (Reason::NoRoom, Asked::Connection) => "draining",
            (Reason::NoRoom, Asked::Uplink) => "unavailable",
        };
        self.meters.count(metric, &[reason]);
    }
}

const DOORS: [Door; 3] = [Door::WebSocket, Door::HttpStream, Door::Sse];

const fn door_of(wire: Wire) -> Door {
    match wire {
        Wire::WebSocketJson | Wire::WebSocketProtobuf => Door::WebSocket,
        Wire::StreamJson | Wire::StreamProtobuf => Door::HttpStream,
        Wire::EventStream => Door::Sse,
    }
}

const fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Publication => "publication",
        Kind::Join => "join",
        Kind::Leave => "leave",
    }
}
