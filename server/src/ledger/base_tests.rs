//! What a load asks of the store.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::ledger::Damage;
use crate::store::chain::{Chain, put};
use crate::store::faulty::Passage;
use crate::store::memory::MemoryStore;
use crate::store::{Batch, CommitError};

/// Counts what a store is asked.
struct Counting {
    behind: MemoryStore,
    asked: AtomicUsize,
}

#[async_trait]
impl Passage for Counting {
    fn behind(&self) -> &dyn Store {
        &self.behind
    }

    async fn reach(&self) -> Result<&dyn Store, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(&self.behind)
    }

    async fn pass(&self, batch: Batch) -> Result<(), CommitError> {
        self.behind.commit(batch).await
    }
}

#[derive(Debug)]
struct Loaded(usize);

impl State for Loaded {
    type Change = ();
    const RESIDENT: &'static [&'static str] = &["a/", "b/", "empty/"];

    fn new(_: &LedgerId) -> Self {
        Self(0)
    }

    fn load(&mut self, _: &RecordKey, _: &[u8]) -> Result<(), Damage> {
        self.0 += 1;
        Ok(())
    }

    fn apply(&mut self, _: &Commit) -> Vec<()> {
        Vec::new()
    }

    fn renewed(&self, _: &Self, _: u64) -> Vec<()> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_load_reads_each_kind_once_and_pages_only_where_there_is_more() {
    let store = Arc::new(Counting {
        behind: MemoryStore::new(),
        asked: AtomicUsize::new(0),
    });
    let mut chain = Chain::new("G1");
    let batch = chain.batch(|_, commit| {
        let many = (0..=LOAD_PAGE).map(|n| put(&format!("a/{n:06}"), "x", &[], &[]));
        commit.records.extend(many);
        commit.records.push(put("b/1", "x", &[], &[]));
        commit.records.push(put("not/resident", "x", &[], &[]));
    });
    store.behind.commit(batch).await.expect("commit");
    let ledger = LedgerId::parse("G1").expect("valid");
    let base = Base::<Loaded>::load(ledger, Arc::clone(&store) as _, Epoch::from("e1"), true);
    let base = base.await.expect("loads");
    assert_eq!(base.state.0, LOAD_PAGE + 2);
    let asked = store.asked.load(Ordering::Relaxed);
    assert_eq!(asked, 1 + 2 + 1 + 1, "the head, two pages of a, b, nothing");
}
