//! The checker's eye on every delivery: was it for this person, is it the next one, was it not too much?
//!
//! What can be known at once is judged at once; whether everything came is judged at the end (`checker`).

use serde_json::Value;

use super::user::{Seen, User};
use super::world::World;
use crate::outcome::Evidence;
use crate::wire::mark::{self, Mark, To};

/// How long after a strong login sensitive content may come in full, in microseconds (docs/protocol.md, section 7).
pub(super) const FRESH_US: u64 = 20 * 60 * 1_000_000;

/// Not judged this near to the end of it: the server's clock and the way of a message lie between.
const FRESH_MARGIN_US: u64 = 5_000_000;

/// Offsets noted of one gap.
const GAP_MAX: u64 = 1_000;

/// How a publication came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Pushed, in its turn.
    Live,
    /// With the answer to a connect, in its turn.
    Back,
    /// By recovery or history.
    Recovered,
}

impl User {
    /// Looks at one publication.
    pub(super) fn watch(
        &mut self,
        world: &mut World,
        channel: &str,
        offset: u64,
        data: &[u8],
        way: Way,
    ) {
        let now_us = world.now_us();
        world.last_us = now_us;
        // By number: comparing names would touch the memory of each.
        let number = world.number(channel);
        let place = number.and_then(|it| self.subs.iter().position(|sub| sub.channel == it));
        let Some(place) = place else {
            self.accuse(world, "leaked", channel, || {
                "a publication of a channel it is not subscribed to".to_owned()
            });
            return;
        };
        if way != Way::Recovered {
            self.in_turn(world, place, channel, offset);
        }
        let id = self.subs[place].channel;
        let Some(mark) = mark::find(data) else {
            if data.windows(18).any(|it| it == b"\"step_up_required\"") {
                self.bare(world, id, offset, data);
            }
            return;
        };
        if mark.run != world.setup.run {
            return; // Of an earlier run against the same server.
        }
        let seen = Seen {
            channel: id,
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            action: mark.action,
        };
        world.log.note(self.login, seen);
        if mark.sensitive && !self.may_see_in_full(now_us) {
            self.accuse(world, "sensitive_in_full", channel, || {
                format!("action {:x} in full below its level", mark.action)
            });
        }
        if !self.is_meant(world, channel, &mark) {
            self.accuse(world, "leaked", channel, || {
                format!("action {:x} is for {:?}", mark.action, mark.to)
            });
        }
        if let Some(action) = super::deed::action_of(mark.action) {
            // Who was away by plan, or had no network, can have it no sooner than they came for it.
            let from_us = match way {
                Way::Live => mark.due_us,
                Way::Back | Way::Recovered => mark.due_us.max(self.since_us),
            };
            world
                .tally
                .delivered(action, now_us.saturating_sub(from_us));
        }
    }

    /// Offsets are dense: the next one comes next. What stays out is judged missing at the end.
    fn in_turn(&mut self, world: &mut World, place: usize, channel: &str, offset: u64) {
        if offset == 0 {
            return;
        }
        let sub = &mut self.subs[place];
        let expected = sub.offset.saturating_add(1);
        if offset == expected {
            sub.offset = offset;
            return;
        }
        let id = sub.channel;
        if offset > expected {
            sub.offset = offset;
            // An offset far beyond is a fault by itself; listing what it passed over would fill the memory.
            let most = expected.saturating_add(GAP_MAX).min(offset);
            self.gaps
                .extend((expected..most).map(|missed| (id, missed)));
            return;
        }
        if let Some(gap) = self.gaps.iter().position(|gap| *gap == (id, offset)) {
            self.gaps.swap_remove(gap);
            self.accuse(world, "out_of_order", channel, || {
                format!("offset {offset} after a later one")
            });
        } else {
            self.accuse(world, "doubled", channel, || {
                format!("offset {offset} again; {expected} is next")
            });
        }
    }

    /// A bare signal: it counts as seen, by the number of its message.
    fn bare(&mut self, world: &mut World, channel: u32, offset: u64, data: &[u8]) {
        let value: Option<Value> = serde_json::from_slice(data).ok();
        let asked = value
            .as_ref()
            .and_then(|it| it.get("step_up_required"))
            .and_then(Value::as_bool);
        let Some(value) = value.filter(|_| asked == Some(true)) else {
            return;
        };
        let number = super::deed::message_in(&value);
        if number == 0 {
            return;
        }
        world.tally.tick.deliveries += 1;
        let seen = Seen {
            channel,
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            action: BARE | u64::from(number),
        };
        world.log.note(self.login, seen);
    }

    pub(super) const fn may_see_in_full(&self, now_us: u64) -> bool {
        self.strong && now_us < self.auth_us + FRESH_US + FRESH_MARGIN_US
    }

    /// Whether something is for this person, by the tester's own account of who may see what.
    fn is_meant(&self, world: &World, channel: &str, mark: &Mark<'_>) -> bool {
        let login = &world.town.logins[self.login as usize];
        let sees = |channel: &str| {
            login
                .channels
                .binary_search_by(|it| (**it).cmp(channel))
                .is_ok()
        };
        match mark.to {
            // On its own wall: that the person sees the wall was looked at when they were let in.
            To::Group(id) if is_wall(channel, id) => true,
            To::Group(id) => sees(&crate::town::channel_of("group", id)),
            To::Unit(id) => sees(&format!("unit:{id}")),
            To::Profile(id) => self.has(world, id) || world.is_by(mark.action, self.login),
            To::AdultsOf(id) => {
                let child = world
                    .children
                    .get(id)
                    .map(|child| &world.town.profiles[*child as usize]);
                let is_adult = child
                    .is_some_and(|it| it.adults.iter().any(|adult| login.profiles.contains(adult)));
                is_adult || world.is_by(mark.action, self.login)
            }
        }
    }

    fn has(&self, world: &World, profile: &str) -> bool {
        let profiles = &world.town.logins[self.login as usize].profiles;
        profiles
            .iter()
            .any(|it| &*world.town.profiles[*it as usize].id == profile)
    }

    /// Notes a violation with who and where.
    pub(super) fn accuse(
        &self,
        world: &mut World,
        kind: &'static str,
        channel: &str,
        what: impl FnOnce() -> String,
    ) {
        let at_s = world.now_us() as f64 / 1e6;
        let login = world.town.logins[self.login as usize].subject.to_string();
        world.tally.violation(kind, || Evidence {
            kind: String::new(),
            at_s,
            login,
            channel: channel.to_owned(),
            what: what(),
        });
    }
}

/// Whether a channel is the wall of the group with this id.
fn is_wall(channel: &str, id: &str) -> bool {
    let wall = channel
        .strip_prefix("group:")
        .and_then(|it| it.split_once('/'));
    wall.is_some() && wall == id.split_once('.')
}

/// Marks an action that was only seen by the number of its message.
pub(crate) const BARE: u64 = 1 << 63;
