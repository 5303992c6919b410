//! Numbers as Danes write them (1.234,5), with the unit they are in.

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Microseconds.
    Micros,
    /// Cores of a machine.
    Cores,
    /// A part of a whole, 0 to 1.
    Part,
    /// Per cent.
    Percent,
    /// So many a second.
    PerSecond,
    /// A number of things.
    Count,
}

impl Unit {
    /// The value with its unit, short enough for a large figure.
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Self::Millis if value.abs() >= 10_000.0 => format!("{} s", measured(value / 1e3)),
            Self::Millis => format!("{} ms", measured(value)),
            Self::Micros => format!("{} µs", measured(value)),
            Self::Seconds => format!("{} s", measured(value)),
            Self::Bytes => bytes(value),
            Self::Cores => measured(value),
            Self::Part => format!("{} %", measured(value * 100.0)),
            Self::Percent => format!("{} %", measured(value)),
            Self::PerSecond => format!("{}/s", measured(value)),
            Self::Count => measured(value),
        }
    }
}

/// Numbers from here on are not written out.
const EXACT_MAX: f64 = 1e15;

/// With so many decimals, thousands parted by points.
pub(super) fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value.abs() >= EXACT_MAX {
        // No such number is measured; it must not push what stands beside it off the page.
        return format!("{value:.1e}").replace('.', ",");
    }
    let text = format!("{:.*}", decimals, value.abs());
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let mut shown = String::new();
    if value < 0.0 && !zero {
        shown.push('−');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            shown.push('.');
        }
        shown.push(digit);
    }
    if !part.is_empty() {
        shown.push(',');
        shown.push_str(part);
    }
    shown
}

/// A number of things.
pub(super) fn whole(value: u64) -> String {
    number(value as f64, 0)
}

/// As precise as three figures allow: 1.234, 56,7, 8,90; whole numbers stay whole.
pub(super) fn measured(value: f64) -> String {
    let size = value.abs();
    if size.fract() == 0.0 || size >= 99.95 {
        number(value, 0)
    } else if size >= 9.995 {
        number(value, 1)
    } else if size >= 0.01 {
        number(value, 2)
    } else {
        number(value, 4)
    }
}

/// Without zeros that say nothing: for the ticks of an axis.
pub(super) fn tick(value: f64) -> String {
    if value.abs() >= 1e6 {
        return format!("{} mio.", tick(value / 1e6));
    }
    let text = number(value, 3);
    match text.split_once(',') {
        Some((whole, part)) if part.trim_end_matches('0').is_empty() => whole.to_owned(),
        Some((whole, part)) => format!("{whole},{}", part.trim_end_matches('0')),
        None => text,
    }
}

/// A tick of an axis of milliseconds, in what people say: 10 ms, 10 s.
pub(super) fn time_tick(millis: f64) -> String {
    if millis >= 1000.0 {
        format!("{} s", tick(millis / 1000.0))
    } else {
        format!("{} ms", tick(millis))
    }
}

/// Names and sizes of what bytes are counted in.
const BYTE_UNITS: [(&str, f64); 4] = [
    ("GiB", 1_073_741_824.0),
    ("MiB", 1_048_576.0),
    ("KiB", 1_024.0),
    ("B", 1.0),
];

/// What bytes of this size are best counted in: its name and its size.
pub(super) fn byte_unit(value: f64) -> (&'static str, f64) {
    BYTE_UNITS
        .into_iter()
        .find(|(_, size)| value.abs() >= *size)
        .unwrap_or(("B", 1.0))
}

/// Bytes, in the unit that suits.
pub(super) fn bytes(value: f64) -> String {
    let (name, size) = byte_unit(value);
    format!("{} {name}", measured(value / size))
}

