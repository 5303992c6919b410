//! The user table of the implementation plan (section 2.3), and what becomes of it at a smaller scale.

/// Municipalities with schools on the platform.
pub(super) const MUNICIPALITIES: usize = 98;
/// Municipalities whose daycares are on it too.
pub(super) const WITH_DAYCARE: usize = 92;

/// Folkeskoler: "ca. 1.300" in the plan (1, 1.1, 4.4). With 1,302 the municipalities' schools and the special schools add up to the
/// table's 1,702.
pub(super) const FOLKESKOLER: u64 = 1302;
/// Special schools, day treatment and treatment homes: "ca. 400".
pub(super) const SPECIAL_SCHOOLS: u64 = 400;
/// Daycares.
pub(super) const DAYCARES: u64 = 2512;

/// Columns of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    School,
    Daycare,
}

/// Rows of the table, by their number in the implementation plan's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    Municipalities,
    Institutions,
    Actors,
    Administrators,
    SuperUsers,
    SuperUsersAdministration,
    Leaders,
    AdministrativeStaff,
    TownHall,
    PedagogicalStaff,
    ExternalActors,
    Children,
    Parents,
}

impl Row {
    pub(super) const ALL: [Self; 13] = [
        Self::Municipalities,
        Self::Institutions,
        Self::Actors,
        Self::Administrators,
        Self::SuperUsers,
        Self::SuperUsersAdministration,
        Self::Leaders,
        Self::AdministrativeStaff,
        Self::TownHall,
        Self::PedagogicalStaff,
        Self::ExternalActors,
        Self::Children,
        Self::Parents,
    ];

    /// The row's words in the plan.
    pub(super) const fn danish(self) -> &'static str {
        match self {
            Self::Municipalities => "Forudsætninger: tilsluttede kommuner",
            Self::Institutions => "Antal institutioner",
            Self::Actors => "Total (brugeraktører eksklusiv institutioner)",
            Self::Administrators => "Kommunens administratorer af Samarbejdsplatformen",
            Self::SuperUsers => "Superbrugere for pædagogisk personale og andre medarbejdere",
            Self::SuperUsersAdministration => "Superbrugere for administrativt personale",
            Self::Leaders => "Ledelser på skoler og i dagtilbud",
            Self::AdministrativeStaff => "Administrativt personale på skoler og i dagtilbud",
            Self::TownHall => "Ledelse og faglige konsulenter fra forvaltningen på rådhuset",
            Self::PedagogicalStaff => "Pædagogisk personale",
            Self::ExternalActors => "Eksterne aktører, der underviser og samarbejder om læring",
            Self::Children => "Elever / børn 0-5 år",
            Self::Parents => "Forældre",
        }
    }

    /// Whether the row is one of those that add up to row 2.
    const fn is_actor(self) -> bool {
        !matches!(
            self,
            Self::Municipalities | Self::Institutions | Self::Actors
        )
    }

    /// Whether the table has a total for it: municipalities are the same ones in both columns.
    pub(super) const fn has_total(self) -> bool {
        !matches!(self, Self::Municipalities)
    }
}

/// Two columns of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) school: u64,
    pub(super) daycare: u64,
}

impl Cells {
    pub(super) const fn of(school: u64, daycare: u64) -> Self {
        Self { school, daycare }
    }

    pub(super) const fn total(self) -> u64 {
        self.school + self.daycare
    }

    pub(super) const fn cell(&mut self, area: Area) -> &mut u64 {
        match area {
            Area::School => &mut self.school,
            Area::Daycare => &mut self.daycare,
        }
    }
}

/// All rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table([Cells; 13]);

impl std::ops::Index<Row> for Table {
    type Output = Cells;
    fn index(&self, row: Row) -> &Cells {
        &self.0[row as usize]
    }
}

impl std::ops::IndexMut<Row> for Table {
    fn index_mut(&mut self, row: Row) -> &mut Cells {
        &mut self.0[row as usize]
    }
}

impl Table {
    /// The plan's own numbers. Row 8's school cell is printed "1.+176" there; 1176 is what makes every sum come out.
    pub(super) const fn seed() -> Self {
        Self([
            Cells::of(98, 92),
            Cells::of(1_702, 2_512),
            Cells::of(1_508_290, 492_865),
            Cells::of(98, 92),
            Cells::of(3_404, 1_256),
            Cells::of(196, 92),
            Cells::of(3_634, 2_950),
            Cells::of(1_360, 290),
            Cells::of(1_176, 460),
            Cells::of(92_764, 55_525),
            Cells::of(17_020, 0),
            Cells::of(555_455, 217_186),
            Cells::of(833_183, 215_014),
        ])
    }

