//! One timing wheel for all the deadlines of a shard: arming, moving and firing cost the same
//! for ten connections as for a hundred thousand, and no connection holds a timer.
//!
//! Four levels of 64 slots; a slot of level 0 is one tick ([`TICK_MS`]), one of the next is 64
//! ticks, and so on, so that the wheel spans about 12 days. A key has at most one deadline. The
//! wheel never fires early and fires at most one tick late (plus however late it is asked).
//! It knows no clock: time comes in with each call.

/// Width of a tick. Deadlines here are pings, pongs and expiries, whose shortest is seconds.
pub(crate) const TICK_MS: u64 = 64;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 4;
/// Ticks the wheel spans; later deadlines wait in the last slot and are placed anew from there.
const SPAN_TICKS: u64 = 1 << shift_of(LEVELS);
const NONE: u32 = u32::MAX;

/// By how many bits a tick is shifted to count slots of `level`.
#[allow(
    clippy::cast_possible_truncation,
    reason = "levels are counted on one hand"
)]
const fn shift_of(level: usize) -> u32 {
    SLOT_BITS * level as u32
}

/// A tick's (or higher unit's) place within its level, below [`SLOTS`].
#[allow(clippy::cast_possible_truncation, reason = "a remainder of 64")]
const fn place(units: u64) -> u32 {
    (units % SLOTS as u64) as u32
}

/// A slot's number as entries keep it.
#[allow(
    clippy::cast_possible_truncation,
    reason = "there are a few hundred slots"
)]
const fn index(slot: usize) -> u32 {
    slot as u32
}

/// One key's place in the list of its slot.
#[derive(Clone, Copy)]
struct Entry {
    deadline_tick: u64,
    previous: u32,
    next: u32,
    slot: u32,
}

const IDLE: Entry = Entry {
    deadline_tick: 0,
    previous: NONE,
    next: NONE,
    slot: NONE,
};

/// Deadlines by key. Keys are small integers (slab indices).
pub(crate) struct Wheel {
    entries: Vec<Entry>,
    heads: [u32; SLOTS * LEVELS],
    /// One bit a slot: whether its list holds anything.
    occupied: [u64; LEVELS],
    now_tick: u64,
    armed: usize,
}

