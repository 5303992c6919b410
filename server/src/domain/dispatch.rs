//! From a door's call to the ledger that does it, and back: routing, admission from above, idempotency keys, and the
//! one translation of everything that can go wrong into an [`OperationError`].

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::counts::Counts;
use super::error::{self, ErrorCode};
use super::operation::{Declaration, Degraded, Kind, Missing, Prepared, Target, ledger_of};
use super::roles::Roles;
use super::routing::Routing;
use super::{Caller, Door, RetryKey, registry};
use crate::admission::{Level, Load, Service, Work};
use crate::ledger::{
    Call, CallError, Clock, Commit, IdempotencyKey, Inbox, IndexKey, Job, LedgerId, Ledgers,
    Refusal,
};
use crate::people::record::account_index;
use crate::people::{
    Assurance, LoginRole, ObjectId, Roster, SubjectId, UnitCode, UserKind, day, entitlements,
};
use crate::store::StoreError;
use crate::telemetry::{Count, Meters, now_us};

/// Most units that one call to all of a login's units asks. A family with four children, each in school, leisure centre and
/// club, has twelve; the rest is room for advisers. More would make the first screen slow for everybody, so the answer
/// names those it left out, and they are asked for by name.
const UNITS_ASKED_MAX: usize = 32;
/// Units read from the index at once.
const UNITS_PAGE: usize = 256;
/// Most units one login is known in: more than the largest municipality has institutions. Beyond it something is wrong, and
/// that is said rather than a part served as if it were all.
const UNITS_OF_LOGIN_MAX: usize = 1_024;

/// A call as a door hands it in.
#[derive(Debug, Clone)]
pub struct Request {
    /// The operation's name.
    pub operation: String,
    /// Its input as JSON; empty means `{}`.
    pub input: Bytes,
    /// The caller's key against doing it twice.
    pub idempotency: Option<String>,
    /// Who calls.
    pub caller: Caller,
    /// When it arrived, by [`telemetry::now_us`](crate::telemetry::now_us); 0 where that is when it
    /// is called.
    pub arrived_us: u64,
}

/// What a call gave.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The output as JSON.
    pub output: Bytes,
    /// Whether it had been done before under the same idempotency key.
    pub replayed: bool,
    /// The commit it made; `None` when nothing changed or several ledgers were asked.
    pub commit: Option<Arc<Commit>>,
}

/// Why a call was not, or perhaps not, done, ready for any door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} ({code}): {detail}")]
pub struct OperationError {
    /// The stable number.
    pub code: u32,
    /// The message key.
    pub key: &'static str,
    /// HTTP status of the REST door.
    pub status: u16,
    /// Whether the same call may work later.
    pub temporary: bool,
    /// For developers: what is wrong, and what to do. No content.
    pub detail: String,
}

impl OperationError {
    fn of(row: &ErrorCode) -> Self {
        row.refuse("").into()
    }

    /// The texts people read, Danish and English.
    #[must_use]
    pub fn texts(&self) -> (&'static str, &'static str) {
        error::by_code(self.code).map_or(("Der skete en fejl.", "Something went wrong."), |row| {
            (row.danish, row.english)
        })
    }
}

impl From<Refusal> for OperationError {
    fn from(refusal: Refusal) -> Self {
        let status = error::by_code(refusal.code).map_or(500, |row| row.status);
        let Refusal {
            code,
            key,
            detail,
            temporary,
        } = refusal;
        Self {
            code,
            key,
            status,
            temporary,
            detail,
        }
    }
}

impl From<CallError> for OperationError {
    fn from(failure: CallError) -> Self {
        match failure {
            CallError::Refused(refusal) => refusal.into(),
            CallError::Busy | CallError::Contended => Self::of(&error::BUSY),
            CallError::IdempotencyConflict => Self::of(&error::IDEMPOTENCY_CONFLICT),
            CallError::Unwritable(_) => Self::of(&error::TOO_LARGE),
            CallError::Unknown | CallError::Closed => Self::of(&error::OUTCOME_UNKNOWN),
            CallError::Name(_) => Self::of(&error::NOT_FOUND),
            CallError::Store(StoreError::Damaged(_)) => Self::of(&error::DAMAGED),
            _ => Self::of(&error::UNAVAILABLE),
        }
    }
}

/// The operations over the ledgers; what every door holds. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Domain {
    ledgers: Ledgers<Roster>,
    clock: Arc<dyn Clock>,
    counts: Counts,
    roles: Arc<Roles>,
    load: Arc<Load>,
    routing: Routing,
}

