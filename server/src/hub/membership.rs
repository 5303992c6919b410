//! The hub itself: channels by name, subscriptions by connection, and coming and going.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use klokke_protocol::{ChannelName, ClientInfo};
use slab::Slab;

use super::channel::Channel;
use super::publication::Item;
use super::subscriber::{ConnKey, Marks, Subscriber};
use super::{Announcement, Lens, Publication, SubOptions};
use crate::telemetry::Stopwatch;

/// Subscriptions and fan-out of one shard; see the [module](super) for the order of calls.
#[derive(Debug, Default)]
pub struct Hub {
    pub(super) channels: Slab<Channel>,
    by_name: HashMap<ChannelName, usize>,
    members: Vec<Member>,
    /// Channels with something to deliver, in turn.
    pub(super) work: VecDeque<usize>,
    /// What came while subscriptions were held back or recovering; goes out first.
    pub(super) late: Vec<Late>,
    subscriptions: usize,
    /// ... of which these are shown in presence.
    present: usize,
    attempts: u32,
    watch: Stopwatch,
}

/// One attempt to subscribe: what was read for it is of no use to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt(u32);

/// What was kept for a subscription while it was held back or recovering.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) conn: ConnKey,
    pub(super) channel: ChannelName,
    /// The subscription it was kept for: one that the connection begins later has no part in it.
    pub(super) attempt: u32,
    /// Items with their epoch's number; `None` when there were too many to keep.
    pub(super) items: Option<Vec<(u32, Item)>>,
}

/// What a connection is subscribed to.
#[derive(Debug, Default)]
struct Member {
    generation: u32,
    places: Vec<Place>,
}

/// Where a subscription stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    channel: u32,
    subscriber: u32,
}

/// Why a connection could not be subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// It is already.
    #[error("already subscribed")]
    AlreadySubscribed,
}

/// A subscription that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsubscribed {
    /// The channel.
    pub channel: ChannelName,
    /// Who has left, where that is announced.
    pub announce: Option<Arc<ClientInfo>>,
    /// Whether it was the channel's last on this shard.
    pub was_last: bool,
}

impl Hub {
    /// A hub without subscriptions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A hub that measures by this for the figures.
    #[must_use]
    pub fn timed(watch: &Stopwatch) -> Self {
        Self {
            watch: watch.clone(),
            ..Self::default()
        }
    }

