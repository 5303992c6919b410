//! `message.reply`: answer. When a group was addressed the answer goes to the sender alone, in a secondary thread that is
//! shown together with the first; so nobody answers sixty-six families by mistake.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::{again, own};
use super::create::begin;
use super::delivery::{Opened, Saying, open, say};
use super::record::{
    MessageKind, Parties, Party, Replies, Thread, bundle_key, parties_key, thread_key,
};
use super::view::MessageView;
use super::{TEXT_LENGTH_MAX, ThreadId};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::text::Text;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct Reply;

/// What `message.reply` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The thread.
    pub thread: ThreadId,
    /// The words.
    pub text: Text<TEXT_LENGTH_MAX>,
}

/// What `message.reply` gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The thread it was said in: the one answered, or the secondary thread with its sender.
    pub thread: ThreadId,
    /// The message.
    pub message: MessageView,
}

impl Operation for Reply {
    const DECLARATION: Declaration = Declaration {
        name: "message.reply",
        summary: "Answer in a thread: to everybody, or to its sender alone when that is the thread's rule.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Post, "/v1/threads/{thread}/replies")),
        work: Importance::by_staff(Work::Staff, Work::Messages),
        rights: &[Action::WriteInThread],
        errors: &[
            &error::NOT_FOUND,
            &error::NOT_ALLOWED,
            &error::STEP_UP_REQUIRED,
            &error::COMMUNICATION_BLOCKED,
            &error::OUTSIDE_MUNICIPALITY,
            &error::THREAD_FULL,
            &error::NO_RECIPIENTS,
        ],
    };
    type Input = Input;
    type Output = Output;

    fn target(input: &Input) -> Target {
        Target::unit(input.thread.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        let mut opened = open(cx, &input.thread, &input.profile).await?;
        cx.permit(&input.profile, Action::WriteInThread)?;
        opened.may_write(cx, &input.profile)?;
        if opened.thread.replies == Replies::Sender && opened.thread.creator != input.profile {
            opened = secondary(cx, opened.thread, &input.profile).await?;
        }
        let saying = Saying {
            kind: MessageKind::Message,
            by: input.profile.clone(),
            text: Some(input.text.into_string()),
            about: Vec::new(),
        };
        let message = say(cx, &mut opened.thread, &mut opened.parties, saying).await?;
        Ok(Output {
            message: own(cx, &opened.thread, &message, &input.profile)?,
            thread: opened.thread.id,
        })
    }

    async fn again(
        cx: &mut Context<'_, '_>,
        input: Input,
        first: Output,
    ) -> Result<Output, Refusal> {
        Ok(Output {
            thread: first.thread,
            message: again(cx, &input.profile, first.message).await?,
        })
    }
}

/// The thread in which a profile answers the sender of `primary`: the one there is, or a new one.
async fn secondary(
    cx: &mut Context<'_, '_>,
    primary: Thread,
    by: &ProfileId,
) -> Result<Opened, Refusal> {
    let key = bundle_key(&primary.id, by);
    if let Some(id) = cx.get::<ThreadId>(&key).await? {
        let damaged = || error::DAMAGED.refuse("a bundle names a thread that is not there");
        let thread: Thread = cx.get(&thread_key(&id)).await?.ok_or_else(damaged)?;
        let mut parties: Parties = cx.get(&parties_key(&id)).await?.ok_or_else(damaged)?;
        // Who had left the answer and writes in it again is part of it again.
        parties
            .parties
            .iter_mut()
            .filter(|party| party.profile == *by)
            .for_each(|party| party.left = false);
        let box_ms = thread.last_ms;
        return Ok(Opened {
            thread,
            parties,
            paused: None,
            box_ms,
        });
    }
    let mut thread = begin(cx, by, primary.subject, Replies::Everyone).await?;
    thread.sensitive = primary.sensitive;
    thread.regarding = primary.regarding;
    thread.bundle = Some(primary.id);
    cx.put(&key, &thread.id)?;
    let parties = vec![
        Party::new(by.clone(), None),
        Party::new(primary.creator, None),
    ];
    Ok(Opened {
        thread,
        parties: Parties {
            parties,
            inboxes: Vec::new(),
        },
        paused: None,
        box_ms: 0,
    })
}
