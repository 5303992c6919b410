//! A device: it connects to any node, follows what its person may see, loses the network, sleeps, moves, and recovers by position.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use klokke_protocol::{ChannelName, Epoch};

use super::node::{Life, Node};
use super::school::{chat, subject};
use super::shard::{Told, said};
use super::world::World;
use crate::hub::{self, Backlog, ConnKey, Lens};
use crate::ledger::LedgerId;
use crate::people::{Disclosure, Viewer, recall};
use crate::store::{EntryRange, Order, Store as _};

/// Something that a device has shown.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) channel: ChannelName,
    pub(super) offset: u64,
    pub(super) data: Bytes,
    /// Where the ledger stood then.
    pub(super) head: u64,
}

/// What a device knows at the end.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) shown: Vec<Shown>,
    /// Offsets that were passed over when it recovered: not for it, by the word of then.
    pub(super) hidden: Vec<(ChannelName, u64)>,
    /// Where it stands in each channel.
    pub(super) places: BTreeMap<ChannelName, u64>,
    /// What it follows now.
    pub(super) follows: BTreeMap<ChannelName, Lens>,
}

pub(super) struct Device {
    pub(super) who: u32,
    memory: Arc<Mutex<Memory>>,
}

/// A device on one visit to a node.
struct Visit<'a> {
    world: &'a World,
    life: &'a Life,
    key: ConnKey,
    who: u32,
    memory: &'a Mutex<Memory>,
    epochs: &'a mut BTreeMap<ChannelName, Epoch>,
}

/// The visit cannot go on.
struct Over;

impl Device {
    pub(super) fn start(world: &Arc<World>, nodes: &Rc<Vec<Node>>, index: u32, who: u32) -> Self {
        let memory = Arc::<Mutex<Memory>>::default();
        let (world, nodes, kept) = (Arc::clone(world), Rc::clone(nodes), Arc::clone(&memory));
        tokio::task::spawn_local(async move {
            let mut epochs = BTreeMap::new();
            for generation in 1.. {
                let life = nodes[world.pick(nodes.len())].life();
                if let Some(life) = life {
                    let key = ConnKey { index, generation };
                    let stay = Duration::from_millis(300 + world.draw(9_000));
                    let visit = Visit {
                        world: &world,
                        life: &life,
                        key,
                        who,
                        memory: &kept,
                        epochs: &mut epochs,
                    };
                    // It moves on by itself, or because its node died.
                    let _ = tokio::time::timeout(stay, visit.stay()).await;
                    lock(&kept).follows.clear();
                    life.shard.disconnect(key);
                }
                // Mostly it comes back at once; now and then it sleeps.
                let away = if world.draw(5) == 0 { 8_000 } else { 600 };
                world.pause(away).await;
            }
        });
        Self { who, memory }
    }

    pub(super) fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        lock(&self.memory)
    }
}

fn lock(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().expect("no test panics under this lock")
}

