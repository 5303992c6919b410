//! `cargo xtask`: the project's own commands, one file a verb.
//!
//! This crate drives other programs (cargo, npm, pip, go, the servers under test) and reads source files as text. It knows
//! none of the project's crates, so that it builds in seconds and still runs when they do not compile.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command line tool: what it says goes to the terminal.

mod bench;
#[path = "../../tests/src/cassandra.rs"] // Whole-system tests start their nodes with it too.
#[allow(dead_code, unreachable_pub)] // They do more with a cluster than the step here.
mod cassandra;
mod cluster;
mod dashboards;
mod dev;
mod house;
#[path = "../../tests/src/nats.rs"]
#[allow(dead_code, unreachable_pub)] // As above.
mod nats;
mod process;
mod setup;
mod sim;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::house::House;

#[derive(Parser)]
#[command(about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs every check: formatting, lints, tidy, unit tests, then the tests against real parts.
    Test(test::Arguments),
    /// Builds the demo page and the server, and starts them with an invented municipality.
    Dev(dev::Arguments),
    /// Measures Klokke beside its peers and prints a table.
    Bench(bench::Arguments),
    /// Starts three nodes on three Cassandra nodes and NATS, for you to use, to load, or to break part by part.
    Cluster(cluster::Arguments),
    /// Tells a running `cluster --faults` to break something; its scenario does.
    #[command(hide = true)]
    Signal { address: String, word: String },
    /// Makes Grafana's dashboards and Prometheus' rules, and checks them.
    Dashboards(dashboards::Arguments),
    /// Simulates a cluster whose parts break, from many seeds.
    Sim(sim::Arguments),
    /// Checks the house rules that no compiler checks.
    Tidy,
}

fn main() -> ExitCode {
    let house = House::find();
    let result = match Arguments::parse().verb {
        Verb::Test(arguments) => test::run(&house, &arguments),
        Verb::Dev(arguments) => dev::run(&house, &arguments),
        Verb::Cluster(arguments) => cluster::run(&house, &arguments),
        Verb::Signal { address, word } => cluster::signal(&address, &word),
        Verb::Bench(arguments) => bench::run(&house, &arguments),
        Verb::Dashboards(arguments) => dashboards::run(&house, &arguments),
        Verb::Sim(arguments) => sim::run(&house, &arguments),
        Verb::Tidy => tidy::run(&house),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
