//! `post.withdraw`: take a post down. Nobody gets its words from then on, by whatever way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PostId;
use super::view::{PostView, again, change, open, view};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct Withdraw;

/// What `post.withdraw` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The post.
    pub post: PostId,
}

impl Operation for Withdraw {
    const DECLARATION: Declaration = Declaration {
        name: "post.withdraw",
        summary: "Take a post down; readers are told, and nobody gets its words any more.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Delete, "/v1/posts/{post}")),
        work: Importance::by_staff(Work::Staff, Work::Posts),
        rights: &[Action::Moderate],
        errors: &[
            &error::NOT_FOUND,
            &error::NOT_ALLOWED,
            &error::WITHDRAWN,
            &error::VERSION_CHANGED,
        ],
    };
    type Input = Input;
    type Output = PostView;

    fn target(input: &Input) -> Target {
        Target::unit(input.post.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<PostView, Refusal> {
        let mut post = open(cx, &input.post, &input.profile).await?;
        if post.by != input.profile {
            cx.permit(&input.profile, Action::Moderate)?;
        }
        cx.expect_version(post.version)?;
        post.withdrawn_ms = Some(cx.now_ms());
        cx.delete(&post.wall_key()).await?;
        change(cx, &mut post)?;
        Ok(view(cx.roster(), &post))
    }

    async fn again(
        cx: &mut Context<'_, '_>,
        _: Input,
        first: PostView,
    ) -> Result<PostView, Refusal> {
        again(cx, first).await
    }
}
