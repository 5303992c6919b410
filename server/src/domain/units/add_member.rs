//! `group.add_member`: put a profile of the unit into a group, from today or a later day.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use jiff::civil::Date;

use super::{local, may_manage};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::{
    Context, Declaration, Empty, Importance, Kind, Method, Operation, Rest, Target,
};
use crate::ledger::Refusal;
use crate::people::record::{Membership, PeopleRecord};
use crate::people::rights::Action;
use crate::people::{GroupId, MembershipKind, ObjectId, ProfileId, stage};

/// See the file.
pub struct AddMember;

/// What `group.add_member` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The group.
    pub group: GroupId,
    /// Who joins.
    pub member: ProfileId,
    /// First day; left out, today.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub from: Option<Date>,
    /// Last day.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub until: Option<Date>,
}

impl Operation for AddMember {
    const DECLARATION: Declaration = Declaration {
        name: "group.add_member",
        summary: "Put a profile into a group; what it may see changes at once.",
        kind: Kind::Command,
        rest: Some(Rest::new(
            Method::Put,
            "/v1/groups/{group}/members/{member}",
        )),
        work: Importance::of(Work::Care),
        rights: &[Action::ManageGroups],
        errors: &[
            &error::NOT_FOUND,
            &error::NOT_ALLOWED,
            &error::UNKNOWN_RECIPIENT,
            &error::DATES_OUT_OF_ORDER,
        ],
    };
    type Input = Input;
    type Output = Empty;

    fn target(input: &Input) -> Target {
        Target::unit(input.group.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Empty, Refusal> {
        may_manage(cx, &input.profile, &input.group)?;
        if cx.roster().profile(&input.member).is_none() {
            return Err(error::UNKNOWN_RECIPIENT.refuse("the unit has no such profile"));
        }
        let from = input.from.unwrap_or_else(|| cx.today());
        if input.until.is_some_and(|until| until < from) {
            return Err(error::DATES_OUT_OF_ORDER.refuse(""));
        }
        let membership = Membership {
            group: input.group,
            profile: input.member,
            kind: MembershipKind::Member,
            from: Some(from),
            until: input.until,
            local: Some(local(cx, input.profile)),
        };
        stage(cx, PeopleRecord::Membership(membership)).await?;
        Ok(Empty {})
    }
}
