//! Chance from one number: the same everywhere for the same seed, and a stream of its own for whoever asks for one.

/// Numbers that look random and are the same on every machine (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Chance {
    /// The stream of a seed for one purpose: a municipality, a plan. Streams of different purposes have nothing to do with
    /// each other, so that a change in one municipality leaves the next as it was.
    pub(crate) const fn stream(seed: u64, purpose: u64) -> Self {
        Self(mix(mix(seed) ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// The stream of a seed for a purpose with a name.
    pub(crate) fn named(seed: u64, purpose: &str) -> Self {
        let digest = blake3::hash(purpose.as_bytes());
        let first = digest.as_bytes().first_chunk();
        Self::stream(seed, first.map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }

    /// Between 0 (included) and 1.
    pub(crate) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A place in a list of `length`, which is not 0.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.next() % length.max(1) as u64).unwrap_or(0)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`; the bias of a multiplication this wide is below one in four thousand million.
    pub(crate) const fn below(&mut self, end: u32) -> u32 {
        let wide = (self.next() >> 32) * end as u64;
        (wide >> 32) as u32
    }

    /// A number from `low` to `high`, both included.
    pub(crate) const fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True `n` times in a thousand.
    pub(crate) const fn per_mille(&mut self, n: u32) -> bool {
        self.below(1000) < n
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let end = u32::try_from(i + 1).unwrap_or(u32::MAX);
            items.swap(i, self.below(end) as usize);
        }
    }

    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let end = u32::try_from(from.len()).unwrap_or(u32::MAX);
        from[self.below(end) as usize]
    }
}
