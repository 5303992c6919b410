//! What the ledger needs from its surroundings: threads to run on, a way to every shard, a clock,
//! and somebody who turns outbox items into jobs. The runtime gives the real ones, tests their own.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::ChannelName;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use super::{Commit, Entry, Job, LedgerId, SealedCommit, State};

/// Puts ledger actors onto shard threads.
pub trait Spawner: Send + Sync + 'static {
    /// How many shards there are; at least one, never changing.
    fn shards(&self) -> usize;

    /// Starts a task on the thread of `shard` (modulo the number of shards), inside a
    /// `LocalSet`. The closure runs there.
    ///
    /// # Errors
    /// [`ShardGone`] when that thread is shutting down; the closure is dropped.
    fn spawn(&self, shard: usize, task: SpawnTask) -> Result<(), ShardGone>;
}

/// A task to be made and run on a shard's thread.
pub type SpawnTask = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>;

/// The shard's thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shard is shutting down")]
pub struct ShardGone;

/// The way from ledger actors to all shards.
///
/// Promises the implementation must keep: what one actor hands in arrives at each shard in that
/// order, deliveries and answers in one queue, nothing dropped. When a shard's queue is full the
/// call waits, which slows the ledger down; therefore a shard's loop never waits for a ledger.
#[async_trait]
pub trait Outlet<S: State>: Send + Sync + 'static {
    /// A durable commit, for every shard.
    async fn deliver(&self, delivery: Arc<Delivery<S::Change>>);

    /// The result of an `enter`, for one shard.
    async fn answer(&self, shard: usize, answer: ShardAnswer);

    /// Whether anybody here follows a channel of this ledger, or sees by its word: then it stays loaded. Asked seldom, and only where
    /// other nodes write too.
    async fn follows(&self, ledger: &LedgerId) -> bool;
}

/// A durable, applied commit on its way to the shards.
#[derive(Debug)]
pub struct Delivery<C> {
    /// The commit: ledger, seq, epoch, entries with their channels and offsets.
    pub commit: Arc<Commit>,
    /// What it changed in the resident state.
    pub changes: Vec<C>,
    /// When the call that made it arrived, by [`telemetry::now_us`](crate::telemetry::now_us); 0
    /// when that was not here.
    pub arrived_us: u64,
}

impl<C> Delivery<C> {
    /// Each entry with each channel it went to and its offset there.
    pub fn publications(&self) -> impl Iterator<Item = (&ChannelName, u64, &Arc<Entry>)> {
        self.commit.entries.iter().flat_map(|entry| {
            entry
                .channels
                .iter()
                .map(move |(c, offset)| (c, *offset, entry))
        })
    }
}

/// What an `enter` closure made, opaque to the ledger: the shard that asked knows its type.
pub struct ShardAnswer(Box<dyn Any + Send>);

impl ShardAnswer {
    /// Wraps an answer.
    #[must_use]
    pub fn new<T: Send + 'static>(answer: T) -> Self {
        Self(Box::new(answer))
    }

    /// Unwraps it again.
    ///
    /// # Errors
    /// Gives the answer back when it is of another type.
    pub fn downcast<T: 'static>(self) -> Result<T, Self> {
        self.0.downcast::<T>().map(|answer| *answer).map_err(Self)
    }
}

impl fmt::Debug for ShardAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShardAnswer")
    }
}

/// Tells other nodes of commits that are durable. A hint, never the truth: it may be lost, come late, twice, or in another order.
pub trait Herald: Send + Sync + 'static {
    /// Commits of a ledger, in order, are durable. Never waits.
    fn durable(&self, ledger: &LedgerId, commits: &[SealedCommit]);

    /// Something of a ledger changed that is no commit: retention has removed entries. Never waits.
    fn trimmed(&self, ledger: &LedgerId);

    /// Whether there are other nodes that write the same store.
    fn has_others(&self) -> bool;
}

/// For a node alone.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoHerald;

impl Herald for NoHerald {
    fn durable(&self, _: &LedgerId, _: &[SealedCommit]) {}

    fn trimmed(&self, _: &LedgerId) {}

    fn has_others(&self) -> bool {
        false
    }
}

/// Time and chance, so that whole runs can be repeated from one seed.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970 (UTC).
    fn now_ms(&self) -> u64;

    /// Random bits: for commit ids and the epochs of new ledgers.
    fn random(&self) -> u128;
}

/// The real clock and the system's randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }

    fn random(&self) -> u128 {
        rand::random()
    }
}

/// Turns an outbox item into the job the receiving ledger runs; `domain`'s registry is one.
pub trait Inbox<S: State>: Send + Sync + 'static {
    /// The job for an operation named in an outbox, or `None` when there is no such operation
    /// (the item is then set aside, see `Store::outbox_done`).
    fn job(&self, source: &LedgerId, operation: &str, input: &Bytes) -> Option<Box<dyn Job<S>>>;
}

/// For states whose jobs use no outbox.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoInbox;

impl<S: State> Inbox<S> for NoInbox {
    fn job(&self, _: &LedgerId, _: &str, _: &Bytes) -> Option<Box<dyn Job<S>>> {
        None
    }
}
