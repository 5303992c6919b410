//! Somebody hostile: connections that lie, shout, mumble or keep silent. What they get must cost the others nothing.

use std::net::Shutdown;

use klokke_protocol::Codec;
use mio::Token;

use super::line::{Came, Line, Phase};
use super::stage::ATTACKERS_FROM;
use super::world::{Alarm, World};
use crate::outcome::Evidence;
use crate::scenario::Attack;
use crate::wire::frame;

/// How long a hostile connection is held when the server does not end it.
const HOLD_US: u64 = 15_000_000;

/// Most of them at once on one agent: they must not take the descriptors of the people.
const ATTACKERS_MAX: usize = 2_000;

/// A frame's payload far beyond the limit of 64 KiB.
const HUGE_BYTES: usize = 1 << 20;

/// A token that looks like one and is signed by nobody.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1MDAwMDAwMSIsImxvYSI6M30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

struct Attacker {
    kind: Attack,
    serial: u32,
    line: Line,
}

/// All hostile connections of an agent, by place.
#[derive(Default)]
pub(super) struct Attackers {
    all: Vec<Option<Attacker>>,
    free: Vec<usize>,
    serial: u32,
}

impl Attackers {
    /// One more comes.
    pub(super) fn come(&mut self, kind: Attack, world: &mut World) {
        if self.all.len() - self.free.len() >= ATTACKERS_MAX {
            return;
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            self.all.len() - 1
        });
        let now_us = world.now_us();
        // Their own source addresses, so that what the server does about them can be told apart.
        let source = 30_000 + place % 500;
        match Line::open(
            world.door(0).address,
            // Who talks nonsense or nothing does so where others begin TLS.
            match kind {
                Attack::WrongToken | Attack::HugeFrame => world.door(0).tls(false),
                Attack::Garbage | Attack::Silent => None,
            },
            source,
            &world.registry,
            Token(ATTACKERS_FROM + place),
            now_us,
        ) {
            Ok(line) => {
                self.serial = self.serial.wrapping_add(1);
                let serial = self.serial;
                self.all[place] = Some(Attacker { kind, serial, line });
                let nth = u32::try_from(place).unwrap_or(u32::MAX);
                world.wake(now_us + HOLD_US, Alarm::AttackOver { nth, serial });
            }
            Err(_) => self.free.push(place),
        }
    }

    /// One has had its time, unless it ended before.
    pub(super) fn over(&mut self, nth: u32, serial: u32) {
        let place = nth as usize;
        let is_it = |one: &Attacker| one.serial == serial;
        if self
            .all
            .get(place)
            .and_then(Option::as_ref)
            .is_some_and(is_it)
        {
            self.end(place);
        }
    }

    fn end(&mut self, place: usize) {
        if self.all.get_mut(place).and_then(Option::take).is_some() {
            self.free.push(place);
        }
    }

    /// One of them can go on.
    pub(super) fn ready(&mut self, place: usize, world: &mut World, scratch: &mut [u8]) {
        let Some(Some(attacker)) = self.all.get_mut(place) else {
            return;
        };
        if attacker.go_on(world, scratch).is_err() {
            self.end(place);
        }
    }
}

impl Attacker {
    fn go_on(&mut self, world: &mut World, scratch: &mut [u8]) -> std::io::Result<()> {
        if self.line.phase == Phase::Opening {
            if !self.line.stands()? {
                return Ok(());
            }
            self.line.phase = Phase::Upgrading;
            match self.kind {
                Attack::WrongToken | Attack::HugeFrame => {
                    self.line.send(world.door(0).request(Codec::Json))?;
                }
                Attack::Garbage => self
                    .line
                    .send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03GARBAGE\r\n\r\n\0\0\0\0")?,
                Attack::Silent => {}
            }
        }
        self.line.flush()?;
        match self.line.read(scratch)? {
            Came::End => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            Came::Some(_) | Came::Full(_) if self.line.phase == Phase::Upgrading => {
                self.line.phase = Phase::Online;
                let mut bytes = Vec::new();
                match self.kind {
                    Attack::WrongToken => {
                        let connect = format!(r#"{{"id":1,"connect":{{"token":"{TOKEN}"}}}}"#);
                        frame::write(
                            super::deed::opcode(Codec::Json),
                            connect.as_bytes(),
                            &mut bytes,
                        );
                    }
                    Attack::HugeFrame => {
                        frame::write(frame::TEXT, &vec![b' '; HUGE_BYTES], &mut bytes);
                    }
                    Attack::Garbage | Attack::Silent => {}
                }
                self.line.send(&bytes)?;
            }
            Came::Some(length) | Came::Full(length) => {
                // The answer to a connect that was granted names the client.
                if self.kind == Attack::WrongToken
                    && memchr::memmem::find(&scratch[..length], b"\"client\":").is_some()
                {
                    let at_s = world.now_us() as f64 / 1e6;
                    world.tally.violation("let_in", || Evidence {
                        at_s,
                        login: "nobody".to_owned(),
                        what: "a token that nobody signed was accepted".to_owned(),
                        ..Evidence::default()
                    });
                }
            }
            Came::Nothing => {}
        }
        Ok(())
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.line.shutdown(Shutdown::Both); // It may have been ended by the server.
    }
}
