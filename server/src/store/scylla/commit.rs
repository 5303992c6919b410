//! How a batch becomes durable, and how a write whose answer was lost is settled.
//!
//! # Why no commit can be written beside or into another
//!
//! A batch is one row of the bucket (partition) that its first sequence number lies in. Each bucket has one static cell,
//! its *head*: where the ledger stood after the bucket's last batch. The row is written together with the new head by one
//! lightweight transaction that demands the old one:
//!
//! ```text
//! UPDATE commits SET head = NEW, last = …, data = … WHERE ledger = … AND bucket = … AND first = N + 1 IF head = OLD
//! ```
//!
//! - `OLD` is the head N that the batch follows, with its hash; in a bucket without a row it is null. So of all who want to
//!   write after N one wins, and the others find another head.
//! - Nobody can write after a number in the middle of a batch: the head never was that number.
//! - The row's absence is *not* what is compared. Retention removes rows, and a node that slept through that would find
//!   the place behind its old head free. Heads stay: retention leaves them, one small cell a bucket.
//! - A batch lies in one bucket, whatever its end. The next one goes into the bucket of *its* first number, which is the
//!   same for everybody who knows the head. A bucket that a long batch has jumped over is never written.
//!
//! # An answer that is lost
//!
//! A transaction that timed out may have been done, may not, and *may yet be*: a coordinator goes on trying after its
//! client has given up. Reading back alone would be a guess. So first the head is changed to itself with a higher *turn*, by
//! a transaction that demands the same old head. If that is done, the lost one is not and never will be, for what it demands
//! is gone for good. If it is not done, the head has moved, and the row behind the old one says by whom. Until one
//! of the two is known, the ledger answers nothing on this node and the caller gets [`CommitError::Unknown`].
//!
//! # Durable, but not derived
//!
//! When rows derived from a durable batch cannot be written, the answer is `Unknown` too: the batch is there, but a read
//! would not see it. The caller reads the head, and that first derives what is missing.

use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use scylla::value::CqlValue;

use super::Inner;
use super::known::{Known, Slot};
use super::rows::{HeadValue, join, number, text};
use super::session::Swapped;
use crate::ledger::LedgerId;
use crate::store::rows::{Kind, seal};
use crate::store::{Batch, CommitError, Head, StoreError, keys};

/// Largest batch. The ledger's rounds end at 1 MiB, and one commit of 4 MiB may come on top; both databases take
/// mutations of up to half a segment of their log, which is 16 MiB unless set lower.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// How often a batch is tried, each time after it was proved that it is not there.
const TRIES_MAX: usize = 3;

/// The head of a bucket as it is stored.
pub(super) fn head_row(ledger: &LedgerId, bucket: u64, value: &HeadValue) -> Vec<u8> {
    seal(Kind::CommitHead, &keys::commit(ledger, bucket), value)
}

