//! Retention. What tells that something is gone is written before it goes, so that nobody misses it.
//!
//! Rows of entries are removed with a time of their own order (see [`super::rows::removed_at`]), those of commits with the
//! clock's: nothing is ever written again where they lay. Two nodes that trim at once do no harm: what they write only grows.

use scylla::value::CqlValue;

use super::Inner;
use super::known::Checkpoint;
use super::rows::{
    AnchorValue, LEDGER_PARTS, NumberValue, PARTS, blob, number, part, removed_at, text,
};
use super::session::Write;
use crate::ledger::{ChannelName, IdempotencyKey, LedgerId};
use crate::store::fault::at;
use crate::store::rows::Kind;
use crate::store::{Anchor, StoreError, Trim, keys};

/// Commits looked through at once for idempotency keys to forget.
const PAGE: usize = 256;

/// Channels and partitions whose removal is written at once.
const PORTION: usize = 256;

impl Inner {
    pub(super) async fn trim(&self, trim: &Trim) -> Result<(), StoreError> {
        let slot = self.ready(&trim.ledger).await?;
        let checkpoint = self.checkpoint(&trim.ledger).await?;
        let Some(head) = &checkpoint.head else {
            return Ok(());
        };
        for channels in trim.channels.chunks(PORTION) {
            self.trim_channels(&trim.ledger, channels, head.seq).await?;
        }
        if trim.forget_before_ms > 0 {
            self.forget(&trim.ledger, &checkpoint, trim.forget_before_ms)
                .await?;
        }
        let to = trim.commits_to.min(head.seq.saturating_sub(1));
        if to > checkpoint.anchor.seq {
            let anchor = self
                .trim_commits(&trim.ledger, checkpoint.anchor, to)
                .await?;
            slot.known.lock().await.anchor = anchor;
        }
        Ok(())
    }

    async fn trim_channels(
        &self,
        ledger: &LedgerId,
        channels: &[(ChannelName, u64)],
        seq: u64,
    ) -> Result<(), StoreError> {
        let names: Vec<ChannelName> = channels.iter().map(|(name, _)| name.clone()).collect();
        let heads = self.extents(ledger, &names).await?;
        let (mut marks, mut drops) = (Vec::new(), Vec::new());
        for ((name, to), head) in channels.iter().zip(heads) {
            let to = (*to).min(head.top);
            if to <= head.trimmed {
                continue;
            }
            let place = part(name.as_str(), PARTS);
            let key = keys::channel(ledger, name);
            marks.push(Write {
                statement: &self.cql.statements.put_trimmed,
                partition: format!("channels/{place}"),
                values: vec![
                    number(to),
                    blob(Kind::Trimmed, &key, &NumberValue { number: to }),
                    text(ledger.as_str()),
                    CqlValue::Int(place),
                    text(name.as_str()),
                ],
            });
            for span in self.span(head.trimmed + 1)..=self.span(to) {
                drops.push(Write {
                    statement: &self.cql.statements.drop_entries,
                    partition: format!("entries/{span}/{name}"),
                    values: vec![
                        removed_at(seq),
                        text(ledger.as_str()),
                        text(name.as_str()),
                        number(span),
                        number(to),
                    ],
                });
            }
        }
        self.cql.write(marks).await?;
        self.cql.write(drops).await
    }

    /// Forgets callers' idempotency keys, walking over the commits that have them, each once. What came from outboxes is
    /// remembered for good: nobody knows how late an item may come again.
    async fn forget(
        &self,
        ledger: &LedgerId,
        checkpoint: &Checkpoint,
        before_ms: u64,
    ) -> Result<(), StoreError> {
        let mut seq = checkpoint.forgot_to.max(checkpoint.anchor.seq);
        // Mostly nothing is to be forgotten, and one commit tells.
        let mut limit = 1;
        let mut is_noted = before_ms <= checkpoint.anchor.forgotten_before_ms;
        loop {
            let page = self.commits_after(ledger, seq, limit).await?;
            let old = page.iter().map(|sealed| &sealed.commit);
            let old: Vec<_> = old
                .take_while(|commit| commit.time_ms < before_ms)
                .collect();
            let Some(last) = old.last() else {
                return Ok(());
            };
            if !is_noted {
                let value = NumberValue { number: before_ms };
                let row = blob(Kind::Forgotten, &keys::ledger(ledger), &value);
                let statement = &self.cql.statements.put_forgotten;
                self.mark(ledger, statement, before_ms, row).await?;
                is_noted = true;
            }
            let keyed = old.iter().filter_map(|commit| {
                let key = commit.idempotency.as_ref()?;
                (!IdempotencyKey::is_of_outbox(&key.key)).then_some((commit, key))
            });
            let drops = keyed.map(|(commit, key)| Write {
                statement: &self.cql.statements.drop_key,
                partition: format!("{}/{}", commit.actor.subject, key.key),
                values: vec![
                    removed_at(commit.seq),
                    text(ledger.as_str()),
                    text(&commit.actor.subject),
                    text(&key.key),
                ],
            });
            self.cql.write(drops.collect()).await?;
            seq = last.seq;
            let statement = &self.cql.statements.put_forgot_to;
            self.mark(ledger, statement, seq, number(seq)).await?;
            if old.len() < page.len() {
                return Ok(());
            }
            limit = PAGE;
        }
    }

    /// Leaves an anchor at `to` and removes the batches that lie wholly before it.
    async fn trim_commits(
        &self,
        ledger: &LedgerId,
        anchor: Anchor,
        to: u64,
    ) -> Result<Anchor, StoreError> {
        let page = self.commits_after(ledger, to - 1, 1).await?;
        let last = page.first().filter(|sealed| sealed.commit.seq == to);
        let last = last.ok_or_else(|| at(ledger, to, "the commit is missing"))?;
        let left = self.batch_row(ledger, to + 1).await?;
        let left = left.ok_or_else(|| at(ledger, to + 1, "the commit is missing"))?;
        let anchor_before = anchor.seq;
        let anchor = Anchor {
            seq: to,
            hash: last.hash,
            ..anchor
        };
        let row = blob(
            Kind::Anchor,
            &keys::ledger(ledger),
            &AnchorValue::new(&anchor),
        );
        let statement = &self.cql.statements.put_anchor;
        self.mark(ledger, statement, to, row).await?;
        // The batch that the anchor before lay in was left, and may begin some buckets further up.
        let from = self.lowest_bucket(anchor_before.max(1));
        let buckets: Vec<u64> = (from..=self.bucket(left.first)).collect();
        for buckets in buckets.chunks(PORTION) {
            let drops = buckets.iter().map(|bucket| Write {
                statement: &self.cql.statements.drop_commits,
                partition: format!("commits/{bucket}"),
                values: vec![text(ledger.as_str()), number(*bucket), number(left.first)],
            });
            self.cql.write(drops.collect()).await?;
        }
        Ok(anchor)
    }

    /// Sets one of the numbers of a ledger that only grow.
    async fn mark(
        &self,
        ledger: &LedgerId,
        statement: &scylla::statement::prepared::PreparedStatement,
        grown_to: u64,
        value: CqlValue,
    ) -> Result<(), StoreError> {
        let place = CqlValue::Int(part(ledger.as_str(), LEDGER_PARTS));
        let values = vec![number(grown_to), value, place, text(ledger.as_str())];
        let partition = String::new();
        self.cql
            .write(vec![Write {
                statement,
                partition,
                values,
            }])
            .await
    }
}
