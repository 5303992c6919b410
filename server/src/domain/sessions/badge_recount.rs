//! `badge.recount`: what waits for a profile by its records, for tests and for operators who want to be sure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admission::Work;
use crate::domain::badge::{self, Badge};
use crate::domain::{Context, Declaration, Importance, Kind, Operation, Target};
use crate::ledger::Refusal;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct BadgeRecount;

/// What `badge.recount` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Whose.
    pub profile: ProfileId,
}

impl Operation for BadgeRecount {
    const DECLARATION: Declaration = Declaration {
        name: "badge.recount",
        summary: "Count anew what waits for a profile.",
        kind: Kind::Internal,
        rest: None,
        work: Importance::of(Work::Lists),
        rights: &[],
        errors: &[],
    };
    type Input = Input;
    type Output = Badge;

    fn target(input: &Input) -> Target {
        Target::unit(input.profile.unit())
    }

    fn acts_as(_: &Input) -> Option<&ProfileId> {
        None
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Badge, Refusal> {
        cx.only_server()?;
        badge::recount(cx, &input.profile).await
    }
}
