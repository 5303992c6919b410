//! The embedded store on fjall, a log-structured storage engine with a journal.
//!
//! - `writer`: the one thread that writes: group commit with one flush for all ledgers.
//! - `reader`, `pool`: checked reads on snapshots, off the shard threads.
//! - `witness`: why a damaged journal is found at start, although fjall itself cuts it silently.
//! - `recovery`: what is checked when a store is opened; `preflight`: what of that comes before
//!   fjall sees its files.
//! - `files`: where rows lie on disk (how, `keys` and `rows` of the store say). `trim`: how they go.
//! - `open`: options, and why a store may not open. `fault`: other errors in the store's words.
//!
//! Each row has a checksum of its own over keyspace, key and value, besides those that fjall's
//! tables have per block; commits have checksum, digest and hash chain. So a flipped bit is either
//! refused by fjall, or found in the row, or found by the witness, or is in bytes nobody reads.

#[cfg(test)]
mod damage;
mod fault;
mod files;
#[cfg(test)]
mod full_disk_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod kill_tests;
mod open;
mod pool;
mod preflight;
mod reader;
mod recovery;
mod trim;
mod witness;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use self::cache::CommitCache;
use self::files::Files;
pub use self::open::{OpenError, Options};
use self::pool::ReaderPool;
use self::reader::Reader;
use self::status::{Read, Status};
use self::trim::Portion;
use self::writer::{Request, Writer};
use super::{
    Anchor, Batch, ChannelEntry, ChannelHead, CommitError, Damaged, EntryRange, EntryRow, Head,
    OutboxEnd, OutboxKey, Record, Remembered, Store, StoreError, Trim,
};
use super::{cache, keys, rows, status};
use crate::ledger::{ChannelName, IndexKey, LedgerId, RecordKey, SealedCommit};
use crate::telemetry::catalogue;

/// The embedded store. Dropping it without [`Store::close`] is like a crash: nothing acknowledged
/// is lost, and the next start checks more.
pub struct FjallStore {
    requests: mpsc::Sender<Request>,
    reads: Mutex<Option<Arc<Reads>>>,
    status: Arc<Status>,
    trims: tokio::sync::Mutex<()>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Reads {
    files: Files,
    cache: Arc<CommitCache>,
    pool: ReaderPool,
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl FjallStore {
    /// Opens the store in a folder, or makes it, and checks it (blocking; after a crash up to some
    /// seconds). Single damaged ledgers do not fail it: see [`Store::damage`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let cache = Arc::new(CommitCache::new());
        let status = Arc::new(Status::new(&options.meters));
        let opened = recovery::open(path, options, &cache, &status)?;
        let (requests, waiting) = mpsc::channel(writer::QUEUE);
        let writer = Writer {
            files: opened.files.clone(),
            status: Arc::clone(&status),
            heads: opened.heads,
            witness: opened.witness,
            lost: opened.lost,
            requests: requests.downgrade(),
            checkpointing: false,
            checkpoint_batches: options.checkpoint_batches,
            commit_seconds: options
                .meters
                .histogram(catalogue::STORE_COMMIT_SECONDS, &[]),
            batch: options.meters.histogram(catalogue::STORE_BATCH, &[]),
        };
        let thread = std::thread::Builder::new().name("store-write".into());
        let thread = thread.spawn(move || writer.run(waiting))?;
        let reads = Reads {
            files: opened.files,
            cache,
            pool: ReaderPool::start()?,
        };
        Ok(Self {
            requests,
            reads: Mutex::new(Some(Arc::new(reads))),
            status,
            trims: tokio::sync::Mutex::new(()),
            writer: Mutex::new(Some(thread)),
        })
    }

    /// Flushes so far. Commits by flushes is how well group commit works.
    #[must_use]
    pub fn groups(&self) -> u64 {
        self.status.groups()
    }

    async fn read<T: Send + 'static>(
        &self,
        kind: Read,
        read: impl FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let reads = self
            .reads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let reads = reads.ok_or_else(|| StoreError::Unavailable("the store is closed".into()))?;
        let (files, cache) = (reads.files.clone(), Arc::clone(&reads.cache));
        let result = reads
            .pool
            .run(move || read(&Reader::new(&files, &cache)))
            .await;
        self.status.has_read(kind, began.elapsed());
        if let Err(StoreError::Damaged(damaged)) = &result {
            self.status.note(damaged);
        }
        self.status.counted(result)
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("the store is closed".into());
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        self.status.counted(sent.map_err(|_| closed()))?;
        self.status.counted(answer.await.map_err(|_| closed()))
    }

    async fn write(&self, batch: Batch) -> Result<(), CommitError> {
        self.status.writable()?;
        // Without an answer the writer has failed in the middle: nobody knows.
        let lost = |_| CommitError::Unknown("the writer has ended".into());
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(Request::Commit(batch, reply)).await;
        sent.map_err(|_| StoreError::Unavailable("the store is closed".into()))?;
        answer.await.map_err(lost)?
    }
}

impl Drop for FjallStore {
    fn drop(&mut self) {
        // The writer ends when its queue has no sender; wait for it, so that the files are free
        // when the store is gone.
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.requests, closed));
        let thread = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's writer had failed");
        }
    }
}

#[async_trait]
impl Store for FjallStore {
    async fn head(&self, ledger: &LedgerId) -> Result<Option<Head>, StoreError> {
        self.status.counted(self.status.usable(ledger))?;
        let id = ledger.clone();
        Ok(self
            .read(Read::Head, move |reader| reader.head(&id))
            .await?
            .map(|(head, _)| head))
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let written = self.write(batch).await;
        self.status.count_write(&written);
        written
    }

