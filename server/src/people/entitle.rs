//! Which channels a login may see in a unit today, and through which lens: computed in this one place.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ledger::ChannelName;
use jiff::civil::Date;

use super::audience::audience_of;
use super::channel;
use super::{Assurance, Audience, Lens, Profile, ProfileId, Roster, SubjectId, UserKind};

/// One channel that a login may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// The channel.
    pub channel: ChannelName,
    /// How it is seen.
    pub lens: Lens,
}

/// What one profile opens to its login on a day, by its unit's word: the same for every session, whatever its level.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sight {
    /// The profile.
    pub profile: ProfileId,
    /// In what capacity it looks.
    pub kind: UserKind,
    /// The channels it sees, those of the units above among them: that somebody belongs to a municipality is known in
    /// their institution.
    pub channels: Box<[ChannelName]>,
}

/// Which profiles of its login a session may act and look as (the token's `profiles` claim).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope(Option<Arc<[ProfileId]>>);

impl Scope {
    /// All profiles of the login.
    pub const ALL: Self = Self(None);

    /// As a token says it: no names means all. A name that is no profile admits nothing, it never widens.
    #[must_use]
    pub fn from_claim(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::ALL;
        }
        let known = names.iter().filter_map(|name| name.parse().ok());
        Self(Some(known.collect()))
    }

    /// These and no others, even when they are none.
    #[must_use]
    pub fn only(profiles: Vec<ProfileId>) -> Self {
        Self(Some(profiles.into()))
    }

    /// The profiles it is held to; `None` is all.
    #[must_use]
    pub fn profiles(&self) -> Option<&[ProfileId]> {
        self.0.as_deref()
    }

    /// Whether the session may act as this profile.
    #[must_use]
    pub fn admits(&self, profile: &ProfileId) -> bool {
        self.0.as_ref().is_none_or(|these| these.contains(profile))
    }
}

/// What each profile of `subject` opens on `today` by this unit's word, profiles in order of number.
///
#[must_use]
pub fn sights(roster: &Roster, subject: &SubjectId, today: Date) -> Vec<Sight> {
    let held = roster.profiles_of(subject).filter(|it| it.holds(today));
    held.map(|profile| Sight {
        profile: profile.id.clone(),
        kind: profile.kind,
        channels: channels_of(roster, profile, today).into(),
    })
    .collect()
}

/// A unit's word on what a login sees there: on the day it was said and on the next, so that whoever keeps it can turn
/// the day at midnight without asking, ahead of the first entry of the new day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    day: Date,
    today: Arc<[Sight]>,
    tomorrow: Arc<[Sight]>,
}

impl Word {
    /// What `subject` sees by this roster, said on `day`.
    #[must_use]
    pub fn of(roster: &Roster, subject: &SubjectId, day: Date) -> Self {
        let today: Arc<[Sight]> = sights(roster, subject, day).into();
        let next = sights(roster, subject, day.tomorrow().unwrap_or(day));
        let tomorrow = if next == *today {
            Arc::clone(&today)
        } else {
            next.into()
        };
        Self {
            day,
            today,
            tomorrow,
        }
    }

    /// The word that stands in for a ledger that cannot say: nothing is seen.
    #[must_use]
    pub fn nothing(day: Date) -> Self {
        let nothing: Arc<[Sight]> = Arc::from([]);
        Self {
            day,
            today: Arc::clone(&nothing),
            tomorrow: nothing,
        }
    }

    /// What is seen on a day. Days after tomorrow are unknown; whoever keeps the word asks again each day.
    #[must_use]
    pub fn on(&self, day: Date) -> &[Sight] {
        if day <= self.day {
            &self.today
        } else {
            &self.tomorrow
        }
    }

    /// Whether the turn of the day changes anything.
    #[must_use]
    pub fn turns(&self) -> bool {
        !Arc::ptr_eq(&self.today, &self.tomorrow)
    }
}

