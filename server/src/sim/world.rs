//! What all of a run share: chance, the truth in memory, who is frozen or cut off, and what was found wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use super::node::Hall;
use crate::ledger::{Clock, Commit, LedgerId, SealedCommit};
use crate::store::memory::MemoryStore;

/// Things said to be wrong in one run.
const COMPLAINTS_MAX: usize = 5;

/// How a node stands to the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Nothing of it moves until then.
    pub(super) frozen_until: Instant,
    pub(super) store_cut: bool,
    pub(super) bus_cut: bool,
}

pub(super) struct World {
    chance: Mutex<StdRng>,
    pub(super) memory: MemoryStore,
    began: Instant,
    standings: Mutex<Vec<Standing>>,
    hall: Arc<Hall>,
    is_calm: AtomicBool,
    faults: AtomicU64,
    /// Operations that were asked for, each try one.
    tried: AtomicU64,
    /// Everything that ever was durable, whatever retention removes.
    written: Mutex<BTreeMap<LedgerId, Vec<Arc<Commit>>>>,
    wrong: Mutex<Vec<String>>,
}

/// No test panics under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics under this lock")
}

impl World {
    /// Before anything breaks.
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let began = Instant::now();
        let standing = Standing {
            frozen_until: began,
            store_cut: false,
            bus_cut: false,
        };
        Arc::new(Self {
            chance: Mutex::new(StdRng::seed_from_u64(seed)),
            memory: MemoryStore::new(),
            began,
            standings: Mutex::new(vec![standing; super::NODES]),
            hall: Arc::default(),
            is_calm: AtomicBool::new(true),
            faults: AtomicU64::new(0),
            tried: AtomicU64::new(0),
            written: Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    pub(super) const fn hall(&self) -> &Arc<Hall> {
        &self.hall
    }

    pub(super) fn draw(&self, below: u64) -> u64 {
        lock(&self.chance).random_range(0..below.max(1))
    }

    /// One of so many.
    pub(super) fn pick(&self, among: usize) -> usize {
        usize::try_from(self.draw(among as u64)).unwrap_or(0)
    }

    /// Something that happens so often in a hundred, as long as faults happen at all.
    pub(super) fn happens(&self, percent: u64) -> bool {
        let drawn = self.draw(100);
        let happens = !self.is_calm.load(Ordering::SeqCst) && drawn < percent;
        if happens {
            self.fault();
        }
        happens
    }

    pub(super) fn fault(&self) {
        self.faults.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn try_once(&self) {
        self.tried.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) async fn pause(&self, most_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.draw(most_ms))).await;
    }

    pub(super) fn standing(&self, node: usize) -> Standing {
        lock(&self.standings)[node]
    }

    pub(super) fn change(&self, node: usize, how: impl FnOnce(&mut Standing)) {
        how(&mut lock(&self.standings)[node]);
    }

    /// Waits as long as the node is frozen.
    pub(super) async fn thawed(&self, node: usize) {
        loop {
            let until = self.standing(node).frozen_until;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Faults happen from now on.
    pub(super) fn unsettle(&self) {
        self.is_calm.store(false, Ordering::SeqCst);
    }

    /// No faults any more.
    pub(super) fn calm(&self) {
        self.is_calm.store(true, Ordering::SeqCst);
        for standing in &mut *lock(&self.standings) {
            standing.store_cut = false;
            standing.bus_cut = false;
        }
    }

    /// These are durable.
    pub(super) fn note_written(&self, ledger: &LedgerId, commits: &[SealedCommit]) {
        let mut written = lock(&self.written);
        let all = written.entry(ledger.clone()).or_default();
        all.extend(commits.iter().map(|it| Arc::clone(&it.commit)));
    }

    /// The last commit that is durable now.
    pub(super) fn head(&self, ledger: &LedgerId) -> u64 {
        let written = lock(&self.written);
        written.get(ledger).map_or(0, |all| all.len() as u64)
    }

    /// All that ever was durable.
    pub(super) fn written(&self) -> BTreeMap<LedgerId, Vec<Arc<Commit>>> {
        lock(&self.written).clone()
    }

    pub(super) fn complain(&self, what: String) {
        let mut wrong = lock(&self.wrong);
        // What follows from the first says nothing more.
        if wrong.len() < COMPLAINTS_MAX {
            wrong.push(what);
        }
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        lock(&self.wrong).clone()
    }

    pub(super) fn faults(&self) -> u64 {
        self.faults.load(Ordering::SeqCst)
    }

    pub(super) fn tried(&self) -> u64 {
        self.tried.load(Ordering::SeqCst)
    }

    pub(super) fn seconds(&self) -> u64 {
        self.began.elapsed().as_secs()
    }
}

/// A node's clock: tokio's, off by a little.
pub(super) struct SimClock {
    pub(super) world: Arc<World>,
    pub(super) ahead_ms: u64,
}

impl Clock for SimClock {
    fn now_ms(&self) -> u64 {
        let since = u64::try_from(self.world.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        1_800_000_000_000 + since + self.ahead_ms
    }

    fn random(&self) -> u128 {
        lock(&self.world.chance).random()
    }
}
