//! How many schools a municipality has and how large they are: sections 4.3 and 4.4 of the implementation plan.

use super::table::{FOLKESKOLER, MUNICIPALITIES};
use crate::chance::Chance;

/// Municipalities with one folkeskole.
pub(super) const SMALLEST: usize = 4;
/// The six largest: "between 33 and 63".
pub(super) const LARGEST: [u32; 6] = [63, 50, 44, 39, 36, 33];
/// The others: "between 3 and 27".
pub(super) const MIDDLE: (u32, u32) = (3, 27);

/// Folkeskoler of each municipality, in chance order.
pub(super) fn folkeskoler(chance: &mut Chance) -> Vec<u32> {
    let middle = MUNICIPALITIES - SMALLEST - LARGEST.len();
    let total = u32::try_from(FOLKESKOLER).unwrap_or(u32::MAX);
    let sum = total - u32::try_from(SMALLEST).unwrap_or(0) - LARGEST.iter().sum::<u32>();
    // Many small ones, few large ones: a curve from 3 to 27 with the wanted mean, in whole numbers.
    let last = u32::try_from(middle - 1).unwrap_or(1);
    let spread = MIDDLE.1 - MIDDLE.0;
    let curve = |t: u32| MIDDLE.0 + spread * (184 * t * last + 816 * t * t) / (1000 * last * last);
    let mut counts: Vec<u32> = (0..=last).map(curve).collect();
    let (lowest, highest) = MIDDLE;
    fit(&mut counts, u64::from(sum), |place, _| {
        // The ends stay: somebody has 3, and somebody 27.
        match place {
            0 => (lowest, lowest),
            place if place == middle - 1 => (highest, highest),
            _ => MIDDLE,
        }
    });
    counts.extend(LARGEST);
    counts.extend([1; SMALLEST]);
    chance.shuffle(&mut counts);
    counts
}

/// A step of school sizes, and how many folkeskoler are in it.
pub(super) struct Step {
    pub(super) low: u32,
    pub(super) high: u32,
    pub(super) schools: u32,
}

const fn step(low: u32, high: u32, schools: u32) -> Step {
    Step { low, high, schools }
}

/// Steps of sizes. From the plan (4.4): "almost 100" with up to 100 pupils (7 %), 184 with more than 700 (14 %), commonest
/// 401–500 (16 %). The plan does not distribute the rest; here it is spread so that the mean comes near its 425.
pub(super) const STEPS: [Step; 8] = [
    step(30, 100, 97),
    step(101, 200, 188),
    step(201, 300, 174),
    step(301, 400, 185),
    step(401, 500, 208),
    step(501, 600, 154),
    step(601, 700, 112),
    step(701, 1_100, 184),
];

/// The step a size is in.
pub(super) fn step_of(pupils: u32) -> usize {
    STEPS
        .iter()
        .position(|step| pupils <= step.high)
        .unwrap_or(STEPS.len() - 1)
}

/// Pupils of every special school: 12 to 92, most of them small. The plan has no sizes for them.
pub(super) fn special_schools(chance: &mut Chance, count: u64) -> Vec<u32> {
    let one = |chance: &mut Chance| 12 + chance.below(81).min(chance.below(81));
    (0..count).map(|_| one(chance)).collect()
}

/// Pupils of every folkeskole, `total` in all, in chance order with the smallest first.
pub(super) fn schools(chance: &mut Chance, total: u64) -> Vec<u32> {
    let mut sizes = Vec::new();
    for step in &STEPS {
        for _ in 0..step.schools {
            let width = step.high - step.low + 1;
            let draw = if step.high > 1_000 {
                // Schools beyond a thousand are rare: the least of three.
                let (a, b, c) = (
                    chance.below(width),
                    chance.below(width),
                    chance.below(width),
                );
                a.min(b).min(c)
            } else {
                chance.below(width)
            };
            sizes.push(step.low + draw);
        }
    }
    fit(&mut sizes, total, |_, size| {
        let step = &STEPS[step_of(size)];
        (step.low, step.high)
    });
    sizes.sort_unstable();
    let small = sizes.partition_point(|size| *size <= 100);
    chance.shuffle(&mut sizes[small..]);
    chance.shuffle(&mut sizes[..small]);
    sizes
}

/// Moves numbers by one, place after place, until they add up to `total`, none beyond its bounds.
fn fit(numbers: &mut [u32], total: u64, bounds: impl Fn(usize, u32) -> (u32, u32)) {
    let mut sum: u64 = numbers.iter().copied().map(u64::from).sum();
    loop {
        let before = sum;
        for (place, number) in numbers.iter_mut().enumerate() {
            let (low, high) = bounds(place, *number);
            if sum < total && *number < high {
                *number += 1;
                sum += 1;
            } else if sum > total && *number > low {
                *number -= 1;
                sum -= 1;
            }
        }
        assert!(
            sum == total || sum != before,
            "the bounds leave room for the total"
        );
        if sum == total {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_have_one_school_eighty_eight_3_to_27_and_six_33_to_63() {
        for seed in 0..20 {
            let counts = folkeskoler(&mut Chance::stream(seed, 0));
            assert_eq!(counts.iter().sum::<u32>(), 1_302);
            let within = |low, high| counts.iter().filter(|n| (low..=high).contains(*n)).count();
            assert_eq!((within(1, 1), within(3, 27), within(33, 63)), (4, 88, 6));
            assert_eq!((counts.iter().max(), within(27, 27)), (Some(&63), 1));
        }
    }

    #[test]
    fn school_sizes_are_the_plans() {
        for seed in 0..20 {
            let sizes = schools(&mut Chance::stream(seed, 0), 540_000);
            assert_eq!(sizes.iter().copied().map(u64::from).sum::<u64>(), 540_000);
            for (place, step) in STEPS.iter().enumerate() {
                let inside = sizes.iter().filter(|size| step_of(**size) == place).count();
                assert_eq!(inside, step.schools as usize, "{}-{}", step.low, step.high);
            }
        }
        let percent = |schools: u32| (f64::from(schools) * 100.0 / 1_302.0).round();
        assert_eq!(STEPS.iter().map(|step| step.schools).sum::<u32>(), 1_302);
        assert_eq!((percent(97), percent(184), percent(208)), (7.0, 14.0, 16.0));
        assert!(
            STEPS.iter().all(|step| step.schools <= 208),
            "401-500 is the commonest"
        );
    }
}
