//! `message.send`: say something to everybody in a thread.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::{again, own};
use super::delivery::{Saying, open, say};
use super::record::{MessageKind, Replies};
use super::view::MessageView;
use super::{TEXT_LENGTH_MAX, ThreadId};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::text::Text;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct Send;

/// What `message.send` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
    /// The words.
    pub text: Text<TEXT_LENGTH_MAX>,
}

impl Operation for Send {
    const DECLARATION: Declaration = Declaration {
        name: "message.send",
        summary: "Say something to everybody in a thread. Send an idempotency key: a retry then says it once.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Post, "/v1/threads/{thread}/messages")),
        work: Importance::by_staff(Work::Staff, Work::Messages),
        rights: &[Action::WriteInThread],
        errors: &[
            &error::NOT_FOUND,
            &error::NOT_ALLOWED,
            &error::STEP_UP_REQUIRED,
            &error::COMMUNICATION_BLOCKED,
            &error::OUTSIDE_MUNICIPALITY,
            &error::REPLY_TO_SENDER,
            &error::THREAD_FULL,
            &error::NO_RECIPIENTS,
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
        let mut opened = open(cx, &input.thread, &input.profile).await?;
        cx.permit(&input.profile, Action::WriteInThread)?;
        opened.may_write(cx, &input.profile)?;
        if opened.thread.replies == Replies::Sender && opened.thread.creator != input.profile {
            return Err(error::REPLY_TO_SENDER.refuse(""));
        }
        let saying = Saying {
            kind: MessageKind::Message,
            by: input.profile.clone(),
            text: Some(input.text.into_string()),
            about: Vec::new(),
        };
        let message = say(cx, &mut opened.thread, &mut opened.parties, saying).await?;
        own(cx, &opened.thread, &message, &input.profile)
    }

    async fn again(
        cx: &mut Context<'_, '_>,
        input: Input,
        first: MessageView,
    ) -> Result<MessageView, Refusal> {
        again(cx, &input.profile, first).await
    }
}
