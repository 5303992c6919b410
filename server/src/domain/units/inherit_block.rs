//! `communication.inherit`: a stop on writing, or its lifting, that came from a unit above; handed on to the units below.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::error;
use crate::domain::operation::ledger_of;
use crate::domain::{Context, Declaration, Empty, Kind, Operation, Target};
use crate::ledger::Refusal;
use crate::people::record::{Block as BlockRecord, PeopleRecord};
use crate::people::{ProfileId, UnitCode, UserKind, stage};

/// See the file.
pub struct InheritBlock;

/// What `communication.inherit` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The kind of people.
    pub kind: UserKind,
    /// The unit that set it.
    pub set_by: UnitCode,
    /// Whether it stands or is lifted.
    pub blocked: bool,
}

impl Operation for InheritBlock {
    const DECLARATION: Declaration = Declaration {
        name: "communication.inherit",
        summary: "Take over a stop on writing from a unit above.",
        kind: Kind::Internal,
        rest: None,
        rights: &[],
        errors: &[],
    };
    type Input = Input;
    type Output = Empty;

    fn target(input: &Input) -> Target {
        Target::unit(&input.set_by)
    }

    fn acts_as(_: &Input) -> Option<&ProfileId> {
        None
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Empty, Refusal> {
        cx.only_server()?;
        let block = PeopleRecord::Block(BlockRecord {
            kind: input.kind,
            set_by: input.set_by.clone(),
        });
        if input.blocked {
            stage(cx, block).await?;
        } else {
            cx.delete(&block.key()).await?;
        }
        hand_down(cx, &input)?;
        Ok(Empty {})
    }
}

/// Hands a stop to every unit below, by outbox: each takes it over exactly once in effect.
pub(super) fn hand_down(cx: &mut Context<'_, '_>, input: &Input) -> Result<(), Refusal> {
    let children = cx
        .roster()
        .unit()
        .map(|unit| unit.children.clone())
        .unwrap_or_default();
    let body =
        serde_json::to_vec(input).map_err(|_| error::DAMAGED.refuse("an input does not encode"))?;
    for child in &children {
        cx.outbox(
            &ledger_of(child),
            "communication.inherit",
            body.clone().into(),
        );
    }
    Ok(())
}