impl Inner {
    pub(super) async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let slot = self.slots.of(&batch.ledger);
        let mut known = slot.known.lock().await;
        if !slot.is_ready.load(Ordering::Acquire) {
            self.settle(&batch.ledger, &slot, &mut known).await?;
        }
        if known.head.seq != batch.expected_seq {
            // What is known may be old.
            self.settle(&batch.ledger, &slot, &mut known).await?;
        }
        batch.check(known.head())?;
        let data = join(&batch.commits);
        if data.len() > BATCH_BYTES_MAX {
            return Err(CommitError::Malformed("a batch has at most 8 MiB"));
        }
        let began = Instant::now();
        let data = Bytes::from(data);
        self.write_batch(&slot, &mut known, &batch, &data).await?;
        self.counts.wrote(batch.commits.len(), began.elapsed());
        Ok(())
    }

    /// Tries until the batch is there, or is certainly not.
    async fn write_batch(
        &self,
        slot: &Slot,
        known: &mut Known,
        batch: &Batch,
        data: &Bytes,
    ) -> Result<(), CommitError> {
        let conflict = |found| CommitError::Conflict {
            expected: batch.expected_seq,
            found,
        };
        let mut was_unclear = false;
        for _ in 0..TRIES_MAX {
            // Also for when this call is dropped in the middle.
            slot.is_ready.store(false, Ordering::Release);
            known.is_doubtful = true;
            let (swapped, row) = self.swap(known, batch, data).await;
            match swapped {
                Swapped::Done => {
                    let row = row.into();
                    return self.done(slot, known, batch, row).await;
                }
                Swapped::NotBegun(error) => {
                    known.is_doubtful = false;
                    slot.is_ready.store(true, Ordering::Release);
                    return Err(error.into());
                }
                // What was expected is there no more, so it cannot be done later either.
                Swapped::Not => known.is_doubtful = false,
                Swapped::Unclear(_) => was_unclear = true,
            }
            let settled = self.settle(&batch.ledger, slot, known).await;
            settled.map_err(|error| self.still_unknown(error))?;
            if known.head.seq > batch.expected_seq {
                let ours = self.is_there(batch, data, was_unclear).await;
                let ours = ours.map_err(|error| self.still_unknown(error))?;
                self.counts.resolved(was_unclear, Some(ours));
                return match ours {
                    true => Ok(()),
                    false => Err(conflict(known.head.seq)),
                };
            }
            self.counts.resolved(was_unclear, Some(false));
        }
        let what = "the cluster did not write the commit, and certainly will not";
        Err(StoreError::Unavailable(what.into()).into())
    }

    fn still_unknown(&self, error: StoreError) -> CommitError {
        match error {
            StoreError::Unavailable(why) => {
                self.counts.resolved(true, None);
                CommitError::Unknown(why)
            }
            damaged @ StoreError::Damaged(_) => damaged.into(),
        }
    }

    /// The lightweight transaction, with the head it writes.
    async fn swap(&self, known: &Known, batch: &Batch, data: &Bytes) -> (Swapped, Vec<u8>) {
        let first = batch.expected_seq + 1;
        let bucket = self.bucket(first);
        let row = match head_after(batch) {
            Some(head) => head_row(&batch.ledger, bucket, &HeadValue::new(&head, 0)),
            None => Vec::new(),
        };
        let last = batch.expected_seq + batch.commits.len() as u64;
        let values = vec![
            Some(CqlValue::Blob(row.clone())),
            Some(number(last)),
            Some(CqlValue::Blob(data.to_vec())),
            Some(text(batch.ledger.as_str())),
            Some(number(bucket)),
            Some(number(first)),
            known
                .expected
                .as_ref()
                .map(|row| CqlValue::Blob(row.to_vec())),
        ];
        let ended = self.cql.swap(&self.cql.statements.swap, values).await;
        self.counts.swapped(&ended);
        (ended, row)
    }

    /// It is durable: derives, and answers.
    async fn done(
        &self,
        slot: &Slot,
        known: &mut Known,
        batch: &Batch,
        row: Bytes,
    ) -> Result<(), CommitError> {
        let Some(head) = head_after(batch) else {
            return Ok(());
        };
        let bucket = self.bucket(batch.expected_seq + 1);
        known.expected = (self.bucket(head.seq + 1) == bucket).then_some(row);
        known.head = head;
        known.is_doubtful = false;
        let derived = self
            .derive(&batch.ledger, &batch.commits, &known.head)
            .await;
        derived.map_err(|error| {
            let what = format!("the commit is durable, but cannot be read yet: {error}");
            CommitError::Unknown(what.into())
        })?;
        known.applied = known.head.seq;
        slot.is_ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether what lies behind the head that was expected is this batch. Asked even after a clear no: then it costs
    /// little, and a database that counted its own first attempt as somebody else's would be seen through.
    async fn is_there(
        &self,
        batch: &Batch,
        data: &Bytes,
        was_unclear: bool,
    ) -> Result<bool, StoreError> {
        let first = batch.expected_seq + 1;
        match self.batch_row(&batch.ledger, first).await? {
            Some(row) => Ok(row.first == first && row.data == *data),
            // Somebody went on behind it, and retention was there before us: then nobody can tell any more.
            None if was_unclear => Err(StoreError::Unavailable(
                "the commit behind the one known is removed".into(),
            )),
            None => Ok(false),
        }
    }
}

/// Where the ledger stands when the batch is written.
fn head_after(batch: &Batch) -> Option<Head> {
    let last = batch.commits.last()?;
    Some(Head {
        seq: last.commit.seq,
        hash: last.hash,
        epoch: last.commit.epoch.clone(),
    })
}
