//! `klokke import`: shows what a file of master data would change, and changes it when asked to.

mod remote;
mod show;

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use super::cli::Import;
use super::{offline, settings, stores};
use crate::domain::Door;
use crate::ledger::{Actor, Clock as _, Ledgers, SystemClock};
use crate::people::import::{self, Override, Plan, Report, Wanted};
use crate::people::{Roster, day};
use crate::telemetry::Meters;
use show::Show;

/// Lines between two lines of progress.
const PROGRESS_LINES: u64 = 100_000;

pub(super) async fn run(arguments: &Import) -> Result<ExitCode> {
    ensure!(
        arguments.plan.is_none() || arguments.files.len() == 1,
        "--plan is the plan of one file"
    );
    match &arguments.server {
        Some(server) => remote::run(arguments, server).await?,
        None => into_store(arguments).await?,
    }
    if !arguments.apply {
        say("nothing was changed; add --apply to change it")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Into a store that no server has open.
async fn into_store(arguments: &Import) -> Result<()> {
    let given = &arguments.settings;
    let config = settings::read(given.config.as_deref(), &given.set)?;
    // The first file is read before a store is made for it.
    let (first, rest) = arguments.files.split_first().context("no file is given")?;
    let wanted = read(first)?;
    let store = stores::open(&config, stores::Missing::Make, Meters::default()).await?;
    let percent = config.import.ended_percent_max;
    offline::with_ledgers(store, async |ledgers| {
        let done = take(ledgers, wanted, arguments, percent).await;
        of_file(done, first, arguments)?;
        for file in rest {
            let wanted = of_file(read(file), file, arguments)?;
            let done = take(ledgers, wanted, arguments, percent).await;
            of_file(done, file, arguments)?;
        }
        Ok(())
    })
    .await
}

/// Says which of several files it was.
pub(super) fn of_file<T>(done: Result<T>, file: &Path, arguments: &Import) -> Result<T> {
    match arguments.files.len() {
        0 | 1 => done,
        _ => done.with_context(|| format!("{} (the files before it are done)", file.display())),
    }
}

/// Shows what one file would change, and changes it when asked to.
async fn take(
    ledgers: &Ledgers<Roster>,
    wanted: Wanted,
    arguments: &Import,
    percent: u8,
) -> Result<()> {
    let plan = plan(ledgers, wanted, &arguments.override_local).await?;
    let mut show = Show::new(arguments.json, arguments.ids);
    plan.reports()
        .try_for_each(|unit| show.report(&Report::Unit(unit)))?;
    show.report(&Report::Plan(plan.summary(percent)))?;
    if !arguments.apply {
        return Ok(());
    }
    ensure!(
        arguments.plan.is_none_or(|shown| shown == plan.digest),
        "this is not the plan that was shown: the file or the people of its units changed since"
    );
    if !arguments.allow_mass_end {
        plan.check_ends(percent)?;
    }
    apply(ledgers, plan).await
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
pub(super) async fn plan(
    ledgers: &Ledgers<Roster>,
    wanted: Wanted,
    override_local: &[String],
) -> Result<Plan> {
    let over = Override::of(override_local.iter().cloned());
    let today = day::day_at(SystemClock.now_ms());
    Ok(import::plan(ledgers, wanted, today, &over).await?)
}

/// Changes it.
pub(super) async fn apply(ledgers: &Ledgers<Roster>, plan: Plan) -> Result<()> {
    let actor = Actor {
        door: Door::Cli.as_str().into(),
        ..Actor::default()
    };
    let done = import::apply(ledgers, plan, actor, |at| {
        // Progress that nobody can see changes nothing.
        let _ = say(&format!("{}: {} of {} records", at.unit, at.done, at.total));
    })
    .await?;
    say(&format!("{done} records changed"))
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}
