//! `access.list`: who saw the words of a sensitive thread.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::error;
use crate::domain::threads::ThreadId;
use crate::domain::{Context, Declaration, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId, access_log};

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
}

/// What `access.list` gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Oldest first, at most a thousand.
    pub accesses: Vec<AccessView>,
}

/// One look.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AccessView {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The profile.
    pub profile: ProfileId,
    /// The door.
    pub door: String,
}

impl Operation for AccessList {
    const DECLARATION: Declaration = Declaration {
        name: "access.list",
        summary: "List who saw a sensitive thread in full, oldest first.",
        kind: Kind::Query,
        rest: Some(Rest::new(Method::Get, "/v1/threads/{thread}/accesses")),
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
        let found =
            access_log::list(cx, &format!("thread/{}", input.thread.number()), None).await?;
        let accesses = found.into_iter().map(|(_, access)| AccessView {
            at_ms: access.at_ms,
            subject: access.subject.map(|subject| subject.to_string()),
            profile: access.profile,
            door: access.door,
        });
        Ok(Output {
            accesses: accesses.collect(),
        })
    }
}
