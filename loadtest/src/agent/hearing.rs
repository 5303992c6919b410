//! What a person's phone hears: bytes into frames, the upgrade, messages, and the end of a connection.

use std::collections::BTreeMap;

use bytes::BytesMut;
use klokke_protocol::{Codec, Command, ConnectRequest, SubscribeRequest};

use super::deed;
use super::door::ACCEPT;
use super::line::{Came, Phase};
use super::transport::name_of;
use super::user::{Asked, User};
use super::watch::Way;
use super::world::World;
use crate::wire::frame::{self, Kind};
use crate::wire::push::{Item, each_item};

impl User {
    /// The socket can be read or written.
    pub(super) fn ready(
        &mut self,
        world: &mut World,
        nth: u32,
        scratch: &mut [u8],
        is_read_closed: bool,
    ) {
        let Some(line) = self.line.as_mut() else {
            return;
        };
        if line.phase == Phase::Opening {
            match line.stands() {
                Ok(false) => return,
                Ok(true) => {
                    line.phase = Phase::Upgrading;
                    if let Err(error) = line.send(world.door(self.visits).request(self.codec)) {
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
                    // An end that came with the data is told once only: it is read to.
                    if !is_read_closed {
                        return;
                    }
                }
                Ok(Came::Full(length)) => self.hear(world, nth, &scratch[..length]),
                Ok(Came::Nothing) => return,
                Ok(Came::End) => return self.failed(world, nth, "closed without a code"),
                Err(error) => return self.failed(world, nth, &name_of("read", &error)),
            }
        }
    }

    pub(super) fn hear(&mut self, world: &mut World, nth: u32, bytes: &[u8]) {
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

    pub(super) fn keep(&mut self, rest: &[u8]) {
        if let Some(line) = self.line.as_mut().filter(|_| !rest.is_empty()) {
            line.inbox = rest.to_vec();
        }
    }

    /// Takes all whole frames; gives how many bytes they were.
    pub(super) fn frames(&mut self, world: &mut World, nth: u32, bytes: &[u8]) -> usize {
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

    pub(super) fn upgraded(&mut self, world: &mut World, nth: u32, head: &[u8]) {
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

    pub(super) fn closed(&mut self, world: &mut World, nth: u32, code: u16) {
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

    pub(super) fn items(&mut self, world: &mut World, nth: u32, payload: &[u8]) {
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

    pub(super) fn pong(&mut self, world: &mut World, nth: u32) {
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
}
