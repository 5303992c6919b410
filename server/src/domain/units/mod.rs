//! Units: groups and their members, relations, shared inboxes, and stops on writing.
//!
//! What these operations change are records of people, so applying their commit moves the roster, and open sessions are
//! told before the next entry goes out.

mod add_member;
mod block;
mod end_relation;
mod inherit_block;
mod remove_member;
mod set_inbox;
#[cfg(test)]
mod tests;
mod unblock;

pub use add_member::AddMember;
pub use block::Block;
pub use end_relation::EndRelation;
pub use inherit_block::InheritBlock;
pub use remove_member::RemoveMember;
pub use set_inbox::SetInbox;
pub use unblock::Unblock;

use jiff::civil::Date;

use crate::domain::{Context, error};
use crate::ledger::Refusal;
use crate::people::record::Local;
use crate::people::rights::{Action, Reach};
use crate::people::{GroupId, ProfileId};

/// The mark of a record that somebody of the unit sets: an import keeps it.
fn local(cx: &Context<'_, '_>, by: ProfileId) -> Local {
    Local {
        by,
        at_ms: cx.now_ms(),
    }
}

/// Refuses who may not manage this group: it takes the right, and for some kinds being in the group.
fn may_manage(cx: &Context<'_, '_>, profile: &ProfileId, group: &GroupId) -> Result<(), Refusal> {
    let reach = cx.permit(profile, Action::ManageGroups)?;
    let own = cx.acting(profile)?;
    if cx.roster().group(group).is_none() {
        return Err(error::NOT_FOUND.refuse(""));
    }
    if reach < Reach::Unit && !cx.roster().groups_seen(own, cx.today()).contains(group) {
        return Err(error::NOT_ALLOWED.refuse("the profile manages its own groups only"));
    }
    Ok(())
}

/// The last day of what is ended today: an earlier one stays, and none lies before the first.
fn last_day(from: Option<Date>, until: Option<Date>, today: Date) -> Option<Date> {
    let last = until.map_or(today, |until| until.min(today));
    Some(from.map_or(last, |from| from.max(last)))
}
