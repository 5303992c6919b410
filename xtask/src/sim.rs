//! `cargo xtask sim`: a whole cluster in one thread, from one seed after the other (`server/src/sim`). `cargo xtask test` runs some
//! seeds; here are many, or one alone.

use anyhow::Result;

use crate::{house::House, process::Program};

/// What `cargo xtask sim` can be told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// This one alone.
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// In place of that: plant bugs, one after the other, and say which seed finds each.
    #[arg(long, conflicts_with_all = ["seeds", "first", "seed"])]
    planted: bool,
}

/// Runs the seeds; the first that fails ends it and says how it is run alone.
pub(crate) fn run(house: &House, arguments: &Arguments) -> Result<()> {
    let (first, seeds) = match arguments.seed {
        Some(seed) => (seed, 1),
        None => (arguments.first, arguments.seeds),
    };
    let test = if arguments.planted {
        "sim::planted"
    } else {
        "sim::nothing"
    };
    println!("  building the simulation");
    Program::new("cargo", house.root())
        .arguments(["test", "--release", "--quiet", "--workspace", "--lib"])
        .arguments([test, "--", "--nocapture"])
        .variable("KLOKKE_SIM_FIRST", first.to_string())
        .variable("KLOKKE_SIM_SEEDS", seeds.to_string())
        .must()?;
    Ok(())
}
