//! Chance from one number, and names put together from syllables.

/// Numbers that look random and are the same everywhere for the same seed (splitmix64).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is small, so that the bias does not matter.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn percent(&mut self, p: usize) -> bool {
        self.below(100) < p
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const STARTS: [&str; 16] = [
    "Al", "Be", "Da", "El", "Fi", "Gro", "Ha", "Is", "Jo", "Ka", "Li", "Mo", "Nu", "Sø", "Tå", "Vi",
];
const ENDS: [&str; 14] = [
    "da", "ne", "rik", "sa", "mar", "vin", "le", "gil", "na", "ro", "bert", "mia", "tor", "fe",
];
const PLACES: [&str; 16] = [
    "Bak", "Dal", "Egel", "Fjord", "Gran", "Hav", "Kilde", "Lynge", "Mose", "Nør", "Rug", "Sten",
    "Torn", "Vester", "Æble", "Ø",
];
const LAST: [&str; 8] = ["sted", "lund", "gård", "holm", "toft", "bæk", "mark", "by"];

/// A name that is nobody's, or is by accident.
pub(super) fn person_name(chance: &mut Chance) -> String {
    let first = format!("{}{}", chance.pick(&STARTS), chance.pick(&ENDS));
    format!("{first} {}{}", chance.pick(&PLACES), chance.pick(&LAST))
}
