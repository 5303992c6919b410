//! Bits are flipped and files cut at random in a store of some hundred commits. Each time the
//! damage must be found and reported, or be harmless: every acknowledged commit, record and entry
//! reads back as written, or an error says so. Never a silent gap, never altered content, never
//! the end of the process.
//!
//! `KLOKKE_DAMAGE_ROUNDS` sets how many rounds (1,000). Each round draws from a seed of its own,
//! the first one's being `KLOKKE_DAMAGE_SEED`; seed and outcomes are printed.
//!
//! - `truth`: what was acknowledged. `harm`: what is done to the files.

pub(super) mod harm;
mod truth;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::harm::{Files, harm, restore, snapshot};
use self::truth::{Rest, Truth, build};
use super::{FjallStore, OpenError, Options};
use crate::ledger::inspect::verify;
use crate::store::Store;
use crate::telemetry::Telemetry;

fn options() -> Options {
    Options {
        cache_bytes: 4 << 20,
        worker_threads: 1,
        ..Options::default()
    }
}

/// What came of one round: who was the first to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The store does not open.
    Refused,
    /// It opens, and names what is damaged.
    AtOpen,
    /// A read is an error.
    AtRead,
    /// All reads are right, and `ledger verify` finds something.
    ByVerify,
    /// All is as it was written.
    Harmless,
}

/// Opens a store from `files` and tries it; panics when something is wrong and nobody says so.
async fn round(truth: &Truth, files: &Files, what: &str) -> Outcome {
    let folder = harm::folder();
    restore(folder.path(), files).expect("restored");
    let before = snapshot(folder.path()).expect("read");
    let telemetry = Telemetry::new();
    let options = Options {
        meters: telemetry.meters(),
        ..options()
    };
    let store: Arc<dyn Store> = match FjallStore::open(folder.path(), &options) {
        Ok(store) => Arc::new(store),
        Err(error) => {
            assert!(!matches!(error, OpenError::Locked), "{what}: {error}");
            if matches!(error, OpenError::DamagedFile { .. }) {
                let now = snapshot(folder.path()).expect("read");
                assert!(now == before, "{what}: what was refused was changed");
            }
            return Outcome::Refused;
        }
    };
    let at_open = store.damage();
    let seen = truth.compare(&*store).await;
    let silent: Vec<_> = seen.wrong.difference(&seen.refused).collect();
    assert!(
        silent.is_empty(),
        "{what}: {silent:?} read back wrong and nobody said so"
    );
    let report = verify(&store, None, &mut |_| {}).await;
    let counted = format!("\nklokke_store_damage_total {}\n", store.damage().len());
    assert!(
        telemetry.exposition().contains(&counted),
        "{what}: the figure"
    );
    let found = at_open.len() + seen.errors;
    assert!(
        found == 0 || !report.findings.is_empty(),
        "{what}: found {at_open:?} and in {} reads, but verify finds nothing",
        seen.errors
    );
    match (at_open.is_empty(), seen.errors, report.findings.is_empty()) {
        (false, ..) => Outcome::AtOpen,
        (_, 1.., _) => Outcome::AtRead,
        (_, _, false) => Outcome::ByVerify,
        _ => Outcome::Harmless,
    }
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Past the test runner, which keeps back what a test prints, for ever if the process ends.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("said");
}

/// A whole store for each way to lie on disk.
fn originals() -> Vec<(Rest, Truth, Files)> {
    let make = |rest| {
        let folder = harm::folder();
        let (truth, files) = block_on(async {
            let truth = build(folder.path(), rest).await;
            let files = snapshot(folder.path()).expect("read");
            let first = round(&truth, &files, "nothing was harmed").await;
            assert_eq!(first, Outcome::Harmless, "a store that is whole is whole");
            (truth, files)
        });
        (rest, truth, files)
    };
    Rest::ALL.map(make).into()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(work)
}

#[test]
fn damage_is_found_or_harmless() {
    let rounds = from_env("KLOKKE_DAMAGE_ROUNDS", 1_000);
    let seed = from_env("KLOKKE_DAMAGE_SEED", rand::random());
    say(&format!(
        "damage: {rounds} rounds, KLOKKE_DAMAGE_SEED={seed}"
    ));
    let originals = originals();
    let (next, counts) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= rounds {
                return;
            }
            let mut random = StdRng::seed_from_u64(seed.wrapping_add(n));
            let (rest, truth, whole) = &originals[random.random_range(0..originals.len())];
            let mut files = whole.clone();
            let done = harm(&mut files, &mut random);
            let what = format!("seed {}, {rest:?}: {done}", seed.wrapping_add(n));
            let outcome = block_on(round(truth, &files, &what));
            let mut counts = counts.lock().expect("no round failed");
            *counts.entry(outcome).or_insert(0_u64) += 1;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let counts = counts.into_inner().expect("no round failed");
    say(&format!("damage: {counts:?}"));
    assert_eq!(counts.values().sum::<u64>(), rounds);
    let harmless = counts.get(&Outcome::Harmless).copied().unwrap_or(0);
    assert!(harmless < rounds, "some damage must matter");
}

#[test]
fn a_journal_cut_after_acknowledged_commits_is_found() {
    let folder = harm::folder();
    block_on(async {
        let truth = build(folder.path(), Rest::Journal).await;
        let mut files = snapshot(folder.path()).expect("read");
        let is_journal = |name: &Path| name.extension().is_some_and(|it| it == "jnl");
        let journal = files.iter_mut().find(|(name, _)| is_journal(name));
        let (_, bytes) = journal.expect("a journal");
        bytes.truncate(bytes.len() / 2);
        let outcome = round(&truth, &files, "the journal cut in half").await;
        assert_eq!(outcome, Outcome::AtOpen);
    });
}
