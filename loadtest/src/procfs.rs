//! What the kernel tells about processes and the machine, read from `/proc`. Where there is none, nothing is told.

use std::fs::read_to_string;
use std::time::{SystemTime, UNIX_EPOCH};

/// Clock ticks a second in `/proc`: `USER_HZ`, which Linux fixes at 100 for user space.
const TICKS: u64 = 100;

/// CPU this process used so far, in microseconds.
#[must_use]
pub(crate) fn cpu_us() -> u64 {
    let stat = read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15; the name in field 2 may hold spaces, so counting begins behind its bracket.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|it| it.parse::<u64>().ok())
        .sum();
    ticks * (1_000_000 / TICKS)
}

/// Memory of this process that is resident, in bytes.
#[must_use]
pub(crate) fn resident_bytes() -> u64 {
    status_kib("/proc/self/status", "VmRSS:") * 1024
}

/// The machine's memory, in bytes.
#[must_use]
pub(crate) fn memory_bytes() -> u64 {
    status_kib("/proc/meminfo", "MemTotal:") * 1024
}

fn status_kib(path: &str, name: &str) -> u64 {
    let text = read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|it| it.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Descriptors this process may have open.
#[must_use]
pub(crate) fn descriptors_max() -> u64 {
    let text = read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|it| it.split_whitespace().next());
    // "unlimited" is no number; then the kernel's own bound is far away.
    soft.map_or(1024, |it| it.parse().unwrap_or(1 << 20))
}

/// How busy the machine was: (ticks in use, all ticks) since it started.
#[must_use]
pub(crate) fn machine_ticks() -> Option<(u64, u64)> {
    let text = read_to_string("/proc/stat").ok()?;
    let numbers: Vec<u64> = text
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .filter_map(|it| it.parse().ok())
        .collect();
    let all: u64 = numbers.iter().take(8).sum();
    let idle: u64 = numbers.iter().skip(3).take(2).sum();
    Some((all - idle, all))
}

/// The machine's clock, in microseconds since 1970.
#[must_use]
pub(crate) fn unix_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_tells() {
        assert!(super::resident_bytes() > 0);
        assert!(super::memory_bytes() > super::resident_bytes());
        assert!(super::descriptors_max() > 100);
        let (used, all) = super::machine_ticks().expect("there is /proc here");
        assert!(used <= all);
    }
}
