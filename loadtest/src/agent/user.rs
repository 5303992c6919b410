//! A simulated person: what they want, where their connection stands, where they are in each channel, what they have seen.
//!
//! It behaves as an app with an SDK does: positions are kept over reconnects, retries back off with jitter, what was not answered is
//! sent again under the same idempotency key.

use std::collections::BTreeMap;

use bytes::BytesMut;
use klokke_protocol::{
    Codec, Command, ConnectRequest, ConnectResult, ErrorReply, HistoryRequest, HistoryResult,
    Reply, StreamPosition, SubscribeRequest,
};
use mio::Token;
use serde_json::{Value, json};

use super::deed;
use super::line::{Came, Line, Phase};
use super::watch::{FRESH_US, Way};
use super::world::{ACCEPT, Alarm, World};
use crate::control::Fate;
use crate::town::{LoginIx, Role};
use crate::wire::frame::{self, Kind};
use crate::wire::push::{Item, each_item};

/// Shortest and longest wait before trying again, as the SDKs have them.
const BACKOFF_MIN_US: u64 = 500_000;
const BACKOFF_MAX_US: u64 = 20_000_000;

/// A new strong login is shown this long before the last one lapses.
const STEP_UP_BEFORE_US: u64 = 60_000_000;

/// Publications of one page of history, as many as a server gives at most by default.
const PAGE: i32 = 300;

/// Error of a token that is no longer good: a new one is fetched at once.
const TOKEN_EXPIRED: u32 = 109;

/// A position in a channel.
#[derive(Debug, Clone)]
pub(super) struct Sub {
    pub(super) channel: u32,
    pub(super) epoch: Box<str>,
    pub(super) offset: u64,
}

/// Something that was seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Number of its channel.
    pub channel: u32,
    /// Its offset there.
    pub offset: u32,
    /// The action by its mark, or with [`super::watch::BARE`] the number of its message.
    pub action: u64,
}

/// What an answer is awaited for.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    Connect,
    Screen {
        at_us: u64,
    },
    Browse {
        due_us: u64,
    },
    StepUp {
        at_us: u64,
    },
    Deed(usize),
    /// A page of what recovery did not give: up to this offset.
    History {
        channel: u32,
        until: u64,
    },
}

pub(super) struct User {
    pub(super) login: LoginIx,
    pub(super) role: Role,
    pub(super) codec: Codec,
    /// Comes with a strong login.
    pub(super) strong: bool,
    /// Wants to be online.
    pub(super) wanted: bool,
    /// Was online at some time: since when.
    pub(super) first_us: Option<u64>,
    /// Since when the present wish to be online is not granted.
    since_us: u64,
    /// The present wish follows a loss.
    again: bool,
    attempts: u32,
    generation: u32,
    pub(super) line: Option<Box<Line>>,
    pub(super) subs: Vec<Sub>,
    /// When the last strong login was, in microseconds of the run.
    pub(super) auth_us: u64,
    pub(super) seen: Vec<Seen>,
    /// Offsets that were passed over, by channel.
    pub(super) gaps: Vec<(u32, u64)>,
    pub(super) asked: Vec<(u32, Asked)>,
    /// Own actions without an answer.
    pub(super) todo: Vec<usize>,
    /// The server said not to come back.
    pub(super) barred: bool,
}

impl User {
    pub(super) fn new(login: LoginIx, role: Role, codec: Codec, strong: bool) -> Self {
        Self {
            login,
            role,
            codec,
            strong,
            wanted: false,
            first_us: None,
            since_us: 0,
            again: false,
            attempts: 0,
            generation: 0,
            line: None,
            subs: Vec::new(),
            auth_us: 0,
            seen: Vec::new(),
            gaps: Vec::new(),
            asked: Vec::new(),
            todo: Vec::new(),
            barred: false,
        }
    }

    pub(super) fn is_online(&self) -> bool {
        self.line
            .as_ref()
            .is_some_and(|line| line.phase == Phase::Online)
    }

    /// Nothing is under way for this person.
    pub(super) fn is_settled(&self) -> bool {
        self.asked.is_empty() && self.todo.is_empty() && self.wanted == self.is_online()
    }

    /// The plan says to come or go; `due_us` is when.
    pub(super) fn want(&mut self, world: &mut World, nth: u32, wanted: bool, due_us: u64) {
        if self.wanted == wanted {
            return;
        }
        self.wanted = wanted;
        self.generation += 1;
        if wanted {
            self.since_us = due_us;
            self.again = false;
            self.attempts = 0;
            self.dial(world, nth);
        } else {
            self.leave();
        }
    }

