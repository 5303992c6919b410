//! Puts together what the agents tell, second by second.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::sampler::Sample;
use crate::control::{Findings, Tick};
use crate::outcome::{EVIDENCE_MAX, Evidence, LATENCY_MAX_US, Point, ServerPoint, Spread};
use crate::town::Role;

/// Seconds after which no agent tells of a second any more.
const SETTLED_S: u64 = 10;

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
    pub(super) settled: Option<[Spread; 4]>,
    pub(super) servers: BTreeMap<usize, ServerPoint>,
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
    /// The play is over; what comes now is the roll call, in which only promises count.
    pub(super) is_over: bool,
    pub(super) waits: [u64; 4],
    pub(super) deliveries: u64,
    pub(super) acked: u64,
    pub(super) connects: u64,
    pub(super) due: u64,
    pub(super) skipped: u64,
    pub(super) server_version: String,
    /// What the servers told last, together.
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
        second.take(agent, &tick, &mut self.cpu_us);
        for (kind, count) in &tick.violations {
            *self.violations.entry(kind.clone()).or_default() += count;
        }
        self.deliveries += tick.deliveries;
        let memory = self.resident_bytes.entry(agent);
        let memory = memory.or_insert((tick.resident_bytes, 0));
        memory.1 = memory.1.max(tick.resident_bytes);
        if !self.is_over {
            for (waits, some) in self.waits.iter_mut().zip(tick.waits) {
                *waits += some;
            }
            self.connects += tick.connects.iter().sum::<u64>();
            self.due += tick.due;
            self.skipped += tick.skipped;
            self.acked += tick.acked;
            if self.server_version.is_empty() {
                self.server_version = tick.server;
            }
            for (name, count) in tick.errors {
                *self.errors.entry(name).or_default() += count;
            }
            for (name, values) in tick.spreads {
                if let Some(of_second) = second.histogram_of(&name) {
                    add(of_second, &values);
                }
                add(self.totals.entry(name).or_insert_with(histogram), &values);
            }
        }
        let old = at.checked_sub(SETTLED_S);
        if let Some(second) = old.and_then(|old| self.seconds.get_mut(&old)) {
            second.settle();
        }
        self.keep(tick.evidence);
    }

    /// Takes what an agent found at the end.
    pub(super) fn found(&mut self, findings: Findings) {
        for (kind, count) in findings.violations {
            *self.violations.entry(kind).or_default() += count;
        }
        self.keep(findings.evidence);
    }

    /// Keeps the first of each kind.
    fn keep(&mut self, evidence: Vec<Evidence>) {
        for one in evidence {
            let known = self.evidence.iter().filter(|it| it.kind == one.kind);
            if known.count() < EVIDENCE_MAX {
                self.evidence.push(one);
            }
        }
    }

    /// Takes what one server told of a second; of several, their sum stands for that second.
    pub(super) fn sample(&mut self, second: u64, sample: Sample, busy: Option<f64>) {
        let second = self.seconds.entry(second).or_default();
        second.servers.insert(sample.server, sample.point);
        let told = second.servers.values();
        let sum = told.fold(ServerPoint::default(), |sum, one| ServerPoint {
            cores: sum.cores + one.cores,
            resident_bytes: sum.resident_bytes + one.resident_bytes,
            connections: sum.connections + one.connections,
        });
        second.server = Some(sum);
        self.server = Some(sum);
        if busy.is_some() {
            second.machine_busy = busy;
        }
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
    fn take(&mut self, agent: usize, tick: &Tick, cpu_us: &mut BTreeMap<usize, u64>) {
        for role in 0..Role::ALL.len() {
            self.planned[role] += tick.planned[role];
            self.online[role] += tick.online[role];
            self.connects[role] += tick.connects[role];
            self.waits[role] += tick.waits[role];
        }
        self.due += tick.due;
        self.acked += tick.acked;
        self.deliveries += tick.deliveries;
        self.errors += tick.errors.values().sum::<u64>();
        self.violations += tick.violations.values().sum::<u64>();
        let before_us = cpu_us.insert(agent, tick.cpu_us).unwrap_or(tick.cpu_us);
        let used_us = tick.cpu_us.saturating_sub(before_us);
        self.agents_us += used_us;
        self.agents_cores_max = self.agents_cores_max.max(used_us as f64 / 1e6);
        self.told_by += 1;
    }

    /// Where latencies of this name are drawn second by second.
    fn histogram_of(&mut self, name: &str) -> Option<&mut Histogram<u64>> {
        let of_second = match name {
            name if name.starts_with("delivery.") => &mut self.delivery,
            name if name.starts_with("ack.") => &mut self.ack,
            name if name == "reconnect" || name.ends_with(".connect") => &mut self.connect,
            "agents.late" => &mut self.late,
            _ => return None,
        };
        Some(of_second.get_or_insert_with(histogram))
    }

    /// Keeps only the percentiles: the histograms of hours would fill the memory.
    fn settle(&mut self) {
        self.settled = Some(self.spreads());
        (self.delivery, self.ack, self.connect, self.late) = (None, None, None, None);
    }

    /// Of deliveries, acknowledgements, connects, and how late the agents were.
    fn spreads(&self) -> [Spread; 4] {
        let of = |one: &Option<Histogram<u64>>| one.as_ref().map(spread).unwrap_or_default();
        let now = || [&self.delivery, &self.ack, &self.connect, &self.late].map(of);
        self.settled.unwrap_or_else(now)
    }

    pub(super) fn point(&self, at: u64) -> Point {
        let [delivery, ack, connect, late] = self.spreads();
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
            delivery,
            ack,
            connect,
            agents_cores: self.agents_us as f64 / 1e6,
            agents_late_p99_ms: late.p99_ms,
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
