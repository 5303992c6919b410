//! What this node knows of each ledger, and how it is brought up to date.
//!
//! The head is looked for from what is known, bucket by bucket, at SERIAL, which finishes any lightweight transaction under
//! way. Whoever finds commits past the checkpoint writes their derived rows before answering anything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hashbrown::HashMap;
use klokke_protocol::Epoch;

use super::rows::{
    AnchorValue, HeadValue, LEDGER_PARTS, NumberValue, StateValue, big, open_some, part, text,
    unsigned,
};
use super::session::Swapped;
use super::{Inner, commit, rows};
use crate::ledger::{CommitHash, LedgerId};
use crate::store::fault::{at, derived};
use crate::store::rows::{Kind, open};
use crate::store::{Anchor, Head, StoreError, keys};

/// Ledgers known at once. A country has some six thousand; beyond this the ones not in use are forgotten.
const KNOWN_MAX: usize = 65_536;

/// One ledger on this node.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Held by whoever writes, or brings it up to date.
    pub(super) known: tokio::sync::Mutex<Known>,
    /// Whether everything that was acknowledged, or read, is derived.
    pub(super) is_ready: AtomicBool,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Whether the checkpoint was read.
    pub(super) is_open: bool,
    /// The head as last seen; `seq` 0 before the first commit.
    pub(super) head: Head,
    /// What the bucket of the next commit has as its head.
    pub(super) expected: Option<Bytes>,
    /// Up to where derived rows are written.
    pub(super) applied: u64,
    pub(super) anchor: Anchor,
    /// Whether something that expects `expected` may still be on its way.
    pub(super) is_doubtful: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            is_open: false,
            head: Head {
                seq: 0,
                hash: CommitHash::GENESIS,
                epoch: Epoch::from(""),
            },
            expected: None,
            applied: 0,
            anchor: Anchor::NONE,
            is_doubtful: false,
        }
    }
}

impl Known {
    /// The head, of a ledger that has commits.
    pub(super) fn head(&self) -> Option<&Head> {
        (self.head.seq > 0).then_some(&self.head)
    }
}

/// All ledgers known here.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<HashMap<LedgerId, Arc<Slot>>>);

impl Slots {
    pub(super) fn of(&self, ledger: &LedgerId) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(ledger) {
            return Arc::clone(slot);
        }
        if slots.len() >= KNOWN_MAX {
            // Whoever holds one goes on with it. One that is in doubt must not be forgotten.
            slots.retain(|_, slot| {
                Arc::strong_count(slot) > 1 || !slot.is_ready.load(Ordering::Acquire)
            });
        }
        let slot = Arc::<Slot>::default();
        slots.insert(ledger.clone(), Arc::clone(&slot));
        slot
    }
}

/// What the list of ledgers says of one.
pub(super) struct Checkpoint {
    pub(super) head: Option<Head>,
    pub(super) anchor: Anchor,
    /// Commits up to here no longer have an idempotency key remembered, if they are old enough.
    pub(super) forgot_to: u64,
}

impl Inner {
    /// Makes sure that what this node has acknowledged or read of a ledger is derived. Without I/O once it is.
    pub(super) async fn ready(&self, ledger: &LedgerId) -> Result<Arc<Slot>, StoreError> {
        let slot = self.slots.of(ledger);
        if !slot.is_ready.load(Ordering::Acquire) {
            let mut known = slot.known.lock().await;
            if !slot.is_ready.load(Ordering::Acquire) {
                // Seldom, so it need not make every read's future larger.
                Box::pin(self.settle(ledger, &slot, &mut known)).await?;
            }
        }
        Ok(slot)
    }

