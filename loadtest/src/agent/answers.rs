//! What answers do to a person: connected and recovered, acknowledged, refused, told to wait.

use klokke_protocol::{
    Command, ConnectResult, ErrorReply, HistoryRequest, HistoryResult, Reply, StreamPosition,
};
use serde_json::Value;

use super::deed;
use super::line::Phase;
use super::user::{Asked, BACKOFF_MIN_US, Owed, Sub, User};
use super::watch::Way;
use super::world::{Alarm, World};
use crate::control::Fate;

/// Error of a token that is no longer good: a new one is fetched at once.
const TOKEN_EXPIRED: u32 = 109;

/// Publications of one page of history, as many as a server gives at most by default.
const PAGE: i32 = 300;
/// Error of work that was put off because the node is late, and the least wait that docs/errors.md asks for.
const PUT_OFF: u32 = 1104;
const PUT_OFF_US: u64 = 5_000_000;

impl User {
    pub(super) fn reply(&mut self, world: &mut World, nth: u32, reply: Reply) {
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

    pub(super) fn refused(
        &mut self,
        world: &mut World,
        nth: u32,
        asked: &Asked,
        error: &ErrorReply,
    ) {
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
                    let least_us = if code == PUT_OFF {
                        PUT_OFF_US
                    } else {
                        BACKOFF_MIN_US
                    };
                    let at_us = world.now_us() + least_us + world.chance.next() % least_us;
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
            Asked::History { .. } if error.temporary => {
                let at_us = world.now_us() + PUT_OFF_US;
                let generation = self.generation;
                world.wake(
                    at_us,
                    Alarm::Retry {
                        user: nth,
                        generation,
                    },
                );
            }
            Asked::History { channel, until } => {
                let (channel, until) = (channel, *until);
                self.owed
                    .retain(|owed| (owed.channel, owed.until) != (*channel, until));
                let name = world.name(*channel).to_owned();
                world.tally.error(format!("history {code}"));
                self.accuse(world, "missing", &name, || {
                    format!("history that fills a gap was refused with {code}")
                });
            }
        }
    }

    pub(super) fn pushed(&mut self, world: &mut World, nth: u32, push: klokke_protocol::Push) {
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

    pub(super) fn connected(&mut self, world: &mut World, nth: u32, result: ConnectResult) {
        let now_us = world.now_us();
        if let Some(line) = self.line.as_mut() {
            line.phase = Phase::Online;
        }
        if world.tally.tick.server.is_empty() {
            world.tally.tick.server.clone_from(&result.version);
        }
        self.attempts = 0;
        self.is_in = true;
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
                    Way::Back,
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
    pub(super) fn compare_channels(&self, world: &mut World, result: &ConnectResult) {
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

    pub(super) fn ask_history(
        &mut self,
        world: &mut World,
        nth: u32,
        channel: u32,
        since: u64,
        until: u64,
    ) {
        // Owed until it came, over any loss of the connection.
        self.owed
            .retain(|owed| (owed.channel, owed.until) != (channel, until));
        self.owed.push(Owed {
            channel,
            since,
            until,
        });
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

    pub(super) fn page(
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
        }
        if last == 0 || last >= until {
            self.owed
                .retain(|owed| (owed.channel, owed.until) != (channel, until));
        } else {
            self.ask_history(world, nth, channel, last, until);
        }
    }
}
