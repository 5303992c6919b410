//! For what is counted at every message: series found by small numbers in place of label texts, and
//! the time as a driver tells it.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Instant;

/// Series of one metric on one thread, each found in the [`Meters`](super::Meters) when it is first
/// used. A series nobody used is not there, so an exposition holds no rows of zeros.
#[derive(Debug)]
pub struct Table<H> {
    cells: Box<[OnceCell<H>]>,
    columns: usize,
}

impl<H> Table<H> {
    /// Room for `rows` times `columns` series.
    #[must_use]
    pub fn new(rows: usize, columns: usize) -> Self {
        Self {
            cells: (0..rows * columns).map(|_| OnceCell::new()).collect(),
            columns,
        }
    }

    /// The series at a place; `find` is asked once.
    ///
    /// # Panics
    /// When the table has no such place.
    pub fn at(&self, row: usize, column: usize, find: impl FnOnce() -> H) -> &H {
        debug_assert!(column < self.columns, "column {column} of {}", self.columns);
        self.cells[row * self.columns + column].get_or_init(find)
    }
}

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds on one scale for all threads of the process, never 0: what is measured from one
/// thread to another is measured by this.
#[must_use]
pub fn now_us() -> u64 {
    u64::try_from(BEGAN.elapsed().as_micros()).map_or(u64::MAX, |us| us.saturating_add(1))
}

/// Microseconds since some moment, as the driver of a thread last told them. Machines read no clock;
/// what they measure for figures they measure by this, and nothing they do depends on it.
#[derive(Debug, Clone, Default)]
pub struct Stopwatch(Rc<Cell<u64>>);

impl Stopwatch {
    /// Tells the time.
    pub fn tell(&self, us: u64) {
        self.0.set(us);
    }

    /// The time last told.
    #[must_use]
    pub fn us(&self) -> u64 {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_once_and_at_its_own_place() {
        let table = Table::new(2, 3);
        let mut asked = 0;
        for _ in 0..2 {
            for (row, column) in [(0, 2), (1, 0), (1, 2)] {
                let found = table.at(row, column, || {
                    asked += 1;
                    (row, column)
                });
                assert_eq!(*found, (row, column));
            }
        }
        assert_eq!(asked, 3);
    }
}
