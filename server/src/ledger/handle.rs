//! [`Ledgers`]: the handle to all ledgers of this node, usable from any thread. It finds or starts
//! the actor of a ledger and waits for its answer; it decides nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::actor::{Message, Reading, run_actor};
use super::counts::Counts;
use super::foreign::News;
use super::port::{Clock, Herald, Inbox, Outlet, ShardAnswer, Spawner};
use super::{Call, CallError, ChannelName, Done, Epoch, IndexKey, LedgerId, RecordKey, State};
use crate::store::{ChannelEntry, ChannelHead, EntryRange, Store};
use crate::telemetry::{Meters, now_us};

/// Calls that may wait at one ledger. At 20,000 commits a second this is 50 ms of work; more
/// waiting would only make answers later, so callers are told to come again.
pub const MAILBOX_CALLS: usize = 1_024;

/// A ledger nobody asked anything of for so long is unloaded.
pub const IDLE_UNLOAD: Duration = Duration::from_secs(15 * 60);

/// Parts of the table of loaded ledgers, so that threads rarely wait for each other.
const TABLE_PARTS: usize = 64;

/// What [`Ledgers`] needs to run.
pub struct Setup<S: State> {
    /// Where commits are kept.
    pub store: Arc<dyn Store>,
    /// Threads for actors.
    pub spawner: Arc<dyn Spawner>,
    /// The way to all shards.
    pub outlet: Arc<dyn Outlet<S>>,
    /// Who makes jobs of outbox items.
    pub inbox: Arc<dyn Inbox<S>>,
    /// Who tells other nodes.
    pub herald: Arc<dyn Herald>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// What the epochs of ledgers without a commit are made of; the same on all nodes of a cluster. `None` for a node alone.
    pub epoch_seed: Option<u128>,
    /// When idle ledgers are unloaded; [`IDLE_UNLOAD`] unless a test wants another.
    pub idle_unload: Duration,
    /// Where is counted.
    pub meters: Meters,
}

/// The handle to all ledgers. Cheap to clone; see the [module](super) for the promises.
pub struct Ledgers<S: State> {
    inner: Arc<Inner<S>>,
}

impl<S: State> Clone for Ledgers<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<S: State> std::fmt::Debug for Ledgers<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledgers")
            .field("loaded", &self.loaded())
            .finish_non_exhaustive()
    }
}

pub(super) struct Inner<S: State> {
    pub(super) store: Arc<dyn Store>,
    pub(super) spawner: Arc<dyn Spawner>,
    pub(super) outlet: Arc<dyn Outlet<S>>,
    pub(super) inbox: Arc<dyn Inbox<S>>,
    pub(super) herald: Arc<dyn Herald>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) idle_unload: Duration,
    pub(super) counts: Counts,
    /// Mixed into the epochs of ledgers that have no commit yet.
    nonce: u128,
    closed: AtomicBool,
    /// Actors that run; who waits for their end is told when it is the last.
    actors: AtomicUsize,
    ended: tokio::sync::Notify,
    table: Vec<Mutex<Table<S>>>,
}

type Table<S> = HashMap<LedgerId, Loaded<S>>;

/// A ledger that is loaded.
struct Loaded<S: State> {
    mailbox: mpsc::Sender<Message<S>>,
    /// What others see of it.
    outside: Arc<Outside>,
}

/// What is seen of a loaded ledger from outside.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// Its head, as of the last round.
    pub(super) seq: AtomicU64,
    /// How far it was told to look at the store, and has not begun: a number, all for [`u64::MAX`], 0 for not at all. One look serves all who
    /// tell no more than that.
    pub(super) look_for: AtomicU64,
}

/// Entries of a channel with where the channel stood when they were read.
#[derive(Debug, Clone)]
pub struct Entries {
    /// The entries, in the order asked.
    pub entries: Vec<ChannelEntry>,
    /// Extent of the channel's history.
    pub head: ChannelHead,
    /// The ledger's epoch.
    pub epoch: Epoch,
    /// Whether the store had to be read.
    pub from_store: bool,
}

/// A ledger at one point of its order, as an `enter` closure sees it.
pub struct Entered<'a, S> {
    /// The resident state.
    pub state: &'a S,
    /// The position: every commit up to this one was delivered before, every later one comes after.
    pub seq: u64,
    /// The ledger's epoch.
    pub epoch: &'a Epoch,
    /// The channels asked for and their extent at this position.
    pub channels: &'a [(ChannelName, ChannelHead)],
    pub(super) rings: &'a super::ring::Rings,
}

