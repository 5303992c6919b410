//! `session.step_up`: show a newer, stronger login to an open session, without connecting anew.
//!
//! The connection is what changes, not a ledger, so the driver of sessions does it: it verifies the token, sees that it is
//! of the same subject, asks [`StepUp::raise`] whether it raises the session, and has the session's entitlements computed
//! anew. Over REST every call carries its own token, so there is no REST door.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admission::Work;
use crate::domain::error;
use crate::domain::operation::{encode, read};
use crate::domain::{Context, Declaration, Importance, Kind, Operation, Target};
use crate::ledger::Refusal;
use crate::people::{Assurance, AssuranceLevel, ProfileId};

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

impl StepUp {
    /// The token in a call's input.
    ///
    /// # Errors
    /// When the input does not fit its schema.
    pub fn token(input: &[u8]) -> Result<String, Refusal> {
        read(input).map(|Input { token }| token)
    }

    /// What a newer login makes of a session, as the operation's output.
    ///
    /// # Errors
    /// `step_up_refused` when it shows nothing in full, or is no newer than what the session has.
    pub fn raise(present: Assurance, newer: Assurance, now_ms: u64) -> Result<Bytes, Refusal> {
        if !present.is_raised_by(newer, now_ms) {
            return Err(error::STEP_UP_REFUSED.refuse(""));
        }
        encode(&Output {
            level: newer.level,
            full_until_ms: newer.full_until_ms(),
        })
    }
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
        work: Importance::of(Work::Care),
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
