//! What was acknowledged, and how it is compared with what a store reads back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;

use super::options;
use crate::ledger::{ChannelName, IdempotencyKey, LedgerId, RecordKey, SealedCommit};
use crate::store::chain::{Chain, put};
use crate::store::fjall::FjallStore;
use crate::store::{EntryRange, Order, Store, StoreError};

const LEDGERS: usize = 4;
const COMMITS: usize = 40;

/// How the store came to lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Everything in the journal, as after a kill.
    Journal,
    /// Everything in tables, as after an orderly stop.
    Tables,
    /// The first half in tables, the second in the journal.
    Both,
}

impl Rest {
    pub(super) const ALL: [Self; 3] = [Self::Journal, Self::Tables, Self::Both];
}

/// What was acknowledged.
#[derive(Default)]
pub(super) struct Truth {
    commits: BTreeMap<LedgerId, Vec<SealedCommit>>,
    records: BTreeMap<(LedgerId, RecordKey), Bytes>,
    entries: BTreeMap<(LedgerId, ChannelName), Vec<(u64, Bytes)>>,
}

/// What a comparison saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Ledgers of which something read back differently, without an error.
    pub(super) wrong: BTreeSet<LedgerId>,
    /// Ledgers that say they must not be worked on: nobody is shown anything of them.
    pub(super) refused: BTreeSet<LedgerId>,
    /// Reads that were refused.
    pub(super) errors: usize,
}

impl Seen {
    fn note(&mut self, ledger: &LedgerId, same: &Result<bool, StoreError>) {
        match same {
            Ok(true) => {}
            Ok(false) => drop(self.wrong.insert(ledger.clone())),
            Err(_) => self.errors += 1,
        }
    }
}

/// Makes a store of some hundred commits in a folder.
pub(super) async fn build(path: &Path, rest: Rest) -> Truth {
    let mut truth = Truth::default();
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

    /// Reads everything back.
    pub(super) async fn compare(&self, store: &dyn Store) -> Seen {
        let mut seen = Seen::default();
        for (ledger, commits) in &self.commits {
            let head = store.head(ledger).await;
            if head.is_err() {
                seen.refused.insert(ledger.clone());
            }
            let last = commits.len() as u64;
            let same = head.map(|head| head.is_some_and(|head| head.seq == last));
            seen.note(ledger, &same);
            let read = store.commits_since(ledger, 0, usize::MAX).await;
            let same = read.map(|read| {
                let rows = read.iter().map(|sealed| &sealed.row);
                rows.eq(commits.iter().map(|sealed| &sealed.row))
            });
            seen.note(ledger, &same);
        }
        for ((ledger, key), value) in &self.records {
            let read = store.get(ledger, key).await;
            let same = read.map(|read| read.is_some_and(|read| read.value == *value));
            seen.note(ledger, &same);
        }
        let all = EntryRange {
            from: 1,
            to: u64::MAX,
            limit: 9_999,
            order: Order::Ascending,
        };
        for ((ledger, name), entries) in &self.entries {
            let read = store.entries(ledger, name, all).await;
            let same = read.map(|read| {
                let read = read
                    .iter()
                    .map(|e| (e.offset, e.entry.content.full.clone()));
                read.eq(entries.iter().cloned())
            });
            seen.note(ledger, &same);
        }
        seen
    }
}
