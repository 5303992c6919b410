//! What an operation is: its declaration, and its erased form that every door uses.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{self, ErrorCode};
use super::{Caller, Context};
use crate::admission::{Service, Work};
use crate::ledger::{Job, LedgerId, Refusal, View};
use crate::people::rights::{Action, Denied};
use crate::people::{ProfileId, Roster, UnitCode};

/// Whether an operation changes something, and who may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Changes something; takes an idempotency key.
    Command,
    /// Changes nothing but the access log.
    Query,
    /// Not at any public door: run by the server itself, or by another ledger's outbox.
    Internal,
}

/// HTTP methods of REST doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A query; its input comes from path and query.
    Get,
    /// A command; its input comes from path and body.
    Post,
    /// A command that replaces; its input comes from path and body.
    Put,
    /// A command that changes a part; its input comes from path and body.
    Patch,
    /// A command that takes away; its input comes from path and query.
    Delete,
}

/// The REST door of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// The method.
    pub method: Method,
    /// The path under the server's root, such as `/v1/threads/{thread}`; each parameter is a field of the input.
    pub path: &'static str,
}

impl Rest {
    /// A door.
    #[must_use]
    pub const fn new(method: Method, path: &'static str) -> Self {
        Self { method, path }
    }
}

/// Everything about an operation that doors and documentation need.
#[derive(Debug)]
pub struct Declaration {
    /// The name, which is also the RPC method: `thread.create`.
    pub name: &'static str,
    /// One sentence for people who read the description.
    pub summary: &'static str,
    /// Whether it changes something.
    pub kind: Kind,
    /// The REST door, if it has one.
    pub rest: Option<Rest>,
    /// What it is worth when not all can be done.
    pub work: Importance,
    /// The rows of the rights table it asks; empty when taking part is right enough.
    pub rights: &'static [Action],
    /// The errors it may give beside those of every call.
    pub errors: &'static [&'static ErrorCode],
}

/// What an operation is worth when not all can be done, by who asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Importance {
    /// Asked by somebody who is staff anywhere.
    pub staff: Work,
    /// Asked by anybody else.
    pub others: Work,
}

impl Importance {
    /// The same whoever asks.
    #[must_use]
    pub const fn of(work: Work) -> Self {
        Self::by_staff(work, work)
    }

    /// More when staff ask.
    #[must_use]
    pub const fn by_staff(staff: Work, others: Work) -> Self {
        Self { staff, others }
    }
}

impl Declaration {
    /// The errors it may give beside those of every call: its own, and those that asking its rights makes possible.
    #[must_use]
    pub fn all_errors(&self) -> Vec<&'static ErrorCode> {
        let mut all = self.errors.to_vec();
        let denied = Denied::possible(self.rights).into_iter();
        all.extend(denied.map(error::of_denied));
        if !self.rights.is_empty() {
            all.push(&error::PROFILE_NOT_YOURS);
        }
        all.sort_by_key(|row| row.code);
        all.dedup();
        all
    }

    /// Whether callers are told that it may give this error.
    #[must_use]
    pub fn may_give(&self, code: u32) -> bool {
        let of_every_call = error::OF_EVERY_CALL.iter().any(|row| row.code == code);
        of_every_call || self.all_errors().iter().any(|row| row.code == code)
    }
}

/// Where an operation runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// In one unit's ledger.
    Ledger(LedgerId),
    /// In the ledger of each unit where the caller has a login record; the outputs are merged.
    EveryOwn,
    /// In the connection itself, by the driver of sessions.
    Session,
}

impl Target {
    /// The ledger of a unit.
    #[must_use]
    pub fn unit(code: &UnitCode) -> Self {
        Self::Ledger(ledger_of(code))
    }
}

/// The ledger of a unit.
#[must_use]
pub(crate) fn ledger_of(code: &UnitCode) -> LedgerId {
    LedgerId::parse(code.as_str())
        .expect("every unit code is a ledger name: fewer characters, shorter")
}

