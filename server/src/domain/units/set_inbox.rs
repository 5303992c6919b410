//! `inbox.set`: set up a shared inbox, or change who looks after it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::local;
use crate::admission::Work;
use crate::domain::error;
use crate::domain::text::Text;
use crate::domain::{
    Context, Declaration, Empty, Importance, Kind, Method, Operation, Rest, Target,
};
use crate::ledger::Refusal;
use crate::people::record::{Inbox, PeopleRecord};
use crate::people::rights::Action;
use crate::people::{InboxId, ObjectId, ProfileId, stage};

/// See the file.
pub struct SetInbox;

/// What `inbox.set` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The inbox.
    pub inbox: InboxId,
    /// Its name.
    pub name: Text<100>,
    /// Who looks after it.
    #[schemars(length(max = 50))]
    pub members: Vec<ProfileId>,
}

/// Most profiles that look after one inbox; they are among the recipients of every thread to it.
const MEMBERS_MAX: usize = 50;

impl Operation for SetInbox {
    const DECLARATION: Declaration = Declaration {
        name: "inbox.set",
        summary: "Set up a shared inbox, or change its name and who looks after it.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Put, "/v1/inboxes/{inbox}")),
        work: Importance::of(Work::Lists),
        rights: &[Action::ManageInboxes],
        errors: &[&error::NOT_ALLOWED, &error::UNKNOWN_RECIPIENT],
    };
    type Input = Input;
    type Output = Empty;

    fn target(input: &Input) -> Target {
        Target::unit(input.inbox.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Empty, Refusal> {
        cx.permit(&input.profile, Action::ManageInboxes)?;
        if input.members.len() > MEMBERS_MAX
            || input
                .members
                .iter()
                .any(|member| cx.roster().profile(member).is_none())
        {
            return Err(error::UNKNOWN_RECIPIENT
                .refuse("at most 50 members, each with a profile in the unit"));
        }
        let inbox = Inbox {
            id: input.inbox,
            name: input.name.into_string(),
            members: input.members,
            local: Some(local(cx, input.profile)),
        };
        stage(cx, PeopleRecord::Inbox(inbox)).await?;
        Ok(Empty {})
    }
}
