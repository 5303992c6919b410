//! `notification.create`: notify persons that something happened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::list::view;
use super::record::{NOTIFICATIONS_MAX, Notification, note_key};
use super::tidy::{drop_oldest, due_key};
use crate::admission::Work;
use crate::domain::badge::{self, Area};
use crate::domain::error;
use crate::domain::text::Text;
use crate::domain::threads::{RECIPIENTS_MAX, check_children};
use crate::domain::{
    Context, Declaration, Empty, Importance, Kind, Method, Operation, Rest, Target,
};
use crate::ledger::{Content, Refusal};
use crate::people::rights::Action;
use crate::people::{ObjectId, ProfileId, channel};

/// See the file.
pub struct Create;

/// What `notification.create` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The profile acted as.
    pub profile: ProfileId,
    /// Whom, profiles of one unit.
    #[schemars(length(min = 1, max = 400))]
    pub recipients: Vec<ProfileId>,
    /// What happened: a message key of the clients' catalogues.
    pub event: Tag,
    /// The natural key; left out, each notification stands alone.
    #[serde(default)]
    pub tag: Option<Tag>,
    /// Words for it, where the event needs some.
    #[serde(default)]
    pub text: Option<Text<500>>,
    /// What to open.
    #[serde(default)]
    pub about: Option<Tag>,
    /// The child it is about.
    #[serde(default)]
    pub child: Option<ProfileId>,
    /// When it stops being worth a notice, in milliseconds since 1970.
    #[serde(default, deserialize_with = "crate::domain::bounded::moment")]
    #[schemars(range(max = crate::domain::bounded::MOMENT_MAX_MS))]
    pub expires_ms: Option<u64>,
}

/// A short key: letters, digits, `.`, `_`, `-` and `:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// Longest tag in characters; it is part of a record key.
const TAG_LENGTH_MAX: usize = 64;

/// What tags of the server's own making begin with; callers' tags cannot.
const AUTOMATIC: char = '~';

/// A tag as a list gives it: a caller's, or one of the server's making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AnyTag(String);

impl TryFrom<String> for AnyTag {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let tag = text.strip_prefix(AUTOMATIC).unwrap_or(&text);
        Tag::try_from(tag.to_owned())?;
        Ok(Self(text))
    }
}

impl From<AnyTag> for String {
    fn from(tag: AnyTag) -> Self {
        tag.0
    }
}

impl JsonSchema for AnyTag {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnyTag".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^~?[a-zA-Z0-9._:-]{1,64}$" })
    }
}

impl TryFrom<String> for Tag {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
        let sound = !text.is_empty() && text.len() <= TAG_LENGTH_MAX && text.bytes().all(allowed);
        if sound {
            Ok(Self(text))
        } else {
            Err("not a tag")
        }
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

impl JsonSchema for Tag {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tag".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[a-zA-Z0-9._:-]{1,64}$" })
    }
}

impl Operation for Create {
    const DECLARATION: Declaration = Declaration {
        name: "notification.create",
        summary: "Notify persons, at most 400; what comes again under the same tag takes the place of what was.",
        kind: Kind::Command,
        rest: Some(Rest::new(Method::Post, "/v1/notifications")),
        work: Importance::by_staff(Work::Care, Work::Posts),
        rights: &[Action::Notify],
        errors: &[
            &error::NOT_ALLOWED,
            &error::OUTSIDE_MUNICIPALITY,
            &error::TOO_MANY_RECIPIENTS,
            &error::NO_RECIPIENTS,
            &error::UNKNOWN_RECIPIENT,
            &error::DATES_OUT_OF_ORDER,
        ],
    };
    type Input = Input;
    type Output = Empty;

    fn target(input: &Input) -> Target {
        Target::unit(input.profile.unit())
    }

    fn acts_as(input: &Input) -> Option<&ProfileId> {
        Some(&input.profile)
    }

    async fn run(cx: &mut Context<'_, '_>, input: Input) -> Result<Empty, Refusal> {
        cx.permit(&input.profile, Action::Notify)?;
        if input.recipients.len() > RECIPIENTS_MAX {
            return Err(error::TOO_MANY_RECIPIENTS.refuse(""));
        }
        if input
            .expires_ms
            .is_some_and(|expires_ms| expires_ms <= cx.now_ms())
        {
            return Err(error::DATES_OUT_OF_ORDER.refuse("it has expired already"));
        }
        let mut recipients = input.recipients.clone();
        recipients.sort_unstable();
        recipients.dedup();
        let inside = |id: &ProfileId| {
            cx.roster()
                .profile(id)
                .is_some_and(|profile| cx.roster().takes_part(profile, cx.today()))
        };
        if recipients.is_empty() || !recipients.iter().all(inside) {
            return Err(error::UNKNOWN_RECIPIENT.refuse(""));
        }
        check_children(cx, &input.profile, Action::Notify, input.child.as_slice())?;
        let tag = match &input.tag {
            Some(tag) => tag.0.clone(),
            None => format!("{AUTOMATIC}{}", cx.next_number("n").await?),
        };
        let notification = Notification {
            tag,
            event: input.event.0,
            text: input.text.map(Text::into_string),
            about: input.about.map(|about| about.0),
            child: input.child,
            times: 1,
            at_ms: cx.now_ms(),
            expires_ms: input.expires_ms,
        };
        for recipient in &recipients {
            put(cx, recipient, notification.clone()).await?;
        }
        Ok(Empty {})
    }
}

/// Puts a notification in place of what stood under its tag, and tells the devices how often it came and what waits now. The
/// badge grows only for a new one.
async fn put(
    cx: &mut Context<'_, '_>,
    to: &ProfileId,
    mut notification: Notification,
) -> Result<(), Refusal> {
    let key = note_key(to, &notification.tag);
    let before: Option<Notification> = cx.get(&key).await?;
    notification.times = before
        .as_ref()
        .map_or(1, |before| before.times.saturating_add(1));
    if before.is_none() && badge::of(cx, to).await?.notifications as usize >= NOTIFICATIONS_MAX {
        drop_oldest(cx, to).await?;
    }
    if let Some(expires_ms) = notification.expires_ms {
        cx.put(
            &due_key(expires_ms, to, &notification.tag),
            &(to, &notification.tag),
        )?;
    }
    cx.put(&key, &notification)?;
    badge::adjust(cx, to, Area::Notifications, before.is_some(), true).await?;
    let payload = serde_json::json!({
        "type": "notification",
        "notification": view(notification),
        "badge": badge::of(cx, to).await?,
    });
    let content = Content {
        full: payload.to_string().into(),
        ..Content::default()
    };
    cx.append([channel::person(to)], content);
    Ok(())
}
