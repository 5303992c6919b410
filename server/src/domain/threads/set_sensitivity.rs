//! `thread.set_sensitivity`: mark a thread sensitive, or take the mark off. Everything said in it before is covered from then
//! on, on every way out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::cover;
use super::delivery::{Saying, open, say};
use super::record::{BoxItem, Message, MessageKind, box_key, messages_prefix};
use super::view::{ThreadSummary, summary};
use super::{THREAD_MESSAGES_MAX, ThreadId};
use crate::domain::error;
use crate::domain::{Context, Declaration, Kind, Method, Operation, Rest, Target};
use crate::ledger::{RecordKey, Refusal};
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct SetSensitivity;

/// What `thread.set_sensitivity` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
    /// Whether it shall be sensitive.
    pub sensitive: bool,
}

impl Operation for SetSensitivity {
    const DECLARATION: Declaration = Declaration {
        name: "thread.set_sensitivity",
        summary: "Mark a thread sensitive or no longer so; only a stepped-up session may.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Put, "/v1/threads/{thread}/sensitivity")),
        rights: &[Action::MarkSensitive],
        errors: &[
            &error::NOT_FOUND,
            &error::NOT_ALLOWED,
            &error::STEP_UP_REQUIRED,
            &error::VERSION_CHANGED,
            &error::THREAD_FULL,
        ],
    };
    type Input = Input;
    type Output = ThreadSummary;

    fn target(input: &Input) -> Target {
        Target::unit(input.thread.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<ThreadSummary, Refusal> {
        let mut opened = open(cx, &input.thread, &input.profile).await?;
        cx.permit(&input.profile, Action::MarkSensitive)?;
        opened.may_write(cx, &input.profile)?;
        cx.expect_version(opened.thread.version)?;
        if opened.thread.sensitive != input.sensitive {
            opened.thread.sensitive = input.sensitive;
            let limit = THREAD_MESSAGES_MAX as usize;
            let said: Vec<(RecordKey, Message)> = cx
                .scan(&messages_prefix(&input.thread), None, limit)
                .await?;
            for (key, mut message) in said {
                cover(cx, &opened.thread, &mut message);
                cx.put(&key, &message)?;
            }
            let saying = Saying {
                kind: MessageKind::SensitivityChanged,
                by: input.profile.clone(),
                text: None,
                about: Vec::new(),
            };
            say(cx, &mut opened.thread, &mut opened.parties, saying).await?;
        }
        let key = box_key(&input.profile, &input.thread, opened.thread.last_ms);
        let item: BoxItem = cx.get(&key).await?.unwrap_or_default();
        Ok(summary(
            cx.roster(),
            &opened.thread,
            &item,
            opened.thread.last_ms,
            cx.withholds(opened.thread.sensitive),
        ))
    }
}
