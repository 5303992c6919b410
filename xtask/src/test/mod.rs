//! `cargo xtask test`: everything that must hold, from formatting to a browser, in one command.
//!
//! The steps run one after the other, the cheap ones first; a failed step does not stop the others, so that one run tells
//! all. Every real-part test starts the same release build of the server, so it is compiled once.

mod counts;
mod steps;

use std::{
    cell::OnceCell,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use self::counts::Counts;
use crate::{house::House, setup};

/// What `cargo xtask test` can be told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only the steps whose name contains this (see `--list`); may be given more than once.
    #[arg(long)]
    only: Vec<String>,
    /// Names the steps and ends.
    #[arg(long)]
    list: bool,
}

/// What a step does.
type Check = dyn Fn(&Workshop<'_>) -> Result<Outcome>;

/// One thing to check.
pub(crate) struct Step {
    /// What `--only` matches.
    name: String,
    /// What it shows when it passes.
    shows: String,
    run: Box<Check>,
}

impl Step {
    pub(crate) fn new(
        name: impl Into<String>,
        shows: impl Into<String>,
        run: impl Fn(&Workshop<'_>) -> Result<Outcome> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            shows: shows.into(),
            run: Box::new(run),
        }
    }
}

/// How a step ended when nothing went wrong around it.
pub(crate) enum Outcome {
    /// It holds.
    Held,
    /// A runner counted its cases; `foreign` ones are not Rust's own runner.
    Counted { counts: Counts, foreign: bool },
    /// Not possible here, and why.
    Skipped(String),
}

/// What the steps share: where things are, and the server, built when first needed.
pub(crate) struct Workshop<'a> {
    /// The checkout.
    pub(crate) house: &'a House,
    server: OnceCell<PathBuf>,
}

impl Workshop<'_> {
    /// The program under test.
    pub(crate) fn server(&self) -> Result<PathBuf> {
        if let Some(built) = self.server.get() {
            return Ok(built.clone());
        }
        let built = setup::server(self.house)?;
        Ok(self.server.get_or_init(|| built).clone())
    }
}

/// A line of the summary.
struct Line {
    name: String,
    took: Duration,
    text: String,
    ok: bool,
    /// Cases that failed.
    failed: Vec<String>,
}

/// Runs the chosen steps and sums up.
pub(crate) fn run(house: &House, arguments: &Arguments) -> Result<()> {
    let steps = steps::all(house)?;
    let chosen: Vec<&Step> = steps
        .iter()
        .filter(|step| {
            arguments.only.is_empty() || arguments.only.iter().any(|only| step.name.contains(only))
        })
        .collect();
    if arguments.list {
        for step in chosen {
            println!("{:<24} {}", step.name, step.shows);
        }
        return Ok(());
    }
    if chosen.is_empty() {
        bail!("no step has such a name; `cargo xtask test --list` names them");
    }
    let workshop = Workshop {
        house,
        server: OnceCell::new(),
    };
    let begun = Instant::now();
    let mut lines = Vec::new();
    let mut rust = Counts::default();
    let mut foreign = Counts::default();
    for step in chosen {
        println!("\n== {}: {}", step.name, step.shows);
        let started = Instant::now();
        let outcome = (step.run)(&workshop);
        let mut failed = Vec::new();
        let (text, ok) = match outcome {
            Ok(Outcome::Held) => ("holds".to_owned(), true),
            Ok(Outcome::Skipped(why)) => (format!("SKIPPED: {why}"), true),
            Ok(Outcome::Counted {
                counts,
                foreign: is_foreign,
            }) => {
                let said = (counts.to_string(), counts.is_good());
                failed.clone_from(&counts.names);
                if is_foreign {
                    foreign.add(counts);
                } else {
                    rust.add(counts);
                }
                said
            }
            Err(error) => (format!("FAILED: {error:#}"), false),
        };
        println!("== {}: {text}", step.name);
        lines.push(Line {
            name: step.name.clone(),
            took: started.elapsed(),
            text,
            ok,
            failed,
        });
    }
    summary(&lines, begun.elapsed(), rust, &foreign)
}

fn summary(lines: &[Line], took: Duration, rust: Counts, foreign: &Counts) -> Result<()> {
    println!("\n== summary, {} s in all", took.as_secs());
    for line in lines {
        let mark = if line.ok { "ok  " } else { "FAIL" };
        println!(
            "{mark} {:<24} {:>5} s  {}",
            line.name,
            line.took.as_secs(),
            line.text
        );
        for name in &line.failed {
            println!("     failed: {name}");
        }
    }
    println!("cargo tests: {rust}");
    println!("foreign suites: {foreign}");
    let broken = lines.iter().filter(|line| !line.ok).count();
    let mut all = rust;
    all.add(foreign.clone());
    println!("{all}");
    if broken > 0 {
        bail!("{broken} of {} steps failed", lines.len());
    }
    Ok(())
}
