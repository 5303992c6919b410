//! One round of an actor: jobs run one after the other over what is durable and what the round
//! staged so far; then one write, then everything is applied and delivered, then everybody is
//! answered.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use hashbrown::HashMap;
use uuid::Uuid;

use super::actor::{Context, Reply};
use super::base::{Base, SubjectKey};
use super::planted::{Bug, planted};
use super::port::Delivery;
use super::state::is_resident;
use super::view::{Overlay, Staged, View};
use super::{
    Call, CallError, Commit, Done, Entry, IdempotencyKey, KEY_BYTES_MAX, SealedCommit, State,
};
use crate::store::{Batch, CommitError, Head, Record, StoreError};

/// Most commits of one round: at 1 KiB each, 256 KiB for the store's write.
const ROUND_COMMITS_MAX: usize = 256;

/// Most bytes of commits of one round before it is written.
const ROUND_BYTES_MAX: usize = 1 << 20;

/// Largest commit. 400 recipients with their channels take 20 KiB; the rest is content.
const COMMIT_BYTES_MAX: usize = 4 << 20;

/// How often a call is run again because somebody else wrote first.
const CONFLICT_TRIES_MAX: usize = 4;

/// See the module.
pub(super) struct Round<S: State> {
    overlay: Overlay,
    /// Head as it will be when everything staged is written.
    tip: Option<Head>,
    sealed: Vec<SealedCommit>,
    /// When the call that made each commit arrived.
    arrived_us: Vec<u64>,
    bytes: usize,
    /// Keys used in this round: fingerprint and place in `sealed`.
    keys: HashMap<SubjectKey, ([u8; 16], usize)>,
    calls: Vec<(Call<S>, Reply, Result<Made, CallError>)>,
    /// A call that met what other nodes wrote meanwhile: to be run again when that is taken in.
    behind: Option<(Call<S>, Reply)>,
    /// A resident record was changed, or something must be taken in: the next job must see it applied.
    ended: bool,
}

/// What a job came to, before it is durable.
enum Made {
    /// It staged nothing.
    Nothing(Bytes),
    /// It made the commit at this place of the round.
    Commit(usize),
    /// The commit at this place of the round was made by the same call before.
    SameRound(usize),
    /// It was done in an earlier round.
    Before(Arc<Commit>),
}

impl<S: State> Default for Round<S> {
    fn default() -> Self {
        Self {
            overlay: Overlay::default(),
            tip: None,
            sealed: Vec::new(),
            arrived_us: Vec::new(),
            bytes: 0,
            keys: HashMap::new(),
            calls: Vec::new(),
            behind: None,
            ended: false,
        }
    }
}

impl<S: State> Round<S> {
    /// Runs one call; it is answered when the round is finished.
    pub(super) async fn run(
        &mut self,
        context: &Context<S>,
        base: &Base<S>,
        mut call: Call<S>,
        reply: Reply,
    ) {
        base.begin_reading();
        let made = self.attempt(context, base, &mut call).await;
        match is_of_the_head(base, &made).await {
            Ok(true) => self.calls.push((call, reply, made)),
            Ok(false) => {
                self.behind = Some((call, reply));
                self.ended = true;
            }
            Err(error) => self.calls.push((call, reply, Err(error.into()))),
        }
    }

    /// Whether the round must be finished before the next call.
    pub(super) fn is_full(&self) -> bool {
        self.ended || self.sealed.len() >= ROUND_COMMITS_MAX || self.bytes >= ROUND_BYTES_MAX
    }

    /// Writes what was staged and answers everybody. Calls that met a conflict are run again.
    pub(super) async fn finish(&mut self, context: &Context<S>, base: &mut Base<S>) {
        let mut again = self.write(context, base).await;
        for _ in 0..CONFLICT_TRIES_MAX {
            if again.is_empty() {
                return;
            }
            let mut calls = std::mem::take(&mut again).into_iter();
            for (call, reply) in calls.by_ref() {
                self.run(context, base, call, reply).await;
                if self.is_full() {
                    again = self.write(context, base).await;
                    if !again.is_empty() {
                        break;
                    }
                }
            }
            if again.is_empty() {
                again = self.write(context, base).await;
            }
            // Those behind a conflict wait for those before them.
            again.extend(calls);
        }
        for (_, reply) in again {
            // The caller may have gone; then nobody misses the answer.
            let _ = reply.send(Err(CallError::Contended));
        }
    }