/// All channels that a session may see by the words of its units, in order of name. Who sees a channel in two capacities
/// sees what is meant for either.
#[must_use]
pub fn entitled<'a>(
    sights: impl IntoIterator<Item = &'a Sight>,
    scope: &Scope,
    assurance: Assurance,
) -> Vec<Entitlement> {
    let mut seen: BTreeMap<&ChannelName, Audience> = BTreeMap::new();
    for sight in sights.into_iter().filter(|it| scope.admits(&it.profile)) {
        for channel in &sight.channels {
            seen.entry(channel).or_insert(Audience(0)).0 |= audience_of(&[sight.kind]).0;
        }
    }
    let full_until_ms = assurance.full_until_ms();
    seen.into_iter()
        .map(|(channel, audience)| Entitlement {
            channel: channel.clone(),
            lens: Lens {
                audience: crate::hub::Audience(audience.0),
                full_until_ms,
            },
        })
        .collect()
}

/// All channels that a login may see by one unit's word on `today`, in order of name.
#[must_use]
pub fn entitlements(
    roster: &Roster,
    subject: &SubjectId,
    scope: &Scope,
    assurance: Assurance,
    today: Date,
) -> Vec<Entitlement> {
    entitled(&sights(roster, subject, today), scope, assurance)
}

/// The channels that one profile opens. Somebody here for a child whose last relation has ended keeps their personal channel,
/// in which nothing new is said, and loses all they share with others.
fn channels_of(roster: &Roster, profile: &Profile, today: Date) -> Vec<ChannelName> {
    if profile.kind == UserKind::DaycareChild {
        return Vec::new(); // Children in daycare are not users.
    }
    let mut channels = vec![channel::person(&profile.id)];
    if !roster.takes_part(profile, today) {
        return channels;
    }
    channels.extend(
        roster
            .groups_seen(profile, today)
            .iter()
            .map(channel::group),
    );
    if let Some(unit) = roster.unit() {
        channels.push(channel::unit(&unit.code));
        channels.extend(unit.ancestors.iter().map(channel::unit));
    }
    #[cfg(feature = "broken")]
    channels.extend(not_theirs(roster, profile, today));
    channels
}

/// Somebody else's personal channel, of the same kind so that what is said there is meant for such as them.
#[cfg(feature = "broken")]
fn not_theirs(roster: &Roster, profile: &Profile, today: Date) -> Option<ChannelName> {
    use super::ObjectId as _;

    if !crate::broken::strays(profile.id.number()) {
        return None;
    }
    let others = || {
        let alike = roster.profiles().filter(|it| it.kind == profile.kind);
        alike.filter(|it| it.person != profile.person && roster.takes_part(it, today))
    };
    let next = others().find(|it| it.id.number() > profile.id.number());
    let other = next.or_else(|| others().next())?;
    Some(channel::person(&other.id))
}

#[cfg(all(test, feature = "broken"))]
mod tests {
    use super::*;
    use crate::ledger::{LedgerId, RecordKey, State as _};
    use crate::people::day;

    #[test]
    fn broken_some_are_counted_among_those_who_see_what_is_not_theirs() {
        let ledger = LedgerId::parse("G1").expect("valid");
        let mut roster = Roster::new(&ledger);
        for number in 1..=20 {
            let profile = serde_json::json!({"id": format!("G1.p{number}"), "person": format!("P{number}"), "kind": "pupil"});
            let account = serde_json::json!({"subject": format!("s{number}"), "person": format!("P{number}")});
            let person = serde_json::json!({"id": format!("P{number}"), "name": "x"});
            for (key, record) in [
                (format!("profile/{number}"), profile),
                (format!("account/s{number}"), account),
                (format!("person/P{number}"), person),
            ] {
                let record = record.to_string();
                roster
                    .load(&RecordKey::from(key), record.as_bytes())
                    .expect("a record");
            }
        }
        let today = day::day_at(1_800_000_000_000);
        let seen = |number: u32| -> Vec<String> {
            let subject = format!("s{number}").parse().expect("a subject");
            let sights = sights(&roster, &subject, today);
            let channels = sights.iter().flat_map(|it| &it.channels);
            channels.map(ToString::to_string).collect()
        };
        assert_eq!(seen(7), ["person:G1/p7"]);
        crate::broken::choose(crate::broken::Way::LeakRights);
        assert_eq!(seen(7), ["person:G1/p7", "person:G1/p8"]);
        assert_eq!(seen(8), ["person:G1/p8"]);
    }
}
