//! What a metric is: the types of a row of the catalogue. Knows neither storage nor encoding.

/// The label value counted for everything outside a label's set.
pub const OTHER: &str = "other";

/// One row of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct MetricSpec {
    /// Full name as exposed.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What its number measures.
    pub unit: Unit,
    /// Its labels, in the order their values are given.
    pub labels: &'static [LabelSpec],
    /// One sentence for whoever reads it on a dashboard.
    pub help: &'static str,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down; summed over threads.
    Gauge,
    /// A gauge of how long ago something was, reckoned when it is read; of several threads the
    /// oldest counts.
    Age,
    /// Observations counted in buckets with these upper bounds (ascending).
    Histogram(&'static [f64]),
}

/// What a metric's number measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things: connections, commits, frames.
    Things,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// A label and the values it may take.
#[derive(Debug, Clone, Copy)]
pub struct LabelSpec {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// The set a label's values come from. Bounded, because each value is a time series that a
/// Prometheus keeps for weeks, and some values come from clients.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// Exactly these; the empty string too where listed.
    OneOf(&'static [&'static str]),
    /// Named by configuration or code, at most so many different ones.
    AtMost(usize),
}

/// Names a counter of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Counter(pub(super) usize);

/// Names a gauge of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gauge(pub(super) usize);

/// Names an age of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Age(pub(super) usize);

/// Names a histogram of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Histogram(pub(super) usize);
