//! Notifications that go by themselves: expired ones by the sweep, the oldest when there are too many.

use super::record::{NOTIFICATIONS_MAX, Notification, note_key, note_prefix};
use crate::domain::Context;
use crate::domain::badge::{self, Area};
use crate::ledger::{Content, RecordKey, Refusal};
use crate::people::{ObjectId, ProfileId, channel};

/// Key prefix of what expires, in order of time.
pub(crate) const DUE_PREFIX: &str = "note-due/";

pub(super) fn due_key(expires_ms: u64, profile: &ProfileId, tag: &str) -> RecordKey {
    format!("{DUE_PREFIX}{expires_ms:016x}/{}/{tag}", profile.number()).into()
}

/// Tells the devices of a profile that a notification is gone, with the badge.
pub(super) async fn tell(
    cx: &mut Context<'_, '_>,
    profile: &ProfileId,
    tag: &str,
) -> Result<(), Refusal> {
    let badge = badge::of(cx, profile).await?;
    let payload = serde_json::json!({ "type": "notification.gone", "tag": tag, "badge": badge });
    cx.append(
        [channel::person(profile)],
        Content {
            full: payload.to_string().into(),
            ..Content::default()
        },
    );
    Ok(())
}

/// Makes room for one more.
pub(super) async fn drop_oldest(
    cx: &mut Context<'_, '_>,
    profile: &ProfileId,
) -> Result<(), Refusal> {
    let all: Vec<(RecordKey, Notification)> = cx
        .scan(&note_prefix(profile), None, NOTIFICATIONS_MAX)
        .await?;
    let oldest = all
        .into_iter()
        .min_by_key(|(_, notification)| notification.at_ms);
    let Some((key, oldest)) = oldest else {
        return Ok(());
    };
    cx.delete(&key).await?;
    badge::adjust(cx, profile, Area::Notifications, true, false).await?;
    tell(cx, profile, &oldest.tag).await
}

/// Takes away what has expired by now, at most `limit`; gives how many due rows were done.
pub(crate) async fn expire(cx: &mut Context<'_, '_>, limit: usize) -> Result<usize, Refusal> {
    let due: Vec<(RecordKey, (ProfileId, String))> = cx.scan(DUE_PREFIX, None, limit).await?;
    let now = RecordKey::from(format!("{DUE_PREFIX}{:016x}/~", cx.now_ms()));
    let mut done = 0;
    for (row, (profile, tag)) in due.into_iter().take_while(|(row, _)| *row <= now) {
        cx.delete(&row).await?;
        done += 1;
        let key = note_key(&profile, &tag);
        let expired = |n: &Notification| {
            n.expires_ms
                .is_some_and(|expires_ms| expires_ms <= cx.now_ms())
        };
        // A newer one under the same tag may live longer, or somebody dismissed it.
        if !cx
            .get::<Notification>(&key)
            .await?
            .as_ref()
            .is_some_and(expired)
        {
            continue;
        }
        cx.delete(&key).await?;
        badge::adjust(cx, &profile, Area::Notifications, true, false).await?;
        tell(cx, &profile, &tag).await?;
    }
    Ok(done)
}