    /// Finds out where the ledger stands and derives what is not derived.
    pub(super) async fn settle(
        &self,
        ledger: &LedgerId,
        slot: &Slot,
        known: &mut Known,
    ) -> Result<(), StoreError> {
        slot.is_ready.store(false, Ordering::Release);
        if known.is_doubtful {
            self.fence(ledger, known).await?;
        }
        if !known.is_open {
            self.read_checkpoint(ledger, known).await?;
            known.is_open = true;
        }
        self.walk(ledger, known).await?;
        if known.applied < known.head.seq {
            // Somebody else may have derived it meanwhile.
            self.read_checkpoint(ledger, known).await?;
        }
        if known.applied < known.head.seq {
            self.replay(ledger, known).await?;
        }
        slot.is_ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes sure that nothing that expects the head as known is written from now on, whatever still travels.
    async fn fence(&self, ledger: &LedgerId, known: &mut Known) -> Result<(), StoreError> {
        let bucket = self.bucket(known.head.seq + 1);
        let turn = match &known.expected {
            None => 0,
            Some(row) => self.read_head(ledger, bucket, row)?.1,
        };
        let fenced = HeadValue::new(&known.head, turn + 1);
        let row = commit::head_row(ledger, bucket, &fenced);
        match self.fence_with(ledger, bucket, &row, known).await {
            Swapped::Done => known.expected = Some(row.into()),
            // The head moved on, or another node has fenced: what was expected is there no more, and never again, since
            // heads and turns only grow.
            Swapped::Not => {}
            Swapped::NotBegun(error) => return Err(error),
            Swapped::Unclear(why) => {
                let what = format!("whether the last commit was written is not known yet: {why}");
                return Err(StoreError::Unavailable(what.into()));
            }
        }
        known.is_doubtful = false;
        Ok(())
    }

    /// Goes from the head that is known to the one there is.
    async fn walk(&self, ledger: &LedgerId, known: &mut Known) -> Result<(), StoreError> {
        loop {
            let bucket = self.bucket(known.head.seq + 1);
            known.expected = self.bucket_head(ledger, bucket).await?;
            let Some(row) = &known.expected else {
                return Ok(());
            };
            let (head, _) = self.read_head(ledger, bucket, row)?;
            if head.seq < known.head.seq {
                return Err(at(ledger, head.seq + 1, "acknowledged commits are missing"));
            }
            if head.seq == known.head.seq {
                if head.hash != known.head.hash {
                    return Err(at(ledger, head.seq, "the history has two branches"));
                }
                return Ok(());
            }
            known.head = head;
            if self.bucket(known.head.seq + 1) == bucket {
                return Ok(());
            }
        }
    }

    async fn bucket_head(
        &self,
        ledger: &LedgerId,
        bucket: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        let statement = &self.cql.statements.bucket_head;
        let rows = self
            .cql
            .read(statement, (ledger.as_str(), big(bucket)))
            .await?;
        let row = rows.maybe_first_row::<(&str, i64, Option<Bytes>)>();
        let row = row.map_err(|_| at(ledger, bucket, "the head of a bucket has another shape"))?;
        Ok(row.and_then(|(_, _, head)| head))
    }

    /// What the head of a bucket says, with its turn.
    fn read_head(
        &self,
        ledger: &LedgerId,
        bucket: u64,
        row: &[u8],
    ) -> Result<(Head, u64), StoreError> {
        let key = keys::commit(ledger, bucket);
        let seq = self.first_of(bucket);
        let value: HeadValue =
            open(Kind::CommitHead, &key, row).map_err(|what| at(ledger, seq, what))?;
        let head = value.head().map_err(|what| at(ledger, seq, what))?;
        Ok((head, value.turn))
    }

    async fn read_checkpoint(
        &self,
        ledger: &LedgerId,
        known: &mut Known,
    ) -> Result<(), StoreError> {
        let checkpoint = self.checkpoint(ledger).await?;
        known.anchor = checkpoint.anchor;
        let Some(head) = checkpoint.head else {
            return Ok(());
        };
        known.applied = known.applied.max(head.seq);
        if head.seq > known.head.seq {
            known.head = head;
        }
        Ok(())
    }

    /// Reads what the list of ledgers says of one.
    pub(super) async fn checkpoint(&self, ledger: &LedgerId) -> Result<Checkpoint, StoreError> {
        let statement = &self.cql.statements.ledger;
        let place = (part(ledger.as_str(), LEDGER_PARTS), ledger.as_str());
        let rows = self.cql.read(statement, place).await?;
        type Columns = (Option<Bytes>, Option<Bytes>, Option<Bytes>, Option<i64>);
        let row = rows.maybe_first_row::<Columns>();
        let row = row.map_err(|_| derived(ledger, "the ledger's row has another shape"))?;
        let (state, anchor, forgotten, forgot_to) = row.unwrap_or_default();
        let key = keys::ledger(ledger);
        let wrong = |what: &'static str| derived(ledger, what);
        let state: Option<StateValue> = open_some(Kind::State, &key, state).map_err(wrong)?;
        let anchor: Option<AnchorValue> = open_some(Kind::Anchor, &key, anchor).map_err(wrong)?;
        let forgotten: Option<NumberValue> =
            open_some(Kind::Forgotten, &key, forgotten).map_err(wrong)?;
        let (seq, hash) = match anchor {
            Some(anchor) => anchor.read().map_err(wrong)?,
            None => (0, CommitHash::GENESIS),
        };
        Ok(Checkpoint {
            head: state.map(|state| state.head()).transpose().map_err(wrong)?,
            anchor: Anchor {
                seq,
                hash,
                forgotten_before_ms: forgotten.map_or(0, |value| value.number),
            },
            forgot_to: unsigned(forgot_to.unwrap_or(0)),
        })
    }

    async fn fence_with(
        &self,
        ledger: &LedgerId,
        bucket: u64,
        row: &[u8],
        known: &Known,
    ) -> Swapped {
        let expected = known.expected.as_ref();
        let values = vec![
            Some(scylla::value::CqlValue::Blob(row.to_vec())),
            Some(text(ledger.as_str())),
            Some(rows::number(bucket)),
            expected.map(|row| scylla::value::CqlValue::Blob(row.to_vec())),
        ];
        let ended = self.cql.swap(&self.cql.statements.fence, values).await;
        self.counts.swapped(&ended);
        ended
    }
}
