//! The Prometheus text form of what was counted, with the process's own figures (`process_*`).

use prometheus::proto::{self, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::catalogue::CATALOGUE;
use super::meters::{LabelValues, Reading, Telemetry};
use super::metric::{Kind, MetricSpec};

/// Media type of [`Telemetry::exposition`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

impl Telemetry {
    /// Everything counted so far, as Prometheus reads it. A metric without labels is there from
    /// the start, with 0; one with labels when its first series is.
    #[must_use]
    pub fn exposition(&self) -> String {
        let mut families: Vec<MetricFamily> = CATALOGUE
            .iter()
            .zip(self.families())
            .filter_map(|(spec, series)| family(spec, series))
            .collect();
        families.extend(super::process::families());
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            // Writing to memory cannot fail; a family without a series could, and none is made.
            tracing::error!(%error, "metrics could not be encoded");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn family(spec: &MetricSpec, mut series: Vec<(LabelValues, Reading)>) -> Option<MetricFamily> {
    if series.is_empty() {
        if !spec.labels.is_empty() {
            return None;
        }
        series.push((LabelValues::default(), zero(spec.kind)));
    }
    let mut family = MetricFamily::default();
    family.set_name(spec.name.to_owned());
    family.set_help(spec.help.to_owned());
    family.set_field_type(match spec.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge | Kind::Age => MetricType::GAUGE,
        Kind::Histogram(_) => MetricType::HISTOGRAM,
    });
    let metrics = series
        .into_iter()
        .map(|(labels, reading)| metric(spec, &labels, &reading))
        .collect();
    family.set_metric(metrics);
    Some(family)
}

fn zero(kind: Kind) -> Reading {
    match kind {
        Kind::Counter => Reading::Count(0),
        Kind::Gauge => Reading::Level(0),
        Kind::Age => Reading::Age(0.0),
        Kind::Histogram(bounds) => Reading::Spread {
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
        },
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus counts in f64 too: exact up to 2^53"
)]
fn metric(spec: &MetricSpec, labels: &LabelValues, reading: &Reading) -> proto::Metric {
    let mut metric = proto::Metric::default();
    metric.set_label(
        spec.labels
            .iter()
            .zip(labels)
            .map(|(label, value)| {
                let mut pair = proto::LabelPair::default();
                pair.set_name(label.name.to_owned());
                pair.set_value(value.to_string());
                pair
            })
            .collect(),
    );
    match (reading, spec.kind) {
        (Reading::Count(value), _) => {
            let mut counter = proto::Counter::default();
            counter.set_value(*value as f64);
            metric.set_counter(counter);
        }
        (Reading::Level(value), _) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*value as f64);
            metric.set_gauge(gauge);
        }
        (Reading::Age(seconds), _) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*seconds);
            metric.set_gauge(gauge);
        }
        (Reading::Spread { counts, sum }, Kind::Histogram(bounds)) => {
            metric.set_histogram(histogram(bounds, counts, *sum));
        }
        (Reading::Spread { .. }, _) => unreachable!("only a histogram has buckets"),
    }
    metric
}

fn histogram(bounds: &[f64], counts: &[u64], sum: f64) -> proto::Histogram {
    let mut cumulative = 0;
    let mut buckets = Vec::with_capacity(bounds.len());
    for (bound, count) in bounds.iter().zip(counts) {
        cumulative += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(cumulative);
        buckets.push(bucket);
    }
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(sum);
    histogram
}
