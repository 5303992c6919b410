//! Follows the other nodes: hands what they tell to the ledgers, tells them where this node stands, and looks at the store where the bus
//! cannot be relied on.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::{
    Bus, Change, Hello, Incoming, MESSAGE_BYTES_MAX, Members, Message, NodeId, Shared, wire,
};
use crate::ledger::{Clock, LedgerId, Ledgers, News, State};
use crate::telemetry::{Count, Level, Meters, catalogue};

/// A ledger's name and number in a message of positions.
const POSITION_BYTES: usize = 96;

/// Parts in which all ledgers are looked at, so that the store is not asked everything at once.
const SWEEP_PARTS: u32 = 20;

/// How often things are done.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How often this node says that it is there, and where its ledgers stand.
    pub hello: Duration,
    /// How often every loaded ledger is looked at in the store while the bus is away: how late live delivery between nodes is then.
    pub look_when_down: Duration,
    /// The same while it is there: for what a node wrote that died before it could tell.
    pub look_when_up: Duration,
    /// A clock that differs by more than this is complained of.
    pub skew_max: Duration,
}

/// What is counted.
struct Counts {
    up: Level,
    nodes: Level,
    commits: Count,
    positions: Count,
    hellos: Count,
    unknown: Count,
    undecodable: Count,
    dropped: Count,
    looks: Count,
}

impl Counts {
    fn new(meters: &Meters) -> Self {
        let heard = |kind| meters.counter(catalogue::BUS_MESSAGES, &["in", kind]);
        Self {
            up: meters.gauge(catalogue::BUS_UP, &[]),
            nodes: meters.gauge(catalogue::NODE_NUM_NODES, &[]),
            commits: heard("commits"),
            positions: heard("positions"),
            hellos: heard("hello"),
            unknown: heard("unknown"),
            undecodable: heard("undecodable"),
            dropped: meters.counter(catalogue::BUS_DROPPED, &["in"]),
            looks: meters.counter(catalogue::BUS_LOOKS, &[]),
        }
    }
}

/// See the file.
struct Follower<S: State> {
    ledgers: Ledgers<S>,
    bus: Arc<dyn Bus>,
    own: NodeId,
    hello: Hello,
    clock: Arc<dyn Clock>,
    members: Shared,
    pace: Pace,
    counts: Counts,
    is_up: bool,
    /// Where each ledger stood when it was last told.
    told: HashMap<LedgerId, u64>,
    /// Ledgers still to be looked at in this round.
    sweep: VecDeque<LedgerId>,
    part: usize,
}

/// Follows until the bus ends or this is dropped. `hello` is what this node says of itself.
pub async fn follow<S: State>(
    ledgers: Ledgers<S>,
    connected: super::Connected,
    members: Shared,
    (own, hello): (NodeId, Hello),
    clock: Arc<dyn Clock>,
    pace: Pace,
    meters: &Meters,
) {
    let (bus, incoming) = connected;
    let follower = Follower {
        ledgers,
        bus,
        own,
        hello,
        clock,
        members,
        pace,
        counts: Counts::new(meters),
        is_up: false,
        told: HashMap::new(),
        sweep: VecDeque::new(),
        part: 0,
    };
    follower.run(incoming).await;
}

impl<S: State> Follower<S> {
    async fn run(mut self, mut incoming: mpsc::Receiver<Incoming>) {
        self.counts.nodes.set(1);
        let mut greet = every(self.pace.hello);
        let mut look = every(self.pace.look_when_down / SWEEP_PARTS);
        let mut since_sweep = Duration::ZERO;
        loop {
            tokio::select! {
                // In this order, so that one seed is one history; what is timed is seldom, and starves nothing.
                biased;
                _ = greet.tick() => self.greet(),
                _ = look.tick() => {
                    since_sweep += self.pace.look_when_down / SWEEP_PARTS;
                    let due = if self.is_up { self.pace.look_when_up } else { self.pace.look_when_down };
                    if self.sweep.is_empty() && since_sweep >= due {
                        self.look_at_all();
                        since_sweep = Duration::ZERO;
                    }
                    self.look_at_some();
                }
                came = incoming.recv() => match came {
                    Some(came) => self.take(came),
                    None => return,
                },
            }
        }
    }