impl<S> Entered<'_, S> {
    /// Entries of a channel after `after` up to its present top, if all are in memory; otherwise
    /// they are to be read with [`Ledgers::read`].
    #[must_use]
    pub fn recent(&self, channel: &ChannelName, after: u64) -> Option<Vec<ChannelEntry>> {
        let (_, head) = self.channels.iter().find(|(name, _)| name == channel)?;
        if after >= head.top {
            return (after == head.top).then(Vec::new);
        }
        Some(
            self.rings
                .range(channel, after + 1, head.top)?
                .cloned()
                .collect(),
        )
    }
}

impl<S: State> Ledgers<S> {
    /// Makes the handle; no ledger is loaded yet.
    #[must_use]
    pub fn new(setup: Setup<S>) -> Self {
        let nonce = setup.epoch_seed.unwrap_or_else(|| setup.clock.random());
        let counts = Counts::new(&setup.meters, setup.spawner.shards());
        let table = (0..TABLE_PARTS).map(|_| Mutex::default()).collect();
        Self {
            inner: Arc::new(Inner {
                store: setup.store,
                spawner: setup.spawner,
                outlet: setup.outlet,
                inbox: setup.inbox,
                herald: setup.herald,
                clock: setup.clock,
                idle_unload: setup.idle_unload,
                counts,
                nonce,
                closed: AtomicBool::new(false),
                actors: AtomicUsize::new(0),
                ended: tokio::sync::Notify::new(),
                table,
            }),
        }
    }

    /// Runs a job. When it returns `Ok`, everything is durable and was handed to every shard.
    ///
    /// # Errors
    /// See [`CallError`]; only [`CallError::Unknown`] and [`CallError::Closed`] leave open whether
    /// it was done.
    pub async fn call(&self, ledger: &LedgerId, mut call: Call<S>) -> Result<Done, CallError> {
        let began = Instant::now();
        if call.arrived_us == 0 {
            call.arrived_us = now_us();
        }
        let outcome = self.ask(ledger, call).await;
        self.inner.counts.called(began.elapsed(), &outcome);
        outcome
    }

    async fn ask(&self, ledger: &LedgerId, call: Call<S>) -> Result<Done, CallError> {
        let (reply, answer) = oneshot::channel();
        self.send(ledger, Message::Call(call, reply))?;
        answer.await.unwrap_or(Err(CallError::Closed))
    }

