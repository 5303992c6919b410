//! `notification.dismiss`: take a notification away; the other devices are told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::create::AnyTag;
use super::record::{Notification, note_key};
use super::tidy::tell;
use crate::admission::Work;
use crate::domain::badge::{self, Area};
use crate::domain::error;
use crate::domain::{
    Context, Declaration, Empty, Importance, Kind, Method, Operation, Rest, Target,
};
use crate::ledger::Refusal;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct Dismiss;

/// What `notification.dismiss` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// Which.
    pub tag: AnyTag,
}

impl Operation for Dismiss {
    const DECLARATION: Declaration = Declaration {
        name: "notification.dismiss",
        summary: "Take a notification away; the profile's other devices are told.",
        kind: Kind::Command,
        rest: Some(Rest::new(
            Method::Delete,
            "/v1/profiles/{profile}/notifications/{tag}",
        )),
        work: Importance::of(Work::Lists),
        rights: &[],
        errors: &[&error::PROFILE_NOT_YOURS],
    };
    type Input = Input;
    type Output = Empty;

    fn target(input: &Input) -> Target {
        Target::unit(input.profile.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Empty, Refusal> {
        cx.acting(&input.profile)?;
        let tag = String::from(input.tag);
        let key = note_key(&input.profile, &tag);
        if cx.get::<Notification>(&key).await?.is_none() {
            return Ok(Empty {}); // Another device was faster.
        }
        cx.delete(&key).await?;
        badge::adjust(cx, &input.profile, Area::Notifications, true, false).await?;
        tell(cx, &input.profile, &tag).await?;
        Ok(Empty {})
    }
}
