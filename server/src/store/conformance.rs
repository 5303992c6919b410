//! What every store must do, as one suite run against each backend: `conformance::suite(make)`,
//! where `make` opens an empty store.

use bytes::Bytes;

pub use super::chain::{Chain, put};
use super::*;
use crate::ledger::{IdempotencyKey, OutboxItem, RecordChange};

fn range(from: u64, to: u64, limit: usize, order: Order) -> EntryRange {
    EntryRange {
        from,
        to,
        limit,
        order,
    }
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("a channel")
}

/// Runs every check, each on an empty store of its own.
pub async fn suite<S: Store>(make: impl AsyncFn() -> S) {
    an_empty_store_has_nothing(&make().await).await;
    what_was_committed_reads_back(&make().await).await;
    a_conflict_changes_nothing(&make().await).await;
    a_malformed_batch_is_refused(&make().await).await;
    many_commits_go_in_one_batch(&make().await).await;
    records_are_found_scanned_and_indexed(&make().await).await;
    a_record_changes_many_times(&make().await).await;
    entries_are_dense_and_paged(&make().await).await;
    ledgers_do_not_mix(&make().await).await;
    lists_are_whole_however_they_are_paged(&make().await).await;
    keys_are_remembered(&make().await).await;
    the_outbox_is_kept_until_it_is_done(&make().await).await;
    trimming_leaves_an_anchor(&make().await).await;
    trimming_ends_in_the_middle_of_a_batch(&make().await).await;
    concurrent_writers_lose_nothing(Arc::new(make().await)).await;
    of_rivals_one_wins(Arc::new(make().await)).await;
    a_closed_store_refuses(&make().await).await;
}

async fn an_empty_store_has_nothing(store: &impl Store) {
    let chain = Chain::new("G1");
    let unit = channel("unit:G1");
    assert_eq!(store.head(&chain.ledger).await.expect("read"), None);
    assert!(store.ledgers(None, 10).await.expect("read").is_empty());
    let heads = store
        .channel_heads(&chain.ledger, std::slice::from_ref(&unit))
        .await;
    assert_eq!(heads.expect("read"), [ChannelHead::default()]);
    let all = range(1, u64::MAX, 10, Order::Ascending);
    assert!(
        store
            .entries(&chain.ledger, &unit, all)
            .await
            .expect("read")
            .is_empty()
    );
    assert!(
        store
            .commits_since(&chain.ledger, 0, 10)
            .await
            .expect("read")
            .is_empty()
    );
    assert!(store.damage().is_empty());
}

async fn what_was_committed_reads_back(store: &impl Store) {
    let mut chain = Chain::new("G1");
    for i in 1..=5 {
        let batch = chain.batch(|chain, commit| {
            commit.outcome = Bytes::from(format!("out {i}"));
            commit.entries.push(chain.entry(&["unit:G1"], "hej"));
        });
        let sealed = batch.commits[0].clone();
        store.commit(batch).await.expect("commit");
        let read = store
            .commits_since(&chain.ledger, i - 1, 10)
            .await
            .expect("read");
        assert_eq!(read.len(), 1);
        assert_eq!(
            (&read[0].commit, read[0].hash),
            (&sealed.commit, sealed.hash)
        );
    }
    assert_eq!(
        store.head(&chain.ledger).await.expect("read"),
        Some(chain.head.clone())
    );
    let read = store
        .commits_since(&chain.ledger, 1, 3)
        .await
        .expect("read");
    assert_eq!(
        read.iter().map(|s| s.commit.seq).collect::<Vec<_>>(),
        [2, 3, 4]
    );
}

async fn a_conflict_changes_nothing(store: &impl Store) {
    let mut chain = Chain::new("G1");
    let mut other = chain.clone();
    let first = chain.batch(|_, commit| commit.records.push(put("a", "1", &[], &[])));
    store.commit(first.clone()).await.expect("commit");
    let rival = other.batch(|_, commit| commit.records.push(put("a", "2", &[], &[])));
    for batch in [rival, first] {
        let refused = store.commit(batch).await;
        assert!(matches!(
            refused,
            Err(CommitError::Conflict {
                expected: 0,
                found: 1
            })
        ));
    }
    let record = store
        .get(&chain.ledger, &"a".into())
        .await
        .expect("read")
        .expect("there");
    assert_eq!((record.seq, &record.value[..]), (1, &b"1"[..]));
    let keys = ["b", "a", "a"].map(RecordKey::from);
    let several = store.get_many(&chain.ledger, &keys).await.expect("read");
    assert_eq!(several, [None, Some(record.clone()), Some(record)]);
    assert_eq!(
        store
            .head(&chain.ledger)
            .await
            .expect("read")
            .map(|h| h.seq),
        Some(1)
    );
}

