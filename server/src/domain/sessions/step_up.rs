//! `session.step_up`: show a newer, stronger login to an open session, without connecting anew.
//!
//! The connection is what changes, not a ledger, so the driver of sessions does it: it verifies the token, checks that it is of the
//! same subject, newer and of level substantial or higher, raises the session's assurance, computes its entitlements anew
//! and answers with [`Output`]; or it refuses with `error.step_up_refused`. Over REST every call carries its own token,
//! so there is no REST door.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::error;
use crate::domain::{Context, Declaration, Kind, Operation, Target};
use crate::ledger::Refusal;
use crate::people::{AssuranceLevel, ProfileId};

/// See the file.
pub struct StepUp;

/// What `session.step_up` takes.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The newer token.
    #[schemars(length(min = 1, max = 8192))]
    pub token: String,
}

/// What `session.step_up` gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The session's level now.
    pub level: AssuranceLevel,
    /// Until when sensitive content shows in full, in milliseconds since 1970.
    pub full_until_ms: u64,
}

impl Operation for StepUp {
    const DECLARATION: Declaration = Declaration {
        name: "session.step_up",
        summary: "Raise an open session with a newer token; sensitive content then shows in full for twenty minutes.",
        kind: Kind::Query,
        rest: None,
        rights: &[],
        errors: &[&error::STEP_UP_REFUSED, &error::NEEDS_CONNECTION],
    };
    type Input = Input;
    type Output = Output;

    fn target(_: &Input) -> Target {
        Target::Session
    }

    fn acts_as(_: &Input) -> Option<&ProfileId> {
        None
    }

    async fn run(_: &mut Context<'_, '_>, _: Input) -> Result<Output, Refusal> {
        Err(error::NEEDS_CONNECTION.refuse(""))
    }
}
