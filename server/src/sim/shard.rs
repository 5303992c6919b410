//! The shard of a simulated node: the real hub and the real words of units, put together as the runtime does it, without sockets.
//!
//! What differs from `runtime` is the way to the client: a queue that ends when the node dies, in place of a connection.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use klokke_protocol::{ChannelName, Codec, Epoch};
use tokio::sync::{mpsc, oneshot};

use super::school::is_followed;
use super::world::World;
use crate::hub::{
    self, ActivateError, Activation, Attempt, Backlog, ConnKey, Finished, Hub, Lens, PositionCheck,
    Publication, Sink, SubOptions, Told as Figures, Wire, Written,
};
use crate::ledger::{Clock, Delivery, Entry, LedgerId, Ledgers, Outlet, ShardAnswer};
use crate::people::{Assurance, Change, Roster, Scope, SubjectId, Word, day, entitled};

/// Subscribers visited at once: so few that walks are interrupted.
const BUDGET: usize = 3;
/// Longest time that what is published waits to be fanned out, in milliseconds.
const PUMP_MS: u64 = 40;
/// How often quiet channels are compared with the store.
const CHECK: Duration = Duration::from_secs(3);

/// What a client is told, in order.
#[derive(Debug)]
pub(super) enum Told {
    /// It may follow a channel, through this lens, by this grant.
    Gained(ChannelName, Lens, u64),
    /// It may no longer.
    Lost(ChannelName),
    /// It missed something in a channel that it follows by this grant.
    Behind(ChannelName, u64),
    /// Something was said, when its ledger stood here.
    Heard {
        channel: ChannelName,
        offset: u64,
        data: Bytes,
        head: u64,
    },
    /// A unit could not say what may be seen: to be tried again.
    Unsaid,
}

/// A unit's answer on what a login sees there.
struct Looked {
    ledger: LedgerId,
    subject: SubjectId,
    word: Option<Word>,
}

/// A ledger's word on where channels stand.
struct Tops {
    epoch: Epoch,
    heads: Vec<(ChannelName, u64)>,
}

/// Somebody who is connected.
struct Person {
    key: ConnKey,
    subject: SubjectId,
    words: BTreeMap<LedgerId, Option<Word>>,
    knows_units: bool,
    seen: BTreeMap<ChannelName, Lens>,
    /// How often it was given each channel: what is said of an earlier time is of no use later.
    grants: BTreeMap<ChannelName, u64>,
    tell: mpsc::UnboundedSender<Told>,
}

#[derive(Default)]
struct Inner {
    hub: Hub,
    people: BTreeMap<u32, Person>,
}

pub(super) struct Shard {
    world: Arc<World>,
    clock: Arc<dyn Clock>,
    inner: RefCell<Inner>,
}

struct Net<'a> {
    world: &'a World,
    people: &'a BTreeMap<u32, Person>,
    lost: Vec<(ConnKey, ChannelName)>,
}

impl Sink for Net<'_> {
    fn write(&mut self, conn: ConnKey, frame: &Bytes, _: u32) -> Written {
        let Some(person) = self.people.get(&conn.index).filter(|it| it.key == conn) else {
            return Written::Refused;
        };
        let replies = Codec::Json
            .decode_replies(frame)
            .expect("a frame of the hub");
        for push in replies.into_iter().filter_map(|reply| reply.push) {
            let said = push.publication.expect("nothing else is pushed");
            let channel = ChannelName::parse(&push.channel).expect("a channel of the hub");
            let ledger = LedgerId::of_channel(&channel).expect("of a ledger");
            let heard = Told::Heard {
                offset: said.offset,
                data: said.data,
                head: self.world.head(&ledger),
                channel,
            };
            let _ = person.tell.send(heard); // It may have gone.
        }
        Written::Accepted
    }

    fn position_lost(&mut self, conn: ConnKey, channel: &ChannelName) {
        self.lost.push((conn, channel.clone()));
    }

    fn inappropriate(&mut self, _: ConnKey) {
        self.world.complain("a payload is no JSON".to_owned());
    }

    fn delivered(&mut self, _: &ChannelName, _: Wire, _: &Figures, _: u32) {}

    fn filtered(&mut self, _: &ChannelName, _: u64) {}

    fn finished(&mut self, _: &ChannelName, _: impl Iterator<Item = Finished>) {}
}