async fn a_malformed_batch_is_refused(store: &impl Store) {
    let mut chain = Chain::new("G1");
    store.commit(chain.batch(|_, _| {})).await.expect("commit");
    let empty = Batch {
        ledger: chain.ledger.clone(),
        expected_seq: 1,
        commits: Vec::new(),
    };
    let unchained = chain
        .clone()
        .batch(|_, commit| commit.prev_hash = CommitHash::GENESIS);
    let gap = chain.clone().batch(|_, commit| commit.seq = 3);
    let epoch = chain
        .clone()
        .batch(|_, commit| commit.epoch = Epoch::from("e2"));
    for batch in [empty, unchained, gap, epoch] {
        let refused = store.commit(batch).await;
        assert!(
            matches!(refused, Err(CommitError::Malformed(_))),
            "{refused:?}"
        );
    }
    store
        .commit(chain.batch(|_, _| {}))
        .await
        .expect("the ledger goes on");
}

async fn many_commits_go_in_one_batch(store: &impl Store) {
    let mut chain = Chain::new("G1");
    let mut seq = 0;
    for size in [1, 100, 3, 40] {
        let expected_seq = seq;
        let mut commits = Vec::new();
        for _ in 0..size {
            seq += 1;
            let entry = chain.entry(&["unit:G1"], &seq.to_string());
            commits.push(chain.next(|commit| {
                commit.entries = vec![entry];
                commit.records = vec![put("last", &seq.to_string(), &[], &[])];
            }));
        }
        let batch = Batch {
            ledger: chain.ledger.clone(),
            expected_seq,
            commits,
        };
        store.commit(batch).await.expect("commit");
    }
    let head = store.head(&chain.ledger).await.expect("read");
    assert_eq!(head, Some(chain.head.clone()));
    for (after, limit) in [
        (0, 500),
        (0, 1),
        (1, 7),
        (50, 60),
        (100, 2),
        (101, 99),
        (143, 9),
    ] {
        let read = store.commits_since(&chain.ledger, after, limit).await;
        let read = read.expect("read");
        let seqs: Vec<_> = read.iter().map(|sealed| sealed.commit.seq).collect();
        let wanted: Vec<_> = (after + 1..=144).take(limit).collect();
        assert_eq!(seqs, wanted, "{after} {limit}");
    }
    let none = store.commits_since(&chain.ledger, 144, 9).await;
    assert!(none.expect("read").is_empty());
    let unit = channel("unit:G1");
    for (order, offsets) in [
        (Order::Ascending, (30..=90).collect::<Vec<_>>()),
        (Order::Descending, (30..=90).rev().collect()),
    ] {
        let read = store
            .entries(&chain.ledger, &unit, range(30, 90, 100, order))
            .await;
        let read = read.expect("read");
        let found: Vec<_> = read.iter().map(|entry| (entry.offset, entry.seq)).collect();
        let wanted: Vec<_> = offsets.into_iter().map(|offset| (offset, offset)).collect();
        assert_eq!(found, wanted);
        assert!(
            read.iter()
                .all(|entry| *entry.entry.content.full == *entry.seq.to_string().as_bytes())
        );
    }
    let rows = store
        .entry_rows(&chain.ledger, &unit, 98, 5)
        .await
        .expect("read");
    let rows: Vec<_> = rows.iter().map(|row| (row.offset, row.seq)).collect();
    assert_eq!(
        rows,
        [(99, 99), (100, 100), (101, 101), (102, 102), (103, 103)]
    );
    let last = store
        .get(&chain.ledger, &"last".into())
        .await
        .expect("read");
    assert_eq!(
        last.map(|record| (record.seq, record.value)),
        Some((144, "144".into()))
    );
    // A number inside of a batch never was the head.
    let inside = Batch {
        ledger: chain.ledger.clone(),
        expected_seq: 50,
        commits: vec![chain.clone().next(|commit| commit.seq = 51)],
    };
    let refused = store.commit(inside).await;
    assert!(
        matches!(
            refused,
            Err(CommitError::Conflict {
                expected: 50,
                found: 144
            })
        ),
        "{refused:?}"
    );
}

