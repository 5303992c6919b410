//! What all simulated people of an agent share: the population, the plan, the clock, the counts, and what was done so far.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Instant;

use jsonwebtoken::{EncodingKey, Header};
use mio::Registry;
use rustc_hash::FxHashMap;

use super::deed;
use super::door::Door;
use super::log::Log;
use super::plan::{Plan, Source};
use super::tally::Tally;
use crate::chance::Chance;
use crate::control::{Deed, Setup};
use crate::scenario::Scenario;
use crate::town::{LoginIx, ProfileIx, Town};

/// How long a token is good for, in seconds: longer than any scenario.
const TOKEN_SECONDS: i64 = 3 * 24 * 3600;

/// Something to do at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// A second has passed.
    Tick,
    /// A person tries again, unless they did something else since.
    Retry { user: u32, generation: u32 },
    /// A person has waited long enough to be let in.
    Patience { user: u32, generation: u32 },
    /// A person looks at their threads, this many more times.
    Look { user: u32, more: u32 },
    /// A source has its next.
    Arrive(Source),
    /// A hostile connection has had its time.
    AttackOver { nth: u32, serial: u32 },
}

/// An own action with what is needed to send it.
pub(super) struct Own {
    pub(super) deed: Deed,
    pub(super) due_us: u64,
}

pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) scenario: Scenario,
    pub(super) plan: Plan,
    pub(super) town: Town,
    /// Places of profiles by id, for those that marks name.
    pub(super) children: HashMap<Box<str>, ProfileIx>,
    pub(super) tally: Tally,
    pub(super) deeds: Vec<Own>,
    pub(super) log: Log,
    pub(super) chance: Chance,
    /// One a server.
    doors: Vec<Door>,
    pub(super) registry: Registry,
    pub(super) alarms: BinaryHeap<Reverse<(u64, Alarm)>>,
    /// When something was last delivered or answered.
    pub(super) last_us: u64,
    /// Nothing new is begun any more.
    pub(super) quiet: bool,
    names: Vec<Box<str>>,
    by_name: FxHashMap<Box<str>, u32>,
    epoch: Instant,
    /// The epoch in seconds since 1970.
    epoch_s: i64,
    key: EncodingKey,
}

impl World {
    pub(super) fn new(
        setup: Setup,
        scenario: Scenario,
        town: Town,
        secret: &str,
        doors: Vec<Door>,
        registry: Registry,
    ) -> Self {
        let plan = Plan::new(&scenario, setup.speed);
        let chance = Chance::named(setup.seed, &format!("agent {}", setup.agent));
        let key = EncodingKey::from_secret(secret.as_bytes());
        let children = (0u32..)
            .zip(&town.profiles)
            .filter(|(_, it)| !it.adults.is_empty());
        let children = children.map(|(place, it)| (it.id.clone(), place)).collect();
        Self {
            plan,
            chance,
            key,
            children,
            doors,
            registry,
            setup,
            scenario,
            town,
            tally: Tally::default(),
            deeds: Vec::new(),
            log: Log::default(),
            alarms: BinaryHeap::new(),
            last_us: 0,
            quiet: false,
            names: Vec::new(),
            by_name: FxHashMap::default(),
            epoch: Instant::now(),
            epoch_s: 0,
        }
    }

    /// The door of this visit: each is to another server than the last.
    pub(super) fn door(&self, visit: u32) -> &Door {
        &self.doors[visit as usize % self.doors.len()]
    }

    /// Sets the beginning of the run, which may lie ahead.
    pub(super) fn begin(&mut self, epoch: Instant, epoch_us: i64) {
        self.epoch = epoch;
        self.epoch_s = epoch_us / 1_000_000;
    }

    /// Microseconds since the run began.
    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn wake(&mut self, at_us: u64, alarm: Alarm) {
        self.alarms.push(Reverse((at_us, alarm)));
    }

    /// The number of a channel's name.
    pub(super) fn channel(&mut self, name: &str) -> u32 {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.into());
        self.by_name.insert(name.into(), number);
        number
    }

    /// The number of a channel that somebody is subscribed to.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The name of a channel's number.
    pub(super) fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", |name| name)
    }

    /// Whether an action was done by this login.
    pub(super) fn is_by(&self, action: u64, login: LoginIx) -> bool {
        let (agent, number) = deed::place_of(action);
        let own = self
            .deeds
            .get(number)
            .filter(|_| agent == u64::from(self.setup.agent));
        own.is_some_and(|own| own.deed.login == login)
    }

    /// A token of a login that happened just now.
    pub(super) fn token(
        &self,
        login: LoginIx,
        strong: bool,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let subject = &self.town.logins[login as usize].subject;
        let now_s = self.epoch_s + i64::try_from(self.now_us() / 1_000_000).unwrap_or(0);
        let claims = serde_json::json!({
            "sub": subject,
            "iat": now_s,
            "exp": now_s + TOKEN_SECONDS,
            "loa": if strong { 3 } else { 2 },
            "auth_time": now_s,
        });
        jsonwebtoken::encode(&Header::default(), &claims, &self.key)
    }
}
