//! How a message is said: log, head, boxes, badges and entry, staged together so that they are one commit.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::civil::Date;

use super::record::{
    BoxItem, Message, MessageKind, Parties, Party, Paused, Thread, Via, box_key, message_key,
    messages_prefix, parties_key, thread_key,
};
use super::{MessageId, RECIPIENTS_MAX, THREAD_MESSAGES_MAX, THREAD_RESERVE, ThreadId, view};
use crate::domain::badge::{self, Area};
use crate::domain::{Context, error};
use crate::ledger::{Content, RecordKey, Refusal, SCAN_LIMIT_MAX};
use crate::people::{ObjectId, ProfileId, Roster, access_log, channel};

/// What is to be said.
pub(super) struct Saying {
    pub(super) kind: MessageKind,
    pub(super) by: ProfileId,
    pub(super) text: Option<String>,
    pub(super) about: Vec<ProfileId>,
}

/// Stages a message of a thread whose head and parties are at hand; both are put back with what it changed.
pub(super) async fn say(
    cx: &mut Context<'_, '_>,
    thread: &mut Thread,
    parties: &mut Parties,
    saying: Saying,
) -> Result<Message, Refusal> {
    if !has_room(thread, saying.kind) {
        return Err(error::THREAD_FULL.refuse(""));
    }
    let number = next_message(cx).await?;
    let message = Message {
        id: MessageId::new(thread.id.unit().clone(), number),
        thread: thread.id.clone(),
        part_of: thread_key(&thread.id).as_str().to_owned(),
        kind: saying.kind,
        by: saying.by,
        text: saying.text,
        about: saying.about,
        at_ms: cx.now_ms(),
        edited_ms: None,
        withdrawn_ms: None,
        version: 1,
        present: None,
    };
    let before_ms = (thread.messages > 0).then_some(thread.last_ms);
    let before = thread.last.number();
    // Time never runs backwards in a list, even if the clock does.
    thread.last_ms = thread.last_ms.max(cx.now_ms());
    let receivers = renew_parties(cx, parties, before_ms.unwrap_or(0), before);
    let heard = |receiver: &Receiver| receiver.profile != message.by;
    if message.kind == MessageKind::Message && !receivers.iter().any(heard) {
        return Err(error::NO_RECIPIENTS.refuse("nobody else takes part in the thread today"));
    }
    for receiver in &receivers {
        move_box(cx, thread, receiver, before_ms, &message).await?;
    }
    thread.messages += 1;
    thread.last = message.id.clone();
    thread.version += 1;
    cx.put(&thread_key(&thread.id), thread)?;
    cx.put(&parties_key(&thread.id), parties)?;
    cx.put(&message_key(&thread.id, number), &message)?;
    let receivers = receivers.into_iter().map(|receiver| receiver.profile);
    append(cx, thread, &message, receivers.collect()).await?;
    Ok(message)
}

/// Whether a thread holds one more of a kind; leaving and marking have room of their own.
pub(super) const fn has_room(thread: &Thread, kind: MessageKind) -> bool {
    let room = match kind {
        MessageKind::Message | MessageKind::ParticipantsAdded => THREAD_MESSAGES_MAX,
        MessageKind::ParticipantLeft | MessageKind::SensitivityChanged => {
            THREAD_MESSAGES_MAX + THREAD_RESERVE
        }
    };
    thread.messages < room
}

/// The messages of a thread after a number, in order.
pub(super) async fn messages_after(
    cx: &Context<'_, '_>,
    thread: &ThreadId,
    after: u32,
) -> Result<Vec<Message>, Refusal> {
    let prefix = messages_prefix(thread);
    let mut after = message_key(thread, after);
    let mut all = Vec::new();
    loop {
        let page: Vec<(RecordKey, Message)> =
            cx.scan(&prefix, Some(&after), SCAN_LIMIT_MAX).await?;
        let last = page.last().map(|(key, _)| key.clone());
        let is_full = page.len() == SCAN_LIMIT_MAX;
        all.extend(page.into_iter().map(|(_, message)| message));
        match last {
            Some(last) if is_full => after = last,
            _ => return Ok(all),
        }
    }
}

/// Appends the entry that speaks of a message, new or changed, to personal channels. Who hears what is sensitive in full is
/// written down with it.
pub(super) async fn append(
    cx: &mut Context<'_, '_>,
    thread: &Thread,
    message: &Message,
    to: Vec<ProfileId>,
) -> Result<(), Refusal> {
    if thread.sensitive {
        access_log::note_live(cx, &to, thread_key(&thread.id).as_str()).await?;
    }
    let full = view::full_payload(thread, &view::full(cx.roster(), message)).to_string();
    let bare = thread
        .sensitive
        .then(|| view::bare_payload(thread, message).to_string());
    let content = Content {
        full: Bytes::from(full),
        bare: bare.map(Bytes::from),
        subject: Some(message_key(&thread.id, message.id.number())),
        ..Content::default()
    };
    cx.append(to.iter().map(channel::person), content);
    Ok(())
}

