//! What tests of this and other rooms need to run ledgers in one thread: a spawner onto the
//! current `LocalSet`, an outlet that writes down what it got, a clock that is set by hand.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{
    Clock, Delivery, Herald, Inbox, LedgerId, Ledgers, NoInbox, Outlet, Setup, ShardAnswer,
    ShardGone, SpawnTask, Spawner, State,
};
use crate::store::Store;
use crate::telemetry::Telemetry;

/// Spawns onto the `LocalSet` it was made in, whatever the shard.
pub struct LocalSpawner {
    tasks: mpsc::UnboundedSender<SpawnTask>,
}

impl LocalSpawner {
    /// Must be called inside a `LocalSet`.
    pub fn start() -> Arc<Self> {
        let (tasks, mut incoming) = mpsc::unbounded_channel::<SpawnTask>();
        tokio::task::spawn_local(async move {
            while let Some(task) = incoming.recv().await {
                tokio::task::spawn_local(task());
            }
        });
        Arc::new(Self { tasks })
    }
}

impl Spawner for LocalSpawner {
    fn shards(&self) -> usize {
        4
    }

    fn spawn(&self, _: usize, task: SpawnTask) -> Result<(), ShardGone> {
        self.tasks.send(task).map_err(|_| ShardGone)
    }
}

/// What a shard got, in order.
#[derive(Debug)]
pub enum Got<C> {
    /// A commit.
    Delivery(Arc<Delivery<C>>),
    /// The answer of an `enter` to this shard.
    Answer(usize, ShardAnswer),
}

/// An outlet that writes down what it got.
pub struct Recorder<S: State> {
    got: Mutex<VecDeque<Got<S::Change>>>,
    /// Whether somebody follows every ledger.
    pub follows: AtomicBool,
}

impl<S: State> Default for Recorder<S> {
    fn default() -> Self {
        Self {
            got: Mutex::default(),
            follows: AtomicBool::new(false),
        }
    }
}

impl<S: State> Recorder<S> {
    /// Everything since the last time, in order.
    pub fn take(&self) -> Vec<Got<S::Change>> {
        self.got
            .lock()
            .expect("no test panics under this lock")
            .drain(..)
            .collect()
    }

    fn push(&self, got: Got<S::Change>) {
        self.got
            .lock()
            .expect("no test panics under this lock")
            .push_back(got);
    }
}

#[async_trait]
impl<S: State> Outlet<S> for Recorder<S> {
    async fn deliver(&self, delivery: Arc<Delivery<S::Change>>) {
        self.push(Got::Delivery(delivery));
    }

    async fn follows(&self, _: &LedgerId) -> bool {
        self.follows.load(Ordering::SeqCst)
    }

    async fn answer(&self, shard: usize, answer: ShardAnswer) {
        self.push(Got::Answer(shard, answer));
    }
}

/// Time that moves when told, and numbers instead of chance.
#[derive(Debug)]
pub struct HandClock {
    now_ms: AtomicU64,
    drawn: AtomicU64,
}

impl HandClock {
    /// A clock that shows this time.
    pub fn at(now_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            now_ms: AtomicU64::new(now_ms),
            drawn: AtomicU64::new(1),
        })
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).expect("a test does not last so long");
        self.now_ms.fetch_add(by, Ordering::SeqCst);
    }

    /// What is drawn from now on, so that two nodes draw different numbers.
    pub fn draw_from(&self, first: u64) {
        self.drawn.store(first + 1, Ordering::SeqCst);
    }

    /// Moves it back, as an operator or a time server does.
    pub fn set_back(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).expect("a test does not last so long");
        self.now_ms.fetch_sub(by, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn random(&self) -> u128 {
        u128::from(self.drawn.fetch_add(1, Ordering::SeqCst)) * 0x9e37_79b9_7f4a_7c15
    }
}

/// A running set of ledgers for a test, on the current `LocalSet`.
pub struct Bench<S: State> {
    /// The handle.
    pub ledgers: Ledgers<S>,
    /// What shards got.
    pub recorder: Arc<Recorder<S>>,
    /// The time.
    pub clock: Arc<HandClock>,
    /// What was counted.
    pub telemetry: Telemetry,
}

impl<S: State> Bench<S> {
    /// Ledgers on a store, without outbox operations.
    pub fn on(store: Arc<dyn Store>) -> Self {
        Self::with_inbox(store, Arc::new(NoInbox))
    }

    /// Ledgers on a store.
    pub fn with_inbox(store: Arc<dyn Store>, inbox: Arc<dyn Inbox<S>>) -> Self {
        Self::make(
            store,
            inbox,
            Arc::new(super::NoHerald),
            0,
            super::IDLE_UNLOAD,
        )
    }

    /// One of several nodes on a store.
    pub fn with_herald(store: Arc<dyn Store>, herald: Arc<dyn Herald>, node: u64) -> Self {
        Self::make(store, Arc::new(NoInbox), herald, node, super::IDLE_UNLOAD)
    }

    /// One of several nodes, that soon forgets what nobody needs.
    pub fn forgetful(store: Arc<dyn Store>, herald: Arc<dyn Herald>, idle: Duration) -> Self {
        Self::make(store, Arc::new(NoInbox), herald, 0, idle)
    }

    fn make(
        store: Arc<dyn Store>,
        inbox: Arc<dyn Inbox<S>>,
        herald: Arc<dyn Herald>,
        node: u64,
        idle_unload: Duration,
    ) -> Self {
        let recorder = Arc::new(Recorder::default());
        let clock = HandClock::at(1_800_000_000_000);
        clock.draw_from(node << 32);
        let telemetry = Telemetry::new();
        let ledgers = Ledgers::new(Setup {
            store,
            spawner: LocalSpawner::start(),
            outlet: Arc::<Recorder<S>>::clone(&recorder),
            inbox,
            clock: Arc::<HandClock>::clone(&clock),
            herald,
            epoch_seed: Some(1),
            idle_unload,
            meters: telemetry.meters(),
        });
        Self {
            ledgers,
            recorder,
            clock,
            telemetry,
        }
    }
}

/// Runs a test body on a current-thread runtime inside a `LocalSet`.
pub fn run_local<R>(body: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime can be built");
    tokio::task::LocalSet::new().block_on(&runtime, body)
}

/// Stored examples of a format, by which a later version shows that it still reads them: `name hex` a line; what begins with `#` is for
/// people.
pub(crate) fn examples(text: &str) -> Vec<(&str, bytes::Bytes)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, hex) = line.split_once(' ').expect("a name and what it names");
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
            (name, (0..hex.len()).step_by(2).map(byte).collect())
        })
        .collect()
}

/// The line of an example, as [`examples`] reads it.
pub(crate) fn as_example(name: &str, bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(format!("{name} "), |mut line, byte| {
        let _ = write!(line, "{byte:02x}"); // A text takes everything.
        line
    })
}
