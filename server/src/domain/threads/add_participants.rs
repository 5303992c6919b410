//! `thread.add_participants`: add people to a thread. They see the whole of it, from its first message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::{again, shown};
use super::create::{Recipient, address};
use super::delivery::{Saying, check_count, open, say};
use super::record::{MessageKind, Party};
use super::view::MessageView;
use super::{RECIPIENTS_MAX, ThreadId};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct AddParticipants;

/// What `thread.add_participants` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
    /// Whom.
    #[schemars(length(min = 1, max = 400))]
    pub recipients: Vec<Recipient>,
}

impl Operation for AddParticipants {
    const DECLARATION: Declaration = Declaration {
        name: "thread.add_participants",
        summary: "Add people to a thread; they see the whole of it.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Post, "/v1/threads/{thread}/participants")),
        work: Importance::by_staff(Work::Staff, Work::Messages),
        rights: &[
            Action::AddParticipants,
            Action::AddressGroup,
            Action::AddressInbox,
        ],
        errors: &[
            &error::NOT_FOUND,
            &error::NOT_ALLOWED,
            &error::STEP_UP_REQUIRED,
            &error::OUTSIDE_MUNICIPALITY,
            &error::TOO_MANY_RECIPIENTS,
            &error::NO_RECIPIENTS,
            &error::UNKNOWN_RECIPIENT,
            &error::THREAD_FULL,
        ],
    };
    type Input = Input;
    type Output = MessageView;

    fn target(input: &Input) -> Target {
        Target::unit(input.thread.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<MessageView, Refusal> {
        if input.recipients.len() > RECIPIENTS_MAX {
            return Err(error::TOO_MANY_RECIPIENTS.refuse(""));
        }
        let mut opened = open(cx, &input.thread, &input.profile).await?;
        cx.permit(&input.profile, Action::AddParticipants)?;
        opened.may_write(cx, &input.profile)?;
        let wanted = address(cx, &input.profile, &input.recipients)?;
        let mut added = Vec::new();
        for Party { profile, via, .. } in wanted
            .parties
            .into_iter()
            .filter(|party| party.profile != input.profile)
        {
            match opened
                .parties
                .parties
                .iter_mut()
                .find(|party| party.profile == profile)
            {
                Some(party) if !party.left => continue,
                Some(party) => *party = Party::new(profile.clone(), via),
                None => opened
                    .parties
                    .parties
                    .push(Party::new(profile.clone(), via)),
            }
            added.push(profile);
        }
        let known = opened.parties.inboxes.len();
        for inbox in wanted.inboxes {
            if !opened.parties.inboxes.contains(&inbox) {
                opened.parties.inboxes.push(inbox);
            }
        }
        if added.is_empty() && opened.parties.inboxes.len() == known {
            return Err(error::NO_RECIPIENTS.refuse("everybody named takes part already"));
        }
        check_count(&opened.parties)?;
        let saying = Saying {
            kind: MessageKind::ParticipantsAdded,
            by: input.profile.clone(),
            text: None,
            about: added,
        };
        let message = say(cx, &mut opened.thread, &mut opened.parties, saying).await?;
        shown(cx, &opened, &message, &input.profile).await
    }

    async fn again(
        cx: &mut Context<'_, '_>,
        input: Input,
        first: MessageView,
    ) -> Result<MessageView, Refusal> {
        again(cx, &input.profile, first).await
    }
}
