//! What an agent counts in one second, told to the coordinator and begun anew.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::control::Tick;
use crate::outcome::{EVIDENCE_MAX, Evidence, LATENCY_MAX_US};
use crate::scenario::Action;
use crate::town::Role;

/// Counters and latencies of the second.
pub(crate) struct Tally {
    /// Told as it is.
    pub(crate) tick: Tick,
    delivery: Vec<Histogram<u32>>,
    ack: Vec<Histogram<u32>>,
    role_ack: Vec<Histogram<u32>>,
    role_connect: Vec<Histogram<u32>>,
    reconnect: Histogram<u32>,
    screen: Histogram<u32>,
    late: Histogram<u32>,
    evidence: BTreeMap<&'static str, usize>,
}

fn histogram() -> Histogram<u32> {
    // The bounds are constants that the library accepts; two digits are a hundredth of what is measured.
    Histogram::new_with_max(LATENCY_MAX_US, 2).unwrap_or_else(|_| unreachable!("constant bounds"))
}

fn note(histogram: &mut Histogram<u32>, us: u64) {
    histogram.saturating_record(us);
}

impl Default for Tally {
    fn default() -> Self {
        let many = |count| (0..count).map(|_| histogram()).collect();
        Self {
            tick: Tick::default(),
            delivery: many(Action::ALL.len()),
            ack: many(Action::ALL.len()),
            role_ack: many(Role::ALL.len()),
            role_connect: many(Role::ALL.len()),
            reconnect: histogram(),
            screen: histogram(),
            late: histogram(),
            evidence: BTreeMap::new(),
        }
    }
}

impl Tally {
    /// Something that was said reached somebody, this long after it was due.
    pub(crate) fn delivered(&mut self, action: Action, us: u64) {
        self.tick.deliveries += 1;
        note(&mut self.delivery[action as usize], us);
    }

    /// An action was acknowledged.
    pub(crate) fn acked(&mut self, action: Action, role: Role, us: u64) {
        self.tick.acked += 1;
        note(&mut self.ack[action as usize], us);
        note(&mut self.role_ack[role as usize], us);
    }

    /// A connect was granted: a first one, or one after a loss.
    pub(crate) fn connected(&mut self, role: Role, again: bool, us: u64) {
        self.tick.connects[role as usize] += 1;
        if again {
            note(&mut self.reconnect, us);
        } else {
            note(&mut self.role_connect[role as usize], us);
        }
    }

    /// The first screen was there.
    pub(crate) fn screen(&mut self, us: u64) {
        note(&mut self.screen, us);
    }

    /// Something was begun this late.
    pub(crate) fn late(&mut self, us: u64) {
        note(&mut self.late, us);
    }

    /// An error with a name.
    pub(crate) fn error(&mut self, name: String) {
        *self.tick.errors.entry(name).or_default() += 1;
    }

    /// What must never be.
    pub(crate) fn violation(&mut self, kind: &'static str, evidence: impl FnOnce() -> Evidence) {
        *self.tick.violations.entry(kind.to_owned()).or_default() += 1;
        let kept = self.evidence.entry(kind).or_default();
        if *kept < EVIDENCE_MAX {
            *kept += 1;
            let evidence = Evidence {
                kind: kind.to_owned(),
                ..evidence()
            };
            self.tick.evidence.push(evidence);
        }
    }

    /// The second as it is told; counting begins anew.
    pub(crate) fn take(&mut self) -> Tick {
        let mut spreads = BTreeMap::new();
        let mut add = |name: String, histogram: &mut Histogram<u32>| {
            if !histogram.is_empty() {
                let values = histogram.iter_recorded();
                let values =
                    values.map(|it| (it.value_iterated_to(), u64::from(it.count_at_value())));
                spreads.insert(name, values.collect());
                histogram.reset();
            }
        };
        for action in Action::ALL {
            add(
                format!("delivery.{}", action.name()),
                &mut self.delivery[action as usize],
            );
            add(
                format!("ack.{}", action.name()),
                &mut self.ack[action as usize],
            );
        }
        for role in Role::ALL {
            add(
                format!("{}.connect", role.name()),
                &mut self.role_connect[role as usize],
            );
            add(
                format!("{}.ack", role.name()),
                &mut self.role_ack[role as usize],
            );
        }
        add("reconnect".to_owned(), &mut self.reconnect);
        add("screen".to_owned(), &mut self.screen);
        add("agents.late".to_owned(), &mut self.late);
        Tick {
            spreads,
            ..std::mem::take(&mut self.tick)
        }
    }
}
