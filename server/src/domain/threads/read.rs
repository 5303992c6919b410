//! `thread.read`: the read position of a profile. A record, not a habit of one phone: reading on one device
//! clears the others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::delivery::{messages_after, open, tell_own_devices};
use super::record::{BoxItem, Message, box_key, message_key};
use super::{MessageId, ThreadId};
use crate::admission::Work;
use crate::domain::badge::{self, Area};
use crate::domain::error;
use crate::domain::{
    Context, Declaration, Empty, Importance, Kind, Method, Operation, Rest, Target,
};
use crate::ledger::Refusal;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct Read;

/// What `thread.read` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
    /// The last message read.
    pub message: MessageId,
}

impl Operation for Read {
    const DECLARATION: Declaration = Declaration {
        name: "thread.read",
        summary: "Set how far a profile has read a thread; its other devices are told.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Put, "/v1/threads/{thread}/read")),
        work: Importance::of(Work::Lists),
        rights: &[],
        errors: &[
            &error::NOT_FOUND,
            &error::PROFILE_NOT_YOURS,
            &error::STEP_UP_REQUIRED,
        ],
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
        // What could not be seen cannot have been read: otherwise a phone would clear what nobody saw.
        let viewer = cx.viewer(&input.profile)?;
        opened.thread.thing().demand_full(&viewer)?;
        let number = input.message.number();
        let known: Option<Message> = cx.get(&message_key(&input.thread, number)).await?;
        if known.is_none() || number > opened.up_to() {
            return Err(error::NOT_FOUND.refuse(""));
        }
        let key = box_key(&input.profile, &input.thread, opened.box_ms);
        let mut item: BoxItem = cx.get(&key).await?.unwrap_or_default();
        if number <= item.read_up_to {
            return Ok(Empty {}); // A slow device never takes back what a fast one has read.
        }
        let counted = item.counts();
        item.read_up_to = number;
        item.unread = unread_after(cx, &input, opened.up_to()).await?;
        cx.put(&key, &item)?;
        badge::adjust(cx, &input.profile, Area::Messages, counted, item.counts()).await?;
        tell_own_devices(cx, &input.profile, &input.thread, &item).await?;
        Ok(Empty {})
    }
}

/// Messages of others after the read position, counted anew; a thread holds few enough.
async fn unread_after(cx: &Context<'_, '_>, input: &Input, up_to: u32) -> Result<u32, Refusal> {
    let rest = messages_after(cx, &input.thread, input.message.number()).await?;
    let counts =
        |message: &&Message| message.counts_for(&input.profile) && message.id.number() <= up_to;
    let unread = rest.iter().filter(counts).count();
    Ok(u32::try_from(unread).unwrap_or(u32::MAX))
}
