//! Two nodes on one store, and news between them that are lost, doubled and late: each delivers every commit once and in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;

use super::testing::{Bench, Got, run_local};
use super::*;
use crate::store::faulty::Passage;
use crate::store::memory::MemoryStore;
use crate::store::{Batch, CommitError, EntryRange, Order, Store, StoreError, Trim};

fn ledger() -> LedgerId {
    LedgerId::parse("G10001").expect("valid")
}

fn channel() -> ChannelName {
    ChannelName::parse("unit:G10001").expect("valid")
}

fn aside_channel() -> ChannelName {
    ChannelName::parse("group:G10001/g1").expect("valid")
}

fn say() -> Call<()> {
    say_in(channel())
}

fn aside() -> Call<()> {
    say_in(aside_channel())
}

fn say_in(channel: ChannelName) -> Call<()> {
    let append = Append {
        channels: vec![channel],
        content: Content {
            full: Bytes::from_static(b"hej"),
            ..Content::default()
        },
    };
    Call::new("test", Actor::default(), append)
}

/// News on their way to the other node.
#[derive(Default)]
struct Wire(Mutex<Vec<Vec<SealedCommit>>>);

impl Wire {
    fn on_their_way(&self) -> std::sync::MutexGuard<'_, Vec<Vec<SealedCommit>>> {
        self.0.lock().expect("no test panics under this lock")
    }
}

impl Herald for Wire {
    fn durable(&self, _: &LedgerId, commits: &[SealedCommit]) {
        self.on_their_way().push(commits.to_vec());
    }

    fn trimmed(&self, _: &LedgerId) {}

    fn has_others(&self) -> bool {
        true
    }
}

struct Pair {
    store: Arc<MemoryStore>,
    nodes: [Bench<()>; 2],
    /// What each node tells.
    wires: [Arc<Wire>; 2],
}

impl Pair {
    async fn start() -> Self {
        let store = Arc::new(MemoryStore::new());
        let wires = [Arc::new(Wire::default()), Arc::new(Wire::default())];
        let node = |nth: usize| {
            let wire = Arc::clone(&wires[nth]) as Arc<dyn Herald>;
            Bench::with_herald(Arc::clone(&store) as _, wire, nth as u64)
        };
        let nodes = [node(0), node(1)];
        for node in &nodes {
            // Loaded from the beginning, so that all of it must be delivered.
            let loaded = node.ledgers.inspect(&ledger(), |()| ()).await;
            loaded.expect("loads");
        }
        Self {
            store,
            nodes,
            wires,
        }
    }

    async fn write(&self, nth: usize, call: Call<()>) {
        let done = self.nodes[nth].ledgers.call(&ledger(), call).await;
        assert!(done.expect("done").commit.is_some());
    }

    /// Once a node has answered, it has taken in all that was told before.
    async fn settle(&self, nth: usize) {
        let settled = self.nodes[nth].ledgers.inspect(&ledger(), |()| ()).await;
        settled.expect("answers");
    }

