//! `communication.unblock`: let a kind of people write again. Only the unit that set a stop lifts it.

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
use crate::people::{InheritedBlock, ProfileId, UnitCode, UserKind};

/// See the file.
pub struct Unblock;

/// What `communication.unblock` takes.
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

impl Operation for Unblock {
    const DECLARATION: Declaration = Declaration {
        name: "communication.unblock",
        summary: "Let a kind of people write again, here and in every unit below.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Delete, "/v1/units/{unit}/blocks/{kind}")),
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
        let block = PeopleRecord::Block(BlockRecord {
            kind: input.kind,
            set_by: input.unit.clone(),
        });
        cx.delete(&block.key()).await?;
        hand_down(
            cx,
            &InheritedBlock {
                kind: input.kind,
                set_by: input.unit,
                blocked: false,
            },
        );
        Ok(Empty {})
    }
}
