//! A node: real ledgers and a real follower, on the run's store and bus. It can be killed at any moment and started anew.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::shard::{Shard, gate};
use super::store::SimStore;
use super::world::{SimClock, World};
use crate::bus::{
    Asks, Bus, BusHerald, Hello, Incoming, Members, NodeId, Pace, Shared, follow, queue,
};
use crate::domain::{Domain, OutboxDoor};
use crate::ledger::{Clock, Ledgers, Setup, ShardGone, SpawnTask, Spawner};
use crate::people::Roster;
use crate::telemetry::Telemetry;

/// Messages in a hundred that the bus loses, or carries twice.
const LOST: u64 = 15;
const TWICE: u64 = 10;
/// Furthest that a node's clock is ahead.
const SKEW_MS: u64 = 3_000;
/// Longest way of a message, in milliseconds: more than it takes to write the next.
const WAY_MS: u64 = 120;

/// A ledger that nobody needs is soon unloaded.
const IDLE: Duration = Duration::from_secs(4);

/// How long until a node that starts tries again to read what waits in outboxes.
const RESUME_PAUSE: Duration = Duration::from_secs(5);

const PACE: Pace = Pace {
    hello: Duration::from_millis(500),
    look_when_down: Duration::from_secs(1),
    look_when_up: Duration::from_secs(10),
    skew_max: Duration::from_secs(1),
};

/// Spawns where the run is, and can end all of it at once.
#[derive(Default)]
struct Tasks {
    running: Mutex<Vec<AbortHandle>>,
    is_dead: Arc<AtomicBool>,
}

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let handle = tokio::task::spawn_local(task).abort_handle();
        let mut all = self.running();
        all.push(handle);
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Vec<AbortHandle>> {
        self.running.lock().expect("no test panics under this lock")
    }

    /// Nothing of it goes on, not even what its tasks have started themselves: that gets no answer any more.
    fn kill(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
        self.running().drain(..).for_each(|task| task.abort());
    }
}

impl Spawner for Tasks {
    fn shards(&self) -> usize {
        1
    }

    fn spawn(&self, _: usize, task: SpawnTask) -> Result<(), ShardGone> {
        if self.is_dead.load(Ordering::SeqCst) {
            return Err(ShardGone);
        }
        Self::spawn(self, async move { task().await });
        Ok(())
    }
}

/// One life of a node.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) ledgers: Ledgers<Roster>,
    pub(super) domain: Domain,
    pub(super) shard: Rc<Shard>,
    pub(super) clock: Arc<dyn Clock>,
    tasks: Arc<Tasks>,
    incoming: queue::Sender<Incoming>,
}

pub(super) struct Node {
    world: Arc<World>,
    nth: usize,
    life: Mutex<Option<Life>>,
    /// The ways to the other nodes' buses, shared by all nodes.
    hall: Arc<Hall>,
}

/// Where the bus of each node comes in, as long as it lives.
#[derive(Default)]
pub(super) struct Hall(Mutex<BTreeMap<usize, queue::Sender<Incoming>>>);

impl Hall {
    fn of(world: &Arc<World>) -> Arc<Self> {
        Arc::clone(world.hall())
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, queue::Sender<Incoming>>> {
        self.0.lock().expect("no test panics under this lock")
    }
}

struct Seat {
    world: Arc<World>,
    hall: Arc<Hall>,
    nth: usize,
}

impl Bus for Seat {
    fn tell(&self, message: Bytes) -> bool {
        if self.world.standing(self.nth).bus_cut {
            return false;
        }
        let others: Vec<usize> = self.hall.all().keys().copied().collect();
        for other in others.into_iter().filter(|other| *other != self.nth) {
            let times = match () {
                () if self.world.happens(LOST) => 0,
                () if self.world.happens(TWICE) => 2,
                () => 1,
            };
            for _ in 0..times {
                let way = Duration::from_millis(self.world.draw(WAY_MS));
                let (world, hall) = (Arc::clone(&self.world), Arc::clone(&self.hall));
                let message = message.clone();
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(way).await;
                    world.thawed(other).await;
                    if world.standing(other).bus_cut {
                        return;
                    }
                    let to = hall.all().get(&other).cloned();
                    if let Some(to) = to {
                        let _ = to.try_send(Incoming::Message(message)); // It may have died, or have too much.
                    }
                });
            }
        }
        true
    }
}

