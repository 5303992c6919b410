//! The kinds of people, units, relations, groups and memberships: closed lists with their meaning.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The user kinds of the platform; with the three administrator scopes of [`Role`] they are the thirteen kinds of
/// the implementation plan's section 4.5.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// Teaching and pedagogical staff (pædagogisk personale).
    PedagogicalStaff,
    /// Pupil (elev).
    Pupil,
    /// Child in daycare; never signs in (barn i dagtilbud).
    DaycareChild,
    /// Parent or guardian (forælder, værge).
    Guardian,
    /// Person related to the child (relateret person).
    RelatedPerson,
    /// Officially attached person (officielt tilknyttet person).
    AttachedPerson,
    /// Adviser attached to the institution (vejleder).
    Adviser,
    /// External actor: clubs, music schools, local business (ekstern aktør).
    ExternalActor,
    /// Town hall: consultants and shared advisers (forvaltning).
    MunicipalAdministration,
    /// Leader of the institution (ledelse).
    Leader,
    /// Administrative employee (administrativ medarbejder).
    AdministrativeStaff,
    /// System administrator; the scope stands beside it (systemadministrator).
    SystemAdministrator,
    /// Technical and other staff (teknisk administrativt personale, TAP).
    TechnicalStaff,
}

impl UserKind {
    /// Every kind, in the order of the implementation plan. The position is the kind's audience bit.
    pub const ALL: [Self; 13] = [
        Self::PedagogicalStaff,
        Self::Pupil,
        Self::DaycareChild,
        Self::Guardian,
        Self::RelatedPerson,
        Self::AttachedPerson,
        Self::Adviser,
        Self::ExternalActor,
        Self::MunicipalAdministration,
        Self::Leader,
        Self::AdministrativeStaff,
        Self::SystemAdministrator,
        Self::TechnicalStaff,
    ];

    /// The portal the kind belongs to.
    #[must_use]
    pub const fn portal(self) -> PortalRole {
        match self {
            Self::Pupil | Self::DaycareChild => PortalRole::Child,
            Self::Guardian | Self::RelatedPerson | Self::AttachedPerson => PortalRole::Guardian,
            Self::ExternalActor => PortalRole::Other,
            _ => PortalRole::Employee,
        }
    }
}

/// The four portals; an audience is often given in these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PortalRole {
    /// Everyone employed, in an institution or the town hall.
    Employee,
    /// Pupils.
    Child,
    /// Guardians and the other adults around a child.
    Guardian,
    /// External actors.
    Other,
}

/// How far a system administrator's word reaches.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AdministratorScope {
    /// One institution.
    Institution,
    /// All institutions of one municipality.
    Municipality,
    /// All municipalities.
    Central,
}

/// A column of the rights table: a user kind, and for administrators their scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Any kind but the administrators.
    Kind(UserKind),
    /// An administrator with a scope.
    Administrator(AdministratorScope),
}

/// Tasks given to somebody who is already counted as staff; they carry no rights of their own here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Super user for pedagogical and other staff.
    SuperUser,
    /// Super user for administration and leadership.
    SuperUserAdministration,
    /// Supervisor of the super users of a municipality.
    SuperUserSupervisor,
}

/// The type of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    /// The body over all municipalities.
    Central,
    /// A municipality (kommune).
    Municipality,
    /// Public school (folkeskole).
    School,
    /// Special school or day treatment (specialskole, dagbehandling).
    SpecialSchool,
    /// Daycare: nursery, kindergarten or both (dagtilbud).
    Daycare,
    /// Family day care (dagpleje).
    FamilyDayCare,
    /// Leisure offer of a school (SFO, fritidshjem).
    LeisureCentre,
    /// Youth club (klub).
    Club,
}

impl UnitKind {
    /// Whether a unit of this kind must lie under a unit of kind `parent` (`None`: at the top).
    #[must_use]
    pub const fn fits_under(self, parent: Option<Self>) -> bool {
        match (self, parent) {
            (Self::Central, None) | (Self::Municipality, None | Some(Self::Central)) => true,
            (Self::Central | Self::Municipality, _) | (_, None) => false,
            (Self::LeisureCentre | Self::Club, Some(Self::School | Self::SpecialSchool)) => true,
            (_, Some(parent)) => matches!(parent, Self::Municipality),
        }
    }

    /// Whether the unit looks after people itself, unlike a municipality or the central body.
    #[must_use]
    pub const fn is_institution(self) -> bool {
        !matches!(self, Self::Central | Self::Municipality)
    }
}

/// What an adult is to a child.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// Parent or guardian.
    Guardian,
    /// Related person: grandparent, parent's partner.
    Related,
    /// Officially attached person.
    Attached,
}

impl RelationKind {
    /// The profile kind that the adult of such a relation has.
    #[must_use]
    pub const fn adult(self) -> UserKind {
        match self {
            Self::Guardian => UserKind::Guardian,
            Self::Related => UserKind::RelatedPerson,
            Self::Attached => UserKind::AttachedPerson,
        }
    }
}

/// What a group gathers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupKind {
    /// A class or a daycare room; the main group of its children when marked so.
    Class,
    /// A team, a subject, a year: institutional.
    Institutional,
    /// A group of the municipality.
    Municipal,
    /// A group over several institutions.
    CrossInstitutional,
    /// Anything else.
    Other,
}

/// How a profile stands to a group. Only [`MembershipKind::Member`] and [`MembershipKind::Indirect`] let it see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MembershipKind {
    /// A member.
    Member,
    /// A member through something else, such as a team.
    Indirect,
    /// Has asked to join.
    Applied,
    /// Was removed.
    Removed,
    /// Asked and was refused.
    Rejected,
    /// Set to rest.
    Inactive,
}

impl MembershipKind {
    /// Whether the membership lets its profile see the group.
    #[must_use]
    pub const fn sees(self) -> bool {
        matches!(self, Self::Member | Self::Indirect)
    }
}
