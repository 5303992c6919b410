//! `message.edit`: put other words in place of one's own. Readers of the old entry get the new words from then on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::{again, change, open_message, shown};
use super::view::MessageView;
use super::{MessageId, TEXT_LENGTH_MAX, ThreadId};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::text::Text;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct Edit;

/// What `message.edit` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub message: MessageId,
    /// The words now.
    pub text: Text<TEXT_LENGTH_MAX>,
}

impl Operation for Edit {
    const DECLARATION: Declaration = Declaration {
        name: "message.edit",
        summary: "Put other words in place of one's own; everybody in the thread is told.",
        kind: Kind::Command,
        rest: Some(Rest::new(
            Method::Patch,
            "/v1/threads/{thread}/messages/{message}",
        )),
        work: Importance::by_staff(Work::Staff, Work::Messages),
        rights: &[Action::WriteInThread],
        errors: &[
            &error::NOT_FOUND,
            &error::NOT_ALLOWED,
            &error::STEP_UP_REQUIRED,
            &error::COMMUNICATION_BLOCKED,
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
        cx.permit(&input.profile, Action::WriteInThread)?;
        if message.by != input.profile || message.text.is_none() {
            return Err(
                error::NOT_ALLOWED.refuse("only words are edited, and only by their author")
            );
        }
        message.text = Some(input.text.into_string());
        message.edited_ms = Some(cx.now_ms());
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
