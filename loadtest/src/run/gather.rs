//! Puts together what the agents tell, second by second.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::sampler::Sample;
use crate::control::{Findings, Tick};
use crate::outcome::{Evidence, Point, ServerPoint, Spread};
use crate::town::Role;

/// Longest latency told apart, in microseconds: ten minutes.
const LATENCY_MAX_US: u64 = 600_000_000;

/// Evidence kept in the result.
const EVIDENCE_MAX: usize = 200;

/// One second of all agents.
#[derive(Default)]
pub(super) struct Second {
    pub(super) planned: [u64; 4],
    pub(super) online: [u64; 4],
    pub(super) connects: [u64; 4],
    pub(super) waits: [u64; 4],
    pub(super) due: u64,
    pub(super) acked: u64,
    pub(super) deliveries: u64,
    pub(super) errors: u64,
    pub(super) violations: u64,
    pub(super) agents_us: u64,
    pub(super) agents_cores_max: f64,
    pub(super) told_by: usize,
    pub(super) delivery: Option<Histogram<u64>>,
    pub(super) ack: Option<Histogram<u64>>,
    pub(super) connect: Option<Histogram<u64>>,
    pub(super) late: Option<Histogram<u64>>,
    pub(super) server: Option<ServerPoint>,
    pub(super) machine_busy: Option<f64>,
}

/// Everything told so far.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) seconds: BTreeMap<u64, Second>,
    pub(super) totals: BTreeMap<String, Histogram<u64>>,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) violations: BTreeMap<String, u64>,
    pub(super) evidence: Vec<Evidence>,
    pub(super) waits: [u64; 4],
    pub(super) deliveries: u64,
    pub(super) acked: u64,
    pub(super) connects: u64,
    pub(super) due: u64,
    pub(super) skipped: u64,
    pub(super) server_version: String,
    /// What the server told last.
    pub(super) server: Option<ServerPoint>,
    /// Memory of each agent: at its first word, and the most since.
    pub(super) resident_bytes: BTreeMap<usize, (u64, u64)>,
    cpu_us: BTreeMap<usize, u64>,
}

pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_MAX_US, 3).unwrap_or_else(|_| unreachable!("constant bounds"))
}

impl Gathered {
    /// Takes a second of one agent.
    pub(super) fn tick(&mut self, agent: usize, tick: Tick) {
        let at = tick.at_us / 1_000_000;
        let second = self.seconds.entry(at).or_default();
        for role in 0..Role::ALL.len() {
            second.planned[role] += tick.planned[role];
            second.online[role] += tick.online[role];
            second.connects[role] += tick.connects[role];
            second.waits[role] += tick.waits[role];
            self.waits[role] += tick.waits[role];
            self.connects += tick.connects[role];
        }
        second.due += tick.due;
        second.acked += tick.acked;
        second.deliveries += tick.deliveries;
        self.due += tick.due;
        self.skipped += tick.skipped;
        self.acked += tick.acked;
        self.deliveries += tick.deliveries;
        let used_us = tick.cpu_us.saturating_sub(
            self.cpu_us
                .insert(agent, tick.cpu_us)
                .unwrap_or(tick.cpu_us),
        );
        second.agents_us += used_us;
        second.agents_cores_max = second.agents_cores_max.max(used_us as f64 / 1e6);
        second.told_by += 1;
        let memory = self
            .resident_bytes
            .entry(agent)
            .or_insert((tick.resident_bytes, 0));
        memory.1 = memory.1.max(tick.resident_bytes);
        if self.server_version.is_empty() {
            self.server_version = tick.server;
        }
        for (name, count) in tick.errors {
            second.errors += count;
            *self.errors.entry(name).or_default() += count;
        }
        for (kind, count) in tick.violations {
            second.violations += count;
            *self.violations.entry(kind).or_default() += count;
        }
        self.evidence.extend(tick.evidence);
        self.evidence.truncate(EVIDENCE_MAX);
        for (name, values) in tick.spreads {
            let of_second = match name.as_str() {
                name if name.starts_with("delivery.") => Some(&mut second.delivery),
                name if name.starts_with("ack.") => Some(&mut second.ack),
                name if name == "reconnect" || name.ends_with(".connect") => {
                    Some(&mut second.connect)
                }
                "agents.late" => Some(&mut second.late),
                _ => None,
            };
            if let Some(of_second) = of_second {
                add(of_second.get_or_insert_with(histogram), &values);
            }
            add(self.totals.entry(name).or_insert_with(histogram), &values);
        }
    }

