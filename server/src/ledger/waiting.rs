//! Since when outbox items wait, for the figures: of each ledger how many wait and since when the oldest does.
//!
//! Items of one ledger end in about their order, so a count and one time for each ledger are enough; the
//! memory it takes is bounded by the number of ledgers, not of items.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;

use super::LedgerId;
use crate::telemetry::{Level, Since};

/// See the module.
pub(super) struct Waiting {
    sources: Mutex<Sources>,
    /// How many wait, and since when the oldest does.
    pending: Level,
    shown: Since,
}

#[derive(Default)]
struct Sources {
    /// How many items wait, and since when the oldest does.
    by_ledger: HashMap<LedgerId, (usize, u64)>,
    by_age: BTreeSet<(u64, LedgerId)>,
}

impl Waiting {
    pub(super) fn new(pending: Level, shown: Since) -> Self {
        Self {
            sources: Mutex::default(),
            pending,
            shown,
        }
    }

    /// More items of a ledger wait.
    pub(super) fn begin(&self, source: &LedgerId, items: usize, since_ms: u64) {
        self.change(source, |known| match known {
            Some((count, oldest_ms)) => Some((count + items, oldest_ms)),
            None => Some((items, since_ms)),
        });
    }

    /// The oldest item of a ledger waits since then.
    pub(super) fn oldest(&self, source: &LedgerId, since_ms: u64) {
        self.change(source, |known| known.map(|(count, _)| (count, since_ms)));
    }

    /// One item of a ledger waits no more.
    pub(super) fn end(&self, source: &LedgerId) {
        self.change(source, |known| {
            known
                .map(|(count, oldest_ms)| (count.saturating_sub(1), oldest_ms))
                .filter(|(count, _)| *count > 0)
        });
    }

    /// So many of a ledger's wait: it was looked. Other nodes may have delivered some, or left some behind.
    pub(super) fn settle(&self, source: &LedgerId, items: usize, now_ms: u64) {
        self.change(source, |known| {
            let oldest_ms = known.map_or(now_ms, |(_, oldest_ms)| oldest_ms);
            (items > 0).then_some((items, oldest_ms))
        });
    }

    fn change(
        &self,
        source: &LedgerId,
        change: impl FnOnce(Option<(usize, u64)>) -> Option<(usize, u64)>,
    ) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let Sources { by_ledger, by_age } = &mut *sources;
        let known = by_ledger.remove(source);
        if let Some((_, oldest_ms)) = known {
            by_age.remove(&(oldest_ms, source.clone()));
        }
        let new = change(known);
        let count = |it: Option<(usize, u64)>| {
            it.map_or(0, |(count, _)| i64::try_from(count).unwrap_or(i64::MAX))
        };
        self.pending.add(count(new) - count(known));
        if let Some((count, oldest_ms)) = new {
            by_ledger.insert(source.clone(), (count, oldest_ms));
            by_age.insert((oldest_ms, source.clone()));
        }
        self.shown
            .set(by_age.first().map(|(since_ms, _)| *since_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Telemetry, catalogue};

    #[test]
    fn the_oldest_of_all_ledgers_is_shown_until_nothing_waits() {
        let shown = Since::default();
        let pending = Telemetry::new()
            .meters()
            .gauge(catalogue::OUTBOX_PENDING, &[]);
        let waiting = Waiting::new(pending.clone(), shown.clone());
        let [one, two] = ["G1", "G2"].map(|id| LedgerId::parse(id).expect("valid"));
        waiting.begin(&one, 2, 100);
        waiting.begin(&two, 1, 50);
        waiting.begin(&one, 1, 300);
        assert_eq!(shown.value(), Some(50));
        waiting.end(&two);
        assert_eq!(shown.value(), Some(100), "the first of the other ledger");
        waiting.end(&one);
        waiting.oldest(&one, 300);
        assert_eq!(shown.value(), Some(300));
        waiting.end(&one);
        assert_eq!(shown.value(), Some(300), "one still waits");
        waiting.end(&one);
        assert_eq!(shown.value(), None);
        waiting.oldest(&one, 7);
        waiting.end(&one);
        assert_eq!(shown.value(), None, "nothing waits, so nothing is old");
        assert_eq!(pending.value(), 0);
        waiting.begin(&one, 2, 100);
        waiting.settle(&two, 3, 60);
        assert_eq!((pending.value(), shown.value()), (5, Some(60)));
        waiting.settle(&one, 1, 500);
        assert_eq!(pending.value(), 4, "another node has delivered one");
        waiting.settle(&two, 0, 500);
        assert_eq!((pending.value(), shown.value()), (1, Some(100)));
        waiting.end(&two);
        assert_eq!(
            pending.value(),
            1,
            "it was another node's, and never counted here"
        );
    }
}
