//! Posts as stored.
//!
//! | key | value |
//! |---|---|
//! | `post/O` | [`Post`] |
//! | `wall/PLACE/TIME/O` | nothing: the published posts of a place, newest first |
//! | `comment/O/N` | [`CommentRecord`] |
//! | `due/TIME/O` | nothing: something about the post falls due then |
//! | `seen/P/PLACE` | the newest post of a place that profile P has looked at, by time |

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::PostId;
use crate::ledger::{Audience, ChannelName, RecordKey};
use crate::people::{GroupId, ObjectId, Present, ProfileId, Thing, UnitCode, channel};

/// Where a post stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// On a group's wall.
    Group(GroupId),
    /// On a whole unit's wall.
    Unit(UnitCode),
}

impl Place {
    pub(crate) fn unit(&self) -> &UnitCode {
        match self {
            Self::Group(group) => group.unit(),
            Self::Unit(unit) => unit,
        }
    }

    pub(crate) fn channel(&self) -> ChannelName {
        match self {
            Self::Group(group) => channel::group(group),
            Self::Unit(unit) => channel::unit(unit),
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Group(group) => format!("g{}", group.number()),
            Self::Unit(_) => "u".to_owned(),
        }
    }

    pub(crate) fn wall_prefix(&self) -> String {
        format!("wall/{}/", self.key())
    }

    /// Numbers are given anew in each unit, so who looks from another one is known by their whole id.
    pub(crate) fn seen_key(&self, profile: &ProfileId) -> RecordKey {
        let place = self.key();
        if profile.unit() == self.unit() {
            format!("seen/{}/{place}", profile.number()).into()
        } else {
            format!("seen/{profile}/{place}").into()
        }
    }
}

/// The days on which a post is marked important.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Important {
    /// First day.
    #[schemars(with = "String", extend("format" = "date"))]
    pub from: Date,
    /// Last day.
    #[schemars(with = "String", extend("format" = "date"))]
    pub to: Date,
}

/// A post.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Post {
    pub(crate) id: PostId,
    pub(crate) place: Place,
    pub(crate) by: ProfileId,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) audience: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) important: Option<Important>,
    pub(crate) publish_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expire_ms: Option<u64>,
    pub(crate) published: bool,
    #[serde(default)]
    pub(crate) expired: bool,
    pub(crate) comments_open: bool,
    #[serde(default)]
    pub(crate) comments: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) edited_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) withdrawn_ms: Option<u64>,
    pub(crate) version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) present: Option<Present>,
}

impl Post {
    pub(crate) const fn audience(&self) -> Audience {
        Audience(self.audience)
    }

    /// As `people` judges it.
    pub(crate) fn thing(&self) -> Thing {
        Thing {
            key: post_key(&self.id),
            audience: self.audience(),
            sensitive: false,
        }
    }

    /// Whether readers find it.
    pub(crate) const fn is_out(&self) -> bool {
        self.published && !self.expired && self.withdrawn_ms.is_none()
    }

    pub(crate) fn wall_key(&self) -> RecordKey {
        // Keys sort upwards and walls begin with the newest, so the time stands upside down.
        format!(
            "{}{:016x}/{}",
            self.place.wall_prefix(),
            u64::MAX - self.publish_ms,
            self.id.number()
        )
        .into()
    }
}

/// A comment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CommentRecord {
    /// The key of the post's record: `people::Subject`. When the post is taken down this goes with it.
    #[serde(default)]
    pub(crate) part_of: String,
    pub(crate) by: ProfileId,
    pub(crate) text: String,
    pub(crate) at_ms: u64,
}

pub(crate) fn post_key(id: &PostId) -> RecordKey {
    format!("post/{}", id.number()).into()
}

pub(crate) fn comments_prefix(id: &PostId) -> String {
    format!("comment/{}/", id.number())
}

pub(crate) fn comment_key(id: &PostId, n: u32) -> RecordKey {
    format!("comment/{}/{n:05}", id.number()).into()
}

pub(crate) const DUE_PREFIX: &str = "due/";

pub(crate) fn due_key(at_ms: u64, id: &PostId) -> RecordKey {
    format!("{DUE_PREFIX}{at_ms:016x}/{}", id.number()).into()
}
