//! `badge.get`: what waits for a profile, by area.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admission::Work;
use crate::domain::badge::{self, Badge};
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::domain::{error, posts};
use crate::ledger::Refusal;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct BadgeGet;

/// What `badge.get` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
}

/// What `badge.get` gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Counted as things happen; always equal to a recount.
    pub badge: Badge,
    /// Newest posts not looked at yet, counted now among the last hundred of the profile's channels.
    pub posts: u32,
}

impl Operation for BadgeGet {
    const DECLARATION: Declaration = Declaration {
        name: "badge.get",
        summary: "Read what waits for a profile, by area.",
        kind: Kind::Query,
        rest: Some(Rest::new(Method::Get, "/v1/profiles/{profile}/badge")),
        work: Importance::of(Work::Lists),
        rights: &[],
        errors: &[&error::PROFILE_NOT_YOURS],
    };
    type Input = Input;
    type Output = Output;

    fn target(input: &Input) -> Target {
        Target::unit(input.profile.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        cx.acting(&input.profile)?;
        let badge = badge::of(cx, &input.profile).await?;
        let posts = posts::unseen(cx, &input.profile).await?;
        Ok(Output { badge, posts })
    }
}
