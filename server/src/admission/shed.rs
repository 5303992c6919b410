//! Which work is put off, and how far: a fixed order of importance, and the machine that finds the place in it.

/// What an operation is worth when not all can be done, the most important first. The first is never put off by a
/// [`Level`]; a ledger that is full takes it as long as it takes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// Attendance and pick-up, and what changes who may see a child.
    Care,
    /// What staff say.
    Staff,
    /// Messages between persons, sensitive ones among them, and the first screen.
    Messages,
    /// Posts, with what is said and read of them.
    Posts,
    /// Lists, searches, badges, logs.
    Lists,
}

impl Work {
    /// All of it, in order.
    pub const ALL: [Self; 5] = [
        Self::Care,
        Self::Staff,
        Self::Messages,
        Self::Posts,
        Self::Lists,
    ];

    /// The name used in metrics and told to clients.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Care => "care",
            Self::Staff => "staff",
            Self::Messages => "messages",
            Self::Posts => "posts",
            Self::Lists => "lists",
        }
    }

    /// Which part of a ledger's queue must stay free behind a call of this kind, in per cent: the less it matters, the
    /// earlier a unit that is behind puts it off.
    #[must_use]
    pub const fn leaves_free_percent(self) -> usize {
        match self {
            Self::Care => 0,
            Self::Staff => 10,
            Self::Messages => 25,
            Self::Posts => 40,
            Self::Lists => 50,
        }
    }
}

/// How far work is put off: 0 nothing, 1 the last kind, 2 the last two, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Level(u8);

impl Level {
    /// Nothing is put off.
    pub const NORMAL: Self = Self(0);
    /// Everything is put off but what never is.
    pub const HIGHEST: Self = Self(4);

    /// The level of a number; what lies above the highest is the highest.
    #[must_use]
    pub fn of(number: u8) -> Self {
        Self(number.min(Self::HIGHEST.0))
    }

    /// As a number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether work of this kind is put off.
    #[must_use]
    pub const fn puts_off(self, work: Work) -> bool {
        work as u8 > Self::HIGHEST.0 - self.0
    }

    /// What is put off, in the order of importance.
    pub fn put_off(self) -> impl Iterator<Item = Work> {
        let kinds = Work::ALL.into_iter();
        kinds.filter(move |work| self.puts_off(*work))
    }
}

/// Time between two looks at how late the shards are.
pub const LOOK_MS: u64 = 250;
/// Looks that must find the node late before one more kind of work is put off: a second. A single long turn is no overload.
const LATE_LOOKS: u32 = 4;
/// Looks that must find it well before one kind is taken up again: five seconds, so that it does not swing.
const WELL_LOOKS: u32 = 20;

/// Finds the level by how late the shards are. No clock, no I/O.
#[derive(Debug)]
pub struct Shedder {
    lag_max_ms: u64,
    level: Level,
    late: u32,
    well: u32,
}

impl Shedder {
    /// One that puts work off when shards are later than this; never, when it is 0.
    #[must_use]
    pub const fn new(lag_max_ms: u64) -> Self {
        Self {
            lag_max_ms,
            level: Level::NORMAL,
            late: 0,
            well: 0,
        }
    }

    /// Takes how late the latest shard was, at the least, since the last look; gives the level when it changed.
    pub fn look(&mut self, lag_ms: u64) -> Option<Level> {
        if self.lag_max_ms == 0 {
            return None;
        }
        if lag_ms > self.lag_max_ms {
            (self.late, self.well) = (self.late + 1, 0);
        } else if lag_ms <= self.lag_max_ms / 2 {
            (self.late, self.well) = (0, self.well + 1);
        } else {
            (self.late, self.well) = (0, 0);
        }
        let level = if self.late >= LATE_LOOKS {
            Level::of(self.level.0.saturating_add(1))
        } else if self.well >= WELL_LOOKS {
            Level(self.level.0.saturating_sub(1))
        } else {
            return None;
        };
        (self.late, self.well) = (0, 0);
        let has_changed = level != self.level;
        self.level = level;
        has_changed.then_some(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_puts_off_one_kind_more_and_care_never() {
        let rows: [&[Work]; 5] = [
            &[],
            &[Work::Lists],
            &[Work::Posts, Work::Lists],
            &[Work::Messages, Work::Posts, Work::Lists],
            &[Work::Staff, Work::Messages, Work::Posts, Work::Lists],
        ];
        for (number, row) in (0..).zip(rows) {
            let put_off: Vec<_> = Level::of(number).put_off().collect();
            assert_eq!(put_off, row, "level {number}");
        }
        assert_eq!(Level::of(200), Level::HIGHEST);
    }

    #[test]
    fn a_queue_is_left_to_what_matters_more() {
        let free = Work::ALL.map(Work::leaves_free_percent);
        assert!(free.is_sorted(), "{free:?}");
        assert_eq!((free[0], free[4]), (0, 50));
    }

    const NOTHING: [u8; 0] = [];

    /// Looks often, always as late, and gives the levels it went through.
    fn levels(shedder: &mut Shedder, lag_ms: u64, looks: u32) -> Vec<u8> {
        let found = (0..looks).filter_map(|_| shedder.look(lag_ms));
        found.map(Level::number).collect()
    }

    #[test]
    fn the_level_rises_by_steps_and_falls_slower() {
        let mut shedder = Shedder::new(100);
        assert_eq!(levels(&mut shedder, 101, LATE_LOOKS - 1), NOTHING);
        assert_eq!(levels(&mut shedder, 101, 1), [1]);
        assert_eq!(levels(&mut shedder, 5_000, 10 * LATE_LOOKS), [2, 3, 4]);
        assert_eq!(levels(&mut shedder, 50, WELL_LOOKS - 1), NOTHING);
        assert_eq!(levels(&mut shedder, 50, 1), [3]);
        assert_eq!(levels(&mut shedder, 0, 10 * WELL_LOOKS), [2, 1, 0]);
    }

    #[test]
    fn neither_one_long_turn_nor_what_lies_between_moves_it() {
        let mut shedder = Shedder::new(100);
        for _ in 0..10 {
            assert_eq!(levels(&mut shedder, 10_000, LATE_LOOKS - 1), NOTHING);
            assert_eq!(levels(&mut shedder, 75, 1), NOTHING);
        }
        assert_eq!(levels(&mut shedder, 101, LATE_LOOKS), [1]);
        for _ in 0..10 {
            assert_eq!(levels(&mut shedder, 10, WELL_LOOKS - 1), NOTHING);
            assert_eq!(levels(&mut shedder, 75, 100), NOTHING);
        }
    }

    #[test]
    fn nothing_is_put_off_where_that_is_switched_off() {
        let mut shedder = Shedder::new(0);
        assert_eq!(levels(&mut shedder, 1_000_000, 100), NOTHING);
    }
}