async fn next_message(cx: &mut Context<'_, '_>) -> Result<u32, Refusal> {
    let number = cx.next_number("m").await?;
    u32::try_from(number)
        .map_err(|_| error::TOO_LARGE.refuse("the unit has no message numbers left"))
}

/// One who gets a message, and under which time their box lies.
struct Receiver {
    profile: ProfileId,
    /// The time of the box if it is not that of the thread.
    paused_ms: Option<u64>,
}

/// Brings the parties up to date with the roster of today, and gives those who receive: newcomers of a shared inbox join,
/// who lost access is paused, who has it again goes on.
fn renew_parties(
    cx: &Context<'_, '_>,
    parties: &mut Parties,
    last_ms: u64,
    last: u32,
) -> Vec<Receiver> {
    let (roster, today) = (cx.roster(), cx.today());
    for inbox in &parties.inboxes {
        let members = roster.inbox(inbox).map_or(&[][..], |inbox| &inbox.members);
        for member in members {
            // Who left stays out; they can still look in through the inbox.
            if !parties.parties.iter().any(|party| party.profile == *member) {
                parties
                    .parties
                    .push(Party::new(member.clone(), Some(Via::Inbox(inbox.clone()))));
            }
        }
    }
    let seen = pause_lost(cx, parties, last_ms, last);
    let mut receivers = Vec::with_capacity(parties.parties.len());
    for party in parties.parties.iter_mut().filter(|party| !party.left) {
        if seen.has_access(roster, party, today) {
            let paused_ms = party.paused.take().map(|paused| paused.last_ms);
            receivers.push(Receiver {
                profile: party.profile.clone(),
                paused_ms,
            });
        }
    }
    receivers
}

/// Notes who has lost access: with every message and every change, so that both know whom they are no longer for.
fn pause_lost(cx: &Context<'_, '_>, parties: &mut Parties, last_ms: u64, last: u32) -> GroupsSeen {
    let (roster, today) = (cx.roster(), cx.today());
    let seen = GroupsSeen::of(roster, parties, today);
    for party in parties.parties.iter_mut() {
        let lost = !party.left && party.paused.is_none();
        if lost && !seen.has_access(roster, party, today) {
            party.paused = Some(Paused {
                up_to: last,
                last_ms,
                since_ms: cx.now_ms(),
            });
        }
    }
    seen
}

/// Who sees the groups that a thread was addressed to; each group is computed once.
pub(super) struct GroupsSeen(Vec<(Via, BTreeSet<u32>)>);

impl GroupsSeen {
    pub(super) fn of(roster: &Roster, parties: &Parties, today: Date) -> Self {
        let mut seen: Vec<(Via, BTreeSet<u32>)> = Vec::new();
        for via in parties
            .parties
            .iter()
            .filter_map(|party| party.via.as_ref())
        {
            if seen.iter().any(|(known, _)| known == via) {
                continue;
            }
            let members = match via {
                Via::Group(group) => roster.sees_group(group, today),
                Via::Inbox(inbox) => {
                    let members = roster.inbox(inbox).map(|inbox| inbox.members.as_slice());
                    members
                        .unwrap_or_default()
                        .iter()
                        .map(ObjectId::number)
                        .collect()
                }
            };
            seen.push((via.clone(), members));
        }
        Self(seen)
    }

    /// Whether a party gets what is said today.
    pub(super) fn has_access(&self, roster: &Roster, party: &Party, today: Date) -> bool {
        let inside = roster
            .profile(&party.profile)
            .is_some_and(|profile| roster.takes_part(profile, today));
        inside
            && party.via.as_ref().is_none_or(|via| {
                let members = self.0.iter().find(|(known, _)| known == via);
                members.is_some_and(|(_, members)| members.contains(&party.profile.number()))
            })
    }
}

/// Moves a receiver's box to the front of their list and counts the message.
async fn move_box(
    cx: &mut Context<'_, '_>,
    thread: &Thread,
    receiver: &Receiver,
    before_ms: Option<u64>,
    message: &Message,
) -> Result<(), Refusal> {
    let profile = &receiver.profile;
    let old = receiver
        .paused_ms
        .or(before_ms)
        .map(|ms| box_key(profile, &thread.id, ms));
    let new = box_key(profile, &thread.id, thread.last_ms);
    let mut item = match &old {
        Some(old) => cx.get::<BoxItem>(old).await?.unwrap_or_default(),
        None => BoxItem::default(),
    };
    let counted = item.counts();
    if message.counts_for(profile) {
        item.unread = item.unread.saturating_add(1);
    }
    item.last = message.id.number();
    if let Some(old) = old.filter(|old| *old != new) {
        cx.delete(&old).await?;
    }
    cx.put(&new, &item)?;
    badge::adjust(cx, profile, Area::Messages, counted, item.counts()).await
}