impl Visit<'_> {
    async fn stay(mut self) -> Result<(), Over> {
        let life = self.life;
        let mut told = life.shard.connect(self.key, subject(self.who));
        let units = life.domain.units_of(&subject(self.who)).await;
        let units = units.map_err(|_| Over)?;
        if !life.shard.enter(&life.ledgers, self.key, &units) {
            return Err(Over);
        }
        self.follow(chat(), Lens::OPEN, 0).await?;
        loop {
            match told.recv().await {
                Some(Told::Gained(channel, lens, grant)) => {
                    self.follow(channel, lens, grant).await?;
                }
                Some(Told::Lost(channel)) => drop(lock(self.memory).follows.remove(&channel)),
                Some(Told::Behind(channel, grant)) => {
                    let followed = lock(self.memory).follows.remove(&channel);
                    let lens = life.shard.lens(self.key, &channel);
                    let lens = lens.or(followed.filter(|_| channel == chat()));
                    if let Some(lens) = lens {
                        self.follow(channel, lens, grant).await?;
                    }
                }
                Some(Told::Heard {
                    channel,
                    offset,
                    data,
                    head,
                }) => self.hear(channel, offset, data, head),
                Some(Told::Unsaid) | None => return Err(Over),
            }
        }
    }

    /// Takes what comes live; it must be the next.
    fn hear(&self, channel: ChannelName, offset: u64, data: Bytes, head: u64) {
        let mut memory = lock(self.memory);
        if !memory.follows.contains_key(&channel) {
            return self.complain(&format!(
                "{channel} {offset} came though it is not followed"
            ));
        }
        let place = memory.places.entry(channel.clone()).or_default();
        if offset != *place + 1 {
            let at = *place;
            return self.complain(&format!("{channel} {offset} came after {at}"));
        }
        *place = offset;
        memory.shown.push(Shown {
            channel,
            offset,
            data,
            head,
        });
    }

    fn complain(&self, what: &str) {
        let (device, who) = (self.key.index, self.who);
        self.world
            .complain(format!("device {device} of {who}: {what}"));
    }

    /// Subscribes, and recovers what was missed.
    async fn follow(&mut self, channel: ChannelName, lens: Lens, grant: u64) -> Result<(), Over> {
        // Lost meanwhile, perhaps given again: then that is told next.
        let Some(attempt) = self.life.shard.subscribe(self.key, &channel, lens, grant) else {
            return Ok(());
        };
        let since = lock(self.memory).places.get(&channel).copied().unwrap_or(0);
        let backlog = self.backlog(&channel, lens, since).await;
        let is_read = backlog.is_some();
        let head = self
            .world
            .head(&LedgerId::of_channel(&channel).map_err(|_| Over)?);
        let active = self
            .life
            .shard
            .activate(self.key, &channel, attempt, backlog);
        let active = match active {
            // It ended meanwhile; whether it begins again is told.
            None if is_read => return Ok(()),
            None | Some(Err(_)) => return Err(Over),
            Some(Ok(active)) => active,
        };
        let epoch = self.epochs.entry(channel.clone());
        if *epoch.or_insert_with(|| active.epoch.clone()) != active.epoch {
            self.complain(&format!("{channel} has another epoch"));
            return Err(Over);
        }
        let top = active.top;
        if top < since {
            self.complain(&format!("{channel} ends at {top}, and {since} was heard"));
            return Err(Over);
        }
        let from = active.unbroken_from.max(since + 1);
        if active.unbroken_from > since + 1 {
            // Not all of it: only what retention has removed may be missing.
            let (ledger, names) = (
                LedgerId::of_channel(&channel).map_err(|_| Over)?,
                [channel.clone()],
            );
            let heads = self.world.memory.channel_heads(&ledger, &names).await;
            let trimmed = heads.ok().and_then(|it| it.first().map(|it| it.trimmed));
            if trimmed.unwrap_or(0) + 1 < active.unbroken_from {
                self.complain(&format!(
                    "{channel} is recovered from {from}, and {since} was heard"
                ));
                return Err(Over);
            }
        }
        let mut memory = lock(self.memory);
        let mut next = from;
        for it in active
            .publications
            .into_iter()
            .filter(|it| it.offset >= from)
        {
            while next < it.offset {
                memory.hidden.push((channel.clone(), next));
                next += 1;
            }
            next += 1;
            memory.shown.push(Shown {
                channel: channel.clone(),
                offset: it.offset,
                data: it.data,
                head,
            });
        }
        while next <= top {
            memory.hidden.push((channel.clone(), next));
            next += 1;
        }
        memory.places.insert(channel.clone(), top);
        memory.follows.insert(channel, lens);
        Ok(())
    }

    /// What the channel has after a position, as the runtime reads it.
    async fn backlog(&self, channel: &ChannelName, lens: Lens, since: u64) -> Option<Backlog> {
        let ledger = LedgerId::of_channel(channel).ok()?;
        let range = EntryRange {
            from: since + 1,
            to: u64::MAX,
            limit: crate::people::RECALL_MAX,
            order: Order::Ascending,
        };
        let ledgers = &self.life.ledgers;
        if ledger.namespace().is_some() {
            let read = ledgers.read(&ledger, channel, range).await.ok()?;
            let all = read.entries.iter();
            let all = all.map(|it| Arc::new(said(channel, it.offset, &read.epoch, &it.entry)));
            return Some(Backlog {
                top: read.head.top,
                publications: all.collect(),
                epoch: read.epoch,
            });
        }
        let viewer = Viewer::new(subject(self.who), lens, self.life.clock.now_ms());
        let recalled = recall(ledgers, &ledger, channel, range, viewer)
            .await
            .ok()?;
        let epoch = recalled.epoch;
        let all = recalled.entries.into_iter().map(|it| {
            let publication = said(channel, it.entry.offset, &epoch, &it.entry.entry);
            let content = match it.disclosure {
                Disclosure::Full(full) | Disclosure::Bare(full) => hub::Content::open(full),
                Disclosure::Hidden => hub::Content {
                    audience: hub::Audience::NONE,
                    ..hub::Content::default()
                },
            };
            Arc::new(hub::Publication {
                content,
                ..publication
            })
        });
        Some(Backlog {
            top: recalled.head.top,
            publications: all.collect(),
            epoch,
        })
    }
}