    fn leave(&mut self) {
        if let Some(mut line) = self.line.take() {
            let mut bytes = Vec::new();
            frame::write(frame::CLOSE, &1000u16.to_be_bytes(), &mut bytes);
            let _ = line.send(&bytes); // Who goes does not wait to be heard.
        }
        self.asked.clear();
    }

    /// The network is gone, without a word.
    pub(super) fn lose(&mut self, world: &mut World, nth: u32) {
        self.line = None;
        self.lost(world, nth);
    }

    /// Tries to connect now.
    pub(super) fn dial(&mut self, world: &mut World, nth: u32) {
        if !self.wanted || self.line.is_some() || self.barred {
            return;
        }
        let now_us = world.now_us();
        let opened = Line::open(
            world.address,
            nth as usize,
            &world.registry,
            Token(nth as usize),
            now_us,
        );
        match opened {
            Ok(line) => self.line = Some(Box::new(line)),
            Err(error) => self.failed(world, nth, &format!("connect {}", error.kind())),
        }
    }

    /// A timer of this person is up.
    pub(super) fn retry(&mut self, world: &mut World, nth: u32, generation: u32) {
        if self.generation == generation {
            self.dial(world, nth);
            self.work(world, nth);
        }
    }

    /// The connection ended without being asked to.
    fn lost(&mut self, world: &mut World, nth: u32) {
        self.line = None;
        let was_online = self.first_us.is_some()
            && !self
                .asked
                .iter()
                .any(|(_, it)| matches!(it, Asked::Connect));
        self.asked.clear();
        if !self.wanted {
            return;
        }
        if was_online && self.attempts == 0 {
            self.since_us = world.now_us();
            self.again = true;
        }
        self.back_off(world, nth);
    }

    fn failed(&mut self, world: &mut World, nth: u32, name: &str) {
        world.tally.error(name.to_owned());
        self.lost(world, nth);
    }

    fn back_off(&mut self, world: &mut World, nth: u32) {
        self.generation += 1;
        let most = BACKOFF_MIN_US
            .saturating_mul(1 << self.attempts.min(10))
            .min(BACKOFF_MAX_US);
        let jitter = world.chance.next() % most.max(1);
        let wait_us = (BACKOFF_MIN_US + jitter).min(BACKOFF_MAX_US);
        self.attempts += 1;
        let at_us = world.now_us() + wait_us;
        world.wake(
            at_us,
            Alarm::Retry {
                user: nth,
                generation: self.generation,
            },
        );
    }

    /// The socket can be read or written.
    pub(super) fn ready(&mut self, world: &mut World, nth: u32, scratch: &mut [u8]) {
        let Some(line) = self.line.as_mut() else {
            return;
        };
        if line.phase == Phase::Opening {
            match line.stands() {
                Ok(false) => return,
                Ok(true) => {
                    line.phase = Phase::Upgrading;
                    let request = if self.codec == Codec::Json {
                        &world.request
                    } else {
                        &world.request_protobuf
                    };
                    if let Err(error) = line.send(request) {
                        return self.failed(world, nth, &format!("connect {}", error.kind()));
                    }
                }
                Err(error) => return self.failed(world, nth, &format!("connect {}", error.kind())),
            }
        }
        if let Err(error) = line.flush() {
            return self.failed(world, nth, &format!("write {}", error.kind()));
        }
        loop {
            let Some(line) = self.line.as_mut() else {
                return;
            };
            match line.read(scratch) {
                Ok(Came::Some(length)) => {
                    self.hear(world, nth, &scratch[..length]);
                    return;
                }
                Ok(Came::Full(length)) => self.hear(world, nth, &scratch[..length]),
                Ok(Came::Nothing) => return,
                Ok(Came::End) => return self.failed(world, nth, "closed without a code"),
                Err(error) => return self.failed(world, nth, &format!("read {}", error.kind())),
            }
        }
    }

