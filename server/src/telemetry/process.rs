//! The process's own figures under the names that every exporter gives them, CPU in hundredths of a second.

use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily};

/// The families `process_*`.
pub(super) fn families() -> Vec<MetricFamily> {
    let mut families = ProcessCollector::for_self().collect();
    // The collector tells whole seconds, in which a curve of a second each shows nothing but noise.
    let cpu = families
        .iter_mut()
        .find(|family| family.name() == "process_cpu_seconds_total");
    if let (Some(family), Some(seconds)) = (cpu, cpu_seconds()) {
        for metric in family.mut_metric() {
            let mut counter = Counter::default();
            counter.set_value(seconds);
            metric.set_counter(counter);
        }
    }
    families
}

/// CPU that this process used so far; `None` where there is no `/proc`.
fn cpu_seconds() -> Option<f64> {
    let stat = procfs::process::Process::myself().ok()?.stat().ok()?;
    // Ticks of a process's life, far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
    Some(seconds)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_used_shows_before_a_second_is_full() {
        let before = super::cpu_seconds().expect("there is /proc here");
        let mut sum = 0u64;
        while super::cpu_seconds().expect("there is /proc here") <= before {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
        let told = super::families();
        let cpu = told
            .iter()
            .find(|family| family.name() == "process_cpu_seconds_total")
            .expect("told");
        assert!(cpu.get_metric()[0].get_counter().get_value() > before);
    }
}
