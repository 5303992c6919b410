//! The one thread that writes. It takes whatever waits from all ledgers, makes one write batch of
//! it, flushes once, witnesses, and then answers all: group commit. While one group is being
//! flushed the next one gathers, so the busier it is, the more share a flush.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::{OwnedWriteBatch, PersistMode};
use hashbrown::{HashMap, HashSet};
use tokio::sync::{mpsc, oneshot};

use super::fault::{at, engine, plain};
use super::files::Files;
use super::keys;
use super::rows::{Kind, OutboxValue, seal};
use super::status::Status;
use super::trim::Portion;
use super::witness::{Heads, Witness, Witnessed};
use crate::ledger::LedgerId;
use crate::store::{Anchor, Batch, CommitError, Head, OutboxEnd, OutboxKey, StoreError};
use crate::telemetry::Spread;

/// Requests that may wait for the writer: one per ledger with work, so this is never reached in
/// practice; when it is, callers wait.
pub(super) const QUEUE: usize = 4_096;

/// Most requests and bytes of one group. 8 MiB are written in some 10 ms.
const GROUP_REQUESTS_MAX: usize = 1_024;
const GROUP_BYTES_MAX: usize = 8 << 20;

/// How long a checkpoint may take before it is given up (the next one tries again).
const CHECKPOINT_TIME_MAX: Duration = Duration::from_secs(60);

type Reply<T> = oneshot::Sender<T>;

/// What the writer is asked.
pub(super) enum Request {
    Commit(Batch, Reply<Result<(), CommitError>>),
    OutboxDone(OutboxKey, OutboxEnd, Reply<Result<(), StoreError>>),
    Trim(Portion, Reply<Result<(), StoreError>>),
    /// Everything up to these heads is in tables.
    Checkpointed(Option<Heads>),
    Close(Reply<Result<(), StoreError>>),
}

/// See the module.
pub(super) struct Writer {
    pub(super) files: Files,
    pub(super) status: Arc<Status>,
    pub(super) heads: HashMap<LedgerId, (Head, Anchor)>,
    pub(super) witness: Witness,
    /// Ledgers that lost acknowledged commits: what was witnessed stays witnessed.
    pub(super) lost: HashMap<LedgerId, Witnessed>,
    pub(super) requests: mpsc::WeakSender<Request>,
    pub(super) checkpointing: bool,
    pub(super) checkpoint_batches: u64,
    /// How long a group took to be durable.
    pub(super) commit_seconds: Spread,
    /// Commits of a group.
    pub(super) batch: Spread,
}

/// What one group will have changed when it is flushed.
struct Group {
    batch: OwnedWriteBatch,
    heads: HashMap<LedgerId, (Head, Anchor)>,
    committed: HashSet<LedgerId>,
    bytes: usize,
    sealed: u32,
    commits: Vec<(LedgerId, Reply<Result<(), CommitError>>)>,
    dones: Vec<Reply<Result<(), StoreError>>>,
}

