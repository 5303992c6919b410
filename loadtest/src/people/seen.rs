//! What was seen of units and persons while lines are read back, until a municipality is over.

use std::collections::{HashMap, HashSet};

use super::line::UnitKind;
use super::table::{Area, Row};

/// Marks of a person, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks(u64);

impl Marks {
    /// Has a profile in the municipality's own unit as town hall staff.
    pub(super) const AT_HALL: Self = Self(1 << 32);
    pub(super) const TECHNICAL: Self = Self(1 << 33);
    pub(super) const RELATED: Self = Self(1 << 34);
    pub(super) const ATTACHED: Self = Self(1 << 35);
    pub(super) const CENTRAL: Self = Self(1 << 36);
    pub(super) const IN_DAYCARE: Self = Self(1 << 37);
    pub(super) const LOGIN: Self = Self(1 << 38);
    pub(super) const PROTECTED: Self = Self(1 << 39);
    pub(super) const ADVISER: Self = Self(1 << 40);
    /// Has a profile that is no grant.
    pub(super) const OWN: Self = Self(1 << 41);
    /// Counted with an earlier municipality.
    pub(super) const COUNTED: Self = Self(1 << 42);
    pub(super) const LEISURE: Self = Self(1 << 43);
    pub(super) const SEVERAL_PROFILES: Self = Self(1 << 44);

    /// Belongs to a row and column of the table.
    pub(super) const fn row(row: Row, area: Area) -> Self {
        Self(1 << (2 * row as u32 + area as u32))
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A person.
#[derive(Debug, Default)]
pub(super) struct PersonSeen {
    pub(super) marks: Marks,
}

/// A profile.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProfileSeen {
    /// The person, by place.
    pub(super) person: u32,
    pub(super) kind: super::line::UserKind,
}

/// A unit.
#[derive(Debug)]
pub(super) struct UnitSeen {
    pub(super) kind: UnitKind,
    pub(super) profiles: HashMap<u32, ProfileSeen>,
    /// Groups, and whether they are main ones.
    pub(super) groups: HashMap<u32, bool>,
    pub(super) memberships: HashSet<(u32, u32)>,
    pub(super) relations: HashSet<(u32, u32)>,
    /// Children among its profiles, and in main groups.
    pub(super) children: u64,
    pub(super) in_classes: u64,
}

impl UnitSeen {
    pub(super) fn new(kind: UnitKind) -> Self {
        Self {
            kind,
            profiles: HashMap::new(),
            groups: HashMap::new(),
            memberships: HashSet::new(),
            relations: HashSet::new(),
            children: 0,
            in_classes: 0,
        }
    }

    /// The column its people belong to.
    pub(super) const fn area(&self) -> Option<Area> {
        match self.kind {
            UnitKind::School
            | UnitKind::SpecialSchool
            | UnitKind::LeisureCentre
            | UnitKind::Club => Some(Area::School),
            UnitKind::Daycare | UnitKind::FamilyDayCare => Some(Area::Daycare),
            UnitKind::Central | UnitKind::Municipality => None,
        }
    }

    /// Whether it is one that row 1 counts: a leisure centre belongs to its school.
    pub(super) const fn counts(&self) -> bool {
        matches!(
            self.kind,
            UnitKind::School
                | UnitKind::SpecialSchool
                | UnitKind::Daycare
                | UnitKind::FamilyDayCare
        )
    }
}
