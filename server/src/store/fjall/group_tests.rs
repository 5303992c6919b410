//! Group commit: many writers share one flush, and each is answered only after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{FjallStore, Options};
use crate::store::chain::Chain;
use crate::store::{OutboxEnd, OutboxKey, Store};
use crate::telemetry::Telemetry;

/// Writers at once, and commits of each.
const WRITERS: usize = 64;
const COMMITS: usize = 50;

async fn write(store: &FjallStore, name: String) -> Vec<Duration> {
    let mut chain = Chain::new(&name);
    let mut times = Vec::with_capacity(COMMITS);
    for _ in 0..COMMITS {
        let batch = chain.batch(|chain, commit| {
            commit
                .entries
                .push(chain.entry(&["unit:x"], "{\"text\":\"a message of usual size\"}"));
        });
        let start = Instant::now();
        store.commit(batch).await.expect("commits");
        times.push(start.elapsed());
    }
    times
}

#[tokio::test]
async fn many_writers_share_a_flush() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(FjallStore::open(folder.path(), &Options::default()).expect("opens"));
    let start = Instant::now();
    let writers = (0..WRITERS).map(|n| write(&store, format!("W{n}")));
    let mut times: Vec<_> = futures_util::future::join_all(writers).await.concat();
    let took = start.elapsed();
    let groups = store.groups();
    times.sort_unstable();
    let commits = (WRITERS * COMMITS) as u64;
    assert!(
        groups * 4 <= commits,
        "{groups} flushes for {commits} commits"
    );
    let per_second = commits as f64 / took.as_secs_f64();
    let p50 = times[times.len() / 2];
    tracing::info!(per_second, ?p50, groups, "group commit");
    if std::env::var_os("KLOKKE_SHOW_FIGURES").is_some() {
        show(per_second, p50, times[times.len() * 99 / 100], groups);
    }
}

fn show(per_second: f64, p50: Duration, p99: Duration, groups: u64) {
    eprintln!("{per_second:.0} commits/s, p50 {p50:?}, p99 {p99:?}, {groups} flushes");
}

#[tokio::test]
async fn a_failed_request_does_not_fail_its_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let telemetry = Telemetry::new();
    let options = Options {
        meters: telemetry.meters(),
        ..Options::default()
    };
    let store = FjallStore::open(folder.path(), &options).expect("opens");
    let (mut good, mut bad) = (Chain::new("G1"), Chain::new("G2"));
    bad.batch(|_, _| {});
    let (good_batch, bad_batch) = (good.batch(|_, _| {}), bad.batch(|_, _| {}));
    let item = OutboxKey {
        source: good.ledger.clone(),
        seq: 9,
        n: 9,
    };
    let (written, conflict, done) = tokio::join!(
        store.commit(good_batch),
        store.commit(bad_batch),
        store.outbox_done(&item, OutboxEnd::Refused),
    );
    assert!(written.is_ok() && conflict.is_err() && done.is_ok());
    let counted = telemetry.exposition();
    assert!(counted.contains("klokke_store_errors_total{kind=\"conflict\"} 1\n"));
    assert!(counted.contains("klokke_store_commits_per_write_sum 1\n"));
    assert!(counted.contains("klokke_store_commit_duration_seconds_count 1\n"));
    assert_eq!(
        store.outbox_refused(None, 9).await.expect("read"),
        [],
        "nothing was pending"
    );
}

#[tokio::test]
async fn what_was_acknowledged_is_there_without_a_close() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..3 {
        let store = FjallStore::open(folder.path(), &Options::default()).expect("opens");
        assert_eq!(store.damage(), []);
        write(&store, format!("R{round}")).await;
        for earlier in 0..=round {
            let chain = Chain::new(&format!("R{earlier}"));
            let head = store
                .head(&chain.ledger)
                .await
                .expect("read")
                .expect("there");
            assert_eq!(head.seq, COMMITS as u64);
        }
    }
}

#[tokio::test]
async fn a_checkpoint_shortens_the_witness_and_guards_what_came_since() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        checkpoint_batches: 100,
        ..Options::default()
    };
    let store = FjallStore::open(folder.path(), &options).expect("opens");
    let witness = folder.path().join("witness");
    let mut longest = 0;
    let mut n = 0;
    loop {
        write(&store, format!("C{n}")).await;
        n += 1;
        let length = std::fs::metadata(&witness).expect("there").len();
        if length < longest {
            break;
        }
        longest = length;
        assert!(n < 2_000, "no checkpoint was made");
    }
    write(&store, "after".into()).await;
    drop(store);
    let store = FjallStore::open(folder.path(), &options).expect("opens");
    assert_eq!(store.damage(), []);
    let after = Chain::new("after").ledger;
    assert_eq!(
        store.head(&after).await.expect("read").expect("there").seq,
        COMMITS as u64
    );
    let first = Chain::new("C0").ledger;
    assert_eq!(
        store
            .commits_since(&first, 0, 999)
            .await
            .expect("read")
            .len(),
        COMMITS
    );
}
