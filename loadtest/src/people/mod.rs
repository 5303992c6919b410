//! The population: the whole country of the implementation plan, invented, as a stream.
//!
//! A plan of every institution comes first (`country`), some thousands of numbers that add up to the seed's table. Then the people
//! of one municipality at a time (`town`: `hall`, `staff`, `children`, `families`) go through a `sink` as lines of an import
//! file. With `--check` an `audit` counts the table from those lines and nothing else. What was decided, and from what source:
//! `docs/population.md`.

mod adults;
mod apportion;
mod audit;
mod check;
mod children;
mod country;
mod families;
mod hall;
mod line;
mod mix;
mod names;
mod progress;
mod seen;
mod shape;
mod sink;
mod sizes;
mod staff;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod town;
mod words;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use audit::Audit;
use check::Report;
use country::Country;
use progress::Progress;
use sink::{FILE_LINES_MAX, Sink, Target, Written};
pub use table::Scale;

/// What `klokke-load people` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder for the files, one a municipality; `-` writes one file to standard output.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The number the country is invented from: the same number, the same bytes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// One person in N; every municipality is kept.
    #[arg(long, value_name = "1/N", default_value = "1/1")]
    scale: Scale,
    /// Counts the implementation plan's table from the lines and shows both; exit code 1 when a cell differs.
    #[arg(long)]
    check: bool,
    /// The table as JSON.
    #[arg(long, requires = "check")]
    json: bool,
}

/// Invents the people.
///
/// # Errors
/// When the files cannot be written, or nothing was asked for.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    ensure!(
        arguments.out.is_some() || arguments.check,
        "say where the country goes (--out FOLDER, or --out - for standard output), or --check to count it only"
    );
    let is_stream = arguments.out.as_deref() == Some(Path::new("-"));
    let target = match &arguments.out {
        None => Target::Nowhere,
        Some(_) if is_stream => Target::Stream(Box::new(io::stdout().lock())),
        Some(path) => sink::folder(path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?,
    };
    let sink = Sink::new(target, arguments.check.then(Audit::default));
    let country = Country::plan(arguments.seed, arguments.scale);
    let mut progress = Progress::new(country.municipalities.len());
    let done = write(&country, sink, |written| progress.step(written));
    progress.end();
    let (written, digest, audit) = match done {
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::FAILURE),
        done => done.context("the lines cannot be written")?,
    };
    if is_stream && written.lines > FILE_LINES_MAX {
        let mut to = io::stderr();
        writeln!(
            to,
            "more than {FILE_LINES_MAX} lines: klokke import takes them by municipality (--out FOLDER)"
        )?;
    }
    let Some(audit) = audit else {
        return Ok(ExitCode::SUCCESS);
    };
    let report = Report::of(arguments.seed, arguments.scale, audit, written, digest);
    // Standard output may be the country's.
    let out: Box<dyn io::Write> = match is_stream {
        true => Box::new(io::stderr()),
        false => Box::new(io::stdout().lock()),
    };
    match arguments.json {
        true => report.json(out)?,
        false => report.text(out)?,
    }
    Ok(match report.is_equal() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Writes the whole country, one municipality after the other.
fn write(
    country: &Country,
    mut sink: Sink,
    mut progress: impl FnMut(Written),
) -> io::Result<(Written, String, Option<Audit>)> {
    let mut neighbour = None;
    for municipality in &country.municipalities {
        town::write(country.seed, municipality, neighbour, &mut sink)?;
        neighbour = Some(municipality);
        progress(sink.written());
    }
    sink.finish()
}
