//! Two nodes on one store, each following the other: over a bus in memory that can be cut, and over a real NATS.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::ledger::testing::{Bench, Got, run_local};
use crate::ledger::{
    Actor, Append, Call, ChannelName, Clock, Commit, Content, Herald as _, LedgerId,
};
use crate::store::memory::MemoryStore;

/// A bus in memory. What is told while it is cut is lost.
#[derive(Default)]
pub(super) struct Hall {
    listeners: Mutex<Vec<queue::Sender<Incoming>>>,
    is_cut: AtomicBool,
}

struct Seat {
    hall: Arc<Hall>,
    nth: usize,
}

impl Hall {
    pub(super) fn join(self: &Arc<Self>) -> Connected {
        let (tell, incoming) = queue::incoming();
        let mut listeners = self
            .listeners
            .lock()
            .expect("no test panics under this lock");
        assert!(tell.try_send(Incoming::Up), "there is room");
        listeners.push(tell);
        let (hall, nth) = (Arc::clone(self), listeners.len() - 1);
        (Arc::new(Seat { hall, nth }), incoming)
    }

    pub(super) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
        let said = if is_cut { Incoming::Down } else { Incoming::Up };
        for listener in &*self
            .listeners
            .lock()
            .expect("no test panics under this lock")
        {
            assert!(listener.try_send(said.clone()), "there is room");
        }
    }
}

impl Bus for Seat {
    fn tell(&self, message: Bytes) -> bool {
        if self.hall.is_cut.load(Ordering::SeqCst) {
            return false;
        }
        let listeners = self
            .hall
            .listeners
            .lock()
            .expect("no test panics under this lock");
        for (nth, listener) in listeners.iter().enumerate() {
            if nth != self.nth {
                // A listener that is gone hears nothing.
                let _ = listener.try_send(Incoming::Message(message.clone()));
            }
        }
        true
    }
}

fn ledger() -> LedgerId {
    LedgerId::parse("G10001").expect("valid")
}

fn say(text: &str) -> Call<()> {
    let append = Append {
        channels: vec![ChannelName::parse("unit:G10001").expect("valid")],
        content: Content {
            full: text.to_owned().into(),
            ..Content::default()
        },
    };
    Call::new("test", Actor::default(), append)
}

pub(super) fn node_id(nth: u64) -> NodeId {
    NodeId::new(Uuid::from_u128(u128::from(nth) + 1))
}

pub(super) fn hello(name: &str) -> Hello {
    Hello {
        name: name.into(),
        version: "1".into(),
        settings: 1,
        now_ms: 1_800_000_000_000,
        leaving: false,
        gone: false,
    }
}

/// Never looks by the clock unless a test says so.
const PACE: Pace = Pace {
    hello: Duration::from_millis(20),
    look_when_down: Duration::from_millis(40),
    look_when_up: Duration::from_secs(3_600),
    skew_max: Duration::from_secs(1),
};

