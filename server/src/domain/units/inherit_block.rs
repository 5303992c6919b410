//! `communication.inherit`: a stop on writing, or its lifting, that came from a unit above; handed on to the units below.

use crate::admission::Work;
use crate::domain::{Context, Declaration, Empty, Importance, Kind, Operation, Target};
use crate::ledger::Refusal;
use crate::people::record::{Block as BlockRecord, PeopleRecord};
use crate::people::{self, INHERIT_BLOCK, InheritedBlock, ProfileId, stage};

/// See the file.
pub struct InheritBlock;

impl Operation for InheritBlock {
    const DECLARATION: Declaration = Declaration {
        name: INHERIT_BLOCK,
        summary: "Take over a stop on writing from a unit above.",
        kind: Kind::Internal,
        rest: None,
        work: Importance::of(Work::Care),
        rights: &[],
        errors: &[],
    };
    type Input = InheritedBlock;
    type Output = Empty;

    fn target(input: &InheritedBlock) -> Target {
        Target::unit(&input.set_by)
    }

    fn acts_as(_: &InheritedBlock) -> Option<&ProfileId> {
        None
    }

    async fn run(cx: &mut Context<'_, '_>, input: InheritedBlock) -> Result<Empty, Refusal> {
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
        hand_down(cx, &input);
        Ok(Empty {})
    }
}

/// Hands a stop to every unit below.
pub(super) fn hand_down(cx: &mut Context<'_, '_>, block: &InheritedBlock) {
    let children = cx.roster().unit().map(|unit| unit.children.clone());
    people::hand_down(cx, block, &children.unwrap_or_default());
}
