//! `access.list`: who saw the words of a sensitive thread.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admission::Work;
use crate::domain::error;
use crate::domain::page::{Cursor, Limit};
use crate::domain::threads::record::thread_key;
use crate::domain::threads::{PAGE_DEFAULT, ThreadId};
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::access_log::{self, AccessPage};
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId, UnitCode};

/// See the file.
pub struct AccessList;

/// What `access.list` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
    /// How many.
    #[serde(default)]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default)]
    pub cursor: Option<Cursor>,
}

/// What `access.list` and `access.of_person` give.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Oldest first.
    pub accesses: Vec<AccessView>,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
}

/// One look.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AccessView {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Until when they could go on reading, what was said meanwhile among it, without stepping up again.
    pub until_ms: u64,
    /// The thread that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// The login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The profile.
    pub profile: ProfileId,
    /// The door; `live` for what was sent to an open session.
    pub door: String,
}

impl Operation for AccessList {
    const DECLARATION: Declaration = Declaration {
        name: "access.list",
        summary: "List who saw a sensitive thread in full, or was sent it live, oldest first.",
        kind: Kind::Query,
        rest: Some(Rest::new(Method::Get, "/v1/threads/{thread}/accesses")),
        work: Importance::of(Work::Lists),
        rights: &[Action::ReadAccessLog],
        errors: &[&error::NOT_ALLOWED, &error::STEP_UP_REQUIRED],
    };
    type Input = Input;
    type Output = Output;

    fn target(input: &Input) -> Target {
        Target::unit(input.thread.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        cx.permit(&input.profile, Action::ReadAccessLog)?;
        let after = input.cursor.as_ref().map(Cursor::as_str);
        let limit = input.limit.map_or(PAGE_DEFAULT, Limit::get);
        let thing = thread_key(&input.thread);
        let page = access_log::of_thing(cx, thing.as_str(), after, limit).await?;
        Ok(Output::of(page, input.thread.unit()))
    }
}

impl Output {
    /// A page of the log of `unit`.
    pub(super) fn of(page: AccessPage, unit: &UnitCode) -> Self {
        let accesses = page.accesses.into_iter().map(|access| AccessView {
            at_ms: access.at_ms,
            until_ms: access.until_ms,
            thread: thread_of(&access.what, unit),
            subject: access.subject.map(|subject| subject.to_string()),
            profile: access.profile,
            door: access.door,
        });
        Self {
            accesses: accesses.collect(),
            cursor: page.next.as_deref().and_then(Cursor::after),
        }
    }
}

/// The thread whose record lies under a key.
fn thread_of(key: &str, unit: &UnitCode) -> Option<ThreadId> {
    let number = key.strip_prefix("thread/")?.parse().ok()?;
    Some(ThreadId::new(unit.clone(), number))
}
