//! Who writes and who listens, as sessions do: under an idempotency key until it is acknowledged, and from where one was.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::node::{Heard, Life, Node};
use super::world::{World, channel, ledger};
use crate::ledger::{Actor, Append, Call, Content, Epoch, IdempotencyKey, ShardAnswer};
use crate::store::{ChannelEntry, EntryRange, Order};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Entries read at once.
const PAGE: usize = 5;

fn some_node(world: &World, nodes: &[Node]) -> Option<Life> {
    nodes[usize::try_from(world.draw(nodes.len() as u64)).unwrap_or(0)].life()
}

pub(super) struct Writer {
    is_done: Arc<tokio::sync::Notify>,
}

impl Writer {
    pub(super) fn start(world: &Arc<World>, nodes: &Arc<Vec<Node>>, nth: u64, count: u64) -> Self {
        let is_done = Arc::new(tokio::sync::Notify::new());
        let (world, nodes, done) = (Arc::clone(world), Arc::clone(nodes), Arc::clone(&is_done));
        tokio::task::spawn_local(async move {
            for n in 0..count {
                write(&world, &nodes, format!("{nth}.{n}")).await;
                world.pause(1_500).await;
            }
            done.notify_one();
        });
        Self { is_done }
    }

    pub(super) async fn done(&self) {
        self.is_done.notified().await;
    }
}

async fn write(world: &World, nodes: &[Node], what: String) {
    loop {
        if let Some(life) = some_node(world, nodes) {
            let append = Append {
                channels: vec![channel()],
                content: Content {
                    full: Bytes::from(what.clone()),
                    ..Content::default()
                },
            };
            let mut call = Call::new("say", Actor::default(), append);
            call.idempotency = Some(IdempotencyKey {
                key: what.as_str().into(),
                fingerprint: [1; 16],
            });
            let answer = tokio::time::timeout(PATIENCE, life.ledgers.call(&ledger(), call)).await;
            if let Ok(Ok(_)) = answer {
                return world.acknowledge(what);
            }
        }
        world.pause(800).await;
    }
}

pub(super) struct Listener {
    heard: Arc<Mutex<Vec<String>>>,
}

/// Where a listener is.
struct Place {
    visit: u64,
    epoch: Option<Epoch>,
    offset: u64,
}

/// What `enter` says.
struct Entered {
    /// Of which visit: an answer may come after who asked has gone and come back.
    visit: u64,
    epoch: Epoch,
    top: u64,
    recent: Option<Vec<ChannelEntry>>,
}

impl Listener {
    pub(super) fn start(world: &Arc<World>, nodes: &Arc<Vec<Node>>) -> Self {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (world, nodes, into) = (Arc::clone(world), Arc::clone(nodes), Arc::clone(&heard));
        tokio::task::spawn_local(async move {
            let mut place = Place {
                visit: 0,
                epoch: None,
                offset: 0,
            };
            loop {
                if let Some(life) = some_node(&world, &nodes) {
                    let stay = Duration::from_millis(200 + world.draw(6_000));
                    // It moves on by itself, or because its node died.
                    let visit = visit(&world, &life, number, &mut place, &into);
                    let _ = tokio::time::timeout(stay, visit).await;
                }
                world.pause(700).await;
            }
        });
        Self { heard }
    }

    pub(super) fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock().expect("no test panics under this lock");
        heard.clone()
    }
}

/// Takes what comes next; says when that is not the next.
fn take(world: &World, place: &mut Place, offset: u64, what: &Bytes, into: &Mutex<Vec<String>>) {
    if offset != place.offset + 1 {
        let at = place.offset;
        return world.complain(format!("offset {offset} after {at}"));
    }
    place.offset = offset;
    let what = String::from_utf8_lossy(what).into_owned();
    into.lock()
        .expect("no test panics under this lock")
        .push(what);
}

/// Listens at a node until that ends.
async fn visit(
    world: &World,
    life: &Life,
    number: usize,
    place: &mut Place,
    into: &Mutex<Vec<String>>,
) {
    let mut coming = life.listen(number);
    place.visit += 1;
    let visit = place.visit;
    let after = place.offset;
    let entered = life.ledgers.enter(
        &ledger(),
        number,
        |()| vec![channel()],
        move |entered| {
            ShardAnswer::new(entered.ok().map(|it| Entered {
                visit,
                epoch: it.epoch.clone(),
                top: it.channels[0].1.top,
                recent: it.recent(&channel(), after),
            }))
        },
    );
    if entered.is_err() {
        return;
    }
    // What was delivered before the answer belongs to the position it tells of.
    let entered = loop {
        match coming.recv().await {
            Some(Heard::Delivery(_)) => {}
            Some(Heard::Answer(answer)) => match answer.downcast::<Option<Entered>>() {
                Ok(Some(entered)) if entered.visit == visit => break entered,
                // Of an earlier visit.
                Ok(Some(_)) => {}
                _ => return,
            },
            None => return,
        }
    };
    let known = place.epoch.get_or_insert_with(|| entered.epoch.clone());
    if *known != entered.epoch {
        return world.complain("the epoch changed".to_owned());
    }
    if entered.top < place.offset {
        // A node that is behind learns that it is, as when a session recovers.
        let beyond = EntryRange {
            from: place.offset + 1,
            to: u64::MAX,
            limit: PAGE,
            order: Order::Ascending,
        };
        let read = life.ledgers.read(&ledger(), &channel(), beyond).await;
        if let Ok(read) = read
            && read.head.top < place.offset
        {
            let (top, at) = (read.head.top, place.offset);
            world.complain(format!("the channel ends at {top}, and {at} was heard"));
        }
        return;
    }
    match entered.recent {
        Some(recent) => {
            for it in recent {
                take(world, place, it.offset, &it.entry.content.full, into);
            }
        }
        None => {
            while place.offset < entered.top {
                let range = EntryRange {
                    from: place.offset + 1,
                    to: entered.top,
                    limit: PAGE,
                    order: Order::Ascending,
                };
                let Ok(page) = life.ledgers.read(&ledger(), &channel(), range).await else {
                    return;
                };
                if page.entries.is_empty() {
                    return world.complain("a page of what there is is empty".to_owned());
                }
                for it in page.entries {
                    take(world, place, it.offset, &it.entry.content.full, into);
                }
            }
        }
    }
    while let Some(heard) = coming.recv().await {
        if let Heard::Delivery(delivery) = heard {
            for (name, offset, entry) in delivery.publications() {
                assert_eq!(name, &channel());
                take(world, place, offset, &entry.content.full, into);
            }
        }
    }
}
