//! What stands behind `klokke ledger verify | show | export`: reading ledgers commit by commit,
//! on any store, in bounded memory.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use super::derived::Expected;
use super::{Commit, CommitHash, IdempotencyKey, LedgerId, RecordKey, SealedCommit};
use crate::store::{Damaged, Head, OutboxKey, Place, Store, StoreError};

/// Commits, records and ledgers read at once.
const PAGE: usize = 256;

/// How far a verification is.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The ledger being checked.
    pub ledger: LedgerId,
    /// Commits of all ledgers checked so far.
    pub commits: u64,
    /// The last commit of it that was checked, and its head.
    pub seq: u64,
    /// See `seq`.
    pub head: u64,
}

/// What a verification found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Ledgers checked.
    pub ledgers: u64,
    /// Commits checked.
    pub commits: u64,
    /// Outbox items that another ledger refused for good.
    pub refused_items: u64,
    /// Everything that is not as it was written. Empty means whole.
    pub findings: Vec<Damaged>,
}

/// Recomputes every checksum, digest, hash and link of one ledger or of all, and compares every
/// derived row with the commits. Goes on with the next ledger after a finding.
pub async fn verify(
    store: &Arc<dyn Store>,
    only: Option<&LedgerId>,
    progress: &mut (dyn FnMut(&Progress) + Send),
) -> Report {
    let mut report = Report {
        findings: store.damage(),
        ..Report::default()
    };
    if let Some(ledger) = only {
        let head = store.head(ledger).await;
        verify_ledger(store, ledger, head.ok().flatten(), &mut report, progress).await;
        return report;
    }
    let mut after: Option<LedgerId> = None;
    loop {
        let page = match store.ledgers(after.as_ref(), PAGE).await {
            Ok(page) => page,
            Err(error) => {
                note(&mut report, None, error);
                break;
            }
        };
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (ledger, head) in page {
            verify_ledger(store, &ledger, Some(head), &mut report, progress).await;
        }
    }
    match store.outbox_refused(None, usize::MAX).await {
        Ok(items) => report.refused_items = items.len() as u64,
        Err(error) => note(&mut report, None, error),
    }
    report
}

async fn verify_ledger(
    store: &Arc<dyn Store>,
    ledger: &LedgerId,
    head: Option<Head>,
    report: &mut Report,
    progress: &mut (dyn FnMut(&Progress) + Send),
) {
    report.ledgers += 1;
    // Reading the head is also where a store says that the ledger as a whole is damaged.
    if let Err(error) = store.head(ledger).await {
        note(report, Some(ledger), error);
    }
    let Some(head) = head else { return };
    if let Err(error) = verify_commits(store, ledger, &head, report, progress).await {
        note(report, Some(ledger), error);
    }
}

async fn verify_commits(
    store: &Arc<dyn Store>,
    ledger: &LedgerId,
    head: &Head,
    report: &mut Report,
    progress: &mut (dyn FnMut(&Progress) + Send),
) -> Result<(), StoreError> {
    let anchor = store.anchor(ledger).await?;
    let (mut seq, mut prev) = (anchor.seq, anchor.hash);
    let mut expected = Expected::default();
    while seq < head.seq {
        let page = store.commits_since(ledger, seq, PAGE).await?;
        for sealed in &page {
            if !sealed.follows(ledger, seq + 1, prev) {
                return Err(damaged(
                    ledger,
                    seq + 1,
                    "the commit does not follow the one before",
                ));
            }
            (seq, prev) = (seq + 1, sealed.hash);
            report.commits += 1;
            expected.add(&sealed.commit);
            verify_outbox(store, &sealed.commit, report).await?;
        }
        if page.is_empty() {
            return Err(damaged(ledger, seq + 1, "the commit is missing"));
        }
        let found = expected
            .settle(ledger, store, anchor.forgotten_before_ms)
            .await;
        report.findings.extend(found);
        progress(&Progress {
            ledger: ledger.clone(),
            commits: report.commits,
            seq,
            head: head.seq,
        });
    }
    if seq == head.seq && prev != head.hash {
        return Err(damaged(
            ledger,
            seq,
            "the last commit is not the one the head names",
        ));
    }
    verify_no_others(store, ledger, anchor.seq, &expected, report).await?;
    report.findings.extend(
        expected
            .compare(ledger, store, anchor.forgotten_before_ms)
            .await,
    );
    Ok(())
}

