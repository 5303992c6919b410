//! `relation.end`: end what an adult is to a child in this unit. It stops new content the same moment and leaves a trail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{last_day, local};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::{
    Context, Declaration, Empty, Importance, Kind, Method, Operation, Rest, Target,
};
use crate::ledger::Refusal;
use crate::people::record::PeopleRecord;
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId, stage};

/// See the file.
pub struct EndRelation;

/// What `relation.end` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The adult.
    pub adult: ProfileId,
    /// The child.
    pub child: ProfileId,
}

impl Operation for EndRelation {
    const DECLARATION: Declaration = Declaration {
        name: "relation.end",
        summary: "End the relation of an adult to a child; what is new stops at once.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Delete, "/v1/relations/{adult}/{child}")),
        work: Importance::of(Work::Care),
        rights: &[Action::ManageRelations],
        errors: &[&error::NOT_FOUND, &error::NOT_ALLOWED],
    };
    type Input = Input;
    type Output = Empty;

    fn target(input: &Input) -> Target {
        Target::unit(input.adult.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Empty, Refusal> {
        cx.permit(&input.profile, Action::ManageRelations)?;
        let found = cx.roster().relation(&input.adult, &input.child).cloned();
        let mut relation = found.ok_or_else(|| error::NOT_FOUND.refuse(""))?;
        // It opens nothing from today on. An end that lay before stays, and so does that it began.
        let today = cx.today();
        relation.ended = Some(relation.ended.map_or(today, |ended| ended.min(today)));
        relation.until = last_day(relation.from, relation.until, today);
        relation.local = Some(local(cx, input.profile));
        stage(cx, PeopleRecord::Relation(relation)).await?;
        Ok(Empty {})
    }
}
