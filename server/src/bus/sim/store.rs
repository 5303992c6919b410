//! The store as one node reaches it: slow, now and then away, and with answers that are lost, the write done or not.

use std::sync::Arc;

use async_trait::async_trait;

use super::world::World;
use crate::ledger::{ChannelName, IndexKey, LedgerId, RecordKey, SealedCommit};
use crate::store::{
    Anchor, Batch, ChannelEntry, ChannelHead, CommitError, Damaged, EntryRange, EntryRow, Head,
    OutboxEnd, OutboxKey, Record, Remembered, Store, StoreError, Trim,
};

/// Longest time of a request, in milliseconds.
const LAG_MS: u64 = 30;
/// Requests in a hundred that fail.
const AWAY: u64 = 3;
/// Writes in a hundred whose answer is lost, of each kind.
const UNCLEAR: u64 = 4;

pub(super) struct SimStore {
    pub(super) world: Arc<World>,
    pub(super) node: usize,
}

impl SimStore {
    async fn reach(&self) -> Result<&dyn Store, StoreError> {
        self.world.thawed(self.node).await;
        self.world.pause(LAG_MS).await;
        self.world.thawed(self.node).await;
        if self.world.standing(self.node).store_cut || self.world.happens(AWAY) {
            return Err(StoreError::Unavailable("cut off".into()));
        }
        Ok(&self.world.memory)
    }
}

#[async_trait]
impl Store for SimStore {
    async fn head(&self, ledger: &LedgerId) -> Result<Option<Head>, StoreError> {
        self.reach().await?.head(ledger).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let store = self.reach().await?;
        let lost = || Err(CommitError::Unknown("the answer is lost".into()));
        if self.world.happens(UNCLEAR) {
            return lost();
        }
        let written = store.commit(batch).await;
        // A node may die, or freeze, between the write and its answer.
        self.world.pause(LAG_MS).await;
        self.world.thawed(self.node).await;
        if self.world.happens(UNCLEAR) {
            return lost();
        }
        written
    }

    async fn commits_since(
        &self,
        ledger: &LedgerId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<SealedCommit>, StoreError> {
        self.reach()
            .await?
            .commits_since(ledger, after, limit)
            .await
    }

    async fn anchor(&self, ledger: &LedgerId) -> Result<Anchor, StoreError> {
        self.reach().await?.anchor(ledger).await
    }

    async fn entries(
        &self,
        ledger: &LedgerId,
        channel: &ChannelName,
        range: EntryRange,
    ) -> Result<Vec<ChannelEntry>, StoreError> {
        self.reach().await?.entries(ledger, channel, range).await
    }

    async fn entry_rows(
        &self,
        ledger: &LedgerId,
        channel: &ChannelName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let store = self.reach().await?;
        store.entry_rows(ledger, channel, after, limit).await
    }

    async fn channel_heads(
        &self,
        ledger: &LedgerId,
        channels: &[ChannelName],
    ) -> Result<Vec<ChannelHead>, StoreError> {
        self.reach().await?.channel_heads(ledger, channels).await
    }

    async fn channels(
        &self,
        ledger: &LedgerId,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<ChannelName>, StoreError> {
        self.reach().await?.channels(ledger, after, limit).await
    }

    async fn get(&self, ledger: &LedgerId, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.reach().await?.get(ledger, key).await
    }

    async fn scan(
        &self,
        ledger: &LedgerId,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Record)>, StoreError> {
        self.reach().await?.scan(ledger, prefix, after, limit).await
    }

    async fn lookup(
        &self,
        index: &IndexKey,
        after: Option<&(LedgerId, RecordKey)>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, RecordKey)>, StoreError> {
        self.reach().await?.lookup(index, after, limit).await
    }

    async fn idempotent(
        &self,
        ledger: &LedgerId,
        subject: &str,
        key: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        self.reach().await?.idempotent(ledger, subject, key).await
    }

    async fn ledgers(
        &self,
        after: Option<&LedgerId>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, Head)>, StoreError> {
        self.reach().await?.ledgers(after, limit).await
    }

    async fn outbox_pending(
        &self,
        source: Option<&LedgerId>,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        self.reach()
            .await?
            .outbox_pending(source, after, limit)
            .await
    }

    async fn outbox_refused(
        &self,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        self.reach().await?.outbox_refused(after, limit).await
    }

    async fn outbox_done(&self, item: &OutboxKey, end: OutboxEnd) -> Result<(), StoreError> {
        self.reach().await?.outbox_done(item, end).await
    }

    async fn trim(&self, trim: Trim) -> Result<(), StoreError> {
        self.reach().await?.trim(trim).await
    }

    fn damage(&self) -> Vec<Damaged> {
        self.world.memory.damage()
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
