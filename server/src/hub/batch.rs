//! What one walk over a channel's subscribers delivers: every item that waited when it began, encoded
//! once for each class of subscriber and shared by all of the class.
//!
//! A class is a transport with the set of items it gets and their measure. Whatever makes two
//! subscribers differ (position, lens, filter, moment of joining) ends in those two bit sets, so each
//! subscriber costs one look-up and one write, and equal ones share bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::ChannelName;

use super::encode::{Encodings, Form};
use super::fan_out::{FanOut, Finished, Sink, Told};
use super::publication::{Item, Publication};
use super::subscriber::{Marks, Subscriber};
use super::{Measure, Wire};

/// Items in one batch: the bits of a set. At this many a write costs less than a tenth of a
/// microsecond an item, and the next batch is near.
pub(super) const BATCH_MAX_ITEMS: usize = u64::BITS as usize;
/// Payload bytes that are joined: what common clients accept in one frame, with room to spare. A single
/// larger publication goes alone.
pub(super) const BATCH_MAX_BYTES: usize = 64 * 1024;

/// A set of a batch's items, one bit each.
pub(super) type ItemSet = u64;

/// An item in the channel's queue, with the number of the epoch it belongs to.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) epoch: u32,
    /// When it came, by the hub's stopwatch.
    pub(super) came_us: u64,
    pub(super) item: Item,
}

/// The offsets in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offsets {
    /// No item has one.
    None,
    /// Every item has one, each the next of the one before.
    Dense { first: u64, last: u64 },
    /// Anything else; items are looked at one by one.
    Mixed,
}

/// What a subscriber gets of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// These items, of which those in `bare` only as a signal.
    Items { shown: ItemSet, bare: ItemSet },
    /// The batch does not continue where the subscriber is.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ClassKey {
    shown: ItemSet,
    bare: ItemSet,
    wire: Wire,
    form: Form,
}

#[derive(Debug)]
struct Class {
    key: ClassKey,
    /// `None`: some payload cannot be told in this codec.
    frame: Option<Bytes>,
    told: Told,
    /// Subscribers that took it and are not in the figures yet.
    taken: u32,
}

/// The items of one walk and their encodings so far.
#[derive(Debug)]
pub(super) struct Batch {
    items: Vec<Item>,
    came_us: Vec<u64>,
    /// The publication before the first item, base of its delta.
    previous: Option<Arc<Publication>>,
    epoch: u32,
    first_number: u64,
    offsets: Offsets,
    /// Nothing depends on who looks: only publications, for everybody, not sensitive.
    is_plain: bool,
    encodings: Encodings,
    classes: Vec<Class>,
    recent_class: usize,
    /// Publications that filters kept from subscribers and that are not in the figures yet.
    filtered: u64,
}

impl Batch {
    /// Takes what waits, up to the bounds and within one epoch. `first_number` is the channel's number of
    /// the first item; `previous` the publication before it.
    pub(super) fn take(
        queue: &mut VecDeque<Queued>,
        first_number: u64,
        previous: Option<Arc<Publication>>,
    ) -> Option<Self> {
        let epoch = queue.front()?.epoch;
        let mut items = Vec::with_capacity(queue.len().min(BATCH_MAX_ITEMS));
        let mut came_us = Vec::with_capacity(items.capacity());
        let mut bytes = 0;
        while let Some(next) = queue.front() {
            bytes += next.item.size();
            let is_full = items.len() == BATCH_MAX_ITEMS || bytes > BATCH_MAX_BYTES;
            if next.epoch != epoch || (is_full && !items.is_empty()) {
                break;
            }
            if let Some(queued) = queue.pop_front() {
                items.push(queued.item);
                came_us.push(queued.came_us);
            }
        }
        Some(Self {
            previous,
            epoch,
            first_number,
            offsets: offsets_of(&items),
            is_plain: items.iter().all(is_plain),
            encodings: Encodings::default(),
            classes: Vec::new(),
            recent_class: 0,
            filtered: 0,
            came_us,
            items,
        })
    }

    /// Batches of items that had to wait for one subscription to become active.
    pub(super) fn of_late(items: Vec<(u32, Item)>) -> impl Iterator<Item = Self> {
        let queued = items.into_iter().map(|(epoch, item)| Queued {
            epoch,
            came_us: 0,
            item,
        });
        let mut queue: VecDeque<_> = queued.collect();
        // Numbered beyond any moment of joining: which of them it may get was decided before.
        std::iter::from_fn(move || Self::take(&mut queue, u64::MAX, None))
    }

