//! The rows that are derived from commits, and their replay.
//!
//! Each is written with a time that is its commit's sequence number, so that writing it again, late, or from two nodes at
//! once changes nothing: the database keeps the newest by that time, whatever order they arrive in. Numbers that only grow
//! (tops, anchors, checkpoints) have themselves as time.
//!
//! Order matters in one respect: what tells that something is there is written after it. Entries come before the top of
//! their channel, and everything before the checkpoint.

use bytes::Bytes;
use hashbrown::HashMap;
use scylla::value::CqlValue;

use super::Inner;
use super::known::Known;
use super::rows::{
    LEDGER_PARTS, NumberValue, PARTS, StateValue, blob, number, part, part_of, record_part, text,
    written_at,
};
use super::session::Write;
use crate::ledger::{
    ChannelName, Commit, IndexKey, LedgerId, RecordChange, RecordKey, SealedCommit,
};
use crate::store::fault::at;
use crate::store::rows::{EntryValue, IndexValue, KeyValue, Kind, OutboxValue, RecordValue};
use crate::store::{Head, OutboxKey, Remembered, StoreError, keys};

/// Commits replayed at once.
const REPLAY_PAGE: usize = 256;

impl Inner {
    /// Writes what is derived from commits that lie before `head` and end there.
    pub(super) async fn derive(
        &self,
        ledger: &LedgerId,
        commits: &[SealedCommit],
        head: &Head,
    ) -> Result<(), StoreError> {
        let mut rows = Rows::of(self, ledger);
        for sealed in commits {
            rows.add(&sealed.commit);
        }
        let tops = rows.tops();
        self.cql.write(rows.writes()).await?;
        self.cql.write(tops).await?;
        self.write_state(ledger, head).await
    }

    /// Derives what another node, or this one before it was killed, left underived.
    pub(super) async fn replay(
        &self,
        ledger: &LedgerId,
        known: &mut Known,
    ) -> Result<(), StoreError> {
        let mut prev = None;
        while known.applied < known.head.seq {
            let page = self
                .commits_after(ledger, known.applied, REPLAY_PAGE)
                .await?;
            let Some(last) = page.last() else {
                return Err(at(ledger, known.applied + 1, "the commit is missing"));
            };
            for (sealed, seq) in page.iter().zip(known.applied + 1..) {
                let expected = prev.unwrap_or(sealed.commit.prev_hash);
                if !sealed.follows(ledger, seq, expected) {
                    return Err(at(ledger, seq, "the hash chain is broken"));
                }
                prev = Some(sealed.hash);
            }
            let head = Head {
                seq: last.commit.seq,
                hash: last.hash,
                epoch: last.commit.epoch.clone(),
            };
            if head.seq == known.head.seq && head.hash != known.head.hash {
                let what = "the last commit is not the one the head names";
                return Err(at(ledger, head.seq, what));
            }
            self.derive(ledger, &page, &head).await?;
            self.counts.replayed(page.len());
            known.applied = head.seq;
        }
        Ok(())
    }

    async fn write_state(&self, ledger: &LedgerId, head: &Head) -> Result<(), StoreError> {
        let place = part(ledger.as_str(), LEDGER_PARTS);
        let key = keys::ledger(ledger);
        let values = vec![
            number(head.seq),
            blob(Kind::State, &key, &StateValue::new(head)),
            CqlValue::Int(place),
            text(ledger.as_str()),
        ];
        let statement = &self.cql.statements.put_state;
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

/// What some commits of one ledger leave, the last change of a key alone.
struct Rows<'a> {
    inner: &'a Inner,
    ledger: &'a LedgerId,
    records: HashMap<&'a RecordKey, (u64, &'a RecordChange)>,
    index: HashMap<(&'a IndexKey, &'a RecordKey), (u64, bool)>,
    tops: HashMap<&'a ChannelName, u64>,
    rest: Vec<Write<'a>>,
}

impl<'a> Rows<'a> {
    fn of(inner: &'a Inner, ledger: &'a LedgerId) -> Self {
        Self {
            inner,
            ledger,
            records: HashMap::new(),
            index: HashMap::new(),
            tops: HashMap::new(),
            rest: Vec::new(),
        }
    }

    fn add(&mut self, commit: &'a Commit) {
        for change in &commit.records {
            self.records.insert(&change.key, (commit.seq, change));
            for key in &change.unindex {
                self.index.insert((key, &change.key), (commit.seq, false));
            }
            for key in &change.index {
                self.index.insert((key, &change.key), (commit.seq, true));
            }
        }
        for (entry, n) in commit.entries.iter().zip(0..) {
            let value = EntryValue {
                seq: commit.seq,
                n,
                time_ms: entry.content.time_ms,
            };
            for (channel, offset) in &entry.channels {
                self.entry(channel, *offset, &value);
                let top = self.tops.entry(channel).or_default();
                *top = (*top).max(*offset);
            }
        }
        if let Some(key) = &commit.idempotency {
            let value = Remembered {
                seq: commit.seq,
                fingerprint: key.fingerprint,
                time_ms: commit.time_ms,
            };
            self.remember(&commit.actor.subject, &key.key, &value);
        }
        for (_, n) in commit.outbox.iter().zip(0..) {
            self.outbox(&OutboxKey {
                source: self.ledger.clone(),
                seq: commit.seq,
                n,
            });
        }
    }

