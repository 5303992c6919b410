//! Who may do what: one table, read by a reviewer as it stands and by the server through [`permit`].
//!
//! Rows are actions, columns the thirteen user kinds, administrators in their three scopes. A cell says how far
//! the right reaches and under which conditions. What a table cannot say (somebody is in this thread, wrote this
//! post) is checked by the operation, never instead of the table.

use jiff::civil::Date;

use super::record::Unit;
use super::{
    AdministratorScope, Assurance, PortalRole, Profile, ProfileId, Role, Roster, UserKind,
};

/// Something that takes a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Start a thread with persons.
    StartThread,
    /// Address a whole group, as a thread's recipient.
    AddressGroup,
    /// Write to a shared inbox.
    AddressInbox,
    /// Write in a thread one is part of.
    WriteInThread,
    /// Add people to a thread one is part of.
    AddParticipants,
    /// Mark a thread sensitive, or take the mark off.
    MarkSensitive,
    /// Withdraw what somebody else wrote.
    Moderate,
    /// Publish a post to a group.
    PublishToGroup,
    /// Publish a post to the whole unit.
    PublishToUnit,
    /// Mark a post important.
    MarkImportant,
    /// Comment on a post.
    Comment,
    /// Notify persons one by one.
    Notify,
    /// Add members to groups and remove them.
    ManageGroups,
    /// End relations between adults and children.
    ManageRelations,
    /// Set up shared inboxes.
    ManageInboxes,
    /// Stop a user kind from writing.
    BlockCommunication,
    /// See who has custody.
    SeeCustody,
    /// See who saw what.
    ReadAccessLog,
}

impl Action {
    /// Whether it puts words before others, and so falls under a stop on writing.
    #[must_use]
    pub const fn is_communication(self) -> bool {
        matches!(
            self,
            Self::StartThread
                | Self::AddressGroup
                | Self::AddressInbox
                | Self::WriteInThread
                | Self::PublishToGroup
                | Self::PublishToUnit
                | Self::Comment
                | Self::Notify
        )
    }
}

/// How far a right reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Not at all.
    No,
    /// Only the groups one sees, their people, and the unit's staff.
    Groups,
    /// The whole unit.
    Unit,
}

/// A cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// How far.
    pub reach: Reach,
    /// Only in a stepped-up session.
    pub stepped_up: bool,
    /// Only inside one's own municipality, unless granted.
    pub at_home: bool,
}

const fn right(reach: Reach, stepped_up: bool, at_home: bool) -> Right {
    Right {
        reach,
        stepped_up,
        at_home,
    }
}

const NO: Right = right(Reach::No, false, false);
/// In one's groups.
const GR: Right = right(Reach::Groups, false, false);
/// In one's groups, at home.
const GH: Right = right(Reach::Groups, false, true);
/// In the whole unit.
const UN: Right = right(Reach::Unit, false, false);
/// In the whole unit, at home.
const UH: Right = right(Reach::Unit, false, true);
/// In one's groups, stepped up.
const GS: Right = right(Reach::Groups, true, false);
/// In the whole unit, stepped up.
const US: Right = right(Reach::Unit, true, false);
/// In the whole unit, stepped up and at home.
const UX: Right = right(Reach::Unit, true, true);

/// The columns of [`TABLE`], in order.
pub const COLUMNS: [Role; 15] = [
    Role::Kind(UserKind::PedagogicalStaff),
    Role::Kind(UserKind::Pupil),
    Role::Kind(UserKind::DaycareChild),
    Role::Kind(UserKind::Guardian),
    Role::Kind(UserKind::RelatedPerson),
    Role::Kind(UserKind::AttachedPerson),
    Role::Kind(UserKind::Adviser),
    Role::Kind(UserKind::ExternalActor),
    Role::Kind(UserKind::MunicipalAdministration),
    Role::Kind(UserKind::Leader),
    Role::Kind(UserKind::AdministrativeStaff),
    Role::Kind(UserKind::TechnicalStaff),
    Role::Administrator(AdministratorScope::Institution),
    Role::Administrator(AdministratorScope::Municipality),
    Role::Administrator(AdministratorScope::Central),
];

