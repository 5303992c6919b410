//! Delivers the outbox of a ledger to other ledgers: at least once, in effect exactly once.
//!
//! An item stands as pending in the store from the moment its commit is durable until its end is
//! noted. It is delivered as a call with the idempotency key `(source, seq, n)`, so a delivery
//! that is repeated (the answer was lost, the server was killed before the end was noted) finds
//! its own commit and does nothing. Items of one source to one ledger are delivered in order;
//! a ledger that cannot take its items holds up nobody but itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;

use super::actor::{Context, Message};
use super::{Actor, Call, CallError, IdempotencyKey, LedgerId, Ledgers, OutboxItem, State};
use crate::store::{OutboxEnd, OutboxKey, Store, StoreError};

/// Items read at once.
const PAGE: usize = 64;

/// First and longest pause before undeliverable items are tried again.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(30);

/// Starts the delivery of what waits in a ledger's outbox, unless it is under way.
pub(super) fn start<S: State>(context: &Context<S>) {
    if !context.courier.begin() {
        return;
    }
    let (ledgers, source) = (context.ledgers.clone(), context.ledger.clone());
    let courier = context.courier.clone();
    tokio::task::spawn_local(async move {
        let mut pause = PAUSE_FIRST;
        while courier.again() && !ledgers.is_closed() {
            let delivered = deliver_all(&ledgers, &source).await;
            if let Ok(staying) = &delivered {
                let now_ms = ledgers.inner().clock.now_ms();
                let counts = &ledgers.inner().counts;
                counts.found_waiting(&source, *staying, now_ms);
            }
            match delivered {
                Ok(0) => pause = PAUSE_FIRST,
                _ => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LAST);
                    courier.ask();
                }
            }
        }
        courier.end();
    });
}

/// Whether the courier of a ledger is under way, and whether it was asked to look again.
#[derive(Debug, Default, Clone)]
pub(super) struct Courier(std::rc::Rc<std::cell::Cell<Asked>>);

#[derive(Debug, Default, Clone, Copy)]
struct Asked {
    running: bool,
    again: bool,
}

impl Courier {
    /// Notes that there is work; true if a task must be started for it.
    fn begin(&self) -> bool {
        let before = self.0.replace(Asked {
            running: true,
            again: true,
        });
        !before.running
    }

    fn ask(&self) {
        self.0.set(Asked {
            again: true,
            ..self.0.get()
        });
    }

    fn again(&self) -> bool {
        let before = self.0.replace(Asked {
            again: false,
            ..self.0.get()
        });
        before.again
    }

    fn end(&self) {
        self.0.set(Asked::default());
    }
}