/// A node that follows; it stops with this.
struct Following {
    bench: Bench<()>,
    /// What its herald counts.
    dropped: crate::telemetry::Telemetry,
    members: Shared,
    task: tokio::task::JoinHandle<()>,
    heard: Mutex<Vec<Arc<Commit>>>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Following {
    async fn start(store: &Arc<MemoryStore>, connected: Connected, nth: u64) -> Self {
        Self::start_as(store, connected, nth, hello("a node")).await
    }

    async fn start_as(
        store: &Arc<MemoryStore>,
        connected: Connected,
        nth: u64,
        hello: Hello,
    ) -> Self {
        let own = NodeId::new(Uuid::from_u128(u128::from(nth) + 1));
        let telemetry = crate::telemetry::Telemetry::new();
        let herald = BusHerald::new(Arc::clone(&connected.0), own, &telemetry.meters());
        assert!(herald.has_others());
        let bench = Bench::with_herald(Arc::clone(store) as _, Arc::new(herald), nth);
        bench
            .ledgers
            .inspect(&ledger(), |()| ())
            .await
            .expect("loads");
        let ledgers = bench.ledgers.clone();
        let clock: Arc<dyn Clock> = Arc::clone(&bench.clock) as _;
        let meters = bench.telemetry.meters();
        let members = Shared::new(Members::new(own, 60_000));
        let known = members.clone();
        let task = tokio::task::spawn_local(async move {
            let bus = Some(Arc::clone(&connected.0));
            let asks = Asks::new(own, bus, known, Arc::clone(&clock), &meters);
            follow(ledgers, connected, asks, hello, clock, PACE, &meters).await;
        });
        Self {
            bench,
            dropped: telemetry,
            members,
            task,
            heard: Mutex::default(),
        }
    }

    /// Waits until so many commits were delivered here; they must be dense.
    async fn delivers(&self, count: usize) {
        let enough = async {
            loop {
                let mut heard = std::mem::take(&mut *self.heard.lock().expect("one test"));
                for got in self.bench.recorder.take() {
                    if let Got::Delivery(delivery) = got {
                        heard.push(Arc::clone(&delivery.commit));
                    }
                }
                let seqs: Vec<u64> = heard.iter().map(|commit| commit.seq).collect();
                let dense: Vec<u64> = (1..=heard.len() as u64).collect();
                assert_eq!(seqs, dense, "each once and in order");
                let is_enough = heard.len() >= count;
                *self.heard.lock().expect("one test") = heard;
                if is_enough {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), enough).await;
        waited.expect("it comes");
    }

    async fn write(&self) {
        let done = self.bench.ledgers.call(&ledger(), say("hej")).await;
        assert!(done.expect("done").commit.is_some());
    }

    fn counted(&self, series: &str) -> i64 {
        self.bench.counted(series)
    }
}

impl Following {
    /// Waits until a figure is so.
    async fn counts(&self, series: &str, wanted: i64) {
        let so = async {
            while self.counted(series) != wanted {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), so).await;
        waited.unwrap_or_else(|_| panic!("{series} is {}, not {wanted}", self.counted(series)));
    }
}

#[test]
fn who_leaves_hands_over_and_says_at_the_end_that_it_is_gone() {
    run_local(async {
        let (store, hall) = (Arc::new(MemoryStore::new()), Arc::new(Hall::default()));
        let mut one = Following::start(&store, hall.join(), 0).await;
        let other = Following::start(&store, hall.join(), 1).await;
        other.counts("centrifugo_node_num_nodes", 2).await;
        let lots: Vec<_> = (0..20)
            .map(|n| LedgerId::parse(&format!("G{n}")).expect("valid"))
            .collect();
        for ledger in &lots {
            one.bench
                .ledgers
                .inspect(ledger, |()| ())
                .await
                .expect("loads");
        }
        assert_eq!(other.bench.ledgers.loaded(), 1);
        one.members.leave();
        // All of them: there is nobody else.
        other
            .counts("klokke_cluster_ledgers_taken_over_total", 20)
            .await;
        assert!(lots.iter().all(|ledger| other.members.prefers(ledger)));
        assert_eq!(
            other.counted("centrifugo_node_num_nodes"),
            2,
            "it still has something to do"
        );
        one.members.go();
        other.counts("centrifugo_node_num_nodes", 1).await;
        let ended = tokio::time::timeout(Duration::from_secs(30), &mut one.task).await;
        ended
            .expect("it follows nobody any more")
            .expect("no panic");
    });
}

#[test]
fn nodes_that_differ_are_counted() {
    run_local(async {
        let (store, hall) = (Arc::new(MemoryStore::new()), Arc::new(Hall::default()));
        let one = Following::start(&store, hall.join(), 0).await;
        let newer = Hello {
            version: "2".into(),
            settings: 2,
            ..hello("newer")
        };
        let other = Following::start_as(&store, hall.join(), 1, newer).await;
        one.counts("klokke_cluster_odd_nodes{oddity=\"settings\"}", 1)
            .await;
        assert_eq!(one.counted("klokke_cluster_odd_nodes{oddity=\"clock\"}"), 0);
        assert_eq!(one.counted("klokke_cluster_members{version=\"1\"}"), 1);
        assert_eq!(one.counted("klokke_cluster_members{version=\"2\"}"), 1);
        other.members.go();
        one.counts("klokke_cluster_members{version=\"2\"}", 0).await;
        one.counts("klokke_cluster_odd_nodes{oddity=\"settings\"}", 0)
            .await;
        // A clock that is far off, as a greeting of its own tells it.
        let (stranger, _incoming) = hall.join();
        let late = Hello {
            now_ms: 1,
            ..hello("late")
        };
        let id = NodeId::new(Uuid::from_u128(99));
        assert!(stranger.tell(super::wire::hello(id, &late)));
        one.counts("klokke_cluster_odd_nodes{oddity=\"clock\"}", 1)
            .await;
    });
}

/// What must hold over any bus.
async fn each_follows_the_other(one: &Following, other: &Following) {
    for n in 1..=10 {
        one.write().await;
        other.delivers(2 * n - 1).await;
        other.write().await;
        one.delivers(2 * n).await;
    }
    let told = "klokke_ledger_foreign_commits_total{way=\"bus\"}";
    assert!(
        one.counted(told) + other.counted(told) > 0,
        "nothing came over the bus"
    );
}

#[test]
fn over_a_bus_in_memory() {
    run_local(async {
        let (store, hall) = (Arc::new(MemoryStore::new()), Arc::new(Hall::default()));
        let one = Following::start(&store, hall.join(), 0).await;
        let other = Following::start(&store, hall.join(), 1).await;
        each_follows_the_other(&one, &other).await;
        assert_eq!(one.counted("centrifugo_node_num_nodes"), 2);
        assert_eq!(one.counted("klokke_bus_up"), 1);
    });
}

#[test]
fn while_the_bus_is_away_the_store_is_looked_at() {
    run_local(async {
        let (store, hall) = (Arc::new(MemoryStore::new()), Arc::new(Hall::default()));
        let one = Following::start(&store, hall.join(), 0).await;
        let other = Following::start(&store, hall.join(), 1).await;
        one.write().await;
        other.delivers(1).await;
        hall.cut(true);
        for n in 2..=5 {
            one.write().await;
            other.delivers(n).await;
        }
        assert_eq!(other.counted("klokke_bus_up"), 0);
        assert!(other.counted("klokke_bus_looks_total") > 0);
        let dropped = one.dropped.exposition();
        let series = "klokke_bus_dropped_total{direction=\"out\"} 4";
        assert!(dropped.contains(series), "{dropped}");
        assert!(other.counted("klokke_ledger_foreign_commits_total{way=\"store\"}") > 0);
        hall.cut(false);
        other.write().await;
        one.delivers(6).await;
        assert_eq!(other.counted("klokke_bus_up"), 1);
    });
}

#[test]
fn what_was_written_unseen_is_found_by_the_positions() {
    run_local(async {
        let (store, hall) = (Arc::new(MemoryStore::new()), Arc::new(Hall::default()));
        let one = Following::start(&store, hall.join(), 0).await;
        let other = Following::start(&store, hall.join(), 1).await;
        one.write().await;
        other.delivers(1).await;
        // Lost without anybody's noticing: nobody is told that the bus was away.
        hall.is_cut.store(true, Ordering::SeqCst);
        one.write().await;
        hall.is_cut.store(false, Ordering::SeqCst);
        other.delivers(2).await;
    });
}

#[test]
fn what_is_no_message_is_counted_and_passed_over() {
    run_local(async {
        let (store, hall) = (Arc::new(MemoryStore::new()), Arc::new(Hall::default()));
        let one = Following::start(&store, hall.join(), 0).await;
        let other = Following::start(&store, hall.join(), 1).await;
        let (stranger, _incoming) = hall.join();
        let newer = prost::bytes::Bytes::from_static(&[0x08, 0x63]);
        for message in [Bytes::from_static(b"\xff\xff\xff"), newer, Bytes::new()] {
            assert!(stranger.tell(message));
        }
        each_follows_the_other(&one, &other).await;
        let series = "klokke_bus_messages_total{direction=\"in\",kind=\"undecodable\"}";
        assert_eq!(other.counted(series), 3);
    });
}

/// A real NATS server; it ends with this.
pub(super) struct Real {
    pub(super) url: String,
    child: std::process::Child,
    _folder: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill(); // Already gone is as good.
        let _ = self.child.wait();
    }
}

impl Real {
    pub(super) fn start() -> Self {
        Self::start_by("")
    }

