//! Where a value stands on an axis, and the round numbers beside it.

/// Most values an axis of time is labelled with.
const TIME_TICKS_MAX: f64 = 8.0;

/// An axis upwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// From zero to `top`, labelled every `step`.
    Linear {
        /// Its end, a round number.
        top: f64,
        /// Between labels.
        step: f64,
    },
    /// From ten to the power of `low` to ten to the power of `high`.
    Log {
        /// Exponent of its beginning.
        low: i32,
        /// Exponent of its end.
        high: i32,
    },
}

/// Least and most exponents a logarithmic axis goes to: 10 µs to 28 hours in milliseconds.
const EXPONENTS: (i32, i32) = (-2, 8);

impl Scale {
    /// From zero to a round number that is not below `most`.
    pub(super) fn linear(most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 {
            most
        } else {
            1.0
        };
        let step = round_step(most / 4.0);
        Self::Linear {
            top: (most / step - 1e-9).ceil() * step,
            step,
        }
    }

    /// Whole decades around what there is; values of zero and below have no place and do not widen it.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            least = least.min(value);
            most = most.max(value);
        }
        if most == 0.0 {
            return Self::Log { low: 0, high: 3 };
        }
        let low = exponent(least.log10().floor()).min(EXPONENTS.1 - 1);
        let high = exponent((most.log10() - 1e-9).ceil()).max(low + 1);
        Self::Log { low, high }
    }

    /// Its place from the foot (0) to the top (1). What lies under a logarithmic axis stands at its foot.
    pub(super) fn place(self, value: f64) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let place = match self {
            Self::Linear { top, .. } => value / top,
            Self::Log { .. } if value <= 0.0 => 0.0,
            Self::Log { low, high } => (value.log10() - f64::from(low)) / f64::from(high - low),
        };
        Some(place.clamp(0.0, 1.0))
    }

    /// The values to label, from the foot up.
    pub(super) fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear { top, step } => {
                let mut ticks = Vec::new();
                let mut index = 0.0;
                // At most ten: the step is never below a tenth of the top.
                while index * step <= top * (1.0 + 1e-9) && ticks.len() <= 10 {
                    ticks.push(index * step);
                    index += 1.0;
                }
                ticks
            }
            Self::Log { low, high } => {
                let between: &[f64] = if high - low <= 1 { &[2.0, 5.0] } else { &[] };
                let every = if high - low > 5 { 2 } else { 1 };
                let mut ticks = Vec::new();
                for exponent in (low..=high).filter(|exponent| (exponent - low) % every == 0) {
                    ticks.push(10_f64.powi(exponent));
                    if exponent < high {
                        ticks.extend(between.iter().map(|part| part * 10_f64.powi(exponent)));
                    }
                }
                ticks
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to small whole numbers"
)]
fn exponent(value: f64) -> i32 {
    value.clamp(f64::from(EXPONENTS.0), f64::from(EXPONENTS.1)) as i32
}

/// The next of 1, 2, 5, 10, 20, 50 … that is not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|part| part * power >= least * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

/// Steps of time that people count in, in seconds.
const TIME_STEPS: [f64; 20] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
    10_800.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0, 604_800.0,
];

/// The labels of an axis of time over so many seconds: where, and what stands there.
pub(super) fn time_ticks(span: f64) -> Vec<(f64, String)> {
    let fits = |step: &f64| span / step <= TIME_TICKS_MAX;
    let step = TIME_STEPS
        .into_iter()
        .find(fits)
        .unwrap_or_else(|| round_step(span / TIME_TICKS_MAX));
    let mut ticks = Vec::new();
    let mut index = 0.0;
    while index * step <= span * (1.0 + 1e-9) && ticks.len() <= 8 {
        let at = index * step;
        ticks.push((at, time_label(at, step, span)));
        index += 1.0;
    }
    ticks
}

