//! How many families of which kind, so that so many children have exactly so many guardians.
//!
//! The seed reckons half of the pupils with a sibling at school and half without, and two guardians each, which makes 1.5
//! guardians a pupil. Families with one guardian and families of half-siblings with three are added here so that they weigh
//! each other out.

/// Families by number of children and of guardians.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mix {
    /// Families with one child, two and three.
    pub(super) sizes: [u32; 3],
    /// Families with one guardian.
    pub(super) one: u32,
    /// Families with three, which have at least two children.
    pub(super) three: u32,
}

/// What a kind of families is like, in thousandths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    /// Children without a sibling among these.
    pub(super) alone: u32,
    /// Families of three children, by child.
    pub(super) triples: u32,
    /// Families with one guardian.
    pub(super) one: u32,
}

/// Families with pupils: "50 % of pupils have no sibling at school".
pub(super) const AT_SCHOOL: Habits = Habits {
    alone: 500,
    triples: 15,
    one: 25,
};
/// Families with children in daycare only: one third of all such children have no sibling, one third a sibling in daycare.
pub(super) const IN_DAYCARE: Habits = Habits {
    alone: 500,
    triples: 0,
    one: 30,
};

impl Mix {
    /// The families of `children` with `guardians` in all; `None` if no mix has them.
    pub(super) fn of(children: u32, guardians: u32, habits: Habits) -> Option<Self> {
        let per_mille = |whole: u32, n: u32| {
            u32::try_from(u64::from(whole) * u64::from(n) / 1000).unwrap_or(whole)
        };
        let triples = per_mille(children, habits.triples);
        let mut alone = per_mille(children, habits.alone);
        // The rest are pairs.
        alone += (children - alone - 3 * triples) % 2;
        // Where there are too few or too many guardians for them, children come together or apart, two at a time.
        loop {
            let pairs = (children - alone - 3 * triples) / 2;
            let families = alone + pairs + triples;
            let several = pairs + triples;
            let one = per_mille(families, habits.one);
            let (one, three) = match (guardians + one).checked_sub(2 * families) {
                Some(three) => (one, three),
                None => (2 * families - guardians, 0),
            };
            let over = three.saturating_sub(several);
            let (one, three) = (one - over.min(one), three - over.min(one));
            if three > several {
                alone = alone.checked_add(2).filter(|_| pairs > 0)?;
            } else if one > families {
                alone = alone.checked_sub(2)?;
            } else {
                return Some(Self {
                    sizes: [alone, pairs, triples],
                    one,
                    three,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adds_up(mix: Mix, children: u32, guardians: u32) -> bool {
        let [alone, pairs, triples] = mix.sizes;
        let families = alone + pairs + triples;
        alone + 2 * pairs + 3 * triples == children
            && 2 * families + mix.three - mix.one == guardians
            && mix.one + mix.three <= families
            && mix.three <= pairs + triples
    }

    #[test]
    fn every_number_of_children_has_its_guardians() {
        for children in 1..3_000_u32 {
            for guardians in [
                children * 3 / 2,
                (children * 3 / 2).saturating_sub(1).max(1),
                children * 3 / 2 + 1,
            ] {
                let mix = Mix::of(children, guardians, AT_SCHOOL);
                let mix =
                    mix.unwrap_or_else(|| panic!("{children} children, {guardians} guardians"));
                assert!(
                    adds_up(mix, children, guardians),
                    "{children} {guardians}: {mix:?}"
                );
            }
        }
    }

    #[test]
    fn the_country_is_as_the_seed_reckons() {
        let mix = Mix::of(555_455, 833_183, AT_SCHOOL).expect("a mix");
        assert!(adds_up(mix, 555_455, 833_183));
        let alone = f64::from(mix.sizes[0]) / 555_455.0;
        assert!((0.49..0.51).contains(&alone), "{alone}");
        let daycare = 217_186 - 72_396;
        let mix = Mix::of(daycare, 215_014, IN_DAYCARE).expect("a mix");
        assert!(adds_up(mix, daycare, 215_014));
    }

    #[test]
    fn what_cannot_be_is_none() {
        assert_eq!(Mix::of(1, 0, AT_SCHOOL).map(|mix| mix.one), None);
        assert_eq!(Mix::of(0, 5, AT_SCHOOL), None);
        assert_eq!(Mix::of(1, 4, AT_SCHOOL), None);
    }
}
