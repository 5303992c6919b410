//! Retention on the files: what is to be removed is looked up by a reading thread, in portions, and
//! removed by the writer.

use super::files::Files;
use super::keys;
use super::reader::Reader;
use super::rows::{ChannelValue, Kind, seal};
use crate::ledger::LedgerId;
use crate::store::{Anchor, StoreError, Trim};

/// Rows removed in one portion: some milliseconds of the writer's time.
const PORTION: usize = 10_000;

/// One portion.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) ledger: LedgerId,
    entries: Vec<Vec<u8>>,
    keys: Vec<Vec<u8>>,
    commits: Vec<Vec<u8>>,
    channels: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) anchor: Option<Anchor>,
    /// Whether another portion must follow.
    pub(super) more: bool,
}

impl Portion {
    /// Looks up the first portion of what `trim` removes.
    pub(super) fn of(reader: &Reader<'_>, trim: &Trim) -> Result<Self, StoreError> {
        let mut portion = Self {
            ledger: trim.ledger.clone(),
            entries: Vec::new(),
            keys: Vec::new(),
            commits: Vec::new(),
            channels: Vec::new(),
            anchor: None,
            more: false,
        };
        let Some((head, anchor)) = reader.head(&trim.ledger)? else {
            return Ok(portion);
        };
        // Noted before the first key goes, so that nobody misses a key that was forgotten.
        let forgotten = anchor.forgotten_before_ms.max(trim.forget_before_ms);
        if forgotten > anchor.forgotten_before_ms {
            portion.anchor = Some(Anchor {
                forgotten_before_ms: forgotten,
                ..anchor
            });
        }
        for (name, to) in &trim.channels {
            let channel = reader.channel_head(&trim.ledger, name)?;
            let to = (*to).min(channel.top);
            let left = PORTION - portion.len();
            if left == 0 {
                portion.more = true;
                return Ok(portion);
            }
            let rows = reader.entry_rows(&trim.ledger, name, channel.trimmed, left)?;
            let gone = rows
                .iter()
                .map(|row| row.offset)
                .take_while(|offset| *offset <= to);
            let keys = gone.map(|offset| keys::entry(&trim.ledger, name, offset));
            let before = portion.entries.len();
            portion.entries.extend(keys);
            let trimmed = channel.trimmed + (portion.entries.len() - before) as u64;
            if trimmed > channel.trimmed {
                let key = keys::channel(&trim.ledger, name);
                let row = seal(Kind::Channel, &key, &ChannelValue { trimmed });
                portion.channels.push((key, row));
            }
            portion.more |= trimmed < to;
        }
        let left = PORTION.saturating_sub(portion.len());
        let keys = reader.keys_before(&trim.ledger, trim.forget_before_ms, left)?;
        portion.more |= left > 0 && keys.len() >= left;
        portion.keys.extend(keys.iter().map(|key| key.to_vec()));
        if portion.more {
            return Ok(portion);
        }
        let wanted = trim.commits_to.min(head.seq.saturating_sub(1));
        let to = wanted.min(anchor.seq + PORTION.saturating_sub(portion.len()) as u64);
        if to > anchor.seq {
            let gone = anchor.seq + 1..=to;
            portion
                .commits
                .extend(gone.map(|seq| keys::commit(&trim.ledger, seq)));
            let hash = reader.commit(&trim.ledger, to)?.hash;
            portion.anchor = Some(Anchor {
                seq: to,
                hash,
                forgotten_before_ms: forgotten,
            });
        }
        portion.more = to < wanted;
        Ok(portion)
    }

    fn len(&self) -> usize {
        self.entries.len() + self.keys.len() + self.commits.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && self.channels.is_empty() && self.anchor.is_none()
    }

    /// Puts the removals into a batch; the ledger's head row is the writer's affair.
    pub(super) fn stage(self, files: &Files, batch: &mut fjall::OwnedWriteBatch) {
        for key in self.entries {
            batch.remove(&files.entries, key);
        }
        for key in self.keys {
            batch.remove(&files.keys, key);
        }
        for key in self.commits {
            batch.remove(&files.commits, key);
        }
        for (key, row) in self.channels {
            batch.insert(&files.channels, key, row);
        }
    }
}
