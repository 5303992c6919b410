//! `notification.list`: what waits for a profile, newest first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{NOTIFICATIONS_MAX, Notification, note_prefix};
use crate::admission::Work;
use crate::domain::error;
use crate::domain::{Context, Declaration, Importance, Kind, Method, Operation, Rest, Target};
use crate::ledger::{RecordKey, Refusal};
use crate::people::{ObjectId, ProfileId};

/// See the file.
pub struct List;

/// What `notification.list` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
}

/// What `notification.list` gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Newest first.
    pub notifications: Vec<NotificationView>,
}

/// A notification.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NotificationView {
    /// Its natural key.
    pub tag: String,
    /// What happened: a message key.
    pub event: String,
    /// Words for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What to open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The child it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<ProfileId>,
    /// How often it came under this key.
    pub times: u32,
    /// When it last came, in milliseconds since 1970.
    pub at_ms: u64,
    /// When it stops being worth a notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

impl Operation for List {
    const DECLARATION: Declaration = Declaration {
        name: "notification.list",
        summary: "List the notifications of a profile, newest first, at most 200.",
        kind: Kind::Query,
        rest: Some(Rest::new(
            Method::Get,
            "/v1/profiles/{profile}/notifications",
        )),
        work: Importance::of(Work::Lists),
        rights: &[],
        errors: &[&error::PROFILE_NOT_YOURS],
    };
    type Input = Input;
    type Output = Output;

    fn target(input: &Input) -> Target {
        Target::unit(input.profile.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Output, Refusal> {
        cx.acting(&input.profile)?;
        let notifications = newest(cx, &input.profile, NOTIFICATIONS_MAX).await?;
        Ok(Output { notifications })
    }
}

pub(super) fn view(notification: Notification) -> NotificationView {
    NotificationView {
        tag: notification.tag,
        event: notification.event,
        text: notification.text,
        about: notification.about,
        child: notification.child,
        times: notification.times,
        at_ms: notification.at_ms,
        expires_ms: notification.expires_ms,
    }
}

/// The newest notifications of a profile. One that has expired but was not swept yet still counts in the badge, so it
/// still stands here: list and badge never disagree.
pub(crate) async fn newest(
    cx: &Context<'_, '_>,
    profile: &ProfileId,
    limit: usize,
) -> Result<Vec<NotificationView>, Refusal> {
    let all: Vec<(RecordKey, Notification)> = cx
        .scan(&note_prefix(profile), None, NOTIFICATIONS_MAX)
        .await?;
    let mut all: Vec<_> = all
        .into_iter()
        .map(|(_, notification)| view(notification))
        .collect();
    all.sort_by(|a, b| b.at_ms.cmp(&a.at_ms).then_with(|| a.tag.cmp(&b.tag)));
    all.truncate(limit);
    Ok(all)
}