impl Domain {
    /// The operations over these ledgers, by this clock, counted here.
    #[must_use]
    pub fn new(ledgers: Ledgers<Roster>, clock: Arc<dyn Clock>, meters: Meters) -> Self {
        Self {
            ledgers,
            clock,
            counts: Counts::new(meters),
            roles: Arc::default(),
            load: Arc::new(Load::new(0)),
            routing: Routing::default(),
        }
    }

    /// The same, on a node whose load is told here.
    #[must_use]
    pub fn under(self, load: Arc<Load>) -> Self {
        Self { load, ..self }
    }

    /// The same, where what writes goes to the nodes that write.
    #[must_use]
    pub fn routed(self, routing: Routing) -> Self {
        Self { routing, ..self }
    }

    /// The way to the nodes that write.
    #[must_use]
    pub const fn routing(&self) -> &Routing {
        &self.routing
    }

    pub(super) fn withheld(&self) -> Count {
        self.counts.withheld.clone()
    }

    pub(super) fn count_done(&self, operation: &str, answer: &Answer) {
        self.counts.done(operation, answer);
    }

    /// The ledgers underneath.
    #[must_use]
    pub const fn ledgers(&self) -> &Ledgers<Roster> {
        &self.ledgers
    }

    /// Does what a door asks. When it returns `Ok`, everything is durable and on its way to every shard.
    ///
    /// # Errors
    /// See [`OperationError`]; `outcome_unknown` is the only one that leaves open whether it was done.
    pub async fn call(&self, mut request: Request) -> Result<Answer, OperationError> {
        let (began, door) = (Instant::now(), request.caller.door);
        let operation = request.operation.clone();
        request.caller.withheld = self.counts.withheld.clone();
        if request.arrived_us == 0 {
            request.arrived_us = now_us();
        }
        let outcome = self.route(request).await;
        self.counts
            .called(&operation, door, began.elapsed(), &outcome);
        outcome
    }

    async fn route(&self, mut request: Request) -> Result<Answer, OperationError> {
        let unknown = || OperationError::of(&error::UNKNOWN_OPERATION);
        let declared = registry::find(&request.operation).ok_or_else(unknown)?;
        let outside = !matches!(request.caller.door, Door::Server | Door::Cli | Door::Outbox);
        if declared.declaration.kind == Kind::Internal && outside {
            return Err(unknown());
        }
        let work = if outside {
            self.screen(&declared.declaration, request.caller.subject.as_ref())
                .await?
        } else {
            Work::Care
        };
        let prepared = declared.prepare(&request.input)?;
        let key = request.idempotency.as_deref().map(RetryKey::parse);
        let is_command = declared.declaration.kind == Kind::Command;
        let key = key.transpose().map_err(|fault| {
            OperationError::from(error::INVALID_INPUT.refuse(&fault.to_string()))
        })?;
        let given = key.filter(|_| is_command).map(|_| ());
        request.idempotency = request.idempotency.filter(|_| given.is_some());
        match prepared.target.clone() {
            Target::Ledger(ledger) => {
                // Held to the end, so that what comes later stays behind it.
                let way = if is_command {
                    self.routing.way(&ledger).await
                } else {
                    None
                };
                if let Some(way) = &way
                    && let Some(outcome) = self.call_elsewhere(way, &mut request, work).await
                {
                    return outcome;
                }
                let key = request.idempotency.as_deref();
                let key =
                    key.map(|key| IdempotencyKey::new(key, &request.operation, &request.input));
                let mut done = self
                    .call_one(&ledger, &prepared, request, key, work)
                    .await?;
                // A key that this node made is nobody's repetition.
                done.replayed &= given.is_some();
                Ok(done)
            }
            Target::EveryOwn => self.call_every_own(&prepared, request, work).await,
            Target::Session => Err(OperationError::of(&error::NEEDS_CONNECTION)),
        }
    }

    /// What a call is worth, by who makes it. Refused when work of that kind is put off just now; nothing was done then, so
    /// it costs next to nothing.
    async fn screen(
        &self,
        declaration: &Declaration,
        subject: Option<&SubjectId>,
    ) -> Result<Work, OperationError> {
        let (level, worth) = (self.load.level(), declaration.work);
        let known = subject.and_then(|it| self.known_role(it));
        let role = match (known, subject) {
            // Whether it is staff matters only where that decides.
            (None, Some(subject)) if level.puts_off(worth.others) => self.role_of(subject).await,
            (known, _) => known.unwrap_or(LoginRole::Other),
        };
        let work = if role == LoginRole::Staff {
            worth.staff
        } else {
            worth.others
        };
        if level.puts_off(work) {
            self.counts.put_off(work, "level");
            return Err(OperationError::of(&error::PUT_OFF));
        }
        Ok(work)
    }

