//! Bits are flipped and files cut at random in a store of a few hundred commits. Each time the
//! damage must be found and reported, or be harmless: every acknowledged commit, record and entry
//! reads back as written, or an error says so. Never a silent gap, never altered content.
//!
//! `KLOKKE_DAMAGE_ROUNDS` sets how many rounds (100), `KLOKKE_DAMAGE_SEED` repeats a run.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{FjallStore, Options};
use crate::ledger::inspect::verify;
use crate::ledger::{ChannelName, IdempotencyKey, LedgerId, RecordKey, SealedCommit};
use crate::store::conformance::{Chain, put};
use crate::store::{EntryRange, Order, Store};

const LEDGERS: usize = 6;
const COMMITS: usize = 60;

/// What was acknowledged.
struct Truth {
    commits: BTreeMap<LedgerId, Vec<SealedCommit>>,
    records: BTreeMap<(LedgerId, RecordKey), Bytes>,
    entries: BTreeMap<(LedgerId, ChannelName), Vec<(u64, Bytes)>>,
}

/// How the store came to lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Everything in the journal, as after a kill.
    Journal,
    /// Everything in tables, as after an orderly stop.
    Tables,
    /// The first half in tables, the second in the journal.
    Both,
}

fn options() -> Options {
    Options {
        cache_bytes: 4 << 20,
        worker_threads: 1,
        ..Options::default()
    }
}

async fn build(path: &Path, rest: Rest) -> Truth {
    let mut truth = Truth {
        commits: BTreeMap::new(),
        records: BTreeMap::new(),
        entries: BTreeMap::new(),
    };
    let mut chains: Vec<_> = (0..LEDGERS).map(|i| Chain::new(&format!("G{i}"))).collect();
    let mut store = FjallStore::open(path, &options()).expect("opens");
    for i in 0..COMMITS {
        if i == COMMITS / 2 && rest == Rest::Both {
            store.close().await.expect("closes");
            drop(store);
            store = FjallStore::open(path, &options()).expect("opens");
        }
        for chain in &mut chains {
            let batch = chain.batch(|chain, commit| {
                let text = format!("{{\"n\":{i},\"text\":\"said in {}\"}}", chain.ledger);
                commit
                    .entries
                    .push(chain.entry(&["unit:a", "person:b"], &text));
                // One record is written again and again, others once.
                commit.records.push(put("often", &text, &["often"], &[]));
                commit
                    .records
                    .push(put(&format!("once/{i}"), &text, &[], &[]));
                let key = IdempotencyKey::new(&format!("key {i}"), "op", text.as_bytes());
                commit.idempotency = Some(key);
            });
            let sealed = batch.commits[0].clone();
            store.commit(batch).await.expect("commits");
            truth.add(sealed);
        }
    }
    if rest == Rest::Tables {
        store.close().await.expect("closes");
    }
    truth
}

impl Truth {
    fn add(&mut self, sealed: SealedCommit) {
        let commit = &sealed.commit;
        for change in &commit.records {
            let value = change.value.clone().expect("nothing is deleted here");
            self.records
                .insert((commit.ledger.clone(), change.key.clone()), value);
        }
        for entry in &commit.entries {
            for (name, offset) in &entry.channels {
                let key = (commit.ledger.clone(), name.clone());
                self.entries
                    .entry(key)
                    .or_default()
                    .push((*offset, entry.content.full.clone()));
            }
        }
        self.commits
            .entry(commit.ledger.clone())
            .or_default()
            .push(sealed);
    }

    /// How many things read back wrong without any error. Errors are counted apart.
    async fn compare(&self, store: &dyn Store) -> (usize, usize) {
        let (mut wrong, mut errors) = (0, 0);
        let mut count = |same: Result<bool, crate::store::StoreError>| match same {
            Ok(true) => {}
            Ok(false) => wrong += 1,
            Err(_) => errors += 1,
        };
        for (ledger, commits) in &self.commits {
            let head = store.head(ledger).await;
            count(head.map(|head| head.is_some_and(|head| head.seq == commits.len() as u64)));
            let read = store.commits_since(ledger, 0, usize::MAX).await;
            count(read.map(|read| {
                let rows = read.iter().map(|sealed| &sealed.row);
                rows.eq(commits.iter().map(|sealed| &sealed.row))
            }));
        }
        for ((ledger, key), value) in &self.records {
            let read = store.get(ledger, key).await;
            count(read.map(|read| read.is_some_and(|read| read.value == *value)));
        }
        for ((ledger, name), entries) in &self.entries {
            let all = EntryRange {
                from: 1,
                to: u64::MAX,
                limit: 9_999,
                order: Order::Ascending,
            };
            let read = store.entries(ledger, name, all).await;
            count(read.map(|read| {
                let read = read
                    .iter()
                    .map(|e| (e.offset, e.entry.content.full.clone()));
                read.eq(entries.iter().cloned())
            }));
        }
        (wrong, errors)
    }
}