    async fn attempt(
        &mut self,
        context: &Context<S>,
        base: &Base<S>,
        call: &mut Call<S>,
    ) -> Result<Made, CallError> {
        if let Some(key) = &call.idempotency
            && let Some(made) = self.replay(base, &call.actor.subject, key).await?
        {
            return Ok(made);
        }
        let now_ms = context.ledgers.inner().clock.now_ms();
        let mut view = View::new(base, &self.overlay, &call.actor, now_ms);
        let run = AssertUnwindSafe(call.job.run(&mut view))
            .catch_unwind()
            .await;
        let (staged, failure) = view.into_staged();
        if let Some(error) = failure {
            return Err(error.into());
        }
        let outcome = run
            .map_err(|_| CallError::Closed)?
            .map_err(CallError::Refused)?;
        // A delivery from an outbox leaves a commit even if it changes nothing: the receipt by
        // which `verify` sees that it arrived.
        let receipt = call
            .idempotency
            .as_ref()
            .is_some_and(|key| IdempotencyKey::is_of_outbox(&key.key));
        if staged.is_empty() && !receipt {
            return Ok(Made::Nothing(outcome));
        }
        check(base, &staged)?;
        let commit = self
            .commit_of(context, base, call, now_ms, outcome, staged)
            .await?;
        let sealed = SealedCommit::seal(commit);
        if sealed.row.len() > COMMIT_BYTES_MAX {
            return Err(CallError::Unwritable("a commit has at most 4 MiB"));
        }
        self.take_in(sealed);
        self.arrived_us.push(call.arrived_us);
        Ok(Made::Commit(self.sealed.len() - 1))
    }

    /// Looks whether this was done before.
    async fn replay(
        &self,
        base: &Base<S>,
        subject: &Arc<str>,
        key: &IdempotencyKey,
    ) -> Result<Option<Made>, CallError> {
        let pair = (Arc::clone(subject), Arc::clone(&key.key));
        if let Some((fingerprint, place)) = self.keys.get(&pair) {
            let same = *fingerprint == key.fingerprint;
            return same
                .then_some(Some(Made::SameRound(*place)))
                .ok_or(CallError::IdempotencyConflict);
        }
        let Some(before) = base.remembered(subject, &key.key).await? else {
            return Ok(None);
        };
        if before.fingerprint != key.fingerprint {
            return Err(CallError::IdempotencyConflict);
        }
        base.note_read(before.seq);
        let found = base
            .store
            .commits_since(&base.ledger, before.seq - 1, 1)
            .await?;
        let found = found
            .into_iter()
            .find(|sealed| sealed.commit.seq == before.seq);
        let found = found.ok_or_else(|| base.missing(before.seq))?;
        Ok(Some(Made::Before(found.commit)))
    }

    async fn commit_of(
        &self,
        context: &Context<S>,
        base: &Base<S>,
        call: &Call<S>,
        now_ms: u64,
        outcome: Bytes,
        staged: Staged,
    ) -> Result<Commit, StoreError> {
        let head = self.tip.as_ref().unwrap_or(&base.head);
        let random = context.ledgers.inner().clock.random();
        Ok(Commit {
            ledger: base.ledger.clone(),
            seq: head.seq + 1,
            epoch: head.epoch.clone(),
            time_ms: now_ms,
            id: uuid_v7(now_ms, random),
            actor: call.actor.clone(),
            operation: Arc::clone(&call.operation),
            idempotency: call.idempotency.clone(),
            outcome,
            records: staged.records.into_values().collect(),
            entries: self.number(base, staged.entries).await?,
            outbox: staged.outbox,
            prev_hash: head.hash,
        })
    }

    /// Gives entries their offsets.
    async fn number(
        &self,
        base: &Base<S>,
        entries: Vec<(Vec<super::ChannelName>, super::Content)>,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let mut tops = HashMap::new();
        let mut numbered = Vec::with_capacity(entries.len());
        for (channels, content) in entries {
            let heads = base.heads(&channels).await?;
            let mut placed = Vec::with_capacity(channels.len());
            for (channel, head) in channels.into_iter().zip(heads) {
                let before = self.overlay.tops.get(&channel).copied().unwrap_or(head.top);
                let top = tops.entry(channel.clone()).or_insert(before);
                *top += 1;
                placed.push((channel, *top));
            }
            numbered.push(Arc::new(Entry {
                channels: placed,
                content,
            }));
        }
        Ok(numbered)
    }

