//! The one way out for content: whatever the door, what leaves the server has passed through here.
//!
//! Live fan-out asks the lens ([`measure`]) once per class of subscriber; history and recovery ask [`disclose`], which also
//! gives the present content in place of what was edited or withdrawn since, and the present name in place of one that
//! has become protected. What operations read and list goes through [`show`](super::show), by the same rule.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Audience, Lens, Measure, ObjectId, ProfileId, Roster, SubjectId};
use crate::ledger::Content;
use crate::telemetry::Count;

/// Who looks, and how.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The login.
    pub subject: SubjectId,
    /// The profile they look as, where there is one.
    pub profile: Option<ProfileId>,
    /// How they see the channel.
    pub lens: Lens,
    /// The moment, in milliseconds since 1970.
    pub now_ms: u64,
    /// Counts what is withheld from them until they step up.
    pub withheld: Count,
}

/// What a viewer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disclosure {
    /// The whole payload.
    Full(Bytes),
    /// The bare signal.
    Bare(Bytes),
    /// Nothing.
    Hidden,
}

impl Disclosure {
    /// The payload, if there is one.
    #[must_use]
    pub fn into_payload(self) -> Option<Bytes> {
        match self {
            Self::Full(payload) | Self::Bare(payload) => Some(payload),
            Self::Hidden => None,
        }
    }
}

/// The rule itself: the audience decides whether, the lens how much. Live fan-out applies the same function of the lens.
#[must_use]
pub const fn measure(lens: Lens, audience: Audience, sensitive: bool, now_ms: u64) -> Measure {
    lens.measure(crate::hub::Audience(audience.0), sensitive, now_ms)
}

/// What is true now of the thing an entry speaks of: the part of its record that this room understands. Records that
/// entries speak of have these fields at their top level.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// What readers of its entries get in their place; set when the thing was edited, withdrawn or marked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<Present>,
    /// The thing it is part of, by its record's key: looks at it are written down under that key, and when that is taken
    /// down this goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
}

impl Subject {
    /// Reads the fields out of a record, ignoring all others. A record without them says nothing.
    #[must_use]
    pub fn from_record(value: &[u8]) -> Self {
        serde_json::from_slice(value).unwrap_or_default()
    }
}

/// The payload that stands in for all entries of a thing: the change that set it appended the newest of them, which says
/// the same, so there is no moment to compare. (Comparing times let words out again that were said and taken back in
/// one millisecond, or whenever the clock was set back in between.)
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Present {
    /// When it was set, in milliseconds since 1970.
    pub since_ms: u64,
    /// The payload now.
    pub full: Value,
    /// The bare signal now; present if and only if the thing is sensitive now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bare: Option<Value>,
    /// The thing was taken down, and what is part of it went with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Who had lost access before the words became these. The old words are nobody's any more and the new ones are not
    /// for them, so they get `instead`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld_from: Vec<ProfileId>,
    /// The payload without words; present if anybody is withheld from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<Value>,
}

impl Present {
    /// The payload in full, for this viewer.
    fn full_for(&self, viewer: &Viewer) -> &Value {
        let withheld = viewer
            .profile
            .as_ref()
            .is_some_and(|profile| self.withheld_from.contains(profile));
        match &self.instead {
            Some(instead) if withheld => instead,
            _ => &self.full,
        }
    }
}

/// A person as every payload shows one: this shape and no other, so that names can be renewed on the way out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersonRef {
    /// The profile.
    pub profile: ProfileId,
    /// The name that may be shown: the alias when protected.
    pub name: String,
}

impl std::fmt::Debug for PersonRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PersonRef({})", self.profile)
    }
}

impl PersonRef {
    /// The profile with the name that may be shown now. Somebody the roster does not know has their number only.
    #[must_use]
    pub fn of(roster: &Roster, profile: &ProfileId) -> Self {
        let name = roster
            .shown_name(profile)
            .map_or_else(|| format!("p{}", profile.number()), ToOwned::to_owned);
        Self {
            profile: profile.clone(),
            name,
        }
    }
}

/// What `viewer` gets of a stored `content`, given the record it speaks of as it is now, and that of the thing this is part
/// of.
///
/// A record that cannot be read never opens anything: the content is then judged as stored.
#[must_use]
pub fn disclose(
    viewer: &Viewer,
    roster: &Roster,
    content: &Content,
    subject: Option<&Subject>,
    whole: Option<&Subject>,
) -> Disclosure {
    let whole = whole.and_then(|whole| whole.present.as_ref());
    if whole.is_some_and(|whole| whole.gone) {
        return Disclosure::Hidden;
    }
    let present = subject.and_then(|subject| subject.present.as_ref());
    let sensitive = is_sensitive(content, subject);
    let old_names = content.time_ms <= roster.names_since_ms();
    match measure(viewer.lens, content.audience, sensitive, viewer.now_ms) {
        Measure::Hidden => Disclosure::Hidden,
        Measure::Full => Disclosure::Full(match present {
            Some(present) => encode(&renewed(roster, present.full_for(viewer).clone())),
            None => with_present_names(roster, &content.full, old_names),
        }),
        Measure::Bare => {
            let bare = match (
                present.and_then(|present| present.bare.as_ref()),
                &content.bare,
            ) {
                (Some(bare), _) => encode(bare),
                (None, Some(bare)) => bare.clone(),
                (None, None) => return Disclosure::Hidden,
            };
            viewer.withheld.add(1);
            Disclosure::Bare(bare)
        }
    }
}

/// Whether a stored content is sensitive now: as the record it speaks of says, or else as it was said.
pub(super) fn is_sensitive(content: &Content, subject: Option<&Subject>) -> bool {
    let present = subject.and_then(|subject| subject.present.as_ref());
    present.map_or(content.bare.is_some(), |present| present.bare.is_some())
}

fn with_present_names(roster: &Roster, payload: &Bytes, old_names: bool) -> Bytes {
    if !old_names {
        return payload.clone();
    }
    match serde_json::from_slice(payload) {
        Ok(value) => encode(&renewed(roster, value)),
        // Not one of our payloads, so it holds no person of ours.
        Err(_) => payload.clone(),
    }
}

fn encode(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

/// The value with every person's name as it may be shown now.
#[must_use]
pub fn renewed(roster: &Roster, mut value: Value) -> Value {
    renew(roster, &mut value);
    value
}

fn renew(roster: &Roster, value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| renew(roster, item)),
        Value::Object(fields) => {
            let profile = fields
                .get("profile")
                .and_then(Value::as_str)
                .and_then(|text| text.parse().ok());
            if let (Some(profile), true) = (profile, fields.contains_key("name")) {
                fields.insert(
                    "name".to_owned(),
                    PersonRef::of(roster, &profile).name.into(),
                );
            }
            fields.values_mut().for_each(|field| renew(roster, field));
        }
        _ => {}
    }
}
