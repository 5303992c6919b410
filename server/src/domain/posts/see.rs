//! `post.see`: a profile has looked at a place up to a post; its other devices are told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PostId;
use super::note_seen::{Input as Seen, tell_own_devices};
use super::record::Post;
use super::view::open;
use crate::admission::Work;
use crate::domain::error;
use crate::domain::operation::ledger_of;
use crate::domain::{
    Context, Declaration, Empty, Importance, Kind, Method, Operation, Rest, Target,
};
use crate::ledger::Refusal;
use crate::people::{ObjectId, ProfileId};

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
        work: Importance::of(Work::Posts),
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
        if post.publish_ms <= seen {
            return Ok(Empty {});
        }
        cx.put(&key, &post.publish_ms)?;
        let seen = Seen {
            profile: input.profile,
            place: post.place,
            post: post.id,
        };
        if cx.is_own_unit(&seen.profile) {
            tell_own_devices(cx, &seen);
        } else {
            // Their channel lies in their own unit's ledger.
            let body = serde_json::to_vec(&seen);
            let body = body.map_err(|_| error::DAMAGED.refuse("an input does not encode"))?;
            let unit = ledger_of(seen.profile.unit());
            cx.outbox(&unit, "post.note_seen", body.into());
        }
        Ok(Empty {})
    }
}
