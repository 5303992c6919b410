//! What a shard counts, with the handles found once, or when first used.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use klokke_protocol::ChannelName;

use super::connections::Connections;
use super::doors;
use crate::auth::TokenError;
use crate::hub::{FanOut, Finished, Hub, Kind, Told, Wire};
use crate::people::LoginRole;
use crate::session::{self, Counts, Frame, NamespaceId, Namespaces};
use crate::telemetry::{
    Count, Histogram, Level, Meters, Spread, Stopwatch, Table, catalogue, now_us,
};
use crate::transport::{Asked, Cause, Door, Reason, Standing};

/// Kinds of things that go through channels.
const KINDS: usize = 3;
/// What a connection with its session, its link and its socket's task, a subscription with its part of
/// the session and the hub, and a channel take: seen as the growth of a node's memory
/// (docs/measurements.md), the kernel's part left out.
const CONNECTION_BYTES: usize = 2_304;
const SUBSCRIPTION_BYTES: usize = 256;
const CHANNEL_BYTES: usize = 656;

/// One shard's counters.
pub(super) struct Tally {
    meters: Meters,
    settings: Arc<session::Settings>,
    labels: Arc<[Box<str>]>,
    /// The time sessions and hub measure by.
    pub(super) watch: Stopwatch,
    /// The shard's number, as a label.
    shard: Box<str>,
    /// By door.
    sessions: [Rc<Counts>; DOORS.len()],
    clients: Level,
    users: Level,
    channels: Level,
    subscriptions: Level,
    present: Level,
    sessions_bytes: Level,
    turns: Spread,
    lags: Spread,
    writes: Count,
    frames: Count,
    encodings: Count,
    withheld: Count,
    /// By kind and namespace.
    messages: Table<(Count, Count)>,
    broadcasts: Table<Spread>,
    /// By namespace.
    published: Table<Spread>,
    deliveries: Table<Count>,
    /// By namespace.
    filtered: Table<Count>,
    /// By door and role; behind the roles, those who are opening.
    standings: Table<Rc<Standing>>,
    /// By door, role and whether resumed.
    connects: Table<Count>,
    /// By door.
    connect_times: Table<Spread>,
}

impl Tally {
    pub(super) fn new(shard: usize, meters: Meters, settings: Arc<session::Settings>) -> Self {
        meters.gauge(catalogue::SHARDS, &[]).set(1);
        let watch = Stopwatch::default();
        let shard = shard.to_string();
        let sessions_bytes = meters.gauge(catalogue::SHARD_MEMORY_BYTES, &[&shard, "sessions"]);
        let labels = settings.namespaces.labels();
        let of_door = |door: Door| Counts::new(&meters, door.name(), &settings.namespaces, &watch);
        Self {
            sessions: DOORS.map(of_door),
            clients: meters.gauge(catalogue::NODE_NUM_CLIENTS, &[]),
            users: meters.gauge(catalogue::NODE_NUM_USERS, &[]),
            channels: meters.gauge(catalogue::NODE_NUM_CHANNELS, &[]),
            subscriptions: meters.gauge(catalogue::NODE_NUM_SUBSCRIPTIONS, &[]),
            present: meters.gauge(catalogue::PRESENCE_ENTRIES, &[]),
            sessions_bytes,
            turns: meters.histogram(catalogue::SHARD_TURN_SECONDS, &[]),
            lags: meters.histogram(catalogue::SHARD_LAG_SECONDS, &[]),
            writes: meters.counter(catalogue::FANOUT_WRITES, &[]),
            frames: meters.counter(catalogue::FANOUT_FRAMES, &[]),
            encodings: meters.counter(catalogue::FANOUT_ENCODINGS, &[]),
            withheld: meters.counter(catalogue::STEP_UP_REQUIRED, &[]),
            messages: Table::new(KINDS, labels.len()),
            broadcasts: Table::new(KINDS, labels.len()),
            filtered: Table::new(1, labels.len()),
            published: Table::new(1, labels.len()),
            deliveries: Table::new(1, labels.len()),
            standings: Table::new(DOORS.len(), LoginRole::ALL.len() + 1),
            connects: Table::new(DOORS.len() * LoginRole::ALL.len(), 2),
            connect_times: Table::new(1, DOORS.len()),
            shard: shard.into(),
            labels,
            settings,
            watch,
            meters,
        }
    }

    /// Where sessions of a door are counted.
    pub(super) fn sessions(&self, door: Door) -> &Rc<Counts> {
        &self.sessions[place_of(door)]
    }

