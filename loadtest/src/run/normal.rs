//! How long it took after a disturbance until everything was as before. Pure.

use std::collections::BTreeMap;

use super::gather::Second;

/// So many seconds before the disturbance say what is normal.
const BEFORE_S: u64 = 60;
/// A second is normal when its slowest hundredth is at most so many times as slow as before…
const TIMES: f64 = 3.0;
/// …or this fast, in milliseconds: below that nobody notices.
const FAST_MS: f64 = 250.0;
/// …and this part of those who should be online is.
const ONLINE: f64 = 0.99;

/// Seconds from the disturbance to the end of the last second that was not as before; `None` when the last one was not, or nothing
/// can be compared.
/// Gives the disturbance's second too.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a run"
)]
pub(super) fn normal_s(
    seconds: &BTreeMap<u64, Second>,
    disturbed_s: f64,
    until_s: u64,
) -> (u64, Option<f64>) {
    let at = disturbed_s.max(0.0) as u64;
    (at, after(seconds, at, until_s))
}

fn after(seconds: &BTreeMap<u64, Second>, disturbed_s: u64, until_s: u64) -> Option<f64> {
    let before = seconds.range(disturbed_s.saturating_sub(BEFORE_S)..disturbed_s);
    let mut slowest: Vec<f64> = before
        .map(|(at, second)| slowest_ms(*at, second))
        .filter(|ms| *ms > 0.0)
        .collect();
    slowest.sort_by(f64::total_cmp);
    let usual_ms = *slowest.get(slowest.len() / 2)?;
    let bound_ms = (usual_ms * TIMES).max(FAST_MS);
    let is_normal = |at: u64, second: &Second| {
        let point = second.point(at);
        slowest_ms(at, second) <= bound_ms
            && point.errors == 0
            && point.online as f64 >= point.planned as f64 * ONLINE
    };
    // A second of which no agent told was none like those before.
    let told = |at: u64| seconds.get(&at).filter(|second| second.told_by > 0);
    let was_normal = |at: &u64| told(*at).is_some_and(|second| is_normal(*at, second));
    let last = (disturbed_s..until_s)
        .rev()
        .find(|at| told(*at).is_some())?;
    if !was_normal(&last) {
        return None;
    }
    let abnormal = (disturbed_s..last).rev().find(|at| !was_normal(at));
    Some(abnormal.map_or(0.0, |at| (at + 1 - disturbed_s) as f64))
}

/// The slowest hundredth of what was delivered, acknowledged and connected in a second.
fn slowest_ms(at: u64, second: &Second) -> f64 {
    let point = second.point(at);
    let parts = [point.delivery, point.ack, point.connect];
    parts.iter().map(|it| it.p99_ms).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::gather::histogram;
    use super::*;

    fn second(online: u64, ms: u64, errors: u64) -> Second {
        let mut delivery = histogram();
        delivery.saturating_record(ms * 1_000);
        Second {
            planned: [100, 0, 0, 0],
            online: [online, 0, 0, 0],
            errors,
            told_by: 1,
            delivery: Some(delivery),
            ..Second::default()
        }
    }

    fn normal(after: &[(u64, u64, u64)]) -> Option<f64> {
        let mut seconds: BTreeMap<u64, Second> =
            (0..60).map(|at| (at, second(100, 20, 0))).collect();
        for (at, (online, ms, errors)) in (60..).zip(after) {
            seconds.insert(at, second(*online, *ms, *errors));
        }
        normal_s(&seconds, 60.4, 60 + after.len() as u64).1
    }

    #[test]
    fn the_last_second_that_is_not_as_before_counts() {
        let usual = (100, 20, 0);
        assert_eq!(normal(&[usual, usual]), Some(0.0), "nothing was noticed");
        assert_eq!(normal(&[(60, 20, 0), usual, usual]), Some(1.0), "gone");
        assert_eq!(normal(&[usual, (100, 900, 0), usual]), Some(2.0), "slow");
        assert_eq!(
            normal(&[usual, usual, (100, 20, 1), usual]),
            Some(3.0),
            "errors"
        );
        assert_eq!(normal(&[usual, (90, 20, 0)]), None, "not yet");
        assert_eq!(normal(&[(99, 249, 0), usual]), Some(0.0), "nobody notices");
    }

    #[test]
    fn a_second_that_nobody_told_of_was_not_as_before() {
        let mut seconds: BTreeMap<u64, Second> =
            (0..70).map(|at| (at, second(100, 20, 0))).collect();
        seconds.remove(&63);
        assert_eq!(normal_s(&seconds, 60.0, 70), (60, Some(4.0)));
    }

    #[test]
    fn without_a_before_nothing_can_be_said() {
        let seconds = BTreeMap::from([(5, second(100, 1, 0))]);
        assert_eq!(normal_s(&seconds, 5.0, 9), (5, None));
    }
}
