//! Follows the other nodes: hands what they tell to the ledgers, tells them where this node stands, and looks at the store where the bus
//! cannot be relied on.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::MissedTickBehavior;

use super::nats::RECONNECT_PAUSE_MAX;
use super::wire::Heard;
use super::{
    Asks, Bus, Change, Hello, Incoming, MESSAGE_BYTES_MAX, Members, Message, NodeId, Shared, wire,
};
use crate::ledger::{Clock, LedgerId, Ledgers, News, State};
use crate::telemetry::{Count, Level, Meters, catalogue};

/// A ledger's name and number in a message of positions.
const POSITION_BYTES: usize = 96;

/// Ledgers remembered that had too much to do to be told something; the others are found by the next look. More than all of a country's.
const UNTOLD_MAX: usize = 8_192;

/// So often each position is told, a greeting apart: a message of the bus may be lost.
const TOLD_TIMES: u8 = 2;

/// Parts in which all ledgers are looked at, so that the store is not asked everything at once.
const SWEEP_PARTS: u32 = 20;

/// Ledgers of a node that leaves that are loaded at once, in each part of a look: with 100 ms between, 160 a second, so that what a
/// whole country's node had is at hand within half a minute and the store goes on serving others.
const TAKEN_OVER_AT_ONCE: usize = 16;

/// Most ledgers that wait to be taken over; more are loaded when somebody asks for them, as ever.
const TAKEN_OVER_MAX: usize = 8_192;

/// Versions told apart; during an upgrade there are two.
const VERSIONS_MAX: usize = 7;

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
    versions: BTreeMap<Arc<str>, Level>,
    other_settings: Level,
    other_clock: Level,
    taken_over: Count,
    meters: Meters,
    commits: Count,
    positions: Count,
    hellos: Count,
    asked: Count,
    answers: Count,
    told: Count,
    unknown: Count,
    undecodable: Count,
    strangers: Count,
    dropped: Count,
    looks: Count,
}

impl Counts {
    fn new(meters: &Meters) -> Self {
        let heard = |kind| meters.counter(catalogue::BUS_MESSAGES, &["in", kind]);
        Self {
            up: meters.gauge(catalogue::BUS_UP, &[]),
            nodes: meters.gauge(catalogue::NODE_NUM_NODES, &[]),
            versions: BTreeMap::new(),
            other_settings: meters.gauge(catalogue::CLUSTER_ODD_NODES, &["settings"]),
            other_clock: meters.gauge(catalogue::CLUSTER_ODD_NODES, &["clock"]),
            taken_over: meters.counter(catalogue::LEDGERS_TAKEN_OVER, &[]),
            meters: meters.clone(),
            commits: heard("commits"),
            positions: heard("positions"),
            hellos: heard("hello"),
            asked: heard("asked"),
            answers: heard("answer"),
            told: heard("told"),
            unknown: heard("unknown"),
            undecodable: heard("undecodable"),
            strangers: heard("stranger"),
            dropped: meters.counter(catalogue::BUS_DROPPED, &["in"]),
            looks: meters.counter(catalogue::BUS_LOOKS, &[]),
        }
    }
}

