//! How far work is put off on this node, found by one shard for all, and how people are told.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::mailbox::ShardInput;
use super::shard::Shard;
use crate::admission::{LOOK_MS, Level, Service, Shedder};
use crate::session::Event;
use crate::telemetry;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(LOOK_MS);
/// Between two notices. To tell everybody costs a write each, at a time when there is none to spare; who connects
/// meanwhile is told how it is then.
const NOTICE_PAUSE: Duration = Duration::from_secs(5);
/// Sessions told in one go, before others have their turn.
const TOLD_AT_ONCE: usize = 128;

/// What the steering shard keeps.
pub(super) struct Steering {
    shedder: Shedder,
    looked: Instant,
    /// The level everybody was told of last, and when.
    told: (Level, Option<Instant>),
    figure: telemetry::Level,
}

impl Steering {
    pub(super) fn new(lag_max_ms: u64, figure: telemetry::Level) -> Self {
        Self {
            shedder: Shedder::new(lag_max_ms),
            looked: Instant::now(),
            told: (Level::NORMAL, None),
            figure,
        }
    }

    /// Looks, when it is time.
    fn look(&mut self, load: &crate::admission::Load) {
        let since = self.looked.elapsed();
        if since < LOOK {
            return;
        }
        self.looked = Instant::now();
        let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let Some(lag_ms) = load.look(since_ms) else {
            return;
        };
        let Some(level) = self.shedder.look(lag_ms) else {
            return;
        };
        load.set_level(level);
        self.figure.set(level.number().into());
        let level = level.number();
        if level == 0 {
            tracing::info!("nothing is put off any more");
        } else {
            tracing::warn!(
                level,
                lag_ms,
                "the node is late, less important work is put off"
            );
        }
    }

    /// The level everybody should hear of now.
    fn to_tell(&self, level: Level) -> Option<Level> {
        let (told, at) = self.told;
        let is_time = at.is_none_or(|at| at.elapsed() >= NOTICE_PAUSE);
        (level != told && is_time).then_some(level)
    }
}

impl Shard {
    /// Finds how far work is put off, and has everybody told when that has changed.
    pub(super) fn steer(&self) {
        let mut steering = self.steering.borrow_mut();
        steering.look(&self.services.load);
        let Some(level) = steering.to_tell(self.services.load.level()) else {
            return;
        };
        let notice = Bytes::from(Service::at(level).to_push());
        // With a full queue somewhere, the next look tries again.
        let given = self
            .shards
            .give_all(None, || ShardInput::Status(notice.clone()));
        if given.is_ok() {
            steering.told = (level, Some(Instant::now()));
        }
    }

    /// What somebody who connects now is told, when service is reduced.
    pub(super) fn present_notice(&self) -> Option<Bytes> {
        let level = self.services.load.level();
        (level > Level::NORMAL).then(|| Service::at(level).to_push().into())
    }

    /// Tells everybody here, some at a time. A newer notice overtakes.
    pub(super) fn tell_status(self: &Rc<Self>, notice: Bytes) {
        let nth = self.notices.get().wrapping_add(1);
        self.notices.set(nth);
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let keys: Vec<_> = shard.core.borrow().connections.keys().collect();
            for some in keys.chunks(TOLD_AT_ONCE) {
                for key in some {
                    shard.happen(*key, Event::Message(notice.clone()));
                }
                tokio::task::yield_now().await;
                if shard.notices.get() != nth {
                    return;
                }
            }
        });
    }
}
