//! Threads as stored, and the keys under which they lie.
//!
//! | key | value |
//! |---|---|
//! | `thread/T` | [`Thread`] |
//! | `parties/T` | [`Parties`] |
//! | `message/T/M` | [`Message`], in order of M |
//! | `box/P/ORDER/T` | [`BoxItem`]: how profile P stands to thread T, newest first |
//! | `bundle/T/P` | the secondary thread in which P answers the sender of T |

use serde::{Deserialize, Serialize};

use super::{MessageId, ThreadId};
use crate::ledger::RecordKey;
use crate::people::{Audience, GroupId, InboxId, ObjectId, Present, ProfileId, Thing};

/// Whom answers go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replies {
    /// To the sender alone, in a thread of their own.
    Sender,
    /// To everyone in the thread.
    Everyone,
}

/// The head of a thread.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Thread {
    pub(crate) id: ThreadId,
    pub(crate) subject: String,
    pub(crate) creator: ProfileId,
    pub(crate) replies: Replies,
    pub(crate) sensitive: bool,
    /// For a secondary thread: the one it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bundle: Option<ThreadId>,
    /// The children it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) regarding: Vec<ProfileId>,
    pub(crate) messages: u32,
    pub(crate) last: MessageId,
    pub(crate) last_ms: u64,
    pub(crate) created_ms: u64,
    pub(crate) version: u64,
}

/// Who takes part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Parties {
    pub(crate) parties: Vec<Party>,
    /// Shared inboxes take part through whoever looks after them at the time.
    #[serde(default)]
    pub(crate) inboxes: Vec<InboxId>,
}

/// One who takes part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Party {
    pub(crate) profile: ProfileId,
    /// Addressed through something: takes part as long as they belong to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) via: Option<Via>,
    #[serde(default)]
    pub(crate) left: bool,
    /// Lost access: keeps what was said before, and gets nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) paused: Option<Paused>,
}

impl Party {
    pub(crate) const fn new(profile: ProfileId, via: Option<Via>) -> Self {
        Self {
            profile,
            via,
            left: false,
            paused: None,
        }
    }
}

/// Through what somebody was addressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Via {
    Group(GroupId),
    Inbox(InboxId),
}

/// How far somebody who lost access had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Paused {
    /// The last message they may see, by number.
    pub(crate) up_to: u32,
    /// When that was said: their box lies under it.
    pub(crate) last_ms: u64,
    /// When the loss was noticed, which is with the first message or change after it: words that became others since then
    /// are not for them.
    #[serde(default)]
    pub(crate) since_ms: u64,
}

impl Paused {
    /// Whether the words of a message are no longer those that were theirs.
    pub(crate) fn misses(self, message: &Message) -> bool {
        message.edited_ms.is_some_and(|at| at >= self.since_ms)
    }
}

/// What a message of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Words.
    Message,
    /// Somebody was added; they see the whole thread.
    ParticipantsAdded,
    /// Somebody left.
    ParticipantLeft,
    /// The thread was marked sensitive, or no longer is.
    SensitivityChanged,
}

/// A message of a thread's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: MessageId,
    pub(crate) thread: ThreadId,
    /// The key of the thread's record: `people::Subject`.
    #[serde(default)]
    pub(crate) part_of: String,
    pub(crate) kind: MessageKind,
    pub(crate) by: ProfileId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// Those a membership change is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) about: Vec<ProfileId>,
    pub(crate) at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) edited_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) withdrawn_ms: Option<u64>,
    pub(crate) version: u64,
    /// What readers of older entries get in their place: `people::Subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) present: Option<Present>,
}

impl Message {
    /// Whether it counts as not read for a profile that has not come to it.
    pub(crate) fn counts_for(&self, profile: &ProfileId) -> bool {
        self.by != *profile
            && matches!(
                self.kind,
                MessageKind::Message | MessageKind::ParticipantsAdded
            )
    }
}

/// How a profile stands to a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoxItem {
    /// The last message that reached the profile, by number. Behind the thread's own for who lost access.
    pub(crate) last: u32,
    /// Messages not read.
    pub(crate) unread: u32,
    /// The last message read, by number; 0 for none.
    #[serde(default)]
    pub(crate) read_up_to: u32,
    #[serde(default)]
    pub(crate) muted: bool,
    #[serde(default)]
    pub(crate) marked: bool,
}

impl BoxItem {
    /// Whether it counts in the badge.
    pub(crate) const fn counts(&self) -> bool {
        self.unread > 0 && !self.muted
    }
}

impl Thread {
    /// As `people` judges it, and whatever is said in it.
    pub(crate) fn thing(&self) -> Thing {
        Thing {
            key: thread_key(&self.id),
            audience: Audience::ALL,
            sensitive: self.sensitive,
        }
    }
}

pub(crate) fn thread_key(id: &ThreadId) -> RecordKey {
    format!("thread/{}", id.number()).into()
}

pub(crate) fn parties_key(id: &ThreadId) -> RecordKey {
    format!("parties/{}", id.number()).into()
}

pub(crate) fn messages_prefix(thread: &ThreadId) -> String {
    format!("message/{}/", thread.number())
}

pub(crate) fn message_key(thread: &ThreadId, message: u32) -> RecordKey {
    format!("message/{}/{message:010}", thread.number()).into()
}

pub(crate) fn bundle_key(thread: &ThreadId, by: &ProfileId) -> RecordKey {
    format!("bundle/{}/{}", thread.number(), by.number()).into()
}

pub(crate) fn box_prefix(profile: &ProfileId) -> String {
    format!("box/{}/", profile.number())
}

/// Keys sort upwards and lists begin with the newest, so the time stands in the key upside down.
pub(crate) fn box_key(profile: &ProfileId, thread: &ThreadId, last_ms: u64) -> RecordKey {
    format!(
        "box/{}/{:016x}/{}",
        profile.number(),
        u64::MAX - last_ms,
        thread.number()
    )
    .into()
}

/// The thread number and the time in a box key.
pub(crate) fn place_of_box(key: &RecordKey) -> Option<(u32, u64)> {
    let mut parts = key.as_str().rsplit('/');
    let thread = parts.next()?.parse().ok()?;
    let order = u64::from_str_radix(parts.next()?, 16).ok()?;
    Some((thread, u64::MAX - order))
}
