//! The seed's table next to what was generated, cell by cell, as text and as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::audit::Audit;
use super::sink::Written;
use super::sizes;
use super::table::{Cells, Row, Scale, Table, Wanted};
use super::tally::Tallies;

/// One number that was wanted, and what came.
#[derive(Debug, Clone, Copy, Serialize)]
struct Cell {
    wanted: u64,
    generated: u64,
    equal: bool,
}

impl Cell {
    const fn of(wanted: u64, generated: u64) -> Self {
        Self {
            wanted,
            generated,
            equal: wanted == generated,
        }
    }

    const fn verdict(self) -> &'static str {
        if self.equal { "equal" } else { "differs" }
    }
}

/// A row of the table.
#[derive(Debug, Serialize)]
struct RowReport {
    row: usize,
    name: &'static str,
    school: Cell,
    daycare: Cell,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Cell>,
}

/// A number from the plan's sections 4.3 and 4.4.
#[derive(Debug, Serialize)]
struct Spread {
    name: String,
    #[serde(flatten)]
    cell: Cell,
}

/// What `--check` says.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    seed: u64,
    scale: String,
    equal: bool,
    rows: Vec<RowReport>,
    /// Municipalities by schools, and schools by size; the whole country only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    spreads: Vec<Spread>,
    tallies: Tallies,
    lines: u64,
    bytes: u64,
    digest: String,
    /// Lines that refer to what does not stand above them, or break another rule of the format.
    faults: u64,
    faults_shown: Vec<String>,
}

impl Report {
    pub(super) fn of(
        seed: u64,
        scale: Scale,
        audit: Audit,
        written: Written,
        digest: String,
    ) -> Self {
        let wanted = Wanted::at(scale).table;
        let rows = rows(&wanted, &audit.table);
        let spreads = match scale.is_whole() {
            true => spreads(&audit),
            false => Vec::new(),
        };
        let cells = rows
            .iter()
            .flat_map(|row| [Some(row.school), Some(row.daycare), row.total]);
        let cells = cells
            .flatten()
            .chain(spreads.iter().map(|spread| spread.cell));
        Self {
            seed,
            scale: scale.to_string(),
            equal: cells.into_iter().all(|cell| cell.equal) && audit.faults == 0,
            rows,
            spreads,
            tallies: audit.tallies,
            lines: written.lines,
            bytes: written.bytes,
            digest,
            faults: audit.faults,
            faults_shown: audit.shown,
        }
    }

    /// Whether everything is as it should be.
    pub(super) const fn is_equal(&self) -> bool {
        self.equal
    }