async fn a_record_changes_many_times(store: &impl Store) {
    let mut chain = Chain::new("G1");
    let gone = |index: &[&str]| RecordChange {
        value: None,
        index: vec![],
        ..put("r", "", &[], index)
    };
    let rounds: [(RecordChange, Option<&str>, usize); 6] = [
        (put("r", "1", &["i"], &[]), Some("1"), 1),
        (put("r", "2", &["i"], &[]), Some("2"), 1),
        (gone(&["i"]), None, 0),
        (put("r", "4", &["i", "j"], &[]), Some("4"), 1),
        (put("r", "5", &["j"], &["i"]), Some("5"), 0),
        (put("r", "6", &["i", "j"], &[]), Some("6"), 1),
    ];
    for (change, value, found) in rounds {
        store
            .commit(chain.batch(|_, commit| commit.records.push(change)))
            .await
            .expect("commit");
        let read = store.get(&chain.ledger, &"r".into()).await.expect("read");
        assert_eq!(read.map(|record| record.value), value.map(Bytes::from));
        let rows = store
            .lookup(&IndexKey::new("i"), None, 9)
            .await
            .expect("read");
        assert_eq!(rows.len(), found, "after {value:?}");
    }
    // All of it again, in one batch.
    let expected_seq = chain.head.seq;
    let changes = [
        gone(&["i", "j"]),
        put("r", "8", &["i"], &[]),
        put("r", "9", &[], &["i"]),
    ];
    let commits = changes.map(|change| chain.next(|commit| commit.records.push(change)));
    let batch = Batch {
        ledger: chain.ledger.clone(),
        expected_seq,
        commits: commits.into(),
    };
    store.commit(batch).await.expect("commit");
    let read = store.get(&chain.ledger, &"r".into()).await.expect("read");
    assert_eq!(read.map(|record| record.value), Some(Bytes::from("9")));
    for key in ["i", "j"] {
        assert!(
            store
                .lookup(&IndexKey::new(key), None, 9)
                .await
                .expect("read")
                .is_empty()
        );
    }
}

async fn lists_are_whole_however_they_are_paged(store: &impl Store) {
    let mut chain = Chain::new("G1");
    let batch = chain.batch(|chain, commit| {
        for i in 0..60 {
            commit
                .records
                .push(put(&format!("r/{i:02}"), "x", &["i"], &[]));
            commit
                .entries
                .push(chain.entry(&[&format!("person:G1/p{i}")], "x"));
        }
    });
    store.commit(batch).await.expect("commit");
    for i in 0..30 {
        let mut chain = Chain::new(&format!("H{i}"));
        let item = OutboxItem {
            to: chain.ledger.clone(),
            operation: "take".into(),
            input: Bytes::new(),
        };
        store
            .commit(chain.batch(|_, commit| commit.outbox = vec![item]))
            .await
            .expect("commit");
    }
    for page in [1, 7, 100] {
        let mut keys: Vec<RecordKey> = Vec::new();
        loop {
            let more = store
                .scan(&chain.ledger, "r/", keys.last(), page)
                .await
                .expect("read");
            if more.is_empty() {
                break;
            }
            assert!(more.len() <= page);
            keys.extend(more.into_iter().map(|(key, _)| key));
        }
        let wanted: Vec<_> = (0..60)
            .map(|i| RecordKey::from(format!("r/{i:02}")))
            .collect();
        assert_eq!(keys, wanted);
        let mut rows: Vec<(LedgerId, RecordKey)> = Vec::new();
        loop {
            let more = store
                .lookup(&IndexKey::new("i"), rows.last(), page)
                .await
                .expect("read");
            if more.is_empty() {
                break;
            }
            rows.extend(more);
        }
        assert_eq!(
            rows.into_iter().map(|(_, key)| key).collect::<Vec<_>>(),
            wanted
        );
        let mut names: Vec<ChannelName> = Vec::new();
        loop {
            let more = store
                .channels(&chain.ledger, names.last(), page)
                .await
                .expect("read");
            if more.is_empty() {
                break;
            }
            names.extend(more);
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 60);
        let mut ledgers: Vec<LedgerId> = Vec::new();
        loop {
            let more = store.ledgers(ledgers.last(), page).await.expect("read");
            if more.is_empty() {
                break;
            }
            ledgers.extend(more.into_iter().map(|(id, _)| id));
        }
        // Each store has an order of its own, in which nothing is missing and nothing comes twice.
        ledgers.sort();
        ledgers.dedup();
        assert_eq!(ledgers.len(), 31);
        let mut items: Vec<OutboxKey> = Vec::new();
        loop {
            let more = store
                .outbox_pending(None, items.last(), page)
                .await
                .expect("read");
            if more.is_empty() {
                break;
            }
            items.extend(more);
        }
        items.sort();
        items.dedup();
        assert_eq!(items.len(), 30);
    }
}

