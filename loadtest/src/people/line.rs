//! The lines of an import file (`docs/import.md`): types to write them with, and one flat type to read any of them back.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize, Serializer};

pub(super) use super::words::{
    Duty, GroupKind, MembershipKind, RelationKind, Scope, UnitKind, UserKind,
};

/// Code of a unit: a letter and a number (`M901`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Code {
    pub(super) letter: char,
    pub(super) number: u32,
}

impl Code {
    pub(super) const fn new(letter: char, number: u32) -> Self {
        Self { letter, number }
    }

    /// What lies in the unit: profiles (`p`), groups (`g`), shared inboxes (`i`), by number from 1.
    pub(super) const fn object(self, kind: char, number: u32) -> ObjectId {
        ObjectId {
            unit: self,
            kind,
            number,
        }
    }
}

impl Display for Code {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.letter, self.number)
    }
}

/// Id of something in a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ObjectId {
    unit: Code,
    kind: char,
    number: u32,
}

impl Display for ObjectId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}{}", self.unit, self.kind, self.number)
    }
}

/// A person: the number of their municipality and one within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PersonId(pub(super) u32);

impl Display for PersonId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "P{}", self.0)
    }
}

/// The login of a person.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login(pub(super) PersonId);

impl Display for Login {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "u{}", self.0.0)
    }
}

macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
as_text!(Code, ObjectId, PersonId, Login);

/// A profile, as it is written.
#[derive(Debug, Serialize)]
pub(super) struct Profile<'a> {
    pub(super) id: ObjectId,
    pub(super) person: PersonId,
    pub(super) kind: UserKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Duty]>::is_empty")]
    pub(super) duties: &'a [Duty],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) home: Option<Code>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_false(it: &bool) -> bool {
    !*it
}

/// One line, as it is written.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Unit {
        code: Code,
        name: &'a str,
        kind: UnitKind,
        #[serde(skip_serializing_if = "Option::is_none")]
        parent: Option<Code>,
    },
    Person {
        id: PersonId,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        alias: Option<&'a str>,
        #[serde(skip_serializing_if = "is_false")]
        protected: bool,
    },
    Account {
        subject: Login,
        person: PersonId,
    },
    Profile(Profile<'a>),
    Group {
        id: ObjectId,
        name: &'a str,
        kind: GroupKind,
        #[serde(skip_serializing_if = "is_false")]
        main: bool,
    },
    Membership {
        group: ObjectId,
        profile: ObjectId,
        kind: MembershipKind,
    },
    Relation {
        adult: ObjectId,
        child: ObjectId,
        kind: RelationKind,
        #[serde(skip_serializing_if = "is_false")]
        custody: bool,
        #[serde(skip_serializing_if = "is_false")]
        access: bool,
    },
    Inbox {
        id: ObjectId,
        name: &'a str,
        members: &'a [ObjectId],
    },
    Grant {
        id: ObjectId,
        person: PersonId,
        kind: UserKind,
        home: Code,
    },
}

/// Any line, read back: what its type does not have is absent. Borrows from the line.
#[derive(Debug, Deserialize)]
pub(super) struct AnyLine<'a> {
    #[serde(rename = "type")]
    pub(super) of: LineType,
    #[serde(default)]
    pub(super) code: &'a str,
    #[serde(default)]
    pub(super) parent: &'a str,
    #[serde(default)]
    pub(super) id: &'a str,
    #[serde(default)]
    pub(super) person: &'a str,
    #[serde(default)]
    pub(super) kind: &'a str,
    #[serde(default)]
    pub(super) scope: Option<Scope>,
    #[serde(default)]
    pub(super) duties: Vec<Duty>,
    #[serde(default)]
    pub(super) home: &'a str,
    #[serde(default)]
    pub(super) protected: bool,
    #[serde(default)]
    pub(super) main: bool,
    #[serde(default)]
    pub(super) custody: bool,
    #[serde(default)]
    pub(super) access: bool,
    #[serde(default)]
    pub(super) group: &'a str,
    #[serde(default)]
    pub(super) profile: &'a str,
    #[serde(default)]
    pub(super) adult: &'a str,
    #[serde(default)]
    pub(super) child: &'a str,
    #[serde(default)]
    pub(super) subject: &'a str,
    #[serde(default, borrow)]
    pub(super) members: Vec<&'a str>,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LineType {
    Unit,
    Person,
    Account,
    Profile,
    Group,
    Membership,
    Relation,
    Inbox,
    Grant,
}