    /// How many channels have a subscriber here.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscription_count(&self) -> usize {
        self.subscriptions
    }

    /// How many subscriptions are shown in their channel's presence.
    #[must_use]
    pub fn presence_count(&self) -> usize {
        self.present
    }

    /// Every channel with its number of subscribers.
    pub fn channels(&self) -> impl Iterator<Item = (&ChannelName, usize)> {
        self.channels
            .iter()
            .map(|(_, channel)| (&channel.name, channel.subscribers.len()))
    }

    /// The channels of a connection.
    #[must_use]
    pub fn channels_of(&self, conn: ConnKey) -> Vec<ChannelName> {
        let places = self.member(conn).map_or(&[][..], |member| &member.places);
        places
            .iter()
            .map(|place| self.channels[place.channel as usize].name.clone())
            .collect()
    }

    /// How many subscribers a channel has here.
    #[must_use]
    pub fn subscriber_count(&self, channel: &ChannelName) -> usize {
        self.channel(channel)
            .map_or(0, |channel| channel.subscribers.len())
    }

    /// Subscribes a connection. A positioned subscription buffers what is published until
    /// [`Hub::activate`]; any other is active at once and gets what is published from now on.
    ///
    /// # Errors
    /// [`SubscribeError::AlreadySubscribed`]; nothing has changed then.
    pub fn subscribe(
        &mut self,
        conn: ConnKey,
        name: &ChannelName,
        options: SubOptions,
        now_ms: u64,
    ) -> Result<Attempt, SubscribeError> {
        if self.find(conn, name).is_some() {
            return Err(SubscribeError::AlreadySubscribed);
        }
        let key = match self.by_name.get(name) {
            Some(key) => *key,
            None => {
                let key = self.channels.insert(Channel::new(name.clone(), now_ms));
                self.by_name.insert(name.clone(), key);
                key
            }
        };
        let member = self.enroll(conn);
        let slot = index(member.places.len());
        member.places.push(Place {
            channel: index(key),
            subscriber: 0,
        });
        let channel = &mut self.channels[key];
        channel.delta_subscribers += u32::from(options.delta);
        let place = index(channel.subscribers.len());
        self.attempts = self.attempts.wrapping_add(1);
        let attempt = self.attempts;
        let subscriber = Subscriber::new(conn, attempt, slot, channel.next_number, options);
        self.present += usize::from(subscriber.keeps_presence());
        channel.subscribers.push(subscriber);
        self.members[conn.index as usize].places[slot as usize].subscriber = place;
        self.subscriptions += 1;
        Ok(Attempt(attempt))
    }

    /// Whether a connection's subscription is still the one that this attempt made.
    #[must_use]
    pub fn is_current(&self, conn: ConnKey, name: &ChannelName, attempt: Attempt) -> bool {
        self.find(conn, name).is_some_and(|slot| {
            let place = self.members[conn.index as usize].places[slot];
            let channel = &self.channels[place.channel as usize];
            channel.subscribers[place.subscriber as usize].attempt == attempt.0
        })
    }

    /// The connection was told of its subscriptions: those held until now become active, and what was kept
    /// for them goes out with the next fan-out.
    pub fn release(&mut self, conn: ConnKey) {
        let count = self.member(conn).map_or(0, |member| member.places.len());
        for slot in 0..count {
            self.release_at(conn, slot);
        }
    }

    /// The same for one of them, as long as it is that one still.
    pub fn release_one(&mut self, conn: ConnKey, name: &ChannelName, attempt: Attempt) {
        if self.is_current(conn, name, attempt)
            && let Some(slot) = self.find(conn, name)
        {
            self.release_at(conn, slot);
        }
    }

    fn release_at(&mut self, conn: ConnKey, slot: usize) {
        let place = &self.members[conn.index as usize].places[slot];
        let channel = &mut self.channels[place.channel as usize];
        let subscriber = &mut channel.subscribers[place.subscriber as usize];
        if !subscriber.marks.has(Marks::HELD) {
            return;
        }
        subscriber.marks.set(Marks::HELD, false);
        if subscriber.marks.has(Marks::RECOVERING) {
            return;
        }
        let buffer = subscriber.take_buffer();
        if buffer.overflowed || !buffer.items.is_empty() {
            self.late.push(Late {
                conn,
                channel: channel.name.clone(),
                attempt: subscriber.attempt,
                items: (!buffer.overflowed).then_some(buffer.items),
            });
        }
    }

    /// Ends a subscription; `None` if there was none.
    pub fn unsubscribe(&mut self, conn: ConnKey, name: &ChannelName) -> Option<Unsubscribed> {
        let slot = self.find(conn, name)?;
        Some(self.end(conn, slot))
    }

    /// Ends all subscriptions of a connection that goes.
    pub fn remove(&mut self, conn: ConnKey) -> Vec<Unsubscribed> {
        let count = self.member(conn).map_or(0, |member| member.places.len());
        let ended = (0..count).rev().map(|slot| self.end(conn, slot)).collect();
        if let Some(member) = self.members.get_mut(conn.index as usize) {
            member.places = Vec::new();
        }
        ended
    }

    /// Changes how a subscriber looks at a channel, for all that is not delivered yet.
    pub fn set_lens(&mut self, conn: ConnKey, name: &ChannelName, lens: Lens) {
        if let Some(subscriber) = self.subscriber_mut(conn, name) {
            subscriber.lens = lens;
        }
    }

    /// Queues a publication for the channel's subscribers here. Publications of a stream come in the order
    /// of their offsets.
    pub fn publish(&mut self, publication: &Arc<Publication>, now_ms: u64) {
        let item = Item::Publication(Arc::clone(publication));
        self.queue(&publication.channel, item, now_ms);
    }

    /// Queues the news that somebody came or went.
    pub fn announce(&mut self, announcement: &Arc<Announcement>, now_ms: u64) {
        let item = Item::Announcement(Arc::clone(announcement));
        self.queue(&announcement.channel, item, now_ms);
    }

    fn queue(&mut self, name: &ChannelName, item: Item, now_ms: u64) {
        let Some(key) = self.by_name.get(name).copied() else {
            return;
        };
        let channel = &mut self.channels[key];
        channel.push(item, self.watch.us());
        channel.checked_ms = now_ms;
        if !channel.is_listed {
            channel.is_listed = true;
            self.work.push_back(key);
        }
    }

    pub(super) fn channel(&self, name: &ChannelName) -> Option<&Channel> {
        self.by_name.get(name).map(|key| &self.channels[*key])
    }

    pub(super) fn channel_mut(&mut self, name: &ChannelName) -> Option<&mut Channel> {
        self.by_name.get(name).map(|key| &mut self.channels[*key])
    }

    /// The subscription of a connection to a channel, with the channel.
    pub(super) fn subscription(
        &mut self,
        conn: ConnKey,
        name: &ChannelName,
    ) -> Option<(&mut Channel, usize)> {
        let slot = self.find(conn, name)?;
        let place = self.members[conn.index as usize].places[slot];
        let channel = &mut self.channels[place.channel as usize];
        Some((channel, place.subscriber as usize))
    }

    fn subscriber_mut(&mut self, conn: ConnKey, name: &ChannelName) -> Option<&mut Subscriber> {
        self.subscription(conn, name)
            .map(|(channel, place)| &mut channel.subscribers[place])
    }

    fn member(&self, conn: ConnKey) -> Option<&Member> {
        let member = self.members.get(conn.index as usize)?;
        (member.generation == conn.generation).then_some(member)
    }

    /// The slot of a subscription in its connection's list. Lists are short: a person's own channels, at
    /// most some hundred.
    fn find(&self, conn: ConnKey, name: &ChannelName) -> Option<usize> {
        let key = index(*self.by_name.get(name)?);
        self.member(conn)?
            .places
            .iter()
            .position(|place| place.channel == key)
    }

    /// The connection's list; what an earlier tenant of the slab's place left is ended.
    fn enroll(&mut self, conn: ConnKey) -> &mut Member {
        let place = conn.index as usize;
        if place >= self.members.len() {
            self.members.resize_with(place + 1, Member::default);
        }
        let generation = self.members[place].generation;
        if generation != conn.generation {
            self.remove(ConnKey { generation, ..conn });
            self.members[place].generation = conn.generation;
        }
        &mut self.members[place]
    }

    fn end(&mut self, conn: ConnKey, slot: usize) -> Unsubscribed {
        let places = &mut self.members[conn.index as usize].places;
        let place = places.swap_remove(slot);
        let refilled = places.get(slot).copied();
        if let Some(moved) = refilled {
            let channel = &mut self.channels[moved.channel as usize];
            channel.subscribers[moved.subscriber as usize].slot = index(slot);
        }
        let members = &mut self.members;
        let key = place.channel as usize;
        let channel = &mut self.channels[key];
        let gone = channel.take(place.subscriber as usize, |conn, slot, to| {
            members[conn.index as usize].places[slot as usize].subscriber = index(to);
        });
        self.subscriptions -= 1;
        self.present -= usize::from(gone.keeps_presence());
        let was_last = channel.subscribers.is_empty();
        let name = channel.name.clone();
        if was_last {
            if channel.is_listed {
                self.work.retain(|listed| *listed != key);
            }
            self.channels.remove(key);
            self.by_name.remove(&name);
        }
        // Nobody was told that it began.
        let is_under_way = gone.marks.has(Marks::RECOVERING | Marks::HELD);
        let rare = gone.rare.filter(|rare| rare.announce && !is_under_way);
        Unsubscribed {
            channel: name,
            announce: rare.and_then(|rare| rare.info),
            was_last,
        }
    }
}

/// Places in the slabs fit four bytes: a process has some ten thousand sockets.
fn index(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^32 channels and subscribers fit in memory")
}