async fn records_are_found_scanned_and_indexed(store: &impl Store) {
    let mut chain = Chain::new("G1");
    let batch = chain.batch(|_, commit| {
        for i in 0..10 {
            commit
                .records
                .push(put(&format!("t/{i}"), &i.to_string(), &["all", "old"], &[]));
        }
        commit.records.push(put("u/1", "x", &[], &[]));
    });
    store.commit(batch).await.expect("commit");
    let batch = chain.batch(|_, commit| {
        commit.records.push(put("t/3", "three", &["all"], &["old"]));
        let gone = RecordChange {
            value: None,
            index: vec![],
            ..put("t/4", "", &[], &["all", "old"])
        };
        commit.records.push(gone);
    });
    store.commit(batch).await.expect("commit");
    let page = store
        .scan(&chain.ledger, "t/", None, 3)
        .await
        .expect("read");
    assert_eq!(
        page.iter().map(|(k, _)| k.as_str()).collect::<Vec<_>>(),
        ["t/0", "t/1", "t/2"]
    );
    let rest = store
        .scan(&chain.ledger, "t/", Some(&"t/2".into()), 100)
        .await
        .expect("read");
    let keys: Vec<_> = rest.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["t/3", "t/5", "t/6", "t/7", "t/8", "t/9"]);
    assert_eq!((rest[0].1.seq, &rest[0].1.value[..]), (2, &b"three"[..]));
    assert_eq!(rest[0].1.index, [IndexKey::new("all")]);
    assert_eq!(
        store.get(&chain.ledger, &"t/4".into()).await.expect("read"),
        None
    );
    let old = store
        .lookup(&IndexKey::new("old"), None, 100)
        .await
        .expect("read");
    assert_eq!(old.len(), 8);
    let page = store
        .lookup(&IndexKey::new("all"), None, 5)
        .await
        .expect("read");
    let rest = store
        .lookup(&IndexKey::new("all"), page.last(), 100)
        .await
        .expect("read");
    assert_eq!((page.len(), rest.len()), (5, 4));
    assert!(
        store
            .lookup(&IndexKey::new("al"), None, 5)
            .await
            .expect("read")
            .is_empty()
    );
}

async fn entries_are_dense_and_paged(store: &impl Store) {
    let mut chain = Chain::new("G1");
    for i in 1..=20 {
        let batch = chain.batch(|chain, commit| {
            commit
                .entries
                .push(chain.entry(&["unit:G1", "person:G1/p1"], &i.to_string()));
            commit.entries.push(chain.entry(&["unit:G1"], "again"));
        });
        store.commit(batch).await.expect("commit");
    }
    let (unit, person) = (channel("unit:G1"), channel("person:G1/p1"));
    let heads = store
        .channel_heads(&chain.ledger, &[person.clone(), unit.clone()])
        .await;
    let tops: Vec<_> = heads.expect("read").iter().map(|head| head.top).collect();
    assert_eq!(tops, [20, 40]);
    let offsets = async |name, range| {
        let entries = store
            .entries(&chain.ledger, name, range)
            .await
            .expect("read");
        entries.iter().map(|entry| entry.offset).collect::<Vec<_>>()
    };
    let all = offsets(&unit, range(1, u64::MAX, 1000, Order::Ascending)).await;
    assert_eq!(all, (1..=40).collect::<Vec<_>>());
    assert_eq!(
        offsets(&unit, range(5, 9, 3, Order::Ascending)).await,
        [5, 6, 7]
    );
    assert_eq!(
        offsets(&unit, range(5, 9, 3, Order::Descending)).await,
        [9, 8, 7]
    );
    assert_eq!(
        offsets(&unit, range(39, 90, 9, Order::Descending)).await,
        [40, 39]
    );
    assert!(
        offsets(&unit, range(41, 90, 9, Order::Ascending))
            .await
            .is_empty()
    );
    let one = store
        .entries(&chain.ledger, &person, range(7, 7, 1, Order::Ascending))
        .await;
    let one = one.expect("read");
    assert_eq!((one[0].seq, &one[0].entry.content.full[..]), (7, &b"7"[..]));
    let names = store.channels(&chain.ledger, None, 10).await.expect("read");
    assert_eq!(names.len(), 2);
    let rest = store
        .channels(&chain.ledger, Some(&names[0]), 10)
        .await
        .expect("read");
    assert_eq!(rest, names[1..]);
}

