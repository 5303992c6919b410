//! Tells other nodes of this node's commits.

use std::sync::Arc;

use super::{Bus, MESSAGE_BYTES_MAX, NodeId, wire};
use crate::ledger::{Herald, LedgerId, SealedCommit};
use crate::telemetry::{Count, Meters, catalogue};

/// See the file.
pub struct BusHerald {
    bus: Arc<dyn Bus>,
    own: NodeId,
    told: Count,
    dropped: Count,
}

impl BusHerald {
    /// Of this node.
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>, own: NodeId, meters: &Meters) -> Self {
        Self {
            bus,
            own,
            told: meters.counter(catalogue::BUS_MESSAGES, &["out", "commits"]),
            dropped: meters.counter(catalogue::BUS_DROPPED, &["out"]),
        }
    }
}

impl Herald for BusHerald {
    fn durable(&self, ledger: &LedgerId, commits: &[SealedCommit]) {
        let Some(last) = commits.last() else {
            return;
        };
        let bytes: usize = commits.iter().map(|sealed| sealed.row.len()).sum();
        let message = if bytes <= MESSAGE_BYTES_MAX {
            wire::commits(self.own, ledger, commits)
        } else {
            wire::positions(self.own, [(ledger, last.commit.seq)])
        };
        if self.bus.tell(message) {
            self.told.add(1);
        } else {
            // Others find it by the positions that are told later, or in the store.
            self.dropped.add(1);
        }
    }

    fn trimmed(&self, ledger: &LedgerId) {
        // A position that nobody has: whoever has loaded the ledger looks. Lost, it is found by the next look.
        let _ = self
            .bus
            .tell(wire::positions(self.own, [(ledger, u64::MAX)]));
    }

    fn has_others(&self) -> bool {
        true
    }
}
