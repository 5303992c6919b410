//! The actor and its handle, on the reference store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::testing::{Bench, Got, run_local};
use super::*;
use crate::store::memory::MemoryStore;
use crate::store::{EntryRange, Order, Store};

fn ledger() -> LedgerId {
    LedgerId::parse("G10001").expect("valid")
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("valid")
}

fn say(channels: &[&str], text: &str) -> Append {
    let channels = channels.iter().map(|name| channel(name)).collect();
    Append {
        channels,
        content: Content {
            full: text.to_owned().into(),
            ..Content::default()
        },
    }
}

fn all(limit: usize) -> EntryRange {
    EntryRange {
        from: 1,
        to: u64::MAX,
        limit,
        order: Order::Ascending,
    }
}

fn call(job: impl Job<()> + 'static) -> Call<()> {
    Call::new("test", Actor::default(), job)
}

/// Adds to a counter record and says the new value.
struct Count;

#[async_trait(?Send)]
impl<S: State> Job<S> for Count {
    async fn run(&mut self, cx: &mut View<'_, S>) -> Result<Bytes, Refusal> {
        let id = cx.next_id("c").await?;
        cx.append(
            [channel("unit:G10001")],
            Content {
                full: id.clone().into(),
                ..Content::default()
            },
        );
        Ok(id.into())
    }
}

/// Stages something and then refuses.
struct Refuse;

#[async_trait(?Send)]
impl<S: State> Job<S> for Refuse {
    async fn run(&mut self, cx: &mut View<'_, S>) -> Result<Bytes, Refusal> {
        cx.put(&"left/over".into(), &1)?;
        Err(Refusal::new(103, "test.refused", "always"))
    }
}

#[test]
fn a_call_is_durable_delivered_and_answered() {
    run_local(async {
        let store = Arc::new(MemoryStore::new());
        let bench = Bench::<()>::on(store.clone());
        let done = bench
            .ledgers
            .call(&ledger(), call(say(&["unit:G10001"], "hej")))
            .await;
        let commit = done.expect("done").commit.expect("a commit");
        assert_eq!(commit.seq, 1);
        let head = store.head(&ledger()).await.expect("read").expect("there");
        assert_eq!((head.seq, &head.epoch), (1, &commit.epoch));
        let got = bench.recorder.take();
        assert!(matches!(&got[..], [Got::Delivery(d)] if d.commit.id == commit.id));
        let entries = bench
            .ledgers
            .read(&ledger(), &channel("unit:G10001"), all(10))
            .await;
        let entries = entries.expect("read");
        assert_eq!(entries.head.top, 1);
        assert_eq!(entries.entries[0].entry.content.full, "hej");
    });
}

#[test]
fn jobs_of_one_round_see_each_other() {
    run_local(async {
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        let l = ledger();
        let calls = (0..100).map(|_| bench.ledgers.call(&l, call(Count)));
        let done = futures_util::future::join_all(calls).await;
        let outcomes: Vec<_> = done.into_iter().map(|d| d.expect("done").outcome).collect();
        let wanted: Vec<_> = (1..=100)
            .map(|i| Bytes::from(format!("G10001.c{i}")))
            .collect();
        assert_eq!(outcomes, wanted);
        let entries = bench
            .ledgers
            .read(&l, &channel("unit:G10001"), all(1000))
            .await;
        let offsets: Vec<_> = entries
            .expect("read")
            .entries
            .iter()
            .map(|e| e.offset)
            .collect();
        assert_eq!(offsets, (1..=100).collect::<Vec<_>>());
    });
}

#[test]
fn a_refusal_leaves_nothing() {
    run_local(async {
        let store = Arc::new(MemoryStore::new());
        let bench = Bench::<()>::on(store.clone());
        let refused = bench.ledgers.call(&ledger(), call(Refuse)).await;
        assert!(matches!(refused, Err(CallError::Refused(r)) if r.key == "test.refused"));
        assert_eq!(store.head(&ledger()).await.expect("read"), None);
        assert!(bench.recorder.take().is_empty());
    });
}