impl Node {
    pub(super) fn new(world: &Arc<World>, nth: usize) -> Self {
        Self {
            world: Arc::clone(world),
            nth,
            life: Mutex::default(),
            hall: Hall::of(world),
        }
    }

    pub(super) fn life(&self) -> Option<Life> {
        let life = self.life.lock().expect("no test panics under this lock");
        life.clone()
    }

    pub(super) fn start(&self) {
        if self.life().is_some() {
            return;
        }
        let world = &self.world;
        let clock: Arc<dyn Clock> = Arc::new(SimClock {
            world: Arc::clone(world),
            ahead_ms: world.draw(SKEW_MS),
        });
        let own = NodeId::new(Uuid::from_u128(clock.random()));
        let seat: Arc<dyn Bus> = Arc::new(Seat {
            world: Arc::clone(world),
            hall: Arc::clone(&self.hall),
            nth: self.nth,
        });
        let telemetry = Telemetry::new();
        let (shard, tasks) = (Shard::new(world, &clock), Arc::new(Tasks::default()));
        let (outlet, comes) = gate();
        tasks.spawn(Rc::clone(&shard).run(comes));
        let ledgers = Ledgers::new(Setup {
            store: Arc::new(SimStore {
                world: Arc::clone(world),
                node: self.nth,
                is_dead: Arc::clone(&tasks.is_dead),
            }),
            spawner: Arc::clone(&tasks) as _,
            outlet: Arc::new(outlet),
            inbox: Arc::new(OutboxDoor),
            herald: Arc::new(BusHerald::new(Arc::clone(&seat), own, &telemetry.meters())),
            clock: Arc::clone(&clock),
            epoch_seed: Some(7),
            idle_unload: IDLE,
            meters: telemetry.meters(),
        });
        let (incoming, comes) = queue::incoming();
        assert!(incoming.try_send(Incoming::Up), "there is room");
        self.hall.all().insert(self.nth, incoming.clone());
        let domain = Domain::new(ledgers.clone(), Arc::clone(&clock), telemetry.meters());
        let (followed, waiting) = (ledgers.clone(), ledgers.clone());
        let checking = Rc::clone(&shard).check_positions(ledgers.clone());
        tasks.spawn(checking);
        tasks.spawn(async move {
            // As a server does when it starts.
            while waiting.resume_outboxes().await.is_err() {
                tokio::time::sleep(RESUME_PAUSE).await;
            }
        });
        let followed_by = Arc::clone(&clock);
        let name = format!("node {}", self.nth);
        tasks.spawn(async move {
            let hello = Hello {
                name: name.into(),
                version: "1".into(),
                settings: 1,
                now_ms: 0,
                leaving: false,
                gone: false,
            };
            let members = Shared::new(Members::new(own, 2_000));
            let bus = Some(Arc::clone(&seat));
            let asks = Asks::new(
                own,
                bus,
                members,
                Arc::clone(&followed_by),
                &telemetry.meters(),
            );
            let connected = (seat, comes);
            follow(
                followed,
                connected,
                asks,
                hello,
                followed_by,
                PACE,
                &telemetry.meters(),
            )
            .await;
        });
        let life = Life {
            ledgers,
            domain,
            shard,
            clock,
            tasks,
            incoming,
        };
        *self.life.lock().expect("no test panics under this lock") = Some(life);
    }

    /// As `kill -9`: whatever it was about to do, it does not.
    pub(super) fn kill(&self) {
        let mut life = self.life.lock().expect("no test panics under this lock");
        if let Some(life) = life.take() {
            life.tasks.kill();
            // Connections end with the process.
            life.shard.end();
            self.hall.all().remove(&self.nth);
        }
    }

    /// The bus says that it is away, or there again.
    pub(super) fn say(&self, what: Incoming) {
        if let Some(life) = self.life() {
            let _ = life.incoming.try_send(what); // Full: it has enough to look at.
        }
    }
}
