//! How long to wait before the next try: exponential, and drawn anew below its bound each time (full jitter).

use std::time::Duration;

/// Doublings after which the bound no longer grows; keeps the shift in range.
const DOUBLINGS_MAX: u32 = 16;

/// Counts tries and says how long to wait.
#[derive(Debug)]
pub(crate) struct Backoff {
    shortest: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new((shortest, longest): (Duration, Duration)) -> Self {
        Self {
            shortest,
            longest,
            tries: 0,
        }
    }

    /// The wait before the next try. `chance` is drawn from 0 to 1.
    pub(crate) fn next(&mut self, chance: f64) -> Duration {
        let bound = self
            .shortest
            .saturating_mul(1 << self.tries.min(DOUBLINGS_MAX))
            .min(self.longest);
        self.tries += 1;
        self.shortest
            .mul_f64(0.5)
            .max(bound.mul_f64(chance.clamp(0.0, 1.0)))
    }

    /// A try succeeded.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_again_after_success() {
        let mut backoff = Backoff::new((Duration::from_millis(500), Duration::from_secs(20)));
        let waits: Vec<u128> = (0..8).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
        assert_eq!(
            backoff.next(0.0),
            Duration::from_millis(250),
            "never at once"
        );
        backoff.reset();
        assert_eq!(backoff.next(1.0), Duration::from_millis(500));
    }
}
