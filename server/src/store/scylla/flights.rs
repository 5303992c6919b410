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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn who_asks_for_what_is_on_its_way_joins() {
        let flights = Flights::default();
        let place = (LedgerId::parse("G1").expect("valid"), 1);
        let (land, landed) = oneshot::channel::<()>();
        let start = || {
            let flight = async move {
                landed.await.expect("it lands");
                Ok(Arc::from([]))
            };
            flight.boxed().shared()
        };
        let (first, was_under_way) = flights.join(&place, start);
        assert!(!was_under_way);
        let (second, was_under_way) = flights.join(&place, || unreachable!("it is on its way"));
        assert!(was_under_way);
        land.send(()).expect("somebody waits");
        assert_eq!(first.await.expect("read").len(), 0);
        assert_eq!(second.await.expect("read").len(), 0);
        flights.leave(&place);
        let again = || async { Ok(Arc::from([])) }.boxed().shared();
        assert!(!flights.join(&place, again).1, "it is over");
    }
}
