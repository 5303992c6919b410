//! What sessions count: one set of handles for all connections of one transport on one thread.
//!
//! Counting is all it does. What a session says and asks for does not depend on it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use klokke_protocol::{ErrorCode, Push, Reply, Request};

use super::{NamespaceId, Namespaces, Source};
use crate::telemetry::catalogue::{self, CLIENT_NAMES, FRAMES};
use crate::telemetry::{Count, Counter, Level, Meters, OTHER, Spread, Stopwatch, Table};

/// Kinds of messages, in the order of [`FRAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
#[expect(missing_docs, reason = "named as the protocol names them")]
pub enum Frame {
    #[default]
    Connect,
    Subscribe,
    Unsubscribe,
    Publish,
    Presence,
    PresenceStats,
    History,
    Rpc,
    Send,
    Refresh,
    SubRefresh,
    ClientPong,
    ServerPing,
    PushPublication,
    PushJoin,
    PushLeave,
    PushUnsubscribe,
    PushMessage,
    PushSubscribe,
    PushConnect,
    PushDisconnect,
    PushRefresh,
}

impl Frame {
    fn name(self) -> &'static str {
        FRAMES[self as usize]
    }

    fn of_push(push: &Push) -> Self {
        match push {
            _ if push.publication.is_some() => Self::PushPublication,
            _ if push.join.is_some() => Self::PushJoin,
            _ if push.leave.is_some() => Self::PushLeave,
            _ if push.unsubscribe.is_some() => Self::PushUnsubscribe,
            _ if push.subscribe.is_some() => Self::PushSubscribe,
            _ if push.connect.is_some() => Self::PushConnect,
            _ if push.disconnect.is_some() => Self::PushDisconnect,
            _ if push.refresh.is_some() => Self::PushRefresh,
            _ => Self::PushMessage,
        }
    }
}

/// A command as it is counted: what it is, where, and when it came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    pub(super) frame: Frame,
    pub(super) namespace: NamespaceId,
    pub(super) since_us: u64,
}

impl Asked {
    /// `None` for what no client of today sends.
    pub(super) fn of(request: &Request, namespaces: &Namespaces, since_us: u64) -> Option<Self> {
        let (frame, channel) = match request {
            Request::Pong => (Frame::ClientPong, ""),
            Request::Connect(_) => (Frame::Connect, ""),
            Request::Subscribe(it) => (Frame::Subscribe, it.channel.as_str()),
            Request::Unsubscribe(it) => (Frame::Unsubscribe, it.channel.as_str()),
            Request::Publish(it) => (Frame::Publish, it.channel.as_str()),
            Request::Presence(it) => (Frame::Presence, it.channel.as_str()),
            Request::PresenceStats(it) => (Frame::PresenceStats, it.channel.as_str()),
            Request::History(it) => (Frame::History, it.channel.as_str()),
            Request::Send(_) => (Frame::Send, ""),
            Request::Rpc(_) => (Frame::Rpc, ""),
            Request::Refresh(_) => (Frame::Refresh, ""),
            Request::SubRefresh(it) => (Frame::SubRefresh, it.channel.as_str()),
            Request::Ping(_) => return None,
        };
        Some(Self {
            frame,
            namespace: namespaces.id_of(channel),
            since_us,
        })
    }
}

/// The software of a client, of those that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ClientName(u8);

impl ClientName {
    /// The name as the client gives it. What is none of ours is the client's own words.
    pub(super) fn of(name: &str) -> Self {
        let known = CLIENT_NAMES.iter().position(|it| *it == name);
        Self(u8::try_from(known.unwrap_or(CLIENT_NAMES.len())).unwrap_or(u8::MAX))
    }

    fn text(self) -> &'static str {
        CLIENT_NAMES.get(usize::from(self.0)).unwrap_or(&OTHER)
    }

    fn place(self) -> usize {
        usize::from(self.0).min(CLIENT_NAMES.len())
    }
}

/// How an attempt to recover a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovery {
    /// With all that was missed.
    Complete,
    /// The subscription stands without it; the client loads anew.
    Incomplete,
    /// No subscription came of it.
    Failed,
}

