//! `thread.leave`: step out of a thread. It goes from one's list, and nothing of it comes any more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ThreadId;
use super::delivery::{Saying, has_room, open, say};
use super::record::{BoxItem, MessageKind, Party, box_key, parties_key};
use crate::admission::Work;
use crate::domain::badge::{self, Area};
use crate::domain::error;
use crate::domain::{
    Context, Declaration, Empty, Importance, Kind, Method, Operation, Rest, Target,
};
use crate::ledger::Refusal;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct Leave;

/// What `thread.leave` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
}

impl Operation for Leave {
    const DECLARATION: Declaration = Declaration {
        name: "thread.leave",
        summary: "Step out of a thread; those who stay are told.",
        kind: Kind::Command,
        rest: Some(Rest::new(
            Method::Delete,
            "/v1/threads/{thread}/participation",
        )),
        work: Importance::of(Work::Messages),
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
        let mut opened = open(cx, &input.thread, &input.profile).await?;
        let key = box_key(&input.profile, &input.thread, opened.box_ms);
        let item: BoxItem = cx.get(&key).await?.unwrap_or_default();
        cx.delete(&key).await?;
        badge::adjust(cx, &input.profile, Area::Messages, item.counts(), false).await?;
        let parties = &mut opened.parties.parties;
        parties.retain(|party| party.profile != input.profile);
        parties.push(Party {
            left: true,
            ..Party::new(input.profile.clone(), None)
        });
        let kind = MessageKind::ParticipantLeft;
        if !has_room(&opened.thread, kind) {
            // Nobody is kept in a thread because it is too full to say so.
            cx.put(&parties_key(&input.thread), &opened.parties)?;
            return Ok(Empty {});
        }
        let saying = Saying {
            kind,
            by: input.profile.clone(),
            text: None,
            about: vec![input.profile],
        };
        say(cx, &mut opened.thread, &mut opened.parties, saying).await?;
        Ok(Empty {})
    }
}
