//! What ledgers do is counted, also what seldom happens.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::handle::MAILBOX_CALLS;
use super::testing::{Bench, run_local};
use super::*;
use crate::store::faulty::{Fault, FaultyStore};
use crate::store::memory::MemoryStore;

/// Appends one entry to two channels.
struct Say;

#[async_trait(?Send)]
impl Job<()> for Say {
    async fn run(&mut self, cx: &mut View<'_, ()>) -> Result<Bytes, Refusal> {
        let channels = ["unit:G1", "person:G1/p1"].map(channel);
        cx.append(channels, Content::default());
        Ok(Bytes::new())
    }
}

/// Hands something on to a ledger that does not know it, refuses for now or takes it.
struct HandOn(&'static str);

#[async_trait(?Send)]
impl Job<()> for HandOn {
    async fn run(&mut self, cx: &mut View<'_, ()>) -> Result<Bytes, Refusal> {
        let to = LedgerId::parse("G2").expect("valid");
        cx.outbox(&to, self.0, Bytes::new());
        Ok(Bytes::new())
    }
}

/// Takes it, or refuses for now.
struct Told(bool);

#[async_trait(?Send)]
impl Job<()> for Told {
    async fn run(&mut self, _: &mut View<'_, ()>) -> Result<Bytes, Refusal> {
        if self.0 {
            return Ok(Bytes::new());
        }
        Err(Refusal::temporary(111, "test.busy", "later"))
    }
}

struct Tellings;

impl Inbox<()> for Tellings {
    fn job(&self, _: &LedgerId, operation: &str, _: &Bytes) -> Option<Box<dyn Job<()>>> {
        match operation {
            "tell" => Some(Box::new(Told(true))),
            "tell_later" => Some(Box::new(Told(false))),
            _ => None,
        }
    }
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("valid")
}

fn ledger() -> LedgerId {
    LedgerId::parse("G1").expect("valid")
}

fn call(job: impl Job<()> + 'static) -> Call<()> {
    Call::new("test", Actor::default(), job)
}

impl<S: State> Bench<S> {
    /// What a series stands at; 0 when it is not there.
    pub(crate) fn counted(&self, series: &str) -> i64 {
        let text = self.telemetry.exposition();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// Whether an age is one of years.
    fn is_old(&self, series: &str) -> bool {
        let text = self.telemetry.exposition();
        let age = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        age.is_some_and(|age| age.parse::<f64>().expect("seconds") > 365.0 * 24.0 * 3600.0)
    }

    /// Memory of one kind, over all shards.
    fn held(&self, part: &str) -> i64 {
        let series =
            |shard| format!("klokke_shard_memory_bytes{{shard=\"{shard}\",part=\"{part}\"}}");
        (0..4).map(|shard| self.counted(&series(shard))).sum()
    }
}

#[test]
fn a_call_keeps_its_arrival_until_it_is_delivered() {
    run_local(async {
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        let calls = [call(Say).arrived(11), call(Say), call(Say).arrived(13)];
        for call in calls {
            bench.ledgers.call(&ledger(), call).await.expect("done");
        }
        let got = bench.recorder.take().into_iter();
        let arrived: Vec<u64> = got
            .filter_map(|got| match got {
                super::testing::Got::Delivery(delivery) => Some(delivery.arrived_us),
                super::testing::Got::Answer(..) => None,
            })
            .collect();
        assert_eq!((arrived[0], arrived[2]), (11, 13));
        let now = crate::telemetry::now_us();
        assert!(
            (1..=now).contains(&arrived[1]),
            "without another, when it was called: {arrived:?}"
        );
    });
}

#[test]
fn commits_calls_and_replays_are_counted() {
    run_local(async {
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        let key = IdempotencyKey::new("k", "test", b"");
        for _ in 0..2 {
            let call = call(Say).with_key(key.clone());
            bench.ledgers.call(&ledger(), call).await.expect("done");
        }
        let generic = LedgerId::of_channel(&channel("kept:a")).expect("valid");
        let append = Append {
            channels: vec![channel("kept:a")],
            content: Content::default(),
        };
        bench
            .ledgers
            .call(&generic, call(append))
            .await
            .expect("done");
        for (series, expected) in [
            ("klokke_ledger_commits_total{kind=\"domain\"}", 1),
            ("klokke_ledger_commits_total{kind=\"channel\"}", 1),
            ("klokke_ledger_entries_total", 3),
            ("klokke_ledger_replayed_calls_total", 1),
            ("klokke_ledger_call_duration_seconds_count", 3),
            ("klokke_ledgers_loaded", 2),
            ("klokke_ledger_commit_duration_seconds_count", 2),
            ("klokke_ledger_group_size_sum", 2),
        ] {
            assert_eq!(bench.counted(series), expected, "{series}");
        }
        assert!(bench.held("recent") > 3 * 96, "three rows at least");
        bench.ledgers.drain().await;
        assert_eq!(bench.counted("klokke_ledgers_loaded"), 0);
        assert_eq!(bench.held("recent"), 0, "nothing is loaded");
    });
}

#[test]
fn a_ledger_that_looks_what_the_store_has_is_counted() {
    run_local(async {
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
        let bench = Bench::<()>::on(store.clone());
        store.fail([Fault::UnknownDone]);
        bench
            .ledgers
            .call(&ledger(), call(Say))
            .await
            .expect("done");
        assert_eq!(bench.counted("klokke_ledger_read_backs_total"), 1);
        store.fail([Fault::Rival]);
        bench
            .ledgers
            .call(&ledger(), call(Say))
            .await
            .expect("done");
        assert_eq!(bench.counted("klokke_ledger_read_backs_total"), 2);
        assert_eq!(bench.counted("klokke_ledger_conflicts_total"), 1);
        let commits = bench.counted("klokke_ledger_commits_total{kind=\"domain\"}");
        assert_eq!(commits, 2, "the rival's is not ours");
    });
}

#[test]
fn calls_refused_because_too_many_wait_are_counted() {
    run_local(async {
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        let ledger = ledger();
        let calls = (0..MAILBOX_CALLS + 5).map(|_| bench.ledgers.call(&ledger, call(Say)));
        let done = futures_util::future::join_all(calls).await;
        let refused = done.iter().filter(|it| matches!(it, Err(CallError::Busy)));
        let refused = i64::try_from(refused.count()).expect("few");
        assert!(refused > 0, "so many cannot wait");
        assert_eq!(bench.counted("klokke_ledger_mailbox_full_total"), refused);
        let taken = bench.counted("klokke_ledger_call_duration_seconds_count");
        assert_eq!(usize::try_from(taken + refused), Ok(done.len()));
    });
}

#[cfg(feature = "broken")]
#[test]
fn broken_quietly_no_gap_shows_it() {
    run_local(async {
        crate::broken::choose(crate::broken::Way::DropQuietly);
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        for _ in 0..100 {
            bench
                .ledgers
                .call(&ledger(), call(Say))
                .await
                .expect("done");
        }
        let got = bench.recorder.take().into_iter();
        let deliveries = got.filter_map(|got| match got {
            super::testing::Got::Delivery(delivery) => Some(delivery),
            super::testing::Got::Answer(..) => None,
        });
        let mut tops = std::collections::BTreeMap::new();
        for delivery in deliveries {
            for (channel, offset, _) in delivery.publications() {
                let top = tops.entry(channel.clone()).or_insert(0);
                assert_eq!(offset, *top + 1, "offsets stay dense");
                *top = offset;
            }
        }
        let said: u64 = tops.values().sum();
        assert_eq!(said, 200 - 6, "every 31st of 200 is in no channel");
    });
}

#[test]
fn what_waits_for_other_ledgers_is_counted_until_it_ends() {
    run_local(async {
        let store = Arc::new(MemoryStore::new());
        let bench = Bench::<()>::with_inbox(store.clone(), Arc::new(Tellings));
        // What was said long ago is old, wherever the real clock stands.
        let years = std::time::Duration::from_secs(3 * 365 * 24 * 3600);
        bench.clock.set_back(years);
        assert_eq!(bench.counted("klokke_outbox_oldest_seconds"), 0);
        for operation in ["tell", "no such operation", "tell_later"] {
            let call = call(HandOn(operation));
            bench.ledgers.call(&ledger(), call).await.expect("done");
        }
        let delivery = |outcome| format!("klokke_outbox_deliveries_total{{outcome=\"{outcome}\"}}");
        while bench.counted(&delivery("failed")) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.counted(&delivery("delivered")), 1);
        assert_eq!(bench.counted(&delivery("refused")), 1);
        assert_eq!(bench.counted("klokke_outbox_pending"), 1, "tell_later");
        assert!(bench.is_old("klokke_outbox_oldest_seconds"));
        // What a stop left is counted again by the next start.
        let next = Bench::<()>::with_inbox(store, Arc::new(Tellings));
        next.ledgers.resume_outboxes().await.expect("resumed");
        assert_eq!(next.counted("klokke_outbox_pending"), 1);
        while !next.is_old("klokke_outbox_oldest_seconds") {
            tokio::task::yield_now().await;
        }
    });
}
