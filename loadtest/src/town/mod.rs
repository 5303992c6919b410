//! The population as the tester knows it: read from import files, with an own account of who may see what.
//!
//! The rules here are written from docs/import.md, not taken from the server's code: a checker that shared the server's idea of rights
//! would share its mistakes.

mod read;
mod rights;

use std::collections::{HashMap, HashSet};

pub use read::{ReadError, files, read};

/// Place of a login in [`Town::logins`].
pub type LoginIx = u32;
/// Place of a profile in [`Town::profiles`].
pub type ProfileIx = u32;
/// Place of a group in [`Town::groups`].
pub type GroupIx = u32;

/// Whom a login stands for in counts and shares: the first that fits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Anybody employed, in an institution or a town hall.
    Staff,
    /// Guardians and other adults around a child.
    Guardian,
    /// Pupils.
    Pupil,
    /// External actors, and logins whose profiles are over.
    Other,
}

impl Role {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Staff, Self::Guardian, Self::Pupil, Self::Other];

    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Guardian => "guardian",
            Self::Pupil => "pupil",
            Self::Other => "other",
        }
    }
}

/// A login and what it must be subscribed to.
#[derive(Debug)]
pub struct Login {
    /// The token's `sub`.
    pub subject: Box<str>,
    /// Its role.
    pub role: Role,
    /// Its profiles that hold today.
    pub profiles: Box<[ProfileIx]>,
    /// The channels that the server must put it on, sorted.
    pub channels: Box<[Box<str>]>,
}

/// A profile that holds today.
#[derive(Debug)]
pub struct Profile {
    /// Its id, `G10001.p17`.
    pub id: Box<str>,
    /// Kind, as the file says it.
    pub kind: Box<str>,
    /// Its unit's code.
    pub unit: Box<str>,
    /// Whose it is; children in daycare have no login.
    pub login: Option<LoginIx>,
    /// Whether it takes part in the unit's life today.
    pub takes_part: bool,
    /// For children: the adults to whom a relation opens what is theirs.
    pub adults: Vec<ProfileIx>,
    /// For adults: the children of those relations.
    pub children: Vec<ProfileIx>,
    /// Groups it is itself a member of.
    pub member_of: Vec<GroupIx>,
}

/// A group that holds today.
#[derive(Debug)]
pub struct Group {
    /// Its id, `G10001.g3`.
    pub id: Box<str>,
    /// Its unit's code.
    pub unit: Box<str>,
    /// Whether it is a class.
    pub is_class: bool,
    /// Members themselves.
    pub members: Vec<ProfileIx>,
    /// Everybody who sees it, members and adults of members, sorted.
    pub seen_by: Vec<ProfileIx>,
}

/// Everybody, and who may see what.
#[derive(Debug, Default)]
pub struct Town {
    /// Logins, in order of subject: the same for the same files.
    pub logins: Vec<Login>,
    /// Profiles that hold today.
    pub profiles: Vec<Profile>,
    /// Groups that hold today.
    pub groups: Vec<Group>,
    /// Profiles that take part, by unit.
    pub units: HashMap<Box<str>, Vec<ProfileIx>>,
    /// Codes of the municipalities.
    pub municipalities: HashSet<Box<str>>,
    /// Fingerprint of the files: agents must have read the same.
    pub digest: String,
}

impl Town {
    /// Logins of each role.
    #[must_use]
    pub fn count(&self, role: Role) -> u64 {
        self.logins
            .iter()
            .filter(|login| login.role == role)
            .count() as u64
    }

    /// The personal channel of a profile.
    #[must_use]
    pub fn personal(&self, profile: ProfileIx) -> String {
        channel_of("person", &self.profiles[profile as usize].id)
    }

    /// The channel of a group.
    #[must_use]
    pub fn wall(&self, group: GroupIx) -> String {
        channel_of("group", &self.groups[group as usize].id)
    }
}

/// `person:G10001/p17` from `G10001.p17`.
pub(crate) fn channel_of(namespace: &str, id: &str) -> String {
    let (unit, local) = id.split_once('.').unwrap_or((id, ""));
    format!("{namespace}:{unit}/{local}")
}
