//! The end of a shard's connections when the node stops: all are told, spread over a time, so that not all come back at once.

use std::rc::Rc;
use std::time::Duration;

use klokke_protocol::DisconnectCode;

use super::shard::Shard;
use crate::hub::ConnKey;
use crate::session::Event;

impl Shard {
    /// Closes everything, evenly over the time given and in no particular order.
    pub(super) fn drain(self: &Rc<Self>, over: Duration) {
        self.draining.set(true);
        self.drain.send_replace(true);
        let mut keys: Vec<ConnKey> = self.core.borrow().connections.keys().collect();
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX).max(1);
        // Slab order is order of arrival, and whole schools arrive together.
        rand::seq::SliceRandom::shuffle(keys.as_mut_slice(), &mut rand::rng());
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let begin = tokio::time::Instant::now();
            for (nth, key) in (0..count).zip(keys) {
                let due = begin + over.mul_f64(f64::from(nth) / f64::from(count));
                if due > tokio::time::Instant::now() {
                    tokio::time::sleep_until(due).await;
                }
                shard.happen(key, Event::Disconnect(DisconnectCode::SHUTDOWN.into()));
            }
        });
    }
}
