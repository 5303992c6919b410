//! Work to be done on a ledger and how it can end: [`Job`], [`Call`], [`Done`], [`Refusal`],
//! [`CallError`].

use std::sync::Arc;

use bytes::Bytes;

use super::{Actor, ChannelName, Commit, Content, IdempotencyKey, LedgerIdError, State, View};
use crate::store::{CommitError, StoreError};

/// What an operation does to one ledger. See the [module](super) for an example.
///
/// A job may be run more than once (after a conflict in the store), so it must not have effects
/// of its own besides what it stages. It runs alone on its ledger: while it awaits, no other job
/// of that ledger runs, so it should await nothing but its view.
#[async_trait::async_trait(?Send)]
pub trait Job<S: State>: Send {
    /// Checks, reads and stages. What it returns is the call's outcome; it is stored with the
    /// commit and given again to a retry with the same idempotency key. On refusal nothing that
    /// was staged is kept. A job that stages nothing makes no commit.
    async fn run(&mut self, cx: &mut View<'_, S>) -> Result<Bytes, Refusal>;
}

/// A job with the facts its commit records.
pub struct Call<S: State> {
    /// What to do.
    pub job: Box<dyn Job<S>>,
    /// Who does it.
    pub actor: Actor,
    /// The operation's name.
    pub operation: Arc<str>,
    /// The caller's key against doing it twice.
    pub idempotency: Option<IdempotencyKey>,
    /// When it arrived at the server, by [`telemetry::now_us`](crate::telemetry::now_us); 0 when it
    /// is called: then. For the figures only.
    pub arrived_us: u64,
    /// Which part of the ledger's queue must be free behind it, in per cent: what matters less is turned away earlier, so
    /// that what matters more finds room.
    pub leaves_free_percent: usize,
}

impl<S: State> Call<S> {
    /// A call without idempotency key.
    #[must_use]
    pub fn new(operation: &str, actor: Actor, job: impl Job<S> + 'static) -> Self {
        Self {
            job: Box::new(job),
            actor,
            operation: operation.into(),
            idempotency: None,
            arrived_us: 0,
            leaves_free_percent: 0,
        }
    }

    /// The same call, arrived at this time.
    #[must_use]
    pub fn arrived(mut self, us: u64) -> Self {
        self.arrived_us = us;
        self
    }

    /// The same call with an idempotency key.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.idempotency = Some(key);
        self
    }
}

/// A call that was done. Whatever it changed is durable and was handed to every shard.
#[derive(Debug, Clone)]
pub struct Done {
    /// What the job returned.
    pub outcome: Bytes,
    /// The commit it made (or had made, for a replay); `None` when it staged nothing.
    pub commit: Option<Arc<Commit>>,
    /// Whether this was done before under the same idempotency key, and nothing new happened.
    pub replayed: bool,
}

/// Why a job will not do it. Carries no content, only what the caller may be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused ({code}, {key}): {detail}")]
pub struct Refusal {
    /// Error code of the protocol's table.
    pub code: u32,
    /// Message key for the user-visible text.
    pub key: &'static str,
    /// For developers: what is wrong and what to do about it. No names, no content.
    pub detail: String,
    /// Whether trying again later can help.
    pub temporary: bool,
}

impl Refusal {
    /// A refusal that stands until something changes.
    #[must_use]
    pub fn new(code: u32, key: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            key,
            detail: detail.into(),
            temporary: false,
        }
    }

    /// A refusal that may be gone when tried again later.
    #[must_use]
    pub fn temporary(code: u32, key: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            key,
            detail: detail.into(),
            temporary: true,
        }
    }
}

/// Why a call was not, or perhaps not, done.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The job refused. Nothing changed.
    #[error(transparent)]
    Refused(Refusal),
    /// The ledger's mailbox is full. Nothing changed; try again shortly (protocol code 111).
    #[error("the ledger has too much waiting")]
    Busy,
    /// The same idempotency key came before with another operation or input. Nothing changed.
    #[error("the idempotency key was used for something else")]
    IdempotencyConflict,
    /// What the job staged cannot be written (a key or the whole commit is too large, a channel is
    /// another ledger's). Nothing changed; trying again will not help.
    #[error("cannot be committed: {0}")]
    Unwritable(&'static str),
    /// The store cannot serve, or the ledger is damaged. Nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whether it was done is not known: ask again with the same idempotency key.
    #[error("whether it was done is unknown")]
    Unknown,
    /// Somebody else kept writing first. Nothing changed; try again.
    #[error("the ledger is contended")]
    Contended,
    /// The name is no ledger's.
    #[error(transparent)]
    Name(#[from] LedgerIdError),
    /// The server is shutting down, or the job failed; whether it was done is not known.
    #[error("the ledger closed before it answered")]
    Closed,
}

impl CallError {
    /// Whether the same call may succeed later without anything else changing.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.temporary,
            Self::Busy | Self::Unknown | Self::Contended | Self::Closed => true,
            Self::Store(StoreError::Unavailable(_)) => true,
            Self::IdempotencyConflict | Self::Unwritable(_) | Self::Store(_) | Self::Name(_) => {
                false
            }
        }
    }
}

impl From<CommitError> for CallError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self::Contended,
            CommitError::Malformed(what) => Self::Unwritable(what),
            CommitError::Unknown(_) => Self::Unknown,
            CommitError::Store(error) => Self::Store(error),
        }
    }
}

/// The simplest job: append one content to some channels. Its outcome is empty; offsets are in
/// the commit.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where to.
    pub channels: Vec<ChannelName>,
    /// What.
    pub content: Content,
}

#[async_trait::async_trait(?Send)]
impl<S: State> Job<S> for Append {
    async fn run(&mut self, cx: &mut View<'_, S>) -> Result<Bytes, Refusal> {
        cx.append(self.channels.iter().cloned(), self.content.clone());
        Ok(Bytes::new())
    }
}
