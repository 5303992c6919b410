//! The session without a socket: frames in, effects out.

mod codes;
mod figures;
mod flows;
mod logins;
mod properties;
mod table;
mod waiting;

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{ChannelName, Disconnect, DisconnectCode, Epoch, ErrorCode, ErrorReply};

use super::*;
use crate::auth::{ConnectionToken, SubscriptionToken, TokenError, TokenSubscription};
use crate::hub::{Lens, Wire};
use crate::telemetry::{Meters, Stopwatch};

/// When every test begins.
const START: u64 = 1_000_000;

/// Namespaces for tests, one for each way to be open.
fn namespaces() -> Namespaces {
    let open = ChannelOptions {
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        allow_publish_for_client: true,
        allow_publish_for_anonymous: true,
        allow_history_for_subscriber: true,
        allow_presence_for_subscriber: true,
        allow_user_limited_channels: true,
        ..ChannelOptions::default()
    };
    let stream = ChannelOptions {
        history_size: 10,
        history_ttl_ms: 60_000,
        force_recovery: true,
        presence: true,
        join_leave: true,
        allow_tags_filter: true,
        allow_delta: true,
        ..open.clone()
    };
    let cache = ChannelOptions {
        recovery_mode: RecoveryMode::Cache,
        ..stream.clone()
    };
    let closed = ChannelOptions {
        history_size: 10,
        history_ttl_ms: 60_000,
        presence: true,
        ..ChannelOptions::default()
    };
    let named = [("stream", stream), ("cache", cache), ("closed", closed)];
    let named = named.map(|(name, options)| (name.into(), options));
    Namespaces::new(ChannelRules::default(), Some(open), named).expect("good namespaces")
}

fn settings() -> Settings {
    Settings {
        version: "test".into(),
        node: "node".into(),
        allow_anonymous_connect_without_token: true,
        rpc: true,
        namespaces: namespaces(),
        ..Settings::default()
    }
}

fn counts(meters: &Meters, watch: &Stopwatch) -> Rc<Counts> {
    Counts::new(meters, "websocket", &namespaces(), watch)
}

fn link(wire: Wire) -> Link {
    Link {
        wire,
        ping: PingStyle::Messages,
        client: "me".into(),
        emulation: None,
        jitter: 0,
        counts: counts(&Meters::default(), &Stopwatch::default()),
    }
}

/// A session with its clock, and everything it wanted done.
struct Bench {
    session: Session,
    now: u64,
    /// Effects since the last look, other than writes.
    asked: Vec<Effect>,
    /// Payload text written since the last look.
    said: String,
    closed: Option<Disconnect>,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self::over(settings, link(Wire::WebSocketJson))
    }

    fn over(settings: Settings, link: Link) -> Self {
        Self {
            session: Session::new(Arc::new(settings), link, START),
            now: START,
            asked: Vec::new(),
            said: String::new(),
            closed: None,
        }
    }

    /// A connected anonymous session.
    fn open() -> Self {
        Self::open_with(settings())
    }

    fn open_with(settings: Settings) -> Self {
        let mut bench = Self::new(settings);
        bench.send(r#"{"id":1,"connect":{}}"#);
        assert!(bench.session.is_open(), "connected");
        bench.said.clear();
        bench.asked.clear();
        bench
    }

    /// A session connected by a token.
    fn open_as(settings: Settings, token: ConnectionToken) -> Self {
        let mut bench = Self::new(settings);
        bench.send(r#"{"id":1,"connect":{"token":"t"}}"#);
        bench.answer(Answer::Verified(Ok(Arc::new(token))));
        bench
    }

    fn send(&mut self, frame: &str) -> &mut Self {
        self.session
            .handle_frame(Bytes::from(frame.to_owned()), self.now);
        self.settle()
    }

    /// Answers the newest question.
    fn answer(&mut self, answer: Answer) -> &mut Self {
        let ticket = self
            .asked
            .iter()
            .rev()
            .find_map(ticket_of)
            .expect("a question");
        self.answer_to(ticket, answer)
    }

    fn answer_to(&mut self, ticket: Ticket, answer: Answer) -> &mut Self {
        self.session.handle_answer(ticket, answer, self.now);
        self.settle()
    }

    fn event(&mut self, event: Event) -> &mut Self {
        self.session.handle_event(event, self.now);
        self.settle()
    }

    /// Lets time pass, as a driver does: from deadline to deadline.
    fn pass(&mut self, ms: u64) -> &mut Self {
        let until = self.now + ms;
        while let Some(at) = self.session.next_deadline()
            && at <= until
        {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
        self
    }

    fn settle(&mut self) -> &mut Self {
        while let Some(effect) = self.session.poll_effect() {
            assert!(self.closed.is_none(), "nothing follows a close");
            match effect {
                Effect::Write { frame, .. } => {
                    if !self.said.is_empty() {
                        self.said.push('\n');
                    }
                    self.said.push_str(&payload(self.session.wire(), &frame));
                }
                Effect::Close(disconnect) => self.closed = Some(disconnect),
                other => self.asked.push(other),
            }
        }
        self
    }

    fn said(&mut self) -> String {
        std::mem::take(&mut self.said)
    }

    fn tickets(&self) -> Vec<Ticket> {
        self.asked.iter().filter_map(ticket_of).collect()
    }

    /// The channels of the subscriptions asked for, with their questions.
    fn subscribes(&self) -> Vec<&SubscribeEffect> {
        let effects = self.asked.iter().filter_map(|effect| match effect {
            Effect::Subscribe(effect) => Some(&**effect),
            _ => None,
        });
        effects.collect()
    }

    fn close_code(&self) -> Option<u32> {
        self.closed.as_ref().map(|it| it.code)
    }
}

fn ticket_of(effect: &Effect) -> Option<Ticket> {
    match effect {
        Effect::Verify { ticket, .. }
        | Effect::VerifySubscription { ticket, .. }
        | Effect::Enter { ticket, .. }
        | Effect::Publish { ticket, .. }
        | Effect::Presence { ticket, .. }
        | Effect::PresenceStats { ticket, .. }
        | Effect::Rpc { ticket, .. }
        | Effect::StepUp { ticket, .. } => Some(*ticket),
        Effect::Subscribe(effect) => Some(effect.ticket),
        Effect::History(effect) => Some(effect.ticket),
        _ => None,
    }
}

/// The payload of a frame of a short message.
fn payload(wire: Wire, frame: &[u8]) -> String {
    let payload = match wire {
        Wire::WebSocketJson if frame[1] < 126 => &frame[2..],
        Wire::WebSocketJson => &frame[4..],
        _ => frame,
    };
    String::from_utf8_lossy(payload).trim_end().to_owned()
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("a channel name")
}

fn user(subject: &str) -> ConnectionToken {
    ConnectionToken {
        subject: subject.to_owned(),
        ..ConnectionToken::default()
    }
}

fn subscribed(top: u64) -> Answer {
    Answer::Subscribed(Ok(Subscribed {
        epoch: Epoch::from("e"),
        top,
        unbroken_from: top + 1,
        publications: Vec::new(),
        source: Source::None,
    }))
}

/// What was read from `from` up to `top`.
fn read(from: u64, top: u64) -> Answer {
    let publications = (from..=top).map(|offset| klokke_protocol::Publication {
        offset,
        data: Bytes::from(offset.to_string()),
        ..Default::default()
    });
    Answer::Subscribed(Ok(Subscribed {
        epoch: Epoch::from("e"),
        top,
        unbroken_from: from,
        publications: publications.collect(),
        source: Source::Memory,
    }))
}
