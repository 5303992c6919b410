//! `message.list`: the messages of a thread, newest first. Sensitive ones stand there bare until the session steps up; who
//! saw them in full is written down.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::delivery::{messages_after, open};
use super::record::Message;
use super::view::{MessageView, bare, full, withheld};
use super::{PAGE_DEFAULT, ThreadId};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::page::{Cursor, Limit};
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::{ObjectId, ProfileId, Roster, show};

/// See the file.
pub struct MessageList;

/// What `message.list` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
    /// How many.
    #[serde(default)]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default)]
    pub cursor: Option<Cursor>,
}

/// What `message.list` gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Newest first.
    pub messages: Vec<MessageView>,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// Whether there is more to see after a step-up.
    pub step_up_required: bool,
}

impl Operation for MessageList {
    const DECLARATION: Declaration = Declaration {
        name: "message.list",
        summary: "List the messages of a thread, newest first.",
        kind: Kind::Query,
        rest: Some(Rest::new(Method::Get, "/v1/threads/{thread}/messages")),
        work: Importance::of(Work::Messages),
        rights: &[],
        errors: &[&error::NOT_FOUND, &error::PROFILE_NOT_YOURS],
    };
    type Input = Input;
    type Output = Output;

    fn target(input: &Input) -> Target {
        Target::unit(input.thread.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        let opened = open(cx, &input.thread, &input.profile).await?;
        let limit = input.limit.map_or(PAGE_DEFAULT, Limit::get);
        let before = input
            .cursor
            .as_ref()
            .map_or(Ok(u32::MAX), |cursor| cursor.as_str().parse());
        let before: u32 =
            before.map_err(|_| error::NOT_FOUND.refuse("not a cursor of this list"))?;
        let up_to = opened.up_to();
        let inside =
            |message: &Message| message.id.number() <= up_to && message.id.number() < before;
        let said = messages_after(cx, &input.thread, 0).await?;
        let mut older: Vec<Message> = said.into_iter().filter(inside).collect();
        let page = older.split_off(older.len().saturating_sub(limit));
        let oldest = page.first().filter(|_| !older.is_empty());
        let cursor = oldest.and_then(|oldest| Cursor::after(&oldest.id.number().to_string()));
        let misses = |message: &Message| opened.paused.is_some_and(|it| it.misses(message));
        let in_full = |roster: &Roster, message: &Message| {
            if misses(message) {
                withheld(roster, message)
            } else {
                full(roster, message)
            }
        };
        let newest_first = || page.iter().rev();
        let (viewer, thing) = (cx.viewer(&input.profile)?, opened.thread.thing());
        let shown = show(
            cx,
            &viewer,
            &thing,
            |roster| Output {
                messages: newest_first().map(|it| in_full(roster, it)).collect(),
                cursor: cursor.clone(),
                step_up_required: false,
            },
            |_| Output {
                messages: newest_first().map(bare).collect(),
                cursor: cursor.clone(),
                step_up_required: true,
            },
        );
        shown.await?.ok_or_else(|| error::NOT_FOUND.refuse(""))
    }
}
