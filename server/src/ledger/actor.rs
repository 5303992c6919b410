//! The actor of one ledger: a local task on its shard's thread. It alone runs jobs on the ledger,
//! numbers commits and offsets, writes, applies, delivers and answers, in that order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::base::Base;
use super::foreign::News;
use super::handle::{Entered, Ledgers, Outside};
use super::outbox::Courier;
use super::port::ShardAnswer;
use super::round::Round;
use super::weight::Weight;
use super::{Call, CallError, ChannelName, Done, Epoch, LedgerId, State};
use crate::store::{ChannelEntry, ChannelHead, EntryRange, Order};

/// Most entries one read gives.
pub(super) const READ_LIMIT_MAX: usize = 10_000;

/// Most messages taken from the mailbox before what they staged is written.
const DRAIN_MAX: usize = 256;

/// How long a ledger of which it is not known where it stands waits before it looks again by itself. The store's own timeouts
/// are longer, so this is no flood.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);

/// What an actor is asked.
pub(super) enum Message<S: State> {
    /// Run a job.
    Call(Call<S>, Reply),
    /// Read entries.
    Read(
        ChannelName,
        EntryRange,
        oneshot::Sender<Result<Reading, CallError>>,
    ),
    /// Look at the state.
    Inspect(LookAt<S>),
    /// Answer a shard in order.
    Enter(usize, ChannelsOf<S>, EnterWith<S>),
    /// Retention removed entries up to these offsets.
    Trimmed(Vec<(ChannelName, u64)>),
    /// Look whether outbox items wait.
    Outbox,
    /// Other nodes wrote.
    News(News),
}

