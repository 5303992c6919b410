//! Badge counters: how many things wait for a profile, kept as a record in the same commit as the things.
//!
//! Invariant: a counter always equals [`recount`] over the records it counts. Whoever changes such a record changes
//! the counter through [`adjust`] in the same commit; the tests of every operation that does so compare the two.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Context;
use super::notifications::record::{NOTIFICATIONS_MAX, Notification, note_prefix};
use super::threads::record::{BoxItem, box_prefix};
use crate::ledger::{RecordKey, Refusal, SCAN_LIMIT_MAX};
use crate::people::{ObjectId, ProfileId};

/// What waits, by area.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Badge {
    /// Threads with messages not read, muted ones left out.
    pub messages: u32,
    /// Notifications not dismissed and not expired.
    pub notifications: u32,
}

/// An area of the badge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    Messages,
    Notifications,
}

pub(crate) fn badge_key(profile: &ProfileId) -> RecordKey {
    format!("badge/{}", profile.number()).into()
}

/// The counters of a profile.
pub(crate) async fn of(cx: &Context<'_, '_>, profile: &ProfileId) -> Result<Badge, Refusal> {
    Ok(cx.get(&badge_key(profile)).await?.unwrap_or_default())
}

/// Moves one counter by the change of one thing: whether it counted before, and whether it does now.
pub(crate) async fn adjust(
    cx: &mut Context<'_, '_>,
    profile: &ProfileId,
    area: Area,
    before: bool,
    now: bool,
) -> Result<(), Refusal> {
    if before == now {
        return Ok(());
    }
    let mut badge = of(cx, profile).await?;
    let counter = match area {
        Area::Messages => &mut badge.messages,
        Area::Notifications => &mut badge.notifications,
    };
    *counter = if now {
        counter.saturating_add(1)
    } else {
        counter.saturating_sub(1)
    };
    cx.put(&badge_key(profile), &badge)
}

/// The counters as the records say; what tests and the operators' check compare with.
pub(crate) async fn recount(cx: &Context<'_, '_>, profile: &ProfileId) -> Result<Badge, Refusal> {
    let mut badge = Badge::default();
    let prefix = box_prefix(profile);
    let mut after: Option<RecordKey> = None;
    loop {
        let page: Vec<(RecordKey, BoxItem)> =
            cx.scan(&prefix, after.as_ref(), SCAN_LIMIT_MAX).await?;
        let full = page.len() == SCAN_LIMIT_MAX;
        let counted = page.iter().filter(|(_, item)| item.counts()).count();
        badge.messages += u32::try_from(counted).unwrap_or(u32::MAX);
        match page.into_iter().next_back() {
            Some((key, _)) if full => after = Some(key),
            _ => break,
        }
    }
    let notes: Vec<(RecordKey, Notification)> = cx
        .scan(&note_prefix(profile), None, NOTIFICATIONS_MAX)
        .await?;
    badge.notifications = u32::try_from(notes.len()).unwrap_or(u32::MAX);
    Ok(badge)
}
