//! `post.get`: one post with its comments, oldest first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::comment::CommentView;
use super::record::{CommentRecord, comments_prefix};
use super::view::{PostView, open, view};
use super::{COMMENTS_MAX, PostId};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::{RecordKey, Refusal};
use crate::people::{ObjectId, PersonRef, ProfileId};

/// See the file.
pub struct Get;

/// What `post.get` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The post.
    pub post: PostId,
}

/// What `post.get` gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The post.
    pub post: PostView,
    /// Its comments, oldest first.
    pub comments: Vec<CommentView>,
}

impl Operation for Get {
    const DECLARATION: Declaration = Declaration {
        name: "post.get",
        summary: "Read one post with its comments.",
        kind: Kind::Query,
        rest: Some(Rest::new(Method::Get, "/v1/posts/{post}")),
        work: Importance::of(Work::Posts),
        rights: &[],
        errors: &[
            &error::NOT_FOUND,
            &error::PROFILE_NOT_YOURS,
            &error::WITHDRAWN,
        ],
    };
    type Input = Input;
    type Output = Output;

    fn target(input: &Input) -> Target {
        Target::unit(input.post.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        let post = open(cx, &input.post, &input.profile).await?;
        let prefix = comments_prefix(&input.post);
        let rows: Vec<(RecordKey, CommentRecord)> =
            cx.scan(&prefix, None, COMMENTS_MAX as usize).await?;
        let shown = rows.into_iter().filter(|_| !post.expired);
        let comments = (1..).zip(shown).map(|(number, (_, comment))| CommentView {
            number,
            by: PersonRef::of(cx.roster(), &comment.by),
            text: comment.text,
            at_ms: comment.at_ms,
        });
        Ok(Output {
            post: view(cx.roster(), &post),
            comments: comments.collect(),
        })
    }
}
