//! How much of a publication a subscriber sees: the rule of the live path, applied at each delivery.

/// A set of roles a publication is meant for, one bit each. Which bit is which role is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Audience(pub u16);

impl Audience {
    /// Everybody subscribed.
    pub const ALL: Self = Self(u16::MAX);
    /// Nobody: the publication takes up its offset and is shown to no one.
    pub const NONE: Self = Self(0);

    /// Whether the two sets have a role in common.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Default for Audience {
    fn default() -> Self {
        Self::ALL
    }
}

/// How one subscriber looks at one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lens {
    /// The roles the subscriber looks as.
    pub audience: Audience,
    /// Sensitive content is shown in full before this moment (Unix milliseconds); 0 means never.
    pub full_until_ms: u64,
}

impl Lens {
    /// Sees everything; the lens of channels whose content is not classified.
    pub const OPEN: Self = Self {
        audience: Audience::ALL,
        full_until_ms: u64::MAX,
    };

    /// What this lens lets through of a publication for `audience`, at `now_ms`.
    #[must_use]
    pub const fn measure(self, audience: Audience, sensitive: bool, now_ms: u64) -> Measure {
        if !audience.meets(self.audience) {
            Measure::Hidden
        } else if sensitive && now_ms >= self.full_until_ms {
            Measure::Bare
        } else {
            Measure::Full
        }
    }
}

impl Default for Lens {
    fn default() -> Self {
        Self::OPEN
    }
}

/// How much of a publication is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// All of it.
    Full,
    /// The bare signal that something is there, and that a step-up shows it.
    Bare,
    /// Nothing, not even that it exists.
    Hidden,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audience_comes_first_then_the_level_then_the_clock() {
        let lens = Lens {
            audience: Audience(0b10),
            full_until_ms: 1_000,
        };
        let rows = [
            (Audience(0b01), false, 0, Measure::Hidden),
            (Audience(0b01), true, 0, Measure::Hidden),
            (Audience(0b11), false, 5_000, Measure::Full),
            (Audience(0b10), true, 999, Measure::Full),
            (Audience(0b10), true, 1_000, Measure::Bare),
            (Audience::NONE, false, 0, Measure::Hidden),
            (Audience::ALL, true, 0, Measure::Full),
        ];
        for (audience, sensitive, now, expected) in rows {
            let got = lens.measure(audience, sensitive, now);
            assert_eq!(got, expected, "{audience:?} {sensitive} {now}");
        }
    }

    #[test]
    fn a_lens_without_step_up_never_shows_sensitive_content() {
        let never = Lens {
            audience: Audience::ALL,
            full_until_ms: 0,
        };
        assert_eq!(never.measure(Audience::ALL, true, 0), Measure::Bare);
    }
}