/// Tries every pending item once; says how many stay.
async fn deliver_all<S: State>(
    ledgers: &Ledgers<S>,
    source: &LedgerId,
) -> Result<usize, CallError> {
    let (store, counts) = (ledgers.store(), &ledgers.inner().counts);
    let mut after: Option<OutboxKey> = None;
    let mut held_up = HashSet::new();
    let mut staying = 0;
    loop {
        let page = store
            .outbox_pending(Some(source), after.as_ref(), PAGE)
            .await?;
        let Some(last) = page.last() else {
            return Ok(staying);
        };
        after = Some(last.clone());
        for key in page {
            let Sent {
                item,
                actor,
                time_ms,
            } = match read_item(&**store, &key).await {
                Ok(sent) => sent,
                // It is never readable again, and those behind it must not wait for that.
                Err(StoreError::Damaged(_)) => {
                    tracing::error!(ledger = %key.source, seq = key.seq, n = key.n,
                        "outbox item cannot be read; set aside");
                    match store.outbox_done(&key, OutboxEnd::Refused).await {
                        Ok(()) => counts.ended(&key, OutboxEnd::Refused),
                        Err(_) => staying += 1,
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if staying == 0 {
                counts.oldest(source, time_ms);
            }
            if held_up.contains(&item.to) {
                staying += 1;
                continue;
            }
            match deliver(ledgers, &key, &item, actor).await {
                Some(end) => {
                    store.outbox_done(&key, end).await?;
                    counts.ended(&key, end);
                }
                None => {
                    counts.failed.add(1);
                    held_up.insert(item.to);
                    staying += 1;
                }
            }
        }
    }
}

/// An item with who sent it and when.
struct Sent {
    item: OutboxItem,
    actor: Actor,
    time_ms: u64,
}

async fn read_item(store: &dyn Store, key: &OutboxKey) -> Result<Sent, StoreError> {
    let page = store.commits_since(&key.source, key.seq - 1, 1).await?;
    let commit = page
        .first()
        .map(|sealed| &sealed.commit)
        .filter(|c| c.seq == key.seq);
    let sent = commit.and_then(|c| {
        Some(Sent {
            item: c.outbox.get(key.n as usize)?.clone(),
            actor: c.actor.clone(),
            time_ms: c.time_ms,
        })
    });
    sent.ok_or_else(|| super::base::missing_commit(&key.source, key.seq))
}

/// One delivery: how it ended, or `None` when it must be tried again.
async fn deliver<S: State>(
    ledgers: &Ledgers<S>,
    key: &OutboxKey,
    item: &OutboxItem,
    actor: Actor,
) -> Option<OutboxEnd> {
    let inbox = &ledgers.inner().inbox;
    let Some(job) = inbox.job(&key.source, &item.operation, &item.input) else {
        tracing::error!(ledger = %key.source, seq = key.seq, n = key.n, operation = %item.operation,
            "outbox item names an operation that does not exist; set aside");
        return Some(OutboxEnd::Refused);
    };
    let call = Call {
        job,
        actor: Actor {
            door: "outbox".into(),
            ..actor
        },
        operation: Arc::clone(&item.operation),
        idempotency: Some(IdempotencyKey::of_outbox(&key.source, key.seq, key.n, item)),
        arrived_us: 0,
        leaves_free_percent: 0,
    };
    match ledgers.call(&item.to, call).await {
        Ok(_) => Some(OutboxEnd::Done),
        Err(CallError::Refused(refusal)) if !refusal.temporary => {
            tracing::warn!(ledger = %key.source, seq = key.seq, n = key.n, code = refusal.code,
                reason = refusal.key, "outbox item was refused; set aside");
            Some(OutboxEnd::Refused)
        }
        Err(CallError::Unwritable(_) | CallError::IdempotencyConflict) => Some(OutboxEnd::Refused),
        Err(_) => None,
    }
}

impl<S: State> Ledgers<S> {
    /// Resumes the delivery of every outbox item that waits in the store. To be called once after
    /// start and before anybody calls; later items are delivered by the ledgers that made them.
    ///
    /// # Errors
    /// When the store fails; nothing is lost by calling it again.
    pub async fn resume_outboxes(&self) -> Result<usize, CallError> {
        self.look_after_outboxes(&|_| true).await
    }

    /// Resumes the delivery of what waits in the outboxes of these ledgers, whichever node left it there. One that delivers them at the
    /// same time does no harm: they have their effect once.
    ///
    /// # Errors
    /// When the store fails; nothing is lost by calling it again.
    pub async fn look_after_outboxes(
        &self,
        is_ours: &(dyn Fn(&LedgerId) -> bool + Sync),
    ) -> Result<usize, CallError> {
        let mut after: Option<OutboxKey> = None;
        let mut waiting = BTreeMap::<LedgerId, usize>::new();
        loop {
            let page = self
                .store()
                .outbox_pending(None, after.as_ref(), PAGE)
                .await?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            for key in page.into_iter().filter(|key| is_ours(&key.source)) {
                *waiting.entry(key.source).or_default() += 1;
            }
        }
        let mut refused = None;
        for (source, items) in &waiting {
            // Until its courier has read it, nobody knows how old it is.
            let now_ms = self.inner().clock.now_ms();
            self.inner().counts.found_waiting(source, *items, now_ms);
            // One that has too much to do holds up no other.
            refused = self.send(source, Message::Outbox).err().or(refused);
        }
        refused.map_or(Ok(waiting.len()), Err)
    }
}
