//! What writes a ledger goes to the node that the ledger prefers, over the bus.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::bus::{AskError, Asks, NodeId, Question, kind};
use crate::domain::routing::{Elsewhere, Errand, Outcome, Unanswered};
use crate::ledger::LedgerId;
use crate::telemetry::{Count, Meters, catalogue};

/// How long the other node has: a commit on a cluster takes some tens of milliseconds, and a second when it is very busy. Who does not
/// answer in this time is suspect and not asked again, so that a node that froze costs each caller this once.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A node that could not do what it was asked for (it is of another version, busy, or cut off from the store) is not asked for so long.
const PAUSE: Duration = Duration::from_secs(5);

/// See the file.
pub(super) struct Routes {
    asks: Asks,
    /// Nodes not to be asked until then. As many as there are nodes that failed, and forgotten as they are found over.
    pauses: Mutex<HashMap<NodeId, Instant>>,
    is_on: bool,
    counts: [[Count; 3]; 2],
}

impl Routes {
    /// Over these questions; off, everything is done where it comes in.
    pub(super) fn new(asks: Asks, is_on: bool, meters: &Meters) -> Self {
        let counts = ["operation", "publication"].map(|errand| {
            let outcomes = ["done", "refused", "taken_back"];
            outcomes.map(|outcome| meters.counter(catalogue::CLUSTER_ROUTED, &[errand, outcome]))
        });
        Self {
            asks,
            pauses: Mutex::default(),
            is_on,
            counts,
        }
    }

    /// The other node that a ledger's writes prefer, if it can be asked.
    fn node(&self, ledger: &LedgerId) -> Option<NodeId> {
        let members = self.asks.members();
        if !self.is_on || !members.is_up() {
            return None;
        }
        let node = members.read(|members| {
            let node = members.preferred(ledger);
            (node != self.asks.own() && !members.is_suspect(node)).then_some(node)
        })?;
        (!self.pauses(node)).then_some(node)
    }

    /// Leaves a node alone for a while.
    fn pause(&self, node: NodeId) {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.insert(node, Instant::now() + PAUSE);
    }

    fn pauses(&self, node: NodeId) -> bool {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = pauses.get(&node) else {
            return false;
        };
        let pauses_still = *until > Instant::now();
        if !pauses_still {
            pauses.remove(&node);
        }
        pauses_still
    }
}

#[async_trait]
impl Elsewhere for Routes {
    fn is_preferred(&self, ledger: &LedgerId) -> bool {
        self.node(ledger).is_some()
    }

    async fn ask(
        &self,
        ledger: &LedgerId,
        errand: Errand,
        body: Bytes,
    ) -> Result<Bytes, Unanswered> {
        let node = self.node(ledger).ok_or(Unanswered)?;
        let kind = match errand {
            Errand::Operation => kind::OPERATION,
            Errand::Publication => kind::STREAMED,
        };
        let question = Question { kind, body };
        let answered = self.asks.ask(node, question, ANSWER_MAX).await;
        answered.map_err(|error| {
            // What is too large for a question says nothing of the node.
            if !matches!(error, AskError::TooLarge) {
                self.pause(node);
            }
            Unanswered
        })
    }

    fn note(&self, ledger: &LedgerId, errand: Errand, outcome: Outcome) {
        if outcome == Outcome::Unable
            && let Some(node) = self.node(ledger)
        {
            self.pause(node);
        }
        let counts = match errand {
            Errand::Operation => &self.counts[0],
            Errand::Publication => &self.counts[1],
        };
        let count = match outcome {
            Outcome::Done => &counts[0],
            Outcome::Refused => &counts[1],
            Outcome::TakenBack | Outcome::Unable => &counts[2],
        };
        count.add(1);
    }
}
