//! Equal reads under way, of what never changes: who asks for the same joins.

use std::sync::{Mutex, PoisonError};

use futures_util::future::WeakShared;
use hashbrown::HashMap;

use super::said::Flight;
use crate::ledger::LedgerId;

/// Left behind by readers who went away; beyond this they are cleared.
const LEFT_MAX: usize = 4_096;

type Weak = WeakShared<<Flight as Inside>::Future>;

/// The future inside of a flight.
trait Inside {
    type Future: Future;
}

impl<F: Future> Inside for futures_util::future::Shared<F> {
    type Future = F;
}

/// See the module.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<(LedgerId, u64), Weak>>);

impl Flights {
    /// The read of a commit's batch that is under way, or the one `start` makes; and whether it was under way.
    pub(super) fn join(
        &self,
        place: &(LedgerId, u64),
        start: impl FnOnce() -> Flight,
    ) -> (Flight, bool) {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(place).and_then(WeakShared::upgrade) {
            return (flight, true);
        }
        if flights.len() >= LEFT_MAX {
            flights.retain(|_, flight| flight.upgrade().is_some());
        }
        let flight = start();
        if let Some(weak) = flight.downgrade() {
            flights.insert(place.clone(), weak);
        }
        (flight, false)
    }

    /// It has ended.
    pub(super) fn leave(&self, place: &(LedgerId, u64)) {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.remove(place);
    }
}
