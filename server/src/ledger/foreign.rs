//! What other nodes wrote: taken in as it is heard when it is the next in order, read from the store when it is not.
//!
//! News are hints. What is told twice or late is known already; what was not told is found by whoever tells of something later, by
//! comparing heads, or by the first own write, which meets a conflict. In the end the hash chain decides, never the news.

use std::sync::Arc;

use super::actor::Context;
use super::base::Base;
use super::planted::{Bug, planted};
use super::port::Delivery;
use super::{Actor, ChannelName, Commit, CommitHash, SealedCommit, State};
use crate::store::{ChannelHead, StoreError};

/// Missing commits read at once.
const PAGE: usize = 256;

/// How often extents are read anew because others went on writing meanwhile. Each time all that was missing is taken in.
const SETTLE_TRIES: usize = 4;

/// What is told of a ledger that others write too.
#[derive(Debug, Clone)]
pub enum News {
    /// These commits are durable; in order.
    Commits(Vec<SealedCommit>),
    /// Its head is at least here.
    Head(u64),
    /// Nothing is known: look.
    Look,
}

/// Takes in news.
pub(super) async fn hear<S: State>(context: &Context<S>, base: &mut Base<S>, news: News) {
    let must_look = match &news {
        News::Commits(commits) => !in_turn(context, base, commits).await,
        News::Head(seq) => *seq > base.head.seq,
        News::Look => true,
    };
    if !must_look {
        return;
    }
    // Where a ledger stands says nothing of what was removed.
    let looks_at_all = matches!(news, News::Look | News::Head(u64::MAX));
    let looked = async {
        catch_up(context, base).await?;
        match looks_at_all {
            true => base.look_at_trims().await,
            false => Ok(()),
        }
    };
    if let Err(error) = looked.await {
        // Whoever asks this ledger for something is told; here nobody waits for an answer.
        tracing::warn!(ledger = %context.ledger, %error, "cannot read what other nodes wrote");
    }
}

/// Takes in those that come next; false when one is missing or does not fit.
async fn in_turn<S: State>(
    context: &Context<S>,
    base: &mut Base<S>,
    commits: &[SealedCommit],
) -> bool {
    for sealed in commits {
        let next = base.head.seq + 1;
        let seq = sealed.commit.seq;
        if seq == base.head.seq && sealed.hash != base.head.hash {
            // Two different commits with one number: the store has one of them, and says which when it is read.
            context.ledgers.inner().counts.forks.add(1);
            tracing::error!(ledger = %context.ledger, seq, "another node tells of another commit with this number");
            base.is_astray |= is_elsewhere(base, next).await.unwrap_or(false);
            return false;
        }
        if seq < next {
            continue;
        }
        if !is_next(base, sealed) && !planted(Bug::SkipGaps) {
            return false;
        }
        context.ledgers.inner().counts.foreign_told.add(1);
        take_in(context, base, sealed).await;
    }
    true
}

fn is_next<S: State>(base: &Base<S>, sealed: &SealedCommit) -> bool {
    let prev = if base.head.seq == 0 {
        CommitHash::GENESIS
    } else {
        base.head.hash
    };
    sealed.follows(&base.ledger, base.head.seq + 1, prev)
}

/// Finds out where the ledger stands, if that is in doubt since a write whose outcome could not be found out.
pub(super) async fn settle<S: State>(
    context: &Context<S>,
    base: &mut Base<S>,
) -> Result<(), StoreError> {
    if base.is_in_doubt {
        catch_up(context, base).await?;
    }
    Ok(())
}

/// Reads what somebody else wrote, and takes it in.
pub(super) async fn catch_up<S: State>(
    context: &Context<S>,
    base: &mut Base<S>,
) -> Result<(), StoreError> {
    let counts = &context.ledgers.inner().counts;
    counts.read_backs.add(1);
    if base.is_astray {
        renew(context, base).await?;
    }
    loop {
        let page = base
            .store
            .commits_since(&base.ledger, base.head.seq, PAGE)
            .await?;
        let Some(first) = page.first() else {
            base.is_in_doubt = false;
            return Ok(());
        };
        if !is_next(base, first) {
            let seq = first.commit.seq;
            if !is_elsewhere(base, seq).await? {
                return Err(base.missing(base.head.seq + 1));
            }
            renew(context, base).await?;
            continue;
        }
        for sealed in &page {
            if !is_next(base, sealed) {
                return Err(base.missing(base.head.seq + 1));
            }
            counts.foreign_read.add(1);
            take_in(context, base, sealed).await;
        }
    }
}

