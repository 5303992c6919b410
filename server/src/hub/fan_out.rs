//! The walk: what waits in a channel goes to its subscribers, some at a time.

use bytes::Bytes;
use klokke_protocol::ChannelName;

use super::batch::{Batch, Share};
use super::channel::Channel;
use super::subscriber::{Marks, Subscriber};
use super::{ConnKey, Hub, Kind, Wire};

/// Where the hub's bytes go: the connections of the shard.
pub trait Sink {
    /// Writes `frame`, which holds `messages` messages, to a connection or its queue.
    fn write(&mut self, conn: ConnKey, frame: &Bytes, messages: u32) -> Written;

    /// A positioned subscription missed something. It gets nothing more; the driver tells the session
    /// ([`Event::PositionLost`](crate::session::Event::PositionLost)), which ends it.
    fn position_lost(&mut self, conn: ConnKey, channel: &ChannelName);

    /// A payload cannot be told in the connection's codec (binary for a JSON client): the driver closes the
    /// connection with 3506.
    fn inappropriate(&mut self, conn: ConnKey);

    /// `subscribers` of one transport took the same messages; for the figures, once for many writes.
    fn delivered(&mut self, channel: &ChannelName, wire: Wire, told: &Told, subscribers: u32);

    /// Filters kept publications from subscribers; for the figures.
    fn filtered(&mut self, channel: &ChannelName, publications: u64);

    /// A connection of the same wire that has nothing to do with a channel.
    #[cfg(feature = "broken")]
    fn stranger(&self, _conn: ConnKey, _channel: &ChannelName) -> Option<ConnKey> {
        None
    }

    /// These have reached the channel's last subscriber here. For the figures.
    fn finished(&mut self, channel: &ChannelName, items: impl Iterator<Item = Finished>);
}

/// Something that has reached its channel's last subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// What it was.
    pub kind: Kind,
    /// When it came to the hub, by the hub's stopwatch.
    pub came_us: u64,
    /// When the call that publishes it came to the node, by the same; 0 when that is not known.
    pub arrived_us: u64,
}

/// What one frame of a fan-out tells: messages and their bytes, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Publications.
    pub publications: u32,
    /// Their bytes.
    pub publication_bytes: u64,
    /// News of who came.
    pub joins: u32,
    /// Their bytes.
    pub join_bytes: u64,
    /// News of who went.
    pub leaves: u32,
    /// Their bytes.
    pub leave_bytes: u64,
    /// Publications of which only the bare signal was told.
    pub withheld: u32,
}

impl Told {
    pub(super) fn add(&mut self, kind: Kind, bytes: usize) {
        let (count, sum) = match kind {
            Kind::Publication => (&mut self.publications, &mut self.publication_bytes),
            Kind::Join => (&mut self.joins, &mut self.join_bytes),
            Kind::Leave => (&mut self.leaves, &mut self.leave_bytes),
        };
        *count += 1;
        *sum += bytes as u64;
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// Written or queued.
    Accepted,
    /// The connection is too slow or gone: it gets nothing more in this channel. The driver removes it.
    Refused,
}

/// What one call of [`Hub::fan_out`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FanOut {
    /// Subscribers looked at.
    pub visited: usize,
    /// Writes made.
    pub writes: usize,
    /// Messages in them.
    pub messages: usize,
    /// Messages encoded for them.
    pub encodings: usize,
}

impl Hub {
    /// Whether something waits to be delivered.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.work.is_empty() || !self.late.is_empty()
    }

    /// Delivers what waits, until about `budget` subscribers were looked at. Channels take turns, so a
    /// large one does not hold up the small ones; the next call goes on where this one stopped.
    pub fn fan_out(&mut self, now_ms: u64, budget: usize, sink: &mut impl Sink) -> FanOut {
        let mut done = FanOut::default();
        self.deliver_late(now_ms, sink, &mut done);
        while done.visited < budget
            && let Some(key) = self.work.pop_front()
        {
            let channel = &mut self.channels[key];
            channel.walk(now_ms, budget - done.visited, sink, &mut done);
            channel.is_listed = channel.has_work();
            if channel.is_listed {
                self.work.push_back(key);
            }
        }
        done
    }

    /// Delivers what waited for subscriptions that have just become active.
    fn deliver_late(&mut self, now_ms: u64, sink: &mut impl Sink, done: &mut FanOut) {
        for late in std::mem::take(&mut self.late) {
            let name = late.channel;
            let Some((channel, place)) = self.subscription(late.conn, &name) else {
                continue;
            };
            if channel.subscribers[place].attempt != late.attempt {
                continue;
            }
            let Some(items) = late.items else {
                channel.subscribers[place].lose(&name, sink);
                continue;
            };
            for mut batch in Batch::of_late(items) {
                let subscriber = &mut channel.subscribers[place];
                if subscriber.is_active() {
                    batch.deliver(subscriber, &name, now_ms, sink, done);
                } else if subscriber.is_buffering() {
                    batch.buffer(subscriber);
                }
                batch.report(&name, sink, done);
            }
        }
    }
}

impl Channel {
    /// Walks on, or begins a walk, over at most `budget` subscribers.
    fn walk(&mut self, now_ms: u64, budget: usize, sink: &mut impl Sink, done: &mut FanOut) {
        if self.walk.is_none() && !self.begin_walk() {
            return;
        }
        let Some(walk) = &mut self.walk else {
            return;
        };
        let stop = walk.end.min(walk.cursor + budget);
        for subscriber in &mut self.subscribers[walk.cursor..stop] {
            if subscriber.is_active() {
                walk.batch
                    .deliver(subscriber, &self.name, now_ms, sink, done);
            } else if subscriber.is_buffering() {
                walk.batch.buffer(subscriber);
            }
        }
        done.visited += stop - walk.cursor;
        walk.cursor = stop;
        walk.batch.report(&self.name, sink, done);
        if stop == walk.end {
            sink.finished(&self.name, walk.batch.arrivals());
            self.end_walk();
        }
    }
}

impl Subscriber {
    /// It missed something: nothing more for it, and its session is told.
    fn lose(&mut self, channel: &ChannelName, sink: &mut impl Sink) {
        self.marks.set(Marks::CUT, true);
        sink.position_lost(self.conn, channel);
    }
}

impl Batch {
    /// Gives one active subscriber its share, in one write.
    fn deliver(
        &mut self,
        subscriber: &mut Subscriber,
        channel: &ChannelName,
        now_ms: u64,
        sink: &mut impl Sink,
        done: &mut FanOut,
    ) {
        let conn = subscriber.conn;
        let Share::Items { shown, bare } = self.share(subscriber, now_ms) else {
            subscriber.lose(channel, sink);
            return;
        };
        if shown == 0 {
            // It has not got the last publication, so no delta may build on that.
            subscriber.marks.set(Marks::DELTA_READY, false);
            return;
        }
        let Some(frame) = self.frame(subscriber, shown, bare) else {
            subscriber.marks.set(Marks::CUT, true);
            sink.inappropriate(conn);
            return;
        };
        let messages = shown.count_ones();
        done.writes += 1;
        done.messages += messages as usize;
        #[cfg(not(feature = "broken"))]
        let written = sink.write(conn, frame, messages);
        #[cfg(feature = "broken")]
        let written = super::broken::write(sink, conn, channel, frame, messages);
        match written {
            Written::Accepted => self.taken(),
            Written::Refused => subscriber.marks.set(Marks::CUT, true),
        }
    }
}
