//! A simulated person: what they want, where their connection stands, where they are in each channel, what they have seen.
//!
//! It behaves as an app with an SDK does: positions are kept over reconnects, retries back off with jitter, what was not answered is
//! sent again under the same idempotency key.

use klokke_protocol::Codec;
use mio::Token;

use super::line::{Line, Phase};
use super::world::{Alarm, World};
use crate::town::{LoginIx, Role};
use crate::wire::frame;

/// Shortest and longest wait before trying again, as the SDKs have them.
pub(super) const BACKOFF_MIN_US: u64 = 500_000;
const BACKOFF_MAX_US: u64 = 20_000_000;

/// How long a client waits for the answer to its connect, as the SDKs have it.
const PATIENCE_US: u64 = 5_000_000;

/// A position in a channel.
#[derive(Debug, Clone)]
pub(super) struct Sub {
    pub(super) channel: u32,
    pub(super) epoch: Box<str>,
    pub(super) offset: u64,
}

/// A stretch of a channel that history has to give: after `since`, up to `until`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owed {
    pub(super) channel: u32,
    pub(super) since: u64,
    pub(super) until: u64,
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
    pub(super) since_us: u64,
    /// The present wish follows a loss.
    pub(super) again: bool,
    pub(super) attempts: u32,
    /// Which of the servers is next: every visit is to another one, as behind a load balancer that takes turns.
    pub(super) visits: u32,
    pub(super) generation: u32,
    pub(super) line: Option<Box<Line>>,
    pub(super) subs: Vec<Sub>,
    /// When the last strong login was, in microseconds of the run.
    pub(super) auth_us: u64,
    /// Offsets that were passed over, by channel.
    pub(super) gaps: Vec<(u32, u64)>,
    pub(super) asked: Vec<(u32, Asked)>,
    /// Own actions without an answer.
    pub(super) todo: Vec<usize>,
    /// The server said not to come back.
    pub(super) barred: bool,
    /// Was let in, and has not gone or been lost since.
    pub(super) is_in: bool,
    /// Looks at the threads have begun for this visit.
    pub(super) has_looked: bool,
    /// What recovery did not give and history still has to.
    pub(super) owed: Vec<Owed>,
    /// Wanted to be online at some time.
    pub(super) ever_wanted: bool,
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
            visits: login,
            generation: 0,
            line: None,
            subs: Vec::new(),
            auth_us: 0,
            gaps: Vec::new(),
            asked: Vec::new(),
            todo: Vec::new(),
            barred: false,
            is_in: false,
            has_looked: false,
            owed: Vec::new(),
            ever_wanted: false,
        }
    }

    /// Whether they were let in before: then they have a ticket.
    const fn ever_in(&self) -> bool {
        self.first_us.is_some()
    }

    pub(super) fn is_online(&self) -> bool {
        self.line
            .as_ref()
            .is_some_and(|line| line.phase == Phase::Online)
    }

    /// Nothing is under way for this person.
    pub(super) fn is_settled(&self) -> bool {
        self.asked.is_empty()
            && self.todo.is_empty()
            && self.owed.is_empty()
            && self.wanted == self.is_online()
    }

    /// The plan says to come or go; `due_us` is when.
    pub(super) fn want(&mut self, world: &mut World, nth: u32, wanted: bool, due_us: u64) {
        if self.wanted == wanted {
            return;
        }
        self.wanted = wanted;
        self.generation += 1;
        if wanted {
            self.ever_wanted = true;
            self.has_looked = false;
            self.since_us = due_us;
            self.again = false;
            self.attempts = 0;
            self.dial(world, nth);
        } else {
            self.leave();
        }
    }

    pub(super) fn leave(&mut self) {
        self.is_in = false;
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
        self.visits += 1;
        let opened = Line::open(
            world.door(self.visits).address,
            world.door(self.visits).tls(self.ever_in()),
            nth as usize,
            &world.registry,
            Token(nth as usize),
            now_us,
        );
        match opened {
            Ok(line) => {
                self.line = Some(Box::new(line));
                let generation = self.generation;
                let at_us = now_us + PATIENCE_US;
                world.wake(
                    at_us,
                    Alarm::Patience {
                        user: nth,
                        generation,
                    },
                );
            }
            Err(error) => self.failed(world, nth, &format!("connect {}", error.kind())),
        }
    }

    /// Who is not let in within a time gives up and tries again, as the SDKs do.
    pub(super) fn patience(&mut self, world: &mut World, nth: u32, generation: u32) {
        if self.generation == generation && self.line.is_some() && !self.is_online() {
            self.failed(world, nth, "connect timed out");
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
    pub(super) fn lost(&mut self, world: &mut World, nth: u32) {
        self.line = None;
        let was_in = std::mem::take(&mut self.is_in);
        for (_, asked) in self.asked.drain(..) {
            // What was to be done is done again; a look or a first screen is lost.
            match asked {
                Asked::Screen { .. } => world.tally.error("screen lost".to_owned()),
                Asked::Browse { .. } => world.tally.error("browse lost".to_owned()),
                _ => {}
            }
        }
        if !self.wanted {
            return;
        }
        if was_in {
            self.since_us = world.now_us();
            self.again = true;
        }
        self.back_off(world, nth);
    }

    pub(super) fn failed(&mut self, world: &mut World, nth: u32, name: &str) {
        world.tally.error(name.to_owned());
        self.lost(world, nth);
    }

    pub(super) fn back_off(&mut self, world: &mut World, nth: u32) {
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
}
