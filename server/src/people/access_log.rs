//! Who saw what: a record when somebody sees sensitive content in full, in the commit of the reading or of the saying.
//!
//! Ordinary content needs no record of its own: read positions and the commits themselves tell. What somebody wrote is
//! told by its commit. For the rest:
//!
//! - **Read** (lists, gets, history, recovery): whoever gives content out through `people` notes the look, once for each
//!   thing, reader and step-up. The record says from when, and until when the reader could read on without stepping up
//!   again; so a log grows with the people and their sign-ins, not with how often a phone refreshes.
//! - **Sent live**: a write for each push would put the disk into the fan-out. Instead a stepped-up session is written down
//!   when it begins to listen ([`watch`], one small record a profile, before its lens opens), and the commit that says
//!   something sensitive names all whose watch has not lapsed ([`note_live`]). It is durable before anybody hears it. A
//!   device that went away before its step-up lapsed is named too: the log says who could receive it, and errs on that side.
//!
//! | key | value |
//! |---|---|
//! | `access/WHAT/TIME-P-N` | [`Access`]: who saw this |
//! | `access-by/P/TIME-N` | the same [`Access`]: what this person saw |
//! | `access-now/P/WHAT` | until when a look of profile P is written down already |
//! | `access-live/P` | the sessions of profile P that hear sensitive content in full, and until when |

use serde::{Deserialize, Serialize};

use super::{ObjectId, ProfileId, Roster, SubjectId};
use crate::ledger::{RecordKey, Refusal, View};

/// One look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Until when the reader could go on reading, what was said meanwhile among it, without stepping up again.
    #[serde(default)]
    pub until_ms: u64,
    /// What was seen, by its record's key.
    #[serde(default)]
    pub what: String,
    /// The login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectId>,
    /// The profile.
    pub profile: ProfileId,
    /// The door; `live` for what was sent to an open session.
    pub door: String,
}

/// Most looks given at once.
pub const ACCESSES_MAX: usize = 100;

/// The door of what is sent to open sessions.
const LIVE: &str = "live";

/// Sessions of one profile that are kept apart; a family's phones, tablets and computers with logins of their own. Beyond
/// it the one that lapses first is put together with the next.
const WATCHES_MAX: usize = 8;

/// A login that sees in full, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Covered {
    subject: Option<SubjectId>,
    until_ms: u64,
}

/// Who looks.
pub(super) struct Reader<'a> {
    pub(super) profile: &'a ProfileId,
    pub(super) subject: Option<SubjectId>,
    pub(super) until_ms: u64,
}

fn prefix(what: &str) -> String {
    format!("access/{what}/")
}

fn person_prefix(profile: &ProfileId) -> String {
    format!("access-by/{}/", profile.number())
}

fn live_key(profile: &ProfileId) -> RecordKey {
    format!("access-live/{}", profile.number()).into()
}

/// Stages a record that `reader` sees `what` now through `door`, unless one covers this look already.
pub(super) async fn note(
    view: &mut View<'_, Roster>,
    reader: &Reader<'_>,
    what: &str,
    door: &str,
) -> Result<(), Refusal> {
    let profile = reader.profile;
    let now_key = RecordKey::from(format!("access-now/{}/{what}", profile.number()));
    let covered: Option<Covered> = view.get(&now_key).await?;
    let known =
        covered.is_some_and(|it| it.subject == reader.subject && it.until_ms >= reader.until_ms);
    if known {
        return Ok(());
    }
    let access = Access {
        at_ms: view.now_ms(),
        until_ms: reader.until_ms,
        what: what.to_owned(),
        subject: reader.subject.clone(),
        profile: profile.clone(),
        door: door.to_owned(),
    };
    let number = view.next_number("access").await?;
    let (at, who) = (access.at_ms, profile.number());
    let of_thing = format!("{}{at:016x}-{who}-{number}", prefix(what));
    let of_person = format!("{}{at:016x}-{number}", person_prefix(profile));
    view.put(&RecordKey::from(of_thing), &access)?;
    view.put(&RecordKey::from(of_person), &access)?;
    let covered = Covered {
        subject: access.subject,
        until_ms: access.until_ms,
    };
    view.put(&now_key, &covered)
}

/// Stages that sessions of a login hear what is said to `profile` in full until `until_ms`. To be durable before they do.
///
/// # Errors
/// When the store fails.
pub async fn watch(
    view: &mut View<'_, Roster>,
    profile: &ProfileId,
    subject: &SubjectId,
    until_ms: u64,
) -> Result<(), Refusal> {
    let key = live_key(profile);
    let mut watches: Vec<Covered> = view.get(&key).await?.unwrap_or_default();
    let now_ms = view.now_ms();
    let same = |it: &Covered| it.subject.as_ref() == Some(subject);
    if watches.iter().any(|it| same(it) && it.until_ms >= until_ms) {
        return Ok(());
    }
    watches.retain(|it| it.until_ms > now_ms && !same(it));
    watches.push(Covered {
        subject: Some(subject.clone()),
        until_ms,
    });
    watches.sort_by_key(|it| it.until_ms);
    if watches.len() > WATCHES_MAX {
        watches.remove(0);
        // Who is not known one by one is still known as the profile.
        watches[0].subject = None;
    }
    view.put(&key, &watches)
}

/// Stages that all of `profiles` with a stepped-up session open now are sent `what` by this commit.
///
/// # Errors
/// When the store fails.
pub async fn note_live(
    view: &mut View<'_, Roster>,
    profiles: &[ProfileId],
    what: &str,
) -> Result<(), Refusal> {
    for profile in profiles {
        let watches: Option<Vec<Covered>> = view.get(&live_key(profile)).await?;
        let now_ms = view.now_ms();
        for watch in watches.into_iter().flatten() {
            if watch.until_ms > now_ms {
                let reader = Reader {
                    profile,
                    subject: watch.subject,
                    until_ms: watch.until_ms,
                };
                note(view, &reader, what, LIVE).await?;
            }
        }
    }
    Ok(())
}

/// A page of the log, and the tail of its last key when there may be more.
#[derive(Debug)]
pub struct AccessPage {
    /// Oldest first.
    pub accesses: Vec<Access>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// Who saw `what`, oldest first, after the tail of a key.
///
/// # Errors
/// When the store fails.
pub async fn of_thing(
    view: &View<'_, Roster>,
    what: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<AccessPage, Refusal> {
    page(view, &prefix(what), after, limit).await
}

/// What `person` saw in this unit, oldest first, after the tail of a key.
///
/// # Errors
/// When the store fails.
pub async fn of_person(
    view: &View<'_, Roster>,
    person: &ProfileId,
    after: Option<&str>,
    limit: usize,
) -> Result<AccessPage, Refusal> {
    page(view, &person_prefix(person), after, limit).await
}

async fn page(
    view: &View<'_, Roster>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<AccessPage, Refusal> {
    let limit = limit.min(ACCESSES_MAX);
    let after = after.map(|tail| RecordKey::from(format!("{prefix}{tail}")));
    let rows: Vec<(RecordKey, Access)> = view.scan(prefix, after.as_ref(), limit).await?;
    let last = rows.last().filter(|_| rows.len() == limit);
    let next = last.and_then(|(key, _)| key.as_str().strip_prefix(prefix));
    Ok(AccessPage {
        next: next.map(ToOwned::to_owned),
        accesses: rows.into_iter().map(|(_, access)| access).collect(),
    })
}
