//! Sharing a whole number out by weights so that nothing is lost to rounding.

/// Shares `total` out in proportion to `weights`, nobody below their minimum, and the shares add up to `total` exactly
/// (largest remainders first, earlier places first among equals). Where the minimums alone are more than the total, the
/// minimums are what is given.
pub(super) fn apportion(total: u64, weights: &[u64], minimums: &[u64]) -> Vec<u64> {
    debug_assert_eq!(weights.len(), minimums.len());
    let mut shares = minimums.to_vec();
    let left = total.saturating_sub(minimums.iter().sum());
    if left == 0 || weights.is_empty() {
        return shares;
    }
    // What one would have by weight alone, less what one has already; in 1/1024, so that small shares are not all nought.
    let sum: u128 = weights.iter().copied().map(u128::from).sum();
    let due = |weight: u64, minimum: u64| {
        let ideal = (u128::from(total) * u128::from(weight) * 1024).checked_div(sum);
        ideal
            .unwrap_or(0)
            .saturating_sub(u128::from(minimum) * 1024)
    };
    let mut due: Vec<u128> = weights
        .iter()
        .zip(minimums)
        .map(|(weight, minimum)| due(*weight, *minimum))
        .collect();
    if due.iter().all(|due| *due == 0) {
        due.fill(1);
    }
    let all: u128 = due.iter().sum();
    let mut remainders = Vec::with_capacity(due.len());
    let mut given = 0;
    for (place, due) in due.iter().enumerate() {
        let share = u128::from(left) * due;
        // At most `left`, which is a u64.
        let whole = u64::try_from(share / all).unwrap_or(left);
        shares[place] += whole;
        given += whole;
        remainders.push((std::cmp::Reverse(share % all), place));
    }
    remainders.sort_unstable();
    for (_, place) in remainders.iter().cycle() {
        if given == left {
            break;
        }
        shares[*place] += 1;
        given += 1;
    }
    shares
}

/// A count of one institution; they are thousands at most.
pub(super) fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::apportion;
    use crate::chance::Chance;

    #[test]
    fn shares_add_up_and_keep_their_minimum() {
        let mut chance = Chance::stream(7, 7);
        for _ in 0..2_000 {
            let places = chance.between(1, 40) as usize;
            let weights: Vec<u64> = (0..places).map(|_| chance.below(1_000).into()).collect();
            let minimums: Vec<u64> = (0..places).map(|_| chance.below(3).into()).collect();
            let least: u64 = minimums.iter().sum();
            let total = least + u64::from(chance.below(5_000));
            let shares = apportion(total, &weights, &minimums);
            assert_eq!(
                shares.iter().sum::<u64>(),
                total,
                "{weights:?} {minimums:?}"
            );
            assert!(
                shares
                    .iter()
                    .zip(&minimums)
                    .all(|(share, least)| share >= least)
            );
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        assert_eq!(apportion(10, &[1, 1, 2], &[0, 0, 0]), [3, 2, 5]);
        assert_eq!(apportion(12, &[1, 1, 10], &[3, 3, 0]), [3, 3, 6]);
        assert_eq!(apportion(5, &[0, 0], &[1, 1]), [3, 2]);
        assert_eq!(apportion(1, &[5, 5], &[1, 1]), [1, 1]);
    }
}