    /// Sets row 2 to the sum of the rows below it.
    pub(super) fn add_up(&mut self) {
        let mut sum = Cells::default();
        for row in Row::ALL.into_iter().filter(|row| row.is_actor()) {
            sum.school += self[row].school;
            sum.daycare += self[row].daycare;
        }
        self[Row::Actors] = sum;
    }
}

/// A scale: one person in `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale(u32);

/// Smallest scale. Beyond it a municipality has no class left: 555,455 pupils / 200 / 98 municipalities are 28.
const SCALE_MAX: u32 = 200;

impl Scale {
    /// The whole country.
    pub const WHOLE: Self = Self(1);

    pub(super) const fn is_whole(self) -> bool {
        self.0 == 1
    }

    /// A count at this scale, to the nearest.
    const fn of(self, count: u64) -> u64 {
        let n = self.0 as u64;
        (count + n / 2) / n
    }
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1/{}", self.0)
    }
}

impl std::str::FromStr for Scale {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let n = text.strip_prefix("1/").or((text == "1").then_some("1"));
        n.and_then(|n| n.parse().ok())
            .filter(|n| (1..=SCALE_MAX).contains(n))
            .map(Self)
            .ok_or_else(|| {
                format!("a scale is 1/N with N from 1 to {SCALE_MAX}, such as 1/60 (beyond that a municipality has no class left)")
            })
    }
}

/// What the table says at a scale: people are scaled, and every municipality keeps a school and, where it has daycares, one of
/// them; so institutions, and the roles counted by institution or municipality, shrink less.
pub(super) struct Wanted {
    pub(super) table: Table,
    pub(super) folkeskoler: u64,
    pub(super) special_schools: u64,
    pub(super) daycares: u64,
}

impl Wanted {
    pub(super) fn at(scale: Scale) -> Self {
        let folkeskoler = scale.of(FOLKESKOLER).max(MUNICIPALITIES as u64);
        let special_schools = scale.of(SPECIAL_SCHOOLS);
        let daycares = scale.of(DAYCARES).max(WITH_DAYCARE as u64);
        let schools = folkeskoler + special_schools;
        let seed = Table::seed();
        let mut table = seed.clone();
        let at_least = |row: Row, school: u64, daycare: u64| {
            let cells = seed[row];
            Cells::of(
                scale.of(cells.school).max(school),
                scale.of(cells.daycare).max(daycare),
            )
        };
        let each = (MUNICIPALITIES as u64, WITH_DAYCARE as u64);
        table[Row::Institutions] = Cells::of(schools, daycares);
        table[Row::SuperUsers] = Cells::of(2 * schools, daycares / 2);
        table[Row::SuperUsersAdministration] =
            at_least(Row::SuperUsersAdministration, each.0, each.1);
        table[Row::Leaders] = at_least(Row::Leaders, schools, daycares);
        table[Row::TownHall] = at_least(Row::TownHall, each.0, each.1);
        for row in [
            Row::AdministrativeStaff,
            Row::PedagogicalStaff,
            Row::ExternalActors,
            Row::Children,
            Row::Parents,
        ] {
            table[row] = at_least(row, 0, 0);
        }
        table.add_up();
        Self {
            table,
            folkeskoler,
            special_schools,
            daycares,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, Scale, Table, Wanted};

    #[test]
    fn the_seeds_rows_add_up_to_its_totals() {
        let mut added = Table::seed();
        added.add_up();
        assert_eq!(added, Table::seed());
        assert_eq!(added[Row::Actors].total(), 2_001_155);
    }

    #[test]
    fn the_whole_country_is_wanted_to_the_digit() {
        let wanted = Wanted::at(Scale::WHOLE);
        assert_eq!(wanted.table, Table::seed());
        assert_eq!(wanted.folkeskoler + wanted.special_schools, 1_702);
    }

    #[test]
    fn a_scale_is_one_in_so_many() {
        let sixtieth = "1/60".parse().map(Wanted::at).expect("a scale").table;
        assert_eq!(sixtieth[Row::Children].school, 9_258);
        assert_eq!(sixtieth[Row::Municipalities].school, 98);
        for wrong in ["", "0", "1/0", "60", "1/201", "2/60", "1/-1", "1/x"] {
            assert!(wrong.parse::<Scale>().is_err(), "{wrong}");
        }
    }
}
