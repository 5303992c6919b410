//! The gate of one shard: which connects go on, which wait, and which are told to come again.
//!
//! Connects under way have slots. How many there are follows how late the shard is; each class has its share of them for
//! itself, and what one does not use is lent to the others, in order of class. So the staff of a school find their slots
//! free whatever comes, and nobody is kept out for good. No clock, no I/O: the driver tells the time and carries out what
//! [`Gate::poll`] gives.

use std::collections::VecDeque;

/// Slots a shard has at least, unless configured lower. That many connects are a few milliseconds of work: fewer would make
/// nothing quicker, only the queue longer.
const SLOTS_MIN: u32 = 64;

/// Slots to begin with. A node that was just started, with everybody coming back, finds out the rest by itself.
const SLOTS_AT_FIRST: u32 = 128;

/// Steps of a connect after it was let in, each of which waits as long as the shard is late: its units, its word from each,
/// its channels.
const STEPS_OF_A_CONNECT: u64 = 8;

/// Connects that may wait at one shard in one class, whatever their time. Each is some 3 KiB with its socket, so a full
/// queue is 48 MiB; more would be refused by time anyway.
const WAITING_MAX: usize = 16_384;

/// Who comes, in the order in which they are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Whoever works in an institution or a town hall: attendance, pick-up and what must be said are theirs.
    Staff,
    /// Guardians and the other adults around a child.
    Guardian,
    /// Pupils, external actors, and whoever has no profile.
    Other,
}

impl Class {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Staff, Self::Guardian, Self::Other];

    /// The name used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Guardian => "guardian",
            Self::Other => "other",
        }
    }
}

/// What part of the slots each class has for itself, in per cent; together 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Of [`Class::Staff`].
    pub staff: u8,
    /// Of [`Class::Guardian`].
    pub guardian: u8,
    /// Of [`Class::Other`].
    pub other: u8,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            staff: 50,
            guardian: 35,
            other: 15,
        }
    }
}

impl Shares {
    const fn of(self, class: Class) -> u32 {
        match class {
            Class::Staff => self.staff as u32,
            Class::Guardian => self.guardian as u32,
            Class::Other => self.other as u32,
        }
    }
}

/// How a gate is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether anybody is ever held up.
    pub enabled: bool,
    /// Parts of the slots.
    pub shares: Shares,
    /// Most slots.
    pub slots_max: u32,
    /// Longest wait at a gate. Clients give a connect five seconds, and what comes after the gate takes its time too.
    pub wait_max_ms: u64,
    /// How late a shard may be before it takes fewer connects at once.
    pub lag_target_ms: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            enabled: true,
            shares: Shares::default(),
            slots_max: 512,
            wait_max_ms: 3_000,
            lag_target_ms: 20,
        }
    }
}

/// What becomes of a connect when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It goes on.
    Admitted,
    /// It waits; [`Gate::poll`] gives it back.
    Waits,
    /// It is to come again later.
    Refused(Reason),
}

/// Why a connect is sent away for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It would have to wait too long, by how fast its class goes.
    Queue,
    /// It has waited as long as it may.
    Wait,
}

impl Reason {
    /// The name used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Wait => "wait",
        }
    }
}

/// What becomes of one that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<K> {
    /// It goes on.
    Admitted {
        /// Which.
        who: K,
        /// As what.
        class: Class,
        /// For how long it waited.
        waited_ms: u64,
    },
    /// It is to come again later.
    Refused {
        /// Which.
        who: K,
        /// As what.
        class: Class,
        /// For how long it waited.
        waited_ms: u64,
    },
}

/// One class at the gate.
#[derive(Debug)]
struct Lane<K> {
    waiting: VecDeque<(K, u64)>,
    under_way: u32,
}

/// See the file.
#[derive(Debug)]
pub struct Gate<K> {
    rules: Rules,
    lanes: [Lane<K>; 3],
    slots: u32,
    /// How late the shard was when it last said so.
    lag_ms: u64,
    /// When the slots were last made fewer: what that led to shows only a lag later.
    cut_ms: u64,
    /// How long a connect takes once it was let in, smoothed.
    pace_ms: f64,
    /// Whether somebody had to wait since the slots last changed.
    is_short: bool,
}

