//! What a person does once they are online: the first screen, looks at their threads, and what is to be said.

use serde_json::json;

use super::deed;
use super::user::{Asked, Owed, User};
use super::watch::FRESH_US;
use super::world::{Alarm, World};

/// A new strong login is shown this long before the last one lapses.
const STEP_UP_BEFORE_US: u64 = 60_000_000;

impl User {
    /// What everybody does who comes online.
    pub(super) fn begin(&mut self, world: &mut World, nth: u32, now_us: u64) {
        let behaviour = world.scenario.behaviour;
        if behaviour.first_screen && !world.quiet {
            self.ask(world, nth, Asked::Screen { at_us: now_us }, |id| {
                deed::rpc(id, "session.start", &json!({}))
            });
            // One chain of looks a visit, from when they were to come; a phone that lost its network begins no second one.
            if !std::mem::replace(&mut self.has_looked, true)
                && behaviour.looks > 0
                && world.chance.part() < behaviour.browses
            {
                self.think(world, nth, now_us, behaviour.looks);
            }
        }
        self.work(world, nth);
    }

    /// The next look is due after a thought, whatever becomes of this one.
    pub(super) fn think(&self, world: &mut World, nth: u32, from_us: u64, more: u32) {
        let think = world.scenario.behaviour.think.as_secs_f64() / world.setup.speed;
        let gap_us = super::plan::gap_us(&mut world.chance, 1.0 / think.max(0.001));
        world.wake(from_us + gap_us, Alarm::Look { user: nth, more });
    }

    pub(super) fn look(&mut self, world: &mut World, nth: u32, due_us: u64, more: u32) {
        if more > 1 && !world.quiet {
            self.think(world, nth, due_us, more - 1);
        }
        if world.quiet || !self.wanted {
            return;
        }
        world.tally.tick.due += 1;
        let profiles = &world.town.logins[self.login as usize].profiles;
        let Some(profile) = profiles.first().filter(|_| self.is_online()) else {
            world.tally.error("browse while offline".to_owned());
            return;
        };
        let input = json!({ "profile": world.town.profiles[*profile as usize].id });
        self.ask(world, nth, Asked::Browse { due_us }, |id| {
            deed::rpc(id, "thread.list", &input)
        });
    }

    /// Sends whatever is to be done and not under way.
    pub(super) fn work(&mut self, world: &mut World, nth: u32) {
        if !self.is_online() {
            return;
        }
        let is_asked = |asked: &[(u32, Asked)], owed: &Owed| {
            asked.iter().any(|(_, it)| {
                matches!(it, Asked::History { channel, until } if (*channel, *until) == (owed.channel, owed.until))
            })
        };
        let owed: Vec<Owed> = self
            .owed
            .iter()
            .copied()
            .filter(|it| !is_asked(&self.asked, it))
            .collect();
        for owed in owed {
            self.ask_history(world, nth, owed.channel, owed.since, owed.until);
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
            }
            let own = &world.deeds[number];
            let (method, input) = deed::call(&own.deed, own.due_us, world.setup.run, &world.town);
            self.ask(world, nth, Asked::Deed(number), |id| {
                deed::rpc(id, method, &input)
            });
        }
    }

    pub(super) fn step_up(&mut self, world: &mut World, nth: u32, now_us: u64) {
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
