//! The recent entries of each channel of a loaded ledger, in memory, so that recovery after a
//! short pause never reads the store.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::{ChannelName, Commit, Entry};
use crate::store::ChannelEntry;

/// Most entries kept of one channel: a class that is away for a lesson comes back to fewer.
pub(super) const RING_ENTRIES_MAX: usize = 128;

/// Most bytes of content one ledger keeps, over all its channels. 4,214 loaded institutions at
/// the bound would hold 4 GiB; most hold a few KiB.
pub(super) const RING_BYTES_MAX: usize = 1 << 20;

/// What one entry costs besides its content: the `Arc`, the row in the ring and in the order.
const ROW_BYTES: usize = 96;

/// How many stale rows the order of arrival may hold beside the live ones before it is cleaned.
const ORDER_SLACK: usize = 1_024;

/// Recent entries of the channels of one ledger.
#[derive(Debug, Default)]
pub(super) struct Rings {
    channels: HashMap<ChannelName, VecDeque<Row>>,
    /// Which channel got which offset, oldest first: what goes first when there are too many
    /// bytes. May name rows that are gone already.
    order: VecDeque<(ChannelName, u64)>,
    rows: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Row {
    entry: ChannelEntry,
    cost: usize,
}

impl Rings {
    /// Takes in the entries of a durable commit.
    pub(super) fn push(&mut self, commit: &Commit) {
        for entry in &commit.entries {
            // The content is shared by all channels it went to; the first one pays for it.
            let mut cost = cost_of(entry);
            for (channel, offset) in &entry.channels {
                self.push_one(channel, *offset, commit.seq, entry, cost);
                cost = ROW_BYTES;
            }
        }
        while self.bytes > RING_BYTES_MAX {
            let Some((channel, offset)) = self.order.pop_front() else {
                break;
            };
            self.pop_up_to(&channel, offset);
        }
        if self.order.len() > 2 * self.rows + ORDER_SLACK {
            let channels = &self.channels;
            self.order.retain(|(channel, offset)| {
                let first = channels.get(channel).and_then(VecDeque::front);
                first.is_some_and(|row| row.entry.offset <= *offset)
            });
        }
    }

    fn push_one(
        &mut self,
        channel: &ChannelName,
        offset: u64,
        seq: u64,
        entry: &Arc<Entry>,
        cost: usize,
    ) {
        let ring = self.channels.entry(channel.clone()).or_default();
        let full = ring.len() >= RING_ENTRIES_MAX;
        let oldest = ring.front().map_or(0, |row| row.entry.offset);
        let entry = ChannelEntry {
            offset,
            seq,
            entry: Arc::clone(entry),
        };
        ring.push_back(Row { entry, cost });
        self.rows += 1;
        self.bytes += cost;
        self.order.push_back((channel.clone(), offset));
        if full {
            self.pop_up_to(channel, oldest);
        }
    }

    fn pop_up_to(&mut self, channel: &ChannelName, offset: u64) {
        let Some(ring) = self.channels.get_mut(channel) else {
            return;
        };
        while ring.front().is_some_and(|row| row.entry.offset <= offset) {
            let Some(row) = ring.pop_front() else { break };
            self.rows -= 1;
            self.bytes -= row.cost;
        }
        if ring.is_empty() {
            self.channels.remove(channel);
        }
    }

    /// Bytes of what is kept, rows and content.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Channels of which entries are kept, as many as that at most.
    pub(super) fn channels(&self, at_most: usize) -> Vec<ChannelName> {
        self.channels.keys().take(at_most).cloned().collect()
    }

    /// Forgets what retention removed.
    pub(super) fn trim(&mut self, channel: &ChannelName, to: u64) {
        self.pop_up_to(channel, to);
    }

    /// The entries `from..=to`, if all of them are here.
    pub(super) fn range(
        &self,
        channel: &ChannelName,
        from: u64,
        to: u64,
    ) -> Option<impl DoubleEndedIterator<Item = &ChannelEntry>> {
        let ring = self.channels.get(channel)?;
        let first = ring.front()?.entry.offset;
        let last = ring.back()?.entry.offset;
        if from < first || to > last || from > to {
            return None;
        }
        let start = usize::try_from(from - first).ok()?;
        let end = usize::try_from(to - first).ok()?;
        Some(ring.range(start..=end).map(|row| &row.entry))
    }
}

fn cost_of(entry: &Entry) -> usize {
    let content = &entry.content;
    let tags: usize = content
        .tags
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    ROW_BYTES + content.full.len() + content.bare.as_ref().map_or(0, bytes::Bytes::len) + tags
}
