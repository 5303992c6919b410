//! Copies a ledger from one store to another, commit by commit, as it is: numbers, hashes and epoch stay, so that whoever
//! compares heads compares whole histories. Can be stopped at any time and run again.

use crate::store::{Batch, CommitError, Head, OutboxEnd, OutboxKey, Store, StoreError, Trim};

use super::base::missing_commit;
use super::{ChannelName, CommitHash, LedgerId, SealedCommit};

/// Commits read, and bytes of commits written at once.
const PAGE: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// What was copied of a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Commits that were not there yet.
    pub commits: u64,
    /// Commits there are now, all read back and found to be the same chain.
    pub verified: u64,
}

/// Why a ledger was not copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// What is left of it does not begin at its first commit.
    #[error(
        "retention has removed commits up to {0}: a history can be copied from its beginning only"
    )]
    Trimmed(u64),
    /// The other store has a ledger of that name which is no beginning of this one.
    #[error("the other store has another ledger of that name, with {0} commits")]
    Another(u64),
    /// Somebody else writes to the copy.
    #[error("somebody else writes to the copy: {0}")]
    Contended(CommitError),
    /// One of the stores failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies what `to` does not have of a ledger, up to where it stands now, and reads all of the copy back.
///
/// # Errors
/// See [`CopyError`]. What is copied by then stays, and is a beginning of the ledger.
pub async fn copy(
    from: &dyn Store,
    to: &dyn Store,
    ledger: &LedgerId,
) -> Result<Copied, CopyError> {
    let Some(head) = from.head(ledger).await? else {
        return Ok(Copied::default());
    };
    let anchor = from.anchor(ledger).await?;
    if anchor.seq > 0 {
        return Err(CopyError::Trimmed(anchor.seq));
    }
    let mut at = begin(from, to, ledger, &head).await?;
    let commits = head.seq - at.0;
    while at.0 < head.seq {
        at = step(from, to, ledger, at).await?;
    }
    end_outbox(from, to, ledger).await?;
    trim_alike(from, to, ledger, anchor.forgotten_before_ms).await?;
    let verified = read_back(to, ledger, &head).await?;
    Ok(Copied { commits, verified })
}

/// How far the copy is: the last number and its hash.
async fn begin(
    from: &dyn Store,
    to: &dyn Store,
    ledger: &LedgerId,
    head: &Head,
) -> Result<(u64, CommitHash), CopyError> {
    let Some(there) = to.head(ledger).await? else {
        return Ok((0, CommitHash::GENESIS));
    };
    let ours = match there.seq {
        seq if seq > head.seq => None,
        seq => from
            .commits_since(ledger, seq - 1, 1)
            .await?
            .into_iter()
            .next(),
    };
    let is_beginning = ours.is_some_and(|sealed| sealed.hash == there.hash);
    is_beginning
        .then_some((there.seq, there.hash))
        .ok_or(CopyError::Another(there.seq))
}

/// Copies some more.
async fn step(
    from: &dyn Store,
    to: &dyn Store,
    ledger: &LedgerId,
    (seq, hash): (u64, CommitHash),
) -> Result<(u64, CommitHash), CopyError> {
    let mut commits = from.commits_since(ledger, seq, PAGE).await?;
    let mut bytes = 0;
    let fits = |sealed: &SealedCommit| {
        bytes += sealed.row.len();
        bytes <= BATCH_BYTES
    };
    let many = commits.iter().map(fits).take_while(|fits| *fits).count();
    commits.truncate(many.max(1));
    let mut next = (seq, hash);
    for sealed in &commits {
        if !sealed.follows(ledger, next.0 + 1, next.1) {
            return Err(missing_commit(ledger, next.0 + 1).into());
        }
        next = (next.0 + 1, sealed.hash);
    }
    if commits.is_empty() {
        return Err(missing_commit(ledger, seq + 1).into());
    }
    let batch = Batch {
        ledger: ledger.clone(),
        expected_seq: seq,
        commits,
    };
    match to.commit(batch).await {
        Ok(()) => Ok(next),
        Err(CommitError::Store(error)) => Err(error.into()),
        Err(CommitError::Unknown(why)) => match to.head(ledger).await? {
            Some(head) if (head.seq, head.hash) == next => Ok(next),
            // It was not written, which the next step does.
            Some(head) if (head.seq, head.hash) == (seq, hash) => Ok((seq, hash)),
            None if seq == 0 => Ok((seq, hash)),
            _ => Err(CopyError::Contended(CommitError::Unknown(why))),
        },
        Err(error) => Err(CopyError::Contended(error)),
    }
}

