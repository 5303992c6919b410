//! `access.watch`: a login's open sessions hear what is sensitive in full until a moment; written down before they do, so that
//! each commit that says something sensitive can name them (`people::access_log`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admission::Work;
use crate::domain::{Context, Declaration, Empty, Importance, Kind, Operation, Target};
use crate::ledger::Refusal;
use crate::people::{ProfileId, SubjectId, UnitCode, access_log};

/// See the file.
pub struct Watch;

/// What `access.watch` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The unit.
    pub unit: UnitCode,
    /// The login.
    pub subject: SubjectId,
    /// Until when its step-up holds, in milliseconds since 1970.
    pub until_ms: u64,
}

impl Operation for Watch {
    const DECLARATION: Declaration = Declaration {
        name: "access.watch",
        summary: "Note that open sessions of a login hear what is sensitive in full for a while.",
        kind: Kind::Internal,
        rest: None,
        work: Importance::of(Work::Care),
        rights: &[],
        errors: &[],
    };
    type Input = Input;
    type Output = Empty;

    fn target(input: &Input) -> Target {
        Target::unit(&input.unit)
    }

    fn acts_as(_: &Input) -> Option<&ProfileId> {
        None
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Empty, Refusal> {
        cx.only_server()?;
        let today = cx.today();
        let own = cx.roster().profiles_of(&input.subject);
        let own = own.filter(|profile| profile.holds(today));
        let own: Vec<ProfileId> = own.map(|profile| profile.id.clone()).collect();
        for profile in own {
            access_log::watch(cx, &profile, &input.subject, input.until_ms).await?;
        }
        Ok(Empty {})
    }
}
