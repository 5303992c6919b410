//! `access.of_person`: what somebody saw of what is sensitive in this unit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access_list::Output;
use crate::admission::Work;
use crate::domain::error;
use crate::domain::page::{Cursor, Limit};
use crate::domain::threads::PAGE_DEFAULT;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId, access_log};

/// See the file.
pub struct AccessOfPerson;

/// What `access.of_person` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// Whose looks.
    pub person: ProfileId,
    /// How many.
    #[serde(default)]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default)]
    pub cursor: Option<Cursor>,
}

impl Operation for AccessOfPerson {
    const DECLARATION: Declaration = Declaration {
        name: "access.of_person",
        summary: "List what somebody saw in full of what is sensitive, or was sent live, oldest first.",
        kind: Kind::Query,
        rest: Some(Rest::new(Method::Get, "/v1/profiles/{person}/accesses")),
        work: Importance::of(Work::Lists),
        rights: &[Action::ReadAccessLog],
        errors: &[&error::NOT_FOUND],
    };
    type Input = Input;
    type Output = Output;

    fn target(input: &Input) -> Target {
        Target::unit(input.person.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        cx.permit(&input.profile, Action::ReadAccessLog)?;
        if cx.roster().profile(&input.person).is_none() {
            return Err(error::NOT_FOUND.refuse("the unit has no such profile"));
        }
        let after = input.cursor.as_ref().map(Cursor::as_str);
        let limit = input.limit.map_or(PAGE_DEFAULT, Limit::get);
        let page = access_log::of_person(cx, &input.person, after, limit).await?;
        Ok(Output::of(page, input.person.unit()))
    }
}
