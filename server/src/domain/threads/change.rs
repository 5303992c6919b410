//! How a message that was said is changed: record, stand-in for older entries, and an entry to all.

use super::delivery::{Opened, append, open};
use super::record::{Message, Thread, message_key, thread_key};
use super::view::{MessageView, ThreadSummary};
use super::{ThreadId, view};
use crate::domain::{Context, error};
use crate::ledger::Refusal;
use crate::people::{ObjectId, Present, ProfileId, Roster, show, show_own};

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
    if number > opened.up_to() {
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
pub(super) async fn change(
    cx: &mut Context<'_, '_>,
    opened: &mut Opened,
    message: &mut Message,
) -> Result<(), Refusal> {
    message.version += 1;
    let hearing = opened.hearing(cx)?;
    cover(cx, opened, message);
    let key = message_key(&opened.thread.id, message.id.number());
    cx.put(&key, message)?;
    append(cx, &opened.thread, message, hearing).await
}

/// Sets what readers of its entries get in their place: the message as it is now, measured as its thread is now. Who lost
/// access before its words became these gets it without words.
pub(super) fn cover(cx: &Context<'_, '_>, opened: &Opened, message: &mut Message) {
    let (roster, thread) = (cx.roster(), &opened.thread);
    let parties = opened.parties.parties.iter();
    let missing = parties.filter(|party| party.paused.is_some_and(|it| it.misses(message)));
    let withheld_from: Vec<_> = missing.map(|party| party.profile.clone()).collect();
    let instead = (!withheld_from.is_empty())
        .then(|| view::full_payload(thread, &view::withheld(roster, message)));
    message.present = Some(Present {
        since_ms: cx.now_ms(),
        full: view::full_payload(thread, &view::full(roster, message)),
        bare: thread
            .sensitive
            .then(|| view::bare_payload(thread, message)),
        gone: false,
        withheld_from,
        instead,
    });
}

/// A message as the one who changed it gets it.
pub(super) async fn shown(
    cx: &mut Context<'_, '_>,
    opened: &Opened,
    message: &Message,
    profile: &ProfileId,
) -> Result<MessageView, Refusal> {
    let (viewer, thing) = (cx.viewer(profile)?, opened.thread.thing());
    let full = |roster: &Roster| view::full(roster, message);
    let shown = show(cx, &viewer, &thing, full, |_| view::bare(message)).await?;
    shown.ok_or_else(|| error::NOT_FOUND.refuse(""))
}

/// A message as the one who wrote it gets it.
pub(super) fn own(
    cx: &Context<'_, '_>,
    thread: &Thread,
    message: &Message,
    profile: &ProfileId,
) -> Result<MessageView, Refusal> {
    let (viewer, thing) = (cx.viewer(profile)?, thread.thing());
    let full = |roster: &Roster| view::full(roster, message);
    let shown = show_own(cx.roster(), &viewer, &thing, full, |_| view::bare(message));
    shown.ok_or_else(|| error::NOT_FOUND.refuse(""))
}

/// The first answer again, as it may be seen by the session that retries: its thread may be sensitive, and its words may
/// have been taken back.
pub(super) async fn again(
    cx: &mut Context<'_, '_>,
    profile: &ProfileId,
    first: MessageView,
) -> Result<MessageView, Refusal> {
    let not_found = || error::NOT_FOUND.refuse("");
    let key = message_key(&first.thread, first.id.number());
    let message: Message = cx.get(&key).await?.ok_or_else(not_found)?;
    let thread: Option<Thread> = cx.get(&thread_key(&first.thread)).await?;
    let shown = own(cx, &thread.ok_or_else(not_found)?, &message, profile)?;
    let unchanged = shown.version == first.version && !shown.step_up_required;
    Ok(if unchanged { first } else { shown })
}

/// The same for a thread.
pub(super) async fn thread_again(
    cx: &mut Context<'_, '_>,
    profile: &ProfileId,
    first: ThreadSummary,
) -> Result<ThreadSummary, Refusal> {
    let not_found = || error::NOT_FOUND.refuse("");
    let thread: Option<Thread> = cx.get(&thread_key(&first.id)).await?;
    let (viewer, thing) = (cx.viewer(profile)?, thread.ok_or_else(not_found)?.thing());
    let bare = ThreadSummary {
        subject: None,
        creator: None,
        regarding: Vec::new(),
        sensitive: true,
        step_up_required: true,
        ..first.clone()
    };
    show_own(cx.roster(), &viewer, &thing, |_| first, |_| bare).ok_or_else(not_found)
}
