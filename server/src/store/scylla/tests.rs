//! The contract suite and more on a real cluster. Ignored unless `cargo xtask test --only cassandra` starts one and names it
//! in `KLOKKE_CASSANDRA` (with `KLOKKE_CASSANDRA_LOGIN`, `USER:PASSWORD`, and `KLOKKE_CASSANDRA_AUTHORITY`, a file): so a run
//! without it says that they were not run.

use std::sync::Arc;

use bytes::Bytes;
use scylla::client::session::Session;
use tokio::sync::{Mutex, MutexGuard, OnceCell, oneshot};

use super::faults::Fault;
use super::session::connect;
use super::*;
use crate::ledger::{IdempotencyKey, OutboxItem};
use crate::store::Place;
use crate::store::chain::{Chain, put};
use crate::store::conformance::suite;

/// So few in a partition that every test crosses borders.
const SMALL: Spread = Spread {
    commits: 4,
    entries: 8,
};

fn options(keyspace: &str, spread: Spread) -> Options {
    let nodes = std::env::var("KLOKKE_CASSANDRA");
    let nodes = nodes.expect("KLOKKE_CASSANDRA names a cluster; `cargo xtask test` starts one");
    let login = std::env::var("KLOKKE_CASSANDRA_LOGIN").ok();
    let login = login.as_deref().and_then(|login| login.split_once(':'));
    Options {
        nodes: nodes.split(',').map(str::to_owned).collect(),
        login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
        keyspace: keyspace.to_owned(),
        replication_factor: 1,
        spread,
        ..Options::default()
    }
}

/// The one keyspace that all tests share, one after the other: making tables takes longer than most of them.
struct Rig {
    session: Session,
    spread: Spread,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::const_new(());
static MIGRATED: OnceCell<()> = OnceCell::const_new();
const KEYSPACE: &str = "klokke_tests";

impl Rig {
    async fn new(spread: Spread) -> Self {
        let alone = ALONE.lock().await;
        let options = options(KEYSPACE, spread);
        let migrated = MIGRATED.get_or_init(async || {
            migrate(&options).await.expect("migrated");
        });
        migrated.await;
        let session = connect(&options, Some(KEYSPACE)).await.expect("connected");
        let rig = Self {
            session,
            spread,
            _alone: alone,
        };
        rig.empty().await;
        rig
    }

    async fn empty(&self) {
        let truncated = schema::TABLES.iter().map(async |table| {
            let text = format!("TRUNCATE {table}");
            self.session.query_unpaged(text, ()).await.expect("emptied");
        });
        futures_util::future::join_all(truncated).await;
    }

    /// Another node.
    async fn node(&self) -> ScyllaStore {
        let opened = ScyllaStore::open(&options(KEYSPACE, self.spread)).await;
        opened.expect("opened")
    }

    /// What somebody does to the tables behind our back.
    async fn meddle(&self, text: &str) {
        let done = self.session.query_unpaged(text, ()).await;
        done.expect("meddled");
    }

