//! `post.see`: a profile has looked at a place up to a post; its other devices are told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PostId;
use super::record::Post;
use super::view::open;
use crate::domain::error;
use crate::domain::{Context, Declaration, Empty, Kind, Method, Operation, Rest, Target};
use crate::ledger::{Content, Refusal};
use crate::people::{ObjectId, ProfileId, channel};

/// See the file.
pub struct See;

/// What `post.see` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The post.
    pub post: PostId,
}

impl Operation for See {
    const DECLARATION: Declaration = Declaration {
        name: "post.see",
        summary: "Note that a profile has looked at a place up to a post; its other devices are told.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Put, "/v1/posts/{post}/seen")),
        rights: &[],
        errors: &[
            &error::NOT_FOUND,
            &error::PROFILE_NOT_YOURS,
            &error::WITHDRAWN,
        ],
    };
    type Input = Input;
    type Output = Empty;

    fn target(input: &Input) -> Target {
        Target::unit(input.post.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Empty, Refusal> {
        let post: Post = open(cx, &input.post, &input.profile).await?;
        let key = post.place.seen_key(&input.profile);
        let seen: u64 = cx.get(&key).await?.unwrap_or(0);
        if post.publish_ms <= seen || input.profile.unit() != post.id.unit() {
            return Ok(Empty {});
        }
        cx.put(&key, &post.publish_ms)?;
        let payload =
            serde_json::json!({ "type": "post.seen", "place": post.place, "post": post.id });
        cx.append(
            [channel::person(&input.profile)],
            Content {
                full: payload.to_string().into(),
                ..Content::default()
            },
        );
        Ok(Empty {})
    }
}
