//! How much memory this process may have: the lesser of the machine's and its control group's limit.

use std::fs;
use std::path::{Path, PathBuf};

/// Where Linux shows control groups.
const GROUPS: &str = "/sys/fs/cgroup";

/// The limit in bytes; `None` where the system tells neither.
#[must_use]
pub fn memory_limit_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(of_machine);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = limit_files(&groups).into_iter().filter_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        // "max", in version 2, is no limit.
        text.trim().parse::<u64>().ok()
    });
    machine.into_iter().chain(group).min()
}

/// `MemTotal:       24576000 kB` among the lines.
fn of_machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|it| it.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The files that may hold a limit: of the process's own group and of all above it, in both versions of control groups.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => (PathBuf::from(GROUPS), "memory.max"),
            _ if controllers.split(',').any(|it| it == "memory") => {
                (Path::new(GROUPS).join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let own = root.join(path.trim_start_matches('/'));
        let above = own.ancestors().take_while(|it| it.starts_with(&root));
        files.extend(above.map(|group| group.join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_its_memory() {
        let text = "MemFree: 1 kB\nMemTotal:       24576000 kB\n";
        assert_eq!(of_machine(text), Some(24_576_000 * 1024));
        assert_eq!(of_machine("nothing"), None);
    }

    #[test]
    fn limits_are_looked_for_in_the_own_group_and_all_above() {
        let both = "4:memory:/a/b\n2:cpuset:/c\n0::/d\n";
        let files: Vec<_> = limit_files(both)
            .into_iter()
            .map(|file| file.display().to_string())
            .collect();
        assert_eq!(
            files,
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/d/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
    }

    #[test]
    fn this_machine_has_a_limit() {
        let limit = memory_limit_bytes().expect("Linux tells");
        assert!(limit > 64 * 1024 * 1024, "{limit}");
    }
}
