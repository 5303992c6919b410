//! The verbs `report` and `compare`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{comparison, file, html};
use crate::outcome::Outcome;

/// What `klokke-load report` takes.
#[derive(Debug, clap::Args)]
pub struct ReportArguments {
    /// The result of a run: a JSON file that `klokke-load run` wrote.
    result: PathBuf,
    /// An earlier result to hold it against.
    #[arg(long, value_name = "EARLIER.json")]
    compare: Option<PathBuf>,
    /// Where to write the page; beside the result, ending in .html, when not given.
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
}

/// What `klokke-load compare` takes.
#[derive(Debug, clap::Args)]
pub struct CompareArguments {
    /// The earlier result.
    earlier: PathBuf,
    /// The later one.
    now: PathBuf,
    /// As JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Draws the page of a result.
///
/// # Errors
/// When a result cannot be read, or the page not be written.
pub fn run_report(arguments: &ReportArguments) -> anyhow::Result<ExitCode> {
    let outcome = file::read(&arguments.result)?;
    let earlier = arguments.compare.as_deref().map(file::read).transpose()?;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| arguments.result.with_extension("html"));
    let inputs = std::iter::once(&arguments.result).chain(&arguments.compare);
    if inputs.into_iter().any(|input| same_file(input, &out)) {
        bail!(
            "{} is a result that was given: name another file with --out",
            out.display()
        );
    }
    fs::write(&out, html(&outcome, earlier.as_ref()))
        .with_context(|| format!("cannot write {}", out.display()))?;
    writeln!(std::io::stdout(), "{}", out.display()).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// A result must not be written over by its own picture.
fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// Prints two results side by side.
///
/// # Errors
/// When a result cannot be read.
pub fn run_compare(arguments: &CompareArguments) -> anyhow::Result<ExitCode> {
    let (earlier, now) = (file::read(&arguments.earlier)?, file::read(&arguments.now)?);
    let text = if arguments.json {
        as_json(&earlier, &now)?
    } else {
        comparison::table(&earlier, &now)
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(earlier: &Outcome, now: &Outcome) -> anyhow::Result<String> {
    let of = |outcome: &Outcome| {
        json!({
            "scenario": outcome.scenario, "began": outcome.began, "target": outcome.target,
            "verdict": outcome.verdict,
        })
    };
    let compared = comparison::compare(earlier, now);
    let whole = json!({
        "earlier": of(earlier), "now": of(now), "not_alike": compared.not_alike, "figures": compared.rows,
    });
    Ok(serde_json::to_string_pretty(&whole)? + "\n")
}
