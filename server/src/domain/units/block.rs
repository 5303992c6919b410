//! `communication.block`: stop a kind of people from writing in the unit, and in every unit below it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::inherit_block::hand_down;
use crate::admission::Work;
use crate::domain::error;
use crate::domain::{
    Context, Declaration, Empty, Importance, Kind, Method, Operation, Rest, Target,
};
use crate::ledger::Refusal;
use crate::people::record::{Block as BlockRecord, PeopleRecord};
use crate::people::rights::Action;
use crate::people::{InheritedBlock, ProfileId, UnitCode, UserKind, stage};

/// See the file.
pub struct Block;

/// What `communication.block` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The unit.
    pub unit: UnitCode,
    /// The kind of people.
    pub kind: UserKind,
}

impl Operation for Block {
    const DECLARATION: Declaration = Declaration {
        name: "communication.block",
        summary: "Stop a kind of people from writing, here and in every unit below.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Put, "/v1/units/{unit}/blocks/{kind}")),
        work: Importance::of(Work::Care),
        rights: &[Action::BlockCommunication],
        errors: &[&error::NOT_ALLOWED, &error::OUTSIDE_MUNICIPALITY],
    };
    type Input = Input;
    type Output = Empty;

    fn target(input: &Input) -> Target {
        Target::unit(&input.unit)
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Empty, Refusal> {
        cx.permit(&input.profile, Action::BlockCommunication)?;
        stage(
            cx,
            PeopleRecord::Block(BlockRecord {
                kind: input.kind,
                set_by: input.unit.clone(),
            }),
        )
        .await?;
        hand_down(
            cx,
            &InheritedBlock {
                kind: input.kind,
                set_by: input.unit,
                blocked: true,
            },
        );
        Ok(Empty {})
    }
}
