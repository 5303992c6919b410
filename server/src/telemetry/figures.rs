//! What was counted as a few plain numbers, for the server API's `info`.

use std::collections::BTreeMap;

use super::catalogue::CATALOGUE;
use super::meters::{Reading, Telemetry};

/// What the process uses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessFigures {
    /// Processor seconds since its start.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
}

impl ProcessFigures {
    /// Of this process, now.
    #[must_use]
    pub fn now() -> Self {
        let mut figures = Self::default();
        for family in super::process::families() {
            let Some(metric) = family.get_metric().first() else {
                continue;
            };
            match family.name() {
                "process_cpu_seconds_total" => {
                    figures.cpu_seconds = metric.get_counter().get_value();
                }
                "process_resident_memory_bytes" => {
                    // Whole bytes below 2^53, as the kernel counts them.
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                    let bytes = metric.get_gauge().get_value() as u64;
                    figures.resident_bytes = bytes;
                }
                _ => {}
            }
        }
        figures
    }
}

impl Telemetry {
    /// Every counter and gauge that was used, summed over its labels.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<&'static str, f64> {
        let mut totals = BTreeMap::new();
        for (spec, series) in CATALOGUE.iter().zip(self.families()) {
            let values = series.iter().filter_map(|(_, reading)| match reading {
                // Beyond 2^53 a figure for people may be off by one.
                #[allow(clippy::cast_precision_loss)]
                Reading::Count(count) => Some(*count as f64),
                #[allow(clippy::cast_precision_loss)]
                Reading::Level(level) => Some(*level as f64),
                Reading::Age(seconds) => Some(*seconds),
                Reading::Spread { .. } => None,
            });
            let values: Vec<f64> = values.collect();
            if !values.is_empty() {
                totals.insert(spec.name, values.iter().sum());
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::catalogue;

    #[test]
    fn totals_sum_over_threads_and_labels() {
        let telemetry = Telemetry::new();
        let (one, other) = (telemetry.meters(), telemetry.meters());
        one.count(catalogue::HTTP_REFUSED, &["unauthorised"]);
        other.count(catalogue::HTTP_REFUSED, &["unauthorised"]);
        let totals = telemetry.totals();
        assert_eq!(
            totals.get(CATALOGUE[catalogue::HTTP_REFUSED.0].name),
            Some(&2.0)
        );
        let process = ProcessFigures::now();
        assert!(process.resident_bytes > 1024 * 1024, "{process:?}");
    }
}