impl Counts {
    /// Counts nodes by version; a version that nobody runs any more stays, with 0.
    fn versions<'a>(&mut self, all: impl Iterator<Item = &'a Arc<str>>) {
        let mut counts: BTreeMap<&str, i64> = self.versions.keys().map(|it| (&**it, 0)).collect();
        let mut rest = 0;
        for version in all {
            if counts.len() < VERSIONS_MAX || counts.contains_key(&**version) {
                *counts.entry(version).or_default() += 1;
            } else {
                rest += 1;
            }
        }
        if rest > 0 {
            counts.insert("other", rest);
        }
        let counts: Vec<(Arc<str>, i64)> =
            counts.into_iter().map(|(it, n)| (it.into(), n)).collect();
        for (version, count) in counts {
            let meters = &self.meters;
            let gauge = || meters.gauge(catalogue::CLUSTER_MEMBERS, &[&version]);
            let level = self
                .versions
                .entry(Arc::clone(&version))
                .or_insert_with(gauge);
            level.set(count);
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
    asks: Asks,
    pace: Pace,
    counts: Counts,
    is_up: bool,
    /// Whether the bus was there and went.
    was_away: bool,
    /// Where each ledger stood when it was last told, and how often that was told.
    told: HashMap<LedgerId, (u64, u8)>,
    /// Ledgers still to be looked at in this round.
    sweep: VecDeque<LedgerId>,
    part: usize,
    /// Ledgers of nodes that leave, still to be taken over.
    heirloom: VecDeque<LedgerId>,
    /// It was said that another cluster is on this bus.
    met_stranger: bool,
    /// Ledgers that had too much to do to be told, to be looked at again.
    untold: BTreeSet<LedgerId>,
    /// What waits in the outboxes of this node's ledgers is to be looked for.
    outboxes_due: bool,
    /// As long as it is looked for. Whether it was found.
    outboxes: Option<BoxFuture<'static, bool>>,
}

/// Follows until the bus ends or this is dropped. `hello` is what this node says of itself; questions and answers go through `asks`.
pub async fn follow<S: State>(
    ledgers: Ledgers<S>,
    connected: super::Connected,
    asks: Asks,
    hello: Hello,
    clock: Arc<dyn Clock>,
    pace: Pace,
    meters: &Meters,
) {
    let (bus, incoming) = connected;
    let follower = Follower {
        ledgers,
        bus,
        own: asks.own(),
        hello,
        clock,
        members: asks.members().clone(),
        asks,
        pace,
        counts: Counts::new(meters),
        is_up: false,
        was_away: false,
        told: HashMap::new(),
        sweep: VecDeque::new(),
        part: 0,
        heirloom: VecDeque::new(),
        met_stranger: false,
        untold: BTreeSet::new(),
        outboxes_due: false,
        outboxes: None,
    };
    follower.run(incoming).await;
}

impl<S: State> Follower<S> {
    async fn run(mut self, mut incoming: super::queue::Receiver<Incoming>) {
        self.count();
        let mut greet = every(self.pace.hello);
        let mut look = every(self.pace.look_when_down / SWEEP_PARTS);
        let mut since_sweep = Duration::ZERO;
        let members = self.members.clone();
        loop {
            tokio::select! {
                // In this order, so that one seed is one history; what is timed is seldom, and starves nothing.
                biased;
                () = members.moved() => {
                    self.greet();
                    if self.hello.gone {
                        self.bus.told().await;
                        return;
                    }
                }
                _ = greet.tick() => {
                    self.greet();
                    self.look_after_outboxes();
                }
                is_done = whole(&mut self.outboxes) => {
                    // Otherwise again with the next greeting: the store was away.
                    self.outboxes_due |= !is_done;
                }
                _ = look.tick() => {
                    since_sweep += self.pace.look_when_down / SWEEP_PARTS;
                    let due = if self.is_up { self.pace.look_when_up } else { self.pace.look_when_down };
                    if self.sweep.is_empty() && since_sweep >= due {
                        self.look_at_all();
                        self.outboxes_due = true;
                        since_sweep = Duration::ZERO;
                    }
                    self.tell_again();
                    self.look_at_some();
                    self.take_over_some();
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
                Ok(Heard { from, to, message }) => {
                    if from != self.own && to.is_none_or(|to| to == self.own) {
                        self.hear(from, message);
                    }
                }
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
            Incoming::Stranger => {
                self.counts.strangers.add(1);
                if !self.met_stranger {
                    self.met_stranger = true;
                    tracing::error!(
                        "another cluster with another store tells on this bus under the same name, and is not heard: give each its own cluster.name"
                    );
                }
            }
        }
    }

    fn set_up(&mut self, is_up: bool) {
        self.is_up = is_up;
        // Each says at once that it is there when it has the bus; when it was away, some may have it again later than others.
        let again = match self.was_away {
            true => RECONNECT_PAUSE_MAX,
            false => Duration::ZERO,
        };
        let known_in = 2 * self.pace.hello + again;
        self.asks.set_up(is_up.then_some(known_in));
        self.was_away |= !is_up;
        self.counts.up.set(i64::from(is_up));
        self.members.set_up(is_up);
    }

    fn hear(&mut self, from: NodeId, message: Message) {
        match message {
            Message::Commits(ledger, commits) => {
                self.counts.commits.add(1);
                self.tell(&ledger, News::Commits(commits));
            }
            Message::Positions(all) => {
                self.counts.positions.add(1);
                let is_leaving =
                    |members: &Members| members.of(from).is_some_and(|it| it.hello.leaving);
                let is_leaving = self.members.read(is_leaving);
                for position in all {
                    self.tell(&position.ledger, News::Head(position.seq));
                    if is_leaving
                        && self.heirloom.len() < TAKEN_OVER_MAX
                        && self.members.prefers(&position.ledger)
                    {
                        self.heirloom.push_back(position.ledger);
                    }
                }
            }
            Message::Hello(hello) => {
                self.counts.hellos.add(1);
                self.meet(from, hello);
            }
            Message::Asked(asked) => {
                self.counts.asked.add(1);
                self.asks.asked(from, asked);
            }
            Message::Answer(answer) => {
                self.counts.answers.add(1);
                self.members.change(|members| members.is_alive(from));
                self.asks.answered(from, answer);
            }
            Message::Told(told) => {
                self.counts.told.add(1);
                self.asks.told(from, told);
            }
            Message::Unknown => self.counts.unknown.add(1),
        }
    }

    fn tell(&mut self, ledger: &LedgerId, news: News) {
        if !self.ledgers.tell(ledger, news) {
            self.counts.dropped.add(1);
            if self.untold.len() < UNTOLD_MAX {
                self.untold.insert(ledger.clone());
            }
        }
    }

    /// Looks again at those that had no room for what was told.
    fn tell_again(&mut self) {
        let ledgers = &self.ledgers;
        self.untold
            .retain(|ledger| !ledgers.tell(ledger, News::Look));
    }

    /// Delivers what nodes that are gone have left in outboxes, and what this one has not delivered for whatever reason.
    fn look_after_outboxes(&mut self) {
        if !self.outboxes_due || self.outboxes.is_some() {
            return;
        }
        self.outboxes_due = false;
        let (ledgers, members) = (self.ledgers.clone(), self.members.clone());
        self.outboxes = Some(Box::pin(async move {
            let is_ours = |ledger: &LedgerId| members.prefers(ledger);
            let found = ledgers.look_after_outboxes(&is_ours).await;
            if let Err(error) = &found {
                tracing::warn!(%error, "what waits in outboxes could not be looked for");
            }
            found.is_ok()
        }));
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
                self.asks.gone(node);
                // It may have died between writing and telling, and left its outboxes undelivered.
                self.look_at_all();
                self.outboxes_due = true;
            }
        }
        self.count();
    }

    /// Counts who is there, by what they said of themselves.
    fn count(&mut self) {
        let (own, skew_max) = (&self.hello, self.pace.skew_max);
        let counts = &mut self.counts;
        self.members.read(|members| {
            let all = || members.others().map(|(_, member)| member);
            counts.nodes.set(number(members.count()));
            counts.versions(all().map(|it| &it.hello.version).chain([&own.version]));
            let other_settings = all().filter(|it| it.hello.settings != own.settings);
            counts.other_settings.set(number(other_settings.count()));
            let other_clock = all().filter(|it| it.skew() > skew_max);
            counts.other_clock.set(number(other_clock.count()));
        });
    }

    /// Says that this node is there, and where the ledgers stand that moved since.
    fn greet(&mut self) {
        let now_ms = self.clock.now_ms();
        let gone = self.members.change(|members| members.tick(now_ms));
        self.changed(gone);
        self.hello.now_ms = now_ms;
        let (leaving, gone) = self
            .members
            .read(|members| (members.leaves(), members.is_gone()));
        if leaving && !self.hello.leaving {
            // Whoever is preferred from now on hears of all of them, and loads them.
            self.told.clear();
        }
        (self.hello.leaving, self.hello.gone) = (leaving, gone);
        let _ = self.bus.tell(wire::hello(self.own, &self.hello)); // Said again soon.
        let all = self.ledgers.positions();
        let moved: Vec<_> = all
            .iter()
            .filter(|(ledger, seq)| {
                let told = self.told.get(ledger);
                told.is_none_or(|(told, times)| told != seq || *times < TOLD_TIMES)
            })
            .collect();
        for part in moved.chunks(MESSAGE_BYTES_MAX / POSITION_BYTES) {
            let part = part.iter().map(|(ledger, seq)| (ledger, *seq));
            if !self.bus.tell(wire::positions(self.own, part)) {
                return; // Not told: still to be told.
            }
        }
        let told = |(ledger, seq): (LedgerId, u64)| {
            let before = self.told.get(&ledger).filter(|(told, _)| *told == seq);
            let times = before.map_or(1, |(_, times)| times.saturating_add(1));
            (ledger, (seq, times))
        };
        self.told = all.into_iter().map(told).collect();
    }

    fn look_at_all(&mut self) {
        let loaded = self.ledgers.positions();
        self.sweep = loaded.into_iter().map(|(ledger, _)| ledger).collect();
        self.part = self.sweep.len().div_ceil(SWEEP_PARTS as usize);
    }

    /// Loads some of the ledgers that a node leaves to this one, so that the first who asks does not wait for it.
    fn take_over_some(&mut self) {
        for _ in 0..TAKEN_OVER_AT_ONCE {
            let Some(ledger) = self.heirloom.pop_front() else {
                return;
            };
            if self.ledgers.load(&ledger) {
                self.counts.taken_over.add(1);
            }
        }
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

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Waits for what is under way, if anything is.
async fn whole(under_way: &mut Option<BoxFuture<'static, bool>>) -> bool {
    match under_way {
        Some(it) => {
            let is_done = it.await;
            *under_way = None;
            is_done
        }
        None => std::future::pending().await,
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
