//! The gate over invented mornings: shares hold, nobody starves, bounds hold, and staff get in whatever comes.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A gate with a shard that takes so long for a connect, by a clock of its own.
struct Morning {
    gate: Gate<u64>,
    now_ms: u64,
    next: u64,
    came: HashMap<u64, (Class, u64)>,
    /// Who is under way, and until when.
    under_way: Vec<(Class, u64, u64)>,
    /// How long each that got in had waited.
    waits: Vec<(Class, u64)>,
    refused: HashMap<Class, u32>,
    takes_ms: u64,
}

impl Morning {
    fn new(rules: Rules, takes_ms: u64) -> Self {
        Self {
            gate: Gate::new(rules),
            now_ms: 1_000,
            next: 0,
            came: HashMap::new(),
            under_way: Vec::new(),
            waits: Vec::new(),
            refused: HashMap::new(),
            takes_ms,
        }
    }

    fn come(&mut self, class: Class) {
        self.next += 1;
        let who = self.next;
        self.came.insert(who, (class, self.now_ms));
        match self.gate.arrive(class, who, self.now_ms) {
            Arrival::Admitted => self.go(class, who, 0),
            Arrival::Waits => {}
            Arrival::Refused(_) => self.turn_away(class, who),
        }
    }

    fn go(&mut self, class: Class, who: u64, waited_ms: u64) {
        let (as_what, since) = self.came.remove(&who).unwrap();
        assert_eq!((as_what, self.now_ms - since), (class, waited_ms));
        self.waits.push((class, waited_ms));
        let until = self.now_ms + self.takes_ms;
        self.under_way.push((class, self.now_ms, until));
    }

    fn turn_away(&mut self, class: Class, who: u64) {
        assert_eq!(self.came.remove(&who).unwrap().0, class);
        *self.refused.entry(class).or_default() += 1;
    }

    /// A millisecond passes.
    fn pass(&mut self) {
        self.now_ms += 1;
        let now = self.now_ms;
        for (class, since, _) in self.under_way.extract_if(.., |it| it.2 <= now) {
            self.gate.leave(class, Some(now - since));
        }
        while let Some(outcome) = self.gate.poll(now) {
            match outcome {
                Outcome::Admitted {
                    who,
                    class,
                    waited_ms,
                } => self.go(class, who, waited_ms),
                Outcome::Refused { who, class, .. } => self.turn_away(class, who),
            }
        }
        assert!(self.gate.next_due_ms().is_none_or(|due| due > now));
    }

    fn admitted(&self, class: Class) -> usize {
        self.waits.iter().filter(|it| it.0 == class).count()
    }

    fn going(&self, class: Class) -> u32 {
        let of_class = self.under_way.iter().filter(|it| it.0 == class);
        u32::try_from(of_class.count()).unwrap()
    }
}

fn few_slots() -> Rules {
    Rules {
        slots_max: 20,
        ..Rules::default()
    }
}

#[test]
fn nobody_waits_while_there_is_room() {
    let mut morning = Morning::new(few_slots(), 10);
    for _ in 0..20 {
        assert!(morning.gate.is_open());
        morning.come(Class::Other);
    }
    assert!(!morning.gate.is_open());
    assert_eq!(
        morning.admitted(Class::Other),
        20,
        "what others do not use is lent"
    );
}

#[test]
fn staff_find_their_slots_free_in_a_flood() {
    let mut morning = Morning::new(few_slots(), 50);
    for _ in 0..5_000 {
        morning.come(Class::Guardian);
    }
    for _ in 0..10 {
        morning.come(Class::Staff);
    }
    assert_eq!(
        morning.admitted(Class::Staff),
        10,
        "half of the slots, at once"
    );
    assert_eq!(
        morning.going(Class::Guardian),
        20,
        "and nobody was thrown out for it"
    );
}

#[test]
fn with_all_waiting_the_shares_hold() {
    let mut morning = Morning::new(few_slots(), 10);
    for _ in 0..2_000 {
        for class in Class::ALL {
            if morning.gate.waiting(class) < 50 {
                morning.come(class);
            }
        }
        morning.pass();
    }
    let total = Class::ALL.map(|class| morning.admitted(class));
    let sum: usize = total.iter().sum();
    for (class, part) in [(0, 50), (1, 35), (2, 15)] {
        let percent = total[class] * 100 / sum;
        assert!(percent.abs_diff(part) <= 3, "{total:?}");
    }
}

#[test]
fn who_would_wait_too_long_is_told_at_once() {
    let mut morning = Morning::new(few_slots(), 100);
    for _ in 0..500 {
        morning.come(Class::Guardian);
        morning.pass();
    }
    // 20 slots and 100 ms are 200 a second, so some 600 fit into the three seconds.
    for _ in 0..2_000 {
        morning.come(Class::Guardian);
    }
    let waiting = morning.gate.waiting(Class::Guardian);
    assert!((300..=700).contains(&waiting), "{waiting} wait");
    assert!(morning.refused[&Class::Guardian] > 1_000);
    for _ in 0..4_000 {
        morning.pass();
    }
    assert_eq!(morning.gate.waiting(Class::Guardian), 0);
    assert!(morning.waits.iter().all(|(_, waited)| *waited <= 3_000));
}

