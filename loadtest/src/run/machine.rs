//! How busy the machine is, between two askings.

use crate::procfs;

/// Remembers the last asking.
#[derive(Default)]
pub(super) struct Busy(Option<(u64, u64)>);

impl Busy {
    /// The part of the machine's cores in use since the last asking.
    pub(super) fn since(&mut self) -> Option<f64> {
        let now = procfs::machine_ticks()?;
        let before = self.0.replace(now)?;
        let all = now.1.saturating_sub(before.1);
        (all > 0).then(|| now.0.saturating_sub(before.0) as f64 / all as f64)
    }
}
