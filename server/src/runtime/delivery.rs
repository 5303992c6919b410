//! Commits on their way to subscribers, and changed rights on their way in front of them.
//!
//! When a commit changes what a person with an open connection here may see, that commit and all
//! later ones of its ledger wait on this shard until the ledger has told the new entitlements and
//! the session has acted on them. So nobody sees an entry past the moment they lost the right to
//! it. The ledger's answer comes through the same queue as its commits; what can wait is bounded
//! by what can lie before the question in the ledger's own mailbox.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use klokke_protocol::DisconnectCode;

use super::entering::{self, Looked, Whose};
use super::shard::Shard;
use super::streams;
use crate::hub;
use crate::ledger::{Delivery, LedgerId, ShardAnswer};
use crate::people::Change;

/// What waits for changed rights of one ledger.
#[derive(Default)]
pub(super) struct Hold {
    /// Questions that are not answered yet.
    pub(super) questions: usize,
    deliveries: VecDeque<Arc<Delivery<Change>>>,
}

impl Shard {
    pub(super) fn deliver(self: &Rc<Self>, delivery: &Arc<Delivery<Change>>) {
        let ledger = &delivery.commit.ledger;
        let affected = self.affected(delivery);
        if !affected.is_empty() {
            self.reassess(ledger, affected);
        }
        let held = {
            let mut core = self.core.borrow_mut();
            match core.holds.get_mut(ledger) {
                Some(hold) => {
                    hold.deliveries.push_back(Arc::clone(delivery));
                    true
                }
                None => false,
            }
        };
        if !held {
            self.publish_entries(delivery);
        }
    }

    fn affected(&self, delivery: &Delivery<Change>) -> Vec<Whose> {
        let core = self.core.borrow();
        let changed = delivery.changes.iter();
        let keys =
            changed.flat_map(|Change::Entitlements(subject)| core.connections.of_subject(subject));
        keys.filter_map(|key| Whose::of(&core.connections, *key))
            .collect()
    }

    /// Asks the ledger for entitlements and holds its entries back until they are applied.
    pub(super) fn reassess(self: &Rc<Self>, ledger: &LedgerId, whose: Vec<Whose>) {
        let keys: Vec<_> = whose.iter().map(|it| it.key).collect();
        if entering::look(self, ledger, whose, entering::Purpose::Change).is_ok() {
            let mut core = self.core.borrow_mut();
            core.holds.entry(ledger.clone()).or_default().questions += 1;
            return;
        }
        // What they may see now cannot be known: nothing is safe, coming again is.
        for key in keys {
            self.cut_off(key, DisconnectCode::INSUFFICIENT_STATE);
        }
    }

    pub(super) fn ledger_answered(self: &Rc<Self>, answer: ShardAnswer) {
        let Ok(looked) = answer.downcast::<Looked>() else {
            tracing::error!("a ledger's answer is of no kind this shard asks for");
            return;
        };
        let ledger = looked.ledger.clone();
        let holds = looked.purpose == entering::Purpose::Change;
        self.apply(looked);
        if holds {
            self.release(&ledger);
        }
    }

    /// Lets go what waited for one question, if it was the last.
    fn release(self: &Rc<Self>, ledger: &LedgerId) {
        let done = {
            let mut core = self.core.borrow_mut();
            let Some(hold) = core.holds.get_mut(ledger) else {
                return;
            };
            hold.questions = hold.questions.saturating_sub(1);
            if hold.questions > 0 {
                return;
            }
            core.holds.remove(ledger)
        };
        for delivery in done.into_iter().flat_map(|hold| hold.deliveries) {
            self.publish_entries(&delivery);
        }
    }

    fn publish_entries(&self, delivery: &Delivery<Change>) {
        let now = self.now_ms();
        let core = &mut *self.core.borrow_mut();
        for (channel, offset, entry) in delivery.publications() {
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
            });
            core.hub.publish(&publication, now);
        }
    }
}