#[test]
fn a_late_shard_takes_fewer_at_once_and_finds_back() {
    let rules = Rules::default();
    let mut gate: Gate<u64> = Gate::new(rules);
    let begun = gate.slots();
    let mut now_ms = 10_000;
    for _ in 0..50 {
        now_ms += 50;
        gate.feel(30, now_ms);
    }
    let least = gate.slots();
    assert!(least < begun && least >= 64, "{least}");
    for _ in 0..50 {
        now_ms += 50;
        gate.feel(1, now_ms);
    }
    assert_eq!(
        gate.slots(),
        least,
        "more slots that nobody asks for are none"
    );
    for who in 0..1_000 {
        now_ms += 50;
        gate.arrive(Class::Guardian, who, now_ms);
        gate.feel(1, now_ms);
        while gate.poll(now_ms).is_some() {}
    }
    assert_eq!(gate.slots(), rules.slots_max);
}

#[test]
fn slots_are_cut_once_for_each_lag() {
    let mut gate: Gate<u64> = Gate::new(Rules::default());
    let begun = gate.slots();
    for ms in 0..100 {
        gate.feel(400, 10_000 + ms);
    }
    assert_eq!(
        gate.slots(),
        begun - begun / 4,
        "what that led to is not seen yet"
    );
}

#[test]
fn where_it_is_switched_off_nobody_is_held_up() {
    let rules = Rules {
        enabled: false,
        slots_max: 1,
        ..Rules::default()
    };
    let mut morning = Morning::new(rules, 1_000);
    for _ in 0..1_000 {
        morning.come(Class::Other);
    }
    assert_eq!(morning.admitted(Class::Other), 1_000);
}

/// What happens in a millisecond of an invented morning.
#[derive(Debug, Clone)]
struct Beat {
    staff: u8,
    guardians: u8,
    others: u8,
    lag_ms: u8,
}

fn beats() -> impl Strategy<Value = Vec<Beat>> {
    let beat = (0..2u8, 0..40u8, 0..10u8, any::<u8>());
    let beat = beat.prop_map(|(staff, guardians, others, lag_ms)| Beat {
        staff,
        guardians,
        others,
        lag_ms,
    });
    proptest::collection::vec(beat, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes(beats in beats(), slots_max in 1..100u32, takes_ms in 1..80u64) {
        let rules = Rules { slots_max, ..Rules::default() };
        let mut morning = Morning::new(rules, takes_ms);
        for beat in &beats {
            for (class, count) in Class::ALL.into_iter().zip([beat.staff, beat.guardians, beat.others]) {
                (0..count).for_each(|_| morning.come(class));
            }
            morning.gate.feel(beat.lag_ms.into(), morning.now_ms);
            morning.pass();
            let going: u32 = Class::ALL.iter().map(|class| morning.going(*class)).sum();
            prop_assert!(going <= 2 * slots_max + 3, "{going} under way");
            let slots = morning.gate.slots();
            prop_assert!((1..=slots_max).contains(&slots));
            for (class, share) in Class::ALL.into_iter().zip([50, 35, 15]) {
                // Who waits has its share in use.
                let own = (slots * share / 100).max(1);
                let waits = morning.gate.waiting(class) > 0;
                prop_assert!(!waits || morning.going(class) >= own, "{class:?}");
            }
        }
        // It ends, and everybody was let in or told to come again.
        for _ in 0..rules.wait_max_ms + takes_ms {
            morning.pass();
        }
        prop_assert!(!morning.gate.is_busy());
        prop_assert!(morning.came.is_empty());
        let refused: u32 = morning.refused.values().sum();
        prop_assert_eq!(morning.waits.len() as u64 + u64::from(refused), morning.next);
        prop_assert!(morning.waits.iter().all(|(_, waited)| *waited <= rules.wait_max_ms));
    }

    /// As many staff as half of the slots can take wait no longer than a connect takes, whoever else comes.
    #[test]
    fn staff_within_their_share_hardly_wait(flood in 1..400u32, takes_ms in 1..50u64) {
        let mut morning = Morning::new(few_slots(), takes_ms);
        for ms in 0..1_000 {
            for _ in 0..flood {
                morning.come(Class::Guardian);
            }
            // Ten slots of their own: one every `takes_ms / 10`, at most.
            if ms % (takes_ms / 10 + 1) == 0 {
                morning.come(Class::Staff);
            }
            morning.pass();
        }
        prop_assert!(!morning.refused.contains_key(&Class::Staff));
        let longest = morning.waits.iter().filter(|it| it.0 == Class::Staff).map(|it| it.1).max();
        prop_assert!(longest.unwrap() <= takes_ms, "{longest:?}");
    }
}
