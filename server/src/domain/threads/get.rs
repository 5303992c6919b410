//! `thread.get`: one thread with who takes part.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ThreadId;
use super::delivery::{Opened, open};
use super::record::{BoxItem, box_key};
use super::view::{ThreadSummary, bare_summary, summary};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::{ObjectId, PersonRef, ProfileId, Roster, show};

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
        work: Importance::of(Work::Messages),
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
        let (viewer, head) = (cx.viewer(&input.profile)?, &opened.thread);
        let thing = head.thing();
        let shown = show(
            cx,
            &viewer,
            &thing,
            |roster| Output {
                thread: summary(roster, head, &item, opened.box_ms),
                participants: participants(roster, &opened),
            },
            |_| Output {
                thread: bare_summary(head, &item, opened.box_ms),
                participants: Vec::new(),
            },
        );
        shown.await?.ok_or_else(|| error::NOT_FOUND.refuse(""))
    }
}

fn participants(roster: &Roster, opened: &Opened) -> Vec<Participant> {
    let parties = opened.parties.parties.iter();
    let shown = parties.map(|party| Participant {
        person: PersonRef::of(roster, &party.profile),
        left: party.left,
    });
    shown.collect()
}