impl Wheel {
    /// An empty wheel that stands at `now_ms`.
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            entries: Vec::new(),
            heads: [NONE; SLOTS * LEVELS],
            occupied: [0; LEVELS],
            now_tick: now_ms / TICK_MS,
            armed: 0,
        }
    }

    /// Arms `key` for `deadline_ms`, or moves it there. What is past fires at the next tick.
    pub(crate) fn arm(&mut self, key: u32, deadline_ms: u64) {
        let index = key as usize;
        if index >= self.entries.len() {
            self.entries.resize(index + 1, IDLE);
        }
        let deadline_tick = deadline_ms.div_ceil(TICK_MS).max(self.now_tick + 1);
        if self.entries[index].slot != NONE {
            if self.entries[index].deadline_tick == deadline_tick {
                return;
            }
            self.unlink(key);
        }
        self.entries[index].deadline_tick = deadline_tick;
        self.link(key);
    }

    /// Forgets `key`'s deadline.
    pub(crate) fn disarm(&mut self, key: u32) {
        let linked = self.entries.get(key as usize);
        if linked.is_some_and(|entry| entry.slot != NONE) {
            self.unlink(key);
        }
    }

    /// Moves to `now_ms` and adds every key whose deadline has come to `fired`, each disarmed.
    pub(crate) fn advance(&mut self, now_ms: u64, fired: &mut Vec<u32>) {
        let target = now_ms / TICK_MS;
        if self.armed == 0 {
            self.now_tick = self.now_tick.max(target);
            return;
        }
        while self.now_tick < target {
            let next = self.next_tick().map_or(target, |tick| tick.min(target));
            self.now_tick = next;
            self.cascade();
            self.fire(fired);
        }
    }

    /// When [`Wheel::advance`] should be called next, or `None` when nothing is armed. May be
    /// earlier than the earliest deadline, never later.
    pub(crate) fn next_wake_ms(&self) -> Option<u64> {
        self.next_tick().map(|tick| tick * TICK_MS)
    }

    /// The next tick at which a slot must be looked at.
    fn next_tick(&self) -> Option<u64> {
        (0..LEVELS)
            .filter_map(|level| {
                let occupied = self.occupied[level];
                if occupied == 0 {
                    return None;
                }
                let shift = shift_of(level);
                let position = self.now_tick >> shift;
                // Slots after the present one, in the order their time comes; the present one
                // itself comes last, a whole turn later.
                let turned = occupied.rotate_right(place(position + 1));
                let ahead = u64::from(turned.trailing_zeros()) + 1;
                Some((position + ahead) << shift)
            })
            .min()
    }

    /// Moves down what lies in the higher slots whose time begins at this tick.
    fn cascade(&mut self) {
        for level in (1..LEVELS).rev() {
            let shift = shift_of(level);
            if self.now_tick & ((1 << shift) - 1) != 0 {
                continue;
            }
            let slot = place(self.now_tick >> shift) as usize;
            let mut key = self.take(level, slot);
            while key != NONE {
                let next = self.entries[key as usize].next;
                self.armed -= 1;
                self.link(key);
                key = next;
            }
        }
    }

    fn fire(&mut self, fired: &mut Vec<u32>) {
        let mut key = self.take(0, place(self.now_tick) as usize);
        while key != NONE {
            let next = self.entries[key as usize].next;
            self.entries[key as usize] = IDLE;
            self.armed -= 1;
            fired.push(key);
            key = next;
        }
    }

    /// Empties a slot; its former head begins the list of what was in it.
    fn take(&mut self, level: usize, slot: usize) -> u32 {
        self.occupied[level] &= !(1 << slot);
        std::mem::replace(&mut self.heads[level * SLOTS + slot], NONE)
    }

    fn link(&mut self, key: u32) {
        let deadline = self.entries[key as usize].deadline_tick;
        let slot = self.slot_of(deadline);
        let head = std::mem::replace(&mut self.heads[slot], key);
        let entry = &mut self.entries[key as usize];
        entry.previous = NONE;
        entry.next = head;
        entry.slot = index(slot);
        if head != NONE {
            self.entries[head as usize].previous = key;
        }
        self.occupied[slot / SLOTS] |= 1 << (slot % SLOTS);
        self.armed += 1;
    }

    fn unlink(&mut self, key: u32) {
        let Entry {
            previous,
            next,
            slot,
            ..
        } = std::mem::replace(&mut self.entries[key as usize], IDLE);
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if previous != NONE {
            self.entries[previous as usize].next = next;
        } else {
            self.heads[slot as usize] = next;
            if next == NONE {
                let slot = slot as usize;
                self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
            }
        }
        self.armed -= 1;
    }

    /// The lowest level whose reach from the present position covers the deadline.
    fn slot_of(&self, deadline_tick: u64) -> usize {
        let ahead = deadline_tick.saturating_sub(self.now_tick);
        let tick = if ahead >= SPAN_TICKS {
            self.now_tick + SPAN_TICKS - 1
        } else {
            deadline_tick
        };
        let mut level = 0;
        while level + 1 < LEVELS {
            let shift = shift_of(level);
            if (tick >> shift) - (self.now_tick >> shift) < SLOTS as u64 {
                break;
            }
            level += 1;
        }
        let shift = shift_of(level);
        level * SLOTS + place(tick >> shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Arm { key: u32, after_ms: u64 },
        Disarm { key: u32 },
        Advance { by_ms: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let spans = prop_oneof![
            0..200u64,
            0..100_000u64,
            0..100_000_000u64,
            0..4_000_000_000u64
        ];
        prop_oneof![
            4 => (0..40u32, spans.clone()).prop_map(|(key, after_ms)| Step::Arm { key, after_ms }),
            1 => (0..40u32).prop_map(|key| Step::Disarm { key }),
            3 => spans.prop_map(|by_ms| Step::Advance { by_ms }),
        ]
    }

    proptest! {
        /// Against a sorted map: nothing early, nothing late, nothing twice, nothing lost.
        #[test]
        fn fires_what_a_sorted_map_fires(start in 0..10_000_000u64, steps in prop::collection::vec(step(), 1..120)) {
            let mut wheel = Wheel::new(start);
            let mut model = BTreeMap::new();
            let mut now = start;
            for step in steps {
                match step {
                    Step::Arm { key, after_ms } => {
                        let deadline = now + after_ms;
                        wheel.arm(key, deadline);
                        let tick = deadline.div_ceil(TICK_MS).max(now / TICK_MS + 1);
                        model.insert(key, tick);
                    }
                    Step::Disarm { key } => {
                        wheel.disarm(key);
                        model.remove(&key);
                    }
                    Step::Advance { by_ms } => {
                        now += by_ms;
                        let mut fired = Vec::new();
                        wheel.advance(now, &mut fired);
                        fired.sort_unstable();
                        let due: Vec<u32> = model
                            .iter()
                            .filter(|(_, tick)| **tick <= now / TICK_MS)
                            .map(|(key, _)| *key)
                            .collect();
                        model.retain(|_, tick| *tick > now / TICK_MS);
                        prop_assert_eq!(fired, due);
                    }
                }
                prop_assert_eq!(wheel.armed, model.len());
                let earliest = model.values().min().map(|tick| tick * TICK_MS);
                match (wheel.next_wake_ms(), earliest) {
                    (Some(wake), Some(earliest)) => prop_assert!(wake <= earliest && wake > now - TICK_MS),
                    (wake, earliest) => prop_assert_eq!(wake, earliest),
                }
            }
        }
    }

    #[test]
    fn sleeping_to_each_wake_ends_at_the_deadline() {
        let mut wheel = Wheel::new(1_000_000);
        let deadline = 1_000_000 + 12_345_678;
        wheel.arm(3, deadline);
        let mut fired = Vec::new();
        let mut wakes = 0;
        while let Some(wake) = wheel.next_wake_ms() {
            wheel.advance(wake, &mut fired);
            wakes += 1;
            if fired == [3] {
                assert!(wake >= deadline && wake <= deadline + TICK_MS);
            }
        }
        assert_eq!(fired, [3]);
        assert!(wakes <= LEVELS, "woke {wakes} times for one deadline");
    }
}
