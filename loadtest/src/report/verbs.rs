//! The verbs `report` and `compare`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{comparison, html};
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
    let outcome = Outcome::read(&arguments.result)?;
    let earlier = arguments
        .compare
        .as_deref()
        .map(Outcome::read)
        .transpose()?;
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
    let (earlier, now) = (
        Outcome::read(&arguments.earlier)?,
        Outcome::read(&arguments.now)?,
    );
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

#[cfg(test)]
mod tests {
    use super::super::tests::fixture;
    use super::*;

    fn kept(folder: &Path, name: &str, outcome: &Outcome) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, serde_json::to_vec(outcome).expect("plain data")).expect("written");
        path
    }

    #[test]
    fn a_page_is_written_beside_its_result_and_never_over_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let result = kept(folder.path(), "monday.json", &fixture::first_monday());
        let earlier = kept(folder.path(), "earlier.json", &fixture::earlier());
        let arguments = |out: Option<&Path>| ReportArguments {
            result: result.clone(),
            compare: Some(earlier.clone()),
            out: out.map(Path::to_owned),
        };
        run_report(&arguments(None)).expect("a page");
        let page = fs::read_to_string(folder.path().join("monday.html")).expect("beside it");
        assert!(page.contains("Holdt") && page.contains("Sammenlignet med"));

        for over in [&result, &earlier, &folder.path().join("./earlier.json")] {
            let error = run_report(&arguments(Some(over))).expect_err("it would be lost");
            assert!(
                error.to_string().contains("name another file with --out"),
                "{error}"
            );
        }
        assert!(Outcome::read(&result).is_ok() && Outcome::read(&earlier).is_ok());

        let nowhere = folder.path().join("no/such/folder.html");
        let error = run_report(&arguments(Some(&nowhere))).expect_err("there is no such folder");
        assert!(error.to_string().contains("cannot write"), "{error}");
    }

    #[test]
    fn two_results_as_json_are_all_that_the_table_says() {
        let text = as_json(&fixture::earlier(), &fixture::first_monday()).expect("plain data");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["earlier"]["verdict"]["word"], "held");
        assert_eq!(json["now"]["target"]["version"], "0.1.0");
        let row = json["figures"]
            .as_array()
            .and_then(|rows| {
                rows.iter()
                    .find(|row| row["figure"] == "server.resident_bytes_max")
            })
            .expect("the figure");
        assert_eq!(row["meaning"], "worse");
        assert!(
            row["percent"]
                .as_f64()
                .is_some_and(|percent| (24.0..26.0).contains(&percent)),
            "{row}"
        );
    }
}
