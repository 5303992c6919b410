//! One subscription as the hub keeps it: small, because a shard holds hundreds of thousands, and
//! dense, because the fan-out walks them.

use std::sync::Arc;

use klokke_protocol::{ClientInfo, TagFilter};

use super::publication::{Item, Publication, Tags};
use super::{Lens, Measure, SubOptions, Wire};

/// A connection of this shard: its place in the runtime's slab, and which tenant of that place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnKey {
    /// Place in the slab.
    pub index: u32,
    /// Counts the connections that had this place, so that news for an old one misses the new.
    pub generation: u32,
}

/// Publications a subscription may buffer while its history is being read. Reading takes some
/// milliseconds, a second when a disk is bad; more than this meanwhile and the client had better
/// start again than hold our memory.
pub(super) const BUFFER_MAX_ITEMS: usize = 1024;
/// Payload bytes a subscription may buffer while its history is being read.
pub(super) const BUFFER_MAX_BYTES: usize = 1024 * 1024;

/// Marks of a subscription, in one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks(u8);

impl Marks {
    /// Follows offsets and reports a gap.
    pub(super) const POSITIONED: u8 = 1;
    /// Gets join and leave.
    pub(super) const JOIN_LEAVE: u8 = 1 << 1;
    /// Agreed on deltas.
    pub(super) const DELTA: u8 = 1 << 2;
    /// Has the channel's previous publication, so that the next may be a delta.
    pub(super) const DELTA_READY: u8 = 1 << 3;
    /// Waits for its history; live publications go to the buffer.
    pub(super) const RECOVERING: u8 = 1 << 4;
    /// Gets nothing any more: its sink refused or its position is lost. Removed soon.
    pub(super) const CUT: u8 = 1 << 5;
    /// Has a [`Rare`] part with a filter.
    pub(super) const FILTERED: u8 = 1 << 6;
    /// Its connection is not told yet that it stands; live publications go to the buffer.
    pub(super) const HELD: u8 = 1 << 7;

    pub(super) const fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    pub(super) const fn set(&mut self, mark: u8, on: bool) {
        if on {
            self.0 |= mark;
        } else {
            self.0 &= !mark;
        }
    }
}

/// One connection's subscription to one channel.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) conn: ConnKey,
    /// Offset of the last publication it was given or passed over.
    pub(super) position: u64,
    /// The channel's count of items when it subscribed: what was said before is not for it.
    pub(super) joined_at: u64,
    pub(super) lens: Lens,
    /// Which of the shard's attempts to subscribe it is.
    pub(super) attempt: u32,
    /// Place in the connection's own list of subscriptions.
    pub(super) slot: u32,
    /// Which of the channel's epochs `position` belongs to.
    pub(super) epoch: u32,
    pub(super) wire: Wire,
    pub(super) marks: Marks,
    pub(super) rare: Option<Box<Rare>>,
}

/// What few subscriptions have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    pub(super) filter: Option<Box<TagFilter>>,
    /// Who it is, when the channel keeps presence or announces who comes and goes.
    pub(super) info: Option<Arc<ClientInfo>>,
    pub(super) presence: bool,
    pub(super) announce: bool,
    pub(super) buffer: Buffer,
}

/// Live items that arrived while the history was being read.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub(super) items: Vec<(u32, Item)>,
    bytes: usize,
    pub(super) overflowed: bool,
}

impl Buffer {
    /// Keeps an item of the channel's epoch number `epoch`, unless a bound is reached.
    pub(super) fn push(&mut self, epoch: u32, item: Item) {
        let bytes = self.bytes + item.size();
        if self.overflowed || self.items.len() >= BUFFER_MAX_ITEMS || bytes > BUFFER_MAX_BYTES {
            *self = Self {
                overflowed: true,
                ..Self::default()
            };
            return;
        }
        self.bytes = bytes;
        self.items.push((epoch, item));
    }
}

impl Subscriber {
    pub(super) fn new(
        conn: ConnKey,
        attempt: u32,
        slot: u32,
        joined_at: u64,
        options: SubOptions,
    ) -> Self {
        let mut marks = Marks(0);
        marks.set(Marks::POSITIONED, options.positioned);
        marks.set(Marks::RECOVERING, options.positioned);
        marks.set(Marks::HELD, options.held);
        marks.set(Marks::JOIN_LEAVE, options.join_leave);
        marks.set(Marks::DELTA, options.delta);
        marks.set(Marks::FILTERED, options.filter.is_some());
        let rare = Rare {
            filter: options.filter,
            info: options.info,
            presence: options.presence,
            announce: options.announce,
            buffer: Buffer::default(),
        };
        let needed =
            rare.filter.is_some() || rare.info.is_some() || options.positioned || options.held;
        Self {
            conn,
            position: 0,
            joined_at,
            lens: options.lens,
            attempt,
            slot,
            epoch: 0,
            wire: options.wire,
            marks,
            rare: needed.then(|| Box::new(rare)),
        }
    }

    pub(super) fn is_active(&self) -> bool {
        !self.marks.has(Marks::RECOVERING | Marks::HELD | Marks::CUT)
    }

    /// How much of a publication it sees; filters hide what does not match.
    pub(super) fn measure(&self, publication: &Publication, now_ms: u64) -> Measure {
        let content = &publication.content;
        if self.filters_out(publication) {
            return Measure::Hidden;
        }
        self.lens
            .measure(content.audience, content.is_sensitive(), now_ms)
    }

    /// Whether its filter hides a publication.
    pub(super) fn filters_out(&self, publication: &Publication) -> bool {
        self.marks.has(Marks::FILTERED) && !self.wants(&publication.content.tags)
    }

    fn wants(&self, tags: &Tags) -> bool {
        let filter = self.rare.as_ref().and_then(|rare| rare.filter.as_ref());
        filter.is_none_or(|filter| filter.matches(tags))
    }

    /// Whether it is shown in presence, now or once it is active.
    pub(super) fn keeps_presence(&self) -> bool {
        let rare = self.rare.as_deref();
        rare.is_some_and(|rare| rare.presence && rare.info.is_some())
    }

    /// Who it is, if the channel keeps presence.
    pub(super) fn present(&self) -> Option<&Arc<ClientInfo>> {
        let rare = self.rare.as_deref().filter(|rare| rare.presence)?;
        rare.info.as_ref().filter(|_| self.is_active())
    }

    /// Whether live items are kept for later.
    pub(super) fn is_buffering(&self) -> bool {
        self.marks.has(Marks::RECOVERING | Marks::HELD) && !self.marks.has(Marks::CUT)
    }

    /// Takes what was kept.
    pub(super) fn take_buffer(&mut self) -> Buffer {
        let Some(rare) = &mut self.rare else {
            return Buffer::default();
        };
        let buffer = std::mem::take(&mut rare.buffer);
        self.trim();
        buffer
    }

    /// Frees what only a buffering subscription needs, once it is none.
    pub(super) fn trim(&mut self) {
        let is_plain = self
            .rare
            .as_ref()
            .is_some_and(|rare| rare.filter.is_none() && rare.info.is_none());
        if is_plain && !self.is_buffering() {
            self.rare = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_stays_within_one_cache_line() {
        assert!(size_of::<Subscriber>() <= 64, "{}", size_of::<Subscriber>());
    }
}