impl Inner {
    /// Takes in a unit's word on what a login sees there, ahead of all that is said after it.
    fn hear(&mut self, ledger: &LedgerId, subject: &SubjectId, word: Option<&Word>, now_ms: u64) {
        let known = self.people.values().filter(|it| it.subject == *subject);
        let concerned: Vec<u32> = known.map(|it| it.key.index).collect();
        for index in concerned {
            let Some(person) = self.people.get_mut(&index) else {
                continue;
            };
            match word {
                Some(word) => drop(person.words.insert(ledger.clone(), Some(word.clone()))),
                None => drop(person.tell.send(Told::Unsaid)),
            }
            self.review(index, now_ms);
        }
    }

    /// What somebody sees by the words of all units.
    fn review(&mut self, index: u32, now_ms: u64) {
        let Self { hub, people } = self;
        let Some(person) = people.get_mut(&index) else {
            return;
        };
        if !person.knows_units || person.words.values().any(Option::is_none) {
            return;
        }
        let today = day::day_at(now_ms);
        let words = person.words.values().flatten();
        let sights = words.flat_map(|word| word.on(today));
        let seen = entitled(sights, &Scope::ALL, Assurance::default()).into_iter();
        let seen = seen.filter(|it| is_followed(&it.channel));
        let seen: BTreeMap<_, _> = seen.map(|it| (it.channel, it.lens)).collect();
        let old = std::mem::replace(&mut person.seen, seen);
        for channel in old.keys().filter(|it| !person.seen.contains_key(*it)) {
            hub.unsubscribe(person.key, channel);
            let _ = person.tell.send(Told::Lost(channel.clone())); // It may have gone.
        }
        for (channel, lens) in &person.seen {
            match old.get(channel) {
                Some(before) if before == lens => {}
                Some(_) => hub.set_lens(person.key, channel, *lens),
                None => {
                    let grant = person.grants.entry(channel.clone()).or_default();
                    *grant += 1;
                    let told = Told::Gained(channel.clone(), *lens, *grant);
                    let _ = person.tell.send(told); // It may have gone.
                }
            }
        }
    }

    fn tell_lost(&mut self, lost: Vec<(ConnKey, ChannelName)>) {
        for (key, channel) in lost {
            self.hub.unsubscribe(key, &channel);
            if let Some(person) = self.people.get(&key.index).filter(|it| it.key == key) {
                let grant = person.grants.get(&channel).copied().unwrap_or(0);
                let _ = person.tell.send(Told::Behind(channel, grant)); // It may have gone.
            }
        }
    }
}

impl Shard {
    pub(super) fn new(world: &Arc<World>, clock: &Arc<dyn Clock>) -> Rc<Self> {
        Rc::new(Self {
            world: Arc::clone(world),
            clock: Arc::clone(clock),
            inner: RefCell::default(),
        })
    }

