//! The keyspaces, opened once, and how a commit becomes rows in them.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};

use super::keys;
use super::rows::{
    ChannelValue, EntryValue, HeadValue, IndexValue, KeyValue, Kind, OutboxValue, RecordValue, seal,
};
use crate::ledger::{Commit, SealedCommit};
use crate::store::{Anchor, Head, OutboxKey, Remembered};

/// The database and its keyspaces. Cheap to clone.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) db: Database,
    pub(super) heads: Keyspace,
    pub(super) commits: Keyspace,
    pub(super) entries: Keyspace,
    pub(super) channels: Keyspace,
    pub(super) records: Keyspace,
    pub(super) index: Keyspace,
    pub(super) keys: Keyspace,
    pub(super) outbox: Keyspace,
}

/// Names of the keyspaces on disk.
pub(super) const KEYSPACES: [&str; 8] = [
    "heads", "commits", "entries", "channels", "records", "index", "keys", "outbox",
];

impl Files {
    /// Opens the keyspaces, making those that are not there.
    pub(super) fn of(db: Database) -> fjall::Result<Self> {
        let keyspace = |name| db.keyspace(name, KeyspaceCreateOptions::default);
        Ok(Self {
            heads: keyspace("heads")?,
            commits: keyspace("commits")?,
            entries: keyspace("entries")?,
            channels: keyspace("channels")?,
            records: keyspace("records")?,
            index: keyspace("index")?,
            keys: keyspace("keys")?,
            outbox: keyspace("outbox")?,
            db,
        })
    }

    pub(super) fn all(&self) -> [&Keyspace; 8] {
        [
            &self.heads,
            &self.commits,
            &self.entries,
            &self.channels,
            &self.records,
            &self.index,
            &self.keys,
            &self.outbox,
        ]
    }

    /// The rows of a commit, except the ledger's head.
    pub(super) fn put_commit(&self, batch: &mut OwnedWriteBatch, sealed: &SealedCommit) {
        let commit = &*sealed.commit;
        batch.insert(
            &self.commits,
            keys::commit(&commit.ledger, commit.seq),
            &sealed.row[..],
        );
        self.put_records(batch, commit);
        self.put_entries(batch, commit);
        if let Some(key) = &commit.idempotency {
            let (seq, fingerprint) = (commit.seq, key.fingerprint);
            let value = Remembered {
                seq,
                fingerprint,
                time_ms: commit.time_ms,
            };
            let key = keys::idempotency(&commit.ledger, &commit.actor.subject, &key.key);
            let row = seal(Kind::Key, &key, &KeyValue::new(&value));
            batch.insert(&self.keys, key, row);
        }
        for (_, n) in commit.outbox.iter().zip(0..) {
            let item = OutboxKey {
                source: commit.ledger.clone(),
                seq: commit.seq,
                n,
            };
            let key = keys::outbox(&item);
            let row = seal(Kind::Outbox, &key, &OutboxValue { refused: false });
            batch.insert(&self.outbox, key, row);
        }
    }

    fn put_records(&self, batch: &mut OwnedWriteBatch, commit: &Commit) {
        for change in &commit.records {
            for key in &change.unindex {
                batch.remove(
                    &self.index,
                    keys::index_row(key, &commit.ledger, &change.key),
                );
            }
            for key in &change.index {
                let key = keys::index_row(key, &commit.ledger, &change.key);
                let row = seal(Kind::Index, &key, &IndexValue { seq: commit.seq });
                batch.insert(&self.index, key, row);
            }
            let key = keys::record(&commit.ledger, change.key.as_str());
            let Some(value) = &change.value else {
                batch.remove(&self.records, key);
                continue;
            };
            let value = RecordValue::new(commit.seq, &change.index, value);
            let row = seal(Kind::Record, &key, &value);
            batch.insert(&self.records, key, row);
        }
    }

    fn put_entries(&self, batch: &mut OwnedWriteBatch, commit: &Commit) {
        for (entry, n) in commit.entries.iter().zip(0..) {
            let value = EntryValue {
                seq: commit.seq,
                n,
                time_ms: entry.content.time_ms,
            };
            for (channel, offset) in &entry.channels {
                let key = keys::entry(&commit.ledger, channel, *offset);
                let row = seal(Kind::Entry, &key, &value);
                batch.insert(&self.entries, key, row);
                if *offset == 1 {
                    let key = keys::channel(&commit.ledger, channel);
                    let row = seal(Kind::Channel, &key, &ChannelValue { trimmed: 0 });
                    batch.insert(&self.channels, key, row);
                }
            }
        }
    }

    pub(super) fn put_head(
        &self,
        batch: &mut OwnedWriteBatch,
        ledger: &crate::ledger::LedgerId,
        head: &Head,
        anchor: &Anchor,
    ) {
        let key = keys::ledger(ledger);
        let row = seal(Kind::Head, &key, &HeadValue::new(head, anchor));
        batch.insert(&self.heads, key, row);
    }
}
