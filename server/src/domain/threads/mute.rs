//! `thread.mute`: keep a thread out of badges and notices, or let it in again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ThreadId;
use super::delivery::{open, tell_own_devices};
use super::record::{BoxItem, box_key};
use crate::admission::Work;
use crate::domain::badge::{self, Area};
use crate::domain::error;
use crate::domain::{
    Context, Declaration, Empty, Importance, Kind, Method, Operation, Rest, Target,
};
use crate::ledger::Refusal;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct Mute;

/// What `thread.mute` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
    /// Whether it shall be muted.
    pub muted: bool,
}

impl Operation for Mute {
    const DECLARATION: Declaration = Declaration {
        name: "thread.mute",
        summary: "Mute a thread for one profile, or unmute it.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Put, "/v1/threads/{thread}/muted")),
        work: Importance::of(Work::Lists),
        rights: &[],
        errors: &[&error::NOT_FOUND, &error::PROFILE_NOT_YOURS],
    };
    type Input = Input;
    type Output = Empty;

    fn target(input: &Input) -> Target {
        Target::unit(input.thread.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Empty, Refusal> {
        let opened = open(cx, &input.thread, &input.profile).await?;
        let key = box_key(&input.profile, &input.thread, opened.box_ms);
        let mut item: BoxItem = cx.get(&key).await?.unwrap_or_default();
        if item.muted == input.muted {
            return Ok(Empty {});
        }
        let counted = item.counts();
        item.muted = input.muted;
        cx.put(&key, &item)?;
        badge::adjust(cx, &input.profile, Area::Messages, counted, item.counts()).await?;
        tell_own_devices(cx, &input.profile, &input.thread, &item).await?;
        Ok(Empty {})
    }
}
