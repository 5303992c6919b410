//! Who does something: writes posts, talks, gives rights and takes them away, stops a kind of people, reads, and removes what is old.
//!
//! What has an idempotency key is done again at some node until it is acknowledged, as a client does it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::node::{Life, Node};
use super::school::{DEVICES, STOPPED, call, chat, decisions};
use super::world::World;
use crate::domain::error;
use crate::domain::testing::ledger as school;
use crate::ledger::retention::{Rule, Rules};
use crate::ledger::{Actor, Append, Call, Content, LedgerId};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much each does.
const POSTS: u32 = 10;
const TALKS: u32 = 14;
const STOPS: u32 = 4;
/// So often in a hundred a node dies when it has acknowledged, and stays dead at most so long.
const DIES: u64 = 6;
const DEAD_MS: u64 = 300_000;
/// What is kept of the channel that people talk in.
const KEPT: u64 = 5;

/// A list of posts that somebody was given.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) who: u32,
    /// The titles; nothing where it was refused.
    pub(super) titles: Option<Vec<String>>,
    /// Where the school's ledger stood before, and after.
    pub(super) heads: (u64, u64),
}

/// What was seen from outside.
#[derive(Default)]
pub(super) struct Seen {
    /// Idempotency keys of what was acknowledged.
    pub(super) acknowledged: Mutex<Vec<String>>,
    /// What was said in the chat, and whether that was acknowledged.
    pub(super) said: Mutex<BTreeMap<String, bool>>,
    pub(super) lists: Mutex<Vec<Listed>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no test panics under this lock")
}

#[derive(Clone)]
pub(super) struct Doers {
    pub(super) world: Arc<World>,
    pub(super) nodes: Rc<Vec<Node>>,
    pub(super) seen: Arc<Seen>,
}

impl Doers {
    /// Starts all of them. Those given back end when they are done; the others never do.
    pub(super) fn start(&self) -> Vec<JoinHandle<()>> {
        let (posts, talk, talks, decide, stop) = (
            self.clone(),
            self.clone(),
            self.clone(),
            self.clone(),
            self.clone(),
        );
        let (read, keep) = (self.clone(), self.clone());
        tokio::task::spawn_local(async move { read.read().await });
        tokio::task::spawn_local(async move { keep.keep().await });
        vec![
            tokio::task::spawn_local(async move { posts.publish().await }),
            tokio::task::spawn_local(async move { talk.talk("a").await }),
            tokio::task::spawn_local(async move { talks.talk("b").await }),
            tokio::task::spawn_local(async move { decide.decide().await }),
            tokio::task::spawn_local(async move { stop.stop().await }),
        ]
    }

    fn some_node(&self) -> Option<Life> {
        self.nodes[self.world.pick(self.nodes.len())].life()
    }

    /// Now and then a node dies as soon as it has acknowledged something, before it can do what comes after.
    fn maybe_kill(&self, nth: usize) {
        let are_all_there = self.nodes.iter().all(|node| node.life().is_some());
        if !are_all_there || !self.world.happens(DIES) {
            return;
        }
        self.nodes[nth].kill();
        let (world, nodes) = (Arc::clone(&self.world), Rc::clone(&self.nodes));
        tokio::task::spawn_local(async move {
            world.pause(DEAD_MS).await;
            nodes[nth].start();
        });
    }

    /// Does it at some node until it is acknowledged.
    async fn surely(&self, who: u32, operation: &str, input: &Value, key: &str) {
        loop {
            let nth = self.world.pick(self.nodes.len());
            if let Some(life) = self.nodes[nth].life() {
                self.world.try_once();
                let asked = call(&life, who, operation, input, Some(key.to_owned()));
                match tokio::time::timeout(PATIENCE, asked).await {
                    Ok(Ok(_)) => {
                        lock(&self.seen.acknowledged).push(key.to_owned());
                        return self.maybe_kill(nth);
                    }
                    Ok(Err(fault))
                        if !fault.temporary && fault.code != error::OUTCOME_UNKNOWN.code =>
                    {
                        return self.world.complain(format!("{key} was refused: {fault}"));
                    }
                    _ => {}
                }
            }
            self.world.pause(800).await;
        }
    }

