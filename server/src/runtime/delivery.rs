//! Commits on their way to subscribers, and changed rights in front of them.
//!
//! A commit that changes what somebody may see carries what they see from it on. Each shard gives that to
//! the sessions concerned before it hands on the commit's entries, so rights and content stand in the one
//! order of the ledger, and nobody sees an entry past the moment they lost the right to it.

use std::rc::Rc;
use std::sync::Arc;

use super::shard::Shard;
use super::streams;
use crate::hub;
use crate::ledger::Delivery;
use crate::people::Change;

impl Shard {
    pub(super) fn deliver(self: &Rc<Self>, delivery: &Arc<Delivery<Change>>) {
        for Change::Entitlements { subject, word } in &delivery.changes {
            self.hear(&delivery.commit.ledger, subject, word);
        }
        self.turn_day();
        self.publish_entries(delivery);
    }

    fn publish_entries(&self, delivery: &Delivery<Change>) {
        let now = self.now_ms();
        let core = &mut *self.core.borrow_mut();
        for (channel, offset, entry) in delivery.publications() {
            if self.index == 0 {
                core.tally.heard(hub::Kind::Publication, channel);
            }
            if core.hub.subscriber_count(channel) == 0 {
                continue;
            }
            let options = self.services.session.namespaces.options(channel);
            let stored = &entry.content;
            let publication = Arc::new(hub::Publication {
                channel: channel.clone(),
                offset,
                epoch: delivery.commit.epoch.clone(),
                content: streams::content(stored),
                info: stored
                    .publisher
                    .as_ref()
                    .map(|it| Arc::new(streams::info(it))),
                time_ms: stored.time_ms,
                delta: options.is_some_and(|options| options.delta_publish),
                arrived_us: delivery.arrived_us,
            });
            core.hub.publish(&publication, now);
        }
    }
}