pub(super) type Reply = oneshot::Sender<Result<Done, CallError>>;
pub(super) type LookAt<S> = Box<dyn FnOnce(Result<&S, CallError>) + Send>;
pub(super) type ChannelsOf<S> = Box<dyn FnOnce(&S) -> Vec<ChannelName> + Send>;
pub(super) type EnterWith<S> =
    Box<dyn FnOnce(Result<Entered<'_, S>, CallError>) -> ShardAnswer + Send>;

/// What an actor says to a read.
pub(super) struct Reading {
    pub(super) head: ChannelHead,
    pub(super) epoch: Epoch,
    /// The entries, or the range to be read from the store.
    pub(super) found: Result<Vec<ChannelEntry>, EntryRange>,
}

/// What an actor needs to know of the rest.
pub(super) struct Context<S: State> {
    pub(super) ledgers: Ledgers<S>,
    pub(super) ledger: LedgerId,
    pub(super) courier: Courier,
    pub(super) outside: Arc<Outside>,
}

/// The actor's whole life.
pub(super) async fn run_actor<S: State>(
    ledgers: Ledgers<S>,
    ledger: LedgerId,
    mut messages: mpsc::Receiver<Message<S>>,
    outside: Arc<Outside>,
) {
    let context = Context {
        ledgers,
        ledger,
        courier: Courier::default(),
        outside,
    };
    let epoch = context.ledgers.unborn_epoch(&context.ledger);
    let store = Arc::clone(&context.ledgers.inner().store);
    let is_shared = context.ledgers.inner().herald.has_others();
    let mut base = match Base::load(context.ledger.clone(), store, epoch, is_shared).await {
        Ok(base) => base,
        Err(error) => return turn_away(&context, &mut messages, &error.into()).await,
    };
    let counts = &context.ledgers.inner().counts;
    let shard = context.ledgers.shard_of(&context.ledger);
    if is_shared {
        // Records were read one page after the other, some of them perhaps newer than the head.
        if let Err(error) = super::foreign::catch_up(&context, &mut base).await {
            return turn_away(&context, &mut messages, &error.into()).await;
        }
    }
    let mut weight = Weight::new(counts.memory_of(shard));
    weight.update(&base);
    context.outside.seq.store(base.head.seq, Ordering::Relaxed);
    let mut waiting = Vec::with_capacity(DRAIN_MAX);
    let idle = context.ledgers.inner().idle_unload;
    let mut needed = Instant::now();
    loop {
        let until = if base.is_in_doubt {
            Instant::now() + DOUBT_PAUSE
        } else {
            needed + idle
        };
        let received = messages.recv_many(&mut waiting, DRAIN_MAX);
        match tokio::time::timeout_at(until, received).await {
            Ok(0) => return,
            Ok(_) => {
                // What other nodes do is no need of it here.
                if waiting.iter().any(|it| !matches!(it, Message::News(_))) {
                    needed = Instant::now();
                }
                serve(&context, &mut base, &mut waiting).await;
                weight.update(&base);
                context.outside.seq.store(base.head.seq, Ordering::Relaxed);
            }
            Err(_) if base.is_in_doubt => {
                // Whoever listens to it waits for what may have been written.
                let _ = super::foreign::settle(&context, &mut base).await; // Then again.
                context.outside.seq.store(base.head.seq, Ordering::Relaxed);
            }
            // Who follows it here hears by it what other nodes write.
            Err(_)
                if is_shared
                    && context
                        .ledgers
                        .inner()
                        .outlet
                        .follows(&context.ledger)
                        .await =>
            {
                needed = Instant::now();
            }
            Err(_) if context.ledgers.retire(&context.ledger, &messages) => return,
            Err(_) => needed = Instant::now(),
        }
    }
}

/// Serves messages in the order they came. Neighbouring calls share a round.
async fn serve<S: State>(context: &Context<S>, base: &mut Base<S>, waiting: &mut Vec<Message<S>>) {
    let mut round = Round::default();
    for message in waiting.drain(..) {
        if let Message::Call(call, reply) = message {
            if let Err(error) = super::foreign::settle(context, base).await {
                let _ = reply.send(Err(error.into())); // The caller may have gone.
                continue;
            }
            round.run(context, base, call, reply).await;
            if round.is_full() {
                round.finish(context, base).await;
            }
            continue;
        }
        round.finish(context, base).await;
        answer(context, base, message).await;
    }
    round.finish(context, base).await;
}

async fn answer<S: State>(context: &Context<S>, base: &mut Base<S>, message: Message<S>) {
    if matches!(message, Message::News(News::Head(_) | News::Look)) {
        // Whatever is written from here on is another one's to find.
        context.outside.look_for.store(0, Ordering::SeqCst);
    }
    let message = match super::foreign::settle(context, base).await {
        Ok(()) => message,
        Err(error) => return refuse(context, message, &error.into()).await,
    };
    match message {
        Message::Call(..) => {}
        Message::Read(channel, range, reply) => {
            // The asker may have gone; then nobody misses the answer.
            let _ = reply.send(read(context, base, &channel, range).await);
        }
        Message::Inspect(look) => look(Ok(&base.state)),
        Message::Enter(shard, channels, enter) => {
            let answer = enter_at(context, base, channels, enter).await;
            context.ledgers.inner().outlet.answer(shard, answer).await;
        }
        Message::Trimmed(channels) => {
            for (channel, to) in &channels {
                base.trimmed(channel, *to);
            }
        }
        Message::Outbox => super::outbox::start(context),
        Message::News(news) => super::foreign::hear(context, base, news).await,
    }
}

async fn enter_at<S: State>(
    context: &Context<S>,
    base: &mut Base<S>,
    channels: ChannelsOf<S>,
    enter: EnterWith<S>,
) -> ShardAnswer {
    let names = channels(&base.state);
    let heads = match super::foreign::heads_at(context, base, &names).await {
        Ok(heads) => heads,
        Err(error) => return enter(Err(error.into())),
    };
    let channels: Vec<_> = names.into_iter().zip(heads).collect();
    enter(Ok(Entered {
        state: &base.state,
        seq: base.head.seq,
        epoch: &base.head.epoch,
        channels: &channels,
        rings: &base.rings,
    }))
}

async fn read<S: State>(
    context: &Context<S>,
    base: &mut Base<S>,
    channel: &ChannelName,
    range: EntryRange,
) -> Result<Reading, CallError> {
    let channels = std::slice::from_ref(channel);
    let mut heads = super::foreign::heads_at(context, base, channels).await?;
    let is_beyond = |heads: &[ChannelHead]| {
        let top = heads.first().map_or(0, |head| head.top);
        range.order == Order::Ascending && range.from > top.saturating_add(1)
    };
    if base.is_shared() && is_beyond(&heads) {
        // Whoever asks was at a node that knows more.
        super::foreign::catch_up(context, base).await?;
        heads = super::foreign::heads_at(context, base, channels).await?;
    }
    let head = heads.first().copied().unwrap_or_default();
    let found = match cut(range, head) {
        None => Ok(Vec::new()),
        Some(range) => match base.rings.range(channel, range.from, range.to) {
            None => Err(range),
            Some(entries) => Ok(match range.order {
                Order::Ascending => entries.cloned().collect(),
                Order::Descending => entries.rev().cloned().collect(),
            }),
        },
    };
    Ok(Reading {
        head,
        epoch: base.head.epoch.clone(),
        found,
    })
}

/// The part of a range that exists and keeps to the limit; `None` when that is nothing.
fn cut(range: EntryRange, head: ChannelHead) -> Option<EntryRange> {
    let limit = range.limit.min(READ_LIMIT_MAX);
    let mut from = range.from.max(head.trimmed + 1);
    let mut to = range.to.min(head.top);
    if limit == 0 || from > to {
        return None;
    }
    match range.order {
        Order::Ascending => to = to.min(from.saturating_add(limit as u64 - 1)),
        Order::Descending => from = from.max(to.saturating_sub(limit as u64 - 1)),
    }
    Some(EntryRange {
        from,
        to,
        limit,
        order: range.order,
    })
}

/// The ledger cannot be loaded: everybody who waits is told why, and the actor ends, so that the
/// next one who asks makes a new attempt.
async fn turn_away<S: State>(
    context: &Context<S>,
    messages: &mut mpsc::Receiver<Message<S>>,
    error: &CallError,
) {
    loop {
        let Ok(message) = messages.try_recv() else {
            if context.ledgers.retire(&context.ledger, messages) || messages.is_closed() {
                return;
            }
            continue;
        };
        context.outside.look_for.store(0, Ordering::SeqCst);
        refuse(context, message, error).await;
    }
}

/// Tells who asked that there is no answer, and why.
async fn refuse<S: State>(context: &Context<S>, message: Message<S>, error: &CallError) {
    let error = error.clone();
    match message {
        Message::Call(_, reply) => drop(reply.send(Err(error))),
        Message::Read(_, _, reply) => drop(reply.send(Err(error))),
        Message::Inspect(look) => look(Err(error)),
        Message::Enter(shard, _, enter) => {
            let answer = enter(Err(error));
            context.ledgers.inner().outlet.answer(shard, answer).await;
        }
        Message::Trimmed(_) | Message::Outbox | Message::News(_) => {}
    }
}
