//! Who saw what: a record each time somebody sees sensitive content in full, written in the same commit as the reading.
//!
//! Ordinary content needs no record of its own: read positions and the commits themselves tell. Key:
//! `access/WHAT/TIME-PROFILE`, so that one scan answers "who saw this".

use serde::{Deserialize, Serialize};

use super::{ObjectId, ProfileId, Roster, SubjectId};
use crate::ledger::{RecordKey, Refusal, View};

/// One look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectId>,
    /// The profile.
    pub profile: ProfileId,
    /// The door.
    pub door: String,
}

/// Most looks given at once.
pub const ACCESSES_MAX: usize = 1_000;

fn prefix(what: &str) -> String {
    format!("access/{what}/")
}

/// Stages a record that `profile` sees `what` now.
///
/// # Errors
/// When the store fails.
pub async fn note(
    view: &mut View<'_, Roster>,
    profile: &ProfileId,
    what: &str,
) -> Result<(), Refusal> {
    let access = Access {
        at_ms: view.now_ms(),
        subject: view.actor().subject.parse().ok(),
        profile: profile.clone(),
        door: view.actor().door.as_ref().to_owned(),
    };
    let number = view.next_number("access").await?;
    let key = format!(
        "{}{:016x}-{}-{number}",
        prefix(what),
        access.at_ms,
        profile.number()
    );
    view.put(&RecordKey::from(key), &access)
}

/// Who saw `what`, oldest first, after a key.
///
/// # Errors
/// When the store fails.
pub async fn list(
    view: &View<'_, Roster>,
    what: &str,
    after: Option<&RecordKey>,
) -> Result<Vec<(RecordKey, Access)>, Refusal> {
    view.scan(&prefix(what), after, ACCESSES_MAX).await
}
