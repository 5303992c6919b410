//! `klokke import`: shows what a file of master data would change, and changes it when asked to.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::cli::Import;
use super::{offline, settings};
use crate::ledger::{Actor, Clock as _, Ledgers, SystemClock};
use crate::people::import::{self, Plan, RecordKind, Wanted};
use crate::people::{Roster, day};

/// Lines between two lines of progress.
const PROGRESS_LINES: u64 = 100_000;

pub(super) async fn run(arguments: &Import) -> Result<ExitCode> {
    let given = &arguments.settings;
    let config = settings::read(given.config.as_deref(), &given.set)?;
    let wanted = read(&arguments.file)?;
    let store = offline::open_store(&config, offline::Missing::Make)?;
    offline::with_ledgers(store, async |ledgers| {
        let plan = plan(ledgers, wanted).await?;
        report(&plan, arguments.json)?;
        if !arguments.apply {
            say("nothing was changed; add --apply to change it")?;
            return Ok(ExitCode::SUCCESS);
        }
        if !arguments.allow_removals {
            plan.check_removals()?;
        }
        apply(ledgers, plan).await?;
        Ok(ExitCode::SUCCESS)
    })
    .await
}

fn read(path: &Path) -> Result<Wanted> {
    let input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Box::new(BufReader::new(file))
    };
    read_from(input)
}

/// Reads and checks all lines.
pub(super) fn read_from(input: impl BufRead) -> Result<Wanted> {
    let progress = |lines: u64| {
        if lines.is_multiple_of(PROGRESS_LINES) {
            // Progress that nobody can see changes nothing.
            let _ = say(&format!("{lines} lines read"));
        }
    };
    Ok(import::read(input, progress)?)
}

/// What would change.
pub(super) async fn plan(ledgers: &Ledgers<Roster>, wanted: Wanted) -> Result<Plan> {
    Ok(import::plan(ledgers, wanted, day::day_at(SystemClock.now_ms())).await?)
}

/// Changes it.
pub(super) async fn apply(ledgers: &Ledgers<Roster>, plan: Plan) -> Result<()> {
    let actor = Actor {
        subject: "".into(),
        profile: None,
        door: "cli".into(),
    };
    let done = import::apply(ledgers, plan, actor, |at| {
        // Progress that nobody can see changes nothing.
        let _ = say(&format!("{}: {} of {} records", at.unit, at.done, at.total));
    })
    .await?;
    say(&format!("{done} records changed"))
}

fn report(plan: &Plan, json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        let rows = plan.units.iter().map(|(unit, diff)| {
            let kinds = diff.counts.iter().map(|(kind, counts)| {
                serde_json::json!({"kind": format!("{kind:?}").to_lowercase(), "added": counts.added,
                    "changed": counts.changed, "ended": counts.ended, "unchanged": counts.unchanged})
            });
            serde_json::json!({"unit": unit.to_string(), "records": kinds.collect::<Vec<_>>()})
        });
        writeln!(out, "{}", serde_json::Value::Array(rows.collect()))?;
        return Ok(());
    }
    writeln!(
        out,
        "{:<14} {:>9} {:>9} {:>9} {:>9}",
        "records", "added", "changed", "ended", "as is"
    )?;
    for kind in RecordKind::ALL {
        let counts = plan.total(kind);
        let name = format!("{kind:?}").to_lowercase();
        writeln!(
            out,
            "{name:<14} {:>9} {:>9} {:>9} {:>9}",
            counts.added, counts.changed, counts.ended, counts.unchanged
        )?;
    }
    writeln!(out, "in {} units", plan.units.len())?;
    Ok(())
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}