async fn ledgers_do_not_mix(store: &impl Store) {
    // Names of which one begins like the other.
    let mut chains = [Chain::new("G1"), Chain::new("G10"), Chain::new("G")];
    for chain in &mut chains {
        let batch = chain.batch(|chain, commit| {
            let text = chain.ledger.to_string();
            commit.records.push(put("k", &text, &["who"], &[]));
            commit.entries.push(chain.entry(&["unit:x"], &text));
        });
        store.commit(batch).await.expect("commit");
    }
    for chain in &chains {
        let rows = store.scan(&chain.ledger, "", None, 10).await.expect("read");
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].1.value, chain.ledger.as_str());
        assert_eq!(
            store
                .commits_since(&chain.ledger, 0, 10)
                .await
                .expect("read")
                .len(),
            1
        );
    }
    assert_eq!(
        store
            .lookup(&IndexKey::new("who"), None, 10)
            .await
            .expect("read")
            .len(),
        3
    );
    let page = store.ledgers(None, 2).await.expect("read");
    let rest = store
        .ledgers(page.last().map(|(id, _)| id), 9)
        .await
        .expect("read");
    assert_eq!((page.len(), rest.len()), (2, 1));
}

async fn keys_are_remembered(store: &impl Store) {
    let mut chain = Chain::new("G1");
    let key = IdempotencyKey::new("k1", "op", b"input");
    let keep = key.clone();
    store
        .commit(chain.batch(|_, commit| commit.idempotency = Some(keep)))
        .await
        .expect("commit");
    let found = store
        .idempotent(&chain.ledger, "u1", &key.key)
        .await
        .expect("read");
    let found = found.expect("remembered");
    assert_eq!((found.seq, found.fingerprint), (1, key.fingerprint));
    assert_eq!(
        store
            .idempotent(&chain.ledger, "u2", &key.key)
            .await
            .expect("read"),
        None
    );
}

async fn the_outbox_is_kept_until_it_is_done(store: &impl Store) {
    let mut chain = Chain::new("G1");
    let item = |n: u64| OutboxItem {
        to: LedgerId::parse("G2").expect("ok"),
        operation: "take".into(),
        input: Bytes::from(n.to_string()),
    };
    for i in 0..3 {
        let batch = chain.batch(|_, commit| commit.outbox = vec![item(i), item(i + 1)]);
        store.commit(batch).await.expect("commit");
    }
    let pending = store.outbox_pending(None, None, 100).await.expect("read");
    assert_eq!(pending.len(), 6);
    store
        .outbox_done(&pending[0], OutboxEnd::Done)
        .await
        .expect("noted");
    store
        .outbox_done(&pending[0], OutboxEnd::Done)
        .await
        .expect("noted again");
    store
        .outbox_done(&pending[3], OutboxEnd::Refused)
        .await
        .expect("noted");
    let left = store
        .outbox_pending(Some(&chain.ledger), Some(&pending[1]), 100)
        .await;
    assert_eq!(
        left.expect("read"),
        [pending[2].clone(), pending[4].clone(), pending[5].clone()]
    );
    assert_eq!(
        store.outbox_refused(None, 10).await.expect("read"),
        [pending[3].clone()]
    );
    let other = LedgerId::parse("G2").expect("ok");
    assert!(
        store
            .outbox_pending(Some(&other), None, 9)
            .await
            .expect("read")
            .is_empty()
    );
}