/// What is delivered or refused here waits in the copy as if new: that ends there too.
async fn end_outbox(from: &dyn Store, to: &dyn Store, ledger: &LedgerId) -> Result<(), CopyError> {
    let mut after: Option<OutboxKey> = None;
    loop {
        let page = to
            .outbox_pending(Some(ledger), after.as_ref(), PAGE)
            .await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for item in page {
            let before = before(&item);
            let waiting = from
                .outbox_pending(Some(ledger), before.as_ref(), 1)
                .await?;
            if waiting.first() == Some(&item) {
                continue;
            }
            let refused = from.outbox_refused(before.as_ref(), 1).await?;
            let end = match refused.first() == Some(&item) {
                true => OutboxEnd::Refused,
                false => OutboxEnd::Done,
            };
            to.outbox_done(&item, end).await?;
        }
    }
}

/// The last key there can be before an item's.
fn before(item: &OutboxKey) -> Option<OutboxKey> {
    let (seq, n) = match (item.seq, item.n) {
        (0, 0) => return None,
        (seq, 0) => (seq - 1, u32::MAX),
        (seq, n) => (seq, n - 1),
    };
    let source = item.source.clone();
    Some(OutboxKey { source, seq, n })
}

/// Entries and keys that retention removed here go there too.
async fn trim_alike(
    from: &dyn Store,
    to: &dyn Store,
    ledger: &LedgerId,
    forget_before_ms: u64,
) -> Result<(), CopyError> {
    let trim = |channels, forget_before_ms| Trim {
        ledger: ledger.clone(),
        channels,
        commits_to: 0,
        forget_before_ms,
    };
    if forget_before_ms > 0 {
        to.trim(trim(Vec::new(), forget_before_ms)).await?;
    }
    let mut after: Option<ChannelName> = None;
    loop {
        let names = from.channels(ledger, after.as_ref(), PAGE).await?;
        let Some(last) = names.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        let heads = from.channel_heads(ledger, &names).await?;
        let trimmed = names
            .into_iter()
            .zip(heads)
            .filter(|(_, head)| head.trimmed > 0);
        let channels: Vec<_> = trimmed.map(|(name, head)| (name, head.trimmed)).collect();
        if !channels.is_empty() {
            to.trim(trim(channels, 0)).await?;
        }
    }
}