#[test]
fn a_retry_gets_the_first_answer_and_changes_nothing() {
    run_local(async {
        let store = Arc::new(MemoryStore::new());
        let bench = Bench::<()>::on(store.clone());
        let key = |input: &str| IdempotencyKey::new("k1", "count", input.as_bytes());
        let l = ledger();
        // Both at once: the second finds the first in the same round.
        let (first, second) = tokio::join!(
            bench.ledgers.call(&l, call(Count).with_key(key("a"))),
            bench.ledgers.call(&l, call(Count).with_key(key("a"))),
        );
        let (first, second) = (first.expect("done"), second.expect("done"));
        assert!(!first.replayed && second.replayed);
        assert_eq!(first.outcome, second.outcome);
        // Later, and after a restart.
        for bench in [bench, Bench::on(store.clone())] {
            let again = bench.ledgers.call(&l, call(Count).with_key(key("a"))).await;
            let again = again.expect("done");
            assert!(again.replayed && again.outcome == first.outcome);
            let other = bench.ledgers.call(&l, call(Count).with_key(key("b"))).await;
            assert!(matches!(other, Err(CallError::IdempotencyConflict)));
        }
        assert_eq!(store.head(&l).await.expect("read").expect("there").seq, 1);
    });
}

#[test]
fn an_enter_is_answered_between_the_commits_around_it() {
    run_local(async {
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        let l = ledger();
        let unit = channel("unit:G10001");
        let ask = unit.clone();
        let before = bench
            .ledgers
            .call(&l, call(say(&["unit:G10001"], "before")));
        let (before, (), after) = tokio::join!(
            before,
            async {
                let asked = bench.ledgers.enter(
                    &l,
                    2,
                    move |()| vec![ask],
                    |entered| {
                        let entered = entered.expect("entered");
                        let (name, head) = entered.channels[0].clone();
                        let recent = entered.recent(&name, 0).expect("in memory");
                        ShardAnswer::new((entered.seq, head.top, recent.len()))
                    },
                );
                asked.expect("asked");
            },
            bench.ledgers.call(&l, call(say(&["unit:G10001"], "after"))),
        );
        before.and(after).expect("done");
        let mut got = bench.recorder.take();
        assert!(matches!(&got[2], Got::Delivery(d) if d.commit.seq == 2));
        assert!(matches!(&got[0], Got::Delivery(d) if d.commit.seq == 1));
        let Got::Answer(2, answer) = got.remove(1) else {
            panic!("the answer stands between")
        };
        assert_eq!(
            answer.downcast::<(u64, u64, usize)>().expect("this type"),
            (1, 1, 1)
        );
    });
}

#[test]
fn a_channel_of_another_ledger_is_refused() {
    run_local(async {
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        let wrong = bench
            .ledgers
            .call(&ledger(), call(say(&["unit:G10002"], "x")))
            .await;
        assert!(matches!(wrong, Err(CallError::Unwritable(_))));
    });
}

#[test]
fn what_the_ring_no_longer_has_comes_from_the_store() {
    run_local(async {
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        let (l, unit) = (ledger(), channel("unit:G10001"));
        for i in 1..=300 {
            let said = bench
                .ledgers
                .call(&l, call(say(&["unit:G10001"], &i.to_string())))
                .await;
            said.expect("done");
        }
        let read = async |from, to, limit, order| {
            let range = EntryRange {
                from,
                to,
                limit,
                order,
            };
            let read = bench.ledgers.read(&l, &unit, range).await.expect("read");
            assert_eq!(read.head.top, 300);
            read.entries
                .iter()
                .map(|entry| entry.offset)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            read(1, u64::MAX, 999, Order::Ascending).await,
            (1..=300).collect::<Vec<_>>()
        );
        assert_eq!(
            read(298, u64::MAX, 999, Order::Ascending).await,
            [298, 299, 300]
        );
        assert_eq!(read(1, u64::MAX, 2, Order::Descending).await, [300, 299]);
        assert_eq!(read(1, 2, 999, Order::Descending).await, [2, 1]);
        assert_eq!(read(170, 175, 3, Order::Ascending).await, [170, 171, 172]);
        assert!(read(301, u64::MAX, 9, Order::Ascending).await.is_empty());
        assert!(read(5, 4, 9, Order::Ascending).await.is_empty());
    });
}