impl Writer {
    /// Serves until told to close.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut closing: Option<Reply<Result<(), StoreError>>> = None;
        while closing.is_none() {
            let Some(mut request) = requests.blocking_recv() else {
                break;
            };
            let mut group = self.group();
            loop {
                match request {
                    Request::Close(reply) => {
                        closing = Some(reply);
                        break;
                    }
                    Request::Checkpointed(heads) => self.checkpointed(heads),
                    other => self.stage(&mut group, other),
                }
                if group.is_full() {
                    break;
                }
                match requests.try_recv() {
                    Ok(next) => request = next,
                    Err(_) => break,
                }
            }
            self.write(group);
            self.maybe_checkpoint();
        }
        self.close(closing, &mut requests);
    }

    fn group(&self) -> Group {
        Group {
            batch: self.files.db.batch().durability(Some(PersistMode::SyncAll)),
            heads: HashMap::new(),
            committed: HashSet::new(),
            bytes: 0,
            sealed: 0,
            commits: Vec::new(),
            dones: Vec::new(),
        }
    }

    fn stage(&self, group: &mut Group, request: Request) {
        match request {
            Request::Commit(batch, reply) => match self.stage_commit(group, &batch) {
                Ok(()) => group.commits.push((batch.ledger, reply)),
                Err(error) => drop(reply.send(Err(error))),
            },
            Request::OutboxDone(item, end, reply) => match self.stage_done(group, &item, end) {
                Ok(()) => group.dones.push(reply),
                Err(error) => drop(reply.send(Err(error))),
            },
            Request::Trim(portion, reply) => match self.stage_trim(group, portion) {
                Ok(()) => group.dones.push(reply),
                Err(error) => drop(reply.send(Err(error))),
            },
            Request::Checkpointed(_) | Request::Close(_) => {}
        }
    }

    fn head<'a>(&'a self, group: &'a Group, ledger: &LedgerId) -> Option<&'a (Head, Anchor)> {
        group.heads.get(ledger).or_else(|| self.heads.get(ledger))
    }

    fn stage_commit(&self, group: &mut Group, batch: &Batch) -> Result<(), CommitError> {
        self.status.writable()?;
        self.status.usable(&batch.ledger)?;
        let known = self.head(group, &batch.ledger).cloned();
        batch.check(known.as_ref().map(|(head, _)| head))?;
        let Some(last) = batch.commits.last() else {
            return Ok(());
        };
        for sealed in &batch.commits {
            self.files.put_commit(&mut group.batch, sealed);
            group.bytes += sealed.row.len();
            group.sealed += 1;
        }
        let head = Head {
            seq: last.commit.seq,
            hash: last.hash,
            epoch: last.commit.epoch.clone(),
        };
        let anchor = known.map_or(Anchor::NONE, |(_, anchor)| anchor);
        self.files
            .put_head(&mut group.batch, &batch.ledger, &head, &anchor);
        group.heads.insert(batch.ledger.clone(), (head, anchor));
        group.committed.insert(batch.ledger.clone());
        Ok(())
    }

    fn stage_done(
        &self,
        group: &mut Group,
        item: &OutboxKey,
        end: OutboxEnd,
    ) -> Result<(), StoreError> {
        self.status.writable()?;
        let key = keys::outbox(item);
        let there = self
            .files
            .outbox
            .contains_key(&key)
            .map_err(|error| engine(&error))?;
        match end {
            _ if !there => {}
            OutboxEnd::Done => group.batch.remove(&self.files.outbox, key),
            OutboxEnd::Refused => {
                let row = seal(Kind::Outbox, &key, &OutboxValue { refused: true });
                group.batch.insert(&self.files.outbox, key, row);
            }
        }
        Ok(())
    }

    fn stage_trim(&self, group: &mut Group, portion: Portion) -> Result<(), StoreError> {
        self.status.writable()?;
        self.status.usable(&portion.ledger)?;
        let known = self.head(group, &portion.ledger).cloned();
        if let Some(((head, _), anchor)) = known.zip(portion.anchor) {
            self.files
                .put_head(&mut group.batch, &portion.ledger, &head, &anchor);
            group.heads.insert(portion.ledger.clone(), (head, anchor));
        }
        portion.stage(&self.files, &mut group.batch);
        Ok(())
    }

    /// Writes and flushes the group, then witnesses it, then answers.
    fn write(&mut self, group: Group) {
        let Group {
            batch,
            heads,
            committed,
            sealed,
            commits,
            dones,
            ..
        } = group;
        if commits.is_empty() && dones.is_empty() {
            return;
        }
        let began = Instant::now();
        let written = catch_unwind(AssertUnwindSafe(|| batch.commit()));
        let error = match written {
            Ok(Ok(())) => None,
            Ok(Err(error @ fjall::Error::Poisoned)) => {
                let error = engine(&error);
                self.status.poison(&error.to_string().into());
                Some((CommitError::Store(error.clone()), error))
            }
            failed => {
                let why: Arc<str> = match failed {
                    Ok(Err(error)) => plain(&error),
                    _ => "the storage engine failed while writing".into(),
                };
                self.status.poison(&why);
                for ledger in &committed {
                    self.status.doubt(ledger, &why);
                }
                Some((
                    CommitError::Unknown(Arc::clone(&why)),
                    StoreError::Unavailable(why),
                ))
            }
        };
        if error.is_none() {
            self.status.count_group();
            if sealed > 0 {
                self.commit_seconds.observe_duration(began.elapsed());
                self.batch.observe(f64::from(sealed));
            }
            let witnessed = committed.iter().filter_map(|ledger| {
                let (head, _) = heads.get(ledger)?;
                Some((ledger, head.seq, head.hash))
            });
            if let Err(error) = self.witness.append(witnessed) {
                // These commits are durable and are acknowledged; later ones could not be guarded.
                self.status.poison(&error.to_string().into());
            }
            self.heads.extend(heads);
        }
        // Whoever asked may have gone; then nobody misses the answer.
        for (_, reply) in commits {
            let _ = reply.send(
                error
                    .as_ref()
                    .map_or(Ok(()), |(error, _)| Err(error.clone())),
            );
        }
        for reply in dones {
            let _ = reply.send(
                error
                    .as_ref()
                    .map_or(Ok(()), |(_, error)| Err(error.clone())),
            );
        }
    }

    fn heads_now(&self) -> Heads {
        self.heads
            .iter()
            .map(|(id, (head, _))| (id.clone(), (head.seq, head.hash)))
            .collect()
    }

    fn maybe_checkpoint(&mut self) {
        if self.checkpointing || self.witness.frames() < self.checkpoint_batches {
            return;
        }
        self.checkpointing = true;
        let (files, heads) = (self.files.clone(), self.heads_now());
        let requests = self.requests.clone();
        let started = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || {
                let flushed = files.flush_tables(CHECKPOINT_TIME_MAX);
                if let Some(requests) = requests.upgrade() {
                    // The writer has gone: then the store is closing and makes its own checkpoint.
                    let _ = requests.blocking_send(Request::Checkpointed(flushed.then_some(heads)));
                }
            });
        if started.is_err() {
            self.checkpointing = false;
        }
    }

    /// Begins a new witness from heads that are in tables, and adds what came since.
    fn checkpointed(&mut self, base: Option<Heads>) {
        self.checkpointing = false;
        let Some(base) = base else { return };
        if self.status.writable().is_err() {
            return;
        }
        if let Err(error) = self.new_witness(&base) {
            self.status.poison(&error.to_string().into());
        }
    }

    fn new_witness(&mut self, base: &Heads) -> std::io::Result<()> {
        let mut base = base.clone();
        for (id, lost) in &self.lost {
            base.insert(id.clone(), (lost.base, lost.hash));
        }
        let mut witness = Witness::begin(self.witness.path(), &base)?;
        let lost = self.lost.iter().map(|(id, lost)| (id, lost.seq, lost.hash));
        let now = self
            .heads
            .iter()
            .map(|(id, (head, _))| (id, head.seq, head.hash));
        let newer = now.filter(|(id, seq, _)| base.get(*id).is_none_or(|(old, _)| old < seq));
        witness.append(lost.chain(newer))?;
        witness.flush()?;
        self.witness = witness;
        Ok(())
    }

    fn close(
        mut self,
        closing: Option<Reply<Result<(), StoreError>>>,
        requests: &mut mpsc::Receiver<Request>,
    ) {
        requests.close();
        let healthy = self.status.writable().is_ok();
        while let Ok(request) = requests.try_recv() {
            self.status.close();
            let mut group = self.group();
            self.stage(&mut group, request);
        }
        self.status.close();
        if healthy && closing.is_some() && self.files.flush_tables(CHECKPOINT_TIME_MAX) {
            let heads = self.heads_now();
            if let Err(error) = self.new_witness(&heads) {
                tracing::warn!(%error, "the closing checkpoint failed; the next start checks more");
            }
        }
        let flushed = self.witness.flush();
        drop(self.files);
        if let Some(reply) = closing {
            let result = flushed.map_err(|error| StoreError::Unavailable(error.to_string().into()));
            let _ = reply.send(result);
        }
    }
}

impl Group {
    fn is_full(&self) -> bool {
        let requests = self.commits.len() + self.dones.len();
        requests >= GROUP_REQUESTS_MAX || self.bytes >= GROUP_BYTES_MAX
    }
}

impl Files {
    /// Brings everything that is in memory into tables; false when that did not end in time.
    fn flush_tables(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let rotated = self
            .all()
            .into_iter()
            .all(|keyspace| keyspace.rotate_memtable().is_ok());
        while rotated && Instant::now() < end {
            if self
                .all()
                .iter()
                .all(|keyspace| keyspace.sealed_memtable_count() == 0)
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }
}

/// The first acknowledged commit of a ledger that is not there.
pub(super) fn lost_from(ledger: &LedgerId, there: u64, witnessed: u64) -> StoreError {
    let what = format!("acknowledged commits up to {witnessed} are missing");
    at(ledger, there + 1, &what)
}
