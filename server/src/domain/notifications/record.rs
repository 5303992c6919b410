//! Notifications as stored: `note/P/TAG` holds what waits for profile P under its natural key.

use serde::{Deserialize, Serialize};

use crate::ledger::RecordKey;
use crate::people::{ObjectId, ProfileId};

/// Most notifications kept for a profile; the oldest makes room. A screen never shows more, and a scan stays one page.
pub(crate) const NOTIFICATIONS_MAX: usize = 200;

/// What waits for a profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Notification {
    /// The natural key: what is notified again under it takes the place of what was.
    pub(crate) tag: String,
    /// What happened, as a message key of the client's catalogue.
    pub(crate) event: String,
    /// Words for it, where the event needs some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// What to open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) about: Option<String>,
    /// The child it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) child: Option<ProfileId>,
    /// How often it came under this key.
    pub(crate) times: u32,
    pub(crate) at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_ms: Option<u64>,
}

/// What the keys of all notifications begin with.
pub(crate) const NOTES: &str = "note/";

pub(crate) fn note_prefix(profile: &ProfileId) -> String {
    format!("{NOTES}{}/", profile.number())
}

pub(crate) fn note_key(profile: &ProfileId, tag: &str) -> RecordKey {
    format!("{NOTES}{}/{tag}", profile.number()).into()
}