/// The rights. Pedagogical staff, pupil, daycare child, guardian, related and attached person, adviser, external actor, town
/// hall, leader, administrative and technical staff, administrator of institution, municipality, centre.
#[rustfmt::skip]
pub const TABLE: [(Action, [Right; 15]); 18] = [
    //                            staff pup  day  guar rel  att  adv  ext  town lead adm  tech a-in a-mu a-ce
    (Action::StartThread,        [UN,  GR,  NO,  GR,  NO,  GR,  UN,  GH,  UH,  UN,  UN,  UN,  UN,  UH,  NO]),
    (Action::AddressGroup,       [UN,  GR,  NO,  GR,  NO,  NO,  UN,  NO,  UH,  UN,  UN,  NO,  UN,  UH,  NO]),
    (Action::AddressInbox,       [UN,  UN,  NO,  UN,  NO,  UN,  UN,  UH,  UH,  UN,  UN,  UN,  UN,  UH,  NO]),
    (Action::WriteInThread,      [UN,  UN,  NO,  UN,  UN,  UN,  UN,  UH,  UH,  UN,  UN,  UN,  UN,  UH,  NO]),
    (Action::AddParticipants,    [UN,  NO,  NO,  GR,  NO,  NO,  UN,  NO,  UH,  UN,  UN,  NO,  UN,  UH,  NO]),
    (Action::MarkSensitive,      [US,  NO,  NO,  GS,  NO,  NO,  US,  NO,  UX,  US,  US,  NO,  US,  UX,  NO]),
    (Action::Moderate,           [NO,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  UN,  NO,  NO,  UN,  UH,  NO]),
    (Action::PublishToGroup,     [UN,  NO,  NO,  GR,  NO,  NO,  UN,  GH,  UH,  UN,  UN,  NO,  UN,  UH,  NO]),
    (Action::PublishToUnit,      [UN,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  UH,  UN,  UN,  NO,  UN,  UH,  UN]),
    (Action::MarkImportant,      [UN,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  UH,  UN,  UN,  NO,  UN,  UH,  UN]),
    (Action::Comment,            [UN,  GR,  NO,  GR,  NO,  NO,  UN,  NO,  UH,  UN,  UN,  UN,  UN,  UH,  NO]),
    (Action::Notify,             [UN,  NO,  NO,  NO,  NO,  NO,  UN,  NO,  UH,  UN,  UN,  NO,  UN,  UH,  UN]),
    (Action::ManageGroups,       [GR,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  UN,  UN,  NO,  UN,  UH,  NO]),
    (Action::ManageRelations,    [NO,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  UN,  UN,  NO,  UN,  UH,  NO]),
    (Action::ManageInboxes,      [NO,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  UN,  UN,  NO,  UN,  UH,  NO]),
    (Action::BlockCommunication, [NO,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  UN,  NO,  NO,  UN,  UH,  UN]),
    (Action::SeeCustody,         [UN,  NO,  NO,  NO,  NO,  NO,  UN,  NO,  UH,  UN,  UN,  NO,  UN,  UH,  NO]),
    (Action::ReadAccessLog,      [NO,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  US,  NO,  NO,  US,  UX,  NO]),
];

/// Why somebody may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The table says no.
    #[error("the profile's kind has no such right")]
    NotAllowed,
    /// The table says yes, to a session that proved itself lately.
    #[error("the session needs a higher assurance level or a fresh authentication")]
    StepUpRequired,
    /// Somebody of another municipality without a grant.
    #[error("the profile comes from another municipality and has no grant here")]
    OutsideMunicipality,
    /// The unit, or one above it, has stopped this kind from writing.
    #[error("writing is blocked for the profile's kind")]
    CommunicationBlocked,
}

/// What the table says.
#[must_use]
pub fn right_of(role: Role, action: Action) -> Right {
    let column = COLUMNS.iter().position(|column| *column == role);
    let row = TABLE.iter().find(|(row, _)| *row == action);
    match (row, column) {
        (Some((_, rights)), Some(column)) => rights[column],
        _ => NO,
    }
}

/// Whether `profile` may do `action` in its unit now, and how far.
///
/// # Errors
/// The first reason against it, the table before the conditions.
pub fn permit(
    roster: &Roster,
    profile: &Profile,
    action: Action,
    assurance: Assurance,
    now_ms: u64,
) -> Result<Reach, Denied> {
    let right = right_of(profile.role(), action);
    if right.reach == Reach::No {
        return Err(Denied::NotAllowed);
    }
    if right.at_home && !is_at_home(roster, profile) {
        return Err(Denied::OutsideMunicipality);
    }
    if action.is_communication() && roster.is_blocked(profile.kind) {
        return Err(Denied::CommunicationBlocked);
    }
    if right.stepped_up && !assurance.is_fresh(now_ms) {
        return Err(Denied::StepUpRequired);
    }
    Ok(right.reach)
}

/// Whether the profile's home lies in this unit's municipality, or a grant makes up for it. Who comes from outside and
/// does not say from where is not at home.
fn is_at_home(roster: &Roster, profile: &Profile) -> bool {
    let Some(unit) = roster.unit() else {
        return profile.granted;
    };
    profile.granted
        || match profile.home {
            Some(_) => profile.home_municipality == unit.municipality,
            None => !comes_from_outside(unit, profile),
        }
}

/// Whether a profile is one of somebody who works elsewhere and visits: one whose rights reach no further than its own
/// municipality, in a unit that is not the municipality or the central body itself. Such a profile says where its home
/// is.
pub(crate) fn comes_from_outside(unit: &Unit, profile: &Profile) -> bool {
    let role = profile.role();
    let works_here = !unit.kind.is_institution() && role != Role::Kind(UserKind::ExternalActor);
    let visits = TABLE
        .iter()
        .any(|(action, _)| right_of(role, *action).at_home);
    visits && !works_here
}