    /// What is staged is seen by the following jobs of the round.
    fn take_in(&mut self, sealed: SealedCommit) {
        let commit = &sealed.commit;
        for change in &commit.records {
            let (index, seq) = (change.index.clone(), commit.seq);
            let record = change
                .value
                .clone()
                .map(|value| Record { seq, index, value });
            self.overlay.records.insert(change.key.clone(), record);
            self.ended |= is_resident::<S>(&change.key);
        }
        for (channel, offset) in commit.entries.iter().flat_map(|entry| &entry.channels) {
            self.overlay.tops.insert(channel.clone(), *offset);
        }
        if let Some(key) = &commit.idempotency {
            let pair = (Arc::clone(&commit.actor.subject), Arc::clone(&key.key));
            self.keys.insert(pair, (key.fingerprint, self.sealed.len()));
        }
        let (seq, hash, epoch) = (commit.seq, sealed.hash, commit.epoch.clone());
        self.tip = Some(Head { seq, hash, epoch });
        self.bytes += sealed.row.len();
        self.sealed.push(sealed);
    }

    /// Writes, applies, delivers, answers. Gives back the calls that must be run again.
    async fn write(&mut self, context: &Context<S>, base: &mut Base<S>) -> Vec<(Call<S>, Reply)> {
        let mut round = std::mem::take(self);
        if planted(Bug::AcknowledgeEarly) {
            round.answer(None);
        }
        let written = if round.sealed.is_empty() {
            Ok(())
        } else {
            round.commit(context, base).await
        };
        let again = match written {
            Ok(()) => {
                round.answer(None);
                Vec::from_iter(round.behind.take())
            }
            Err(CommitError::Conflict { found, .. }) => {
                context.ledgers.inner().counts.conflicts.add(1);
                base.note_conflict(found);
                let calls = std::mem::take(&mut round.calls).into_iter();
                let calls = calls.map(|(call, reply, _)| (call, reply));
                calls.chain(round.behind.take()).collect()
            }
            Err(error) => {
                // Nothing is known before it is found out, least of all where the ledger stands.
                base.is_in_doubt |= matches!(error, CommitError::Unknown(_));
                round.answer(Some(&error.into()));
                return Vec::new();
            }
        };
        if again.is_empty() {
            return again;
        }
        match super::foreign::catch_up(context, base).await {
            Ok(()) => again,
            Err(error) => {
                let error = CallError::from(error);
                for (_, reply) in again {
                    // The caller may have gone; then nobody misses the answer.
                    let _ = reply.send(Err(error.clone()));
                }
                Vec::new()
            }
        }
    }

    /// Writes what is sealed; when it is durable, applies and delivers it.
    async fn commit(&self, context: &Context<S>, base: &mut Base<S>) -> Result<(), CommitError> {
        let counts = &context.ledgers.inner().counts;
        let began = Instant::now();
        let batch = Batch {
            ledger: base.ledger.clone(),
            expected_seq: base.head.seq,
            commits: self.sealed.clone(),
        };
        match base.store.commit(batch).await {
            Err(CommitError::Unknown(_)) if planted(Bug::GuessUnknown) => {}
            Err(CommitError::Unknown(_)) => {
                counts.read_backs.add(1);
                resolve(base, &self.sealed).await?;
            }
            written => written?,
        }
        // First, so that other nodes begin their own fan-out while this one does its own.
        let herald = &context.ledgers.inner().herald;
        herald.durable(&base.ledger, &self.sealed);
        for (sealed, arrived_us) in self.sealed.iter().zip(&self.arrived_us) {
            counts.committed(&base.ledger, &sealed.commit);
            apply_and_deliver(context, base, sealed, *arrived_us).await;
        }
        counts.wrote(self.sealed.len(), began.elapsed());
        Ok(())
    }

    /// Answers everybody. With an error, all get it who built on something that was not written:
    /// that may be everybody, since each saw what those before staged.
    fn answer(&mut self, error: Option<&CallError>) {
        if let (Some(error), Some((_, reply))) = (error, self.behind.take()) {
            let _ = reply.send(Err(error.clone())); // As below.
        }
        for (_, reply, made) in std::mem::take(&mut self.calls) {
            let answer = match (made, error) {
                (Ok(Made::Before(commit)), _) => Ok(Done {
                    outcome: commit.outcome.clone(),
                    commit: Some(commit),
                    replayed: true,
                }),
                (_, Some(error)) => Err(error.clone()),
                (Err(error), None) => Err(error),
                (Ok(Made::Nothing(outcome)), None) => Ok(Done {
                    outcome,
                    commit: None,
                    replayed: false,
                }),
                (Ok(Made::Commit(place)), None) => done(&self.sealed, place, false),
                (Ok(Made::SameRound(place)), None) => done(&self.sealed, place, true),
            };
            // The caller may have gone; then nobody misses the answer.
            let _ = reply.send(answer);
        }
    }
}

