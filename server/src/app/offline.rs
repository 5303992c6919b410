//! Work on a store that no server has open: ledgers run on this one thread, and nobody is told of anything.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use crate::domain::OutboxDoor;
use crate::ledger::{
    Delivery, LedgerId, Ledgers, Outlet, Setup, ShardAnswer, ShardGone, SpawnTask, Spawner,
    SystemClock,
};
use crate::people::{Change, Roster};
use crate::store::Store;
use crate::telemetry::Meters;

/// When a ledger that nobody asks for is let go: nobody comes back to it, and a country's are more than memory holds.
const DONE_WITH: Duration = Duration::from_secs(5);

/// Runs work over the ledgers of a store, then closes the store.
pub(super) async fn with_ledgers<T>(
    store: Arc<dyn Store>,
    work: impl AsyncFnOnce(&Ledgers<Roster>) -> Result<T>,
) -> Result<T> {
    let local = LocalSet::new();
    let (spawner, mut tasks) = mpsc::unbounded_channel();
    let ledgers = Ledgers::new(Setup {
        store: Arc::clone(&store),
        spawner: Arc::new(Here(spawner)),
        outlet: Arc::new(Nobody),
        inbox: Arc::new(OutboxDoor),
        clock: Arc::new(SystemClock),
        herald: Arc::new(crate::ledger::NoHerald),
        epoch_seed: None,
        idle_unload: DONE_WITH,
        // Nobody looks at what a command counts.
        meters: Meters::default(),
    });
    let result = local
        .run_until(async {
            spawn_local(async move {
                while let Some(task) = tasks.recv().await {
                    let task: SpawnTask = task;
                    spawn_local(task());
                }
            });
            let result = work(&ledgers).await;
            ledgers.close();
            result
        })
        .await;
    store.close().await.context("cannot close the store")?;
    result
}

/// All actors on the thread that does the work.
struct Here(mpsc::UnboundedSender<SpawnTask>);

impl Spawner for Here {
    fn shards(&self) -> usize {
        1
    }

    fn spawn(&self, _: usize, task: SpawnTask) -> Result<(), ShardGone> {
        self.0.send(task).map_err(|_| ShardGone)
    }
}

/// No subscriber anywhere.
struct Nobody;

#[async_trait]
impl Outlet<Roster> for Nobody {
    async fn deliver(&self, _: Arc<Delivery<Change>>) {}

    async fn follows(&self, _: &LedgerId) -> bool {
        false
    }

    async fn answer(&self, _: usize, _: ShardAnswer) {}
}