/// Whether `sender`'s reach gets to the person `to` today: anybody of the unit, or only its staff and those they share a
/// group with.
#[must_use]
pub fn reaches(
    roster: &Roster,
    sender: &ProfileId,
    to: &ProfileId,
    reach: Reach,
    today: Date,
) -> bool {
    let found = roster.profile(to);
    let Some(to) = found.filter(|to| roster.takes_part(to, today)) else {
        return false;
    };
    match reach {
        Reach::Unit => true,
        Reach::Groups => {
            to.kind.portal() == PortalRole::Employee || near(roster, sender, to, today)
        }
        Reach::No => false,
    }
}

/// Whether `sender`'s reach gets to a child of the unit, as the one something is about: any, or one's own and those one
/// shares a group with. A child need not be a user for that.
#[must_use]
pub fn reaches_child(
    roster: &Roster,
    sender: &ProfileId,
    child: &ProfileId,
    reach: Reach,
    today: Date,
) -> bool {
    let found = roster.profile(child);
    let is_child = |it: &&Profile| it.holds(today) && it.kind.portal() == PortalRole::Child;
    let Some(child) = found.filter(is_child) else {
        return false;
    };
    let related = || {
        let relation = roster.relation(sender, &child.id);
        relation.is_some_and(|relation| relation.opens(today))
    };
    match reach {
        Reach::Unit => true,
        Reach::Groups | Reach::No if child.id == *sender || related() => true,
        Reach::Groups => near(roster, sender, child, today),
        Reach::No => false,
    }
}

/// Whether the two see a group in common.
fn near(roster: &Roster, sender: &ProfileId, other: &Profile, today: Date) -> bool {
    let own = roster.profile(sender);
    let own = own
        .map(|own| roster.groups_seen(own, today))
        .unwrap_or_default();
    let others = roster.groups_seen(other, today);
    others.iter().any(|group| own.contains(group))
}

impl Denied {
    /// What asking for `actions` can be refused with: what the table and its conditions make possible.
    #[must_use]
    pub fn possible(actions: &[Action]) -> Vec<Self> {
        let rights = || {
            let rows = TABLE.iter().filter(|(row, _)| actions.contains(row));
            rows.flat_map(|(_, rights)| rights)
        };
        let mut possible = Vec::new();
        if !actions.is_empty() {
            possible.push(Self::NotAllowed);
        }
        if actions.iter().any(|action| action.is_communication()) {
            possible.push(Self::CommunicationBlocked);
        }
        if rights().any(|right| right.at_home) {
            possible.push(Self::OutsideMunicipality);
        }
        if rights().any(|right| right.stepped_up) {
            possible.push(Self::StepUpRequired);
        }
        possible
    }
}

/// The table as text, for reviewers and its snapshot.
#[must_use]
pub fn table_text() -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for (action, rights) in &TABLE {
        let _ = writeln!(out, "{action:?}");
        for (role, right) in COLUMNS.iter().zip(rights) {
            if right.reach != Reach::No {
                let step = if right.stepped_up { ", stepped up" } else { "" };
                let home = if right.at_home {
                    ", own municipality or granted"
                } else {
                    ""
                };
                let _ = writeln!(out, "    {role:?}: {:?}{step}{home}", right.reach);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_as_reviewed() {
        insta::assert_snapshot!(table_text());
    }

    #[test]
    fn the_columns_are_the_thirteen_kinds_and_three_scopes() {
        for kind in UserKind::ALL
            .into_iter()
            .filter(|kind| *kind != UserKind::SystemAdministrator)
        {
            assert_eq!(
                COLUMNS
                    .iter()
                    .filter(|role| **role == Role::Kind(kind))
                    .count(),
                1,
                "{kind:?}"
            );
        }
        assert_eq!(
            COLUMNS
                .iter()
                .filter(|role| matches!(role, Role::Administrator(_)))
                .count(),
            3
        );
    }

    #[test]
    fn each_action_has_one_row() {
        for (action, _) in &TABLE {
            assert_eq!(
                TABLE.iter().filter(|(row, _)| row == action).count(),
                1,
                "{action:?}"
            );
        }
    }

    #[test]
    fn a_child_in_daycare_may_do_nothing() {
        for (action, _) in &TABLE {
            assert_eq!(
                right_of(Role::Kind(UserKind::DaycareChild), *action),
                NO,
                "{action:?}"
            );
        }
    }

    #[test]
    fn marking_sensitive_always_takes_a_stepped_up_session() {
        for role in COLUMNS {
            let right = right_of(role, Action::MarkSensitive);
            assert!(right.reach == Reach::No || right.stepped_up, "{role:?}");
        }
    }

    #[test]
    fn the_town_hall_writes_at_home_only() {
        let town_hall = Role::Kind(UserKind::MunicipalAdministration);
        for (action, _) in TABLE.iter().filter(|(action, _)| action.is_communication()) {
            assert!(right_of(town_hall, *action).at_home, "{action:?}");
        }
    }
}
