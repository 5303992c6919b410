//! The diff of an import as a person reads it, or as JSON, one object a line. Ids and counts, never a name.

use std::collections::BTreeMap;
use std::io::{StdoutLock, Write as _};

use anyhow::Result;

use crate::people::import::{Counts, KindReport, RecordKind, Report, Summary, UnitReport};

/// Ids of one list that are shown unless all are asked for.
const IDS_SHOWN: usize = 20;

/// Shows reports as they come.
pub(super) struct Show {
    json: bool,
    ids: bool,
    totals: BTreeMap<RecordKind, Counts>,
    unchanged: usize,
}

impl Show {
    pub(super) fn new(json: bool, ids: bool) -> Self {
        Self {
            json,
            ids,
            totals: BTreeMap::new(),
            unchanged: 0,
        }
    }

    /// Shows one report.
    pub(super) fn report(&mut self, report: &Report) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            return Ok(out.write_all(&report.to_line())?);
        }
        match report {
            Report::Unit(unit) => self.unit(unit, &mut out),
            Report::Plan(summary) => self.summary(summary, &mut out),
            Report::Progress(_) | Report::Done { .. } | Report::Error(_) => Ok(()),
        }
    }

    fn unit(&mut self, unit: &UnitReport, out: &mut StdoutLock<'_>) -> Result<()> {
        for kind in &unit.records {
            *self.totals.entry(kind.kind).or_default() += kind.counts;
        }
        let moves = |kind: &&KindReport| {
            let counts = kind.counts;
            counts.added + counts.changed + counts.ended + counts.kept_local > 0
        };
        if !unit.records.iter().any(|kind| moves(&kind)) {
            self.unchanged += 1;
            return Ok(());
        }
        header(&unit.unit.to_string(), out)?;
        for kind in unit.records.iter().filter(moves) {
            row(kind.kind, kind.counts, out)?;
            for (what, ids) in [
                ("added", &kind.ids.added),
                ("changed", &kind.ids.changed),
                ("ended", &kind.ids.ended),
                ("kept local", &kind.ids.kept_local),
            ] {
                self.list(what, ids, out)?;
            }
        }
        Ok(writeln!(out)?)
    }

    fn list(&self, what: &str, ids: &[String], out: &mut StdoutLock<'_>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let shown = if self.ids {
            ids.len()
        } else {
            IDS_SHOWN.min(ids.len())
        };
        write!(out, "      {what}: {}", ids[..shown].join(" "))?;
        match ids.len() - shown {
            0 => Ok(writeln!(out)?),
            more => Ok(writeln!(out, " and {more} more (--ids lists all)")?),
        }
    }

    fn summary(&self, summary: &Summary, out: &mut StdoutLock<'_>) -> Result<()> {
        header("all units", out)?;
        for kind in RecordKind::ALL {
            row(
                kind,
                self.totals.get(&kind).copied().unwrap_or_default(),
                out,
            )?;
        }
        let (units, unchanged, lines) = (summary.units, self.unchanged, summary.lines);
        writeln!(
            out,
            "{lines} lines, {units} units, {unchanged} of them as they are"
        )?;
        writeln!(out, "plan {}", summary.plan)?;
        for end in &summary.mass_end {
            let (unit, kind) = (&end.unit, end.kind.as_str());
            let (ended, in_force) = (end.ended, end.in_force);
            writeln!(
                out,
                "refused unless --allow-mass-end: {unit} would lose {ended} of {in_force} records of kind {kind}"
            )?;
        }
        Ok(())
    }
}

fn header(what: &str, out: &mut StdoutLock<'_>) -> Result<()> {
    Ok(writeln!(
        out,
        "{what:<16} {:>9} {:>9} {:>9} {:>11} {:>9}",
        "added", "changed", "ended", "kept local", "as is"
    )?)
}

fn row(kind: RecordKind, counts: Counts, out: &mut StdoutLock<'_>) -> Result<()> {
    let Counts {
        added,
        changed,
        ended,
        kept_local,
        unchanged,
        ..
    } = counts;
    Ok(writeln!(
        out,
        "  {:<14} {added:>9} {changed:>9} {ended:>9} {kept_local:>11} {unchanged:>9}",
        kind.as_str()
    )?)
}
