//! Accepting that fails: remembered, so that `/health` tells of it, and logged seldom.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the log says so at most. File handles are short for minutes, and it is tried ten times a second.
pub const TOLD_EVERY: Duration = Duration::from_secs(10);

/// How long after the last failure it counts as lasting: a handle that is given back is taken at once, so that failures
/// and successes take turns.
pub const LASTS: Duration = Duration::from_secs(10);

/// Whether connections can be accepted, over all ports of a node.
#[derive(Debug, Default)]
pub struct Failing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    told: Option<Instant>,
    untold: u64,
}

impl Failing {
    /// Notes a failure. When the log should say so now: how many there were since it last did.
    pub fn note(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last = Some(now);
        state.untold += 1;
        let is_told = |told: Instant| now.saturating_duration_since(told) < TOLD_EVERY;
        if state.told.is_some_and(is_told) {
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.untold))
    }

    /// Whether accepting fails at this time.
    #[must_use]
    pub fn lasts(&self, now: Instant) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |last: Instant| now.saturating_duration_since(last) < LASTS;
        state.last.is_some_and(is_fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_seldom_and_all_counted() {
        let failing = Failing::default();
        let start = Instant::now();
        let after = |ms: u64| start + Duration::from_millis(ms);
        assert!(!failing.lasts(start));
        assert_eq!(failing.note(start), Some(1));
        for tenth in 1..100 {
            assert_eq!(failing.note(after(tenth * 100)), None, "{tenth}");
        }
        assert_eq!(failing.note(after(10_000)), Some(100));
        assert_eq!(failing.note(after(10_100)), None);
        assert!(failing.lasts(after(20_099)));
        assert!(!failing.lasts(after(20_100)));
        assert_eq!(failing.note(after(60_000)), Some(2));
    }
}
