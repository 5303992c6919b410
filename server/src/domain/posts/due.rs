//! `post.publish_due`: what has fallen due by now comes out or goes; the server runs it with its clock, again while `more` is true.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PostId;
use super::record::{DUE_PREFIX, Post, post_key};
use super::view::{change, say};
use crate::admission::Work;
use crate::domain::notifications;
use crate::domain::{Context, Declaration, Importance, Kind, Operation, Target};
use crate::ledger::{RecordKey, Refusal};
use crate::people::{ObjectId, ProfileId, UnitCode};

/// See the file.
pub struct PublishDue;

/// What `post.publish_due` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The unit.
    pub unit: UnitCode,
}

/// What `post.publish_due` gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// How many things were done.
    pub done: u32,
    /// Whether there may be more due now.
    pub more: bool,
}

/// Things done in one commit, so that it stays small.
const DUE_AT_ONCE: usize = 100;

impl Operation for PublishDue {
    const DECLARATION: Declaration = Declaration {
        name: "post.publish_due",
        summary: "Publish and take down what has fallen due, and take expired notifications away.",
        kind: Kind::Internal,
        rest: None,
        work: Importance::of(Work::Posts),
        rights: &[],
        errors: &[],
    };
    type Input = Input;
    type Output = Output;

    fn target(input: &Input) -> Target {
        Target::unit(&input.unit)
    }

    fn acts_as(_: &Input) -> Option<&ProfileId> {
        None
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        cx.only_server()?;
        let due: Vec<(RecordKey, ())> = cx.scan(DUE_PREFIX, None, DUE_AT_ONCE).await?;
        let now = RecordKey::from(format!("{DUE_PREFIX}{:016x}/~", cx.now_ms()));
        let mut done = 0;
        for (row, ()) in due.into_iter().take_while(|(row, ())| *row <= now) {
            cx.delete(&row).await?;
            done += 1;
            let Some(number) = row
                .as_str()
                .rsplit('/')
                .next()
                .and_then(|number| number.parse().ok())
            else {
                continue;
            };
            let id = PostId::new(input.unit.clone(), number);
            if let Some(post) = cx
                .get::<Post>(&post_key(&id))
                .await?
                .filter(|post| post.withdrawn_ms.is_none())
            {
                bring_up_to_date(cx, post).await?;
            }
        }
        let expired = notifications::expire(cx, DUE_AT_ONCE).await?;
        let more = done == DUE_AT_ONCE || expired == DUE_AT_ONCE;
        Ok(Output {
            done: u32::try_from(done + expired).unwrap_or(u32::MAX),
            more,
        })
    }
}

/// Publishes or takes down a post by the time of now; a row that is out of date finds nothing to do.
async fn bring_up_to_date(cx: &mut Context<'_, '_>, mut post: Post) -> Result<(), Refusal> {
    let now = cx.now_ms();
    if !post.published && post.publish_ms <= now {
        post.published = true;
        cx.put(&post.wall_key(), &())?;
        cx.put(&post_key(&post.id), &post)?;
        say(cx, &post);
    }
    if !post.expired && post.expire_ms.is_some_and(|expire_ms| expire_ms <= now) {
        post.expired = true;
        cx.delete(&post.wall_key()).await?;
        change(cx, &mut post)?;
    }
    Ok(())
}
