//! `post.edit`: put other words in place of one's own post.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::publish::{check_times, may_publish};
use super::record::{Important, due_key};
use super::view::{PostView, again, change, open, view};
use super::{BODY_LENGTH_MAX, PostId, TITLE_LENGTH_MAX};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::text::Text;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct Edit;

/// What `post.edit` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The post.
    pub post: PostId,
    /// Its title.
    pub title: Text<TITLE_LENGTH_MAX>,
    /// Its words.
    pub body: Text<BODY_LENGTH_MAX>,
    /// The days on which it is important; takes the right to mark so.
    #[serde(default)]
    pub important: Option<Important>,
    /// When it goes, in milliseconds since 1970.
    #[serde(default, deserialize_with = "crate::domain::bounded::moment")]
    #[schemars(range(max = crate::domain::bounded::MOMENT_MAX_MS))]
    pub expire_ms: Option<u64>,
    /// Whether readers may comment.
    #[serde(default)]
    pub comments_open: bool,
}

impl Operation for Edit {
    const DECLARATION: Declaration = Declaration {
        name: "post.edit",
        summary: "Put other words in place of one's own post; readers are told.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Put, "/v1/posts/{post}")),
        work: Importance::by_staff(Work::Staff, Work::Posts),
        rights: &[
            Action::PublishToGroup,
            Action::PublishToUnit,
            Action::MarkImportant,
        ],
        errors: &[
            &error::NOT_FOUND,
            &error::NOT_ALLOWED,
            &error::WITHDRAWN,
            &error::VERSION_CHANGED,
            &error::DATES_OUT_OF_ORDER,
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
            return Err(error::NOT_ALLOWED.refuse("only its author edits a post"));
        }
        // An edit puts words before others like a new post, so it takes the same right, today.
        may_publish(cx, &input.profile, &post.place).map_err(|refusal| {
            if refusal.code == error::NOT_FOUND.code {
                error::NOT_ALLOWED.refuse("the profile no longer sees the group")
            } else {
                refusal
            }
        })?;
        if post.expired {
            return Err(error::WITHDRAWN.refuse(""));
        }
        cx.expect_version(post.version)?;
        if input.important.is_some() && input.important != post.important {
            cx.permit(&input.profile, Action::MarkImportant)?;
        }
        check_times(cx, post.publish_ms, input.expire_ms, input.important)?;
        if let Some(expire_ms) = input
            .expire_ms
            .filter(|_| input.expire_ms != post.expire_ms)
        {
            cx.put(&due_key(expire_ms, &post.id), &())?; // The old row finds nothing to do when its time comes.
        }
        post.title = input.title.into_string();
        post.body = input.body.into_string();
        post.important = input.important;
        post.expire_ms = input.expire_ms;
        post.comments_open = input.comments_open;
        post.edited_ms = Some(cx.now_ms());
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
