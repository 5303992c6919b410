//! `message.list`: the messages of a thread, newest first. Sensitive ones stand there bare until the session steps up; who
//! saw them in full is written down.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::delivery::open;
use super::record::{Message, messages_prefix};
use super::view::{MessageView, bare, full};
use super::{PAGE_DEFAULT, THREAD_MESSAGES_MAX, ThreadId};
use crate::domain::error;
use crate::domain::page::{Cursor, Limit};
use crate::domain::{Context, Declaration, Kind, Method, Operation, Rest, Target};
use crate::ledger::{RecordKey, Refusal};
use crate::people::{ObjectId, ProfileId, access_log};

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
        let hidden = cx.withholds(opened.thread.sensitive);
        let limit = input.limit.map_or(PAGE_DEFAULT, Limit::get);
        let before = input
            .cursor
            .as_ref()
            .map_or(Ok(u32::MAX), |cursor| cursor.as_str().parse());
        let before: u32 =
            before.map_err(|_| error::NOT_FOUND.refuse("not a cursor of this list"))?;
        let all = THREAD_MESSAGES_MAX as usize;
        let said: Vec<(RecordKey, Message)> =
            cx.scan(&messages_prefix(&input.thread), None, all).await?;
        let up_to = opened.up_to.unwrap_or(u32::MAX);
        let inside =
            |message: &Message| message.id.number() <= up_to && message.id.number() < before;
        let mut older: Vec<Message> = said
            .into_iter()
            .map(|(_, message)| message)
            .filter(inside)
            .collect();
        let page = older.split_off(older.len().saturating_sub(limit));
        let oldest = page.first().filter(|_| !older.is_empty());
        let cursor = oldest.and_then(|oldest| Cursor::after(&oldest.id.number().to_string()));
        if opened.thread.sensitive && !hidden && !page.is_empty() {
            access_log::note(
                cx,
                &input.profile,
                &format!("thread/{}", input.thread.number()),
            )
            .await?;
        }
        let shown = page.iter().rev().map(|message| {
            if hidden {
                bare(message)
            } else {
                full(cx.roster(), message)
            }
        });
        Ok(Output {
            messages: shown.collect(),
            cursor,
            step_up_required: hidden,
        })
    }
}
