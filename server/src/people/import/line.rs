//! The lines of an import file: one JSON object a line, told apart by `type`. What a line names must stand above it.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::people::{
    AdministratorScope, Duty, GroupId, GroupKind, InboxId, MembershipKind, PersonId, ProfileId,
    RelationKind, SubjectId, UnitCode, UnitKind, UserKind,
};

/// The words a line's `type` may be.
pub(super) const TYPES: &str =
    "unit, person, account, profile, relation, group, membership, grant, inbox";

/// One line. Written with its `type`; read by `parse`, which says what is wrong with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// A unit; its parent stands above it.
    Unit(UnitLine),
    /// A person.
    Person(PersonLine),
    /// A login of a person.
    Account(AccountLine),
    /// A person in a unit in a capacity.
    Profile(ProfileLine),
    /// What an adult is to a child in a unit.
    Relation(RelationLine),
    /// A group of a unit.
    Group(GroupLine),
    /// A profile in a group.
    Membership(MembershipLine),
    /// A profile given to somebody from another municipality.
    Grant(GrantLine),
    /// A shared inbox.
    Inbox(InboxLine),
}

/// A unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitLine {
    /// Its code.
    pub code: UnitCode,
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: UnitKind,
    /// The unit directly above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<UnitCode>,
}

/// A person.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonLine {
    /// Id of the source system.
    pub id: PersonId,
    /// Full name.
    pub name: String,
    /// What is shown in place of a protected name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Name and address protection.
    #[serde(default)]
    pub protected: bool,
}

impl std::fmt::Debug for PersonLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PersonLine")
            .field("protected", &self.protected)
            .finish_non_exhaustive()
    }
}

/// A login.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountLine {
    /// The token's `sub`.
    pub subject: SubjectId,
    /// The person.
    pub person: PersonId,
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileLine {
    /// Its id; its unit stands above.
    pub id: ProfileId,
    /// The person.
    pub person: PersonId,
    /// In what capacity.
    pub kind: UserKind,
    /// For administrators: how far it reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<AdministratorScope>,
    /// Title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Tasks beside the kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duties: Vec<Duty>,
    /// For somebody from outside: the unit they come from, which stands above. Town hall, external actors and administrators
    /// of a municipality have one in every institution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<UnitCode>,
    /// First day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

/// A relation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationLine {
    /// The adult's profile.
    pub adult: ProfileId,
    /// The child's profile, in the same unit.
    pub child: ProfileId,
    /// What kind of relation; the adult's profile is of the kind that goes with it.
    pub kind: RelationKind,
    /// Whether the adult has custody.
    #[serde(default)]
    pub custody: bool,
    /// Whether somebody without custody was given access.
    #[serde(default)]
    pub access: bool,
    /// First day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupLine {
    /// Its id; its unit stands above.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// What it gathers.
    pub kind: GroupKind,
    /// Whether it is the main group of its children.
    #[serde(default)]
    pub main: bool,
    /// First day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

/// A membership.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembershipLine {
    /// The group.
    pub group: GroupId,
    /// The profile, of the same unit.
    pub profile: ProfileId,
    /// How it stands to the group.
    pub kind: MembershipKind,
    /// First day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

/// A grant: a profile for somebody from a municipality that need not be in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantLine {
    /// The profile's id.
    pub id: ProfileId,
    /// The person.
    pub person: PersonId,
    /// In what capacity.
    pub kind: UserKind,
    /// The unit they come from.
    pub home: UnitCode,
    /// First day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

/// A shared inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboxLine {
    /// Its id.
    pub id: InboxId,
    /// Its name.
    pub name: String,
    /// The profiles that look after it, of the same unit.
    pub members: Vec<ProfileId>,
}
