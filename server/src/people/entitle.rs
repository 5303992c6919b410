//! Which channels a login may see in a unit today, and through which lens: computed in this one place.

use std::collections::BTreeMap;

use crate::ledger::ChannelName;
use jiff::civil::Date;

use super::audience::audience_of;
use super::channel;
use super::{Assurance, Audience, Lens, Profile, Roster, SubjectId, UserKind};

/// One channel that a login may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// The channel.
    pub channel: ChannelName,
    /// How it is seen.
    pub lens: Lens,
}

/// All channels that `subject` may see by this unit's word on `today`, in order of name.
///
/// Computed at connect, at every change the roster reports, when a session steps up, and when the day turns
/// ([`super::day::next_midnight_ms`]). The channels of the units above are part of it: that somebody belongs to a
/// municipality is known in their institution.
#[must_use]
pub fn entitlements(
    roster: &Roster,
    subject: &SubjectId,
    assurance: Assurance,
    today: Date,
) -> Vec<Entitlement> {
    let mut seen: BTreeMap<ChannelName, Audience> = BTreeMap::new();
    for profile in roster
        .profiles_of(subject)
        .filter(|profile| profile.holds(today))
    {
        for channel in channels_of(roster, profile, today) {
            let audience = seen.entry(channel).or_insert(Audience(0));
            audience.0 |= audience_of(&[profile.kind]).0;
        }
    }
    let full_until_ms = assurance.full_until_ms();
    seen.into_iter()
        .map(|(channel, audience)| Entitlement {
            channel,
            lens: Lens {
                audience: crate::hub::Audience(audience.0),
                full_until_ms,
            },
        })
        .collect()
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
    channels
}