    async fn blob(&self, text: &str) -> Vec<u8> {
        let rows = self.session.query_unpaged(text, ()).await.expect("read");
        let rows = rows.into_rows_result().expect("rows");
        rows.first_row::<(Vec<u8>,)>().expect("a row").0
    }
}

/// The commits of a ledger by number and identity, as any node reads them.
async fn history(store: &ScyllaStore, ledger: &LedgerId) -> Vec<(u64, uuid::Uuid)> {
    let read = store.commits_since(ledger, 0, 10_000).await.expect("read");
    let place = |sealed: &SealedCommit| (sealed.commit.seq, sealed.commit.id);
    read.iter().map(place).collect()
}

fn ids(batches: &[Batch]) -> Vec<(u64, uuid::Uuid)> {
    let commits = batches.iter().flat_map(|batch| &batch.commits);
    commits
        .map(|sealed| (sealed.commit.seq, sealed.commit.id))
        .collect()
}

async fn conforms(spread: Spread) {
    let rig = Rig::new(spread).await;
    suite(async || {
        rig.empty().await;
        rig.node().await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn it_conforms_with_few_in_a_partition() {
    conforms(SMALL).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn it_conforms_as_it_is_shipped() {
    conforms(Spread::default()).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_lost_answer_is_found_out_and_nothing_is_written_twice() {
    let rig = Rig::new(SMALL).await;
    let store = rig.node().await;
    let mut chain = Chain::new("G1");
    let mut batches = Vec::new();
    // Twice around the buckets, so that heads in new and old ones are met.
    for round in 0..12 {
        let fault = match round % 3 {
            0 => Fault::AnswerLost,
            1 => Fault::RequestLost,
            _ => Fault::None,
        };
        store.inner.cql.faults.swaps([fault]);
        let batch = chain.batch(|_, commit| {
            commit.records.push(put("r", &round.to_string(), &[], &[]));
        });
        store
            .commit(batch.clone())
            .await
            .expect("committed in the end");
        batches.push(batch);
        let read = store.get(&chain.ledger, &"r".into()).await.expect("read");
        assert_eq!(read.expect("there").value, round.to_string());
    }
    assert_eq!(history(&store, &chain.ledger).await, ids(&batches));
    assert_eq!(
        history(&rig.node().await, &chain.ledger).await,
        ids(&batches)
    );
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn what_cannot_be_found_out_is_said_to_be_unknown_and_found_out_later() {
    let rig = Rig::new(SMALL).await;
    let store = rig.node().await;
    let mut chain = Chain::new("G1");
    let first = chain.batch(|_, _| {});
    store.commit(first.clone()).await.expect("commit");
    for (fault, is_there) in [(Fault::AnswerLost, true), (Fault::RequestLost, false)] {
        // The fence's own answer is lost too, in both ways, until the third.
        let faults = [fault, Fault::RequestLost, Fault::AnswerLost];
        store.inner.cql.faults.swaps(faults);
        let before = chain.clone();
        let batch = chain.batch(|_, commit| commit.records.push(put("r", "x", &[], &[])));
        let unknown = store.commit(batch.clone()).await;
        assert!(
            matches!(unknown, Err(CommitError::Unknown(_))),
            "{unknown:?}"
        );
        let closed = store.get(&chain.ledger, &"r".into()).await;
        assert!(
            matches!(closed, Err(StoreError::Unavailable(_))),
            "{closed:?}"
        );
        let head = store.head(&chain.ledger).await.expect("settled");
        let expected = if is_there { &chain } else { &before };
        assert_eq!(head, Some(expected.head.clone()));
        if !is_there {
            store.commit(batch).await.expect("it may be tried again");
        }
    }
    assert_eq!(history(&store, &chain.ledger).await.len(), 3);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_write_that_comes_late_comes_too_late() {
    let rig = Rig::new(SMALL).await;
    let store = rig.node().await;
    let mut chain = Chain::new("G1");
    let mut batches = Vec::new();
    for round in 0..9 {
        let (go, wait) = oneshot::channel();
        let (done, applied) = oneshot::channel();
        store.inner.cql.faults.swaps([Fault::Late(wait, done)]);
        let batch = chain.batch(|_, commit| {
            commit.records.push(put("r", &round.to_string(), &[], &[]));
        });
        store
            .commit(batch.clone())
            .await
            .expect("written by the second try");
        batches.push(batch);
        go.send(()).expect("it waits");
        assert!(!applied.await.expect("answered"), "it was fenced off");
    }
    assert_eq!(
        history(&rig.node().await, &chain.ledger).await,
        ids(&batches)
    );
    // As long as nobody has fenced it off it may come, and is then found.
    let (go, wait) = oneshot::channel();
    let (done, applied) = oneshot::channel();
    let faults = [Fault::Late(wait, done), Fault::RequestLost];
    store.inner.cql.faults.swaps(faults);
    let batch = chain.batch(|_, _| {});
    let unknown = store.commit(batch.clone()).await;
    assert!(
        matches!(unknown, Err(CommitError::Unknown(_))),
        "{unknown:?}"
    );
    go.send(()).expect("it waits");
    assert!(applied.await.expect("answered"));
    let head = store.head(&chain.ledger).await.expect("settled");
    assert_eq!(head, Some(chain.head.clone()));
    batches.push(batch);
    assert_eq!(history(&store, &chain.ledger).await, ids(&batches));
}

/// The head is told, and the caller makes another commit of it: from then on the lost one must not come, or what it did
/// is done twice. A try of the same batch again would hide that, for it moves the head itself.
#[tokio::test]
#[ignore = "needs a cluster"]
async fn what_was_said_not_to_be_there_never_comes() {
    let rig = Rig::new(SMALL).await;
    let store = rig.node().await;
    let mut chain = Chain::new("G1");
    // From the first commit of a ledger over the border of a bucket.
    for round in 0..6 {
        let (go, wait) = oneshot::channel();
        let (done, applied) = oneshot::channel();
        let faults = [Fault::Late(wait, done), Fault::RequestLost];
        store.inner.cql.faults.swaps(faults);
        let before = chain.clone();
        let lost = chain.batch(|_, commit| commit.operation = "lost".into());
        let unknown = store.commit(lost).await;
        assert!(
            matches!(unknown, Err(CommitError::Unknown(_))),
            "{unknown:?}"
        );
        let head = store.head(&before.ledger).await.expect("settled");
        assert_eq!(head.map_or(0, |head| head.seq), round, "it is not there");
        go.send(()).expect("it waits");
        assert!(!applied.await.expect("answered"), "nor does it come");
        chain = before;
        let other = chain.batch(|_, commit| commit.operation = "other".into());
        store.commit(other).await.expect("the ledger goes on");
    }
    let read = rig.node().await.commits_since(&chain.ledger, 0, 99).await;
    let read = read.expect("read");
    assert_eq!(read.len(), 6);
    assert!(
        read.iter()
            .all(|sealed| &*sealed.commit.operation == "other")
    );
}

/// A commit with everything that is derived from one.
fn rich(chain: &mut Chain, text: &str) -> Batch {
    chain.batch(|chain, commit| {
        commit.records.push(put("r", text, &["i"], &[]));
        commit
            .entries
            .push(chain.entry(&["unit:G1", "person:G1/p1"], text));
        commit.idempotency = Some(IdempotencyKey::new(text, "op", b""));
        commit.outbox = vec![OutboxItem {
            to: chain.ledger.clone(),
            operation: "take".into(),
            input: Bytes::new(),
        }];
    })
}

async fn shows_all_of(store: &ScyllaStore, chain: &Chain, text: &str) {
    let (ledger, top) = (&chain.ledger, chain.head.seq);
    let record = store.get(ledger, &"r".into()).await.expect("read");
    assert_eq!(record.expect("there").value, text);
    let index = store
        .lookup(&IndexKey::new("i"), None, 9)
        .await
        .expect("read");
    assert_eq!(index.len(), 1);
    for name in ["unit:G1", "person:G1/p1"] {
        let name = ChannelName::parse(name).expect("valid");
        let heads = store
            .channel_heads(ledger, std::slice::from_ref(&name))
            .await;
        assert_eq!(heads.expect("read")[0].top, top);
        let range = EntryRange {
            from: top,
            to: top,
            limit: 1,
            order: crate::store::Order::Ascending,
        };
        let entries = store.entries(ledger, &name, range).await.expect("read");
        assert_eq!(entries[0].entry.content.full, text);
    }
    let key = IdempotencyKey::new(text, "op", b"").key;
    let remembered = store.idempotent(ledger, "u1", &key).await.expect("read");
    assert_eq!(remembered.expect("remembered").seq, top);
    let pending = store.outbox_pending(Some(ledger), None, 999).await;
    assert_eq!(pending.expect("read").len() as u64, top);
    let listed = store.ledgers(None, 9).await.expect("read");
    assert_eq!(listed, [(ledger.clone(), chain.head.clone())]);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn what_is_durable_but_not_derived_is_derived_before_it_is_read() {
    let rig = Rig::new(SMALL).await;
    let (store, other) = (rig.node().await, rig.node().await);
    let mut chain = Chain::new("G1");
    store.commit(rich(&mut chain, "0")).await.expect("commit");
    shows_all_of(&other, &chain, "0").await;
    // Each of the three steps of deriving fails once.
    for (step, text) in ["1", "2", "3"].into_iter().enumerate() {
        let batch = rich(&mut chain, text);
        let unknown = failing_at(&store, step, batch).await;
        assert!(
            matches!(unknown, Err(CommitError::Unknown(_))),
            "{unknown:?}"
        );
        // The same node answers nothing that lacks it.
        shows_all_of(&store, &chain, text).await;
        // Nor does one that had the ledger open, once it has seen the commit.
        let seen = other
            .commits_since(&chain.ledger, chain.head.seq - 1, 1)
            .await;
        assert_eq!(seen.expect("read").len(), 1);
        shows_all_of(&other, &chain, text).await;
    }
    // Killed between the two: a node that starts finds it, and another writer too.
    let batch = rich(&mut chain, "4");
    let unknown = failing_at(&store, 0, batch).await;
    assert!(
        matches!(unknown, Err(CommitError::Unknown(_))),
        "{unknown:?}"
    );
    drop(store);
    shows_all_of(&rig.node().await, &chain, "4").await;
    let store = rig.node().await;
    store.commit(rich(&mut chain, "5")).await.expect("commit");
    let unknown = failing_at(&store, 0, rich(&mut chain, "6")).await;
    assert!(
        matches!(unknown, Err(CommitError::Unknown(_))),
        "{unknown:?}"
    );
    other.commit(rich(&mut chain, "7")).await.expect("commit");
    shows_all_of(&other, &chain, "7").await;
    let key = IdempotencyKey::new("6", "op", b"").key;
    let of_six = other.idempotent(&chain.ledger, "u1", &key).await;
    assert_eq!(of_six.expect("read").expect("remembered").seq, 7);
}

/// Three commits of one round.
fn three(chain: &mut Chain, texts: [&str; 3]) -> Batch {
    let [mut batch, second, third] = texts.map(|text| rich(chain, text));
    batch.commits.extend(second.commits);
    batch.commits.extend(third.commits);
    batch
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_round_of_several_is_derived_whole_by_whoever_finds_it() {
    let rig = Rig::new(SMALL).await;
    let mut chain = Chain::new("G1");
    let texts = [["a1", "a2", "a3"], ["b1", "b2", "b3"], ["c1", "c2", "c3"]];
    for (step, texts) in texts.into_iter().enumerate() {
        let store = rig.node().await;
        let unknown = failing_at(&store, step, three(&mut chain, texts)).await;
        assert!(
            matches!(unknown, Err(CommitError::Unknown(_))),
            "{unknown:?}"
        );
        drop(store);
        shows_all_of(&rig.node().await, &chain, texts[2]).await;
    }
}

/// Commits while the given step of deriving fails, as often as it is tried.
async fn failing_at(store: &ScyllaStore, step: usize, batch: Batch) -> Result<(), CommitError> {
    let step = u32::try_from(step).expect("small");
    store.inner.cql.faults.fail_writes_after(step, 1);
    store.commit(batch).await
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn of_two_nodes_one_wins_each_number() {
    const EACH: usize = 25;
    let rig = Rig::new(SMALL).await;
    let ledger = LedgerId::parse("G1").expect("valid");
    let stores = [rig.node().await, rig.node().await];
    let race = stores.iter().zip(0_u128..).map(|(store, node)| {
        let ledger = &ledger;
        async move {
            let (mut won, mut lost) = (Vec::new(), 0);
            let mut chain = Chain::new("G1");
            while won.len() < EACH {
                let id = uuid::Uuid::from_u128(node << 64 | won.len() as u128);
                let before = chain.clone();
                let batch = chain.batch(|_, commit| commit.id = id);
                match store.commit(batch).await {
                    Ok(()) => won.push((chain.head.seq, id)),
                    Err(CommitError::Conflict { .. }) => {
                        lost += 1;
                        chain = before;
                        let head = store.head(ledger).await.expect("read");
                        chain.head = head.expect("somebody wrote");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            (won, lost)
        }
    });
    let ended = futures_util::future::join_all(race).await;
    assert!(ended.iter().any(|(_, lost)| *lost > 0), "they met");
    let mut won: Vec<_> = ended.into_iter().flat_map(|(won, _)| won).collect();
    won.sort();
    assert_eq!(won.len(), 2 * EACH);
    assert_eq!(history(&rig.node().await, &ledger).await, won);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_node_that_slept_through_retention_writes_nothing_into_the_hole() {
    let rig = Rig::new(SMALL).await;
    let (asleep, awake) = (rig.node().await, rig.node().await);
    let mut chain = Chain::new("~ns.1");
    asleep.commit(chain.batch(|_, _| {})).await.expect("commit");
    let mut stale = chain.clone();
    for _ in 0..20 {
        awake.commit(chain.batch(|_, _| {})).await.expect("commit");
    }
    let trim = Trim {
        ledger: chain.ledger.clone(),
        channels: Vec::new(),
        commits_to: u64::MAX,
        forget_before_ms: 0,
    };
    awake.trim(trim).await.expect("trim");
    let batch = stale.batch(|_, _| {});
    let refused = asleep.commit(batch).await;
    let is_refused = matches!(
        refused,
        Err(CommitError::Conflict {
            expected: 1,
            found: 21
        })
    );
    assert!(is_refused, "{refused:?}");
    let left = history(&asleep, &chain.ledger).await;
    assert_eq!(left.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [21]);
    asleep
        .commit(chain.batch(|_, _| {}))
        .await
        .expect("and goes on");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn damage_is_found_named_and_kept_apart() {
    let rig = Rig::new(SMALL).await;
    let store = rig.node().await;
    let (mut chain, mut whole) = (Chain::new("G1"), Chain::new("G2"));
    for text in ["a", "b", "c", "d", "e", "f"] {
        store.commit(rich(&mut chain, text)).await.expect("commit");
        whole.batch(|_, _| {});
    }
    let mut whole = Chain::new("G2");
    store.commit(rich(&mut whole, "a")).await.expect("commit");
    let unit = ChannelName::parse("unit:G1").expect("valid");
    let all = EntryRange {
        from: 1,
        to: 99,
        limit: 99,
        order: crate::store::Order::Ascending,
    };
    let hex = |bytes: &[u8]| {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        format!("0x{}", digits.collect::<String>())
    };
    let flipped = |mut bytes: Vec<u8>| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        hex(&bytes)
    };
    let second = "WHERE ledger = 'G1' AND bucket = 0 AND first = 2";
    let data = rig
        .blob(&format!("SELECT data FROM commits {second}"))
        .await;
    let third = rig
        .blob("SELECT data FROM commits WHERE ledger = 'G1' AND bucket = 0 AND first = 3")
        .await;
    let entry = "WHERE ledger = 'G1' AND channel = 'unit:G1' AND span = 0 AND at = 2";
    let row = rig
        .blob(&format!("SELECT row FROM entry_rows {entry}"))
        .await;
    let head = rig
        .blob("SELECT DISTINCT head FROM commits WHERE ledger = 'G1' AND bucket = 1")
        .await;
    let put_data = |bytes: &str| format!("UPDATE commits SET data = {bytes} {second}");
    let put_row = |bytes: &str| format!("UPDATE entry_rows SET row = {bytes} {entry}");
    let put_head = |bytes: &str| {
        format!("UPDATE commits SET head = {bytes} WHERE ledger = 'G1' AND bucket = 1")
    };
    // A mark that something else was written afterwards must win, so all of it is by the clock.
    let cases = [
        (
            put_data(&flipped(data.clone())),
            put_data(&hex(&data)),
            Place::Seq(2),
        ),
        (
            put_data(&hex(&data[..data.len() - 9])),
            put_data(&hex(&data)),
            Place::Seq(2),
        ),
        (put_data(&hex(&third)), put_data(&hex(&data)), Place::Seq(2)),
        (
            put_row(&flipped(row.clone())),
            put_row(&hex(&row)),
            Place::Offset(2),
        ),
        (
            format!("DELETE FROM entry_rows {entry}"),
            put_row(&hex(&row)),
            Place::Offset(2),
        ),
        (
            put_head(&flipped(head.clone())),
            put_head(&hex(&head)),
            Place::Seq(5),
        ),
    ];
    for (harm, repair, place) in cases {
        rig.meddle(&harm).await;
        let node = rig.node().await;
        let read = async {
            node.head(&chain.ledger).await?;
            node.commits_since(&chain.ledger, 0, 99).await?;
            node.entries(&chain.ledger, &unit, all).await
        };
        match read.await {
            Err(StoreError::Damaged(damaged)) => {
                assert_eq!((&*damaged.ledger, damaged.place), ("G1", place), "{harm}");
                assert_eq!(node.damage(), [damaged]);
            }
            other => panic!("{harm}: {other:?}"),
        }
        shows_head_and_record(&node, &whole).await;
        rig.meddle(&repair).await;
        assert_eq!(history(&rig.node().await, &chain.ledger).await.len(), 6);
    }
    // The last row is gone, and what is left is whole: only the head knows.
    rig.meddle("DELETE FROM commits WHERE ledger = 'G1' AND bucket = 1 AND first = 6")
        .await;
    let node = rig.node().await;
    let missing = node.commits_since(&chain.ledger, 0, 99).await;
    let Err(StoreError::Damaged(damaged)) = missing else {
        panic!("{missing:?}");
    };
    assert_eq!(damaged.place, Place::Seq(6));
}

async fn shows_head_and_record(store: &ScyllaStore, chain: &Chain) {
    let head = store.head(&chain.ledger).await.expect("read");
    assert_eq!(head, Some(chain.head.clone()));
    let record = store.get(&chain.ledger, &"r".into()).await.expect("read");
    assert!(record.is_some());
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_branch_of_the_history_is_found() {
    let rig = Rig::new(SMALL).await;
    let (store, other) = (rig.node().await, rig.node().await);
    let mut chain = Chain::new("G1");
    store.commit(chain.batch(|_, _| {})).await.expect("commit");
    let mut branch = chain.clone();
    store
        .commit(chain.batch(|_, commit| commit.operation = "one".into()))
        .await
        .expect("commit");
    // A cluster that breaks its promise: the same number is given to somebody else.
    let batch = branch.batch(|_, commit| commit.operation = "two".into());
    let row = commit::head_row(&chain.ledger, 0, &rows::HeadValue::new(&branch.head, 0));
    let update = "UPDATE commits SET head = ?, last = 2, data = ? WHERE ledger = 'G1' AND bucket = 0 AND first = 2";
    let values = (row, rows::join(&batch.commits));
    rig.session
        .query_unpaged(update, values)
        .await
        .expect("written");
    let found = store.head(&chain.ledger).await;
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
    let found = store.commit(chain.batch(|_, _| {})).await;
    let is_refused = matches!(found, Err(CommitError::Store(StoreError::Damaged(_))));
    assert!(is_refused, "{found:?}");
    // A node that knew neither has the checkpoint of the one to compare with.
    let found = other.head(&chain.ledger).await;
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_batch_too_large_is_refused_and_the_largest_a_ledger_makes_is_not() {
    let rig = Rig::new(Spread::default()).await;
    let store = rig.node().await;
    let mut chain = Chain::new("G1");
    let before = chain.clone();
    let too_large = chain.batch(|_, commit| commit.outcome = Bytes::from(vec![7; 9 << 20]));
    let refused = store.commit(too_large).await;
    assert!(
        matches!(refused, Err(CommitError::Malformed(_))),
        "{refused:?}"
    );
    let mut chain = before;
    let largest = chain.batch(|_, commit| {
        commit.outcome = Bytes::from(vec![7; 3 << 20]);
        commit
            .records
            .push(put("r", &"x".repeat(2 << 20), &[], &[]));
    });
    store.commit(largest).await.expect("commit");
    let read = store
        .commits_since(&chain.ledger, 0, 9)
        .await
        .expect("read");
    assert_eq!(read[0].hash, chain.head.hash);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn equal_reads_at_once_all_get_their_answer() {
    let rig = Rig::new(Spread::default()).await;
    let mut chain = Chain::new("G1");
    rig.node()
        .await
        .commit(rich(&mut chain, "a"))
        .await
        .expect("commit");
    let telemetry = crate::telemetry::Telemetry::new();
    let options = Options {
        meters: telemetry.meters(),
        ..options(KEYSPACE, Spread::default())
    };
    let store = ScyllaStore::open(&options).await.expect("opened");
    store.head(&chain.ledger).await.expect("read");
    let unit = ChannelName::parse("unit:G1").expect("valid");
    let range = EntryRange {
        from: 1,
        to: 1,
        limit: 1,
        order: crate::store::Order::Ascending,
    };
    let reads = (0..50).map(|_| store.entries(&chain.ledger, &unit, range));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read.expect("read").len(), 1);
    }
    // How many joined is the machine's affair; that they can is shown beside the code.
    let text = telemetry.exposition();
    assert!(text.contains("klokke_store_requests_in_flight 0\n"));
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn lists_of_one_and_of_several_partitions_are_in_order() {
    let rig = Rig::new(SMALL).await;
    let store = rig.node().await;
    let mut chain = Chain::new("G1");
    let names: Vec<String> = (0..40)
        .map(|n| format!("box/P{}/{n:03}", n % 3))
        .chain((0..10).map(|n| format!("person/P{n}")))
        .collect();
    let batch = chain.batch(|_, commit| {
        let all = names.iter().map(|name| put(name, name, &[], &[]));
        commit.records.extend(all);
    });
    store.commit(batch).await.expect("commit");
    let ledger = LedgerId::parse("G1").expect("valid");
    for prefix in [
        "box/P0/", "box/P0/0", "box/P1/", "box/", "box/P", "person/", "p",
    ] {
        let mut expected: Vec<&String> = names.iter().filter(|it| it.starts_with(prefix)).collect();
        expected.sort();
        for limit in [0, 1, 7, 1_000] {
            let mut found = Vec::new();
            loop {
                let after = found.last();
                let page = store
                    .scan(&ledger, prefix, after, limit)
                    .await
                    .expect("read");
                assert!(page.len() <= limit, "{prefix}: {} of {limit}", page.len());
                let is_last = page.len() < limit || limit == 0;
                found.extend(page.into_iter().map(|(key, _)| key));
                if is_last {
                    break;
                }
            }
            let all: Vec<_> = found.iter().map(RecordKey::as_str).collect();
            let wanted = if limit == 0 { &[][..] } else { &expected[..] };
            assert_eq!(all, wanted, "{prefix} by {limit}");
        }
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_keyspace_whose_records_lie_elsewhere_is_not_taken_for_its_own() {
    let _alone = ALONE.lock().await;
    let older = options("klokke_older", SMALL);
    let session = connect(&older, None).await.expect("connected");
    let run = async |text: &str| {
        session.query_unpaged(text, ()).await.expect("ran");
    };
    run("DROP KEYSPACE IF EXISTS \"klokke_older\"").await;
    migrate(&older).await.expect("migrated");
    let store = ScyllaStore::open(&older).await.expect("opens");
    let mut chain = Chain::new("G1");
    store.commit(chain.batch(|_, _| {})).await.expect("commit");
    let before =
        "UPDATE klokke_older.schema_version SET version = 2 WHERE name = 'klokke' IF EXISTS";
    run(before).await;
    let refused = ScyllaStore::open(&older).await.expect_err("older");
    assert!(refused.to_string().contains("`klokke store migrate`"));
    for _ in 0..2 {
        let refused = migrate(&older).await.expect_err("it holds something");
        assert!(
            refused.to_string().contains("`klokke store copy"),
            "{refused}"
        );
    }
    // One that holds nothing yet, as a migration that was cut off leaves it.
    run("TRUNCATE klokke_older.commits").await;
    let migrated = migrate(&older).await.expect("migrated");
    assert_eq!((migrated.from, migrated.to), (2, SCHEMA_VERSION));
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn the_schema_is_made_once_by_however_many() {
    let _alone = ALONE.lock().await;
    let named = |keyspace: &str| options(keyspace, SMALL);
    let fresh = named("klokke_fresh");
    let session = connect(&fresh, None).await.expect("connected");
    let drop_it = "DROP KEYSPACE IF EXISTS \"klokke_fresh\"";
    session.query_unpaged(drop_it, ()).await.expect("dropped");
    let refused = ScyllaStore::open(&fresh).await.expect_err("no keyspace");
    assert!(
        refused.to_string().contains("klokke store migrate"),
        "{refused}"
    );
    let both = tokio::join!(migrate(&fresh), migrate(&fresh));
    let mut from = [
        both.0.expect("migrated").from,
        both.1.expect("migrated").from,
    ];
    from.sort_unstable();
    assert_eq!(from, [0, SCHEMA_VERSION], "one of them did it");
    let again = migrate(&fresh).await.expect("migrated");
    assert_eq!((again.from, again.to), (SCHEMA_VERSION, SCHEMA_VERSION));
    let identity = async || {
        let store = ScyllaStore::open(&fresh).await.expect("opens");
        store.identity().expect("it knows which one it is")
    };
    assert_eq!(identity().await, identity().await, "made once");
    let version = async |version: i32| {
        let update =
            "UPDATE klokke_fresh.schema_version SET version = ? WHERE name = 'klokke' IF EXISTS";
        session
            .query_unpaged(update, (version,))
            .await
            .expect("set");
    };
    version(SCHEMA_VERSION + 1).await;
    for error in [
        ScyllaStore::open(&fresh)
            .await
            .err()
            .map(|error| error.to_string()),
        migrate(&fresh).await.err().map(|error| error.to_string()),
    ] {
        let error = error.expect("refused");
        assert!(error.contains("or a newer one"), "{error}");
    }
    version(0).await;
    let error = ScyllaStore::open(&fresh)
        .await
        .expect_err("refused")
        .to_string();
    assert!(error.contains("run `klokke store migrate`"), "{error}");
    let odd = Options {
        keyspace: "a b".to_owned(),
        ..fresh.clone()
    };
    assert!(matches!(migrate(&odd).await, Err(OpenError::Setting(_))));
    let nobody = Options {
        nodes: vec!["127.0.0.1:1".to_owned()],
        ..fresh
    };
    let error = ScyllaStore::open(&nobody).await.expect_err("nobody there");
    assert!(matches!(error, OpenError::Cluster(_)), "{error}");
    session.query_unpaged(drop_it, ()).await.expect("dropped");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn who_is_not_known_is_turned_away_and_tls_is_checked() {
    let rig = Rig::new(SMALL).await;
    let good = options(KEYSPACE, SMALL);
    let authority = std::env::var_os("KLOKKE_CASSANDRA_AUTHORITY");
    let authority = authority
        .expect("the cluster's certificate is named")
        .into();
    let with = |login: Option<(&str, &str)>, tls: Option<Tls>| Options {
        login: login.map(|(user, password)| (user.to_owned(), password.to_owned())),
        tls,
        ..good.clone()
    };
    let known = good.login.as_ref();
    let known = known.map(|(user, password)| (user.as_str(), password.as_str()));
    const WRONG: &str = "not-the-password";
    for login in [None, Some(("cassandra", WRONG)), Some(("nobody", WRONG))] {
        let refused = ScyllaStore::open(&with(login, None)).await;
        let refused = refused.expect_err("refused");
        assert!(matches!(refused, OpenError::Cluster(_)), "{refused}");
        let said = format!("{refused} {refused:?} {:?}", with(login, None));
        assert!(!said.contains(WRONG), "{said}");
    }
    let trusting = Tls {
        authority: Some(authority),
        identity: None,
    };
    let store = ScyllaStore::open(&with(known, Some(trusting.clone()))).await;
    let store = store.expect("opens over TLS");
    let mut chain = Chain::new("G1");
    store.commit(chain.batch(|_, _| {})).await.expect("commit");
    assert_eq!(history(&rig.node().await, &chain.ledger).await.len(), 1);
    let distrusting = with(known, Some(Tls::default()));
    let refused = ScyllaStore::open(&distrusting).await;
    let refused = refused.expect_err("nobody vouches for that certificate");
    assert!(matches!(refused, OpenError::Cluster(_)), "{refused}");
    let missing = Tls {
        authority: Some("no/such/file.pem".into()),
        ..trusting
    };
    let refused = ScyllaStore::open(&with(known, Some(missing))).await;
    let refused = refused.expect_err("no such file").to_string();
    assert!(refused.contains("no/such/file.pem"), "{refused}");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn ledgers_are_copied_there_and_back() {
    use crate::ledger::copy::copy;
    use crate::ledger::copy::tests::{lived_in, said};
    use crate::store::fjall::{self, FjallStore};

    let rig = Rig::new(SMALL).await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let [from, back] = folders
        .each_ref()
        .map(|folder| FjallStore::open(folder.path(), &fjall::Options::default()).expect("opens"));
    let chain = lived_in(&from, "G1", 40).await;
    let store = rig.node().await;
    let there = copy(&from, &store, &chain.ledger).await.expect("copied");
    let here = copy(&store, &back, &chain.ledger).await.expect("copied");
    assert_eq!((there.verified, here.verified), (40, 40));
    let expected = said(&from, &chain.ledger).await;
    assert_eq!(said(&store, &chain.ledger).await, expected);
    assert_eq!(said(&back, &chain.ledger).await, expected);
    let read = history(&store, &chain.ledger).await;
    assert_eq!(read.len(), 40);
}

#[tokio::test]
#[ignore = "a measurement"]
async fn measure_commits() {
    let rig = Rig::new(Spread::default()).await;
    let store = Arc::new(rig.node().await);
    for ledgers in [1_usize, 16] {
        let began = Instant::now();
        let each = 600 / ledgers.min(4);
        let writers = (0..ledgers).map(|w| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut chain = Chain::new(&format!("M{ledgers}.{w}"));
                let mut took = Vec::new();
                for _ in 0..each {
                    let batch = chain.batch(|chain, commit| {
                        commit
                            .records
                            .push(put("r", "some hundred bytes of a message", &[], &[]));
                        commit
                            .entries
                            .push(chain.entry(&["unit:x"], &"x".repeat(200)));
                    });
                    let began = Instant::now();
                    store.commit(batch).await.expect("commit");
                    took.push(began.elapsed());
                }
                took
            })
        });
        let ended = futures_util::future::join_all(writers).await;
        let mut took: Vec<_> = ended
            .into_iter()
            .flat_map(|took| took.expect("ran"))
            .collect();
        took.sort_unstable();
        let rate = took.len() as f64 / began.elapsed().as_secs_f64();
        let at = |part: usize| took[(took.len() - 1) * part / 100];
        tracing::info!(ledgers, rate, p50 = ?at(50), p99 = ?at(99), "commits");
        #[allow(clippy::print_stdout)] // What a measurement is for.
        {
            println!(
                "{ledgers} ledgers: {rate:.0} commits/s, p50 {:?}, p99 {:?}",
                at(50),
                at(99)
            );
        }
    }
}
