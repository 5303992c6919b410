//! The actor against a plain model: random calls with keys, refusals and failures of the store.
//! Whatever happens, what is durable, what was delivered and what callers were told must agree.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::inspect::verify;
use super::testing::{Bench, Got, run_local};
use super::*;
use crate::store::faulty::{Fault, FaultyStore};
use crate::store::memory::MemoryStore;
use crate::store::{EntryRange, Order, OutboxEnd, OutboxKey, Store};

/// Adds to a record and says so, or refuses, or hands on to another ledger.
#[derive(Debug, Clone)]
struct Step {
    id: u64,
    record: u8,
    refuse: bool,
}

#[async_trait(?Send)]
impl Job<Total> for Step {
    async fn run(&mut self, cx: &mut View<'_, Total>) -> Result<Bytes, Refusal> {
        let key = RecordKey::from(format!("sum/{}", self.record));
        let sum: u64 = cx.get(&key).await?.unwrap_or(0);
        cx.put(&key, &(sum + self.id))?;
        if self.refuse {
            return Err(Refusal::new(103, "test.refused", "told to"));
        }
        if self.record == 0 {
            // A resident record: the next job must see it in the state.
            let seen = cx.state().0;
            cx.put(&"total/all".into(), &(seen + 1))?;
        }
        let full = Bytes::from(self.id.to_string());
        let channel = ChannelName::parse("unit:G1").expect("valid");
        cx.append(
            [channel],
            Content {
                full,
                ..Content::default()
            },
        );
        Ok(Bytes::from(self.id.to_string()))
    }
}

/// Resident: how often record 0 was written.
#[derive(Debug)]
struct Total(u64);

impl State for Total {
    type Change = u64;
    const RESIDENT: &'static [&'static str] = &["total/"];

    fn new(_: &LedgerId) -> Self {
        Self(0)
    }

    fn renewed(&self, _: &Self, _: u64) -> Vec<Self::Change> {
        Vec::new()
    }

    fn load(&mut self, _: &RecordKey, value: &[u8]) -> Result<(), Damage> {
        self.0 = serde_json::from_slice(value).map_err(|_| Damage {
            reason: "no number",
        })?;
        Ok(())
    }

    fn apply(&mut self, commit: &Commit) -> Vec<u64> {
        let change = commit
            .records
            .iter()
            .find(|change| change.key.as_str() == "total/all");
        let value = change.and_then(|change| change.value.as_ref());
        let value = value.and_then(|value| serde_json::from_slice(value).ok());
        self.0 = value.unwrap_or(self.0);
        value.into_iter().collect()
    }
}

fn fault(random: &mut StdRng) -> Fault {
    match random.random_range(0..12) {
        0 => Fault::Unavailable,
        1 => Fault::UnknownDone,
        2 => Fault::UnknownNot,
        3 => Fault::Rival,
        _ => Fault::None,
    }
}

async fn one_run(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let ledger = LedgerId::parse("G1").expect("valid");
    let bench = Bench::<Total>::on(Arc::<FaultyStore>::clone(&store));
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    let mut id = 0;
    for _ in 0..20 {
        let faults: Vec<_> = (0..3).map(|_| fault(&mut random)).collect();
        store.fail(faults);
        let steps: Vec<_> = (0..random.random_range(1..8))
            .map(|_| {
                // Now and then the same call again, under the same key.
                if id == 0 || random.random_bool(0.85) {
                    id += 1;
                }
                // What a step does follows from its id, so that a repeated key is a retry.
                Step {
                    id,
                    record: (id % 3) as u8,
                    refuse: id % 7 == 0,
                }
            })
            .collect();
        let calls = steps.iter().map(|step| {
            let key = IdempotencyKey::new(&step.id.to_string(), "step", b"");
            let call = Call::new("step", Actor::default(), step.clone()).with_key(key);
            bench.ledgers.call(&ledger, call)
        });
        let answers = futures_util::future::join_all(calls).await;
        for (step, answer) in steps.into_iter().zip(answers) {
            match answer {
                Ok(done) => {
                    assert_eq!(done.outcome, step.id.to_string());
                    acknowledged.push(step.id);
                }
                Err(CallError::Refused(_)) => refused.push(step.id),
                Err(error) => assert!(error.is_temporary(), "seed {seed}: {error}"),
            }
        }
    }
    judge(seed, &bench, &store.inner, &ledger, &acknowledged, &refused).await;
}