    /// Counts a call that a ledger with too much waiting turned away.
    fn note_outcome<T>(&self, work: Work, outcome: Result<T, CallError>) -> Result<T, CallError> {
        if matches!(outcome, Err(CallError::Busy)) {
            self.counts.put_off(work, "ledger");
        }
        outcome
    }

    pub(super) async fn call_one(
        &self,
        ledger: &LedgerId,
        prepared: &Prepared,
        request: Request,
        key: Option<IdempotencyKey>,
        work: Work,
    ) -> Result<Answer, OperationError> {
        let mut caller = request.caller;
        self.admit(ledger, prepared, &mut caller).await?;
        let caller = Arc::new(caller);
        let operation: Arc<str> = request.operation.into();
        let arrived_us = request.arrived_us;
        let call = |job, idempotency| Call {
            actor: caller.actor(prepared.profile.as_ref()),
            job,
            operation: Arc::clone(&operation),
            idempotency,
            arrived_us,
            leaves_free_percent: work.leaves_free_percent(),
        };
        let job = prepared.job(Arc::clone(&caller));
        let done = self.ledgers.call(ledger, call(job, key)).await;
        let done = self.note_outcome(work, done)?;
        let output = if done.replayed {
            // Kept as it was said then; who asks again may be a lower session, and the words may be gone.
            let again = prepared.again(Arc::clone(&caller), done.outcome);
            self.ledgers.call(ledger, call(again, None)).await?.outcome
        } else {
            done.outcome
        };
        Ok(Answer {
            output,
            replayed: done.replayed,
            commit: done.commit,
        })
    }

    /// Asks the acting profile's own unit whether it lets the caller see channels of a unit above. Whether somebody
    /// belongs to a municipality is known in their institution, so this is decided there and carried along.
    async fn admit(
        &self,
        ledger: &LedgerId,
        prepared: &Prepared,
        caller: &mut Caller,
    ) -> Result<(), OperationError> {
        caller.admitted.clear();
        let (Some(profile), Some(subject)) = (&prepared.profile, caller.subject.clone()) else {
            return Ok(());
        };
        let own = ledger_of(profile.unit());
        if own == *ledger {
            return Ok(());
        }
        let (assurance, now_ms, profile) = (caller.assurance, self.clock.now_ms(), profile.clone());
        let scope = caller.scope.clone();
        let look = move |roster: &Roster| {
            let today = day::day_at(now_ms);
            let owns = roster.own_profile(&subject, &profile, today).is_some();
            if owns && scope.admits(&profile) {
                entitlements(roster, &subject, &scope, assurance, today)
            } else {
                Vec::new()
            }
        };
        caller.admitted = self.ledgers.inspect(&own, look).await?;
        Ok(())
    }