/// Reads the copy from its beginning, link by link, to the hash that the original ends with.
async fn read_back(to: &dyn Store, ledger: &LedgerId, head: &Head) -> Result<u64, CopyError> {
    let mut at = (0, CommitHash::GENESIS);
    while at.0 < head.seq {
        let page = to.commits_since(ledger, at.0, PAGE).await?;
        if page.is_empty() {
            return Err(missing_commit(ledger, at.0 + 1).into());
        }
        for sealed in &page {
            if !sealed.follows(ledger, at.0 + 1, at.1) {
                return Err(missing_commit(ledger, at.0 + 1).into());
            }
            at = (at.0 + 1, sealed.hash);
            if at.0 == head.seq && at.1 != head.hash {
                return Err(missing_commit(ledger, at.0).into());
            }
        }
    }
    Ok(head.seq)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::super::inspect::verify;
    use super::super::{IdempotencyKey, OutboxItem};
    use super::*;
    use crate::store::chain::{Chain, put};
    use crate::store::faulty::{Fault, FaultyStore};
    use crate::store::memory::MemoryStore;

    /// A ledger with everything a ledger can have, some of it ended and trimmed.
    pub(crate) async fn lived_in(store: &dyn Store, name: &str, commits: u64) -> Chain {
        let mut chain = Chain::new(name);
        for i in 0..commits {
            let batch = chain.batch(|chain, commit| {
                let text = i.to_string();
                commit
                    .records
                    .push(put(&format!("r/{}", i % 7), &text, &["i"], &[]));
                commit
                    .entries
                    .push(chain.entry(&[&format!("unit:{name}")], &text));
                commit.idempotency = Some(IdempotencyKey::new(&text, "op", b""));
                commit.outbox = vec![OutboxItem {
                    to: chain.ledger.clone(),
                    operation: "take".into(),
                    input: Bytes::new(),
                }];
            });
            store.commit(batch).await.expect("commit");
        }
        let items = store.outbox_pending(Some(&chain.ledger), None, 99).await;
        for (item, i) in items.expect("read").iter().zip(0..) {
            match i % 3 {
                0 => store
                    .outbox_done(item, OutboxEnd::Done)
                    .await
                    .expect("noted"),
                1 => store
                    .outbox_done(item, OutboxEnd::Refused)
                    .await
                    .expect("noted"),
                _ => {}
            }
        }
        let channel = ChannelName::parse(&format!("unit:{name}")).expect("valid");
        let trim = Trim {
            ledger: chain.ledger.clone(),
            channels: vec![(channel, 5)],
            commits_to: 0,
            forget_before_ms: 1_003,
        };
        store.trim(trim).await.expect("trim");
        chain
    }

    /// Everything a store says of such a ledger.
    pub(crate) async fn said(store: &dyn Store, ledger: &LedgerId) -> String {
        let unit = ChannelName::parse(&format!("unit:{ledger}")).expect("valid");
        let remembered = async |i: u64| {
            let key = IdempotencyKey::new(&i.to_string(), "op", b"").key;
            store.idempotent(ledger, "u1", &key).await
        };
        format!(
            "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?} {:?}",
            store.head(ledger).await,
            store.anchor(ledger).await,
            store.scan(ledger, "", None, 999).await,
            store.entry_rows(ledger, &unit, 0, 999).await,
            store.outbox_pending(Some(ledger), None, 999).await,
            store.outbox_refused(None, 999).await,
            remembered(0).await,
            remembered(7).await,
        )
    }

    #[tokio::test]
    async fn a_copy_says_the_same_and_can_be_gone_on_with() {
        let from: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let mut chain = lived_in(&*from, "G1", 20).await;
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let to = FaultyStore::new(Arc::clone(&memory));
        to.fail([Fault::UnknownNot, Fault::UnknownDone]);
        let copied = copy(&*from, &to, &chain.ledger).await.expect("copied");
        let (commits, verified) = (20, 20);
        assert_eq!(copied, Copied { commits, verified });
        assert_eq!(
            said(&to, &chain.ledger).await,
            said(&*from, &chain.ledger).await
        );
        from.commit(chain.batch(|_, _| {})).await.expect("commit");
        let copied = copy(&*from, &to, &chain.ledger).await.expect("copied");
        let (commits, verified) = (1, 21);
        assert_eq!(copied, Copied { commits, verified });
        let again = copy(&*from, &to, &chain.ledger).await.expect("copied");
        assert_eq!(again.commits, 0);
        // Nobody took what was ended here, so both miss the receipts.
        let [original, copy] = [&from, &memory].map(async |store| {
            let report = verify(store, None, &mut |_| {}).await;
            format!("{:?}", report.findings)
        });
        assert_eq!(copy.await, original.await);
    }

    #[tokio::test]
    async fn what_cannot_be_copied_is_refused() {
        let (from, to) = (MemoryStore::new(), MemoryStore::new());
        let mut chain = Chain::new("G1");
        from.commit(chain.batch(|_, _| {})).await.expect("commit");
        let foreign = Chain::new("G1").batch(|_, commit| commit.operation = "other".into());
        to.commit(foreign).await.expect("commit");
        let refused = copy(&from, &to, &chain.ledger).await;
        assert!(matches!(refused, Err(CopyError::Another(1))), "{refused:?}");
        from.commit(chain.batch(|_, _| {})).await.expect("commit");
        let trim = Trim {
            ledger: chain.ledger.clone(),
            channels: Vec::new(),
            commits_to: 1,
            forget_before_ms: 0,
        };
        from.trim(trim).await.expect("trim");
        let refused = copy(&from, &MemoryStore::new(), &chain.ledger).await;
        assert!(matches!(refused, Err(CopyError::Trimmed(1))), "{refused:?}");
    }
}