    async fn publish(&self) {
        for n in 0..POSTS {
            let key = format!("post-{n}");
            let place = json!({"group": "G10001.g1"});
            let input = json!({"profile": "G10001.p1", "place": place, "title": key, "body": key});
            self.surely(1, "post.publish", &input, &key).await;
            self.world.pause(3_000).await;
        }
    }

    async fn decide(&self) {
        let mut left = decisions();
        while !left.is_empty() {
            self.world.pause(6_000).await;
            let (operation, input) = left.remove(self.world.pick(left.len()));
            let key = format!("decision-{}", left.len());
            self.surely(4, operation, &input, &key).await;
        }
    }

    async fn stop(&self) {
        for n in 0..STOPS {
            self.world.pause(6_000).await;
            let operation = ["communication.block", "communication.unblock"][n as usize % 2];
            let input = json!({"profile": "M101.p1", "unit": "M101", "kind": STOPPED});
            self.surely(7, operation, &input, &format!("stop-{n}"))
                .await;
        }
    }

    /// Says things once, whatever the answer.
    async fn talk(&self, name: &str) {
        let ledger = LedgerId::of_channel(&chat()).expect("of a ledger");
        for n in 0..TALKS {
            self.world.pause(1_800).await;
            let Some(life) = self.some_node() else {
                continue;
            };
            let what = format!("\"{name}{n}\"");
            lock(&self.seen.said).insert(what.clone(), false);
            let append = Append {
                channels: vec![chat()],
                content: Content {
                    full: Bytes::from(what.clone()),
                    ..Content::default()
                },
            };
            let said = life
                .ledgers
                .call(&ledger, Call::new("publish", Actor::default(), append));
            self.world.try_once();
            if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, said).await {
                lock(&self.seen.said).insert(what, true);
            }
        }
    }

    /// Reads the wall of the class as anybody.
    async fn read(&self) {
        loop {
            self.world.pause(900).await;
            let Some(life) = self.some_node() else {
                continue;
            };
            let who = DEVICES[self.world.pick(DEVICES.len())];
            let input = json!({"profile": format!("G10001.p{who}"), "group": "G10001.g1"});
            let before = self.world.head(&school());
            self.world.try_once();
            let asked = call(&life, who, "post.list", &input, None);
            let Ok(answer) = tokio::time::timeout(PATIENCE, asked).await else {
                continue;
            };
            let titles = match answer {
                Ok(output) => {
                    let posts = output["posts"].as_array().cloned().unwrap_or_default();
                    let title =
                        |post: &Value| post["title"].as_str().unwrap_or_default().to_owned();
                    Some(posts.iter().map(title).collect())
                }
                Err(fault) if fault.code == error::NOT_FOUND.code => None,
                Err(fault) if fault.temporary || fault.code == error::OUTCOME_UNKNOWN.code => {
                    continue;
                }
                Err(fault) => {
                    self.world.complain(format!("a list was refused: {fault}"));
                    continue;
                }
            };
            let heads = (before, self.world.head(&school()));
            lock(&self.seen.lists).push(Listed { who, titles, heads });
        }
    }

    /// Removes what is old.
    async fn keep(&self) {
        let rule = Rule {
            history_size: Some(KEPT),
            history_ttl_ms: None,
        };
        let rules = Rules {
            namespaces: HashMap::from([("chat".to_owned(), rule)]),
            ..Rules::default()
        };
        loop {
            self.world.pause(6_000).await;
            let Some(life) = self.some_node() else {
                continue;
            };
            // It may fail: then it is done the next time.
            if self.world.draw(6) == 0 {
                let _ = tokio::time::timeout(PATIENCE, life.ledgers.remove_history(&chat())).await;
            } else {
                let now_ms = life.clock.now_ms();
                let retained = life.ledgers.retain(now_ms, &rules, &|_| true);
                let _ = tokio::time::timeout(PATIENCE, retained).await;
            }
        }
    }
}