/// A thread with its parties and how the acting profile stands to it.
pub(super) struct Opened {
    pub(super) thread: Thread,
    pub(super) parties: Parties,
    /// How far the profile had come when it lost access; `None` for who has it.
    pub(super) paused: Option<Paused>,
    /// Under which time the profile's box lies.
    pub(super) box_ms: u64,
}

/// Opens a thread for a profile that takes part in it.
///
/// Not found and not for you are one answer: that a thread exists is already content.
pub(super) async fn open(
    cx: &Context<'_, '_>,
    id: &ThreadId,
    profile: &ProfileId,
) -> Result<Opened, Refusal> {
    cx.acting(profile)?;
    let not_found = || error::NOT_FOUND.refuse("");
    let thread: Thread = cx.get(&thread_key(id)).await?.ok_or_else(not_found)?;
    let parties: Parties = cx.get(&parties_key(id)).await?.ok_or_else(not_found)?;
    let party = parties
        .parties
        .iter()
        .find(|party| party.profile == *profile && !party.left);
    let in_inbox = || {
        parties
            .inboxes
            .iter()
            .filter_map(|inbox| cx.roster().inbox(inbox))
            .any(|inbox| inbox.members.contains(profile))
    };
    let paused = match party {
        Some(party) => party.paused,
        None if in_inbox() => None,
        None => return Err(not_found()),
    };
    let box_ms = paused.map_or(thread.last_ms, |paused| paused.last_ms);
    Ok(Opened {
        thread,
        parties,
        paused,
        box_ms,
    })
}

impl Opened {
    /// The last message the profile may see, by number.
    pub(super) fn up_to(&self) -> u32 {
        self.paused.map_or(u32::MAX, |paused| paused.up_to)
    }

    /// Refuses a profile that gets nothing new in this thread, and sensitive content below the level.
    pub(super) fn may_write(
        &self,
        cx: &Context<'_, '_>,
        profile: &ProfileId,
    ) -> Result<(), Refusal> {
        let seen = GroupsSeen::of(cx.roster(), &self.parties, cx.today());
        let party = self
            .parties
            .parties
            .iter()
            .find(|party| party.profile == *profile);
        if party.is_some_and(|party| !seen.has_access(cx.roster(), party, cx.today())) {
            return Err(
                error::NOT_ALLOWED.refuse("the profile no longer takes part in this thread")
            );
        }
        self.thread.thing().demand_full(&cx.viewer(profile)?)?;
        Ok(())
    }

    /// Brings the parties up to date for a change of what was said, and gives all who get it today.
    pub(super) fn hearing(&mut self, cx: &mut Context<'_, '_>) -> Result<Vec<ProfileId>, Refusal> {
        let (last_ms, last) = (self.thread.last_ms, self.thread.last.number());
        let seen = pause_lost(cx, &mut self.parties, last_ms, last);
        cx.put(&parties_key(&self.thread.id), &self.parties)?;
        let parties = self.parties.parties.iter().filter(|party| !party.left);
        let receiving = parties.filter(|party| seen.has_access(cx.roster(), party, cx.today()));
        Ok(receiving.map(|party| party.profile.clone()).collect())
    }
}

/// Tells the other devices of a profile how it now stands to a thread, with the badge, so that they clear too. It is an
/// entry, so a device that is away learns it on its return, and nothing is pushed again after a restart.
pub(super) async fn tell_own_devices(
    cx: &mut Context<'_, '_>,
    profile: &ProfileId,
    thread: &ThreadId,
    item: &BoxItem,
) -> Result<(), Refusal> {
    let badge = badge::of(cx, profile).await?;
    let payload = serde_json::json!({
        "type": "thread.state",
        "thread": thread,
        "read_up_to": item.read_up_to,
        "unread": item.unread,
        "muted": item.muted,
        "marked": item.marked,
        "badge": badge,
    });
    cx.append(
        [channel::person(profile)],
        Content {
            full: Bytes::from(payload.to_string()),
            ..Content::default()
        },
    );
    Ok(())
}

/// Refuses more recipients than a thread may have; the sender is not one of them.
pub(super) fn check_count(parties: &Parties) -> Result<(), Refusal> {
    let recipients = parties
        .parties
        .iter()
        .filter(|party| !party.left)
        .count()
        .saturating_sub(1);
    match recipients {
        0 if parties.inboxes.is_empty() => Err(error::NO_RECIPIENTS.refuse("")),
        n if n > RECIPIENTS_MAX => Err(error::TOO_MANY_RECIPIENTS.refuse("")),
        _ => Ok(()),
    }
}
