//! `post.list`: the posts of a place, newest first, or the newest of all places of a profile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PostId;
use super::record::{Place, Post, post_key};
use super::view::{PostView, view, viewer};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::page::{Cursor, Limit};
use crate::domain::threads::PAGE_DEFAULT;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::{RecordKey, Refusal};
use crate::people::{ObjectId, ProfileId, Roster, show};

/// See the file.
pub struct List;

/// What `post.list` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// The group; one of group and unit is to be named.
    #[serde(default)]
    pub group: Option<crate::people::GroupId>,
    /// The unit, the profile's own or one above it; left out, and no group named, the profile's own.
    #[serde(default)]
    pub unit: Option<crate::people::UnitCode>,
    /// How many.
    #[serde(default)]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default)]
    pub cursor: Option<Cursor>,
}

/// What `post.list` gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Newest first.
    pub posts: Vec<PostView>,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
}

fn place(input: &Input) -> Place {
    match (&input.group, &input.unit) {
        (Some(group), _) => Place::Group(group.clone()),
        (None, Some(unit)) => Place::Unit(unit.clone()),
        (None, None) => Place::Unit(input.profile.unit().clone()),
    }
}

impl Operation for List {
    const DECLARATION: Declaration = Declaration {
        name: "post.list",
        summary: "List the posts of a group or a unit, newest first.",
        kind: Kind::Query,
        rest: Some(Rest::new(Method::Get, "/v1/posts")),
        work: Importance::of(Work::Lists),
        rights: &[],
        errors: &[&error::NOT_FOUND, &error::PROFILE_NOT_YOURS],
    };
    type Input = Input;
    type Output = Output;

    fn target(input: &Input) -> Target {
        Target::unit(place(input).unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        let place = place(&input);
        let limit = input.limit.map_or(PAGE_DEFAULT, Limit::get);
        let (posts, cursor) =
            page(cx, &input.profile, &place, limit, input.cursor.as_ref()).await?;
        Ok(Output { posts, cursor })
    }
}

/// One page of a wall, as the profile sees it. A page may be short where posts are meant for others; its cursor goes on.
async fn page(
    cx: &mut Context<'_, '_>,
    profile: &ProfileId,
    place: &Place,
    limit: usize,
    cursor: Option<&Cursor>,
) -> Result<(Vec<PostView>, Option<Cursor>), Refusal> {
    let viewer = viewer(cx, profile, place)?;
    let prefix = place.wall_prefix();
    let after = cursor.map(|cursor| RecordKey::from(format!("{prefix}{}", cursor.as_str())));
    let rows: Vec<(RecordKey, ())> = cx.scan(&prefix, after.as_ref(), limit).await?;
    let seen: u64 = cx.get(&place.seen_key(profile)).await?.unwrap_or(0);
    let mut posts = Vec::new();
    for (key, ()) in &rows {
        let Some(number) = key
            .as_str()
            .rsplit('/')
            .next()
            .and_then(|number| number.parse().ok())
        else {
            continue;
        };
        let id = PostId::new(place.unit().clone(), number);
        let post: Option<Post> = cx.get(&post_key(&id)).await?;
        if let Some(post) = post.filter(Post::is_out) {
            let listed = |roster: &Roster| PostView {
                unseen: Some(post.publish_ms > seen && post.by != *profile),
                ..view(roster, &post)
            };
            // A post is not sensitive, so there is no bare signal of one.
            let thing = post.thing();
            posts.extend(show(cx, &viewer, &thing, listed, listed).await?);
        }
    }
    let last = rows.last().filter(|_| rows.len() == limit);
    let cursor = last.and_then(|(key, ())| Cursor::after(key.as_str().strip_prefix(&prefix)?));
    Ok((posts, cursor))
}

/// Places of a profile that are looked through for the first screen; the same bound as groups named there.
const PLACES_MAX: usize = 50;

/// The newest posts of all places that a profile sees in its own unit.
pub(crate) async fn newest(
    cx: &mut Context<'_, '_>,
    id: &ProfileId,
    limit: usize,
) -> Result<Vec<PostView>, Refusal> {
    let profile = cx.acting(id)?;
    if !cx.roster().takes_part(profile, cx.today()) {
        return Ok(Vec::new());
    }
    let groups = cx
        .roster()
        .groups_seen(profile, cx.today())
        .into_iter()
        .map(Place::Group);
    let places: Vec<_> = std::iter::once(Place::Unit(id.unit().clone()))
        .chain(groups)
        .take(PLACES_MAX)
        .collect();
    let mut posts = Vec::new();
    for place in places {
        posts.extend(page(cx, id, &place, limit, None).await?.0);
    }
    posts.sort_by(|a, b| {
        b.publish_ms
            .cmp(&a.publish_ms)
            .then_with(|| b.id.cmp(&a.id))
    });
    posts.truncate(limit);
    Ok(posts)
}

/// Posts looked at to count those not seen: a number beyond it would say nothing more.
const UNSEEN_LOOK: usize = 100;

/// How many of the newest posts of a profile's places it has not looked at. Counted when asked, so it cannot drift.
pub(crate) async fn unseen(cx: &mut Context<'_, '_>, id: &ProfileId) -> Result<u32, Refusal> {
    let posts = newest(cx, id, UNSEEN_LOOK).await?;
    let unseen = posts
        .iter()
        .filter(|post| post.unseen == Some(true))
        .count();
    Ok(u32::try_from(unseen).unwrap_or(u32::MAX))
}