    /// Where the links of a door stand: by the role of who is behind, `None` while they are opening.
    pub(super) fn standing(&self, door: Door, role: Option<LoginRole>) -> &Rc<Standing> {
        let column = role.map_or(LoginRole::ALL.len(), |role| role as usize);
        self.standings.at(place_of(door), column, || {
            let role_name = role.unwrap_or(LoginRole::Anonymous).name();
            let state = |state| {
                let labels = [door.name(), role_name, state];
                self.meters.gauge(catalogue::CONNECTIONS, &labels)
            };
            let (quick, lagging) = match role {
                // What waits for somebody unknown says nothing about who is slow.
                None => (state("opening"), state("opening")),
                Some(_) => (state("open"), state("lagging")),
            };
            let memory = catalogue::SHARD_MEMORY_BYTES;
            Rc::new(Standing {
                queued: self.meters.gauge(catalogue::QUEUED_BYTES, &[]),
                memory: self.meters.gauge(memory, &[&self.shard, "queues"]),
                quick,
                lagging,
            })
        })
    }

    /// A connect command was granted, to a connection that began then.
    pub(super) fn connected(&self, door: Door, role: LoginRole, is_resumed: bool, since_us: u64) {
        let row = place_of(door) * LoginRole::ALL.len() + role as usize;
        let granted = self.connects.at(row, usize::from(is_resumed), || {
            let kind = if is_resumed { "resumed" } else { "new" };
            let labels = [door.name(), role.name(), kind];
            self.meters.counter(catalogue::CONNECTS, &labels)
        });
        granted.add(1);
        let took = self.connect_times.at(0, place_of(door), || {
            let seconds = catalogue::CONNECT_SECONDS;
            self.meters.histogram(seconds, &[door.name()])
        });
        took.observe_duration(since(now_us(), since_us));
    }

    /// Tells sessions and hub the time. Once for each thing that happens is enough.
    pub(super) fn tell_time(&self) {
        self.watch.tell(now_us());
    }

    /// How much the shard holds now.
    pub(super) fn holds(&self, connections: &Connections, hub: &Hub) {
        let level = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.clients.set(level(connections.len()));
        self.users.set(level(connections.users()));
        self.channels.set(level(hub.channel_count()));
        self.subscriptions.set(level(hub.subscription_count()));
        self.present.set(level(hub.presence_count()));
        let bytes = connections.len() * CONNECTION_BYTES
            + hub.subscription_count() * SUBSCRIPTION_BYTES
            + hub.channel_count() * CHANNEL_BYTES;
        self.sessions_bytes.set(level(bytes));
    }

    /// The loop came to what was due.
    pub(super) fn late(&self, by: Duration) {
        self.lags.observe_duration(by);
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
        let counts = self.sessions(doors::door_of(wire));
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
        if told.publications > 0 {
            let deliveries = self.deliveries.at(0, namespace.place(), || {
                let label = self.label(namespace);
                self.meters.counter(catalogue::DELIVERIES, &[label])
            });
            deliveries.add(u64::from(told.publications) * times);
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
    pub(super) fn finished(&self, channel: &ChannelName, items: impl Iterator<Item = Finished>) {
        let namespace = self.namespaces().id_of(channel.as_str());
        let now_us = now_us();
        for item in items {
            let kind = item.kind;
            let spread = self.broadcasts.at(kind as usize, namespace.place(), || {
                let seconds: Histogram = catalogue::NODE_BROADCAST_SECONDS;
                let labels = [name_of(kind), self.label(namespace)];
                self.meters.histogram(seconds, &labels)
            });
            spread.observe_duration(since(now_us, item.came_us));
            if item.arrived_us > 0 {
                let spread = self.published.at(0, namespace.place(), || {
                    let seconds: Histogram = catalogue::PUBLISH_TO_WRITE_SECONDS;
                    self.meters.histogram(seconds, &[self.label(namespace)])
                });
                spread.observe_duration(since(now_us, item.arrived_us));
            }
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

const DOORS: [Door; 5] = [
    Door::WebSocket,
    Door::HttpStream,
    Door::Sse,
    Door::Quic,
    Door::WebTransport,
];

const fn place_of(door: Door) -> usize {
    match door {
        Door::WebSocket => 0,
        Door::HttpStream => 1,
        Door::Sse => 2,
        Door::Quic => 3,
        Door::WebTransport => 4,
    }
}

const fn since(now_us: u64, us: u64) -> Duration {
    Duration::from_micros(now_us.saturating_sub(us))
}

const fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Publication => "publication",
        Kind::Join => "join",
        Kind::Leave => "leave",
    }
}
