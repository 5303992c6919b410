//! `thread.create`: start a thread with persons, groups or shared inboxes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::{again, thread_again};
use super::delivery::{Saying, check_count, say};
use super::record::{BoxItem, MessageKind, Parties, Party, Replies, Thread, Via};
use super::view::{MessageView, ThreadSummary, bare, bare_summary, full, summary};
use super::{MessageId, RECIPIENTS_MAX, SUBJECT_LENGTH_MAX, TEXT_LENGTH_MAX, ThreadId};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::text::Text;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::{Action, Reach, reaches, reaches_child, right_of};
use crate::people::{GroupId, InboxId, ObjectId, PortalRole, ProfileId, UserKind, show_own};

/// See the file.
pub struct Create;

/// Somebody a thread is addressed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Recipient {
    /// One person.
    Profile(ProfileId),
    /// Everybody who sees a group today.
    Group(GroupId),
    /// Those of a group who belong to one portal: its guardians, say.
    GroupPortal {
        /// The group.
        group: GroupId,
        /// The portal.
        portal: PortalRole,
    },
    /// Whoever looks after a shared inbox.
    Inbox(InboxId),
}

/// What `thread.create` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as; the thread lies in its unit.
    pub profile: ProfileId,
    /// The subject line.
    pub subject: Text<SUBJECT_LENGTH_MAX>,
    /// The first message.
    pub text: Text<TEXT_LENGTH_MAX>,
    /// To whom.
    #[schemars(length(min = 1, max = 400))]
    pub recipients: Vec<Recipient>,
    /// Whom answers go to; left out, to the sender when a group is addressed, else to everyone.
    #[serde(default)]
    pub replies: Option<Replies>,
    /// Whether the thread is sensitive from the start; takes a stepped-up session.
    #[serde(default)]
    pub sensitive: bool,
    /// The children it is about, within the profile's reach.
    #[serde(
        default,
        deserialize_with = "crate::domain::bounded::at_most::<50, _, _>"
    )]
    #[schemars(length(max = 50))]
    pub regarding: Vec<ProfileId>,
}

/// What `thread.create` gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The thread.
    pub thread: ThreadSummary,
    /// Its first message.
    pub message: MessageView,
    /// How many received it, the sender not counted.
    pub recipients: u32,
}

impl Operation for Create {
    const DECLARATION: Declaration = Declaration {
        name: "thread.create",
        summary: "Start a thread with persons, groups or shared inboxes, at most 400 recipients.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Post, "/v1/threads")),
        work: Importance::by_staff(Work::Staff, Work::Messages),
        rights: &[
            Action::StartThread,
            Action::AddressGroup,
            Action::AddressInbox,
            Action::MarkSensitive,
        ],
        errors: &[
            &error::NOT_ALLOWED,
            &error::STEP_UP_REQUIRED,
            &error::COMMUNICATION_BLOCKED,
            &error::OUTSIDE_MUNICIPALITY,
            &error::TOO_MANY_RECIPIENTS,
            &error::NO_RECIPIENTS,
            &error::UNKNOWN_RECIPIENT,
        ],
    };
    type Input = Input;
    type Output = Output;

