//! The play: everybody of this agent, and what is due for them.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use klokke_protocol::Codec;
use mio::Token;

use super::attack::Attackers;
use super::cast::Cast;
use super::deed;
use super::plan::{self, Source, Span};
use super::user::User;
use super::world::{Alarm, Own, World};
use crate::chance::Chance;
use crate::checker::{self, Witness};
use crate::control::{Deed, Fate, Findings, FromAgent};
use crate::procfs;
use crate::scenario::{Action, Attack};
use crate::town::Role;

/// Read at once from a socket; shared by all.
const SCRATCH_BYTES: usize = 256 * 1024;

/// A second, in microseconds.
const SECOND_US: u64 = 1_000_000;

/// How long nothing must have come before things count as quiet.
const CALM_US: u64 = 1_500_000;

/// A server pings every 25 seconds; who hears nothing for this long has lost it, as the SDKs see it.
const SILENCE_US: u64 = 45 * SECOND_US;

/// Retries of people and hostile connections share the token space: people come first.
pub(super) const ATTACKERS_FROM: usize = 1 << 40;

pub(super) struct Stage {
    pub(super) world: World,
    pub(super) users: Vec<User>,
    cast: Cast,
    attackers: Attackers,
    scratch: Vec<u8>,
    /// Comings and goings in order: (when, who, whether online from then on).
    turns: Vec<(u64, u32, bool)>,
    next_turn: usize,
    is_running: bool,
    /// The coordinator waits to hear that all is quiet.
    is_asked_for_quiet: bool,
}

impl Stage {
    /// Picks this agent's people and works out when they come and go.
    pub(super) fn new(world: World) -> Self {
        let (agent, agents) = (world.setup.agent, world.setup.agents.max(1));
        let people = world.scenario.people;
        let mut chance = Chance::named(world.setup.seed, "people");
        let (mut users, mut turns) = (Vec::new(), Vec::new());
        for (nth, login) in (0u32..).zip(&world.town.logins) {
            // Drawn for everybody on every agent, so that all agree who somebody is.
            let (part, place, strong, protobuf) =
                (chance.part(), chance.part(), chance.part(), chance.part());
            let takes_part = part < people.of(login.role) && !login.profiles.is_empty();
            if nth % agents != agent || !takes_part {
                continue;
            }
            let is_adult = matches!(login.role, Role::Staff | Role::Guardian);
            let codec = if protobuf < people.protobuf {
                Codec::Protobuf
            } else {
                Codec::Json
            };
            let user = u32::try_from(users.len()).unwrap_or(u32::MAX);
            users.push(User::new(
                nth,
                login.role,
                codec,
                is_adult && strong < people.stepped_up,
            ));
            turns.extend(
                world
                    .plan
                    .turns(login.role, place)
                    .into_iter()
                    .map(|(at, online)| (at, user, online)),
            );
        }
        turns.sort_unstable();
        users.shrink_to_fit();
        let cast = Cast::new(&users, &world.town);
        Self {
            cast,
            attackers: Attackers::default(),
            scratch: vec![0; SCRATCH_BYTES],
            turns,
            next_turn: 0,
            is_running: false,
            is_asked_for_quiet: false,
            world,
            users,
        }
    }

    pub(super) fn taking_part(&self) -> [u64; 4] {
        self.by_role(|_| true)
    }

    fn by_role(&self, which: impl Fn(&User) -> bool) -> [u64; 4] {
        let mut counts = [0; 4];
        for user in self.users.iter().filter(|user| which(user)) {
            counts[user.role as usize] += 1;
        }
        counts
    }

    pub(super) fn start(&mut self, epoch: Instant, epoch_us: i64) {
        self.world.begin(epoch, epoch_us);
        self.is_running = true;
        self.world.wake(SECOND_US, Alarm::Tick);
        let acts = Action::ALL
            .into_iter()
            .filter(|action| *action != Action::Browse)
            .map(Source::Act);
        let attacks = [
            Attack::WrongToken,
            Attack::HugeFrame,
            Attack::Garbage,
            Attack::Silent,
        ]
        .map(Source::Attack);
        for source in acts.chain([Source::Drop]).chain(attacks) {
            self.draw_next(source, 0);
        }
    }