    /// Takes what an agent found at the end.
    pub(super) fn found(&mut self, findings: Findings) {
        for (kind, count) in findings.violations {
            *self.violations.entry(kind).or_default() += count;
        }
        self.evidence.extend(findings.evidence);
        self.evidence.truncate(EVIDENCE_MAX);
    }

    pub(super) fn sample(&mut self, second: u64, sample: Sample, busy: Option<f64>) {
        self.server = Some(sample.point);
        let second = self.seconds.entry(second).or_default();
        second.server = Some(sample.point);
        second.machine_busy = busy;
    }

    /// The latest second that all agents have told of.
    pub(super) fn latest(&self, agents: usize) -> Option<(u64, &Second)> {
        let told = self
            .seconds
            .iter()
            .rev()
            .find(|(_, second)| second.told_by >= agents);
        told.map(|(at, second)| (*at, second))
    }

    pub(super) fn violations_total(&self) -> u64 {
        self.violations.values().sum()
    }

    /// All latencies whose name passes, as one.
    pub(super) fn joined(&self, which: impl Fn(&str) -> bool) -> Histogram<u64> {
        let mut all = histogram();
        for (_, some) in self.totals.iter().filter(|(name, _)| which(name)) {
            let _ = all.add(some); // The same bounds: it cannot fail.
        }
        all
    }

    /// The curve.
    pub(super) fn curve(&self) -> Vec<Point> {
        let told = self.seconds.iter().filter(|(_, second)| second.told_by > 0);
        told.map(|(at, second)| second.point(*at)).collect()
    }
}

impl Second {
    pub(super) fn point(&self, at: u64) -> Point {
        let of =
            |histogram: &Option<Histogram<u64>>| histogram.as_ref().map(spread).unwrap_or_default();
        Point {
            at_s: at as f64,
            planned: self.planned.iter().sum(),
            online: self.online.iter().sum(),
            online_staff: self.online[Role::Staff as usize],
            connects: self.connects.iter().sum(),
            told_to_wait: self.waits.iter().sum(),
            due: self.due,
            acked: self.acked,
            deliveries: self.deliveries,
            errors: self.errors,
            violations: self.violations,
            delivery: of(&self.delivery),
            ack: of(&self.ack),
            connect: of(&self.connect),
            agents_cores: self.agents_us as f64 / 1e6,
            agents_late_p99_ms: of(&self.late).p99_ms,
            server: self.server,
            machine_busy: self.machine_busy,
        }
    }
}

fn add(histogram: &mut Histogram<u64>, values: &[(u64, u64)]) {
    for (value, count) in values {
        histogram.saturating_record_n(*value, *count);
    }
}

/// The percentiles of a histogram of microseconds.
pub(super) fn spread(histogram: &Histogram<u64>) -> Spread {
    if histogram.is_empty() {
        return Spread::default();
    }
    let at = |percentile: f64| histogram.value_at_percentile(percentile) as f64 / 1e3;
    Spread {
        count: histogram.len(),
        p50_ms: at(50.0),
        p90_ms: at(90.0),
        p95_ms: at(95.0),
        p99_ms: at(99.0),
        p999_ms: at(99.9),
        max_ms: histogram.max() as f64 / 1e3,
    }
}
