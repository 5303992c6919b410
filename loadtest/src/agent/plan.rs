//! Who is online when, and when something is due: worked out from the scenario alone, so that a slow server slows nothing down.
//!
//! Everybody has a fixed place in their role between 0 and 1, by the seed; they are online while the part of their role that should be
//! reaches past it. So the same people come first and leave last, on any number of agents.

use crate::chance::Chance;
use crate::scenario::{Action, Attack, Scenario, Shape};
use crate::town::Role;

/// A stage in microseconds of the run.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// Beginning.
    pub(crate) from_us: u64,
    /// End.
    pub(crate) to_us: u64,
    /// Part of each role online at the beginning.
    pub(crate) before: [f64; 4],
    /// And at the end.
    pub(crate) after: [f64; 4],
    shape: Shape,
    /// Its place in the scenario.
    pub(crate) stage: usize,
}

/// The scenario in time.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Its stages.
    pub(crate) spans: Vec<Span>,
}

impl Plan {
    /// Lays a scenario out, `speed` times faster than written.
    #[must_use]
    pub(crate) fn new(scenario: &Scenario, speed: f64) -> Self {
        let mut spans = Vec::with_capacity(scenario.stages.len());
        let (mut at, mut before) = (0.0, [0.0; 4]);
        for (stage, written) in scenario.stages.iter().enumerate() {
            let lasts = written.lasts.as_secs_f64() * 1e6 / speed;
            let mut after = before;
            for (role, part) in Role::ALL.into_iter().zip(&mut after) {
                *part = written
                    .online
                    .and_then(|online| online.of(role))
                    .unwrap_or(*part);
            }
            spans.push(Span {
                from_us: micros(at),
                to_us: micros(at + lasts),
                before,
                after,
                shape: written.shape,
                stage,
            });
            at += lasts;
            before = after;
        }
        Self { spans }
    }

    /// When it ends.
    #[must_use]
    pub(crate) fn ends_us(&self) -> u64 {
        self.spans.last().map_or(0, |span| span.to_us)
    }

    /// The stage at a moment; the last one after the end.
    #[must_use]
    pub(crate) fn at(&self, now_us: u64) -> Option<&Span> {
        self.spans
            .iter()
            .find(|span| now_us < span.to_us)
            .or(self.spans.last())
    }

    /// When somebody at `place` of a role comes and goes: (when, whether online from then on).
    #[must_use]
    pub(crate) fn turns(&self, role: Role, place: f64) -> Vec<(u64, bool)> {
        let role = role as usize;
        let mut turns = Vec::new();
        for span in &self.spans {
            let (before, after) = (span.before[role], span.after[role]);
            let was = place < before;
            let is = place < after;
            if was != is {
                let reached = (place - before) / (after - before);
                let length = (span.to_us - span.from_us) as f64;
                let at = span.from_us as f64 + length * span.shape.when(reached);
                turns.push((micros(at), is));
            }
        }
        turns
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of a run are far below 2^53 microseconds"
)]
fn micros(value: f64) -> u64 {
    value.max(0.0) as u64
}

impl Shape {
    /// The part of the time that has passed when `reached` of those who move have moved.
    fn when(self, reached: f64) -> f64 {
        match self {
            Self::Even => reached,
            // The inverse of 1 - (1 - t)^3: half have moved after a fifth of the time.
            Self::Rush => 1.0 - (1.0 - reached).cbrt(),
        }
    }
}

/// Time until the next of things that happen `rate` times a second, independently of each other.
pub(crate) fn gap_us(chance: &mut Chance, rate: f64) -> u64 {
    micros(-(1.0 - chance.part()).ln() / rate * 1e6)
}

/// What happens again and again at a rate that changes with the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Somebody does something.
    Act(Action),
    /// Somebody loses their network.
    Drop,
    /// Somebody hostile comes.
    Attack(Attack),
}

/// A source's next moment. Between stages the rate changes: what would have come after the stage's end is drawn anew there,
/// which for independent arrivals changes nothing else.
#[must_use]
pub(crate) fn next(
    plan: &Plan,
    chance: &mut Chance,
    now_us: u64,
    rate_at: impl Fn(&Span) -> f64,
) -> Option<u64> {
    let mut from = now_us;
    for span in plan.spans.iter().filter(|span| span.to_us > now_us) {
        from = from.max(span.from_us);
        let rate = rate_at(span);
        if rate > 0.0 {
            let at = from + gap_us(chance, rate);
            if at < span.to_us {
                return Some(at);
            }
        }
        from = span.to_us;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn plan(speed: f64) -> Plan {
        let text = r#"
            title = "t"
            about = "a"
            [[stage]]
            name = "come"
            lasts = "100s"
            online = 1.0
            [[stage]]
            name = "stay"
            lasts = "100s"
            rates = { message = 10.0 }
            [[stage]]
            name = "half leave at once"
            lasts = "100s"
            online = 0.5
            shape = "rush"
        "#;
        Plan::new(
            &Scenario::parse(Path::new("t"), text).expect("sound"),
            speed,
        )
    }

    #[test]
    fn people_come_in_order_of_their_place_and_the_last_leave_first() {
        let plan = plan(1.0);
        assert_eq!(plan.turns(Role::Pupil, 0.25), [(25_000_000, true)]);
        let turns = plan.turns(Role::Pupil, 0.75);
        assert_eq!(turns[0], (75_000_000, true));
        let (left, online) = turns[1];
        assert!(
            !online && (200_000_000..225_000_000).contains(&left),
            "half within the first fifth: {left}"
        );
        assert_eq!(
            super::Plan::new(&scenario_of_nobody(), 1.0).turns(Role::Staff, 0.0),
            []
        );
    }

    fn scenario_of_nobody() -> Scenario {
        let text = "title = \"t\"\nabout = \"a\"\n[[stage]]\nname = \"s\"\nlasts = \"1s\"\n";
        Scenario::parse(Path::new("t"), text).expect("sound")
    }

    #[test]
    fn arrivals_keep_their_rate_and_their_stage() {
        let plan = plan(2.0);
        let mut chance = Chance::named(7, "arrivals");
        let (mut now, mut count) = (0, 0);
        while let Some(at) = next(&plan, &mut chance, now, |span| {
            if span.stage == 1 { 20.0 } else { 0.0 }
        }) {
            assert!((50_000_000..100_000_000).contains(&at), "{at}");
            (now, count) = (at, count + 1);
        }
        assert!(
            (850..1150).contains(&count),
            "20 a second for 50 seconds: {count}"
        );
    }
}