fn time_label(at: f64, step: f64, span: f64) -> String {
    if at == 0.0 {
        "0".to_owned()
    } else if span <= 120.0 {
        format!("{at:.0} s")
    } else if step >= 3600.0 {
        format!("{:.0} t", at / 3600.0)
    } else if step >= 60.0 && span < 10_800.0 {
        format!("{:.0} min", at / 60.0)
    } else {
        super::number::moment(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_starts_at_zero_and_ends_at_a_round_number() {
        for (most, top, ticks) in [
            (
                17_950.0,
                20_000.0,
                vec![0.0, 5000.0, 10_000.0, 15_000.0, 20_000.0],
            ),
            (2.0, 2.0, vec![0.0, 0.5, 1.0, 1.5, 2.0]),
            (0.0, 1.0, vec![0.0, 0.5, 1.0]),
            (7.0, 8.0, vec![0.0, 2.0, 4.0, 6.0, 8.0]),
            (1.0, 1.0, vec![0.0, 0.5, 1.0]),
            (f64::NAN, 1.0, vec![0.0, 0.5, 1.0]),
        ] {
            let scale = Scale::linear(most);
            assert!(
                matches!(scale, Scale::Linear { top: found, .. } if (found - top).abs() < 1e-9),
                "{most}: {scale:?}"
            );
            assert_eq!(scale.ticks(), ticks, "{most}");
            assert_eq!(scale.place(0.0), Some(0.0));
            assert_eq!(scale.place(top), Some(1.0));
            assert_eq!(scale.place(top / 4.0), Some(0.25));
        }
    }

    #[test]
    fn every_size_gets_few_round_labels_that_cover_it() {
        let mut most = 0.000_03;
        while most < 3e12 {
            let scale = Scale::linear(most);
            let ticks = scale.ticks();
            assert!((3..=6).contains(&ticks.len()), "{most}: {ticks:?}");
            assert!(
                ticks.last().is_some_and(|last| *last >= most * 0.999_999),
                "{most}: {ticks:?}"
            );
            most *= 1.37;
        }
    }

    #[test]
    fn a_logarithmic_axis_is_whole_decades() {
        let scale = Scale::log([3.0, 0.0, 250.0].into_iter());
        assert_eq!(scale, Scale::Log { low: 0, high: 3 });
        assert_eq!(scale.ticks(), vec![1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(scale.place(1.0), Some(0.0));
        assert_eq!(scale.place(1000.0), Some(1.0));
        assert!(
            scale
                .place(10.0)
                .is_some_and(|place| (place - 1.0 / 3.0).abs() < 1e-9)
        );
        assert_eq!(
            scale.place(0.0),
            Some(0.0),
            "what is under the axis stands at its foot"
        );
        assert_eq!(scale.place(f64::NAN), None);
        assert_eq!(
            Scale::log([100.0].into_iter()),
            Scale::Log { low: 2, high: 3 }
        );
        assert_eq!(
            Scale::log(std::iter::empty()),
            Scale::Log { low: 0, high: 3 }
        );
        assert_eq!(
            Scale::log([1e300, 1e-300].into_iter()),
            Scale::Log { low: -2, high: 8 }
        );
        assert_eq!(
            Scale::log([20.0, 40.0].into_iter()).ticks(),
            vec![10.0, 20.0, 50.0, 100.0]
        );
    }

    #[test]
    fn time_is_labelled_as_people_count_it() {
        let labels = |span| -> Vec<String> {
            time_ticks(span)
                .into_iter()
                .map(|(_, label)| label)
                .collect()
        };
        assert_eq!(
            labels(2100.0),
            [
                "0", "5 min", "10 min", "15 min", "20 min", "25 min", "30 min", "35 min"
            ]
        );
        assert_eq!(
            labels(60.0),
            ["0", "10 s", "20 s", "30 s", "40 s", "50 s", "60 s"]
        );
        assert_eq!(
            labels(200.0),
            ["0", "0:30", "1:00", "1:30", "2:00", "2:30", "3:00"]
        );
        assert_eq!(labels(86_400.0)[1], "3 t");
        for span in [0.5, 1.0, 7.3, 119.0, 121.0, 3599.0, 10_801.0, 90_000.0, 1e9] {
            assert!((1..=9).contains(&time_ticks(span).len()), "{span}");
        }
    }
}