    /// Reads entries of a channel: from memory if they are recent, otherwise from the store. The
    /// range is cut to what there is.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn read(
        &self,
        ledger: &LedgerId,
        channel: &ChannelName,
        range: EntryRange,
    ) -> Result<Entries, CallError> {
        let (reply, answer) = oneshot::channel();
        self.send(ledger, Message::Read(channel.clone(), range, reply))?;
        let Reading { head, epoch, found } = answer.await.unwrap_or(Err(CallError::Closed))?;
        let from_store = found.is_err();
        let entries = match found {
            Ok(entries) => entries,
            Err(range) => self.inner.store.entries(ledger, channel, range).await?,
        };
        Ok(Entries {
            entries,
            head,
            epoch,
            from_store,
        })
    }

    /// Runs a closure on the resident state and gives back what it made.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn inspect<R: Send + 'static>(
        &self,
        ledger: &LedgerId,
        look: impl FnOnce(&S) -> R + Send + 'static,
    ) -> Result<R, CallError> {
        let (reply, answer) = oneshot::channel();
        let look = move |state: Result<&S, CallError>| {
            // The asker may have gone; then nobody misses the answer.
            let _ = reply.send(state.map(look));
        };
        self.send(ledger, Message::Inspect(Box::new(look)))?;
        answer.await.unwrap_or(Err(CallError::Closed))
    }

    /// Runs `enter` at one position of the ledger and sends what it made to `shard`, in order with
    /// the ledger's deliveries to that shard: exactly the commits after that position come after
    /// it. `channels` names the channels whose extent `enter` needs.
    ///
    /// # Errors
    /// [`CallError::Busy`] or [`CallError::Closed`] at once; then `enter` was dropped. Later
    /// errors are given to `enter`.
    pub fn enter(
        &self,
        ledger: &LedgerId,
        shard: usize,
        channels: impl FnOnce(&S) -> Vec<ChannelName> + Send + 'static,
        enter: impl FnOnce(Result<Entered<'_, S>, CallError>) -> ShardAnswer + Send + 'static,
    ) -> Result<(), CallError> {
        self.send(
            ledger,
            Message::Enter(shard, Box::new(channels), Box::new(enter)),
        )
    }

    /// Which records of which ledgers stand under an index key, after `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lookup(
        &self,
        index: &IndexKey,
        after: Option<&(LedgerId, RecordKey)>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, RecordKey)>, CallError> {
        Ok(self.inner.store.lookup(index, after, limit).await?)
    }

    /// The store behind.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// How many ledgers are loaded.
    #[must_use]
    pub fn loaded(&self) -> usize {
        self.inner.table.iter().map(|part| lock(part).len()).sum()
    }

    /// The ledgers that are loaded, each with its head as of the last round, in order.
    #[must_use]
    pub fn positions(&self) -> Vec<(LedgerId, u64)> {
        let mut all = Vec::new();
        for part in &self.inner.table {
            let part = lock(part);
            all.extend(
                part.iter()
                    .map(|(id, it)| (id.clone(), it.outside.seq.load(Ordering::Relaxed))),
            );
        }
        // So that one seed is one history.
        all.sort_unstable();
        all
    }

    /// Hands on what other nodes tell of a ledger. Who is not loaded reads the store when it is; false when it is loaded and
    /// has too much to do, so that it has to be told again.
    pub fn tell(&self, ledger: &LedgerId, news: News) -> bool {
        let part = lock(self.part(ledger));
        let Some(it) = part.get(ledger) else {
            return true;
        };
        let wanted = match news {
            News::Head(seq) if seq <= it.outside.seq.load(Ordering::Relaxed) => return true,
            News::Head(seq) => seq,
            News::Look => u64::MAX,
            News::Commits(_) => 0,
        };
        if wanted > 0 && it.outside.look_for.fetch_max(wanted, Ordering::SeqCst) >= wanted {
            return true;
        }
        let is_told = it.mailbox.try_send(Message::News(news)).is_ok();
        if wanted > 0 && !is_told {
            it.outside.look_for.store(0, Ordering::SeqCst);
        }
        is_told || it.mailbox.is_closed()
    }

    /// Waits until a ledger that is loaded here has taken in what another node wrote up to `seq`, from the store if it did not come over
    /// the bus. Who is not loaded reads the store when it is.
    pub async fn reach(&self, ledger: &LedgerId, seq: u64) {
        let knows = |it: &Loaded<S>| it.outside.seq.load(Ordering::Relaxed) >= seq;
        if lock(self.part(ledger)).get(ledger).is_none_or(knows) {
            return;
        }
        // What was heard already lies before this in its queue.
        self.tell(ledger, News::Head(seq));
        let _ = self.inspect(ledger, |_| ()).await; // Why it cannot, it says to whoever asks it for something.
    }

    /// Whether other nodes write the same store.
    #[must_use]
    pub fn has_other_writers(&self) -> bool {
        self.inner.herald.has_others()
    }

    /// Loads a ledger before anybody asks for it. Whether it was not loaded, and is on its way now.
    #[must_use]
    pub fn load(&self, ledger: &LedgerId) -> bool {
        let is_loaded = lock(self.part(ledger)).contains_key(ledger);
        !is_loaded && self.send(ledger, Message::News(News::Look)).is_ok()
    }

    /// Takes no more calls and lets the actors end when they have answered what waits.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        for part in &self.inner.table {
            lock(part).clear();
        }
    }

    /// Closes, and waits until every actor has answered what waited and ended. The shards must go
    /// on taking deliveries meanwhile; afterwards the store may be closed.
    pub async fn drain(&self) {
        self.close();
        loop {
            let ended = self.inner.ended.notified();
            if self.inner.actors.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::SeqCst)
    }

    /// Puts a message into the mailbox of a ledger's actor, starting the actor if need be.
    pub(super) fn send(&self, ledger: &LedgerId, message: Message<S>) -> Result<(), CallError> {
        let mut part = lock(self.part(ledger));
        if self.inner.closed.load(Ordering::SeqCst) {
            return Err(CallError::Closed);
        }
        let message = match part.get(ledger).map(|it| &it.mailbox) {
            Some(mailbox)
                if mailbox.capacity() <= must_stay_free(&message) && !mailbox.is_closed() =>
            {
                self.inner.counts.turned_away();
                return Err(CallError::Busy);
            }
            Some(mailbox) => match mailbox.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => {
                    self.inner.counts.turned_away();
                    return Err(CallError::Busy);
                }
                Err(TrySendError::Closed(message)) => message,
            },
            None => message,
        };
        let loaded = self.start(ledger)?;
        let sent = loaded.mailbox.try_send(message);
        sent.map_err(|_| CallError::Closed)?;
        part.insert(ledger.clone(), loaded);
        Ok(())
    }

    fn start(&self, ledger: &LedgerId) -> Result<Loaded<S>, CallError> {
        let (mailbox, messages) = mpsc::channel(MAILBOX_CALLS);
        let outside = Arc::<Outside>::default();
        let told = Arc::clone(&outside);
        let (ledgers, id) = (self.clone(), ledger.clone());
        let running = Running::new(&self.inner);
        let shard = self.shard_of(ledger);
        let task = Box::new(
            move || -> futures_util::future::LocalBoxFuture<'static, ()> {
                Box::pin(async move {
                    let _running = running;
                    run_actor(ledgers, id, messages, told).await;
                })
            },
        );
        self.inner
            .spawner
            .spawn(shard, task)
            .map_err(|_| CallError::Closed)?;
        Ok(Loaded { mailbox, outside })
    }

    /// The shard whose thread a ledger's actor runs on.
    pub(super) fn shard_of(&self, ledger: &LedgerId) -> usize {
        ledger.hash32() as usize % self.inner.spawner.shards().max(1)
    }

    /// Takes an actor out of the table if nothing waits for it; from then on it gets nothing more.
    pub(super) fn retire(&self, ledger: &LedgerId, messages: &mpsc::Receiver<Message<S>>) -> bool {
        let mut part = lock(self.part(ledger));
        if !messages.is_empty() {
            return false;
        }
        part.remove(ledger);
        true
    }

    /// Messages to actors that are loaded; others do not need to hear it.
    pub(super) fn send_if_loaded(&self, ledger: &LedgerId, message: Message<S>) -> bool {
        let part = lock(self.part(ledger));
        part.get(ledger)
            .is_some_and(|it| it.mailbox.try_send(message).is_ok())
    }

    fn part(&self, ledger: &LedgerId) -> &Mutex<Table<S>> {
        &self.inner.table[ledger.hash32() as usize / 7 % TABLE_PARTS]
    }

    pub(super) fn inner(&self) -> &Inner<S> {
        &self.inner
    }

    /// The epoch a ledger has as long as it has no commit: the same for everybody who asks during
    /// this run, so that positions handed out before the first commit stay good after it.
    pub(super) fn unborn_epoch(&self, ledger: &LedgerId) -> Epoch {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.inner.nonce.to_le_bytes());
        hasher.update(ledger.as_str().as_bytes());
        let letters = b"abcdefghijklmnopqrstuvwxyz234567";
        let bytes = hasher.finalize();
        let letter = |b: &u8| letters[usize::from(b & 31)] as char;
        let text: String = bytes.as_bytes()[..8].iter().map(letter).collect();
        text.into()
    }
}

/// Places in a ledger's queue that a message must leave to what matters more.
fn must_stay_free<S: State>(message: &Message<S>) -> usize {
    match message {
        Message::Call(call, _) => MAILBOX_CALLS * call.leaves_free_percent / 100,
        _ => 0,
    }
}

/// Counts an actor as long as it lives, however it ends.
struct Running<S: State>(Arc<Inner<S>>);

impl<S: State> Running<S> {
    fn new(inner: &Arc<Inner<S>>) -> Self {
        inner.actors.fetch_add(1, Ordering::SeqCst);
        inner.counts.loaded.add(1);
        Self(Arc::clone(inner))
    }
}

impl<S: State> Drop for Running<S> {
    fn drop(&mut self) {
        self.0.actors.fetch_sub(1, Ordering::SeqCst);
        self.0.counts.loaded.add(-1);
        self.0.ended.notify_waiters();
    }
}

/// Nothing done under these locks can panic half way, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