    fn entry(&mut self, channel: &ChannelName, offset: u64, value: &EntryValue) {
        let span = self.inner.span(offset);
        let key = keys::entry(self.ledger, channel, offset);
        self.rest.push(Write {
            statement: &self.inner.cql.statements.put_entry,
            partition: format!("entries/{span}/{channel}"),
            values: vec![
                text(self.ledger.as_str()),
                text(channel.as_str()),
                number(span),
                number(offset),
                blob(Kind::Entry, &key, value),
                written_at(value.seq),
            ],
        });
    }

    fn remember(&mut self, subject: &str, key: &str, value: &Remembered) {
        let sealed_by = keys::idempotency(self.ledger, subject, key);
        self.rest.push(Write {
            statement: &self.inner.cql.statements.put_key,
            partition: format!("idempotency/{}/{subject}{key}", subject.len()),
            values: vec![
                text(self.ledger.as_str()),
                text(subject),
                text(key),
                blob(Kind::Key, &sealed_by, &KeyValue::new(value)),
                written_at(value.seq),
            ],
        });
    }

    fn outbox(&mut self, item: &OutboxKey) {
        let value = OutboxValue { refused: false };
        self.rest.push(Write {
            statement: &self.inner.cql.statements.put_outbox,
            partition: "outbox".to_owned(),
            values: vec![
                CqlValue::Int(part_of(item)),
                text(item.source.as_str()),
                number(item.seq),
                small(item.n),
                blob(Kind::Outbox, &keys::outbox(item), &value),
                written_at(item.seq),
            ],
        });
    }

    /// The tops of the channels that were appended to.
    fn tops(&self) -> Vec<Write<'a>> {
        let write = |(name, top): (&&ChannelName, &u64)| {
            let place = part(name.as_str(), PARTS);
            let key = keys::channel(self.ledger, name);
            Write {
                statement: &self.inner.cql.statements.put_top,
                partition: format!("channels/{place}"),
                values: vec![
                    number(*top),
                    blob(Kind::Top, &key, &NumberValue { number: *top }),
                    text(self.ledger.as_str()),
                    CqlValue::Int(place),
                    text(name.as_str()),
                ],
            }
        };
        self.tops.iter().map(write).collect()
    }

    fn writes(self) -> Vec<Write<'a>> {
        let (ledger, statements) = (self.ledger, &self.inner.cql.statements);
        let mut writes = self.rest;
        for (key, (seq, change)) in self.records {
            let place = record_part(key.as_str());
            let name = [
                text(ledger.as_str()),
                CqlValue::Int(place),
                text(key.as_str()),
            ];
            let partition = format!("records/{place}");
            writes.push(match &change.value {
                None => Write {
                    statement: &statements.drop_record,
                    partition,
                    values: [written_at(seq)].into_iter().chain(name).collect(),
                },
                Some(value) => Write {
                    statement: &statements.put_record,
                    partition,
                    values: name
                        .into_iter()
                        .chain([record(ledger, seq, change, value), written_at(seq)])
                        .collect(),
                },
            });
        }
        for ((index, key), (seq, is_there)) in self.index {
            let name = [
                text(index.as_str()),
                text(ledger.as_str()),
                text(key.as_str()),
            ];
            let partition = format!("index_rows/{}", index.as_str());
            let sealed_by = keys::index_row(index, ledger, key);
            let row = blob(Kind::Index, &sealed_by, &IndexValue { seq });
            writes.push(match is_there {
                false => Write {
                    statement: &statements.drop_index,
                    partition,
                    values: [written_at(seq)].into_iter().chain(name).collect(),
                },
                true => Write {
                    statement: &statements.put_index,
                    partition,
                    values: name.into_iter().chain([row, written_at(seq)]).collect(),
                },
            });
        }
        writes
    }
}

fn record(ledger: &LedgerId, seq: u64, change: &RecordChange, value: &Bytes) -> CqlValue {
    let sealed_by = keys::record(ledger, change.key.as_str());
    let value = RecordValue::new(seq, &change.index, value);
    blob(Kind::Record, &sealed_by, &value)
}

/// An outbox item's place in its commit, which has far fewer than an int holds.
pub(super) fn small(n: u32) -> CqlValue {
    CqlValue::Int(i32::try_from(n).unwrap_or(i32::MAX))
}
