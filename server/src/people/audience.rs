//! Who a piece of content is meant for, and how much of it a session sees.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PortalRole, UserKind};
pub use crate::hub::{Lens, Measure};
pub use crate::ledger::Audience;

/// How long a fresh authentication opens sensitive content, in milliseconds. Twenty minutes: long enough to read and
/// answer a thread, short enough that a phone left on a table is closed again; it lapses before the login does.
pub const STEP_UP_MS: u64 = 20 * 60 * 1000;

/// The audience bit of a user kind is its place in [`UserKind::ALL`]; stored masks rest on that order.
#[must_use]
pub const fn audience_of(kinds: &[UserKind]) -> Audience {
    let mut bits = 0;
    let mut i = 0;
    while i < kinds.len() {
        bits |= 1 << kinds[i] as u16;
        i += 1;
    }
    Audience(bits)
}

/// The audience of some portals: every kind that belongs to one of them. No portal means everybody.
#[must_use]
pub fn audience_of_portals(portals: &[PortalRole]) -> Audience {
    if portals.is_empty() {
        return Audience::ALL;
    }
    let kinds = UserKind::ALL
        .iter()
        .filter(|kind| portals.contains(&kind.portal()));
    Audience(kinds.fold(0, |bits, kind| bits | audience_of(&[*kind]).0))
}

/// Assurance of a login after the Danish standard NSIS.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AssuranceLevel {
    /// One factor; enough for a pupil's everyday content (Lav).
    #[default]
    Low,
    /// Two factors (Betydelig).
    Substantial,
    /// Two factors with the strictest proof of identity (Høj).
    High,
}

impl AssuranceLevel {
    /// The level of a token's `loa` claim: 2, 3 and 4 are NSIS Low, Substantial and High; everything else is the lowest.
    #[must_use]
    pub const fn from_claim(loa: u8) -> Self {
        match loa {
            3 => Self::Substantial,
            4 => Self::High,
            _ => Self::Low,
        }
    }

    /// The level as a token's `loa` claim says it.
    #[must_use]
    pub const fn to_claim(self) -> u8 {
        match self {
            Self::Low => 2,
            Self::Substantial => 3,
            Self::High => 4,
        }
    }
}

/// How sure we are of who sits at the other end, and since when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Assurance {
    /// The level that the token claims.
    pub level: AssuranceLevel,
    /// When the person last proved who they are, in milliseconds since 1970.
    pub authenticated_ms: u64,
}

impl Assurance {
    /// Until when this session sees sensitive content in full, in milliseconds since 1970; 0 means never.
    #[must_use]
    pub const fn full_until_ms(self) -> u64 {
        match self.level {
            AssuranceLevel::Low => 0,
            AssuranceLevel::Substantial | AssuranceLevel::High => {
                self.authenticated_ms.saturating_add(STEP_UP_MS)
            }
        }
    }

    /// Whether a newer login raises the session: it is stepped up, and later than the present one. One that is as old
    /// counts when it is stronger: it was the same sign-in.
    #[must_use]
    pub fn is_raised_by(self, newer: Self, now_ms: u64) -> bool {
        let is_newer = (newer.authenticated_ms, newer.level) > (self.authenticated_ms, self.level);
        is_newer && newer.is_fresh(now_ms)
    }

    /// Whether the session is stepped up now.
    #[must_use]
    pub const fn is_fresh(self, now_ms: u64) -> bool {
        now_ms < self.full_until_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_stable_bit() {
        for (place, kind) in UserKind::ALL.into_iter().enumerate() {
            assert_eq!(audience_of(&[kind]), Audience(1 << place), "{kind:?}");
        }
    }

    #[test]
    fn portals_part_the_kinds() {
        use PortalRole::{Child, Employee, Guardian, Other};
        assert_eq!(audience_of_portals(&[]), Audience::ALL);
        let all = audience_of_portals(&[Employee, Child, Guardian, Other]);
        assert_eq!(all, audience_of(&UserKind::ALL));
        assert!(
            !audience_of_portals(&[Employee]).meets(audience_of_portals(&[Child, Guardian, Other]))
        );
    }

    #[test]
    fn sensitive_content_needs_two_factors_and_lapses() {
        let at = 1_000_000;
        let low = Assurance {
            level: AssuranceLevel::Low,
            authenticated_ms: at,
        };
        let substantial = Assurance {
            level: AssuranceLevel::Substantial,
            authenticated_ms: at,
        };
        assert!(!low.is_fresh(at));
        assert!(substantial.is_fresh(at + STEP_UP_MS - 1));
        assert!(!substantial.is_fresh(at + STEP_UP_MS));
        assert!(!Assurance::default().is_fresh(0));
    }
}