/// How what somebody may see changed on an open connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Removed,
    Narrowed,
    Widened,
}

/// See the module.
#[derive(Debug)]
pub struct Counts {
    meters: Meters,
    transport: &'static str,
    namespaces: Arc<[Box<str>]>,
    watch: Stopwatch,
    received: Traffic,
    sent: Traffic,
    commands: Table<Spread>,
    connections: Table<(Count, Level)>,
    subscriptions: Table<(Count, Level)>,
    pongs: Spread,
    malformed: Count,
}

impl Counts {
    /// Counts for the sessions of one transport.
    #[must_use]
    pub fn new(
        meters: &Meters,
        transport: &'static str,
        namespaces: &Namespaces,
        watch: &Stopwatch,
    ) -> Rc<Self> {
        let names = namespaces.labels();
        let traffic = |messages, bytes| Traffic {
            messages,
            bytes,
            series: Table::new(FRAMES.len(), names.len()),
        };
        Rc::new(Self {
            transport,
            watch: watch.clone(),
            received: traffic(
                catalogue::TRANSPORT_RECEIVED,
                catalogue::TRANSPORT_RECEIVED_BYTES,
            ),
            sent: traffic(catalogue::TRANSPORT_SENT, catalogue::TRANSPORT_SENT_BYTES),
            commands: Table::new(FRAMES.len(), names.len()),
            connections: Table::new(CLIENT_NAMES.len() + 1, 1),
            subscriptions: Table::new(CLIENT_NAMES.len() + 1, names.len()),
            pongs: meters.histogram(catalogue::CLIENT_PING_PONG_SECONDS, &[transport]),
            malformed: meters.counter(catalogue::FRAMES_REFUSED, &["malformed"]),
            namespaces: names,
            meters: meters.clone(),
        })
    }

    /// The driver's time.
    pub(super) fn now_us(&self) -> u64 {
        self.watch.us()
    }

    fn label(&self, namespace: NamespaceId) -> &str {
        &self.namespaces[namespace.place()]
    }

    pub(super) fn received(&self, frame: Frame, namespace: NamespaceId, bytes: usize) {
        self.count(&self.received, frame, namespace, 1, bytes as u64);
    }

    /// Messages of one kind went out; `bytes` in all.
    pub fn sent(&self, frame: Frame, namespace: NamespaceId, messages: u64, bytes: u64) {
        self.count(&self.sent, frame, namespace, messages, bytes);
    }

    fn count(
        &self,
        traffic: &Traffic,
        frame: Frame,
        namespace: NamespaceId,
        messages: u64,
        bytes: u64,
    ) {
        let (counted, measured) = traffic.series.at(frame as usize, namespace.place(), || {
            let labels = [self.transport, frame.name(), self.label(namespace)];
            (
                self.meters.counter(traffic.messages, &labels),
                self.meters.counter(traffic.bytes, &labels),
            )
        });
        counted.add(messages);
        measured.add(bytes);
    }

    /// A reply or push went out.
    pub(super) fn said(&self, reply: &Reply, asked: Asked, namespaces: &Namespaces, bytes: usize) {
        let (frame, namespace) = match &reply.push {
            _ if reply.id > 0 => (asked.frame, asked.namespace),
            Some(push) => (Frame::of_push(push), namespaces.id_of(&push.channel)),
            None => (Frame::ServerPing, NamespaceId::NONE),
        };
        self.sent(frame, namespace, 1, bytes as u64);
    }

    /// A command has its reply.
    pub(super) fn answered(&self, asked: Asked) {
        let place = asked.namespace.place();
        let spread = self.commands.at(asked.frame as usize, place, || {
            let labels = [asked.frame.name(), self.label(asked.namespace)];
            let seconds = catalogue::CLIENT_COMMAND_SECONDS;
            self.meters.histogram(seconds, &labels)
        });
        spread.observe_duration(self.since(asked.since_us));
    }