/// The files of a store, journals without the zeros they are filled up with.
fn snapshot(path: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let mut bytes = fs::read(entry.path())?;
            if entry.path().extension().is_some_and(|ext| ext == "jnl") {
                let end = bytes
                    .iter()
                    .rposition(|b| *b != 0)
                    .map_or(0, |last| last + 1);
                bytes.truncate(end);
            }
            let name = entry.path().strip_prefix(path).expect("inside").to_owned();
            files.push((name, bytes));
        }
    }
    files.sort();
    Ok(files)
}

fn restore(path: &Path, files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
    for (name, bytes) in files {
        let target = path.join(name);
        fs::create_dir_all(target.parent().expect("a folder"))?;
        fs::write(target, bytes)?;
    }
    Ok(())
}

/// Flips a bit or cuts a file; says what it did.
fn harm(files: &mut [(PathBuf, Vec<u8>)], random: &mut StdRng) -> String {
    // A file is hit as often as it is large, but small ones are not left out.
    let whole = files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    let pick = |random: &mut StdRng, files: &[(PathBuf, Vec<u8>)]| {
        if random.random_bool(0.5) {
            return random.random_range(0..files.len());
        }
        let mut at = random.random_range(0..whole.max(1));
        files
            .iter()
            .position(|(_, bytes)| {
                let here = at < bytes.len();
                at = at.saturating_sub(bytes.len());
                here
            })
            .unwrap_or(0)
    };
    loop {
        let file = pick(random, files);
        let (name, bytes) = &mut files[file];
        if bytes.is_empty() {
            continue;
        }
        let at = random.random_range(0..bytes.len());
        if random.random_bool(0.25) {
            bytes.truncate(at);
            return format!("cut {} to {at} bytes", name.display());
        }
        let bit = random.random_range(0..8);
        bytes[at] ^= 1 << bit;
        return format!("flip bit {bit} of byte {at} of {}", name.display());
    }
}

/// What came of one round.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    Found,
    Harmless,
}

async fn round(truth: &Truth, files: &[(PathBuf, Vec<u8>)], what: &str) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    restore(folder.path(), files).expect("restored");
    let path = folder.path().to_owned();
    let opened = tokio::task::spawn_blocking(move || FjallStore::open(&path, &options())).await;
    let Ok(store) = opened.expect("opening does not panic") else {
        return Outcome::Refused;
    };
    let store: Arc<dyn Store> = Arc::new(store);
    let (wrong, errors) = truth.compare(&*store).await;
    let report = verify(&store, None, &mut |_| {}).await;
    let reported = !report.findings.is_empty();
    assert!(
        wrong == 0 || reported,
        "{what}: {wrong} read back wrong and nobody said so"
    );
    assert!(
        errors == 0 || reported,
        "{what}: reads failed, but verify finds nothing"
    );
    if reported {
        Outcome::Found
    } else {
        Outcome::Harmless
    }
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[tokio::test]
async fn damage_is_found_or_harmless() {
    let rounds = from_env("KLOKKE_DAMAGE_ROUNDS", 100);
    let seed = from_env("KLOKKE_DAMAGE_SEED", rand::random());
    let mut random = StdRng::seed_from_u64(seed);
    let mut counts = BTreeMap::new();
    for rest in [Rest::Journal, Rest::Tables, Rest::Both] {
        let folder = tempfile::tempdir().expect("a folder");
        let truth = build(folder.path(), rest).await;
        let whole = snapshot(folder.path()).expect("read");
        let first = round(&truth, &whole, "nothing was harmed").await;
        assert_eq!(first, Outcome::Harmless, "a store that is whole is whole");
        for _ in 0..rounds.div_ceil(3) {
            let mut files = whole.clone();
            let what = format!("seed {seed}, {rest:?}: {}", harm(&mut files, &mut random));
            let outcome = round(&truth, &files, &what).await;
            *counts.entry(format!("{rest:?} {outcome:?}")).or_insert(0) += 1;
        }
    }
    let found: u64 = counts
        .iter()
        .filter(|(k, _)| !k.contains("Harmless"))
        .map(|(_, n)| n)
        .sum();
    assert!(found > 0, "some damage must matter: {counts:?}");
    tracing::info!(?counts, seed, "damage rounds");
}

#[tokio::test]
async fn a_journal_cut_after_acknowledged_commits_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let truth = build(folder.path(), Rest::Journal).await;
    let mut files = snapshot(folder.path()).expect("read");
    let journal = files
        .iter_mut()
        .find(|(name, _)| name.extension().is_some_and(|e| e == "jnl"));
    let (_, bytes) = journal.expect("a journal");
    let keep = bytes.len() / 2;
    bytes.truncate(keep);
    let outcome = round(&truth, &files, "the journal cut in half").await;
    assert_eq!(outcome, Outcome::Found);
}
