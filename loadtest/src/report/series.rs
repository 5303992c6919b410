//! From points a second to what can be drawn: joined where there are too many, broken where nothing was measured.

use crate::outcome::Point;

/// Most columns a curve has; more than that cannot be told apart on a page.
pub(super) const COLUMNS_MAX: f64 = 600.0;

/// Seconds that one column may stand for.
const WIDTHS: [f64; 12] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
];

/// The columns of a curve: the same for every chart, so that they stand over each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    /// Seconds from the first to the last.
    pub(super) span: f64,
    /// Seconds a column.
    pub(super) width: f64,
    /// How many columns.
    pub(super) columns: usize,
}

/// How the seconds of one column become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// Rates: their mean, which keeps the sum. A second that is missing breaks the line.
    Mean,
    /// What happens rarely and of which not one may be lost from sight: how many there were.
    Sum,
    /// What must not look better than its worst second. A second that is missing breaks the line.
    Worst,
    /// The worst of the seconds in which there was something to measure.
    WorstOfMeasured,
}

impl Grid {
    /// Columns over so many seconds.
    pub(super) fn over(span: f64) -> Self {
        let span = if span.is_finite() && span > 1.0 {
            span
        } else {
            1.0
        };
        let width = WIDTHS
            .into_iter()
            .find(|width| span / width <= COLUMNS_MAX)
            .unwrap_or((span / COLUMNS_MAX).ceil());
        Self {
            span,
            width,
            columns: to_index((span / width).ceil()).max(1),
        }
    }

    /// Where a column's middle stands, from 0 to 1.
    pub(super) fn place(&self, column: usize) -> f64 {
        (((column as f64) + 0.5) * self.width / self.span).min(1.0)
    }

    /// One value a column; nothing where nothing was measured.
    pub(super) fn fold(
        &self,
        points: &[Point],
        fold: Fold,
        value: impl Fn(&Point) -> Option<f64>,
    ) -> Vec<Option<f64>> {
        struct Column {
            sum: f64,
            worst: f64,
            known: usize,
            unknown: usize,
        }
        let mut columns: Vec<Column> = (0..self.columns)
            .map(|_| Column {
                sum: 0.0,
                worst: f64::NEG_INFINITY,
                known: 0,
                unknown: 0,
            })
            .collect();
        for point in points {
            // A point is named by its second's end: that of 1.0 is the first second.
            let index = to_index((point.at_s / self.width).ceil() - 1.0).min(self.columns - 1);
            let column = &mut columns[index];
            match value(point).filter(|value| value.is_finite()) {
                Some(value) => {
                    column.sum += value;
                    column.worst = column.worst.max(value);
                    column.known += 1;
                }
                None => column.unknown += 1,
            }
        }
        columns
            .into_iter()
            .map(|column| match fold {
                _ if column.known == 0 => None,
                Fold::Mean if column.unknown == 0 => Some(column.sum / column.known as f64),
                Fold::Worst if column.unknown == 0 => Some(column.worst),
                Fold::Sum => Some(column.sum),
                Fold::WorstOfMeasured => Some(column.worst),
                Fold::Mean | Fold::Worst => None,
            })
            .collect()
    }
}

/// A whole number that is not below zero; what is no number is zero.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float becomes the nearest index"
)]
fn to_index(value: f64) -> usize {
    value.max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{ServerPoint, Spread};

    fn points(seconds: u32) -> Vec<Point> {
        (1..=seconds)
            .map(|second| Point {
                at_s: f64::from(second),
                deliveries: u64::from(second),
                delivery: Spread {
                    count: 1,
                    p99_ms: f64::from(second),
                    ..Spread::default()
                },
                server: Some(ServerPoint {
                    cores: 1.0,
                    ..ServerPoint::default()
                }),
                ..Point::default()
            })
            .collect()
    }

    fn p99(point: &Point) -> Option<f64> {
        (point.delivery.count > 0).then_some(point.delivery.p99_ms)
    }

    fn cores(point: &Point) -> Option<f64> {
        point.server.map(|server| server.cores)
    }

    #[test]
    fn rates_are_joined_to_their_mean_and_latencies_to_their_worst() {
        let grid = Grid::over(2100.0);
        assert_eq!((grid.width, grid.columns), (5.0, 420));
        let points = points(2100);
        let rates = grid.fold(&points, Fold::Mean, |point| Some(point.deliveries as f64));
        assert_eq!(rates[0], Some(3.0), "seconds 1 to 5");
        assert_eq!(rates[419], Some(2098.0));
        let sums = grid.fold(&points, Fold::Sum, |point| Some(point.deliveries as f64));
        assert_eq!(sums[0], Some(15.0));
        let worst = grid.fold(&points, Fold::WorstOfMeasured, p99);
        assert_eq!((worst[0], worst[419]), (Some(5.0), Some(2100.0)));
    }

    #[test]
    fn short_runs_are_not_joined() {
        let grid = Grid::over(60.0);
        assert_eq!((grid.width, grid.columns), (1.0, 60));
        let drawn = grid.fold(&points(60), Fold::WorstOfMeasured, p99);
        assert!(
            drawn
                .iter()
                .zip(1..)
                .all(|(value, second)| *value == Some(f64::from(second)))
        );
    }

    #[test]
    fn a_second_in_which_the_server_could_not_be_asked_is_a_gap_also_among_joined_ones() {
        let grid = Grid::over(2100.0);
        let mut points = points(2100);
        points[7].server = None;
        let drawn = grid.fold(&points, Fold::Mean, cores);
        assert_eq!((drawn[0], drawn[1], drawn[2]), (Some(1.0), None, Some(1.0)));
        assert_eq!(grid.fold(&points, Fold::Worst, cores)[1], None);
    }

    #[test]
    fn seconds_without_a_delivery_have_no_latency_and_do_not_count_as_quick() {
        let grid = Grid::over(60.0);
        let mut points = points(60);
        points[9].delivery = Spread::default();
        let drawn = grid.fold(&points, Fold::WorstOfMeasured, p99);
        assert_eq!(
            (drawn[8], drawn[9], drawn[10]),
            (Some(9.0), None, Some(11.0))
        );
    }

    #[test]
    fn seconds_that_are_missing_altogether_are_a_gap() {
        let grid = Grid::over(60.0);
        let mut points = points(60);
        points.drain(20..30);
        let drawn = grid.fold(&points, Fold::Mean, cores);
        assert!(drawn[20..30].iter().all(Option::is_none));
        assert!(drawn[19].is_some() && drawn[30].is_some());
    }

    #[test]
    fn strange_times_stay_within_the_columns() {
        for span in [0.0, f64::NAN, 1e12, 86_400.0, 3.5] {
            let grid = Grid::over(span);
            assert!(grid.columns >= 1 && grid.columns <= 601, "{span}: {grid:?}");
            let strange = [-5.0, 1e300, f64::NAN].map(|at_s| Point {
                at_s,
                ..Point::default()
            });
            assert_eq!(
                grid.fold(&strange, Fold::Mean, |_| Some(1.0)).len(),
                grid.columns
            );
            assert!(grid.place(grid.columns - 1) <= 1.0);
        }
    }
}
