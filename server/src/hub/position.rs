//! Positions against the stream's top: finds a lost publication that no later one would show to be
//! missing.

use klokke_protocol::{ChannelName, Epoch};

use super::subscriber::Marks;
use super::{ConnKey, Hub};

/// Goes round the channels and names those whose subscribers' positions should be compared with the top of
/// the stream. One check a channel and shard serves all its subscribers.
#[derive(Debug, Default, Clone, Copy)]
pub struct PositionCheck {
    next: usize,
}

impl PositionCheck {
    /// Looks at the next `budget` places of the hub and returns the channels with positioned subscribers
    /// where nothing happened for `delay_ms`. The driver asks for each one's top and brings it by
    /// [`Hub::handle_top`].
    pub fn poll(
        &mut self,
        hub: &mut Hub,
        now_ms: u64,
        delay_ms: u64,
        budget: usize,
    ) -> Vec<ChannelName> {
        let places = hub.channels.capacity();
        let mut due = Vec::new();
        for _ in 0..budget.min(places) {
            let key = self.next % places;
            self.next = key + 1;
            let Some(channel) = hub.channels.get_mut(key) else {
                continue;
            };
            if channel.has_work() || now_ms < channel.checked_ms.saturating_add(delay_ms) {
                continue;
            }
            channel.checked_ms = now_ms;
            let mut marks = channel
                .subscribers
                .iter()
                .map(|subscriber| subscriber.marks);
            if marks.any(|marks| marks.has(Marks::POSITIONED)) {
                due.push(channel.name.clone());
            }
        }
        due
    }
}

impl Hub {
    /// Compares positions with a stream's top, read in order with what was published here. Returns the
    /// connections that missed something; they get nothing more in this channel, and the driver tells
    /// their sessions.
    #[must_use]
    pub fn handle_top(&mut self, name: &ChannelName, epoch: &Epoch, top: u64) -> Vec<ConnKey> {
        let is_late = self.late.iter().any(|late| late.channel == *name);
        let Some(channel) = self.channel_mut(name) else {
            return Vec::new();
        };
        // What waits here will show a gap by itself.
        if is_late || channel.has_work() {
            return Vec::new();
        }
        channel.enter_epoch(epoch);
        let mut lost = Vec::new();
        for subscriber in &mut channel.subscribers {
            let is_followed = subscriber.is_active() && subscriber.marks.has(Marks::POSITIONED);
            let is_there = subscriber.position == top && subscriber.epoch == channel.epoch_number;
            if is_followed && !is_there {
                subscriber.marks.set(Marks::CUT, true);
                lost.push(subscriber.conn);
            }
        }
        lost
    }

    /// Whether some subscriber of a channel stands elsewhere than at `top`. Cheap, and only a reason to ask on:
    /// what it has not may be on its way.
    #[must_use]
    pub fn is_behind(&mut self, name: &ChannelName, top: u64) -> bool {
        self.channel_mut(name).is_some_and(|channel| {
            channel.subscribers.iter().any(|subscriber| {
                let is_followed = subscriber.is_active() && subscriber.marks.has(Marks::POSITIONED);
                is_followed && subscriber.position != top
            })
        })
    }

    /// Where a positioned subscription stands; `None` for any other.
    #[must_use]
    pub fn position(&mut self, conn: ConnKey, name: &ChannelName) -> Option<u64> {
        let (channel, place) = self.subscription(conn, name)?;
        let subscriber = &channel.subscribers[place];
        let is_followed = subscriber.is_active() && subscriber.marks.has(Marks::POSITIONED);
        is_followed.then_some(subscriber.position)
    }
}