    fn take(&mut self, came: Incoming) {
        match came {
            Incoming::Message(bytes) => match wire::decode(bytes) {
                Ok((from, message)) if from != self.own => self.hear(from, message),
                Ok(_) => {}
                Err(error) => {
                    self.counts.undecodable.add(1);
                    tracing::debug!(%error, "a message of the bus cannot be used");
                }
            },
            Incoming::Up => {
                tracing::info!("the bus is there");
                self.set_up(true);
                // What was told meanwhile was missed.
                self.look_at_all();
                self.greet();
            }
            Incoming::Down => {
                if self.is_up {
                    tracing::warn!(
                        "the bus is away: what other nodes write is read from the store"
                    );
                }
                self.set_up(false);
                self.look_at_all();
            }
            Incoming::Behind => self.look_at_all(),
        }
    }

    fn set_up(&mut self, is_up: bool) {
        self.is_up = is_up;
        self.counts.up.set(i64::from(is_up));
    }

    fn hear(&mut self, from: NodeId, message: Message) {
        match message {
            Message::Commits(ledger, commits) => {
                self.counts.commits.add(1);
                self.tell(&ledger, News::Commits(commits));
            }
            Message::Positions(all) => {
                self.counts.positions.add(1);
                for position in all {
                    self.tell(&position.ledger, News::Head(position.seq));
                }
            }
            Message::Hello(hello) => {
                self.counts.hellos.add(1);
                self.meet(from, hello);
            }
            Message::Unknown => self.counts.unknown.add(1),
        }
    }

    fn tell(&self, ledger: &LedgerId, news: News) {
        if !self.ledgers.tell(ledger, news) {
            // Found when the ledger moves on, or by the next look.
            self.counts.dropped.add(1);
        }
    }

    fn meet(&mut self, from: NodeId, hello: Hello) {
        let now_ms = self.clock.now_ms();
        let skew = Duration::from_millis(now_ms.abs_diff(hello.now_ms));
        let (name, version, settings) = (
            Arc::clone(&hello.name),
            Arc::clone(&hello.version),
            hello.settings,
        );
        let heard = |members: &mut Members| members.heard(from, hello, now_ms);
        let change = self.members.change(heard);
        if change == Some(Change::Joined(from)) {
            tracing::info!(node = %from, %name, %version, "a node is there");
            if skew > self.pace.skew_max {
                tracing::warn!(%name, skew_ms = skew.as_millis(), "the clocks of two nodes differ: set them by the same source");
            }
            if settings != self.hello.settings {
                tracing::warn!(%name, "a node has other settings where all must have the same: compare `klokke config print` on both");
            }
            // It wants to know who is there.
            self.greet();
        }
        self.changed(change);
    }

    fn changed(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            if let Change::Gone(node) = change {
                tracing::warn!(%node, "a node is gone");
                // It may have died between writing and telling.
                self.look_at_all();
            }
        }
        let count = self.members.change(|members| members.count());
        let nodes = i64::try_from(count).unwrap_or(i64::MAX);
        self.counts.nodes.set(nodes);
    }

    /// Says that this node is there, and where the ledgers stand that moved since.
    fn greet(&mut self) {
        let now_ms = self.clock.now_ms();
        let (gone, leaves) = self
            .members
            .change(|members| (members.tick(now_ms), members.leaves()));
        self.changed(gone);
        self.hello.now_ms = now_ms;
        self.hello.leaving = leaves;
        let _ = self.bus.tell(wire::hello(self.own, &self.hello)); // Said again soon.
        let all = self.ledgers.positions();
        let moved: Vec<_> = all
            .iter()
            .filter(|(ledger, seq)| self.told.get(ledger) != Some(seq))
            .collect();
        for part in moved.chunks(MESSAGE_BYTES_MAX / POSITION_BYTES) {
            let part = part.iter().map(|(ledger, seq)| (ledger, *seq));
            if !self.bus.tell(wire::positions(self.own, part)) {
                return; // Not told: still to be told.
            }
        }
        self.told = all.into_iter().collect();
    }

    fn look_at_all(&mut self) {
        let loaded = self.ledgers.positions();
        self.sweep = loaded.into_iter().map(|(ledger, _)| ledger).collect();
        self.part = self.sweep.len().div_ceil(SWEEP_PARTS as usize);
    }

    fn look_at_some(&mut self) {
        for _ in 0..self.part {
            let Some(ledger) = self.sweep.pop_front() else {
                return;
            };
            self.counts.looks.add(1);
            self.tell(&ledger, News::Look);
        }
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
