//! `post.comment`: say something under a post, to everybody who sees it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use serde_json::json;

use super::record::{CommentRecord, comment_key, post_key};
use super::view::open;
use super::{COMMENT_LENGTH_MAX, COMMENTS_MAX, PostId};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::text::Text;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::{Content, Refusal};
use crate::people::rights::Action;
use crate::people::{ObjectId, PersonRef, ProfileId};

/// See the file.
pub struct Comment;

/// What `post.comment` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The post.
    pub post: PostId,
    /// The words.
    pub text: Text<COMMENT_LENGTH_MAX>,
}

/// A comment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CommentView {
    /// Its place among the post's comments, from 1.
    pub number: u32,
    /// Who wrote it.
    pub by: PersonRef,
    /// The words.
    pub text: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Operation for Comment {
    const DECLARATION: Declaration = Declaration {
        name: "post.comment",
        summary: "Comment on a post.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Post, "/v1/posts/{post}/comments")),
        work: Importance::by_staff(Work::Staff, Work::Posts),
        rights: &[Action::Comment],
        errors: &[
            &error::NOT_FOUND,
            &error::NOT_ALLOWED,
            &error::COMMUNICATION_BLOCKED,
            &error::COMMENTS_CLOSED,
            &error::WITHDRAWN,
        ],
    };
    type Input = Input;
    type Output = CommentView;

    fn target(input: &Input) -> Target {
        Target::unit(input.post.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<CommentView, Refusal> {
        let mut post = open(cx, &input.post, &input.profile).await?;
        if !cx.is_own_unit(&input.profile) {
            // A reader from below has no role here that a right could hang on, and this unit's stops on writing would not
            // reach them; 40,000 readers of a municipality's post are not a conversation either.
            let detail = "only profiles of the post's own unit comment on it";
            return Err(error::NOT_ALLOWED.refuse(detail));
        }
        cx.permit(&input.profile, Action::Comment)?;
        if !post.comments_open || !post.is_out() || post.comments >= COMMENTS_MAX {
            return Err(error::COMMENTS_CLOSED.refuse(""));
        }
        post.comments += 1;
        let comment = CommentRecord {
            part_of: post_key(&post.id).as_str().to_owned(),
            by: input.profile,
            text: input.text.into_string(),
            at_ms: cx.now_ms(),
        };
        cx.put(&comment_key(&post.id, post.comments), &comment)?;
        cx.put(&post_key(&post.id), &post)?;
        let shown = CommentView {
            number: post.comments,
            by: PersonRef::of(cx.roster(), &comment.by),
            text: comment.text,
            at_ms: comment.at_ms,
        };
        let payload = json!({ "type": "post.comment", "post": post.id, "comment": shown });
        let content = Content {
            full: payload.to_string().into(),
            audience: post.audience(),
            subject: Some(comment_key(&post.id, post.comments)),
            ..Content::default()
        };
        cx.append([post.place.channel()], content);
        Ok(shown)
    }
}