    async fn commits_since(
        &self,
        ledger: &LedgerId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<SealedCommit>, StoreError> {
        let id = ledger.clone();
        self.read(Read::Commits, move |reader| {
            reader.commits_since(&id, after, limit)
        })
        .await
    }

    async fn anchor(&self, ledger: &LedgerId) -> Result<Anchor, StoreError> {
        let id = ledger.clone();
        let head = self
            .read(Read::Head, move |reader| reader.head(&id))
            .await?;
        Ok(head.map_or(Anchor::NONE, |(_, anchor)| anchor))
    }

    async fn entries(
        &self,
        ledger: &LedgerId,
        channel: &ChannelName,
        range: EntryRange,
    ) -> Result<Vec<ChannelEntry>, StoreError> {
        let (id, name) = (ledger.clone(), channel.clone());
        self.read(Read::Entries, move |reader| {
            reader.entries(&id, &name, range)
        })
        .await
    }

    async fn entry_rows(
        &self,
        ledger: &LedgerId,
        channel: &ChannelName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let (id, name) = (ledger.clone(), channel.clone());
        self.read(Read::Retention, move |reader| {
            reader.entry_rows(&id, &name, after, limit)
        })
        .await
    }

    async fn channel_heads(
        &self,
        ledger: &LedgerId,
        channels: &[ChannelName],
    ) -> Result<Vec<ChannelHead>, StoreError> {
        let (id, names) = (ledger.clone(), channels.to_vec());
        let heads = move |reader: &Reader<'_>| {
            names
                .iter()
                .map(|name| reader.channel_head(&id, name))
                .collect()
        };
        self.read(Read::Channels, heads).await
    }

    async fn channels(
        &self,
        ledger: &LedgerId,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<ChannelName>, StoreError> {
        let (id, after) = (ledger.clone(), after.cloned());
        self.read(Read::Channels, move |reader| {
            reader.channels(&id, after.as_ref(), limit)
        })
        .await
    }

    async fn get(&self, ledger: &LedgerId, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        let (id, key) = (ledger.clone(), key.clone());
        self.read(Read::Record, move |reader| reader.record(&id, &key))
            .await
    }

    async fn get_many(
        &self,
        ledger: &LedgerId,
        keys: &[RecordKey],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let (id, keys) = (ledger.clone(), keys.to_vec());
        let all = move |reader: &Reader<'_>| {
            let records = keys.iter().map(|key| reader.record(&id, key));
            records.collect()
        };
        self.read(Read::Records, all).await
    }

    async fn scan(
        &self,
        ledger: &LedgerId,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Record)>, StoreError> {
        let (id, prefix, after) = (ledger.clone(), prefix.to_owned(), after.cloned());
        self.read(Read::Records, move |reader| {
            reader.scan(&id, &prefix, after.as_ref(), limit)
        })
        .await
    }

    async fn lookup(
        &self,
        index: &IndexKey,
        after: Option<&(LedgerId, RecordKey)>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, RecordKey)>, StoreError> {
        let (index, after) = (index.clone(), after.cloned());
        self.read(Read::Index, move |reader| {
            reader.lookup(&index, after.as_ref(), limit)
        })
        .await
    }

    async fn idempotent(
        &self,
        ledger: &LedgerId,
        subject: &str,
        key: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        let (id, subject, key) = (ledger.clone(), subject.to_owned(), key.to_owned());
        self.read(Read::Idempotency, move |reader| {
            reader.idempotent(&id, &subject, &key)
        })
        .await
    }

    async fn ledgers(
        &self,
        after: Option<&LedgerId>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, Head)>, StoreError> {
        let after = after.cloned();
        self.read(Read::Ledgers, move |reader| {
            reader.ledgers(after.as_ref(), limit)
        })
        .await
    }

    async fn outbox_pending(
        &self,
        source: Option<&LedgerId>,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        let (source, after) = (source.cloned(), after.cloned());
        let read = move |r: &Reader<'_>| r.outbox(source.as_ref(), after.as_ref(), limit, false);
        self.read(Read::Outbox, read).await
    }

    async fn outbox_refused(
        &self,
        after: Option<&OutboxKey>,
        limit: usize,
    ) -> Result<Vec<OutboxKey>, StoreError> {
        let after = after.cloned();
        self.read(Read::Outbox, move |reader| {
            reader.outbox(None, after.as_ref(), limit, true)
        })
        .await
    }

    async fn outbox_done(&self, item: &OutboxKey, end: OutboxEnd) -> Result<(), StoreError> {
        self.status.counted(self.status.writable())?;
        let item = item.clone();
        let done = self
            .ask(move |reply| Request::OutboxDone(item, end, reply))
            .await?;
        self.status.counted(done)
    }

    async fn trim(&self, trim: Trim) -> Result<(), StoreError> {
        // One at a time: a portion is looked up before it is removed.
        let _alone = self.trims.lock().await;
        loop {
            let wanted = trim.clone();
            let portion = self
                .read(Read::Retention, move |reader| Portion::of(reader, &wanted))
                .await?;
            let more = portion.more;
            if !portion.is_empty() {
                let trimmed = self.ask(move |reply| Request::Trim(portion, reply)).await?;
                self.status.counted(trimmed)?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn damage(&self) -> Vec<Damaged> {
        self.status.findings()
    }

    fn refuses_writes(&self) -> Option<Arc<str>> {
        self.status.poisoned()
    }

    async fn close(&self) -> Result<(), StoreError> {
        let result = self.ask(Request::Close).await?;
        drop(
            self.reads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        result
    }
}