/// Every outbox item waits, was set aside, or has its receipt in the other ledger.
async fn verify_outbox(
    store: &Arc<dyn Store>,
    commit: &Commit,
    report: &mut Report,
) -> Result<(), StoreError> {
    for (item, n) in commit.outbox.iter().zip(0..) {
        let key = IdempotencyKey::of_outbox(&commit.ledger, commit.seq, n, item);
        let receipt = store
            .idempotent(&item.to, &commit.actor.subject, &key.key)
            .await?;
        if receipt.is_some_and(|receipt| receipt.fingerprint == key.fingerprint) {
            continue;
        }
        let item = OutboxKey {
            source: commit.ledger.clone(),
            seq: commit.seq,
            n,
        };
        let before = OutboxKey {
            n: n.wrapping_sub(1),
            ..item.clone()
        };
        let before = if n == 0 {
            OutboxKey {
                seq: commit.seq - 1,
                n: u32::MAX,
                ..before
            }
        } else {
            before
        };
        let pending = store
            .outbox_pending(Some(&commit.ledger), Some(&before), 1)
            .await?;
        let refused = store.outbox_refused(Some(&before), 1).await?;
        if pending.first() != Some(&item) && refused.first() != Some(&item) {
            let error = damaged(&commit.ledger, commit.seq, "an outbox item is lost");
            note(report, Some(&commit.ledger), error);
        }
    }
    Ok(())
}

/// No record is there that no commit left.
async fn verify_no_others(
    store: &Arc<dyn Store>,
    ledger: &LedgerId,
    anchor: u64,
    expected: &Expected,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut after: Option<RecordKey> = None;
    loop {
        let page = store.scan(ledger, "", after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for (key, record) in page {
            if record.seq > anchor && !expected.knows(&key) {
                let error = damaged(ledger, record.seq, "a record is there that no commit left");
                note(report, Some(ledger), error);
            }
        }
    }
}

fn damaged(ledger: &LedgerId, seq: u64, what: &str) -> StoreError {
    let ledger = ledger.as_str().into();
    StoreError::Damaged(Damaged {
        ledger,
        place: Place::Seq(seq),
        what: what.into(),
    })
}

fn note(report: &mut Report, ledger: Option<&LedgerId>, error: StoreError) {
    let found = match error {
        StoreError::Damaged(found) => found,
        StoreError::Unavailable(what) => {
            let ledger = ledger.map_or("*", LedgerId::as_str).into();
            Damaged {
                ledger,
                place: Place::Files,
                what,
            }
        }
    };
    if !report.findings.contains(&found) {
        report.findings.push(found);
    }
}

/// Why a walk over commits ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The store could not give the next commit.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The receiver could not take it.
    #[error("the output cannot be written")]
    Output(#[from] std::io::Error),
}

/// Gives the commits of a ledger above `after`, in order, to `each`; says how many.
///
/// # Errors
/// When the store fails or is damaged there, or when `each` does.
pub async fn walk(
    store: &Arc<dyn Store>,
    ledger: &LedgerId,
    after: u64,
    limit: u64,
    each: &mut (dyn FnMut(&SealedCommit) -> std::io::Result<()> + Send),
) -> Result<u64, WalkError> {
    let (mut seq, mut count) = (after, 0);
    while count < limit {
        let wanted = usize::try_from(limit - count).unwrap_or(PAGE).min(PAGE);
        let page = store.commits_since(ledger, seq, wanted).await?;
        let Some(last) = page.last() else { break };
        seq = last.commit.seq;
        count += page.len() as u64;
        page.iter().try_for_each(&mut *each)?;
    }
    Ok(count)
}

/// A commit as `ledger show` prints it: what happened, without content and without who.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Sequence number.
    pub seq: u64,
    /// Milliseconds since 1970 (UTC).
    pub time_ms: u64,
    /// The operation.
    pub operation: String,
    /// Where it came in.
    pub door: String,
    /// Keys of the records changed; a deleted one has a leading `-`.
    pub records: Vec<String>,
    /// For each entry: to how many channels, and bytes of content.
    pub entries: Vec<(usize, usize)>,
    /// For each outbox item: to which ledger, and which operation.
    pub outbox: Vec<(String, String)>,
    /// First 16 hex digits of the commit's hash.
    pub hash: String,
}

