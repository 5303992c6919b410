//! The store as one node reaches it: slow, now and then away, and with answers that are lost, the write done or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::world::World;
use crate::store::faulty::Passage;
use crate::store::{Batch, CommitError, Store, StoreError};

/// Longest time of a request, in milliseconds.
const LAG_MS: u64 = 30;
/// Requests in a hundred that fail.
const AWAY: u64 = 3;
/// Writes in a hundred whose answer is lost, of each kind.
const UNCLEAR: u64 = 4;

pub(super) struct SimStore {
    pub(super) world: Arc<World>,
    pub(super) node: usize,
    /// Whether the node is dead: then nothing it asks comes anywhere.
    pub(super) is_dead: Arc<AtomicBool>,
}

#[async_trait]
impl Passage for SimStore {
    fn behind(&self) -> &dyn Store {
        &self.world.memory
    }

    async fn reach(&self) -> Result<&dyn Store, StoreError> {
        self.world.thawed(self.node).await;
        self.world.pause(LAG_MS).await;
        self.world.thawed(self.node).await;
        if self.is_dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.world.standing(self.node).store_cut || self.world.happens(AWAY) {
            return Err(StoreError::Unavailable("cut off".into()));
        }
        Ok(self.behind())
    }

    async fn pass(&self, batch: Batch) -> Result<(), CommitError> {
        let store = self.reach().await?;
        let lost = || Err(CommitError::Unknown("the answer is lost".into()));
        if self.world.happens(UNCLEAR) {
            return lost();
        }
        let (ledger, commits) = (batch.ledger.clone(), batch.commits.clone());
        let written = store.commit(batch).await;
        if written.is_ok() {
            self.world.note_written(&ledger, &commits);
        }
        // A node may die, or freeze, between the write and its answer.
        self.world.pause(LAG_MS).await;
        self.world.thawed(self.node).await;
        if self.world.happens(UNCLEAR) {
            return lost();
        }
        written
    }
}