    /// The newest publication, base of the next delta; the one before the batch if it has none.
    pub(super) fn into_last_publication(self) -> Option<Arc<Publication>> {
        let newest = self.items.into_iter().rev().find_map(|item| match item {
            Item::Publication(publication) => Some(publication),
            Item::Announcement(_) => None,
        });
        newest.or(self.previous)
    }

    /// Keeps all items for a subscriber that still waits for its history.
    pub(super) fn buffer(&self, subscriber: &mut Subscriber) {
        if let Some(rare) = &mut subscriber.rare {
            for (n, item) in self.items.iter().enumerate() {
                // What is in no stream cannot be found again by position, so the moment of joining decides.
                if item.offset() > 0
                    || self.first_number.saturating_add(n as u64) >= subscriber.joined_at
                {
                    rare.buffer.push(self.epoch, item.clone());
                }
            }
        }
    }

    /// What `subscriber` gets; moves its position on.
    pub(super) fn share(&mut self, subscriber: &mut Subscriber, now_ms: u64) -> Share {
        let all = ItemSet::MAX >> (BATCH_MAX_ITEMS - self.items.len());
        let shown = match self.offsets {
            _ if !subscriber.marks.has(Marks::POSITIONED) => {
                all & from(subscriber.joined_at, self.first_number)
            }
            Offsets::None => all & from(subscriber.joined_at, self.first_number),
            Offsets::Dense { first, last } if self.epoch == subscriber.epoch => {
                let next = subscriber.position + 1;
                if next < first {
                    return Share::Lost;
                }
                subscriber.position = subscriber.position.max(last);
                all & from(next, first)
            }
            Offsets::Dense { .. } | Offsets::Mixed => match self.follow(subscriber) {
                Some(unseen) => unseen,
                None => return Share::Lost,
            },
        };
        if self.is_plain && !subscriber.marks.has(Marks::FILTERED) {
            return Share::Items { shown, bare: 0 };
        }
        self.disclosed(subscriber, shown, now_ms)
    }

    /// Follows the offsets one by one; `None` at a gap.
    fn follow(&self, subscriber: &mut Subscriber) -> Option<ItemSet> {
        let mut shown = 0;
        let joined = from(subscriber.joined_at, self.first_number);
        for (n, item) in self.items.iter().enumerate() {
            let bit = 1 << n;
            match item.offset() {
                0 => shown |= bit & joined,
                _ if self.epoch < subscriber.epoch => {}
                _ if self.epoch > subscriber.epoch => return None,
                offset if offset <= subscriber.position => {}
                offset if offset == subscriber.position + 1 => {
                    subscriber.position = offset;
                    shown |= bit;
                }
                _ => return None,
            }
        }
        Some(shown)
    }

    /// What the lens and the filter let through of `candidates`.
    fn disclosed(&mut self, subscriber: &Subscriber, candidates: ItemSet, now_ms: u64) -> Share {
        let (mut shown, mut bare) = (0, 0);
        for (n, item) in self.items.iter().enumerate() {
            let bit = candidates & (1 << n);
            match item {
                Item::Announcement(_) if subscriber.marks.has(Marks::JOIN_LEAVE) => shown |= bit,
                Item::Announcement(_) => {}
                Item::Publication(publication) => match subscriber.measure(publication, now_ms) {
                    Measure::Hidden => {
                        let is_filtered = bit != 0 && subscriber.filters_out(publication);
                        self.filtered += u64::from(is_filtered);
                    }
                    Measure::Full => shown |= bit,
                    #[cfg(feature = "broken")]
                    Measure::Bare
                        if bit != 0 && crate::broken::strikes(crate::broken::Way::Bare) =>
                    {
                        shown |= bit;
                    }
                    Measure::Bare => {
                        shown |= bit;
                        bare |= bit;
                    }
                },
            }
        }
        Share::Items { shown, bare }
    }

    /// The bytes for a subscriber's share, encoded now if it is the first of its class; `None` when a
    /// payload cannot be told in its codec.
    pub(super) fn frame(
        &mut self,
        subscriber: &mut Subscriber,
        shown: ItemSet,
        bare: ItemSet,
    ) -> Option<&Bytes> {
        let key = ClassKey {
            shown,
            bare,
            wire: subscriber.wire,
            form: self.form(subscriber, shown & !bare),
        };
        let recent = self.classes.get(self.recent_class);
        if recent.is_none_or(|class| class.key != key) {
            let known = self.classes.iter().position(|class| class.key == key);
            self.recent_class = known.unwrap_or_else(|| {
                let (frame, told) = self.encode(key).unzip();
                self.classes.push(Class {
                    key,
                    frame,
                    told: told.unwrap_or_default(),
                    taken: 0,
                });
                self.classes.len() - 1
            });
        }
        self.classes[self.recent_class].frame.as_ref()
    }