    /// ... which is an error.
    pub(super) fn refused(&self, asked: Asked, code: u32) {
        let denied = code == ErrorCode::PERMISSION_DENIED.number();
        let code = code.to_string();
        let labels = [asked.frame.name(), &code, self.label(asked.namespace)];
        self.meters.count(catalogue::CLIENT_REPLY_ERRORS, &labels);
        if denied && asked.frame != Frame::Rpc {
            self.meters.count(catalogue::RIGHTS_DENIED, &["channel"]);
        }
        self.answered(asked);
    }

    /// A frame could not be read.
    pub(super) fn malformed(&self) {
        self.malformed.add(1);
    }

    /// A pong came.
    pub(super) fn pong(&self, pinged_us: u64) {
        self.pongs.observe_duration(self.since(pinged_us));
    }

    fn since(&self, us: u64) -> Duration {
        Duration::from_micros(self.now_us().saturating_sub(us))
    }

    pub(super) fn connected(&self, client: ClientName) {
        let (accepted, open) = self.connection(client);
        accepted.add(1);
        open.add(1);
    }

    pub(super) fn disconnected(&self, client: ClientName) {
        self.connection(client).1.add(-1);
    }

    fn connection(&self, client: ClientName) -> &(Count, Level) {
        self.connections.at(client.place(), 0, || {
            // Every door is reached by HTTP/1 as yet, and versions are clients' own words.
            let labels = [self.transport, "h1", client.text(), ""];
            let accepted = catalogue::CLIENT_CONNECTIONS_ACCEPTED;
            let open = catalogue::CLIENT_CONNECTIONS_INFLIGHT;
            (
                self.meters.counter(accepted, &labels),
                self.meters.gauge(open, &labels),
            )
        })
    }

    pub(super) fn subscribed(&self, client: ClientName, namespace: NamespaceId) {
        let (accepted, open) = self.subscription(client, namespace);
        accepted.add(1);
        open.add(1);
    }

    pub(super) fn unsubscribed(&self, client: ClientName, namespace: NamespaceId) {
        self.subscription(client, namespace).1.add(-1);
    }

    fn subscription(&self, client: ClientName, namespace: NamespaceId) -> &(Count, Level) {
        self.subscriptions
            .at(client.place(), namespace.place(), || {
                let labels = [client.text(), self.label(namespace)];
                let accepted = catalogue::CLIENT_SUBSCRIPTIONS_ACCEPTED;
                let open = catalogue::CLIENT_SUBSCRIPTIONS_INFLIGHT;
                (
                    self.meters.counter(accepted, &labels),
                    self.meters.gauge(open, &labels),
                )
            })
    }

    /// A client was told that the server ended a subscription.
    pub(super) fn dropped(&self, code: u32, namespace: NamespaceId) {
        let code = code.to_string();
        let labels = [&*code, self.label(namespace)];
        self.meters.count(catalogue::CLIENT_UNSUBSCRIBES, &labels);
    }

    /// A client came back with a position.
    pub(super) fn recovery(&self, namespace: NamespaceId, recovered: bool, publications: bool) {
        let yes_no = |yes| if yes { "yes" } else { "no" };
        let labels = [
            yes_no(recovered),
            yes_no(publications),
            self.label(namespace),
        ];
        self.meters.count(catalogue::CLIENT_RECOVER, &labels);
    }

    /// ... and how that ended.
    pub(super) fn recovered(&self, outcome: Recovery, source: Source) {
        let outcome = match outcome {
            Recovery::Complete => "complete",
            Recovery::Incomplete => "incomplete",
            Recovery::Failed => "failed",
        };
        let source = match source {
            Source::None => "none",
            Source::Memory => "memory",
            Source::Store => "store",
        };
        self.meters.count(catalogue::RECOVERIES, &[outcome, source]);
    }

    pub(super) fn entitlement(&self, change: Change) {
        let label = match change {
            Change::Added => "added",
            Change::Removed => "removed",
            Change::Narrowed => "narrowed",
            Change::Widened => "widened",
        };
        self.meters.count(catalogue::ENTITLEMENTS_CHANGED, &[label]);
    }
}

/// Messages and bytes in one direction.
#[derive(Debug)]
struct Traffic {
    messages: Counter,
    bytes: Counter,
    series: Table<(Count, Count)>,
}