fn done(sealed: &[SealedCommit], place: usize, replayed: bool) -> Result<Done, CallError> {
    let commit = sealed.get(place).map(|sealed| Arc::clone(&sealed.commit));
    let commit = commit.ok_or(CallError::Closed)?;
    Ok(Done {
        outcome: commit.outcome.clone(),
        commit: Some(commit),
        replayed,
    })
}

/// What can be staged but not be written.
fn check<S: State>(base: &Base<S>, staged: &Staged) -> Result<(), CallError> {
    let fits = |key: &str| !key.is_empty() && key.len() <= KEY_BYTES_MAX;
    let changes = staged.records.values();
    let keys_fit = changes.clone().all(|change| fits(change.key.as_str()));
    let mut index = changes.flat_map(|change| change.index.iter().chain(&change.unindex));
    if !keys_fit || !index.all(|key| fits(key.as_str())) {
        return Err(CallError::Unwritable(
            "a record or index key has 1 to 512 bytes",
        ));
    }
    let mut channels = staged.entries.iter().flat_map(|(channels, _)| channels);
    if !channels.all(|channel| base.ledger.holds(channel)) {
        return Err(CallError::Unwritable(
            "the channel belongs to another ledger",
        ));
    }
    Ok(())
}

/// The write may or may not have happened: read back and compare, never guess.
async fn resolve<S: State>(base: &Base<S>, sealed: &[SealedCommit]) -> Result<(), CommitError> {
    let unknown = |error: StoreError| CommitError::Unknown(error.to_string().into());
    let expected = base.head.seq;
    let head = base.store.head(&base.ledger).await.map_err(unknown)?;
    let found = head.map_or(0, |head| head.seq);
    let Some(first) = sealed.first() else {
        return Ok(());
    };
    if found > expected {
        let page = base.store.commits_since(&base.ledger, expected, 1).await;
        let page = page.map_err(unknown)?;
        let there = page.first().map(|there| &there.commit);
        match there.filter(|there| there.seq == expected + 1) {
            Some(there) if there.id == first.commit.id => return Ok(()),
            Some(_) => {}
            // Retention has removed it meanwhile, whosever it was.
            None => {
                return Err(CommitError::Unknown(
                    "it is no longer there to compare".into(),
                ));
            }
        }
    }
    Err(CommitError::Conflict { expected, found })
}

/// Whether all that a call saw was of one time, that of the ledger's head. What it writes needs no look: it fails if not.
/// A refusal is looked after too: somebody may have given the right to it on another node a moment ago.
async fn is_of_the_head<S: State>(
    base: &Base<S>,
    made: &Result<Made, CallError>,
) -> Result<bool, StoreError> {
    if !base.is_shared() || matches!(made, Ok(Made::Commit(_))) || planted(Bug::MixTimes) {
        return Ok(true);
    }
    if base.has_read_ahead() {
        return Ok(false);
    }
    let is_refused = matches!(made, Err(CallError::Refused(refusal)) if !refusal.temporary);
    if is_refused || base.has_read_unsure() {
        return Ok(!base.is_behind().await?);
    }
    Ok(true)
}

async fn apply_and_deliver<S: State>(
    context: &Context<S>,
    base: &mut Base<S>,
    sealed: &SealedCommit,
    arrived_us: u64,
) {
    let changes = base.apply_own(sealed);
    let changes = base.due(changes);
    let delivery = Arc::new(Delivery {
        commit: Arc::clone(&sealed.commit),
        changes,
        arrived_us,
    });
    context.ledgers.inner().outlet.deliver(delivery).await;
    if !sealed.commit.outbox.is_empty() {
        super::outbox::start(context);
    }
}

fn uuid_v7(now_ms: u64, random: u128) -> Uuid {
    let bytes = random.to_le_bytes();
    let mut tail = [0; 10];
    tail.copy_from_slice(&bytes[..10]);
    uuid::Builder::from_unix_timestamp_millis(now_ms, &tail).into_uuid()
}
