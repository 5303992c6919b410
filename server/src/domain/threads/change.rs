//! How a message that was said is changed: record, stand-in for older entries, and an entry to all.

use super::delivery::{Opened, append, open};
use super::record::{Message, Thread, message_key};
use super::{ThreadId, view};
use crate::domain::{Context, error};
use crate::ledger::Refusal;
use crate::people::{ObjectId, Present, ProfileId};

/// Opens a message that the profile sees and that can still be changed.
pub(super) async fn open_message(
    cx: &Context<'_, '_>,
    thread: &ThreadId,
    number: u32,
    profile: &ProfileId,
) -> Result<(Opened, Message), Refusal> {
    let opened = open(cx, thread, profile).await?;
    let not_found = || error::NOT_FOUND.refuse("");
    let message: Message = cx
        .get(&message_key(thread, number))
        .await?
        .ok_or_else(not_found)?;
    if opened.up_to.is_some_and(|up_to| number > up_to) {
        return Err(not_found());
    }
    opened.may_write(cx, profile)?;
    if message.withdrawn_ms.is_some() {
        return Err(error::WITHDRAWN.refuse(""));
    }
    cx.expect_version(message.version)?;
    Ok((opened, message))
}

/// Stages a changed message and tells everybody in the thread.
pub(super) fn change(
    cx: &mut Context<'_, '_>,
    opened: &Opened,
    message: &mut Message,
) -> Result<(), Refusal> {
    message.version += 1;
    cover(cx, &opened.thread, message);
    cx.put(
        &message_key(&opened.thread.id, message.id.number()),
        message,
    )?;
    let channels = opened.channels(cx);
    append(cx, &opened.thread, message, channels);
    Ok(())
}

/// Sets what readers of older entries get in their place: the message as it is now, measured as its thread is now.
pub(super) fn cover(cx: &Context<'_, '_>, thread: &Thread, message: &mut Message) {
    message.present = Some(Present {
        since_ms: cx.now_ms(),
        full: view::full_payload(cx.roster(), thread, message),
        bare: thread
            .sensitive
            .then(|| view::bare_payload(thread, message)),
    });
}