async fn judge(
    seed: u64,
    bench: &Bench<Total>,
    store: &Arc<dyn Store>,
    ledger: &LedgerId,
    acknowledged: &[u64],
    refused: &[u64],
) {
    let commits = store
        .commits_since(ledger, 0, usize::MAX)
        .await
        .expect("read");
    let mut sums = BTreeMap::<u64, u64>::new();
    let mut said = Vec::new();
    for commit in commits
        .iter()
        .map(|sealed| &sealed.commit)
        .filter(|c| *c.operation == *"step")
    {
        let id: u64 = std::str::from_utf8(&commit.outcome)
            .expect("text")
            .parse()
            .expect("a number");
        *sums.entry(id % 3).or_default() += id;
        said.push(id);
    }
    let mut unique = said.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(
        unique.len(),
        said.len(),
        "seed {seed}: something happened twice"
    );
    assert!(
        acknowledged.iter().all(|id| said.contains(id)),
        "seed {seed}: an answer was a lie"
    );
    assert!(
        refused.iter().all(|id| !said.contains(id)),
        "seed {seed}: a refusal left something"
    );
    for (record, sum) in sums {
        let row = store
            .get(ledger, &format!("sum/{record}").into())
            .await
            .expect("read");
        assert_eq!(
            row.expect("there").value,
            sum.to_string(),
            "seed {seed}: lost update"
        );
    }
    // Shards got every commit once and in order.
    let delivered: Vec<_> = bench.recorder.take();
    let seqs = delivered.iter().map(|got| match got {
        Got::Delivery(delivery) => delivery.commit.seq,
        Got::Answer(..) => 0,
    });
    assert!(
        seqs.eq(1..=commits.len() as u64),
        "seed {seed}: deliveries out of order"
    );
    // Reading through the actor gives the same, and the resident state is the last one written.
    let unit = ChannelName::parse("unit:G1").expect("valid");
    let all = EntryRange {
        from: 1,
        to: u64::MAX,
        limit: 9_999,
        order: Order::Ascending,
    };
    let read = bench.ledgers.read(ledger, &unit, all).await.expect("read");
    let read: Vec<_> = read
        .entries
        .iter()
        .map(|e| e.entry.content.full.clone())
        .collect();
    let wanted: Vec<_> = said.iter().map(|id| Bytes::from(id.to_string())).collect();
    assert_eq!(read, wanted, "seed {seed}");
    let zeros = said.iter().filter(|id| *id % 3 == 0).count() as u64;
    let total = bench
        .ledgers
        .inspect(ledger, |total| total.0)
        .await
        .expect("looked");
    assert_eq!(total, zeros, "seed {seed}: a job saw an old state");
    let report = verify(store, None, &mut |_| {}).await;
    assert_eq!(report.findings, [], "seed {seed}");
}

#[test]
fn actor_store_and_callers_agree_whatever_fails() {
    let first: u64 = rand::random::<u32>().into();
    for seed in first..first + 100 {
        run_local(one_run(seed));
    }
}

/// Hands a number on to the next ledger, which says it.
struct HandOn(u64);

#[async_trait(?Send)]
impl Job<()> for HandOn {
    async fn run(&mut self, cx: &mut View<'_, ()>) -> Result<Bytes, Refusal> {
        let to = LedgerId::parse("G2").expect("valid");
        cx.outbox(&to, "say", Bytes::from(self.0.to_string()));
        Ok(Bytes::new())
    }
}

struct Sayings;

impl Inbox<()> for Sayings {
    fn job(&self, _: &LedgerId, operation: &str, input: &Bytes) -> Option<Box<dyn Job<()>>> {
        let content = Content {
            full: input.clone(),
            ..Content::default()
        };
        let channels = vec![ChannelName::parse("unit:G2").expect("valid")];
        (operation == "say").then(|| Box::new(Append { channels, content }) as Box<dyn Job<()>>)
    }
}