    /// The ledgers in which a login has a record, all of them.
    ///
    /// # Errors
    /// When the store fails, or when there are more than anybody can have.
    pub async fn units_of(&self, subject: &SubjectId) -> Result<Vec<LedgerId>, OperationError> {
        let index = IndexKey::new(&account_index(subject));
        let mut units = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .ledgers
                .lookup(&index, after.as_ref(), UNITS_PAGE)
                .await?;
            let is_last = page.len() < UNITS_PAGE;
            after = page.last().cloned();
            units.extend(page.into_iter().map(|(ledger, _)| ledger));
            if units.len() > UNITS_OF_LOGIN_MAX {
                let fault = "the login is known in more units than the server reads";
                return Err(error::TOO_LARGE.refuse(fault).into());
            }
            if is_last {
                return Ok(units);
            }
        }
    }

    /// As what a login comes, when that was found lately.
    #[must_use]
    pub fn known_role(&self, subject: &SubjectId) -> Option<LoginRole> {
        self.roles.find(subject, self.clock.now_ms())
    }

    /// Remembers as what a login comes, by the kinds of its profiles.
    pub fn note_role(
        &self,
        subject: &SubjectId,
        kinds: impl IntoIterator<Item = UserKind>,
    ) -> LoginRole {
        let role = LoginRole::of(kinds);
        self.roles.keep(subject, role, self.clock.now_ms());
        role
    }

    /// As what a login comes: remembered, or asked of its units. It decides who goes first and gives no right, so where
    /// that cannot be found just now, the login is like one that nobody knows.
    pub async fn role_of(&self, subject: &SubjectId) -> LoginRole {
        if let Some(role) = self.known_role(subject) {
            return role;
        }
        let Ok(units) = self.units_of(subject).await else {
            return LoginRole::Other;
        };
        let today = day::day_at(self.clock.now_ms());
        let asked = units.iter().map(|unit| {
            let subject = subject.clone();
            let look = move |roster: &Roster| {
                let held = roster.profiles_of(&subject).filter(|it| it.holds(today));
                held.map(|profile| profile.kind).collect::<Vec<_>>()
            };
            self.ledgers.inspect(unit, look)
        });
        let kinds = futures_util::future::try_join_all(asked).await;
        match kinds {
            Ok(kinds) => self.note_role(subject, kinds.into_iter().flatten()),
            Err(_) => LoginRole::Other,
        }
    }

    /// Writes down, where somebody is stepped up, that open sessions of theirs hear what is sensitive in full from now on,
    /// and gives until when; 0 where nobody is. To be done before a session's lenses open. A damaged unit gives nothing out
    /// and so needs no log.
    ///
    /// # Errors
    /// As a call; then the session must not be opened as stepped up.
    pub async fn watch(
        &self,
        units: &[LedgerId],
        subject: &SubjectId,
        assurance: Assurance,
    ) -> Result<u64, OperationError> {
        if !assurance.is_fresh(self.clock.now_ms()) {
            return Ok(0);
        }
        let watches = units.iter().map(|unit| {
            let input = serde_json::json!({
                "unit": unit.as_str(),
                "subject": subject,
                "until_ms": assurance.full_until_ms(),
            });
            self.call(Request {
                operation: "access.watch".to_owned(),
                input: Bytes::from(input.to_string()),
                idempotency: None,
                caller: Caller::server(Door::Server),
                arrived_us: 0,
            })
        });
        for watched in futures_util::future::join_all(watches).await {
            match watched {
                Err(fault) if fault.code != error::DAMAGED.code => return Err(fault),
                _ => {}
            }
        }
        Ok(assurance.full_until_ms())
    }

    /// How service is, when it is not as usual.
    fn reduced(&self) -> Option<Service> {
        let level = self.load.level();
        (level > Level::NORMAL).then(|| Service::at(level))
    }

    async fn call_every_own(
        &self,
        prepared: &Prepared,
        request: Request,
        work: Work,
    ) -> Result<Answer, OperationError> {
        let Some(subject) = request.caller.subject.clone() else {
            return Err(OperationError::of(&error::NOT_SIGNED_IN));
        };
        let mut ledgers = self.units_of(&subject).await?;
        if let Some(within) = &prepared.within {
            let named: Vec<_> = within.iter().map(ledger_of).collect();
            ledgers.retain(|ledger| named.contains(ledger));
        }
        let further = ledgers.split_off(ledgers.len().min(UNITS_ASKED_MAX));
        let caller = Arc::new(request.caller);
        let operation: Arc<str> = request.operation.into();
        let calls = ledgers.iter().map(|ledger| {
            let call = Call {
                actor: caller.actor(None),
                job: prepared.job(Arc::clone(&caller)),
                operation: Arc::clone(&operation),
                idempotency: None,
                arrived_us: 0,
                leaves_free_percent: work.leaves_free_percent(),
            };
            self.ledgers.call(ledger, call)
        });
        let done = futures_util::future::join_all(calls).await;
        let mut outputs = Vec::with_capacity(done.len());
        let mut missing = Missing {
            degraded: Vec::new(),
            further: further.iter().filter_map(unit_of).collect(),
            reduced: self.reduced(),
        };
        let mut first = None;
        for (ledger, done) in ledgers.iter().zip(done) {
            match self.note_outcome(work, done) {
                Ok(done) => outputs.push(done.outcome),
                Err(failure) => {
                    let failure = OperationError::from(failure);
                    missing
                        .degraded
                        .extend(unit_of(ledger).map(|unit| Degraded {
                            unit,
                            code: failure.code,
                            key: failure.key.to_owned(),
                            temporary: failure.temporary,
                        }));
                    first.get_or_insert(failure);
                }
            }
        }
        // One unit that cannot answer spoils nothing for the others; when none can, that is the answer.
        if let Some(failure) = first.filter(|_| outputs.is_empty()) {
            return Err(failure);
        }
        Ok(Answer {
            output: prepared.merge(outputs, missing)?,
            replayed: false,
            commit: None,
        })
    }
}

/// The unit whose ledger this is.
fn unit_of(ledger: &LedgerId) -> Option<UnitCode> {
    ledger.as_str().parse().ok()
}

/// Runs what other ledgers hand over: internal operations, as the server.
#[derive(Debug, Default, Clone, Copy)]
pub struct OutboxDoor;

impl Inbox<Roster> for OutboxDoor {
    fn job(&self, _: &LedgerId, operation: &str, input: &Bytes) -> Option<Box<dyn Job<Roster>>> {
        let declared = registry::find(operation)
            .filter(|declared| declared.declaration.kind == Kind::Internal)?;
        let prepared = declared.prepare(input).ok()?;
        Some(prepared.job(Arc::new(Caller::server(Door::Outbox))))
    }
}