    /// With a configuration file.
    pub(super) fn start_by(configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("nats-server.conf");
        std::fs::write(&file, configuration).expect("written");
        let program = std::env::var_os("KLOKKE_NATS").expect("KLOKKE_NATS names the program");
        let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = probe.local_addr().expect("bound").port();
        drop(probe);
        let mut command = std::process::Command::new(program);
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
        command.arg("--config").arg(&file);
        let quiet = std::process::Stdio::null;
        let child = command.stdout(quiet()).stderr(quiet()).spawn();
        Self {
            url: format!("nats://127.0.0.1:{port}"),
            child: child.expect("it starts"),
            _folder: folder,
        }
    }
}

#[test]
#[ignore = "needs a real NATS: `cargo xtask test --only cluster`"]
fn over_nats() {
    let real = Real::start();
    let settings = |node: &str, cluster: &str| NatsSettings {
        urls: vec![real.url.clone()],
        cluster: cluster.to_owned(),
        node: node.to_owned(),
        ..NatsSettings::default()
    };
    run_local(async {
        let store = Arc::new(MemoryStore::new());
        let foreign = nats(&settings("foreign", "another"), node_id(7)).await;
        let mut foreign = foreign.expect("it begins").1;
        let connected = nats(&settings("one", "ours"), node_id(0))
            .await
            .expect("it begins");
        let one = Following::start(&store, connected, 0).await;
        let connected = nats(&settings("other", "ours"), node_id(1))
            .await
            .expect("it begins");
        let other = Following::start(&store, connected, 1).await;
        each_follows_the_other(&one, &other).await;
        // A cluster of another name on the same server hears nothing of this.
        while let Some(came) = foreign.try_recv() {
            assert!(
                !matches!(came, Incoming::Message(_)),
                "another cluster's message"
            );
        }
    });
}
