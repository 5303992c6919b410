//! The command line: one verb a room.

use std::io::Write as _;
use std::process::ExitCode;

use crate::people;

/// Replays a school start against any Klokke, and says whether it held.
#[derive(Debug, clap::Parser)]
#[command(name = "klokke-load", version)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Invents a country's people, as files that `klokke import` takes.
    People(people::Arguments),
}

/// Does what was asked for; an error is one sentence on standard error and exit code 1.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.verb {
        Verb::People(arguments) => people::run(&arguments),
    };
    done.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "klokke-load: {error:#}");
        ExitCode::FAILURE
    })
}
