//! `group.remove_member`: take a profile out of a group. The membership stays as a trail; nothing new comes through it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{last_day, local, may_manage};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::{
    Context, Declaration, Empty, Importance, Kind, Method, Operation, Rest, Target,
};
use crate::ledger::Refusal;
use crate::people::record::PeopleRecord;
use crate::people::rights::Action;
use crate::people::{GroupId, MembershipKind, ObjectId, ProfileId, stage};

/// See the file.
pub struct RemoveMember;

/// What `group.remove_member` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The group.
    pub group: GroupId,
    /// Who goes.
    pub member: ProfileId,
}

impl Operation for RemoveMember {
    const DECLARATION: Declaration = Declaration {
        name: "group.remove_member",
        summary: "Take a profile out of a group; live subscriptions end at once.",
        kind: Kind::Command,
        rest: Some(Rest::new(
            Method::Delete,
            "/v1/groups/{group}/members/{member}",
        )),
        work: Importance::of(Work::Care),
        rights: &[Action::ManageGroups],
        errors: &[&error::NOT_FOUND, &error::NOT_ALLOWED],
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
        let found = cx.roster().membership(&input.group, &input.member).cloned();
        let mut membership = found.ok_or_else(|| error::NOT_FOUND.refuse(""))?;
        membership.kind = MembershipKind::Removed;
        membership.until = last_day(membership.from, membership.until, cx.today());
        membership.local = Some(local(cx, input.profile));
        stage(cx, PeopleRecord::Membership(membership)).await?;
        Ok(Empty {})
    }
}