impl Shown {
    /// What may be shown of a commit.
    #[must_use]
    pub fn of(sealed: &SealedCommit) -> Self {
        let commit = &*sealed.commit;
        let record = |change: &super::RecordChange| {
            let mark = if change.value.is_none() { "-" } else { "" };
            format!("{mark}{}", change.key)
        };
        let entry = |entry: &Arc<super::Entry>| (entry.channels.len(), entry.content.full.len());
        let item = |item: &super::OutboxItem| (item.to.to_string(), (*item.operation).to_owned());
        Self {
            seq: commit.seq,
            time_ms: commit.time_ms,
            operation: (*commit.operation).to_owned(),
            door: (*commit.actor.door).to_owned(),
            records: commit.records.iter().map(record).collect(),
            entries: commit.entries.iter().map(entry).collect(),
            outbox: commit.outbox.iter().map(item).collect(),
            hash: short(sealed.hash),
        }
    }

    /// The heading of the table.
    pub const HEADING: &'static str =
        "       seq  time (ms since 1970)  operation                 records  entries  hash";
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seq,
            time_ms,
            operation,
            hash,
            ..
        } = self;
        let (records, entries) = (self.records.len(), self.entries.len());
        write!(
            f,
            "{seq:>10}  {time_ms:>20}  {operation:<24}  {records:>7}  {entries:>7}  {hash}"
        )
    }
}

fn short(hash: CommitHash) -> String {
    hash.to_string().chars().take(16).collect()
}

/// A commit as one line of `ledger export`: everything, content too. Bytes that are JSON stand as
/// JSON, other text as a string, anything else as `{"base64": …}`.
#[must_use]
pub fn export_line(sealed: &SealedCommit) -> String {
    let commit: &Commit = &sealed.commit;
    let records: Vec<Value> = commit
        .records
        .iter()
        .map(|change| {
            let index: Vec<_> = change.index.iter().map(super::IndexKey::as_str).collect();
            let unindex: Vec<_> = change.unindex.iter().map(super::IndexKey::as_str).collect();
            let value = change.value.as_ref().map(|value| bytes_json(value));
            json!({"key": change.key.as_str(), "value": value, "index": index, "unindex": unindex})
        })
        .collect();
    let entries: Vec<Value> = commit
        .entries
        .iter()
        .map(|entry| entry_json(entry))
        .collect();
    let outbox: Vec<Value> = commit
        .outbox
        .iter()
        .map(|item| json!({"to": item.to.as_str(), "operation": &*item.operation, "input": bytes_json(&item.input)}))
        .collect();
    json!({
        "ledger": commit.ledger.as_str(),
        "seq": commit.seq,
        "epoch": commit.epoch.as_str(),
        "time_ms": commit.time_ms,
        "id": commit.id.to_string(),
        "actor": {
            "subject": &*commit.actor.subject,
            "profile": commit.actor.profile.as_deref(),
            "door": &*commit.actor.door,
        },
        "operation": &*commit.operation,
        "idempotency": commit.idempotency.as_ref().map(|key| &*key.key),
        "outcome": bytes_json(&commit.outcome),
        "records": records,
        "entries": entries,
        "outbox": outbox,
        "prev_hash": commit.prev_hash.to_string(),
        "hash": sealed.hash.to_string(),
    })
    .to_string()
}

fn entry_json(entry: &super::Entry) -> Value {
    let content = &entry.content;
    let channels: Vec<_> = entry
        .channels
        .iter()
        .map(|(name, offset)| json!([name.as_str(), offset]))
        .collect();
    json!({
        "channels": channels,
        "full": bytes_json(&content.full),
        "bare": content.bare.as_ref().map(|bare| bytes_json(bare)),
        "audience": content.audience.0,
        "tags": content.tags,
        "publisher": content.publisher.as_ref().map(|publisher| json!({
            "user": publisher.user,
            "client": publisher.client,
            "conn_info": bytes_json(&publisher.conn_info),
            "chan_info": bytes_json(&publisher.chan_info),
        })),
        "subject": content.subject.as_ref().map(RecordKey::as_str),
        "time_ms": content.time_ms,
    })
}

fn bytes_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok("") => Value::Null,
        Ok(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        Err(_) => json!({"base64": STANDARD.encode(bytes)}),
    }
}
