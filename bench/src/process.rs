//! What a process has used, as the kernel tells it.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// The kernel's clock ticks a second in `/proc/PID/stat`; fixed at 100 on every Linux of today.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time a process has used since it started, in user and system mode together, by all its threads: also those
/// that have ended, which is why the finer count in each thread's `schedstat` is of no use here.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server has died")?;
    let fields = line.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|f| f.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Memory a process has resident, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the server has died")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("no VmRSS line")?;
    let kilobytes = line.split_whitespace().nth(1).context("no VmRSS figure")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}