async fn trimming_leaves_an_anchor(store: &impl Store) {
    let mut chain = Chain::new("~ns.1");
    for i in 0..10 {
        let batch = chain.batch(|chain, commit| {
            commit.entries.push(chain.entry(&["ns:a"], "x"));
            commit.idempotency = Some(IdempotencyKey::new(&i.to_string(), "op", b""));
        });
        store.commit(batch).await.expect("commit");
    }
    let commits = store
        .commits_since(&chain.ledger, 0, 100)
        .await
        .expect("read");
    let name = channel("ns:a");
    let trim = Trim {
        ledger: chain.ledger.clone(),
        channels: vec![(name.clone(), 4)],
        commits_to: 4,
        forget_before_ms: 1_005,
    };
    store.trim(trim.clone()).await.expect("trim");
    store
        .trim(Trim {
            commits_to: 2,
            ..trim
        })
        .await
        .expect("going back changes nothing");
    let anchor = store.anchor(&chain.ledger).await.expect("read");
    assert_eq!(
        anchor,
        Anchor {
            seq: 4,
            hash: commits[3].hash,
            forgotten_before_ms: 1_005
        }
    );
    let heads = store
        .channel_heads(&chain.ledger, std::slice::from_ref(&name))
        .await;
    assert_eq!(
        heads.expect("read"),
        [ChannelHead {
            top: 10,
            trimmed: 4
        }]
    );
    let all = range(1, u64::MAX, 100, Order::Ascending);
    let entries = store
        .entries(&chain.ledger, &name, all)
        .await
        .expect("read");
    assert_eq!(
        entries.iter().map(|e| e.offset).collect::<Vec<_>>(),
        [5, 6, 7, 8, 9, 10]
    );
    let left = store
        .commits_since(&chain.ledger, 0, 100)
        .await
        .expect("read");
    assert_eq!(left[0].commit.seq, 5);
    let key = |i: u64| IdempotencyKey::new(&i.to_string(), "op", b"").key;
    let old = store
        .idempotent(&chain.ledger, "u1", &key(0))
        .await
        .expect("read");
    let young = store
        .idempotent(&chain.ledger, "u1", &key(9))
        .await
        .expect("read");
    assert!(old.is_none() && young.is_some());
    // All entries may go, the last commit may not; and the ledger goes on.
    let trim = Trim {
        ledger: chain.ledger.clone(),
        channels: vec![(name.clone(), u64::MAX)],
        commits_to: u64::MAX,
        forget_before_ms: 0,
    };
    store.trim(trim).await.expect("trim");
    let heads = store
        .channel_heads(&chain.ledger, std::slice::from_ref(&name))
        .await;
    assert_eq!(
        heads.expect("read"),
        [ChannelHead {
            top: 10,
            trimmed: 10
        }]
    );
    assert_eq!(store.anchor(&chain.ledger).await.expect("read").seq, 9);
    let batch = chain.batch(|chain, commit| commit.entries.push(chain.entry(&["ns:a"], "y")));
    store.commit(batch).await.expect("commit");
    let entries = store
        .entries(&chain.ledger, &name, all)
        .await
        .expect("read");
    assert_eq!(entries.iter().map(|e| e.offset).collect::<Vec<_>>(), [11]);
}