    fn target(input: &Input) -> Target {
        Target::unit(input.profile.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        if input.recipients.len() > RECIPIENTS_MAX {
            return Err(error::TOO_MANY_RECIPIENTS.refuse(""));
        }
        if input.sensitive {
            cx.permit(&input.profile, Action::MarkSensitive)?;
        }
        let mut parties = address(cx, &input.profile, &input.recipients)?;
        check_count(&parties)?;
        check_children(cx, &input.profile, Action::StartThread, &input.regarding)?;
        let to_group = input
            .recipients
            .iter()
            .any(|r| matches!(r, Recipient::Group(_) | Recipient::GroupPortal { .. }));
        let replies = input.replies.unwrap_or(if to_group {
            Replies::Sender
        } else {
            Replies::Everyone
        });
        let mut thread = begin(cx, &input.profile, input.subject.into_string(), replies).await?;
        thread.sensitive = input.sensitive;
        thread.regarding = input.regarding;
        let saying = Saying {
            kind: MessageKind::Message,
            by: input.profile.clone(),
            text: Some(input.text.into_string()),
            about: Vec::new(),
        };
        let message = say(cx, &mut thread, &mut parties, saying).await?;
        let recipients = u32::try_from(parties.parties.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let item = BoxItem {
            last: message.id.number(),
            ..BoxItem::default()
        };
        let viewer = cx.viewer(&input.profile)?;
        let shown = show_own(
            cx.roster(),
            &viewer,
            &thread.thing(),
            |roster| {
                (
                    summary(roster, &thread, &item, thread.last_ms),
                    full(roster, &message),
                )
            },
            |_| (bare_summary(&thread, &item, thread.last_ms), bare(&message)),
        );
        let (thread, message) = shown.ok_or_else(|| error::NOT_FOUND.refuse(""))?;
        Ok(Output {
            thread,
            message,
            recipients,
        })
    }

    async fn again(
        cx: &mut Context<'_, '_>,
        input: Input,
        first: Output,
    ) -> Result<Output, Refusal> {
        Ok(Output {
            thread: thread_again(cx, &input.profile, first.thread).await?,
            message: again(cx, &input.profile, first.message).await?,
            recipients: first.recipients,
        })
    }
}

/// Refuses children that the unit does not know, or that are out of the profile's reach.
pub(crate) fn check_children(
    cx: &Context<'_, '_>,
    profile: &ProfileId,
    action: Action,
    children: &[ProfileId],
) -> Result<(), Refusal> {
    let reach = right_of(cx.acting(profile)?.role(), action).reach;
    let known = |child| reaches_child(cx.roster(), profile, child, reach, cx.today());
    if children.iter().all(known) {
        Ok(())
    } else {
        Err(error::UNKNOWN_RECIPIENT.refuse("a child named is unknown here or out of reach"))
    }
}

/// A thread without messages; saying the first one stores it.
pub(super) async fn begin(
    cx: &mut Context<'_, '_>,
    creator: &ProfileId,
    subject: String,
    replies: Replies,
) -> Result<Thread, Refusal> {
    let number = u32::try_from(cx.next_number("t").await?);
    let number =
        number.map_err(|_| error::TOO_LARGE.refuse("the unit has no thread numbers left"))?;
    Ok(Thread {
        id: ThreadId::new(creator.unit().clone(), number),
        subject,
        creator: creator.clone(),
        replies,
        sensitive: false,
        bundle: None,
        regarding: Vec::new(),
        messages: 0,
        last: MessageId::new(creator.unit().clone(), 0),
        last_ms: 0,
        created_ms: cx.now_ms(),
        version: 0,
    })
}

/// Turns recipients into parties, the sender first, each person once; somebody named in person stays when the group they
/// were also addressed through is gone.
pub(super) fn address(
    cx: &Context<'_, '_>,
    sender: &ProfileId,
    to: &[Recipient],
) -> Result<Parties, Refusal> {
    let mut parties: BTreeMap<ProfileId, Option<Via>> = BTreeMap::new();
    let mut inboxes = Vec::new();
    for recipient in to {
        match recipient {
            Recipient::Profile(profile) => {
                let reach = cx.permit(sender, Action::StartThread)?;
                if !reaches(cx.roster(), sender, profile, reach, cx.today()) {
                    return Err(error::UNKNOWN_RECIPIENT.refuse(""));
                }
                parties.insert(profile.clone(), None);
            }
            Recipient::Group(group) => address_group(cx, sender, group, None, &mut parties)?,
            Recipient::GroupPortal { group, portal } => {
                address_group(cx, sender, group, Some(*portal), &mut parties)?;
            }
            Recipient::Inbox(inbox) => {
                cx.permit(sender, Action::AddressInbox)?;
                let found = cx
                    .roster()
                    .inbox(inbox)
                    .ok_or_else(|| error::UNKNOWN_RECIPIENT.refuse(""))?;
                for member in &found.members {
                    parties
                        .entry(member.clone())
                        .or_insert_with(|| Some(Via::Inbox(inbox.clone())));
                }
                inboxes.push(inbox.clone());
            }
        }
    }
    parties.remove(sender);
    let others = parties
        .into_iter()
        .map(|(profile, via)| Party::new(profile, via));
    let parties = std::iter::once(Party::new(sender.clone(), None))
        .chain(others)
        .collect();
    Ok(Parties { parties, inboxes })
}

fn address_group(
    cx: &Context<'_, '_>,
    sender: &ProfileId,
    group: &GroupId,
    portal: Option<PortalRole>,
    parties: &mut BTreeMap<ProfileId, Option<Via>>,
) -> Result<(), Refusal> {
    let reach = cx.permit(sender, Action::AddressGroup)?;
    let (roster, today) = (cx.roster(), cx.today());
    let members = roster.sees_group(group, today);
    let inside = reach == Reach::Unit || members.contains(&sender.number());
    if !inside || roster.group(group).is_none() {
        return Err(error::UNKNOWN_RECIPIENT.refuse(""));
    }
    for number in members {
        let id = ProfileId::new(sender.unit().clone(), number);
        let Some(profile) = roster.profile(&id) else {
            continue;
        };
        let wanted = portal.is_none_or(|portal| profile.kind.portal() == portal);
        if wanted && profile.kind != UserKind::DaycareChild {
            parties
                .entry(id)
                .or_insert_with(|| Some(Via::Group(group.clone())));
        }
    }
    Ok(())
}