/// A thing that can be done: one file, one line in [`super::registry`], one test.
pub trait Operation: Send + Sync + Sized + 'static {
    /// What doors and documentation need.
    const DECLARATION: Declaration;
    /// What it takes.
    type Input: DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static;
    /// What it gives.
    type Output: Serialize + DeserializeOwned + JsonSchema + 'static;

    /// Which ledger it runs in; ids in the input say so.
    fn target(input: &Self::Input) -> Target;

    /// The profile acted as; the commit names it, and a unit above the profile's own asks the profile's unit about it.
    fn acts_as(input: &Self::Input) -> Option<&ProfileId>;

    /// Checks, reads, stages. May be run again after a conflict in the store, so it does nothing else.
    fn run(
        cx: &mut Context<'_, '_>,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, Refusal>>;

    /// What a retry under the same idempotency key gets: the first answer, as it may be seen now. Whose answer holds content
    /// measures it anew here, for the session that retries may be another one, and the content may be gone.
    fn again(
        _cx: &mut Context<'_, '_>,
        _input: Self::Input,
        first: Self::Output,
    ) -> impl Future<Output = Result<Self::Output, Refusal>> {
        async { Ok(first) }
    }

    /// The units to be asked, when the input names some; only operations with [`Target::EveryOwn`] need it.
    fn within(_input: &Self::Input) -> Option<Vec<UnitCode>> {
        None
    }

    /// Makes one output of those of several ledgers; only operations with [`Target::EveryOwn`] need it.
    fn merge(
        _input: &Self::Input,
        outputs: Vec<Self::Output>,
        _missing: Missing,
    ) -> Option<Self::Output> {
        outputs.into_iter().next()
    }
}

/// What a merged output does not hold.
#[derive(Debug, Clone, Default)]
pub struct Missing {
    /// Units that could not answer.
    pub degraded: Vec<Degraded>,
    /// Units that were not asked, because there are more than one answer shall hold.
    pub further: Vec<UnitCode>,
    /// How service is, when it is not as usual.
    pub reduced: Option<Service>,
}

/// A unit that could not answer, and why: said aloud, so that nobody takes it for one where nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Degraded {
    /// The unit.
    pub unit: UnitCode,
    /// The code of the error.
    pub code: u32,
    /// Its message key.
    pub key: String,
    /// Whether it may answer when asked again.
    pub temporary: bool,
}

/// An output that says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

type Schemas = fn(&mut SchemaGenerator) -> Schema;

/// An operation without its types, as the registry lists it.
pub struct Declared {
    /// The declaration.
    pub declaration: Declaration,
    /// Schema of the input.
    pub input: Schemas,
    /// Schema of the output.
    pub output: Schemas,
    prepare: fn(&[u8]) -> Result<Prepared, Refusal>,
}

type JobMaker = Arc<dyn Fn(Arc<Caller>) -> Box<dyn Job<Roster>> + Send + Sync>;
type AgainMaker = Arc<dyn Fn(Arc<Caller>, Bytes) -> Box<dyn Job<Roster>> + Send + Sync>;
type Merger = Arc<dyn Fn(Vec<Bytes>, Missing) -> Result<Bytes, Refusal> + Send + Sync>;

/// A call whose input has been read: where it goes, and the job that does it.
#[derive(Clone)]
pub struct Prepared {
    /// Where it runs.
    pub target: Target,
    /// The profile acted as.
    pub profile: Option<ProfileId>,
    /// The units to be asked, when the input names some.
    pub within: Option<Vec<UnitCode>>,
    job: JobMaker,
    again: AgainMaker,
    merge: Merger,
}

impl Prepared {
    /// The job, for this caller.
    #[must_use]
    pub fn job(&self, caller: Arc<Caller>) -> Box<dyn Job<Roster>> {
        (self.job)(caller)
    }

    /// The job that measures the first answer for this caller, who asks again.
    #[must_use]
    pub fn again(&self, caller: Arc<Caller>, first: Bytes) -> Box<dyn Job<Roster>> {
        (self.again)(caller, first)
    }

    /// Makes one output of those of several ledgers.
    ///
    /// # Errors
    /// When there was none, or one cannot be read back.
    pub fn merge(&self, outputs: Vec<Bytes>, missing: Missing) -> Result<Bytes, Refusal> {
        (self.merge)(outputs, missing)
    }
}

