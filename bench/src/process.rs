//! What a process has used, as the kernel tells it.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// The kernel's clock ticks a second in `/proc/PID/stat`; fixed at 100 on every Linux of today.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time a process has used since it started, in user and system mode together.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    // schedstat counts in nanoseconds but only for one thread each, so all threads are added up.
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).context("the server has died")? {
        let line = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let nanoseconds = line
            .split(' ')
            .next()
            .and_then(|field| field.parse::<u64>().ok());
        total += nanoseconds.unwrap_or(0);
    }
    if total > 0 {
        Ok(Duration::from_nanos(total))
    } else {
        cpu_by_ticks(pid)
    }
}

/// The coarser count, for kernels without scheduler statistics.
fn cpu_by_ticks(pid: u32) -> Result<Duration> {
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