    fn inner(&self) -> RefMut<'_, Inner> {
        self.inner.borrow_mut()
    }

    pub(super) fn connect(
        &self,
        key: ConnKey,
        subject: SubjectId,
    ) -> mpsc::UnboundedReceiver<Told> {
        let (tell, told) = mpsc::unbounded_channel();
        self.inner().people.insert(
            key.index,
            Person {
                key,
                subject,
                words: BTreeMap::new(),
                knows_units: false,
                seen: BTreeMap::new(),
                grants: BTreeMap::new(),
                tell,
            },
        );
        told
    }

    pub(super) fn disconnect(&self, key: ConnKey) {
        let mut inner = self.inner();
        inner.hub.remove(key);
        if inner.people.get(&key.index).is_some_and(|it| it.key == key) {
            inner.people.remove(&key.index);
        }
    }

    /// As a process that ends: nobody is connected any more.
    pub(super) fn end(&self) {
        *self.inner() = Inner::default();
    }

    /// The units that have a word to say on somebody; each is asked, and answers in the order of its commits.
    pub(super) fn enter(
        &self,
        ledgers: &Ledgers<Roster>,
        key: ConnKey,
        units: &[LedgerId],
    ) -> bool {
        let now_ms = self.clock.now_ms();
        let subject = {
            let mut inner = self.inner();
            let Some(person) = inner.people.get_mut(&key.index).filter(|it| it.key == key) else {
                return false;
            };
            for unit in units {
                person.words.entry(unit.clone()).or_insert(None);
            }
            person.knows_units = true;
            let subject = person.subject.clone();
            inner.review(key.index, now_ms);
            subject
        };
        units.iter().all(|unit| {
            let (ledger, subject) = (unit.clone(), subject.clone());
            let entered = ledgers.enter(
                unit,
                0,
                |_| Vec::new(),
                move |entered| {
                    let today = day::day_at(now_ms);
                    let word = entered.ok().map(|at| Word::of(at.state, &subject, today));
                    ShardAnswer::new(Looked {
                        ledger,
                        subject,
                        word,
                    })
                },
            );
            entered.is_ok()
        })
    }

    pub(super) fn lens(&self, key: ConnKey, channel: &ChannelName) -> Option<Lens> {
        let inner = self.inner();
        let person = inner.people.get(&key.index).filter(|it| it.key == key)?;
        person.seen.get(channel).copied()
    }

    pub(super) fn subscribe(
        &self,
        key: ConnKey,
        name: &ChannelName,
        lens: Lens,
        grant: u64,
    ) -> Option<Attempt> {
        let mut inner = self.inner();
        let person = inner.people.get(&key.index).filter(|it| it.key == key)?;
        if person.grants.get(name).copied().unwrap_or(0) != grant {
            return None;
        }
        if grant > 0 && !person.seen.contains_key(name) {
            return None;
        }
        let options = SubOptions {
            lens,
            positioned: true,
            ..SubOptions::live(Wire::StreamJson)
        };
        let now_ms = self.clock.now_ms();
        inner.hub.subscribe(key, name, options, now_ms).ok()
    }

    pub(super) fn activate(
        &self,
        key: ConnKey,
        name: &ChannelName,
        attempt: Attempt,
        backlog: Option<Backlog>,
    ) -> Option<Result<Activation, ActivateError>> {
        let now_ms = self.clock.now_ms();
        let hub = &mut self.inner().hub;
        if !hub.is_current(key, name, attempt) {
            return None;
        }
        let activated = backlog.map(|backlog| hub.activate(key, name, backlog, now_ms));
        if !matches!(activated, Some(Ok(_))) {
            hub.unsubscribe(key, name);
        }
        activated
    }

    fn pump(&self) {
        let now_ms = self.clock.now_ms();
        let mut inner = self.inner();
        while inner.hub.has_work() {
            let Inner { hub, people } = &mut *inner;
            let mut net = Net {
                world: &self.world,
                people,
                lost: Vec::new(),
            };
            hub.fan_out(now_ms, BUDGET, &mut net);
            let lost = net.lost;
            inner.tell_lost(lost);
        }
    }

    /// Takes what comes from the ledgers, as long as the node lives.
    pub(super) async fn run(self: Rc<Self>, mut comes: mpsc::UnboundedReceiver<Input>) {
        while let Some(input) = comes.recv().await {
            match input {
                Input::Delivery(delivery) => self.deliver(&delivery),
                Input::Answer(answer) => self.answer(answer),
                Input::Follows(ledger, reply) => {
                    let _ = reply.send(self.follows(&ledger)); // The asker may have ended.
                }
            }
            // Now and then more comes before it is fanned out.
            if self.world.draw(3) == 0 {
                self.world.pause(PUMP_MS).await;
            }
            if comes.is_empty() {
                self.pump();
            }
        }
    }

    fn follows(&self, ledger: &LedgerId) -> bool {
        let inner = self.inner();
        let is_of_it = |name| LedgerId::of_channel(name).is_ok_and(|it| it == *ledger);
        let sees_by_it = |person: &Person| person.words.contains_key(ledger);
        inner.people.values().any(sees_by_it) || inner.hub.channels().any(|(it, _)| is_of_it(it))
    }

    fn deliver(&self, delivery: &Delivery<Change>) {
        let now_ms = self.clock.now_ms();
        let mut inner = self.inner();
        for Change::Entitlements { subject, word } in &delivery.changes {
            inner.hear(&delivery.commit.ledger, subject, Some(word), now_ms);
        }
        for (channel, offset, entry) in delivery.publications() {
            if inner.hub.subscriber_count(channel) > 0 {
                let said = said(channel, offset, &delivery.commit.epoch, entry);
                inner.hub.publish(&Arc::new(said), now_ms);
            }
        }
    }

    fn answer(&self, answer: ShardAnswer) {
        let mut inner = self.inner();
        match answer.downcast::<Looked>() {
            Ok(Looked {
                ledger,
                subject,
                word,
            }) => inner.hear(&ledger, &subject, word.as_ref(), self.clock.now_ms()),
            Err(answer) => {
                let Ok(Some(tops)) = answer.downcast::<Option<Tops>>() else {
                    return;
                };
                for (channel, top) in tops.heads {
                    let lost = inner.hub.handle_top(&channel, &tops.epoch, top);
                    let lost = lost.into_iter().map(|key| (key, channel.clone()));
                    let lost = lost.collect();
                    inner.tell_lost(lost);
                }
            }
        }
    }

    /// Compares positions with the tops of streams where nothing arrives, again and again.
    pub(super) async fn check_positions(self: Rc<Self>, ledgers: Ledgers<Roster>) {
        let mut check = PositionCheck::default();
        let mut tick = tokio::time::interval(CHECK);
        let delay_ms = u64::try_from(CHECK.as_millis()).unwrap_or(u64::MAX);
        loop {
            tick.tick().await;
            self.pump();
            let now_ms = self.clock.now_ms();
            let due = check.poll(&mut self.inner().hub, now_ms, delay_ms, 1_024);
            for channel in due {
                let Ok(ledger) = LedgerId::of_channel(&channel) else {
                    continue;
                };
                let names = std::slice::from_ref(&channel);
                let Ok(heads) = ledgers.store().channel_heads(&ledger, names).await else {
                    continue;
                };
                let top = heads.first().map_or(0, |head| head.top);
                if !self.inner().hub.is_behind(&channel, top) {
                    continue;
                }
                // Refused when the ledger has too much waiting: then the next round comes.
                let _ = ledgers.enter(
                    &ledger,
                    0,
                    move |_| vec![channel],
                    move |entered| {
                        ShardAnswer::new(entered.ok().map(|at| {
                            Tops {
                                epoch: at.epoch.clone(),
                                heads: at
                                    .channels
                                    .iter()
                                    .map(|(name, it)| (name.clone(), it.top))
                                    .collect(),
                            }
                        }))
                    },
                );
            }
        }
    }
}