    pub(super) fn json(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut out, self)?;
        writeln!(out)
    }

    pub(super) fn text(&self, mut out: impl Write) -> io::Result<()> {
        let what = match self.scale.as_str() {
            "1/1" => "The implementation plan's table (2.3) and what was generated".to_owned(),
            scale => {
                format!("The implementation plan's table (2.3) at {scale} and what was generated")
            }
        };
        writeln!(out, "{what}; seed number {}\n", self.seed)?;
        let three = |a: &str, b: &str, c: &str| format!("{a:>9} {b:>9} {c:<7}");
        writeln!(
            out,
            "{:>2}  {:<62}{}  {}  {}",
            "",
            "",
            three("Skole", "generated", ""),
            three("Dagtilbud", "generated", ""),
            three("Total", "generated", "")
        )?;
        let cell = |cell: Cell| {
            three(
                &cell.wanted.to_string(),
                &cell.generated.to_string(),
                cell.verdict(),
            )
        };
        for row in &self.rows {
            let total = row.total.map_or_else(|| three("–", "–", ""), cell);
            let (school, daycare) = (cell(row.school), cell(row.daycare));
            writeln!(
                out,
                "{:>2}  {:<62}{school}  {daycare}  {total}",
                row.row, row.name
            )?;
        }
        if !self.spreads.is_empty() {
            writeln!(out, "\nSchools (4.3, 4.4)")?;
        }
        for spread in &self.spreads {
            writeln!(out, "    {:<62}{}", spread.name, cell(spread.cell))?;
        }
        self.tallies(&mut out)?;
        for fault in &self.faults_shown {
            writeln!(out, "{fault}")?;
        }
        match (self.equal, self.faults) {
            (true, _) => writeln!(out, "all equal"),
            (false, 0) => writeln!(out, "not all equal"),
            (false, faults) => writeln!(out, "{faults} lines break the format"),
        }
    }

    fn tallies(&self, out: &mut impl Write) -> io::Result<()> {
        let tallies = &self.tallies;
        writeln!(
            out,
            "\nPersons (docs/population.md says how they relate to the rows)"
        )?;
        for (name, count) in [
            ("persons", tallies.persons),
            ("with a login", tallies.logins),
            ("with a protected name", tallies.protected),
            ("with more than one profile", tallies.several_profiles),
            ("staff who are parents too", tallies.staff_and_parent),
            ("pupils in a leisure centre", tallies.in_leisure_centre),
            ("teachers who are advisers too", tallies.advisers),
            ("in no row: technical staff", tallies.technical_staff),
            ("in no row: related persons", tallies.related_persons),
            ("in no row: attached persons", tallies.attached_persons),
            ("classes of folkeskoler", tallies.classes),
            ("profiles", tallies.profiles),
            ("relations", tallies.relations),
            ("memberships", tallies.memberships),
        ] {
            writeln!(out, "    {name:<62}{count:>9}")?;
        }
        writeln!(
            out,
            "\n{} lines, {} bytes, digest {}",
            self.lines, self.bytes, self.digest
        )
    }
}

fn rows(wanted: &Table, generated: &Table) -> Vec<RowReport> {
    let row = |row: Row| {
        let (wanted, generated): (Cells, Cells) = (wanted[row], generated[row]);
        RowReport {
            row: row as usize,
            name: row.danish(),
            school: Cell::of(wanted.school, generated.school),
            daycare: Cell::of(wanted.daycare, generated.daycare),
            total: row
                .has_total()
                .then(|| Cell::of(wanted.total(), generated.total())),
        }
    };
    Row::ALL.into_iter().map(row).collect()
}

/// What the plan says of the folkeskoler: percentages of them to the nearest whole one.
fn spreads(audit: &Audit) -> Vec<Spread> {
    let all: u64 = audit.by_size.iter().sum();
    let percent = |step: usize| (audit.by_size[step] * 100 + all / 2) / all.max(1);
    let commonest = (0..audit.by_size.len())
        .max_by_key(|step| audit.by_size[*step])
        .unwrap_or(0);
    let (small, common, large) = (0, sizes::step_of(450), sizes::STEPS.len() - 1);
    let spread = |name: &str, wanted, generated| Spread {
        name: name.to_owned(),
        cell: Cell::of(wanted, generated),
    };
    vec![
        spread("kommuner med 1 folkeskole", 4, audit.by_schools[0]),
        spread("kommuner med 3-27 folkeskoler", 88, audit.by_schools[1]),
        spread("kommuner med 33-63 folkeskoler", 6, audit.by_schools[2]),
        spread("kommuner med et andet antal", 0, audit.by_schools[3]),
        spread(
            "folkeskoler med op til 100 elever, procent",
            7,
            percent(small),
        ),
        spread("folkeskoler med over 700 elever", 184, audit.by_size[large]),
        spread(
            "folkeskoler med over 700 elever, procent",
            14,
            percent(large),
        ),
        spread(
            "folkeskoler med 401-500 elever, procent",
            16,
            percent(common),
        ),
        spread(
            "hyppigste størrelse, fra antal elever",
            sizes::STEPS[common].low.into(),
            sizes::STEPS[commonest].low.into(),
        ),
    ]
}