    /// When the source has its next: drawn from the plan alone.
    fn draw_next(&mut self, source: Source, now_us: u64) {
        let world = &mut self.world;
        let (speed, agents) = (world.setup.speed, f64::from(world.setup.agents.max(1)));
        let share = world.town.logins.len() as f64 / crate::scenario::COUNTRY_LOGINS;
        let online = self.users.len() as f64;
        let scenario = &world.scenario;
        let rate = |span: &Span| {
            let stage = &scenario.stages[span.stage];
            match source {
                Source::Act(action) => {
                    stage.rates.get(&action).copied().unwrap_or(0.0) * share * speed / agents
                }
                Source::Drop => stage.drops / 60.0 * online * speed,
                Source::Attack(attack) => {
                    stage.attack.get(&attack).copied().unwrap_or(0.0) / agents
                }
            }
        };
        if let Some(at_us) = plan::next(&world.plan, &mut world.chance, now_us, rate) {
            world.wake(at_us, Alarm::Arrive(source));
        }
    }

    /// How long nothing is due.
    pub(super) fn until_next(&self) -> Duration {
        if !self.is_running {
            return Duration::from_secs(1);
        }
        let now_us = self.world.now_us();
        let alarm = self.world.alarms.peek().map(|Reverse((at, _))| *at);
        let turn = self
            .turns
            .get(self.next_turn)
            .filter(|_| !self.world.quiet)
            .map(|(at, ..)| *at);
        let next = alarm
            .into_iter()
            .chain(turn)
            .min()
            .unwrap_or(now_us + SECOND_US);
        Duration::from_micros(next.saturating_sub(now_us))
    }

    /// Does what is due, and gives what the coordinator is to be told.
    pub(super) fn alarms(&mut self) -> Vec<FromAgent> {
        let mut said = Vec::new();
        if !self.is_running {
            return said;
        }
        let now_us = self.world.now_us();
        while let Some((at_us, user, online)) = self.turns.get(self.next_turn).copied() {
            if at_us > now_us || self.world.quiet {
                break;
            }
            self.next_turn += 1;
            self.world.tally.late(now_us - at_us);
            self.users[user as usize].want(&mut self.world, user, online, at_us);
        }
        while let Some(Reverse((at_us, alarm))) = self.world.alarms.peek().copied() {
            if at_us > now_us {
                break;
            }
            self.world.alarms.pop();
            match alarm {
                Alarm::Tick => {
                    said.push(self.tick(at_us));
                    self.world.wake(at_us + SECOND_US, Alarm::Tick);
                    said.extend(self.quiet(now_us));
                }
                Alarm::Retry { user, generation } => {
                    self.users[user as usize].retry(&mut self.world, user, generation);
                }
                Alarm::Look { user, more } => {
                    self.users[user as usize].look(&mut self.world, user, at_us, more);
                }
                Alarm::Arrive(source) => {
                    if !self.world.quiet {
                        self.arrive(source, at_us);
                        self.draw_next(source, at_us);
                    }
                }
                Alarm::Patience { user, generation } => {
                    self.users[user as usize].patience(&mut self.world, user, generation);
                }
                Alarm::AttackOver { nth, serial } => self.attackers.over(nth, serial),
            }
        }
        said
    }

    fn arrive(&mut self, source: Source, due_us: u64) {
        match source {
            Source::Act(action) => self.act(action, due_us),
            Source::Drop => {
                let nth = self.world.chance.place(self.users.len());
                if let Some(user) = self.users.get_mut(nth).filter(|user| user.is_online()) {
                    user.lose(&mut self.world, u32::try_from(nth).unwrap_or(u32::MAX));
                }
            }
            Source::Attack(attack) => self.attackers.come(attack, &mut self.world),
        }
    }

    fn act(&mut self, action: Action, due_us: u64) {
        let world = &mut self.world;
        let Some((user, by, to)) = self.cast.draw(action, &mut world.chance, &self.users) else {
            world.tally.tick.skipped += 1;
            return;
        };
        let number = world.deeds.len();
        world.tally.tick.due += 1;
        world.tally.late(world.now_us().saturating_sub(due_us));
        world.deeds.push(Own {
            due_us,
            deed: Deed {
                id: deed::id_of(world.setup.agent, action, number),
                action,
                by,
                login: self.users[user as usize].login,
                to,
                sensitive: action == Action::Sensitive,
                sent_us: 0,
                acked_us: 0,
                fate: Fate::Unknown,
                message: 0,
            },
        });
        let person = &mut self.users[user as usize];
        person.todo.push(number);
        person.work(world, user);
    }

