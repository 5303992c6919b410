//! Posts: words to a group or a whole unit, stored once, said once in its channel, and reaching 40,000 by fan-out alone.
//!
//! A post that waits for its hour is a record and a due row; [`PublishDue`], which the server runs with its clock, says it
//! then and takes expired ones down. What is not out yet is seen by its author alone.

mod comment;
mod due;
mod edit;
mod get;
mod list;
mod note_seen;
mod publish;
pub(crate) mod record;
mod see;
#[cfg(test)]
mod tests;
mod view;
mod withdraw;

pub use comment::Comment;
pub use due::PublishDue;
pub use edit::Edit;
pub use get::Get;
pub use list::List;
pub(crate) use list::{newest, unseen};
pub use note_seen::NoteSeen;
pub use publish::Publish;
pub use see::See;
pub use view::PostView;
pub use withdraw::Withdraw;

use std::sync::Arc;

use crate::ledger::LedgerId;
use crate::object_id;
use crate::store::Store;

object_id!(
    /// A post.
    PostId, "o", "post id (G10001.o4)"
);

/// Longest post in characters: some twenty printed pages.
pub const BODY_LENGTH_MAX: usize = 40_000;
/// Longest title in characters.
pub const TITLE_LENGTH_MAX: usize = 200;
/// Longest comment in characters.
pub const COMMENT_LENGTH_MAX: usize = 5_000;
/// Most comments under a post; they are listed at once.
pub const COMMENTS_MAX: u32 = 500;

/// Whether anything in a unit waits for its hour, so that only then its ledger is loaded to look closer. A store that
/// cannot say counts as yes: the closer look then tells why.
pub async fn may_have_due(store: &Arc<dyn Store>, ledger: &LedgerId) -> bool {
    for prefix in [record::DUE_PREFIX, super::notifications::DUE_PREFIX] {
        let found = store.scan(ledger, prefix, None, 1).await;
        if !found.is_ok_and(|rows| rows.is_empty()) {
            return true;
        }
    }
    false
}
