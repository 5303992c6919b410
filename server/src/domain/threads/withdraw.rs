//! `message.withdraw`: take one's own words back, or, with the right, somebody else's. Nobody gets them from then on, by
//! whatever way; that there was a message stays.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::{again, change, open_message, shown};
use super::view::MessageView;
use super::{MessageId, ThreadId};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct Withdraw;

/// What `message.withdraw` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub message: MessageId,
}

impl Operation for Withdraw {
    const DECLARATION: Declaration = Declaration {
        name: "message.withdraw",
        summary: "Take a message back; everybody in the thread is told, and nobody gets its words any more.",
        kind: Kind::Command,
        rest: Some(Rest::new(
            Method::Delete,
            "/v1/threads/{thread}/messages/{message}",
        )),
        work: Importance::by_staff(Work::Staff, Work::Messages),
        rights: &[Action::Moderate],
        errors: &[
            &error::NOT_FOUND,
            &error::NOT_ALLOWED,
            &error::STEP_UP_REQUIRED,
            &error::WITHDRAWN,
            &error::VERSION_CHANGED,
        ],
    };
    type Input = Input;
    type Output = MessageView;

    fn target(input: &Input) -> Target {
        Target::unit(input.thread.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<MessageView, Refusal> {
        let (mut opened, mut message) =
            open_message(cx, &input.thread, input.message.number(), &input.profile).await?;
        if message.by != input.profile {
            cx.permit(&input.profile, Action::Moderate)?;
        }
        if message.text.is_none() {
            return Err(error::NOT_ALLOWED
                .refuse("only words are withdrawn; what happened stays in the log"));
        }
        message.withdrawn_ms = Some(cx.now_ms());
        message.text = None;
        change(cx, &mut opened, &mut message).await?;
        shown(cx, &opened, &message, &input.profile).await
    }

    async fn again(
        cx: &mut Context<'_, '_>,
        input: Input,
        first: MessageView,
    ) -> Result<MessageView, Refusal> {
        again(cx, &input.profile, first).await
    }
}