async fn trimming_ends_in_the_middle_of_a_batch(store: &impl Store) {
    let mut chain = Chain::new("~ns.1");
    let mut sealed = Vec::new();
    for _ in 0..6 {
        let expected_seq = chain.head.seq;
        let mut commits = Vec::new();
        for _ in 0..5 {
            let entry = chain.entry(&["ns:a"], "x");
            commits.push(chain.next(|commit| commit.entries = vec![entry]));
        }
        sealed.extend(commits.clone());
        let batch = Batch {
            ledger: chain.ledger.clone(),
            expected_seq,
            commits,
        };
        store.commit(batch).await.expect("commit");
    }
    let name = channel("ns:a");
    for to in [3, 5, 6, 17, 17, 25, 29] {
        let trim = Trim {
            ledger: chain.ledger.clone(),
            channels: vec![(name.clone(), to)],
            commits_to: to,
            forget_before_ms: 0,
        };
        store.trim(trim).await.expect("trim");
        let anchor = store.anchor(&chain.ledger).await.expect("read");
        let place = usize::try_from(to).expect("small") - 1;
        assert_eq!((anchor.seq, anchor.hash), (to, sealed[place].hash));
        for after in [0, to, to + 1] {
            let left = store
                .commits_since(&chain.ledger, after, 100)
                .await
                .expect("read");
            let left: Vec<_> = left.iter().map(|sealed| sealed.commit.seq).collect();
            assert_eq!(left, (after.max(to) + 1..=30).collect::<Vec<_>>());
        }
        let all = range(1, u64::MAX, 100, Order::Ascending);
        let entries = store
            .entries(&chain.ledger, &name, all)
            .await
            .expect("read");
        let entries: Vec<_> = entries.iter().map(|entry| entry.offset).collect();
        assert_eq!(entries, (to + 1..=30).collect::<Vec<_>>());
    }
    let batch = chain.batch(|chain, commit| commit.entries.push(chain.entry(&["ns:a"], "y")));
    store.commit(batch).await.expect("the ledger goes on");
}

async fn of_rivals_one_wins<S: Store>(store: Arc<S>) {
    const WRITERS: u128 = 4;
    const EACH: usize = 10;
    let ledger = LedgerId::parse("G1").expect("ok");
    let writers = (0..WRITERS).map(|w| {
        let (store, ledger) = (Arc::clone(&store), ledger.clone());
        async move {
            let mut won = Vec::new();
            while won.len() < EACH {
                let mut chain = Chain::new("G1");
                if let Some(head) = store.head(&ledger).await.expect("read") {
                    chain.head = head;
                }
                let id = uuid::Uuid::from_u128(w << 64 | won.len() as u128);
                let batch = chain.batch(|_, commit| commit.id = id);
                match store.commit(batch).await {
                    Ok(()) => won.push((chain.head.seq, id)),
                    Err(CommitError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            won
        }
    });
    let mut won: Vec<_> = futures_util::future::join_all(writers).await.concat();
    won.sort();
    let read = store.commits_since(&ledger, 0, 1_000).await.expect("read");
    let there: Vec<_> = read
        .iter()
        .map(|sealed| (sealed.commit.seq, sealed.commit.id))
        .collect();
    assert_eq!(
        there, won,
        "each has exactly the numbers it was told it has"
    );
}

async fn concurrent_writers_lose_nothing<S: Store>(store: Arc<S>) {
    let writers = (0..8).map(|w| {
        let store = Arc::clone(&store);
        async move {
            let mut chain = Chain::new(&format!("W{w}"));
            for _ in 0..50 {
                let batch = chain.batch(|chain, commit| {
                    commit.entries.push(chain.entry(&["unit:x"], "x"));
                });
                store.commit(batch).await.expect("commit");
            }
            chain
        }
    });
    for chain in futures_util::future::join_all(writers).await {
        let read = store
            .commits_since(&chain.ledger, 0, 100)
            .await
            .expect("read");
        assert_eq!((read.len(), read[49].hash), (50, chain.head.hash));
    }
}

async fn a_closed_store_refuses(store: &impl Store) {
    let mut chain = Chain::new("G1");
    store.commit(chain.batch(|_, _| {})).await.expect("commit");
    store.close().await.expect("close");
    let refused = store.commit(chain.batch(|_, _| {})).await;
    assert!(
        matches!(refused, Err(CommitError::Store(StoreError::Unavailable(_)))),
        "{refused:?}"
    );
    assert!(matches!(
        store.head(&chain.ledger).await,
        Err(StoreError::Unavailable(_))
    ));
}

#[tokio::test]
async fn the_reference_store_conforms() {
    suite(async || memory::MemoryStore::new()).await;
}

#[tokio::test]
async fn the_embedded_store_conforms() {
    let folders = std::sync::Mutex::new(Vec::new());
    suite(async || {
        let folder = tempfile::tempdir().expect("a folder");
        let opened = fjall::FjallStore::open(folder.path(), &fjall::Options::default());
        folders.lock().expect("not poisoned").push(folder);
        opened.expect("opens")
    })
    .await;
}
