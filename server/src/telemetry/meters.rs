//! Where it is counted: one [`Meters`] for each thread, summed by [`Telemetry`] when looked at.
//!
//! A handle is an atomic that, as a rule, only its own thread writes: no core waits for another.
//! All of it is safe from any thread; sharing a handle costs speed, never a count.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use hashbrown::HashMap;

use super::catalogue::CATALOGUE;
use super::metric::{Age, Counter, Gauge, Histogram, Kind, LabelSpec, OTHER, Values};

/// Most series of one metric on one thread; further label sets are counted as all-`other`. It
/// bounds the size of an answer to Prometheus (about 100 bytes a series).
pub const SERIES_MAX: usize = 1024;

/// Label values of a series, in the order of the metric's labels.
pub(super) type LabelValues = Box<[Box<str>]>;

/// All meters of the process.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    threads: Arc<Mutex<Vec<Meters>>>,
}

impl Telemetry {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new set of meters, for one thread. They live as long as the process, since what was
    /// counted must stay counted when a thread ends.
    #[must_use]
    pub fn meters(&self) -> Meters {
        let meters = Meters::default();
        locked(&self.threads).push(meters.clone());
        meters
    }

    /// Every metric of the catalogue with its series, summed over all threads.
    pub(super) fn families(&self) -> Vec<Vec<(LabelValues, Reading)>> {
        let threads = locked(&self.threads).clone();
        let mut families = Vec::with_capacity(CATALOGUE.len());
        for metric in 0..CATALOGUE.len() {
            let mut sums: HashMap<LabelValues, Reading> = HashMap::new();
            for meters in &threads {
                meters.read_into(metric, &mut sums);
            }
            let mut series: Vec<_> = sums.into_iter().collect();
            series.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            families.push(series);
        }
        families
    }
}

/// Where one thread counts.
#[derive(Debug, Clone)]
pub struct Meters {
    metrics: Arc<[Mutex<HashMap<LabelValues, Cell>>]>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            metrics: CATALOGUE.iter().map(|_| Mutex::default()).collect(),
        }
    }
}

impl Meters {
    /// The counter with these label values.
    ///
    /// # Panics
    /// In debug builds, when there are not as many values as the catalogue has labels.
    #[must_use]
    pub fn counter(&self, counter: Counter, labels: &[&str]) -> Count {
        match self.cell(counter.0, labels) {
            Cell::Count(count) => count,
            _ => unreachable!("a Counter constant is made from a counter's row"),
        }
    }

    /// The gauge with these label values. See [`Self::counter`].
    #[must_use]
    pub fn gauge(&self, gauge: Gauge, labels: &[&str]) -> Level {
        match self.cell(gauge.0, labels) {
            Cell::Level(level) => level,
            _ => unreachable!("a Gauge constant is made from a gauge's row"),
        }
    }

    /// The age with these label values. See [`Self::counter`].
    #[must_use]
    pub fn age(&self, age: Age, labels: &[&str]) -> Since {
        match self.cell(age.0, labels) {
            Cell::Since(since) => since,
            _ => unreachable!("an Age constant is made from an age's row"),
        }
    }

    /// The histogram with these label values. See [`Self::counter`].
    #[must_use]
    pub fn histogram(&self, histogram: Histogram, labels: &[&str]) -> Spread {
        match self.cell(histogram.0, labels) {
            Cell::Spread(spread) => spread,
            _ => unreachable!("a Histogram constant is made from a histogram's row"),
        }
    }

    /// Counts one thing that happens seldom; find a handle for what happens often.
    pub fn count(&self, counter: Counter, labels: &[&str]) {
        self.counter(counter, labels).add(1);
    }

    fn cell(&self, metric: usize, labels: &[&str]) -> Cell {
        let spec = &CATALOGUE[metric];
        debug_assert_eq!(labels.len(), spec.labels.len(), "labels of {}", spec.name);
        let mut series = locked(&self.metrics[metric]);
        let mut values: LabelValues = spec
            .labels
            .iter()
            .enumerate()
            .map(|(nth, label)| {
                let value = labels.get(nth).copied().unwrap_or_default();
                Box::from(admitted(label, nth, value, &series))
            })
            .collect();
        if series.len() >= SERIES_MAX && !series.contains_key(&values) {
            values.fill(Box::from(OTHER));
        }
        series
            .entry(values)
            .or_insert_with(|| Cell::new(spec.kind))
            .clone()
    }