#[test]
fn a_job_that_panics_fails_alone() {
    struct Panics;

    #[async_trait(?Send)]
    impl Job<()> for Panics {
        async fn run(&mut self, cx: &mut View<'_, ()>) -> Result<Bytes, Refusal> {
            cx.put(&"half/done".into(), &1)?;
            panic!("a defect in an operation")
        }
    }

    run_local(async {
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        let l = ledger();
        let (before, failed, after) = tokio::join!(
            bench.ledgers.call(&l, call(Count)),
            bench.ledgers.call(&l, call(Panics)),
            bench.ledgers.call(&l, call(Count)),
        );
        assert!(before.is_ok() && after.is_ok());
        assert!(matches!(failed, Err(CallError::Closed)));
        let left = bench
            .ledgers
            .store()
            .get(&l, &"half/done".into())
            .await
            .expect("read");
        assert_eq!(left, None);
    });
}

#[test]
fn records_are_seen_through_everything_staged() {
    struct Indexed;

    #[async_trait(?Send)]
    impl Job<()> for Indexed {
        async fn run(&mut self, cx: &mut View<'_, ()>) -> Result<Bytes, Refusal> {
            let count = cx.scan::<u64>("row/", None, 100).await?.len() as u64;
            let key = RecordKey::from(format!("row/{count}"));
            cx.put_indexed(&key, &count, vec![IndexKey::new("rows")])
                .await?;
            if count > 0 {
                let before = RecordKey::from(format!("row/{}", count - 1));
                cx.put_indexed(&before, &count, vec![]).await?;
            }
            assert_eq!(
                cx.scan::<u64>("row/", None, 100).await?.len() as u64,
                count + 1
            );
            Ok(Bytes::new())
        }
    }

    run_local(async {
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        let l = ledger();
        let calls = (0..10).map(|_| bench.ledgers.call(&l, call(Indexed)));
        for done in futures_util::future::join_all(calls).await {
            done.expect("done");
        }
        let rows = bench
            .ledgers
            .lookup(&IndexKey::new("rows"), None, 100)
            .await
            .expect("read");
        assert_eq!(
            rows,
            [(l, RecordKey::from("row/9"))],
            "each took the one before out again"
        );
    });
}

/// What doors do from other threads must be allowed there.
#[test]
fn the_handle_works_from_any_thread() {
    fn sendable<T: Send>(_: T) {}
    fn shared<T: Send + Sync>() {}
    shared::<Ledgers<()>>();
    run_local(async {
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        let (l, unit) = (ledger(), channel("unit:G10001"));
        sendable(bench.ledgers.call(&l, call(Count)));
        sendable(bench.ledgers.read(&l, &unit, all(1)));
        sendable(bench.ledgers.inspect(&l, |()| 1));
        sendable(bench.ledgers.resume_outboxes());
        sendable(bench.ledgers.drain());
    });
}

#[test]
fn what_is_shown_has_no_content_and_what_is_exported_has_all() {
    run_local(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let bench = Bench::<()>::on(Arc::clone(&store));
        let actor = Actor {
            subject: "somebody".into(),
            ..Actor::default()
        };
        let secret = Call::new("say", actor, say(&["unit:G10001"], "{\"text\":\"secret\"}"));
        bench.ledgers.call(&ledger(), secret).await.expect("done");
        let (mut shown, mut exported) = (String::new(), Vec::new());
        let count = inspect::walk(&store, &ledger(), 0, u64::MAX, &mut |sealed| {
            let line = inspect::Shown::of(sealed);
            shown += &format!("{line}{}", serde_json::to_string(&line)?);
            exported.push(inspect::export_line(sealed));
            Ok(())
        })
        .await;
        assert_eq!(count.expect("walked"), 1);
        assert!(
            !shown.contains("secret") && !shown.contains("somebody"),
            "{shown}"
        );
        let line: serde_json::Value = serde_json::from_str(&exported[0]).expect("JSON");
        assert_eq!(line["entries"][0]["full"]["text"], "secret");
        assert_eq!(line["actor"]["subject"], "somebody");
        assert!(!exported[0].contains('\n'));
    });
}
