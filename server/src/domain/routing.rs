//! The way of what writes a ledger to the node that writes it: a preference, never a right.
//!
//! Two busy nodes that write one ledger meet conflicts; so what writes goes to the node that the ledger prefers, and only there. When that
//! node cannot be asked, or says nothing in time, it is done here, under the same idempotency key: whichever was first counts, and it
//! happens once. What was sent elsewhere earlier is done before what is done here; where the preferred node changes, from here or from another one,
//! what was asked for within that moment may change its order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::Notify;

use crate::ledger::{LedgerId, Ledgers, State};

/// How long what is done here waits for what was sent elsewhere before: as long as an answer from there and its repetition here may take.
const EARLIER_MAX: Duration = Duration::from_secs(5);

/// How long a caller waits, when it was done elsewhere, until this node knows it too. It comes over the bus in a millisecond, as a rule.
const KNOWN_HERE_MAX: Duration = Duration::from_millis(500);

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// An operation.
    Operation,
    /// A publication to a channel with history.
    Publication,
}

/// There is no answer. Whether it was done is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node that writes the ledger did not answer")]
pub struct Unanswered;

/// What an answer came to, for the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done there.
    Done,
    /// It was refused there, and that stands.
    Refused,
    /// There was no answer, and it was done here.
    TakenBack,
    /// The other node answered that it cannot, and it was done here.
    Unable,
}

/// The other nodes, as far as ledgers prefer them.
#[async_trait]
pub trait Elsewhere: Send + Sync + 'static {
    /// Whether a ledger's writes prefer another node, and that one can be asked.
    fn is_preferred(&self, ledger: &LedgerId) -> bool;

    /// Sends an errand there, and gives the answer. Must send before it first waits, so that errands go in the order of asking.
    async fn ask(
        &self,
        ledger: &LedgerId,
        errand: Errand,
        body: Bytes,
    ) -> Result<Bytes, Unanswered>;

    /// An errand ended.
    fn note(&self, ledger: &LedgerId, errand: Errand, outcome: Outcome);
}

/// A node that has no others.
struct Alone;

#[async_trait]
impl Elsewhere for Alone {
    fn is_preferred(&self, _: &LedgerId) -> bool {
        false
    }

    async fn ask(&self, _: &LedgerId, _: Errand, _: Bytes) -> Result<Bytes, Unanswered> {
        Err(Unanswered)
    }

    fn note(&self, _: &LedgerId, _: Errand, _: Outcome) {}
}

/// See the file. Cheap to clone.
#[derive(Clone)]
pub struct Routing(Arc<Inner>);

struct Inner {
    elsewhere: Box<dyn Elsewhere>,
    /// How much is under way: most nodes have nothing, and none that is alone; then nobody waits for a lock.
    under_way: AtomicUsize,
    /// What is under way, by ledger.
    away: Mutex<HashMap<LedgerId, Away>>,
}

#[derive(Default)]
struct Away {
    count: usize,
    ended: Arc<Notify>,
}

impl Default for Routing {
    fn default() -> Self {
        Self::to(Alone)
    }
}

impl Routing {
    /// To these other nodes.
    #[must_use]
    pub fn to(elsewhere: impl Elsewhere) -> Self {
        Self(Arc::new(Inner {
            elsewhere: Box::new(elsewhere),
            under_way: AtomicUsize::new(0),
            away: Mutex::default(),
        }))
    }

    /// The way of something that writes a ledger; nothing when it is to be done here, now. Does not wait when it is to be sent.
    pub async fn way(&self, ledger: &LedgerId) -> Option<Way> {
        if self.0.elsewhere.is_preferred(ledger) {
            return Some(self.leave(ledger));
        }
        if self.0.under_way.load(Ordering::SeqCst) == 0 {
            return None;
        }
        // The ledger came to this node a moment ago; what was sent away before goes first.
        let settled = async {
            while let Some(ended) = self.earlier(ledger) {
                let ended = ended.notified();
                // Looked at once more after it listens, so that the end is not missed.
                if self.earlier(ledger).is_none() {
                    return;
                }
                ended.await;
            }
        };
        // Then nobody can say what was first.
        let _ = tokio::time::timeout(EARLIER_MAX, settled).await;
        None
    }

    fn leave(&self, ledger: &LedgerId) -> Way {
        self.0.under_way.fetch_add(1, Ordering::SeqCst);
        let mut away = self.0.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.entry(ledger.clone()).or_default().count += 1;
        Way {
            routing: self.clone(),
            ledger: ledger.clone(),
        }
    }

    fn earlier(&self, ledger: &LedgerId) -> Option<Arc<Notify>> {
        let away = self.0.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.get(ledger).map(|it| Arc::clone(&it.ended))
    }
}

/// Something on its way to another node, until it has ended, there or here.
pub struct Way {
    routing: Routing,
    ledger: LedgerId,
}

impl Way {
    /// Sends an errand, and gives the answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ask(&self, errand: Errand, body: Bytes) -> Result<Bytes, Unanswered> {
        let elsewhere = &self.routing.0.elsewhere;
        elsewhere.ask(&self.ledger, errand, body).await
    }

    /// Notes how it ended.
    pub fn note(&self, errand: Errand, outcome: Outcome) {
        let elsewhere = &self.routing.0.elsewhere;
        elsewhere.note(&self.ledger, errand, outcome);
    }

    /// Waits until this node knows what was done elsewhere, so that its caller reads what it wrote.
    pub async fn known_here<S: State>(&self, ledgers: &Ledgers<S>, seq: u64) {
        if seq > 0 {
            // Later it is found as everything is that other nodes write.
            let _ = tokio::time::timeout(KNOWN_HERE_MAX, ledgers.reach(&self.ledger, seq)).await;
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.routing.0.under_way.fetch_sub(1, Ordering::SeqCst);
        let mut away = self
            .routing
            .0
            .away
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(under_way) = away.get_mut(&self.ledger) else {
            return;
        };
        under_way.count -= 1;
        if under_way.count == 0 {
            under_way.ended.notify_waiters();
            away.remove(&self.ledger);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    struct Sometimes(Arc<AtomicBool>);

    #[async_trait]
    impl Elsewhere for Sometimes {
        fn is_preferred(&self, _: &LedgerId) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        async fn ask(&self, _: &LedgerId, _: Errand, body: Bytes) -> Result<Bytes, Unanswered> {
            Ok(body)
        }

        fn note(&self, _: &LedgerId, _: Errand, _: Outcome) {}
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_waits_for_what_was_sent_before() {
        let is_away = Arc::new(AtomicBool::new(true));
        let routing = Routing::to(Sometimes(Arc::clone(&is_away)));
        let ledger = LedgerId::parse("G1").expect("valid");
        let other = LedgerId::parse("G2").expect("valid");
        let first = routing.way(&ledger).await.expect("it is sent");
        let second = routing.way(&ledger).await.expect("it is sent");
        is_away.store(false, Ordering::Relaxed);
        assert!(routing.way(&other).await.is_none(), "nothing of it is away");
        let mut stays = Box::pin(routing.way(&ledger));
        let short = Duration::from_millis(1);
        assert!(tokio::time::timeout(short, &mut stays).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(short, &mut stays).await.is_err());
        drop(second);
        let now = tokio::time::timeout(short, stays).await;
        assert!(now.expect("nothing is away any more").is_none());
        let _third = routing.leave(&ledger);
        let begun = tokio::time::Instant::now();
        assert!(routing.way(&ledger).await.is_none());
        assert!(begun.elapsed() >= EARLIER_MAX, "not for ever");
    }
}
