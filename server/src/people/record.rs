//! The records of people in a unit's ledger, as stored: JSON values under resident keys.
//!
//! Stored forms change by adding optional fields only; a field is never given another meaning. The same
//! person has a record in each unit where they have a profile, so that a unit can decide alone.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::day::within;
use super::{
    AdministratorScope, Duty, GroupId, GroupKind, InboxId, MembershipKind, ObjectId, PersonId,
    ProfileId, RelationKind, Role, SubjectId, UnitCode, UnitKind, UserKind,
};
use crate::ledger::RecordKey;

/// Key prefixes of everything in this file; the whole of it is resident.
pub const RESIDENT: &[&str] = &[
    "unit",
    "person/",
    "account/",
    "profile/",
    "relation/",
    "group/",
    "member/",
    "block/",
    "inbox/",
];

/// The unit itself: one record a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Its code, the same as the ledger's name.
    pub code: UnitCode,
    /// Its name as people know it.
    pub name: String,
    /// Its type.
    pub kind: UnitKind,
    /// The unit directly above: a leisure centre's school, an institution's municipality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<UnitCode>,
    /// All units above, nearest first. Their unit channels are seen from here.
    #[serde(default)]
    pub ancestors: Vec<UnitCode>,
    /// The municipality it belongs to: the controller of its data. A municipality names itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub municipality: Option<UnitCode>,
    /// The units directly below; rules that are inherited go to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<UnitCode>,
}

/// A person, as this unit knows them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Id of the source system.
    pub id: PersonId,
    /// Full name. Leaves `people` only through [`Person::shown_name`].
    pub name: String,
    /// What is shown in place of a protected name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Name and address protection: one flag, always both.
    #[serde(default)]
    pub protected: bool,
    /// When the shown name last changed, in milliseconds since 1970. Content older than this has its names renewed on the way out.
    #[serde(default)]
    pub shown_since_ms: u64,
}

impl Person {
    /// The name that anybody gets to see: the alias when the name is protected, for administrators too.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        if self.protected {
            self.alias.as_deref().unwrap_or("Navnebeskyttet")
        } else {
            &self.name
        }
    }
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A name must not reach a log through a panic or a trace.
        f.debug_struct("Person")
            .field("id", &self.id)
            .field("protected", &self.protected)
            .finish_non_exhaustive()
    }
}

/// A login: which person a token's subject is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The token's `sub`.
    pub subject: SubjectId,
    /// The person who signs in with it.
    pub person: PersonId,
}

/// An institution profile: person × unit × kind × dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Its id.
    pub id: ProfileId,
    /// Whose it is.
    pub person: PersonId,
    /// In what capacity.
    pub kind: UserKind,
    /// For administrators: how far it reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<AdministratorScope>,
    /// Title as the institution says it (`lærer`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Tasks beside the kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duties: Vec<Duty>,
    /// For somebody from outside: the unit they come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<UnitCode>,
    /// The municipality of `home`; who comes from another one needs a grant to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_municipality: Option<UnitCode>,
    /// Whether this unit has granted the outsider to take part although they come from another municipality.
    #[serde(default)]
    pub granted: bool,
    /// First day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

impl Profile {
    /// The column of the rights table this profile acts in. An administrator without a scope has the narrowest.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.kind {
            UserKind::SystemAdministrator => {
                Role::Administrator(self.scope.unwrap_or(AdministratorScope::Institution))
            }
            kind => Role::Kind(kind),
        }
    }

    /// Whether it holds on `day`.
    #[must_use]
    pub fn holds(&self, day: Date) -> bool {
        within(day, self.from, self.until)
    }
}

/// That a record was set by somebody of the unit, not by the source of the master data. An import keeps such a record as it
/// is until it is told to go over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// The profile that set it.
    pub by: ProfileId,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What an adult is to a child in this unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// The adult's profile.
    pub adult: ProfileId,
    /// The child's profile.
    pub child: ProfileId,
    /// What kind of relation.
    pub kind: RelationKind,
    /// Whether the adult has custody. Shown to staff only.
    #[serde(default)]
    pub custody: bool,
    /// Whether somebody without custody was given access in so many words.
    #[serde(default)]
    pub access: bool,
    /// The day on which it was ended by hand: it opens nothing from that day on, whatever its last day was to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Date>,
    /// First day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
    /// Set when somebody of the unit changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Local>,
}