    fn read_into(&self, metric: usize, sums: &mut HashMap<LabelValues, Reading>) {
        for (labels, cell) in locked(&self.metrics[metric]).iter() {
            match sums.get_mut(labels) {
                Some(sum) => sum.add(&cell.read()),
                None => {
                    sums.insert(labels.clone(), cell.read());
                }
            }
        }
    }
}

/// The value as counted: itself when it belongs to its label's set, else `other`.
fn admitted<'v>(
    label: &LabelSpec,
    nth: usize,
    value: &'v str,
    series: &HashMap<LabelValues, Cell>,
) -> &'v str {
    let belongs = match label.values {
        Values::OneOf(set) => set.contains(&value),
        Values::AtMost(limit) => {
            let mut seen: Vec<&str> = series.keys().map(|values| &*values[nth]).collect();
            seen.sort_unstable();
            seen.dedup();
            seen.contains(&value) || seen.len() < limit
        }
    };
    if belongs { value } else { OTHER }
}

/// A lock whose holder panicked still guards good counts.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A counter's handle.
#[derive(Debug, Clone, Default)]
pub struct Count(Arc<AtomicU64>);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// What it stands at.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A gauge's handle.
#[derive(Debug, Clone, Default)]
pub struct Level(Arc<AtomicI64>);

impl Level {
    /// Raises (or, with a negative `n`, lowers) it.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Sets it.
    pub fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// What it stands at.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An age's handle: since when it is, in milliseconds since 1970; 0 is an age of 0.
#[derive(Debug, Clone, Default)]
pub struct Since(Arc<AtomicU64>);

impl Since {
    /// Sets since when it is; `None` when there is nothing that could grow old.
    pub fn set(&self, ms: Option<u64>) {
        self.0.store(ms.unwrap_or(0), Ordering::Relaxed);
    }

    /// Since when it is.
    #[must_use]
    pub fn value(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    fn seconds(&self) -> f64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        match (self.value(), now) {
            (Some(since), Ok(now)) => now
                .saturating_sub(std::time::Duration::from_millis(since))
                .as_secs_f64(),
            _ => 0.0,
        }
    }
}

/// A histogram's handle.
#[derive(Debug, Clone)]
pub struct Spread(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    /// One a bound and one for what is above the last.
    counts: Box<[AtomicU64]>,
    /// The bits of an f64.
    sum: AtomicU64,
}

impl Spread {
    fn new(bounds: &'static [f64]) -> Self {
        Self(Arc::new(Buckets {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0.0_f64.to_bits()),
        }))
    }

    /// Counts one observation, in the metric's unit.
    pub fn observe(&self, value: f64) {
        let bucket = self.0.bounds.partition_point(|&bound| bound < value);
        self.0.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // Succeeds in the end: the closure never declines.
        let _ = self
            .0
            .sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Counts one duration.
    pub fn observe_duration(&self, duration: std::time::Duration) {
        self.observe(duration.as_secs_f64());
    }
}

#[derive(Debug, Clone)]
enum Cell {
    Count(Count),
    Level(Level),
    Since(Since),
    Spread(Spread),
}

impl Cell {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Count(Count::default()),
            Kind::Gauge => Self::Level(Level::default()),
            Kind::Age => Self::Since(Since::default()),
            Kind::Histogram(bounds) => Self::Spread(Spread::new(bounds)),
        }
    }

    fn read(&self) -> Reading {
        match self {
            Self::Count(count) => Reading::Count(count.value()),
            Self::Level(level) => Reading::Level(level.value()),
            Self::Since(since) => Reading::Age(since.seconds()),
            Self::Spread(spread) => Reading::Spread {
                counts: spread
                    .0
                    .counts
                    .iter()
                    .map(|count| count.load(Ordering::Relaxed))
                    .collect(),
                sum: f64::from_bits(spread.0.sum.load(Ordering::Relaxed)),
            },
        }
    }
}

/// What a series stood at when it was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading {
    Count(u64),
    Level(i64),
    Age(f64),
    Spread { counts: Vec<u64>, sum: f64 },
}

impl Reading {
    fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Count(mine), Self::Count(theirs)) => *mine += theirs,
            (Self::Level(mine), Self::Level(theirs)) => *mine += theirs,
            (Self::Age(mine), Self::Age(theirs)) => *mine = mine.max(*theirs),
            (
                Self::Spread { counts, sum },
                Self::Spread {
                    counts: other_counts,
                    sum: other_sum,
                },
            ) => {
                for (mine, theirs) in counts.iter_mut().zip(other_counts) {
                    *mine += theirs;
                }
                *sum += other_sum;
            }
            _ => unreachable!("all series of a metric are of its kind"),
        }
    }
}
