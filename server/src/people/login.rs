//! What a login is in all, by the profiles it holds: for figures and for who is let in first. Never for rights, which are each
//! profile's own.

use super::{PortalRole, Scope, Sight, UserKind};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoginRole {
    /// Has a profile of somebody employed, whatever else they are: a teacher is staff also where they are a parent.
    Staff,
    /// Has a profile of an adult around a child.
    Guardian,
    /// Has a pupil's profile.
    Pupil,
    /// Has another profile, or none.
    Other,
    /// Did not sign in.
    Anonymous,
}

impl LoginRole {
    /// Every role, in order of rank.
    pub const ALL: [Self; 5] = [
        Self::Staff,
        Self::Guardian,
        Self::Pupil,
        Self::Other,
        Self::Anonymous,
    ];

    /// The role of somebody who signed in with profiles of these kinds.
    pub fn of(kinds: impl IntoIterator<Item = UserKind>) -> Self {
        let roles = kinds.into_iter().map(|kind| match kind.portal() {
            PortalRole::Employee => Self::Staff,
            PortalRole::Guardian => Self::Guardian,
            PortalRole::Child => Self::Pupil,
            PortalRole::Other => Self::Other,
        });
        roles.min().unwrap_or(Self::Other)
    }

    /// The role of a session by the words of its units, as far as its token admits their profiles.
    pub fn of_session<'a>(sights: impl IntoIterator<Item = &'a Sight>, scope: &Scope) -> Self {
        let admitted = sights.into_iter().filter(|it| scope.admits(&it.profile));
        Self::of(admitted.map(|it| it.kind))
    }

    /// Its name in figures and settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Guardian => "guardian",
            Self::Pupil => "pupil",
            Self::Other => "other",
            Self::Anonymous => "anonymous",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_rank_counts() {
        use UserKind::*;
        let rows: [(&[UserKind], LoginRole); 6] = [
            (&[Guardian, PedagogicalStaff], LoginRole::Staff),
            (&[MunicipalAdministration], LoginRole::Staff),
            (&[ExternalActor, RelatedPerson], LoginRole::Guardian),
            (&[Pupil], LoginRole::Pupil),
            (&[ExternalActor], LoginRole::Other),
            (&[], LoginRole::Other),
        ];
        for (kinds, role) in rows {
            assert_eq!(LoginRole::of(kinds.iter().copied()), role, "{kinds:?}");
        }
    }

    #[test]
    fn names_are_those_of_the_catalogue() {
        let names = LoginRole::ALL.map(LoginRole::name);
        assert_eq!(names, crate::telemetry::catalogue::ROLES);
    }
}
