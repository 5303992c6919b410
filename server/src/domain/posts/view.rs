//! Posts as people get them, how they are said and changed, and who sees a place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::PostId;
use super::record::{Important, Place, Post, post_key};
use crate::domain::{Context, error};
use crate::ledger::{Content, Refusal};
use crate::people::{PersonRef, Present, ProfileId, Roster, Viewer, lens_on};

/// A post.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PostView {
    /// Its id.
    pub id: PostId,
    /// Where it stands.
    pub place: Place,
    /// Who wrote it.
    pub by: PersonRef,
    /// Its title; absent when withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its words; absent when withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Whether the words go on: only their beginning is here, and `post.get` has all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// The days on which it is important.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub important: Option<Important>,
    /// When it came or comes out, in milliseconds since 1970.
    pub publish_ms: u64,
    /// When it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_ms: Option<u64>,
    /// Whether it is out.
    pub published: bool,
    /// Whether comments are open.
    pub comments_open: bool,
    /// How many comments it has.
    pub comments: u32,
    /// When it was last edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_ms: Option<u64>,
    /// When it was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_ms: Option<u64>,
    /// Whether the reader has not looked at it yet; only in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<bool>,
    /// Counts its changes; also its ETag.
    pub version: u64,
}

/// Characters of a post on the first screen: what is read of it before it is opened. With whole posts ten long ones would
/// weigh more than a megabyte.
const EXCERPT_LENGTH_MAX: usize = 300;

impl PostView {
    /// With the beginning of its words, and a mark that they go on.
    #[must_use]
    pub(crate) fn excerpt(mut self) -> Self {
        let beginning = self.body.as_deref().and_then(beginning).map(str::to_owned);
        if beginning.is_some() {
            self.body = beginning;
            self.more = true;
        }
        self
    }
}

/// The beginning of a text that is too long, up to the last word that fits whole.
fn beginning(text: &str) -> Option<&str> {
    let (end, _) = text.char_indices().nth(EXCERPT_LENGTH_MAX)?;
    let start = text.get(..end)?;
    let whole = start.rfind(char::is_whitespace).filter(|at| *at > 0);
    Some(
        whole
            .and_then(|at| start.get(..at))
            .unwrap_or(start)
            .trim_end(),
    )
}

pub(super) fn view(roster: &Roster, post: &Post) -> PostView {
    let shown = post.withdrawn_ms.is_none() && !post.expired;
    PostView {
        id: post.id.clone(),
        place: post.place.clone(),
        by: PersonRef::of(roster, &post.by),
        title: shown.then(|| post.title.clone()),
        body: shown.then(|| post.body.clone()),
        more: false,
        important: post.important,
        publish_ms: post.publish_ms,
        expire_ms: post.expire_ms,
        published: post.published,
        comments_open: post.comments_open,
        comments: post.comments,
        edited_ms: post.edited_ms,
        withdrawn_ms: post.withdrawn_ms,
        unseen: None,
        version: post.version,
    }
}

/// Says the post in its channel, as it is now, once for all who see the place.
pub(super) fn say(cx: &mut Context<'_, '_>, post: &Post) {
    let payload = json!({ "type": "post", "post": view(cx.roster(), post) });
    let content = Content {
        full: payload.to_string().into(),
        audience: post.audience(),
        subject: Some(post_key(&post.id)),
        ..Content::default()
    };
    cx.append([post.place.channel()], content);
}

/// Puts a changed post back; if it is out, readers are told, and older entries show it as it is now.
pub(super) fn change(cx: &mut Context<'_, '_>, post: &mut Post) -> Result<(), Refusal> {
    post.version += 1;
    if post.published {
        let full = json!({ "type": "post", "post": view(cx.roster(), post) });
        post.present = Some(Present {
            since_ms: cx.now_ms(),
            full,
            gone: post.withdrawn_ms.is_some() || post.expired,
            ..Present::default()
        });
        say(cx, post);
    }
    cx.put(&post_key(&post.id), post)
}

/// How a profile looks at a place: through its own unit's eyes, or, for a unit above its own, as its own unit has vouched.
/// Nobody else learns that the place exists.
pub(super) fn viewer(
    cx: &Context<'_, '_>,
    id: &ProfileId,
    place: &Place,
) -> Result<Viewer, Refusal> {
    let not_found = || error::NOT_FOUND.refuse("");
    let channel = place.channel();
    let mut admitted = cx.caller().admitted.iter();
    if let Some(vouched) = admitted.find(|it| it.channel == channel) {
        return cx.viewer_through(id, vouched.lens);
    }
    let own = cx.acting(id).map_err(|refusal| {
        if cx.is_own_unit(id) {
            refusal
        } else {
            not_found()
        }
    })?;
    let assurance = cx.caller().assurance;
    let lens = lens_on(cx.roster(), own, &channel, assurance, cx.today());
    cx.viewer_through(id, lens.ok_or_else(not_found)?)
}

/// The post, if the profile sees it: it is out and meant for them, or it is their own and not withdrawn.
pub(super) async fn open(
    cx: &Context<'_, '_>,
    id: &PostId,
    profile: &ProfileId,
) -> Result<Post, Refusal> {
    let not_found = || error::NOT_FOUND.refuse("");
    let post: Post = cx.get(&post_key(id)).await?.ok_or_else(not_found)?;
    let there = |post: Post| match post.withdrawn_ms {
        Some(_) => Err(error::WITHDRAWN.refuse("")),
        None => Ok(post),
    };
    if post.by == *profile && cx.acting(profile).is_ok() {
        return there(post);
    }
    let viewer = viewer(cx, profile, &post.place);
    // Who moderates the unit sees every post of it.
    let moderates = || {
        cx.permit(profile, crate::people::rights::Action::Moderate)
            .is_ok()
    };
    match viewer {
        Ok(viewer) if post.is_out() && post.thing().reaches(&viewer) => Ok(post),
        _ if moderates() => there(post),
        Ok(_) => Err(not_found()),
        Err(refusal) => Err(refusal),
    }
}

/// The first answer again, as the post is now: its words may have been taken back.
pub(super) async fn again(cx: &Context<'_, '_>, first: PostView) -> Result<PostView, Refusal> {
    let post: Option<Post> = cx.get(&post_key(&first.id)).await?;
    match post {
        Some(post) if post.version == first.version => Ok(first),
        Some(post) => Ok(view(cx.roster(), &post)),
        None => Err(error::NOT_FOUND.refuse("")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_words() {
        assert_eq!(beginning(&"å".repeat(EXCERPT_LENGTH_MAX)), None);
        let words = "æble ".repeat(100);
        let cut = beginning(&words).expect("too long");
        assert!(words.starts_with(cut) && cut.ends_with("æble"), "{cut}");
        assert!(cut.chars().count() <= EXCERPT_LENGTH_MAX);
        let one = "ø".repeat(EXCERPT_LENGTH_MAX + 1);
        let cut = beginning(&one).expect("too long");
        assert_eq!(cut.chars().count(), EXCERPT_LENGTH_MAX, "one endless word");
    }
}
