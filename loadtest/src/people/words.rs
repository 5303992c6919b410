//! The closed lists of words that an import file has, as `docs/import.md` spells them.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub(super) enum $name { $(#[serde(rename = $word)] $variant),* }
    };
}

words!(
    /// Types of units.
    UnitKind {
        Central = "central",
        Municipality = "municipality",
        School = "school",
        SpecialSchool = "special_school",
        Daycare = "daycare",
        FamilyDayCare = "family_day_care",
        LeisureCentre = "leisure_centre",
        Club = "club",
    }
);
words!(
    /// In what capacity somebody is in a unit.
    UserKind {
        PedagogicalStaff = "pedagogical_staff",
        Pupil = "pupil",
        DaycareChild = "daycare_child",
        Guardian = "guardian",
        RelatedPerson = "related_person",
        AttachedPerson = "attached_person",
        Adviser = "adviser",
        ExternalActor = "external_actor",
        MunicipalAdministration = "municipal_administration",
        Leader = "leader",
        AdministrativeStaff = "administrative_staff",
        SystemAdministrator = "system_administrator",
        TechnicalStaff = "technical_staff",
    }
);
words!(
    /// How far an administrator reaches.
    Scope {
        Institution = "institution",
        Municipality = "municipality",
        Central = "central",
    }
);
words!(
    /// Tasks beside the kind: super user for teaching staff, for administration, and who looks after both.
    Duty {
        Teaching = "super_user",
        Administration = "super_user_administration",
        Supervision = "super_user_supervisor",
    }
);
words!(
    /// What a group gathers.
    GroupKind {
        Class = "class",
        Institutional = "institutional",
        Municipal = "municipal",
        CrossInstitutional = "cross_institutional",
        Other = "other",
    }
);
words!(
    /// How a profile stands to a group. The others of the format come about in Klokke.
    MembershipKind {
        Member = "member",
    }
);
words!(
    /// What an adult is to a child.
    RelationKind {
        Guardian = "guardian",
        Related = "related",
        Attached = "attached",
    }
);

impl RelationKind {
    /// The kind of profile that goes with it.
    pub(super) const fn adult(self) -> UserKind {
        match self {
            Self::Guardian => UserKind::Guardian,
            Self::Related => UserKind::RelatedPerson,
            Self::Attached => UserKind::AttachedPerson,
        }
    }
}