impl Declared {
    /// The erased form of an operation.
    #[must_use]
    pub const fn of<O: Operation>() -> Self {
        Self {
            declaration: O::DECLARATION,
            input: |generator| generator.subschema_for::<O::Input>(),
            output: |generator| generator.subschema_for::<O::Output>(),
            prepare: prepare::<O>,
        }
    }

    /// Reads the input of a call.
    ///
    /// # Errors
    /// `invalid_input` with the place of the fault, never what stood there.
    pub fn prepare(&self, input: &[u8]) -> Result<Prepared, Refusal> {
        (self.prepare)(input)
    }
}

fn prepare<O: Operation>(input: &[u8]) -> Result<Prepared, Refusal> {
    let input: O::Input = read(input)?;
    let target = O::target(&input);
    let profile = O::acts_as(&input).cloned();
    let within = O::within(&input);
    let (merged, repeated) = (input.clone(), input.clone());
    Ok(Prepared {
        target,
        profile,
        within,
        job: Arc::new(move |caller| {
            Box::new(Run::<O> {
                input: input.clone(),
                caller,
            })
        }),
        again: Arc::new(move |caller, first| {
            Box::new(Again::<O> {
                input: repeated.clone(),
                first,
                caller,
            })
        }),
        merge: Arc::new(move |outputs, missing| merge::<O>(&merged, &outputs, missing)),
    })
}

/// An input that was left out is an empty object, so that queries without parameters can be called bare.
pub(super) fn read<I: DeserializeOwned>(input: &[u8]) -> Result<I, Refusal> {
    let input = if input.is_empty() || input == b"null" {
        b"{}"
    } else {
        input
    };
    serde_json::from_slice(input).map_err(|fault| {
        // The text of a serde error can quote the input, so only its place is passed on.
        let place = format!(
            "input does not fit its schema at line {} column {}",
            fault.line(),
            fault.column()
        );
        error::INVALID_INPUT.refuse(&place)
    })
}

fn decode<T: DeserializeOwned>(output: &[u8]) -> Result<T, Refusal> {
    let output = serde_json::from_slice(output);
    output.map_err(|_| error::DAMAGED.refuse("an output does not read back"))
}

fn merge<O: Operation>(
    input: &O::Input,
    outputs: &[Bytes],
    missing: Missing,
) -> Result<Bytes, Refusal> {
    let outputs: Result<Vec<O::Output>, _> = outputs.iter().map(|output| decode(output)).collect();
    let merged = O::merge(input, outputs?, missing)
        .ok_or_else(|| error::NOT_SIGNED_IN.refuse("the login has no profile here"))?;
    encode(&merged)
}

pub(super) fn encode<T: Serialize>(output: &T) -> Result<Bytes, Refusal> {
    let bytes = serde_json::to_vec(output)
        .map_err(|_| error::DAMAGED.refuse("an output does not encode"))?;
    Ok(bytes.into())
}

/// One call of one operation, as the ledger runs it.
struct Run<O: Operation> {
    input: O::Input,
    caller: Arc<Caller>,
}

#[async_trait::async_trait(?Send)]
impl<O: Operation> Job<Roster> for Run<O> {
    async fn run(&mut self, view: &mut View<'_, Roster>) -> Result<Bytes, Refusal> {
        let mut cx = Context::new(view, &self.caller);
        let output = O::run(&mut cx, self.input.clone()).await?;
        encode(&output)
    }
}

/// The answer to a call that was done before.
struct Again<O: Operation> {
    input: O::Input,
    first: Bytes,
    caller: Arc<Caller>,
}

#[async_trait::async_trait(?Send)]
impl<O: Operation> Job<Roster> for Again<O> {
    async fn run(&mut self, view: &mut View<'_, Roster>) -> Result<Bytes, Refusal> {
        let mut cx = Context::new(view, &self.caller);
        let first = decode(&self.first)?;
        encode(&O::again(&mut cx, self.input.clone(), first).await?)
    }
}
