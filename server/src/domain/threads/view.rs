//! Threads and messages as people get them, in lists and in entries: one shape each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::record::{BoxItem, Message, MessageKind, Replies, Thread};
use super::{MessageId, ThreadId};
use crate::people::{ObjectId, PersonRef, Roster};

/// A thread in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadSummary {
    /// Its id.
    pub id: ThreadId,
    /// Its subject line; absent when a step-up is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who started it; absent when a step-up is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<PersonRef>,
    /// Whom answers go to.
    pub replies: Replies,
    /// The thread this one answers; both are shown as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<ThreadId>,
    /// Whether it is marked sensitive.
    pub sensitive: bool,
    /// Whether there is more to see after a step-up. Never an empty success: what is hidden says so.
    pub step_up_required: bool,
    /// Its newest message.
    pub last: MessageId,
    /// When that came, in milliseconds since 1970.
    pub last_ms: u64,
    /// Messages not read.
    pub unread: u32,
    /// Whether it is kept out of badges and notices.
    pub muted: bool,
    /// Whether the reader marked it.
    pub marked: bool,
    /// Counts the changes of its head; also its ETag.
    pub version: u64,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageView {
    /// Its id.
    pub id: MessageId,
    /// Its thread.
    pub thread: ThreadId,
    /// What it is.
    pub kind: MessageKind,
    /// Who wrote or did it; absent when a step-up is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonRef>,
    /// The words; absent when withdrawn or when a step-up is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Those a membership change is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<PersonRef>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// When it was last edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_ms: Option<u64>,
    /// When it was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_ms: Option<u64>,
    /// Whether there is more to see after a step-up.
    #[serde(default)]
    pub step_up_required: bool,
    /// Counts its changes; also its ETag.
    pub version: u64,
}

/// The thread as a reader sees it, up to what last reached them at `last_ms`: in full, or a bare signal when the rest is
/// withheld ([`Context::withholds`](crate::domain::Context::withholds)).
pub(crate) fn summary(
    roster: &Roster,
    thread: &Thread,
    item: &BoxItem,
    last_ms: u64,
    hidden: bool,
) -> ThreadSummary {
    ThreadSummary {
        id: thread.id.clone(),
        subject: (!hidden).then(|| thread.subject.clone()),
        creator: (!hidden).then(|| PersonRef::of(roster, &thread.creator)),
        replies: thread.replies,
        bundle: thread.bundle.clone(),
        sensitive: thread.sensitive,
        step_up_required: hidden,
        last: MessageId::new(thread.id.unit().clone(), item.last),
        last_ms,
        unread: item.unread,
        muted: item.muted,
        marked: item.marked,
        version: thread.version,
    }
}

/// The message in full.
pub(crate) fn full(roster: &Roster, message: &Message) -> MessageView {
    MessageView {
        id: message.id.clone(),
        thread: message.thread.clone(),
        kind: message.kind,
        by: Some(PersonRef::of(roster, &message.by)),
        text: message
            .text
            .clone()
            .filter(|_| message.withdrawn_ms.is_none()),
        about: message
            .about
            .iter()
            .map(|profile| PersonRef::of(roster, profile))
            .collect(),
        at_ms: message.at_ms,
        edited_ms: message.edited_ms,
        withdrawn_ms: message.withdrawn_ms,
        step_up_required: false,
        version: message.version,
    }
}

/// The message as a bare signal: that there is one, and nothing of what or whose.
pub(crate) fn bare(message: &Message) -> MessageView {
    MessageView {
        id: message.id.clone(),
        thread: message.thread.clone(),
        kind: message.kind,
        by: None,
        text: None,
        about: Vec::new(),
        at_ms: message.at_ms,
        edited_ms: None,
        withdrawn_ms: None,
        step_up_required: true,
        version: message.version,
    }
}

/// The payload of an entry that speaks of a message. Clients put it in place by the message's id, whether new or changed.
pub(crate) fn full_payload(roster: &Roster, thread: &Thread, message: &Message) -> Value {
    json!({
        "type": "message",
        "thread": { "id": thread.id, "subject": thread.subject, "sensitive": thread.sensitive },
        "message": full(roster, message),
    })
}

/// The same for a session that must step up first.
pub(crate) fn bare_payload(thread: &Thread, message: &Message) -> Value {
    json!({
        "type": "message",
        "step_up_required": true,
        "thread": { "id": thread.id, "sensitive": true },
        "message": bare(message),
    })
}
