//! Nodes ask each other: over a bus in memory that loses, doubles, turns round and delays, and over a real NATS.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::parts::{PART_BYTES, Part};
use super::tests::{Hall, Real, hello, node_id};
use super::*;
use crate::ledger::testing::{Bench, run_local};
use crate::ledger::{Clock, SystemClock};
use crate::store::memory::MemoryStore;
use crate::telemetry::{Telemetry, catalogue};

const SOON: Duration = Duration::from_secs(20);
/// Long enough for what is there, short enough to wait for what never comes.
const NEVER: Duration = Duration::from_millis(150);

const ECHO: u32 = kind::PRESENCE;
const LARGE: u32 = kind::CHANNELS;
const REFUSE: u32 = kind::CONNECTIONS;
const HANG: u32 = kind::INFO;

/// Echoes, and remembers what it was told.
#[derive(Default)]
struct Echo {
    answered: AtomicU64,
    told: Mutex<Vec<Bytes>>,
}

fn large() -> Bytes {
    let bytes = (0..251).cycle().take(3 * PART_BYTES + 5);
    bytes.collect::<Vec<_>>().into()
}

#[async_trait]
impl Answering for Echo {
    async fn answer(&self, _: NodeId, question: Question) -> Result<Bytes, Refused> {
        self.answered.fetch_add(1, Ordering::SeqCst);
        match question.kind {
            ECHO => Ok(question.body),
            LARGE => Ok(large()),
            REFUSE => Err(Refused {
                code: 108,
                text: "not available".to_owned(),
            }),
            HANG => std::future::pending().await,
            _ => Err(Refused::unknown()),
        }
    }

    fn told(&self, _: NodeId, told: Question) -> bool {
        let mut all = self.told.lock().expect("no test panics under this lock");
        all.push(told.body);
        true
    }
}

