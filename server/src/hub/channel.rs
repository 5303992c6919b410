//! One channel of a shard: its subscribers, what waits for them, and the walk that delivers it.

use std::collections::VecDeque;
use std::sync::Arc;

use klokke_protocol::{ChannelName, Epoch};

use super::batch::{Batch, Queued};
use super::publication::{Item, Publication};
use super::subscriber::{ConnKey, Marks, Subscriber};

/// Items that may wait in one channel of a shard. A walk over 18,000 subscribers takes about 0.1 s, so
/// this is a hundred times what a busy channel piles up; beyond it the oldest are dropped, and
/// positioned subscribers are told so by the gap.
pub(super) const QUEUE_MAX_ITEMS: usize = 16 * 1024;

/// One channel with at least one subscriber here.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: ChannelName,
    pub(super) subscribers: Vec<Subscriber>,
    pub(super) queue: VecDeque<Queued>,
    /// Number of the next item to be queued; items are counted from 0.
    pub(super) next_number: u64,
    pub(super) epoch: Epoch,
    /// Counts the epochs seen, so that a subscriber remembers four bytes.
    pub(super) epoch_number: u32,
    /// The walk under way.
    pub(super) walk: Option<Walk>,
    /// Whether the hub's list of work has this channel.
    pub(super) is_listed: bool,
    /// The newest delivered publication, kept while somebody wants deltas.
    pub(super) previous: Option<Arc<Publication>>,
    /// Subscribers with deltas.
    pub(super) delta_subscribers: u32,
    /// When something was last published here, or the position last checked.
    pub(super) checked_ms: u64,
}

/// A walk over the subscribers that were there when it began.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) batch: Batch,
    /// Those before it had the batch.
    pub(super) cursor: usize,
    /// Those from here on came later.
    pub(super) end: usize,
}

impl Channel {
    pub(super) fn new(name: ChannelName, now_ms: u64) -> Self {
        Self {
            name,
            subscribers: Vec::new(),
            queue: VecDeque::new(),
            next_number: 0,
            epoch: Epoch::default(),
            epoch_number: 0,
            walk: None,
            is_listed: false,
            previous: None,
            delta_subscribers: 0,
            checked_ms: now_ms,
        }
    }

    /// Queues an item; drops the oldest when too much waits.
    ///
    /// `came_us` is when it came, for the figures.
    pub(super) fn push(&mut self, item: Item, came_us: u64) {
        if let Item::Publication(publication) = &item
            && publication.offset > 0
        {
            self.enter_epoch(&publication.epoch);
        }
        if self.queue.len() >= QUEUE_MAX_ITEMS {
            self.queue.pop_front();
            self.previous = None;
        }
        self.queue.push_back(Queued {
            epoch: self.epoch_number,
            came_us,
            item,
        });
        self.next_number += 1;
    }

    /// Notes the stream's epoch; a new one makes all older positions void.
    pub(super) fn enter_epoch(&mut self, epoch: &Epoch) {
        if self.epoch != *epoch {
            self.epoch = epoch.clone();
            self.epoch_number += 1;
        }
    }

    /// Begins a walk with what waits.
    pub(super) fn begin_walk(&mut self) -> bool {
        let first_number = self.next_number - self.queue.len() as u64;
        let previous = self.previous.take();
        let Some(batch) = Batch::take(&mut self.queue, first_number, previous) else {
            return false;
        };
        self.walk = Some(Walk {
            batch,
            cursor: 0,
            end: self.subscribers.len(),
        });
        true
    }

    /// Ends a finished walk.
    pub(super) fn end_walk(&mut self) {
        if let Some(walk) = self.walk.take()
            && self.delta_subscribers > 0
        {
            self.previous = walk.batch.into_last_publication();
        }
    }

    /// Whether items wait or a walk is under way.
    pub(super) fn has_work(&self) -> bool {
        self.walk.is_some() || !self.queue.is_empty()
    }

    /// Takes out the subscriber at `place`. Calls `moved` for each other one that changes its place.
    ///
    /// Constant time: the hole is filled from the end of its part (served, to be served, later), so
    /// that a walk under way serves everybody once.
    pub(super) fn take(
        &mut self,
        place: usize,
        mut moved: impl FnMut(ConnKey, u32, usize),
    ) -> Subscriber {
        let mut hole = place;
        if let Some(walk) = &mut self.walk {
            for border in [&mut walk.cursor, &mut walk.end] {
                if hole < *border {
                    *border -= 1;
                    if hole != *border {
                        self.subscribers.swap(hole, *border);
                        let filler = &self.subscribers[hole];
                        moved(filler.conn, filler.slot, hole);
                        hole = *border;
                    }
                }
            }
        }
        let gone = self.subscribers.swap_remove(hole);
        if let Some(filler) = self.subscribers.get(hole) {
            moved(filler.conn, filler.slot, hole);
        }
        if gone.marks.has(Marks::DELTA) {
            self.delta_subscribers -= 1;
        }
        gone
    }
}
