//! Positions compared with the tops of streams where nothing arrives: a lost publication that no later one
//! shows to be missing is found within `client.channel_position_check_delay` (`docs/protocol.md`, section 5).
//!
//! First the store is asked, many channels at once and without loading their ledgers. Only where it knows
//! more than a subscriber has, the ledger itself is asked, whose answer comes in order with its commits: what
//! is merely on its way is not taken for lost.

use std::collections::HashMap;
use std::rc::Rc;

use super::shard::Shard;
use crate::hub::PositionCheck;
use crate::ledger::{ChannelName, Epoch, LedgerId, ShardAnswer};
use crate::session::Event;
use crate::store::ChannelHead;

/// Into how many steps a round of checks is divided, so that it is no burst.
const STEPS: u64 = 40;
/// Channels looked at in one step at least; with more channels a step takes twice its share of a round.
const CHANNELS_PER_STEP: usize = 1024;

/// When which channels are looked at.
pub(super) struct Positions {
    check: PositionCheck,
    delay_ms: u64,
    /// When the next step is due; never when nothing is checked.
    pub(super) due_ms: u64,
}

/// A ledger's word on where channels stand, at one place of its order.
pub(super) struct Tops {
    epoch: Epoch,
    heads: Vec<(ChannelName, ChannelHead)>,
}

impl Positions {
    /// Checks each channel that was quiet for `delay_ms`; 0 checks nothing.
    pub(super) fn new(now_ms: u64, delay_ms: u64) -> Self {
        let mut positions = Self {
            check: PositionCheck::default(),
            delay_ms,
            due_ms: u64::MAX,
        };
        positions.set_due(now_ms);
        positions
    }

    fn set_due(&mut self, now_ms: u64) {
        if self.delay_ms > 0 {
            self.due_ms = now_ms + (self.delay_ms / STEPS).max(1);
        }
    }
}

/// One step: asks for the tops of channels that are due.
pub(super) fn look(shard: &Rc<Shard>, now_ms: u64) {
    let due = {
        let core = &mut *shard.core.borrow_mut();
        let twice = usize::try_from(STEPS / 2).unwrap_or(1);
        let budget = CHANNELS_PER_STEP.max(core.hub.channel_count() / twice);
        core.positions.set_due(now_ms);
        let delay_ms = core.positions.delay_ms;
        let check = &mut core.positions.check;
        check.poll(&mut core.hub, now_ms, delay_ms, budget)
    };
    let mut asked: HashMap<LedgerId, Vec<ChannelName>> = HashMap::new();
    for channel in due {
        if let Ok(ledger) = LedgerId::of_channel(&channel) {
            asked.entry(ledger).or_default().push(channel);
        }
    }
    if asked.is_empty() {
        return;
    }
    let shard = Rc::clone(shard);
    tokio::task::spawn_local(async move {
        for (ledger, channels) in asked {
            compare(&shard, &ledger, channels).await;
        }
    });
}

async fn compare(shard: &Rc<Shard>, ledger: &LedgerId, mut channels: Vec<ChannelName>) {
    let ledgers = shard.services.domain.ledgers();
    // A store that cannot answer now is asked again in the next round.
    let Ok(heads) = ledgers.store().channel_heads(ledger, &channels).await else {
        return;
    };
    let mut heads = heads.into_iter();
    channels.retain(|channel| {
        let head = heads.next().unwrap_or_default();
        shard.core.borrow_mut().hub.is_behind(channel, head.top)
    });
    if channels.is_empty() {
        return;
    }
    // Refused when the ledger has too much waiting: then there is traffic, and the next round comes.
    let _ = ledgers.enter(
        ledger,
        shard.index,
        move |_| channels,
        move |entered| {
            ShardAnswer::new(entered.ok().map(|at| Tops {
                epoch: at.epoch.clone(),
                heads: at.channels.to_vec(),
            }))
        },
    );
}

impl Shard {
    /// Ends subscriptions that missed something.
    pub(super) fn compare_positions(self: &Rc<Self>, tops: &Tops) {
        for (channel, head) in &tops.heads {
            let lost = {
                let hub = &mut self.core.borrow_mut().hub;
                hub.handle_top(channel, &tops.epoch, head.top)
            };
            for key in lost {
                let channel = channel.clone();
                self.happen(key, Event::PositionLost { channel });
            }
        }
    }
}