impl Relation {
    /// Whether on `day` the adult sees, through this relation, what the child's groups see. Being a parent is not
    /// enough: it takes custody, or access given in so many words.
    #[must_use]
    pub fn opens(&self, day: Date) -> bool {
        within(day, self.from, self.until)
            && self.ended.is_none_or(|ended| day < ended)
            && (self.access || (self.custody && self.kind == RelationKind::Guardian))
    }
}

/// A group of the unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
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

/// A profile in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The group.
    pub group: GroupId,
    /// The profile.
    pub profile: ProfileId,
    /// How it stands to the group.
    pub kind: MembershipKind,
    /// First day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
    /// Set when somebody of the unit changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Local>,
}

impl Membership {
    /// Whether on `day` it lets its profile see the group.
    #[must_use]
    pub fn sees(&self, day: Date) -> bool {
        self.kind.sees() && within(day, self.from, self.until)
    }
}

/// A stop on writing for one user kind, set by this unit or by one above it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Who may not write.
    pub kind: UserKind,
    /// The unit that set it; only that unit lifts it.
    pub set_by: UnitCode,
}

/// A shared inbox: messages to it reach whoever looks after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbox {
    /// Its id.
    pub id: InboxId,
    /// Its name.
    pub name: String,
    /// The profiles that look after it.
    pub members: Vec<ProfileId>,
    /// Set when somebody of the unit changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Local>,
}

/// The index key under which a login's records are found in every unit: which units a login belongs to.
#[must_use]
pub fn account_index(subject: &SubjectId) -> String {
    format!("account/{subject}")
}

/// A record of people with its place: the one list of which type lies under which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeopleRecord {
    /// The unit.
    Unit(Unit),
    /// A person.
    Person(Person),
    /// A login.
    Account(Account),
    /// A profile, from the roster or granted.
    Profile(Profile),
    /// A relation.
    Relation(Relation),
    /// A group.
    Group(Group),
    /// A membership.
    Membership(Membership),
    /// A stop on writing.
    Block(Block),
    /// A shared inbox.
    Inbox(Inbox),
}

impl PeopleRecord {
    /// The key under which the record lies in its unit's ledger.
    #[must_use]
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Unit(_) => "unit".into(),
            Self::Person(person) => format!("person/{}", person.id).into(),
            Self::Account(account) => format!("account/{}", account.subject).into(),
            Self::Profile(profile) => format!("profile/{}", profile.id.number()).into(),
            Self::Relation(r) => {
                format!("relation/{}/{}", r.adult.number(), r.child.number()).into()
            }
            Self::Group(group) => format!("group/{}", group.id.number()).into(),
            Self::Membership(m) => {
                format!("member/{}/{}", m.group.number(), m.profile.number()).into()
            }
            Self::Block(block) => format!("block/{}/{}", block.set_by, block.kind as u16).into(),
            Self::Inbox(inbox) => format!("inbox/{}", inbox.id.number()).into(),
        }
    }

    /// The record as stored.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let json = match self {
            Self::Unit(record) => serde_json::to_vec(record),
            Self::Person(record) => serde_json::to_vec(record),
            Self::Account(record) => serde_json::to_vec(record),
            Self::Profile(record) => serde_json::to_vec(record),
            Self::Relation(record) => serde_json::to_vec(record),
            Self::Group(record) => serde_json::to_vec(record),
            Self::Membership(record) => serde_json::to_vec(record),
            Self::Block(record) => serde_json::to_vec(record),
            Self::Inbox(record) => serde_json::to_vec(record),
        };
        json.expect("these types have text keys and no maps, so they always encode")
    }

    /// Reads a stored record; `None` when the key is not one of people.
    ///
    /// # Errors
    /// When the value is not what lies under that key.
    pub fn from_json(key: &RecordKey, value: &[u8]) -> Option<Result<Self, serde_json::Error>> {
        let prefix = key
            .as_str()
            .split_once('/')
            .map_or(key.as_str(), |(prefix, _)| prefix);
        let read = match prefix {
            "unit" => serde_json::from_slice(value).map(Self::Unit),
            "person" => serde_json::from_slice(value).map(Self::Person),
            "account" => serde_json::from_slice(value).map(Self::Account),
            "profile" => serde_json::from_slice(value).map(Self::Profile),
            "relation" => serde_json::from_slice(value).map(Self::Relation),
            "group" => serde_json::from_slice(value).map(Self::Group),
            "member" => serde_json::from_slice(value).map(Self::Membership),
            "block" => serde_json::from_slice(value).map(Self::Block),
            "inbox" => serde_json::from_slice(value).map(Self::Inbox),
            _ => return None,
        };
        Some(read)
    }
}
