//! `post.publish`: publish to a group or a unit, now or later.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{Important, Place, Post, due_key, post_key};
use super::view::{PostView, again, say, view};
use super::{BODY_LENGTH_MAX, PostId, TITLE_LENGTH_MAX};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::text::Text;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::Refusal;
use crate::people::rights::{Action, Reach};
use crate::people::{ObjectId, PortalRole, ProfileId, audience_of, audience_of_portals};

/// See the file.
pub struct Publish;

/// What `post.publish` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// Where.
    pub place: Place,
    /// For whom; left out, for everybody who sees the place.
    #[serde(
        default,
        deserialize_with = "crate::domain::bounded::at_most::<4, _, _>"
    )]
    #[schemars(length(max = 4))]
    pub portals: Vec<PortalRole>,
    /// When it comes out, in milliseconds since 1970; left out or past, now.
    #[serde(default, deserialize_with = "crate::domain::bounded::moment")]
    #[schemars(range(max = crate::domain::bounded::MOMENT_MAX_MS))]
    pub publish_ms: Option<u64>,
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

impl Operation for Publish {
    const DECLARATION: Declaration = Declaration {
        name: "post.publish",
        summary: "Publish a post to a group or a whole unit, now or at a later time.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Post, "/v1/posts")),
        work: Importance::by_staff(Work::Staff, Work::Posts),
        rights: &[
            Action::PublishToGroup,
            Action::PublishToUnit,
            Action::MarkImportant,
        ],
        errors: &[
            &error::NOT_ALLOWED,
            &error::NOT_FOUND,
            &error::COMMUNICATION_BLOCKED,
            &error::OUTSIDE_MUNICIPALITY,
            &error::DATES_OUT_OF_ORDER,
        ],
    };
    type Input = Input;
    type Output = PostView;

    fn target(input: &Input) -> Target {
        Target::unit(input.place.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<PostView, Refusal> {
        may_publish(cx, &input.profile, &input.place)?;
        if input.important.is_some() {
            cx.permit(&input.profile, Action::MarkImportant)?;
        }
        let publish_ms = input
            .publish_ms
            .filter(|at| *at > cx.now_ms())
            .unwrap_or_else(|| cx.now_ms());
        check_times(cx, publish_ms, input.expire_ms, input.important)?;
        let number = u32::try_from(cx.next_number("o").await?);
        let number =
            number.map_err(|_| error::TOO_LARGE.refuse("the unit has no post numbers left"))?;
        let own = audience_of(&[cx.acting(&input.profile)?.kind]);
        let meant = audience_of_portals(&input.portals);
        let post = Post {
            id: PostId::new(input.place.unit().clone(), number),
            place: input.place,
            by: input.profile,
            title: input.title.into_string(),
            body: input.body.into_string(),
            audience: meant.0 | own.0, // The author's own kind sees what it published.
            important: input.important,
            publish_ms,
            expire_ms: input.expire_ms,
            published: publish_ms <= cx.now_ms(),
            expired: false,
            comments_open: input.comments_open,
            comments: 0,
            edited_ms: None,
            withdrawn_ms: None,
            version: 1,
            present: None,
        };
        if post.published {
            cx.put(&post.wall_key(), &())?;
            say(cx, &post);
        } else {
            cx.put(&due_key(publish_ms, &post.id), &())?;
        }
        if let Some(expire_ms) = post.expire_ms {
            cx.put(&due_key(expire_ms, &post.id), &())?;
        }
        cx.put(&post_key(&post.id), &post)?;
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

/// Refuses who may not put words on a place's wall today; a group out of reach is one that does not exist.
pub(super) fn may_publish(
    cx: &Context<'_, '_>,
    profile: &ProfileId,
    place: &Place,
) -> Result<(), Refusal> {
    match place {
        Place::Unit(_) => drop(cx.permit(profile, Action::PublishToUnit)?),
        Place::Group(group) => {
            let reach = cx.permit(profile, Action::PublishToGroup)?;
            let own = cx.acting(profile)?;
            let inside =
                reach == Reach::Unit || cx.roster().groups_seen(own, cx.today()).contains(group);
            if cx.roster().group(group).is_none() || !inside {
                return Err(error::NOT_FOUND.refuse(""));
            }
        }
    }
    Ok(())
}

/// An end comes after its start and lies ahead.
pub(super) fn check_times(
    cx: &Context<'_, '_>,
    publish_ms: u64,
    expire_ms: Option<u64>,
    important: Option<Important>,
) -> Result<(), Refusal> {
    let ends = expire_ms.is_none_or(|expire_ms| expire_ms > publish_ms && expire_ms > cx.now_ms());
    let days = important.is_none_or(|important| important.from <= important.to);
    if ends && days {
        Ok(())
    } else {
        Err(error::DATES_OUT_OF_ORDER.refuse(""))
    }
}