/// The way to the shard.
pub(super) struct Gate(mpsc::UnboundedSender<Input>);

/// What comes to the shard from its ledgers, in one order.
pub(super) enum Input {
    Delivery(Arc<Delivery<Change>>),
    Answer(ShardAnswer),
    Follows(LedgerId, oneshot::Sender<bool>),
}

/// A gate, and where what goes through it comes out.
pub(super) fn gate() -> (Gate, mpsc::UnboundedReceiver<Input>) {
    let (to, comes) = mpsc::unbounded_channel();
    (Gate(to), comes)
}

#[async_trait]
impl Outlet<Roster> for Gate {
    async fn deliver(&self, delivery: Arc<Delivery<Change>>) {
        let _ = self.0.send(Input::Delivery(delivery)); // The node may be about to end.
    }

    async fn answer(&self, _: usize, answer: ShardAnswer) {
        let _ = self.0.send(Input::Answer(answer)); // As above.
    }

    async fn follows(&self, ledger: &LedgerId) -> bool {
        let (reply, follows) = oneshot::channel();
        let _ = self.0.send(Input::Follows(ledger.clone(), reply)); // As above.
        follows.await.unwrap_or(false)
    }
}

/// An entry as the hub takes it.
pub(super) fn said(
    channel: &ChannelName,
    offset: u64,
    epoch: &Epoch,
    entry: &Entry,
) -> Publication {
    let stored = &entry.content;
    Publication {
        channel: channel.clone(),
        offset,
        epoch: epoch.clone(),
        content: hub::Content {
            full: stored.full.clone(),
            bare: stored.bare.clone(),
            audience: hub::Audience(stored.audience.0),
            tags: stored.tags.clone(),
        },
        info: None,
        time_ms: stored.time_ms,
        delta: false,
        arrived_us: 0,
    }
}