/// Whether the store goes on from another place than this node stands at, so that it has to begin anew: retention has
/// removed what it lacks, or what it holds for the last commit is not what the store has there.
async fn is_elsewhere<S: State>(base: &Base<S>, found: u64) -> Result<bool, StoreError> {
    let own = base.head.seq;
    let anchor = base.store.anchor(&base.ledger).await?;
    if anchor.seq > own {
        return Ok(anchor.seq < found);
    }
    let Some(before) = own.checked_sub(1) else {
        return Ok(false);
    };
    let there = base.store.commits_since(&base.ledger, before, 1).await?;
    Ok(there
        .first()
        .is_some_and(|there| there.commit.seq != own || there.hash != base.head.hash))
}

/// Begins anew from the store. What was written meanwhile and is there no more is never delivered: who follows a channel finds
/// that by its offsets; whose rights changed is told by a delivery that says nothing else.
async fn renew<S: State>(context: &Context<S>, base: &mut Base<S>) -> Result<(), StoreError> {
    let inner = context.ledgers.inner();
    let (ledger, store) = (base.ledger.clone(), Arc::clone(&base.store));
    let unborn = context.ledgers.unborn_epoch(&ledger);
    let fresh = Base::load(ledger, store, unborn, base.is_shared()).await?;
    inner.counts.renewed.add(1);
    tracing::warn!(ledger = %context.ledger, from = base.head.seq, to = fresh.head.seq,
        "this node cannot go on from where it stood, and begins this ledger anew from the store");
    let before = std::mem::replace(base, fresh);
    let now_ms = inner.clock.now_ms();
    let changes = base.state.renewed(&before.state, now_ms);
    let commit = Arc::new(Commit {
        ledger: base.ledger.clone(),
        seq: base.head.seq,
        epoch: base.head.epoch.clone(),
        time_ms: now_ms,
        id: uuid::Uuid::nil(),
        actor: Actor::default(),
        operation: "ledger.renewed".into(),
        idempotency: None,
        outcome: bytes::Bytes::new(),
        records: Vec::new(),
        entries: Vec::new(),
        outbox: Vec::new(),
        prev_hash: base.head.hash,
    });
    let delivery = Delivery {
        commit,
        changes,
        arrived_us: 0,
    };
    inner.outlet.deliver(Arc::new(delivery)).await;
    Ok(())
}

/// Extent of some channels as of this ledger's head: never newer, or what comes next would come twice.
pub(super) async fn heads_at<S: State>(
    context: &Context<S>,
    base: &mut Base<S>,
    channels: &[ChannelName],
) -> Result<Vec<ChannelHead>, StoreError> {
    for _ in 0..SETTLE_TRIES {
        base.begin_reading();
        let heads = base.heads(channels).await?;
        if !base.has_read_unsure() || !base.is_behind().await? {
            return Ok(heads);
        }
        catch_up(context, base).await?;
    }
    Err(StoreError::Unavailable(
        "other nodes write this ledger faster than it can be read".into(),
    ))
}

/// Applies and delivers what another node wrote. Its outbox is that node's to deliver, and that of the
/// node that the ledger prefers when it is gone; on a node alone it is its own, found late.
async fn take_in<S: State>(context: &Context<S>, base: &mut Base<S>, sealed: &SealedCommit) {
    let changes = base.apply_foreign(sealed);
    let changes = base.due(changes);
    let delivery = Arc::new(Delivery {
        commit: Arc::clone(&sealed.commit),
        changes,
        arrived_us: 0,
    });
    let inner = context.ledgers.inner();
    inner.outlet.deliver(delivery).await;
    // What is found while the own last write is in doubt may be that.
    let may_be_own = base.is_in_doubt || !inner.herald.has_others();
    if may_be_own && !sealed.commit.outbox.is_empty() {
        super::outbox::start(context);
    }
}
