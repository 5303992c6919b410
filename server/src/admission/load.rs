//! What the shards tell each other of how busy they are, and how far work is put off: a few numbers that any thread reads.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::Level;

/// Stands for "no shard has said since the last look".
const UNSAID: u64 = u64::MAX;

/// See the file.
#[derive(Debug)]
pub struct Load {
    level: AtomicU8,
    /// The least each shard was late since the last look. The least, for a queue that stands shows in it, and one long turn
    /// does not.
    lags_ms: Box<[AtomicU64]>,
}

impl Load {
    /// Of a node with so many shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self {
            level: AtomicU8::new(0),
            lags_ms: (0..shards).map(|_| AtomicU64::new(UNSAID)).collect(),
        }
    }

    /// How far work is put off.
    #[must_use]
    pub fn level(&self) -> Level {
        Level::of(self.level.load(Ordering::Relaxed))
    }

    /// Sets how far.
    pub fn set_level(&self, level: Level) {
        self.level.store(level.number(), Ordering::Relaxed);
    }

    /// A shard says how late it is.
    pub fn note(&self, shard: usize, lag_ms: u64) {
        if let Some(least) = self.lags_ms.get(shard) {
            least.fetch_min(lag_ms, Ordering::Relaxed);
        }
    }

    /// How late the latest shard was at the least since the last look; `None` for as long as none has said anything. One
    /// that is so late that it said nothing counts as late as the time between two looks.
    pub fn look(&self, since_ms: u64) -> Option<u64> {
        let taken = self.lags_ms.iter();
        let lags: Vec<u64> = taken.map(|it| it.swap(UNSAID, Ordering::Relaxed)).collect();
        if lags.iter().all(|lag| *lag == UNSAID) {
            return None;
        }
        let said = |lag: u64| if lag == UNSAID { since_ms } else { lag };
        lags.into_iter().map(said).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_shard_counts_by_the_least_it_was_late() {
        let load = Load::new(2);
        assert_eq!(load.look(250), None, "nobody said anything yet");
        for (shard, lag_ms) in [(0, 3), (0, 900), (1, 40), (1, 60), (7, 1)] {
            load.note(shard, lag_ms);
        }
        assert_eq!(load.look(250), Some(40));
        load.note(0, 3);
        assert_eq!(load.look(250), Some(250), "one is too late to say so");
    }
}
