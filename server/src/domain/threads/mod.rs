//! Threads and messages: words between named people, at most 400, in one order for all.
//!
//! A thread is a head record, a record of its parties, and a log of messages; membership changes, edits and
//! withdrawals are messages or changes of messages, and each is an entry. What a party sees of it (unread, muted,
//! marked) is their *box* record, moved to the front of their list by each message. A message is one commit: message,
//! head, boxes, badges, and one entry in the personal channels of all.

mod add_participants;
#[cfg(test)]
mod bounds_tests;
mod change;
mod create;
mod delivery;
mod edit;
mod get;
mod history;
mod leave;
mod list;
mod mark;
mod mute;
mod read;
pub(crate) mod record;
mod reply;
mod send;
mod set_sensitivity;
#[cfg(test)]
mod tests;
pub(crate) mod view;
#[cfg(test)]
mod ways_out_tests;
mod withdraw;

pub use add_participants::AddParticipants;
pub(crate) use create::check_children;
pub use create::{Create, Recipient};
pub use edit::Edit;
pub use get::Get;
pub use history::MessageList;
pub use leave::Leave;
pub use list::List;
pub(crate) use list::window;
pub use mark::Mark;
pub use mute::Mute;
pub use read::Read;
pub use reply::Reply;
pub use send::Send;
pub use set_sensitivity::SetSensitivity;
pub use withdraw::Withdraw;

use crate::object_id;

object_id!(
    /// A thread.
    ThreadId, "t", "thread id (G10001.t5)"
);
object_id!(
    /// A message of a thread.
    MessageId, "m", "message id (G10001.m9)"
);

/// Most recipients of a thread, from the platform's own rule; larger circles get a post.
pub const RECIPIENTS_MAX: usize = 400;
/// Most messages a thread holds. Marking a thread sensitive rewrites them all in one commit, which must stay small.
pub const THREAD_MESSAGES_MAX: u32 = 1_000;
/// Room beyond it for what must always be possible: that each of 400 leaves, and that the thread is marked.
pub const THREAD_RESERVE: u32 = 500;
/// Longest message in characters: some ten printed pages.
pub const TEXT_LENGTH_MAX: usize = 20_000;
/// Longest subject line in characters.
pub const SUBJECT_LENGTH_MAX: usize = 200;
/// Most items of one page of any list: what a phone shows without scrolling for long.
pub const PAGE_MAX: usize = 100;
/// Items of a page when the caller names no number.
pub const PAGE_DEFAULT: usize = 20;