    /// Which form a subscriber takes. Notes whether it then has the last publication, so that the next
    /// may be a delta; `whole` is what it gets in full.
    fn form(&self, subscriber: &mut Subscriber, whole: ItemSet) -> Form {
        if !subscriber.marks.has(Marks::DELTA) {
            return Form::Plain;
        }
        let had_previous = subscriber.marks.has(Marks::DELTA_READY);
        let last = (self.items.iter()).rposition(|item| matches!(item, Item::Publication(_)));
        let has_last = last.map_or(had_previous, |n| whole & (1 << n) != 0);
        subscriber.marks.set(Marks::DELTA_READY, has_last);
        if had_previous {
            Form::Delta
        } else {
            Form::Fresh
        }
    }

    fn encode(&mut self, key: ClassKey) -> Option<(Bytes, Told)> {
        let codec = key.wire.codec();
        let mut messages = Vec::with_capacity(key.shown.count_ones() as usize);
        let mut told = Told {
            withheld: key.bare.count_ones(),
            ..Told::default()
        };
        let mut previous = self.previous.as_ref();
        // Whether the reader has `previous` in full, which a delta needs.
        let mut has_previous = key.form == Form::Delta;
        for (n, item) in self.items.iter().enumerate() {
            let is_shown = key.shown & (1 << n) != 0;
            match item {
                Item::Announcement(announcement) if is_shown => {
                    let message = self.encodings.announcement(codec, n, announcement)?;
                    told.add(item.kind(), message.len());
                    messages.push(message);
                }
                Item::Announcement(_) => {}
                Item::Publication(publication) => {
                    let is_bare = key.bare & (1 << n) != 0;
                    if is_shown {
                        let measure = if is_bare {
                            Measure::Bare
                        } else {
                            Measure::Full
                        };
                        let base = previous.filter(|_| has_previous && !is_bare);
                        let form = key.form.with_base(base);
                        let message =
                            self.encodings
                                .publication(codec, n, publication, measure, form)?;
                        told.add(item.kind(), message.len());
                        messages.push(message);
                    }
                    has_previous = is_shown && !is_bare;
                    previous = Some(publication);
                }
            }
        }
        Some((key.wire.frame(&messages), told))
    }

    /// The subscriber last asked for took its frame.
    pub(super) fn taken(&mut self) {
        if let Some(class) = self.classes.get_mut(self.recent_class) {
            class.taken += 1;
        }
    }

    /// Reports what was delivered since the last time, summed up by class.
    pub(super) fn report(
        &mut self,
        channel: &ChannelName,
        sink: &mut impl Sink,
        done: &mut FanOut,
    ) {
        done.encodings += self.encodings.take_made();
        for class in self.classes.iter_mut().filter(|class| class.taken > 0) {
            let taken = std::mem::take(&mut class.taken);
            sink.delivered(channel, class.key.wire, &class.told, taken);
        }
        let filtered = std::mem::take(&mut self.filtered);
        if filtered > 0 {
            sink.filtered(channel, filtered);
        }
    }

    /// Its items, with when they came.
    pub(super) fn arrivals(&self) -> impl Iterator<Item = Finished> {
        let items = self.items.iter().zip(&self.came_us);
        items.map(|(item, came_us)| Finished {
            kind: item.kind(),
            came_us: *came_us,
            arrived_us: item.arrived_us(),
        })
    }
}

/// The set of items from number `next` on, where the first item has number `first`.
fn from(next: u64, first: u64) -> ItemSet {
    let passed = u32::try_from(next.saturating_sub(first)).unwrap_or(u32::MAX);
    ItemSet::MAX.checked_shl(passed).unwrap_or(0)
}

fn offsets_of(items: &[Item]) -> Offsets {
    if items.iter().all(|item| item.offset() == 0) {
        return Offsets::None;
    }
    let is_dense = items[0].offset() > 0
        && items
            .windows(2)
            .all(|pair| pair[1].offset() == pair[0].offset() + 1);
    if is_dense {
        Offsets::Dense {
            first: items[0].offset(),
            last: items[items.len() - 1].offset(),
        }
    } else {
        Offsets::Mixed
    }
}

fn is_plain(item: &Item) -> bool {
    match item {
        Item::Announcement(_) => false,
        Item::Publication(publication) => {
            publication.content.audience == super::Audience::ALL
                && !publication.content.is_sensitive()
        }
    }
}
