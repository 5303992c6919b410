//! The way out for what operations read: gets, lists, answers and retries give content through here, never on their own
//! judgement.
//!
//! An operation says what a thing is ([`Thing`]: its record's key, whom it is meant for, whether it is sensitive) and how it
//! looks in full and bare; [`show`] decides which of them the [`Viewer`] gets, by the same rule as live fan-out, and writes
//! down who saw what is sensitive. `cargo xtask tidy` keeps the judgement itself out of `domain`.

use super::access_log::{self, Reader};
use super::entitle::sights;
use super::rights::Denied;
use super::{
    Assurance, Audience, Lens, Measure, Profile, Roster, SubjectId, Viewer, audience_of, channel,
    measure,
};
use crate::ledger::{ChannelName, RecordKey, Refusal, View};
use jiff::civil::Date;

/// Something that may be shown.
#[derive(Debug, Clone)]
pub struct Thing {
    /// The key of its record: looks are written down under it.
    pub key: RecordKey,
    /// Whom it is meant for.
    pub audience: Audience,
    /// Whether it is sensitive.
    pub sensitive: bool,
}

impl Thing {
    /// How much of it the viewer gets.
    fn measured(&self, viewer: &Viewer) -> Measure {
        measure(viewer.lens, self.audience, self.sensitive, viewer.now_ms)
    }

    /// Whether the viewer learns of it at all.
    #[must_use]
    pub fn reaches(&self, viewer: &Viewer) -> bool {
        self.measured(viewer) != Measure::Hidden
    }

    /// Refuses a viewer who would get a bare signal: what cannot be seen can be neither read on nor answered.
    ///
    /// # Errors
    /// [`Denied::StepUpRequired`].
    pub fn demand_full(&self, viewer: &Viewer) -> Result<(), Denied> {
        match self.measured(viewer) {
            Measure::Full => Ok(()),
            Measure::Bare | Measure::Hidden => Err(Denied::StepUpRequired),
        }
    }
}

/// Gives what the viewer may have of a thing: in full, bare, or nothing. Seeing what is sensitive in full is written down.
///
/// # Errors
/// When the store fails.
pub async fn show<T>(
    view: &mut View<'_, Roster>,
    viewer: &Viewer,
    thing: &Thing,
    full: impl FnOnce(&Roster) -> T,
    bare: impl FnOnce(&Roster) -> T,
) -> Result<Option<T>, Refusal> {
    if thing.sensitive && thing.measured(viewer) == Measure::Full {
        note(view, viewer, &thing.key).await?;
    }
    Ok(show_own(view.state(), viewer, thing, full, bare))
}

/// Like [`show`], for what the viewer wrote: the commit says so already.
pub fn show_own<T>(
    roster: &Roster,
    viewer: &Viewer,
    thing: &Thing,
    full: impl FnOnce(&Roster) -> T,
    bare: impl FnOnce(&Roster) -> T,
) -> Option<T> {
    match thing.measured(viewer) {
        Measure::Full => Some(full(roster)),
        Measure::Bare => {
            viewer.withheld.add(1);
            Some(bare(roster))
        }
        Measure::Hidden => None,
    }
}

/// Writes down that the viewer sees something sensitive in full.
pub(super) async fn note(
    view: &mut View<'_, Roster>,
    viewer: &Viewer,
    what: &RecordKey,
) -> Result<(), Refusal> {
    let Some(profile) = &viewer.profile else {
        return Ok(()); // Nobody of this unit: there is no way to a sensitive thing.
    };
    let reader = Reader {
        profile,
        subject: Some(viewer.subject.clone()),
        until_ms: viewer.lens.full_until_ms,
    };
    let door = view.actor().door.clone();
    access_log::note(view, &reader, what.as_str(), &door).await
}

/// How a profile of this unit looks at what is addressed to it by name.
#[must_use]
pub fn lens_of(profile: &Profile, assurance: Assurance) -> Lens {
    Lens {
        audience: crate::hub::Audience(audience_of(&[profile.kind]).0),
        full_until_ms: assurance.full_until_ms(),
    }
}

/// How a profile of this unit looks at a channel of it, today; `None` when it does not see the channel.
#[must_use]
pub fn lens_on(
    roster: &Roster,
    profile: &Profile,
    name: &ChannelName,
    assurance: Assurance,
    today: Date,
) -> Option<Lens> {
    let unit = roster.unit().map(|unit| channel::unit(&unit.code));
    let groups = || roster.groups_seen(profile, today);
    let sees = roster.takes_part(profile, today)
        && (unit.as_ref() == Some(name) || groups().iter().any(|it| channel::group(it) == *name));
    sees.then(|| lens_of(profile, assurance))
}

/// Whether a login may not look through a channel today, by this unit's word. Asked inside the ledger, so that a right lost
/// a moment ago is not used once more by a session that has not heard yet. Who sees the channel of a unit from below is
/// known in their own unit, not here.
pub(super) fn is_barred(
    roster: &Roster,
    subject: &SubjectId,
    name: &ChannelName,
    today: Date,
) -> bool {
    let is_decided_here = matches!(name.namespace(), "person" | "group");
    let opens = |sight: super::Sight| sight.channels.contains(name);
    is_decided_here && !sights(roster, subject, today).into_iter().any(opens)
}

/// The profile of a login that a look through a channel is written down for: the channel's own, or the first that holds.
pub(super) fn profile_behind(
    roster: &Roster,
    subject: &SubjectId,
    name: &ChannelName,
    today: Date,
) -> Option<super::ProfileId> {
    let mut own = roster.profiles_of(subject);
    let personal = own.find(|profile| channel::person(&profile.id) == *name);
    let first = || {
        let mut own = roster.profiles_of(subject);
        own.find(|profile| profile.holds(today))
    };
    personal.or_else(first).map(|profile| profile.id.clone())
}
