//! Commits that follow each other, for tests of stores.

use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::Epoch;
use uuid::Uuid;

use super::{Batch, Head};
use crate::ledger::{
    Actor, ChannelName, Commit, CommitHash, Content, Entry, IndexKey, LedgerId, RecordChange,
    SealedCommit,
};

/// Makes the commits of one ledger, each following the one before.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The ledger.
    pub ledger: LedgerId,
    /// Where it stands.
    pub head: Head,
    tops: std::collections::BTreeMap<ChannelName, u64>,
    time_ms: u64,
}

impl Chain {
    /// A ledger without commits.
    pub fn new(ledger: &str) -> Self {
        let ledger = LedgerId::parse(ledger).expect("a ledger name");
        let head = Head {
            seq: 0,
            hash: CommitHash::GENESIS,
            epoch: Epoch::from("e1"),
        };
        Self {
            ledger,
            head,
            tops: std::collections::BTreeMap::new(),
            time_ms: 1_000,
        }
    }

    /// The next commit, changed by `fill` before it is sealed.
    pub fn next(&mut self, fill: impl FnOnce(&mut Commit)) -> SealedCommit {
        self.time_ms += 1;
        let mut commit = Commit {
            ledger: self.ledger.clone(),
            seq: self.head.seq + 1,
            epoch: self.head.epoch.clone(),
            time_ms: self.time_ms,
            id: Uuid::from_u128(u128::from(self.time_ms) << 64 | u128::from(self.ledger.hash32())),
            actor: Actor {
                subject: "u1".into(),
                ..Actor::default()
            },
            operation: "test".into(),
            idempotency: None,
            outcome: Bytes::new(),
            records: Vec::new(),
            entries: Vec::new(),
            outbox: Vec::new(),
            prev_hash: self.head.hash,
        };
        fill(&mut commit);
        let sealed = SealedCommit::seal(commit);
        self.head.seq += 1;
        self.head.hash = sealed.hash;
        sealed
    }

    /// An entry for some channels with the offsets that come next there.
    pub fn entry(&mut self, channels: &[&str], text: &str) -> Arc<Entry> {
        let place = |name: &&str| {
            let name = ChannelName::parse(name).expect("a channel");
            let top = self.tops.entry(name.clone()).or_default();
            *top += 1;
            (name, *top)
        };
        let channels = channels.iter().map(place).collect();
        let full = Bytes::from(text.to_owned());
        Arc::new(Entry {
            channels,
            content: Content {
                full,
                time_ms: self.time_ms,
                ..Content::default()
            },
        })
    }

    /// A batch of one commit.
    pub fn batch(&mut self, fill: impl FnOnce(&mut Self, &mut Commit)) -> Batch {
        let mut this = self.clone();
        let expected_seq = self.head.seq;
        let sealed = self.next(|commit| fill(&mut this, commit));
        self.tops = this.tops;
        Batch {
            ledger: self.ledger.clone(),
            expected_seq,
            commits: vec![sealed],
        }
    }
}

/// A record change.
pub fn put(key: &str, value: &str, index: &[&str], unindex: &[&str]) -> RecordChange {
    let keys = |keys: &[&str]| keys.iter().map(|key| IndexKey::new(key)).collect();
    let value = Some(Bytes::from(value.to_owned()));
    RecordChange {
        key: key.into(),
        value,
        index: keys(index),
        unindex: keys(unindex),
    }
}
