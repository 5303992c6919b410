//! `thread.set_sensitivity`: mark a thread sensitive, or take the mark off. Everything said in it before is covered from then
//! on, on every way out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ThreadId;
use super::change::{cover, thread_again};
use super::delivery::{Opened, Saying, append, has_room, messages_after, open, say};
use super::record::{BoxItem, MessageKind, box_key, message_key, thread_key};
use super::view::{ThreadSummary, bare_summary, summary};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId, Roster, show};

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
        work: Importance::by_staff(Work::Staff, Work::Messages),
        rights: &[Action::MarkSensitive],
        errors: &[
            &error::NOT_FOUND,
            &error::NOT_ALLOWED,
            &error::STEP_UP_REQUIRED,
            &error::VERSION_CHANGED,
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
            mark(cx, &mut opened, &input).await?;
        }
        let last_ms = opened.thread.last_ms;
        let key = box_key(&input.profile, &input.thread, last_ms);
        let item: BoxItem = cx.get(&key).await?.unwrap_or_default();
        let (viewer, thread) = (cx.viewer(&input.profile)?, &opened.thread);
        let in_full = |roster: &Roster| summary(roster, thread, &item, last_ms);
        let bare = |_: &Roster| bare_summary(thread, &item, last_ms);
        let shown = show(cx, &viewer, &thread.thing(), in_full, bare).await?;
        shown.ok_or_else(|| error::NOT_FOUND.refuse(""))
    }

    async fn again(
        cx: &mut Context<'_, '_>,
        input: Input,
        first: ThreadSummary,
    ) -> Result<ThreadSummary, Refusal> {
        thread_again(cx, &input.profile, first).await
    }
}

/// Marks the thread and covers what was said. A thread that has no room even for the word of it is marked all the same:
/// its newest message tells, as it now is.
async fn mark(cx: &mut Context<'_, '_>, opened: &mut Opened, input: &Input) -> Result<(), Refusal> {
    opened.thread.sensitive = input.sensitive;
    let hearing = opened.hearing(cx)?;
    let mut newest = None;
    for mut message in messages_after(cx, &input.thread, 0).await? {
        cover(cx, opened, &mut message);
        let key = message_key(&input.thread, message.id.number());
        cx.put(&key, &message)?;
        newest = Some(message);
    }
    let kind = MessageKind::SensitivityChanged;
    if has_room(&opened.thread, kind) {
        let saying = Saying {
            kind,
            by: input.profile.clone(),
            text: None,
            about: Vec::new(),
        };
        say(cx, &mut opened.thread, &mut opened.parties, saying).await?;
        return Ok(());
    }
    opened.thread.version += 1;
    cx.put(&thread_key(&input.thread), &opened.thread)?;
    match newest {
        Some(newest) => append(cx, &opened.thread, &newest, hearing).await,
        None => Ok(()),
    }
}