/// A length of time: 35 min 12 s.
pub(super) fn lasted(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    if seconds < 60.0 {
        return format!("{} s", measured(seconds));
    }
    let all = seconds.round();
    let (hours, minutes, rest) = (
        (all / 3600.0).floor(),
        (all % 3600.0 / 60.0).floor(),
        all % 60.0,
    );
    let parts = [(hours, "t"), (minutes, "min"), (rest, "s")];
    let shown: Vec<String> = parts
        .into_iter()
        .filter(|(value, _)| *value > 0.0)
        .map(|(value, unit)| format!("{} {unit}", number(value, 0)))
        .collect();
    shown.join(" ")
}

/// A moment of the run: 17:32, or 1:17:32 past the first hour.
pub(super) fn moment(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "–".to_owned();
    }
    let sign = if seconds < -0.5 { "−" } else { "" };
    let all = seconds.abs().round();
    let (hours, minutes, rest) = (
        (all / 3600.0).floor(),
        (all % 3600.0 / 60.0).floor(),
        all % 60.0,
    );
    if hours > 0.0 {
        format!("{sign}{hours:.0}:{minutes:02.0}:{rest:02.0}")
    } else {
        format!("{sign}{minutes:.0}:{rest:02.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_danes_write_them() {
        for (value, decimals, shown) in [
            (0.0, 0, "0"),
            (1234.5, 1, "1.234,5"),
            (999.0, 0, "999"),
            (1_508_290.0, 0, "1.508.290"),
            (-1234.56, 1, "−1.234,6"),
            (-0.01, 1, "0,0"),
            (1.84e19, 0, "1,8e19"),
            (f64::NAN, 0, "–"),
            (f64::INFINITY, 2, "–"),
        ] {
            assert_eq!(number(value, decimals), shown);
        }
        assert_eq!(whole(217_186), "217.186");
    }

    #[test]
    fn measured_keeps_what_was_measured_and_no_more() {
        for (value, shown) in [
            (1234.4, "1.234"),
            (123.456, "123"),
            (99.96, "100"),
            (12.345, "12,3"),
            (9.996, "10,0"),
            (1.5, "1,50"),
            (4.0, "4"),
            (0.0004, "0,0004"),
        ] {
            assert_eq!(measured(value), shown);
        }
        for (value, shown) in [
            (0.5, "0,5"),
            (1000.0, "1.000"),
            (0.01, "0,01"),
            (2.0, "2"),
            (2.5e6, "2,5 mio."),
        ] {
            assert_eq!(tick(value), shown);
        }
    }

    #[test]
    fn ticks_of_time_are_said_in_what_people_say() {
        for (millis, shown) in [
            (0.1, "0,1 ms"),
            (10.0, "10 ms"),
            (1000.0, "1 s"),
            (1e6, "1.000 s"),
        ] {
            assert_eq!(time_tick(millis), shown);
        }
    }

    #[test]
    fn units_are_said() {
        for (unit, value, shown) in [
            (Unit::Millis, 812.4, "812 ms"),
            (Unit::Millis, 12_500.0, "12,5 s"),
            (Unit::Seconds, 1.25, "1,25 s"),
            (Unit::Bytes, 2970.0, "2,90 KiB"),
            (Unit::Bytes, 300.0, "300 B"),
            (Unit::Part, 0.016_667, "1,67 %"),
            (Unit::PerSecond, 7650.0, "7.650/s"),
            (Unit::Cores, 1.25, "1,25"),
        ] {
            assert_eq!(unit.show(value), shown);
        }
    }

    #[test]
    fn times_are_said() {
        for (seconds, long, short) in [
            (9.5, "9,50 s", "0:10"),
            (2112.0, "35 min 12 s", "35:12"),
            (7200.0, "2 t", "2:00:00"),
            (3661.0, "1 t 1 min 1 s", "1:01:01"),
            (59.6, "59,6 s", "1:00"),
        ] {
            assert_eq!(lasted(seconds), long);
            assert_eq!(moment(seconds), short);
        }
        assert_eq!(moment(-3.0), "−0:03");
        assert_eq!(lasted(f64::NAN), "–");
    }
}
