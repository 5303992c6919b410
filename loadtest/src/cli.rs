//! The command line: one verb a room.

use std::io::Write as _;
use std::process::ExitCode;

use crate::{agent, people, report, run};

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
    /// Replays a scenario against a server, and says whether it held.
    Run(Box<run::Arguments>),
    /// Plays people for a coordinator on another machine.
    Agent(agent::Arguments),
    /// Draws the result of a run as one page, beside an earlier one when given.
    Report(report::ReportArguments),
    /// Prints two results side by side.
    Compare(report::CompareArguments),
    /// Lists the scenarios that come with the tester.
    Scenarios {
        /// As JSON, an object a line.
        #[arg(long)]
        json: bool,
    },
}

/// Does what was asked for; an error is one sentence on standard error and exit code 1.
#[must_use]
pub fn main(cli: Cli) -> ExitCode {
    let done = match cli.verb {
        Verb::People(arguments) => people::run(&arguments),
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Agent(arguments) => agent::run(&arguments).map(|()| ExitCode::SUCCESS),
        Verb::Report(arguments) => report::run_report(&arguments),
        Verb::Compare(arguments) => report::run_compare(&arguments),
        Verb::Scenarios { json } => run::list(json),
    };
    done.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "klokke-load: {error:#}");
        ExitCode::FAILURE
    })
}