struct Node {
    asks: Asks,
    echo: Arc<Echo>,
    telemetry: Telemetry,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Node {
    fn start(nth: u64, connected: Connected) -> Self {
        let telemetry = Telemetry::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let members = Shared::new(Members::new(node_id(nth), 60_000));
        let bus = Some(Arc::clone(&connected.0));
        let meters = telemetry.meters();
        let asks = Asks::new(node_id(nth), bus, members, Arc::clone(&clock), &meters);
        let echo = Arc::new(Echo::default());
        asks.answer_with(Arc::clone(&echo) as _);
        let (asking, own) = (asks.clone(), hello("a node"));
        let task = tokio::task::spawn_local(async move {
            let bench = Bench::<()>::with_herald(
                Arc::new(MemoryStore::new()),
                Arc::new(crate::ledger::NoHerald),
                nth,
            );
            let pace = Pace {
                hello: Duration::from_millis(20),
                look_when_down: SOON,
                look_when_up: SOON,
                skew_max: SOON,
            };
            let ledgers = bench.ledgers.clone();
            follow(ledgers, connected, asking, own, clock, pace, &meters).await;
        });
        Self {
            asks,
            echo,
            telemetry,
            task,
        }
    }

    async fn knows(&self, others: usize) {
        let known = async {
            while self.asks.members().ids().len() != others {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(SOON, known).await.expect("they meet");
    }

    async fn ask(
        &self,
        to: u64,
        kind: u32,
        body: &'static [u8],
        by: Duration,
    ) -> Result<Bytes, AskError> {
        let body = Bytes::from_static(body);
        self.asks
            .ask(node_id(to), Question { kind, body }, by)
            .await
    }

    fn counted(&self, series: &str) -> bool {
        self.telemetry
            .exposition()
            .contains(&format!("\n{series}\n"))
    }
}

async fn met(all: &[&Node]) {
    for node in all {
        node.knows(all.len() - 1).await;
    }
}

/// What must hold over any bus.
async fn questions_are_answered(one: &Node, other: &Node, third: &Node) {
    met(&[one, other, third]).await;
    let answer = one.ask(1, ECHO, b"hej", SOON).await;
    assert_eq!(answer, Ok(Bytes::from_static(b"hej")));
    assert_eq!(one.ask(1, LARGE, b"", SOON).await, Ok(large()));
    let refused = one.ask(1, REFUSE, b"", SOON).await;
    assert!(matches!(
        refused,
        Err(AskError::Refused(Refused { code: 108, .. }))
    ));
    // Of a newer version: said so at once, not when the time is over.
    let unknown = one.ask(1, 9_999, b"", SOON).await;
    assert_eq!(unknown, Err(AskError::Refused(Refused::unknown())));
    assert!(other.counted("klokke_bus_answered_total{kind=\"unknown\",outcome=\"unknown\"} 1"));
    assert_eq!(
        one.ask(9, ECHO, b"", SOON).await,
        Err(AskError::Away),
        "no member"
    );
    // Side by side: nobody waits for who hangs.
    let (hung, all) = tokio::join!(one.ask(2, HANG, b"", NEVER), async {
        let body = Bytes::from_static(b"all");
        one.asks.ask_all(Question { kind: ECHO, body }, SOON).await
    });
    assert_eq!(hung, Err(AskError::Late));
    let body = Bytes::from_static(b"all");
    assert_eq!(
        all,
        [(node_id(1), Ok(body.clone())), (node_id(2), Ok(body))]
    );
    assert!(one.counted("klokke_bus_asked_total{kind=\"presence\",outcome=\"ok\"} 3"));
    // Told in order, to all others.
    for n in 0..100u8 {
        let body = Bytes::from(vec![n]);
        let kind = kind::PUBLICATION;
        assert!(one.asks.tell_all(&Question { kind, body }));
    }
    for node in [other, third] {
        let all = async {
            while node.echo.told.lock().expect("one test").len() < 100 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(SOON, all).await.expect("they hear");
        let told = node.echo.told.lock().expect("one test").clone();
        let expected: Vec<Bytes> = (0..100u8).map(|n| Bytes::from(vec![n])).collect();
        assert_eq!(told, expected);
    }
    assert!(
        one.echo.told.lock().expect("one test").is_empty(),
        "it told itself"
    );
}

#[test]
fn questions_are_answered_over_a_bus_in_memory() {
    run_local(async {
        let hall = Arc::new(Hall::default());
        let nodes: Vec<Node> = (0..3).map(|nth| Node::start(nth, hall.join())).collect();
        questions_are_answered(&nodes[0], &nodes[1], &nodes[2]).await;
    });
}

#[test]
#[ignore = "needs a real NATS: `cargo xtask test --only cluster`"]
fn questions_are_answered_over_nats() {
    let real = Real::start();
    run_local(async {
        let mut nodes = Vec::new();
        for nth in 0..3 {
            let settings = NatsSettings {
                urls: vec![real.url.clone()],
                cluster: "ours".to_owned(),
                ..NatsSettings::default()
            };
            let connected = nats(&settings, node_id(nth)).await.expect("it begins");
            nodes.push(Node::start(nth, connected));
        }
        questions_are_answered(&nodes[0], &nodes[1], &nodes[2]).await;
    });
}

/// The permissions as the page for operators writes them.
fn permissions() -> &'static str {
    let page = include_str!("../../../docs/cluster.md");
    let after = page.split_once("```conf\n").expect("the page has them").1;
    after.split_once("```").expect("a block ends").0
}

#[test]
#[ignore = "needs a real NATS: `cargo xtask test --only cluster`"]
fn the_permissions_of_the_page_are_enough_and_no_more() {
    let real = Real::start_by(permissions());
    run_local(async {
        let start = async |nth: u64, cluster: &str| {
            let settings = NatsSettings {
                urls: vec![real.url.clone()],
                cluster: cluster.to_owned(),
                login: Some(("klokke".to_owned(), "change me".to_owned())),
                ..NatsSettings::default()
            };
            let connected = nats(&settings, node_id(nth)).await.expect("it begins");
            Node::start(nth, connected)
        };
        let (stranger, another) = (start(7, "another").await, start(8, "another").await);
        let (one, other) = (start(0, "klokke").await, start(1, "klokke").await);
        let third = start(2, "klokke").await;
        questions_are_answered(&one, &other, &third).await;
        for node in [stranger, another] {
            assert!(node.counted("klokke_bus_up 1"), "it has no connection");
            assert_eq!(
                node.asks.members().ids(),
                [],
                "on a subject that is not theirs"
            );
        }
    });
}

/// What a bus does to messages for one node.
type Fault = Box<dyn Fn(Bytes) -> Vec<Bytes> + Send + Sync>;

/// A bus with a fault for what is for one node alone.
struct Faulty {
    bus: Arc<dyn Bus>,
    fault: Fault,
}

impl Bus for Faulty {
    fn tell(&self, message: Bytes) -> bool {
        self.bus.tell(message)
    }

    fn tell_one(&self, node: NodeId, message: Bytes) -> bool {
        let all = (self.fault)(message).into_iter();
        all.fold(true, |told, message| {
            told & self.bus.tell_one(node, message)
        })
    }
}

/// Two nodes; what the second sends to one alone goes through a fault, and what the first does through another.
async fn faulty(first: Fault, second: Fault) -> (Arc<Hall>, Node, Node) {
    let hall = Arc::new(Hall::default());
    let mut faults = [first, second].into_iter();
    let mut node = |nth| {
        let (bus, incoming) = hall.join();
        let fault = faults.next().expect("one a node");
        Node::start(nth, (Arc::new(Faulty { bus, fault }), incoming))
    };
    let (one, other) = (node(0), node(1));
    met(&[&one, &other]).await;
    (hall, one, other)
}

fn sound() -> Fault {
    Box::new(|message| vec![message])
}

#[test]
fn a_lost_question_and_a_lost_answer_are_late() {
    run_local(async {
        let lost = || Box::new(|_| Vec::new()) as Fault;
        for (first, second, done) in [(lost(), sound(), 0), (sound(), lost(), 1)] {
            let (_hall, one, other) = faulty(first, second).await;
            assert_eq!(one.ask(1, ECHO, b"", NEVER).await, Err(AskError::Late));
            assert_eq!(other.echo.answered.load(Ordering::SeqCst), done);
        }
    });
}

#[test]
fn who_does_not_answer_is_suspect_until_heard_of() {
    run_local(async {
        let (_hall, one, other) = faulty(sound(), sound()).await;
        other.task.abort();
        assert_eq!(one.ask(1, ECHO, b"", NEVER).await, Err(AskError::Late));
        let members = one.asks.members();
        assert!(members.is_suspect(node_id(1)));
        assert!(!members.is_suspect(node_id(2)), "that is nobody");
        members.change(|members| members.heard(node_id(1), hello("again"), 1));
        assert!(!members.is_suspect(node_id(1)));
        // Once it is gone it is asked no more, and who waits for it is told.
        let gone = Hello {
            gone: true,
            ..hello("gone")
        };
        let (asked, ()) = tokio::join!(one.ask(1, ECHO, b"", SOON), async {
            members.change(|members| members.heard(node_id(1), gone, 1));
            one.asks.gone(node_id(1));
        });
        assert_eq!(asked, Err(AskError::Away));
        assert_eq!(one.ask(1, ECHO, b"", SOON).await, Err(AskError::Away));
    });
}

#[test]
fn what_comes_twice_is_done_once_and_answered_once() {
    run_local(async {
        let twice = || Box::new(|message: Bytes| vec![message.clone(), message]) as Fault;
        let (_hall, one, other) = faulty(twice(), twice()).await;
        for n in 1..=20u64 {
            assert_eq!(
                one.ask(1, ECHO, b"x", SOON).await,
                Ok(Bytes::from_static(b"x"))
            );
            assert_eq!(one.ask(1, LARGE, b"", SOON).await, Ok(large()));
            assert_eq!(other.echo.answered.load(Ordering::SeqCst), 2 * n);
        }
    });
}

#[test]
fn answers_find_their_questions_in_any_order() {
    run_local(async {
        // The answers of ten questions come in the opposite order, and the last ones before their parts.
        let held = Mutex::new(Vec::new());
        let turned = Box::new(move |message| {
            let mut held = held.lock().expect("one test");
            held.push(message);
            if held.len() < 10 {
                return Vec::new();
            }
            let mut all = std::mem::take(&mut *held);
            all.reverse();
            all
        });
        let (_hall, one, _other) = faulty(sound(), turned).await;
        let asked = (0..10u8).map(|n| {
            let body = Bytes::from(vec![n]);
            one.asks
                .ask(node_id(1), Question { kind: ECHO, body }, SOON)
        });
        let answers = futures_util::future::join_all(asked).await;
        let expected: Vec<_> = (0..10u8).map(|n| Ok(Bytes::from(vec![n]))).collect();
        assert_eq!(answers, expected);
    });
}

#[test]
fn a_late_answer_is_passed_over_and_a_late_question_not_done() {
    run_local(async {
        let held = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&held);
        let late = Box::new(move |message| {
            keep.lock().expect("one test").push(message);
            Vec::new()
        });
        let (hall, one, other) = faulty(sound(), late).await;
        assert_eq!(one.ask(1, ECHO, b"first", NEVER).await, Err(AskError::Late));
        let (stranger, _incoming) = hall.join();
        let answer = held.lock().expect("one test").remove(0);
        assert!(stranger.tell(answer));
        let series = "klokke_bus_dropped_total{direction=\"in\"} 1";
        let passed = async {
            while !one.counted(series) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(SOON, passed)
            .await
            .expect("it is passed over");
        // As a node that was frozen finds it.
        let question = wire::Asked {
            number: 77,
            until_ms: SystemClock.now_ms() - 5_000,
            question: Question {
                kind: ECHO,
                body: Bytes::new(),
            },
        };
        assert!(stranger.tell(wire::asked(node_id(0), node_id(1), &question)));
        let series = "klokke_bus_answered_total{kind=\"presence\",outcome=\"late\"} 1";
        let passed = async {
            while !other.counted(series) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(SOON, passed)
            .await
            .expect("it is passed over");
        assert_eq!(other.echo.answered.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn when_the_bus_goes_nobody_waits_and_nobody_takes_a_part_for_the_whole() {
    run_local(async {
        let (hall, one, _other) = faulty(sound(), sound()).await;
        let (asked, ()) = tokio::join!(one.ask(1, HANG, b"", SOON), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            hall.cut(true);
        });
        assert_eq!(asked, Err(AskError::Away));
        assert_eq!(one.ask(1, ECHO, b"", SOON).await, Err(AskError::Away));
        assert_eq!(one.asks.whole(), Err(AskError::Away));
        let kind = kind::PUBLICATION;
        let body = Bytes::new();
        assert!(!one.asks.tell_all(&Question { kind, body }));
        hall.cut(false);
        let whole = async {
            while one.asks.whole().is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, whole)
            .await
            .expect("it is whole again");
        assert_eq!(one.ask(1, ECHO, b"", SOON).await, Ok(Bytes::new()));
    });
}

#[test]
fn too_many_and_too_large_are_refused_at_once() {
    run_local(async {
        let (_hall, one, other) = faulty(sound(), sound()).await;
        let body = Bytes::from(vec![0; MESSAGE_BYTES_MAX]);
        let asked = one
            .asks
            .ask(node_id(1), Question { kind: ECHO, body }, SOON);
        assert_eq!(asked.await, Err(AskError::TooLarge));
        // What hangs is bounded; whoever comes then is told to come again.
        let hanging = (0..ANSWERING_MAX).map(|_| one.ask(1, HANG, b"", SOON));
        let hanging = futures_util::future::join_all(hanging);
        tokio::select! {
            _ = hanging => panic!("they hang"),
            () = async {
                while one.ask(1, ECHO, b"", SOON).await != Err(AskError::Busy) {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        assert!(other.counted("klokke_bus_answered_total{kind=\"presence\",outcome=\"busy\"} 1"));
    });
}

#[test]
fn metrics_know_all_kinds() {
    assert_eq!(kind::NAMES, catalogue::ASKED_KINDS);
    for (name, number) in [("presence", kind::PRESENCE), ("operation", kind::OPERATION)] {
        assert_eq!(kind::name(number), name);
    }
    assert_eq!(kind::name(9_999), "unknown");
}

#[test]
fn messages_of_another_version_are_understood() {
    let question = Question {
        kind: kind::PRESENCE,
        body: Bytes::from_static(b"q"),
    };
    let asked = wire::Asked {
        number: 7,
        until_ms: 9,
        question: question.clone(),
    };
    let answer = |outcome| {
        let answer = wire::Answer { number: 7, outcome };
        wire::answer(node_id(1), node_id(0), answer)
    };
    let part = Part {
        nth: 1,
        count: 2,
        body: Bytes::from_static(b"a"),
    };
    let refused = Refused {
        code: 108,
        text: "no".to_owned(),
    };
    let all = [
        wire::asked(node_id(0), node_id(1), &asked),
        answer(wire::Outcome::Part(part)),
        answer(wire::Outcome::Refused(refused)),
        answer(wire::Outcome::Busy),
        answer(wire::Outcome::TooLarge),
        wire::told(node_id(0), &question),
    ];
    let hex = |bytes: &Bytes| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    for (message, stored) in all.into_iter().zip(STORED) {
        // What version 0.1 sends and reads.
        assert_eq!(hex(&message), stored);
        let newer: Bytes = [&message[..], &[0xc0, 0x3e, 0x01]].concat().into();
        let heard = wire::decode(newer).expect("a field more is passed over");
        let again = match heard.message {
            Message::Asked(asked) => wire::asked(heard.from, heard.to.expect("to one"), &asked),
            Message::Answer(answer) => wire::answer(heard.from, heard.to.expect("to one"), answer),
            Message::Told(told) => wire::told(heard.from, &told),
            other => panic!("read as {other:?}"),
        };
        assert_eq!(again, message);
    }
}

/// See above, in that order.
const STORED: [&str; 6] = [
    "08011210000000000000000000000000000000013209080710011a017120094a1000000000000000000000000000000002",
    "08011210000000000000000000000000000000023a0908071a0161200128024a1000000000000000000000000000000001",
    "08011210000000000000000000000000000000023a0a08071001306c3a026e6f4a1000000000000000000000000000000001",
    "08011210000000000000000000000000000000023a04080710024a1000000000000000000000000000000001",
    "08011210000000000000000000000000000000023a04080710034a1000000000000000000000000000000001",
    "080112100000000000000000000000000000000142050801120171",
];
