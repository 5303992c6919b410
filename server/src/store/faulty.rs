//! A store that fails on demand: before or after the write, for testing what actors do then; and what any store that stands in front of
//! another in a test is made of.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::*;

/// How the next commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not.
    None,
    /// The store cannot serve; nothing is written.
    Unavailable,
    /// The answer is lost, the write was done.
    UnknownDone,
    /// The answer is lost, the write was not done.
    UnknownNot,
    /// Somebody else commits first.
    Rival,
}

/// A store in front of another.
pub struct FaultyStore {
    /// The one that works.
    pub inner: Arc<dyn Store>,
    faults: Mutex<VecDeque<Fault>>,
}

impl FaultyStore {
    /// In front of `inner`, without faults yet.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            faults: Mutex::default(),
        }
    }

    /// The next commits fail so, in this order.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults
            .lock()
            .expect("no test panics under this lock")
            .extend(faults);
    }

    fn next(&self) -> Fault {
        let mut faults = self.faults.lock().expect("no test panics under this lock");
        faults.pop_front().unwrap_or(Fault::None)
    }

    /// A commit of somebody else that appends nothing and changes the record `rival`.
    async fn rival(&self, batch: &Batch) {
        let first = batch.commits.first().expect("a commit");
        let mut commit = (*first.commit).clone();
        commit.id = uuid::Uuid::from_u128(u128::from(commit.seq));
        commit.idempotency = None;
        commit.entries = Vec::new();
        commit.outbox = Vec::new();
        commit.operation = "rival".into();
        commit.records = vec![chain::put("rival", "was here", &[], &[])];
        let commits = vec![SealedCommit::seal(commit)];
        let rival = Batch {
            ledger: batch.ledger.clone(),
            expected_seq: batch.expected_seq,
            commits,
        };
        self.inner.commit(rival).await.expect("the rival commits");
    }
}

#[async_trait]
impl Passage for FaultyStore {
    fn behind(&self) -> &dyn Store {
        &*self.inner
    }

    async fn pass(&self, batch: Batch) -> Result<(), CommitError> {
        match self.next() {
            Fault::None => self.inner.commit(batch).await,
            Fault::Unavailable => Err(StoreError::Unavailable("injected".into()).into()),
            Fault::UnknownDone => {
                self.inner.commit(batch).await?;
                Err(CommitError::Unknown("injected".into()))
            }
            Fault::UnknownNot => Err(CommitError::Unknown("injected".into())),
            Fault::Rival => {
                self.rival(&batch).await;
                self.inner.commit(batch).await
            }
        }
    }
}

/// What stands in front of a store in a test. It is a store itself: whatever is asked passes through it.
#[async_trait]
pub trait Passage: Send + Sync + 'static {
    /// The store behind.
    fn behind(&self) -> &dyn Store;

    /// The store behind, when a request gets there.
    async fn reach(&self) -> Result<&dyn Store, StoreError> {
        Ok(self.behind())
    }

    /// A commit on its way, and its answer.
    async fn pass(&self, batch: Batch) -> Result<(), CommitError>;
}

#[async_trait]
impl<P: Passage> Store for P {
    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.pass(batch).await
    }

    async fn head(&self, ledger: &LedgerId) -> Result<Option<Head>, StoreError> {
        self.reach().await?.head(ledger).await
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
        self.reach()
            .await?
            .entry_rows(ledger, channel, after, limit)
            .await
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
        self.behind().damage()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.behind().close().await
    }
}