    fn hear(&mut self, world: &mut World, nth: u32, bytes: &[u8]) {
        let Some(line) = self.line.as_mut() else {
            return;
        };
        line.heard_us = world.now_us();
        if line.inbox.is_empty() {
            let used = self.frames(world, nth, bytes);
            self.keep(&bytes[used..]);
        } else {
            let mut whole = std::mem::take(&mut line.inbox);
            whole.extend_from_slice(bytes);
            let used = self.frames(world, nth, &whole);
            self.keep(&whole[used..]);
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        if let Some(line) = self.line.as_mut().filter(|_| !rest.is_empty()) {
            line.inbox = rest.to_vec();
        }
    }

    /// Takes all whole frames; gives how many bytes they were.
    fn frames(&mut self, world: &mut World, nth: u32, bytes: &[u8]) -> usize {
        let mut used = 0;
        while let Some(line) = self.line.as_mut() {
            if line.phase == Phase::Upgrading {
                let Some(end) = memchr::memmem::find(&bytes[used..], b"\r\n\r\n") else {
                    break;
                };
                let head = &bytes[used..used + end];
                used += end + 4;
                self.upgraded(world, nth, head);
                continue;
            }
            let found = match frame::first(&bytes[used..]) {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(frame::Broken) => {
                    self.failed(world, nth, "broken framing");
                    break;
                }
            };
            used += found.length;
            match found.kind {
                Kind::Data { is_last: true } if line.message.is_empty() => {
                    self.items(world, nth, found.payload);
                }
                Kind::Data { is_last } => {
                    line.message.extend_from_slice(found.payload);
                    if is_last {
                        let message = std::mem::take(&mut line.message);
                        self.items(world, nth, &message);
                    }
                }
                Kind::Ping => {
                    let mut pong = Vec::new();
                    frame::write(frame::PONG, found.payload, &mut pong);
                    let _ = line.send(&pong); // A dead socket shows at the next read.
                }
                Kind::Pong => {}
                Kind::Close(code) => {
                    self.closed(world, nth, code.unwrap_or(0));
                    break;
                }
            }
        }
        used
    }

    fn upgraded(&mut self, world: &mut World, nth: u32, head: &[u8]) {
        let status = head
            .get(9..12)
            .and_then(|it| std::str::from_utf8(it).ok())
            .unwrap_or("?");
        if status != "101" || memchr::memmem::find(head, ACCEPT).is_none() {
            if matches!(status, "429" | "503") {
                world.tally.tick.waits[self.role as usize] += 1;
                self.line = None;
                return self.lost(world, nth);
            }
            let name = format!("upgrade {status}");
            return self.failed(world, nth, &name);
        }
        if let Some(line) = self.line.as_mut() {
            line.phase = Phase::Greeting;
        }
        match world.token(self.login, self.strong) {
            Ok(token) => {
                self.auth_us = world.now_us();
                let subs: BTreeMap<String, SubscribeRequest> = self
                    .subs
                    .iter()
                    .map(|sub| {
                        let request = SubscribeRequest {
                            recover: true,
                            epoch: sub.epoch.to_string(),
                            offset: sub.offset,
                            ..SubscribeRequest::default()
                        };
                        (world.name(sub.channel).to_owned(), request)
                    })
                    .collect();
                let connect = ConnectRequest {
                    token,
                    subs,
                    name: "klokke".to_owned(),
                    ..ConnectRequest::default()
                };
                let command = |id| Command {
                    id,
                    connect: Some(connect),
                    ..Command::default()
                };
                self.ask(world, nth, Asked::Connect, command);
            }
            Err(_) => self.failed(world, nth, "token could not be signed"),
        }
    }

    /// Sends a command whose answer is awaited.
    pub(super) fn ask(
        &mut self,
        world: &mut World,
        nth: u32,
        asked: Asked,
        command: impl FnOnce(u32) -> Command,
    ) {
        let Some(line) = self.line.as_mut() else {
            return;
        };
        let id = line.number();
        let mut payload = BytesMut::new();
        if self
            .codec
            .encode_command(&command(id), &mut payload)
            .is_err()
        {
            return self.failed(world, nth, "command could not be encoded");
        }
        let payload = payload.freeze();
        let mut joined = BytesMut::new();
        self.codec.join([&payload], &mut joined);
        let mut bytes = Vec::with_capacity(joined.len() + 14);
        frame::write(deed::opcode(self.codec), &joined, &mut bytes);
        self.asked.push((id, asked));
        if let Err(error) = line.send(&bytes) {
            self.failed(world, nth, &format!("write {}", error.kind()));
        }
    }

    fn closed(&mut self, world: &mut World, nth: u32, code: u16) {
        self.line = None;
        if !self.wanted {
            return;
        }
        world.tally.error(format!("disconnect {code}"));
        // The protocol's rule: from 3500 to 3999 and from 4500 to 4999 a client does not come back.
        if matches!(code, 3500..=3999 | 4500..=4999) {
            self.barred = true;
            self.asked.clear();
            return;
        }
        self.lost(world, nth);
    }

    fn items(&mut self, world: &mut World, nth: u32, payload: &[u8]) {
        let mut pings = 0;
        let mut replies = Vec::new();
        let codec = self.codec;
        // Publications are looked at in place and in order; replies in the same frame come before what they allow, so a frame that
        // holds any is taken message by message.
        let read = each_item(codec, payload, |item| match item {
            Item::Publication {
                channel,
                offset,
                data,
            } => {
                for reply in replies.drain(..) {
                    self.reply(world, nth, reply);
                }
                self.watch(world, channel, offset, data, Way::Live);
            }
            Item::Ping => pings += 1,
            Item::Reply(reply) => replies.push(*reply),
        });
        for reply in replies {
            self.reply(world, nth, reply);
        }
        if read.is_err() {
            return self.failed(world, nth, "undecodable message");
        }
        if pings > 0 {
            self.pong(world, nth);
        }
    }

    fn pong(&mut self, world: &mut World, nth: u32) {
        let pong: &[u8] = if self.codec == Codec::Json {
            b"{}"
        } else {
            &[0]
        };
        let mut bytes = Vec::with_capacity(8);
        frame::write(deed::opcode(self.codec), pong, &mut bytes);
        let sent = self.line.as_mut().map(|line| line.send(&bytes));
        if let Some(Err(error)) = sent {
            self.failed(world, nth, &format!("write {}", error.kind()));
        }
    }

    fn reply(&mut self, world: &mut World, nth: u32, reply: Reply) {
        world.last_us = world.now_us();
        if reply.id == 0 {
            if let Some(push) = reply.push {
                self.pushed(world, nth, push);
            }
            return;
        }
        let Some(place) = self.asked.iter().position(|(id, _)| *id == reply.id) else {
            world.tally.error("answer to nothing".to_owned());
            return;
        };
        let (_, asked) = self.asked.swap_remove(place);
        if let Some(error) = reply.error {
            return self.refused(world, nth, &asked, &error);
        }
        let now_us = world.now_us();
        match asked {
            Asked::Connect => {
                if let Some(result) = reply.connect {
                    self.connected(world, nth, result);
                }
            }
            Asked::Screen { at_us } => world.tally.screen(now_us.saturating_sub(at_us)),
            Asked::Browse { due_us } => {
                world.tally.acked(
                    crate::scenario::Action::Browse,
                    self.role,
                    now_us.saturating_sub(due_us),
                );
            }
            Asked::StepUp { at_us } => self.auth_us = at_us,
            Asked::Deed(number) => {
                let answer: Option<Value> = reply
                    .rpc
                    .and_then(|it| serde_json::from_slice(&it.data).ok());
                self.todo.retain(|it| *it != number);
                let own = &mut world.deeds[number];
                own.deed.fate = Fate::Acked;
                own.deed.acked_us = now_us;
                own.deed.message = answer.as_ref().map_or(0, deed::message_in);
                let (action, late) = (own.deed.action, now_us.saturating_sub(own.due_us));
                world.tally.acked(action, self.role, late);
            }
            Asked::History { channel, until } => {
                if let Some(result) = reply.history {
                    self.page(world, nth, channel, until, &result);
                }
            }
        }
    }

    fn refused(&mut self, world: &mut World, nth: u32, asked: &Asked, error: &ErrorReply) {
        let code = error.code;
        match asked {
            Asked::Connect => {
                self.line = None;
                if code == TOKEN_EXPIRED || error.temporary {
                    world.tally.tick.waits[self.role as usize] += 1;
                } else {
                    world.tally.error(format!("connect {code}"));
                }
                self.lost(world, nth);
            }
            Asked::Deed(number) => {
                let number = *number;
                let action = world.deeds[number].deed.action;
                world.tally.error(format!("{} {code}", action.name()));
                if error.temporary {
                    // It stays to be done; the same idempotency key makes a retry harmless.
                    let at_us =
                        world.now_us() + BACKOFF_MIN_US + world.chance.next() % BACKOFF_MIN_US;
                    world.wake(
                        at_us,
                        Alarm::Retry {
                            user: nth,
                            generation: self.generation,
                        },
                    );
                } else {
                    self.todo.retain(|it| *it != number);
                    world.deeds[number].deed.fate = Fate::Refused;
                }
            }
            Asked::Screen { .. } => world.tally.error(format!("screen {code}")),
            Asked::Browse { .. } => world.tally.error(format!("browse {code}")),
            Asked::StepUp { .. } => world.tally.error(format!("step_up {code}")),
            Asked::History { channel, .. } => {
                let name = world.name(*channel).to_owned();
                world.tally.error(format!("history {code}"));
                self.accuse(world, "missing", &name, || {
                    format!("history that fills a gap was refused with {code}")
                });
            }
        }
    }

    fn pushed(&mut self, world: &mut World, nth: u32, push: klokke_protocol::Push) {
        if let Some(publication) = push.publication {
            // A publication in an unusual order of fields: decoded in full, judged the same.
            self.watch(
                world,
                &push.channel,
                publication.offset,
                &publication.data,
                Way::Live,
            );
        } else if let Some(unsubscribe) = push.unsubscribe {
            world
                .tally
                .error(format!("unsubscribe {}", unsubscribe.code));
            // What was seen so far stands; the position is asked for anew.
            self.lose(world, nth);
        } else if push.subscribe.is_some() {
            self.accuse(world, "foreign_channel", &push.channel, || {
                "a channel was added though no right changed".to_owned()
            });
        }
    }

    fn connected(&mut self, world: &mut World, nth: u32, result: ConnectResult) {
        let now_us = world.now_us();
        if let Some(line) = self.line.as_mut() {
            line.phase = Phase::Online;
        }
        if world.tally.tick.server.is_empty() {
            world.tally.tick.server.clone_from(&result.version);
        }
        self.attempts = 0;
        let is_first = self.first_us.is_none();
        world
            .tally
            .connected(self.role, self.again, now_us.saturating_sub(self.since_us));
        self.compare_channels(world, &result);
        for (name, sub) in result.subs {
            let channel = world.channel(&name);
            let known = self.subs.iter().position(|it| it.channel == channel);
            let Some(place) = known else {
                self.subs.push(Sub {
                    channel,
                    epoch: sub.epoch.into(),
                    offset: sub.offset,
                });
                continue;
            };
            if *self.subs[place].epoch != *sub.epoch {
                self.accuse(world, "missing", &name, || {
                    "the channel's epoch changed: what came before cannot be asked for".to_owned()
                });
                self.subs[place].epoch = sub.epoch.into();
                self.subs[place].offset = sub.offset;
                continue;
            }
            for publication in sub.publications {
                // Each is the next one, or the gap shows.
                self.watch(
                    world,
                    &name,
                    publication.offset,
                    &publication.data,
                    Way::Live,
                );
            }
            if sub.recovered {
                continue; // All there was came with it; the offset told is the one that was asked from.
            }
            let reached = self.subs[place].offset;
            if reached > sub.offset {
                self.accuse(world, "missing", &name, || {
                    format!(
                        "offset {reached} was seen, and the channel now ends at {}",
                        sub.offset
                    )
                });
            }
            if reached < sub.offset {
                self.subs[place].offset = sub.offset;
                self.ask_history(world, nth, channel, reached, sub.offset);
            }
        }
        self.again = true;
        if is_first {
            self.first_us = Some(now_us);
        }
        self.begin(world, nth, now_us);
    }

    /// The server must put the person on exactly the channels that are theirs.
    fn compare_channels(&self, world: &mut World, result: &ConnectResult) {
        let login = &world.town.logins[self.login as usize];
        let (wanted, got) = (&login.channels, &result.subs);
        let missing: Vec<String> = wanted
            .iter()
            .filter(|it| !got.contains_key(&***it))
            .map(|it| it.to_string())
            .collect();
        let is_own = |name: &str| wanted.binary_search_by(|it| (**it).cmp(name)).is_ok();
        let foreign: Vec<String> = got.keys().filter(|name| !is_own(name)).cloned().collect();
        for name in missing {
            self.accuse(world, "missing_channel", &name, || {
                "not subscribed to at connect".to_owned()
            });
        }
        for name in foreign {
            self.accuse(world, "foreign_channel", &name, || {
                "subscribed to at connect".to_owned()
            });
        }
    }

    fn ask_history(&mut self, world: &mut World, nth: u32, channel: u32, since: u64, until: u64) {
        let Some(sub) = self.subs.iter().find(|sub| sub.channel == channel) else {
            return;
        };
        let request = HistoryRequest {
            channel: world.name(channel).to_owned(),
            limit: PAGE,
            since: Some(StreamPosition {
                offset: since,
                epoch: sub.epoch.to_string(),
            }),
            ..HistoryRequest::default()
        };
        self.ask(world, nth, Asked::History { channel, until }, |id| {
            Command {
                id,
                history: Some(request),
                ..Command::default()
            }
        });
    }

    fn page(
        &mut self,
        world: &mut World,
        nth: u32,
        channel: u32,
        until: u64,
        result: &HistoryResult,
    ) {
        let name = world.name(channel).to_owned();
        let mut last = 0;
        for publication in result.publications.iter().filter(|it| it.offset <= until) {
            last = publication.offset;
            self.watch(
                world,
                &name,
                publication.offset,
                &publication.data,
                Way::Recovered,
            );
        }
        if last == 0 {
            self.accuse(world, "missing", &name, || {
                format!("history ends before offset {until}")
            });
        } else if last < until {
            self.ask_history(world, nth, channel, last, until);
        }
    }

    /// What everybody does who comes online.
    fn begin(&mut self, world: &mut World, nth: u32, now_us: u64) {
        let behaviour = world.scenario.behaviour;
        if behaviour.first_screen && !world.quiet {
            self.ask(world, nth, Asked::Screen { at_us: now_us }, |id| {
                deed::rpc(id, "session.start", &json!({}))
            });
            if behaviour.looks > 0 && world.chance.part() < behaviour.browses {
                self.think(world, nth, now_us, behaviour.looks);
            }
        }
        self.work(world, nth);
    }

    /// The next look is due after a thought, whatever becomes of this one.
    fn think(&self, world: &mut World, nth: u32, from_us: u64, more: u32) {
        let think = world.scenario.behaviour.think.as_secs_f64() / world.setup.speed;
        let gap_us = world.chance.gap_us(1.0 / think.max(0.001));
        world.wake(from_us + gap_us, Alarm::Look { user: nth, more });
    }

    pub(super) fn look(&mut self, world: &mut World, nth: u32, due_us: u64, more: u32) {
        if more > 1 && !world.quiet {
            self.think(world, nth, due_us, more - 1);
        }
        let profiles = &world.town.logins[self.login as usize].profiles;
        let Some(profile) = profiles
            .first()
            .filter(|_| self.is_online() && !world.quiet)
        else {
            return;
        };
        let input = json!({ "profile": world.town.profiles[*profile as usize].id });
        world.tally.tick.due += 1;
        self.ask(world, nth, Asked::Browse { due_us }, |id| {
            deed::rpc(id, "thread.list", &input)
        });
    }

    /// Sends whatever is to be done and not under way.
    pub(super) fn work(&mut self, world: &mut World, nth: u32) {
        if !self.is_online() {
            return;
        }
        let under_way = |asked: &[(u32, Asked)], number: usize| {
            asked
                .iter()
                .any(|(_, it)| matches!(it, Asked::Deed(other) if *other == number))
        };
        let waiting: Vec<usize> = self
            .todo
            .iter()
            .copied()
            .filter(|it| !under_way(&self.asked, *it))
            .collect();
        for number in waiting {
            let now_us = world.now_us();
            if world.deeds[number].deed.sensitive
                && now_us + STEP_UP_BEFORE_US > self.auth_us + FRESH_US
            {
                self.step_up(world, nth, now_us);
            }
            let own = &mut world.deeds[number];
            if own.deed.sent_us == 0 {
                own.deed.sent_us = now_us.max(1);
                let late_us = now_us.saturating_sub(own.due_us);
                world.tally.late(late_us);
            }
            let own = &world.deeds[number];
            let (method, input) = deed::call(&own.deed, own.due_us, world.setup.run, &world.town);
            self.ask(world, nth, Asked::Deed(number), |id| {
                deed::rpc(id, method, &input)
            });
        }
    }

    fn step_up(&mut self, world: &mut World, nth: u32, now_us: u64) {
        let is_asked = self
            .asked
            .iter()
            .any(|(_, it)| matches!(it, Asked::StepUp { .. }));
        if is_asked {
            return;
        }
        if let Ok(token) = world.token(self.login, true) {
            let input = json!({ "token": token });
            self.ask(world, nth, Asked::StepUp { at_us: now_us }, |id| {
                deed::rpc(id, "session.step_up", &input)
            });
        }
    }
}