async fn settled(store: &dyn Store) {
    while !store
        .outbox_pending(None, None, 1)
        .await
        .expect("read")
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_outbox_item_has_its_effect_exactly_once() {
    run_local(async {
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let (from, to) = (
            LedgerId::parse("G1").expect("ok"),
            LedgerId::parse("G2").expect("ok"),
        );
        let bench = Bench::<()>::with_inbox(Arc::clone(&memory), Arc::new(Sayings));
        for i in 0..5 {
            let call = Call::new("hand_on", Actor::default(), HandOn(i));
            bench.ledgers.call(&from, call).await.expect("done");
        }
        settled(&*memory).await;
        // Delivered again, as after a crash between the delivery and the note of its end.
        let item = memory
            .commits_since(&from, 2, 1)
            .await
            .expect("read")
            .remove(0);
        let item = item.commit.outbox[0].clone();
        let job = Sayings
            .job(&from, &item.operation, &item.input)
            .expect("an operation");
        let again = Call {
            job,
            actor: Actor::default(),
            operation: Arc::clone(&item.operation),
            idempotency: Some(IdempotencyKey::of_outbox(&from, 3, 0, &item)),
            arrived_us: 0,
            leaves_free_percent: 0,
        };
        assert!(bench.ledgers.call(&to, again).await.expect("done").replayed);
        let said = memory.commits_since(&to, 0, 100).await.expect("read");
        let said: Vec<_> = said
            .iter()
            .map(|s| s.commit.entries[0].content.full.clone())
            .collect();
        assert_eq!(said, ["0", "1", "2", "3", "4"]);
        assert_eq!(verify(&memory, None, &mut |_| {}).await.findings, []);
        bench.ledgers.drain().await;
        let late = Call::new("hand_on", Actor::default(), HandOn(9));
        assert!(matches!(
            bench.ledgers.call(&from, late).await,
            Err(CallError::Closed)
        ));
    });
}

#[test]
fn an_outbox_item_that_vanished_is_found() {
    run_local(async {
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let mut chain = crate::store::chain::Chain::new("G1");
        let to = LedgerId::parse("G2").expect("ok");
        let item = OutboxItem {
            to,
            operation: "say".into(),
            input: Bytes::new(),
        };
        let batch = chain.batch(|_, commit| commit.outbox = vec![item.clone(), item]);
        memory.commit(batch).await.expect("commit");
        assert_eq!(
            verify(&memory, None, &mut |_| {}).await.findings,
            [],
            "both wait"
        );
        let gone = OutboxKey {
            source: chain.ledger.clone(),
            seq: 1,
            n: 0,
        };
        memory
            .outbox_done(&gone, OutboxEnd::Done)
            .await
            .expect("noted without a delivery");
        assert_eq!(verify(&memory, None, &mut |_| {}).await.findings.len(), 1);
    });
}

#[test]
fn a_waiting_outbox_is_resumed_after_a_restart() {
    run_local(async {
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let from = LedgerId::parse("G1").expect("ok");
        // Written by a server that stopped before it delivered: no actor ever saw it.
        let mut chain = crate::store::chain::Chain::new("G1");
        let batch = chain.batch(|_, commit| {
            let to = LedgerId::parse("G2").expect("ok");
            let say = |text: &'static str, operation: &str| OutboxItem {
                to: to.clone(),
                operation: operation.into(),
                input: Bytes::from_static(text.as_bytes()),
            };
            commit.outbox = vec![
                say("a", "say"),
                say("b", "no such operation"),
                say("c", "say"),
            ];
        });
        memory.commit(batch).await.expect("commit");
        let bench = Bench::<()>::with_inbox(Arc::clone(&memory), Arc::new(Sayings));
        assert_eq!(bench.ledgers.resume_outboxes().await.expect("resumed"), 1);
        settled(&*memory).await;
        let to = LedgerId::parse("G2").expect("ok");
        assert_eq!(memory.head(&to).await.expect("read").expect("there").seq, 2);
        let aside = memory.outbox_refused(None, 9).await.expect("read");
        assert_eq!(
            aside,
            [OutboxKey {
                source: from,
                seq: 1,
                n: 1
            }]
        );
    });
}

#[test]
fn an_outbox_item_that_cannot_be_read_holds_up_no_other() {
    run_local(async {
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let mut chain = crate::store::chain::Chain::new("G1");
        for _ in 0..2 {
            let batch = chain.batch(|_, commit| {
                commit.outbox = vec![OutboxItem {
                    to: LedgerId::parse("G2").expect("ok"),
                    operation: "say".into(),
                    input: Bytes::from_static(b"a"),
                }];
            });
            memory.commit(batch).await.expect("commit");
        }
        // The first item's commit is gone.
        let trim = crate::store::Trim {
            ledger: chain.ledger.clone(),
            channels: Vec::new(),
            commits_to: 1,
            forget_before_ms: 0,
        };
        memory.trim(trim).await.expect("trimmed");
        let bench = Bench::<()>::with_inbox(Arc::clone(&memory), Arc::new(Sayings));
        assert_eq!(bench.ledgers.resume_outboxes().await.expect("resumed"), 1);
        settled(&*memory).await;
        let to = LedgerId::parse("G2").expect("ok");
        assert_eq!(memory.head(&to).await.expect("read").expect("there").seq, 1);
        let aside = memory.outbox_refused(None, 9).await.expect("read");
        assert_eq!(aside.iter().map(|it| it.seq).collect::<Vec<_>>(), [1]);
    });
}

#[test]
fn an_idle_ledger_is_unloaded_and_comes_back() {
    run_local(async {
        tokio::time::pause();
        let bench = Bench::<()>::on(Arc::new(MemoryStore::new()));
        let ledger = LedgerId::parse("G1").expect("ok");
        let say = || {
            let channels = vec![ChannelName::parse("unit:G1").expect("ok")];
            Call::new(
                "say",
                Actor::default(),
                Append {
                    channels,
                    content: Content::default(),
                },
            )
        };
        bench.ledgers.call(&ledger, say()).await.expect("done");
        assert_eq!(bench.ledgers.loaded(), 1);
        tokio::time::advance(IDLE_UNLOAD * 2).await;
        while bench.ledgers.loaded() > 0 {
            tokio::task::yield_now().await;
        }
        let done = bench.ledgers.call(&ledger, say()).await.expect("done");
        assert_eq!(done.commit.expect("a commit").seq, 2);
    });
}