impl<K> Gate<K> {
    /// A gate through which nobody has come yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            slots: SLOTS_AT_FIRST.min(rules.slots_max).max(1),
            rules,
            lanes: Class::ALL.map(|_| Lane {
                waiting: VecDeque::new(),
                under_way: 0,
            }),
            lag_ms: 0,
            cut_ms: 0,
            pace_ms: 0.0,
            is_short: false,
        }
    }

    /// Whether anybody at all would be let in at once: then it need not be known who they are.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.rules.enabled || (self.waits_nobody() && self.under_way() < self.slots)
    }

    /// Takes a connect.
    pub fn arrive(&mut self, class: Class, who: K, now_ms: u64) -> Arrival {
        let is_alone = self.lane(class).waiting.is_empty();
        if self.is_open() || (is_alone && self.has_own_slot(class)) {
            self.lane_mut(class).under_way += 1;
            return Arrival::Admitted;
        }
        self.is_short = true;
        if !is_alone && self.expected_ms(class) > self.wait_bound_ms() {
            return Arrival::Refused(Reason::Queue);
        }
        self.lane_mut(class).waiting.push_back((who, now_ms));
        Arrival::Waits
    }

    /// A connect that was let in is through, or given up. Says how long it took when it went through.
    pub fn leave(&mut self, class: Class, took_ms: Option<u64>) {
        let lane = self.lane_mut(class);
        debug_assert!(lane.under_way > 0, "nobody of {class:?} is under way");
        lane.under_way = lane.under_way.saturating_sub(1);
        if let Some(took_ms) = took_ms {
            // A connect takes seconds at most; the smoothing follows some dozen of them.
            let took = f64::from(u32::try_from(took_ms).unwrap_or(u32::MAX));
            self.pace_ms += (took - self.pace_ms) / 16.0;
        }
    }

    /// Takes how late the shard is, and finds how many slots that allows.
    pub fn feel(&mut self, lag_ms: u64, now_ms: u64) {
        self.lag_ms = lag_ms;
        let least = SLOTS_MIN.min(self.rules.slots_max);
        if lag_ms > self.rules.lag_target_ms {
            let settled = lag_ms.max(self.rules.lag_target_ms);
            if now_ms.saturating_sub(self.cut_ms) >= settled {
                self.slots = (self.slots - self.slots / 4).max(least).max(1);
                self.cut_ms = now_ms;
            }
        } else if self.is_short {
            let more = (self.slots / 8).max(1);
            self.slots = self.slots.saturating_add(more).min(self.rules.slots_max);
        }
        self.is_short = !self.waits_nobody();
    }

    /// The next one that waited and goes on or away now. To be asked until there is none.
    pub fn poll(&mut self, now_ms: u64) -> Option<Outcome<K>> {
        let bound_ms = self.wait_bound_ms();
        for class in Class::ALL {
            let lane = self.lane_mut(class);
            let first = lane.waiting.front();
            let waited_ms = first.map_or(0, |(_, since)| now_ms.saturating_sub(*since));
            if waited_ms < bound_ms {
                continue;
            }
            if let Some((who, _)) = lane.waiting.pop_front() {
                return Some(Outcome::Refused {
                    who,
                    class,
                    waited_ms,
                });
            }
        }
        let class = self.next_class()?;
        let lane = self.lane_mut(class);
        let (who, since) = lane.waiting.pop_front()?;
        lane.under_way += 1;
        Some(Outcome::Admitted {
            who,
            class,
            waited_ms: now_ms.saturating_sub(since),
        })
    }

    /// When [`Gate::poll`] has something by the clock alone.
    #[must_use]
    pub fn next_due_ms(&self) -> Option<u64> {
        let firsts = self.lanes.iter().filter_map(|lane| lane.waiting.front());
        let first = firsts.map(|(_, since)| *since).min()?;
        Some(first.saturating_add(self.wait_bound_ms()))
    }

    /// Whether somebody waits or is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.under_way() > 0 || !self.waits_nobody()
    }

    /// How many of a class wait.
    #[must_use]
    pub fn waiting(&self, class: Class) -> usize {
        self.lane(class).waiting.len()
    }

    /// How many slots there are now.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// The class whose turn it is: first whoever has a slot of their own free, then, while slots are left over, in order.
    fn next_class(&self) -> Option<Class> {
        let waits = |class: &Class| !self.lane(*class).waiting.is_empty();
        let mut waiting = Class::ALL.into_iter().filter(waits);
        let own = waiting.clone().find(|class| self.has_own_slot(*class));
        own.or_else(|| waiting.next().filter(|_| self.under_way() < self.slots))
    }

    fn has_own_slot(&self, class: Class) -> bool {
        self.lane(class).under_way < self.own_slots(class)
    }

    /// The slots of a class alone. At least one, so that a small share of few slots is no ban.
    fn own_slots(&self, class: Class) -> u32 {
        (self.slots * self.rules.shares.of(class) / 100).max(1)
    }

    /// How long one more would wait behind those of its class.
    fn expected_ms(&self, class: Class) -> u64 {
        let lane = self.lane(class);
        if lane.waiting.len() >= WAITING_MAX {
            return u64::MAX;
        }
        let side_by_side = f64::from(self.own_slots(class).max(lane.under_way));
        let ahead = f64::from(u32::try_from(lane.waiting.len()).unwrap_or(u32::MAX));
        // Below 2^53, and a queue of milliseconds cannot be negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let expected = (self.pace_ms * (ahead + 1.0) / side_by_side) as u64;
        expected
    }

    /// How long one may wait: what is left of a client's patience when each further step takes as long as the shard is late,
    /// and a quarter of it at least.
    fn wait_bound_ms(&self) -> u64 {
        let later = self.lag_ms.saturating_mul(STEPS_OF_A_CONNECT);
        let left = self.rules.wait_max_ms.saturating_sub(later);
        left.max(self.rules.wait_max_ms / 4)
    }

    fn under_way(&self) -> u32 {
        self.lanes.iter().map(|lane| lane.under_way).sum()
    }

    fn waits_nobody(&self) -> bool {
        self.lanes.iter().all(|lane| lane.waiting.is_empty())
    }

    fn lane(&self, class: Class) -> &Lane<K> {
        &self.lanes[class as usize]
    }

    fn lane_mut(&mut self, class: Class) -> &mut Lane<K> {
        &mut self.lanes[class as usize]
    }
}
