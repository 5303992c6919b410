//! Today in Copenhagen: rights have dates, and dates are Danish ones wherever the server stands.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The rule of Danish time since 1996: UTC+1, summer time from the last Sunday of March to the last of October. Written
/// out so that no time-zone database is needed on the machine.
const COPENHAGEN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

fn zone() -> TimeZone {
    TimeZone::posix(COPENHAGEN).expect("the rule is a constant and covered by a test")
}

fn timestamp(time_ms: u64) -> Timestamp {
    let ms = i64::try_from(time_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

/// The calendar day in Copenhagen at a moment, in milliseconds since 1970.
#[must_use]
pub fn day_at(time_ms: u64) -> Date {
    zone().to_datetime(timestamp(time_ms)).date()
}

/// The next moment, in milliseconds since 1970, at which the day turns in Copenhagen. Entitlements are to be computed anew then.
#[must_use]
pub fn next_midnight_ms(time_ms: u64) -> u64 {
    let tomorrow = day_at(time_ms).tomorrow().unwrap_or(Date::MAX);
    let midnight = tomorrow.to_zoned(zone()).map(|zoned| zoned.timestamp());
    let fallback = timestamp(time_ms)
        .saturating_add(SignedDuration::from_hours(24))
        .unwrap_or(Timestamp::MAX);
    u64::try_from(midnight.unwrap_or(fallback).as_millisecond()).unwrap_or(u64::MAX)
}

/// Whether `day` lies within inclusive bounds; an open end has no bound.
#[must_use]
pub fn within(day: Date, from: Option<Date>, until: Option<Date>) -> bool {
    from.is_none_or(|from| from <= day) && until.is_none_or(|until| day <= until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn ms(text: &str) -> u64 {
        let timestamp: Timestamp = text.parse().expect("a timestamp");
        u64::try_from(timestamp.as_millisecond()).expect("after 1970")
    }

    #[test]
    fn the_day_turns_at_danish_midnight_in_winter_and_summer() {
        assert_eq!(day_at(ms("2026-01-14T22:59:59Z")), date(2026, 1, 14));
        assert_eq!(day_at(ms("2026-01-14T23:00:00Z")), date(2026, 1, 15));
        assert_eq!(day_at(ms("2026-07-14T21:59:59Z")), date(2026, 7, 14));
        assert_eq!(day_at(ms("2026-07-14T22:00:00Z")), date(2026, 7, 15));
    }

    #[test]
    fn midnight_is_found_over_the_change_of_the_clock() {
        assert_eq!(
            next_midnight_ms(ms("2026-03-28T23:30:00Z")),
            ms("2026-03-29T22:00:00Z")
        );
        assert_eq!(
            next_midnight_ms(ms("2026-10-24T22:30:00Z")),
            ms("2026-10-25T23:00:00Z")
        );
    }

    #[test]
    fn bounds_are_inclusive() {
        let (a, b) = (date(2026, 8, 1), date(2026, 8, 3));
        for (day, inside) in [
            (date(2026, 7, 31), false),
            (a, true),
            (b, true),
            (date(2026, 8, 4), false),
        ] {
            assert_eq!(within(day, Some(a), Some(b)), inside, "{day}");
        }
        assert!(within(a, None, None));
    }
}