    fn tick(&mut self, at_us: u64) -> FromAgent {
        let world = &mut self.world;
        let mut tick = world.tally.take();
        tick.at_us = at_us;
        tick.cpu_us = procfs::cpu_us();
        tick.resident_bytes = procfs::resident_bytes();
        for user in &self.users {
            tick.planned[user.role as usize] += u64::from(user.wanted);
            tick.online[user.role as usize] += u64::from(user.is_online());
        }
        if (at_us / SECOND_US).is_multiple_of(5) {
            let now_us = world.now_us();
            for (nth, user) in (0u32..).zip(self.users.iter_mut()) {
                let is_silent = |heard_us: u64| now_us.saturating_sub(heard_us) > SILENCE_US;
                if user
                    .line
                    .as_ref()
                    .is_some_and(|line| is_silent(line.heard_us))
                {
                    world.tally.error("silence".to_owned());
                    user.lose(world, nth);
                }
            }
        }
        FromAgent::Tick(Box::new(tick))
    }

    /// Says that all is quiet, once, when it was asked for.
    fn quiet(&mut self, now_us: u64) -> Option<FromAgent> {
        let is_calm = now_us.saturating_sub(self.world.last_us) > CALM_US;
        let settled = |user: &&User| user.is_settled() || user.barred;
        if !self.is_asked_for_quiet || !is_calm || !self.users.iter().all(|user| settled(&user)) {
            return None;
        }
        self.is_asked_for_quiet = false;
        Some(FromAgent::Quiet {
            missing: self
                .users
                .iter()
                .filter(|user| user.wanted && !user.is_online())
                .count() as u64,
            unanswered: self.users.iter().map(|user| user.todo.len() as u64).sum(),
        })
    }

    /// Nothing new is begun; what was begun goes on.
    pub(super) fn quiesce(&mut self) {
        self.world.quiet = true;
        self.is_asked_for_quiet = true;
    }

    /// Everybody who was ever there comes, so that what they missed is recovered.
    pub(super) fn roll_call(&mut self) {
        self.world.quiet = true;
        self.is_asked_for_quiet = true;
        let now_us = self.world.now_us();
        self.world.last_us = now_us;
        for (nth, user) in (0u32..).zip(self.users.iter_mut()) {
            if user.ever_wanted {
                user.want(&mut self.world, nth, true, now_us);
            }
        }
    }

    /// Whether everybody here saw what they should, by all that was done anywhere.
    pub(super) fn verify(&self, deeds: &[Deed]) -> Findings {
        let log = self.world.log.by_login();
        let witnesses = self.users.iter().map(|user| Witness {
            login: user.login,
            was_wanted: user.ever_wanted,
            first_us: user.first_us,
            is_back: user.is_online(),
            seen: log.of(user.login),
            gaps: &user.gaps,
        });
        checker::verify(deeds, witnesses, &self.world.town, |channel| {
            self.world.name(channel)
        })
    }

    /// What was sent, and how much never could be.
    pub(super) fn deeds(&self) -> (Vec<Deed>, u64) {
        let all = self.world.deeds.iter();
        let (sent, unsent): (Vec<&Own>, Vec<&Own>) = all.partition(|own| own.deed.sent_us > 0);
        (
            sent.into_iter().map(|own| own.deed.clone()).collect(),
            unsent.len() as u64,
        )
    }

    pub(super) fn ready(&mut self, token: Token, is_read_closed: bool) {
        let place = token.0;
        if place >= ATTACKERS_FROM {
            self.attackers
                .ready(place - ATTACKERS_FROM, &mut self.world, &mut self.scratch);
            return;
        }
        let nth = u32::try_from(place).unwrap_or(u32::MAX);
        if let Some(user) = self.users.get_mut(place) {
            user.ready(&mut self.world, nth, &mut self.scratch, is_read_closed);
        }
    }
}