    fn delivered(&self, nth: usize) -> Vec<Arc<Commit>> {
        let got = self.nodes[nth].recorder.take();
        let commits = got.into_iter().filter_map(|got| match got {
            Got::Delivery(delivery) => Some(Arc::clone(&delivery.commit)),
            Got::Answer(..) => None,
        });
        commits.collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write {
        node: usize,
    },
    /// News of a node come to the other one.
    Arrive {
        from: usize,
        which: usize,
        stays: bool,
    },
    Lose {
        from: usize,
        which: usize,
    },
    Head {
        node: usize,
    },
    Look {
        node: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0usize..2;
    prop_oneof![
        4 => node.clone().prop_map(|node| Step::Write { node }),
        4 => (node.clone(), 0usize..8, any::<bool>()).prop_map(|(from, which, stays)| Step::Arrive { from, which, stays }),
        1 => (node.clone(), 0usize..8).prop_map(|(from, which)| Step::Lose { from, which }),
        1 => node.clone().prop_map(|node| Step::Head { node }),
        1 => node.prop_map(|node| Step::Look { node }),
    ]
}

async fn play(steps: Vec<Step>) {
    let pair = Pair::start().await;
    for step in steps {
        match step {
            Step::Write { node } => {
                pair.write(node, say()).await;
            }
            Step::Arrive { from, which, stays } => {
                let news = {
                    let mut wire = pair.wires[from].on_their_way();
                    if wire.is_empty() {
                        continue;
                    }
                    let which = which % wire.len();
                    if stays {
                        wire[which].clone()
                    } else {
                        wire.remove(which)
                    }
                };
                let to = &pair.nodes[1 - from].ledgers;
                assert!(to.tell(&ledger(), News::Commits(news)));
            }
            Step::Lose { from, which } => {
                let mut wire = pair.wires[from].on_their_way();
                if !wire.is_empty() {
                    let which = which % wire.len();
                    wire.remove(which);
                }
            }
            Step::Head { node } => {
                let seq = pair.nodes[node].ledgers.positions()[0].1;
                assert!(
                    pair.nodes[1 - node]
                        .ledgers
                        .tell(&ledger(), News::Head(seq))
                );
            }
            Step::Look { node } => assert!(pair.nodes[node].ledgers.tell(&ledger(), News::Look)),
        }
    }
    let there = pair.store.commits_since(&ledger(), 0, 1_000).await;
    let there: Vec<_> = there.expect("read").iter().map(|it| it.commit.id).collect();
    for node in [0, 1] {
        assert!(pair.nodes[node].ledgers.tell(&ledger(), News::Look));
        pair.settle(node).await;
        let delivered: Vec<_> = pair.delivered(node).iter().map(|it| it.id).collect();
        assert_eq!(delivered, there, "node {node}");
        let forks = pair.nodes[node].counted("klokke_ledger_forks_total");
        assert_eq!(forks, 0, "node {node}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_node_delivers_every_commit_once_and_in_order(steps in proptest::collection::vec(step(), 0..40)) {
        run_local(play(steps));
    }
}

#[test]
fn what_the_bus_tells_in_order_needs_no_look_at_the_store() {
    run_local(async {
        let pair = Pair::start().await;
        for _ in 0..3 {
            pair.write(0, say()).await;
        }
        let told = std::mem::take(&mut *pair.wires[0].on_their_way());
        for news in told {
            assert!(pair.nodes[1].ledgers.tell(&ledger(), News::Commits(news)));
        }
        pair.settle(1).await;
        assert_eq!(pair.delivered(1).len(), 3);
        let taken = |way: &str| {
            let series = format!("klokke_ledger_foreign_commits_total{{way=\"{way}\"}}");
            pair.nodes[1].counted(&series)
        };
        assert_eq!((taken("bus"), taken("store")), (3, 0));
    });
}

#[test]
fn who_enters_at_a_node_that_is_behind_gets_no_offset_twice() {
    run_local(enter_at_a_node_that_is_behind(async |_| {}));
}

#[test]
fn nor_where_somebody_has_read_what_is_newer_before() {
    run_local(enter_at_a_node_that_is_behind(async |pair| {
        // A job that needs the extent, and comes to nothing.
        struct Top;
        #[async_trait(?Send)]
        impl Job<()> for Top {
            async fn run(&mut self, cx: &mut View<'_, ()>) -> Result<Bytes, Refusal> {
                cx.channel_top(&aside_channel()).await?;
                Err(Refusal::temporary(100, "error.internal", "not now"))
            }
        }
        let call = Call::new("test", Actor::default(), Top);
        let refused = pair.nodes[1].ledgers.call(&ledger(), call).await;
        assert!(refused.is_err());
    }));
}

async fn enter_at_a_node_that_is_behind(before: impl AsyncFn(&Pair)) {
    {
        let pair = Pair::start().await;
        pair.write(1, say()).await;
        for _ in 0..4 {
            pair.write(0, aside()).await;
        }
        before(&pair).await;
        // Nothing was told: the extent is read from the store, which is ahead of the node.
        let entered = pair.nodes[1].ledgers.enter(
            &ledger(),
            0,
            // Not at hand here: its extent has to be read.
            |()| vec![aside_channel()],
            |entered| ShardAnswer::new(entered.map(|it| (it.seq, it.channels[0].1.top)).ok()),
        );
        entered.expect("taken");
        pair.settle(1).await;
        let mut tops = BTreeMap::new();
        let mut top = None;
        for got in pair.nodes[1].recorder.take() {
            match got {
                Got::Delivery(delivery) => {
                    assert_eq!(
                        top, None,
                        "nothing that the position covers may come after it"
                    );
                    tops.extend(
                        delivery
                            .publications()
                            .map(|(name, offset, _)| (name.clone(), offset)),
                    );
                }
                Got::Answer(_, answer) => {
                    top = answer
                        .downcast::<Option<(u64, u64)>>()
                        .expect("its own type");
                }
            }
        }
        assert_eq!(top, Some((5, 4)));
        assert_eq!(tops.get(&aside_channel()), Some(&4));
    }
}

#[test]
fn a_gap_is_filled_as_soon_as_it_shows() {
    run_local(async {
        let pair = Pair::start().await;
        for _ in 0..3 {
            pair.write(0, say()).await;
        }
        let last = pair.wires[0].on_their_way().remove(2);
        assert!(pair.nodes[1].ledgers.tell(&ledger(), News::Commits(last)));
        pair.settle(1).await;
        assert_eq!(pair.delivered(1).len(), 3);
    });
}

#[test]
fn who_comes_from_a_node_that_knows_more_is_not_told_of_less() {
    run_local(async {
        let pair = Pair::start().await;
        pair.write(1, say()).await;
        for _ in 0..3 {
            pair.write(0, say()).await;
        }
        // It was at the first node, heard three, and recovers at the second.
        let since = crate::store::EntryRange {
            from: 4,
            to: u64::MAX,
            limit: 10,
            order: crate::store::Order::Ascending,
        };
        let read = pair.nodes[1]
            .ledgers
            .read(&ledger(), &channel(), since)
            .await;
        let read = read.expect("read");
        assert_eq!((read.head.top, read.entries.len()), (4, 1));
    });
}

#[test]
fn a_node_that_tells_of_another_commit_with_the_same_number_is_noticed() {
    run_local(async {
        let pair = Pair::start().await;
        pair.write(0, say()).await;
        let other = Bench::<()>::with_herald(
            Arc::new(MemoryStore::new()),
            Arc::clone(&pair.wires[1]) as _,
            7,
        );
        other.ledgers.call(&ledger(), say()).await.expect("done");
        let forged = pair.wires[1].on_their_way().remove(0);
        assert!(pair.nodes[0].ledgers.tell(&ledger(), News::Commits(forged)));
        pair.settle(0).await;
        assert_eq!(pair.nodes[0].counted("klokke_ledger_forks_total"), 1);
        assert_eq!(pair.delivered(0).len(), 1);
    });
}

fn chat() -> (LedgerId, ChannelName) {
    let channel = ChannelName::parse("chat:a").expect("valid");
    (LedgerId::of_channel(&channel).expect("a ledger"), channel)
}

fn trim(commits_to: u64) -> Trim {
    let (ledger, channel) = chat();
    Trim {
        ledger,
        channels: vec![(channel, commits_to)],
        commits_to,
        forget_before_ms: 0,
    }
}

/// A store whose answers are lost, and that cannot be asked, on demand.
#[derive(Default)]
struct Lossy {
    store: MemoryStore,
    loses: std::sync::atomic::AtomicBool,
    is_away: std::sync::atomic::AtomicBool,
    /// Whether retention removes what was written before its writer can read it back.
    trims: std::sync::atomic::AtomicBool,
}

const SEQ: std::sync::atomic::Ordering = std::sync::atomic::Ordering::SeqCst;

#[async_trait]
impl Passage for Lossy {
    fn behind(&self) -> &dyn Store {
        &self.store
    }

    async fn reach(&self) -> Result<&dyn Store, StoreError> {
        if self.is_away.load(SEQ) {
            return Err(StoreError::Unavailable("away".into()));
        }
        Ok(&self.store)
    }

    async fn pass(&self, batch: Batch) -> Result<(), CommitError> {
        if !self.loses.swap(false, SEQ) {
            return self.reach().await?.commit(batch).await;
        }
        let last = batch.commits.last().expect("a commit").clone();
        self.store.commit(batch).await?;
        if self.trims.load(SEQ) {
            let mut next = (*last.commit).clone();
            (next.seq, next.prev_hash) = (last.commit.seq + 1, last.hash);
            next.id = uuid::Uuid::from_u128(1);
            next.idempotency = None;
            next.entries = Vec::new();
            let batch = Batch {
                ledger: next.ledger.clone(),
                expected_seq: last.commit.seq,
                commits: vec![SealedCommit::seal(next)],
            };
            self.store.commit(batch).await?;
            self.store.trim(trim(last.commit.seq)).await?;
        }
        Err(CommitError::Unknown("lost".into()))
    }
}

#[test]
fn what_is_no_longer_there_to_compare_is_unknown_and_not_done_again() {
    run_local(async {
        let store = Arc::new(Lossy::default());
        let node = Bench::<()>::with_herald(Arc::clone(&store) as _, Arc::<Wire>::default(), 0);
        let (ledger, channel) = chat();
        let say = || say_in(channel.clone());
        node.ledgers.call(&ledger, say()).await.expect("done");
        store.loses.store(true, SEQ);
        store.trims.store(true, SEQ);
        let lost = node.ledgers.call(&ledger, say()).await;
        assert!(matches!(lost, Err(CallError::Unknown)), "{lost:?}");
        let head = store.store.head(&ledger).await.expect("read");
        assert_eq!(head.expect("a head").seq, 3, "written once, and the other");
        // And the ledger goes on from what is there.
        let done = node.ledgers.call(&ledger, say()).await.expect("done");
        assert_eq!(done.commit.expect("a commit").seq, 4);
    });
}

#[test]
fn as_long_as_the_outcome_is_open_nothing_is_said_of_the_ledger() {
    run_local(async {
        let store = Arc::new(Lossy::default());
        let node = Bench::<()>::with_herald(Arc::clone(&store) as _, Arc::<Wire>::default(), 0);
        node.ledgers.call(&ledger(), say()).await.expect("done");
        store.loses.store(true, SEQ);
        store.is_away.store(true, SEQ);
        let lost = node.ledgers.call(&ledger(), say()).await;
        assert!(matches!(lost, Err(CallError::Unknown)), "{lost:?}");
        let top = async || {
            let entered = node.ledgers.enter(
                &ledger(),
                0,
                |()| vec![channel()],
                |it| ShardAnswer::new(it.ok().map(|it| it.channels[0].1.top)),
            );
            entered.expect("taken");
            loop {
                let got = node.recorder.take();
                if let Some(Got::Answer(_, answer)) = got.into_iter().next_back() {
                    return answer.downcast::<Option<u64>>().expect("its type");
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(top().await, None, "it may be one or two");
        assert!(node.ledgers.inspect(&ledger(), |()| ()).await.is_err());
        store.is_away.store(false, SEQ);
        assert_eq!(top().await, Some(2));
    });
}

#[test]
fn a_node_that_slept_through_retention_goes_on_from_what_is_left() {
    run_local(async {
        let pair = Pair::start().await;
        let (ledger, channel) = chat();
        let write = async |nth: usize| {
            let done = pair.nodes[nth]
                .ledgers
                .call(&ledger, say_in(channel.clone()));
            done.await.expect("done").commit.expect("a commit").seq
        };
        assert_eq!(write(1).await, 1);
        for seq in 2..=6 {
            assert_eq!(write(0).await, seq);
        }
        pair.store.trim(trim(4)).await.expect("trimmed");
        assert_eq!(write(1).await, 7);
        let all = EntryRange {
            from: 1,
            to: u64::MAX,
            limit: 10,
            order: Order::Ascending,
        };
        let read = pair.nodes[1].ledgers.read(&ledger, &channel, all).await;
        let offsets: Vec<_> = read
            .expect("read")
            .entries
            .iter()
            .map(|it| it.offset)
            .collect();
        assert_eq!(offsets, [5, 6, 7]);
        assert_eq!(pair.nodes[1].counted("klokke_ledger_renewed_total"), 1);
        assert_eq!(pair.nodes[0].counted("klokke_ledger_renewed_total"), 0);
    });
}

#[test]
fn who_holds_another_history_than_the_store_begins_anew() {
    run_local(async {
        let pair = Pair::start().await;
        pair.write(0, say()).await;
        // Of another cluster that has the same ledger: it comes first, and is taken for the next.
        let other = Bench::<()>::with_herald(
            Arc::new(MemoryStore::new()),
            Arc::clone(&pair.wires[1]) as _,
            7,
        );
        for _ in 0..2 {
            other.ledgers.call(&ledger(), say()).await.expect("done");
        }
        for forged in std::mem::take(&mut *pair.wires[1].on_their_way()) {
            assert!(pair.nodes[1].ledgers.tell(&ledger(), News::Commits(forged)));
        }
        pair.settle(1).await;
        // The store has one commit where this node believes in two, and then others than it believes.
        let done = pair.nodes[1]
            .ledgers
            .call(&ledger(), say())
            .await
            .expect("done");
        assert_eq!(done.commit.expect("a commit").seq, 2);
        assert_eq!(pair.nodes[1].counted("klokke_ledger_renewed_total"), 1);
        pair.write(0, say()).await;
        let there = pair
            .store
            .commits_since(&ledger(), 0, 10)
            .await
            .expect("read");
        assert_eq!(there.len(), 3);
    });
}

#[test]
fn what_nobody_here_needs_is_unloaded_though_other_nodes_write_it() {
    run_local(async {
        let (store, wire) = (Arc::new(MemoryStore::new()), Arc::<Wire>::default());
        let idle = std::time::Duration::from_millis(20);
        let node = Bench::<()>::forgetful(Arc::clone(&store) as _, wire, idle);
        let load = async || {
            let loaded = node.ledgers.inspect(&ledger(), |()| ()).await;
            loaded.expect("loads");
        };
        node.recorder.follows.store(true, SEQ);
        load().await;
        // Much longer than it takes: as long as somebody follows it, it stays.
        for _ in 0..20 {
            tokio::time::sleep(idle / 2).await;
            assert!(node.ledgers.tell(&ledger(), News::Look));
            assert_eq!(node.ledgers.loaded(), 1);
        }
        node.recorder.follows.store(false, SEQ);
        while node.ledgers.loaded() > 0 {
            assert!(node.ledgers.tell(&ledger(), News::Look));
            tokio::time::sleep(idle / 4).await;
        }
        load().await;
    });
}

/// A store that answers as long as it has permits.
struct Hanging(MemoryStore, tokio::sync::Semaphore);

#[async_trait]
impl Passage for Hanging {
    fn behind(&self) -> &dyn Store {
        &self.0
    }
    async fn reach(&self) -> Result<&dyn Store, StoreError> {
        self.1.acquire().await.expect("open").forget();
        Ok(&self.0)
    }
    async fn pass(&self, batch: Batch) -> Result<(), CommitError> {
        self.0.commit(batch).await
    }
}

/// A node on it that has written once.
async fn on_hanging() -> (Arc<Hanging>, Bench<()>) {
    let permits = tokio::sync::Semaphore::new(100);
    let store = Arc::new(Hanging(MemoryStore::new(), permits));
    let node = Bench::<()>::with_herald(Arc::clone(&store) as _, Arc::<Wire>::default(), 0);
    node.ledgers.call(&ledger(), say()).await.expect("done");
    store.1.forget_permits(100);
    (store, node)
}

#[test]
fn a_look_that_waits_stands_for_none_that_wants_more() {
    run_local(async {
        let (store, node) = on_hanging().await;
        let before = node.counted("klokke_ledger_read_backs_total");
        assert!(node.ledgers.tell(&ledger(), News::Look));
        for _ in 0..10 {
            tokio::task::yield_now().await; // It begins, and hangs.
        }
        assert!(node.ledgers.tell(&ledger(), News::Head(2)));
        assert!(node.ledgers.tell(&ledger(), News::Look));
        assert!(node.ledgers.tell(&ledger(), News::Head(3)));
        store.1.add_permits(1_000);
        let looked = node.ledgers.inspect(&ledger(), |()| ()).await;
        looked.expect("it goes on");
        let looks = node.counted("klokke_ledger_read_backs_total") - before;
        assert_eq!(looks, 3, "the first, as far as 2, and all");
    });
}

#[test]
fn looks_do_not_pile_up_behind_a_store_that_hangs() {
    run_local(async {
        let (store, node) = on_hanging().await;
        let before = node.counted("klokke_ledger_read_backs_total");
        for round in 0..10 * MAILBOX_CALLS as u64 {
            assert!(node.ledgers.tell(&ledger(), News::Look));
            assert!(node.ledgers.tell(&ledger(), News::Head(round)));
            tokio::task::yield_now().await;
        }
        store.1.add_permits(1_000);
        let looked = node.ledgers.inspect(&ledger(), |()| ()).await;
        looked.expect("there is room for who asks");
        let looks = node.counted("klokke_ledger_read_backs_total") - before;
        assert!((1..=3).contains(&looks), "{looks} looks");
    });
}

#[test]
fn what_another_node_removed_is_not_read_from_memory() {
    run_local(async {
        let pair = Pair::start().await;
        let (ledger, channel) = chat();
        for _ in 0..4 {
            let done = pair.nodes[1].ledgers.call(&ledger, say_in(channel.clone()));
            done.await.expect("done");
        }
        let read = async || {
            let all = EntryRange {
                from: 1,
                to: u64::MAX,
                limit: 10,
                order: Order::Ascending,
            };
            let read = pair.nodes[1].ledgers.read(&ledger, &channel, all).await;
            read.expect("read").entries.len()
        };
        assert_eq!(read().await, 4);
        pair.nodes[0]
            .ledgers
            .remove_history(&channel)
            .await
            .expect("removed");
        assert_eq!(read().await, 4, "it has not heard yet");
        assert!(pair.nodes[1].ledgers.tell(&ledger, News::Look));
        assert_eq!(read().await, 0);
    });
}
