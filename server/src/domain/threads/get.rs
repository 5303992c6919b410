//! `thread.get`: one thread with who takes part.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ThreadId;
use super::delivery::open;
use super::record::{BoxItem, box_key};
use super::view::{ThreadSummary, summary};
use crate::domain::error;
use crate::domain::{Context, Declaration, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::{ObjectId, PersonRef, ProfileId};

/// See the file.
pub struct Get;

/// What `thread.get` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
}

/// What `thread.get` gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The thread.
    pub thread: ThreadSummary,
    /// Who takes part; empty when a step-up is needed.
    pub participants: Vec<Participant>,
}

/// Somebody in a thread.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Participant {
    /// Who.
    #[serde(flatten)]
    pub person: PersonRef,
    /// Whether they have left.
    pub left: bool,
}

impl Operation for Get {
    const DECLARATION: Declaration = Declaration {
        name: "thread.get",
        summary: "Read one thread: its head, the reader's counters, and who takes part.",
        kind: Kind::Query,
        rest: Some(Rest::new(Method::Get, "/v1/threads/{thread}")),
        rights: &[],
        errors: &[&error::NOT_FOUND, &error::PROFILE_NOT_YOURS],
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
        let opened = open(cx, &input.thread, &input.profile).await?;
        let key = box_key(&input.profile, &input.thread, opened.box_ms);
        let item: BoxItem = cx.get(&key).await?.unwrap_or_default();
        let thread = summary(
            cx.roster(),
            &opened.thread,
            &item,
            opened.box_ms,
            cx.withholds(opened.thread.sensitive),
        );
        let parties = opened
            .parties
            .parties
            .iter()
            .filter(|_| !thread.step_up_required);
        let participants = parties
            .map(|party| Participant {
                person: PersonRef::of(cx.roster(), &party.profile),
                left: party.left,
            })
            .collect();
        Ok(Output {
            thread,
            participants,
        })
    }
}
