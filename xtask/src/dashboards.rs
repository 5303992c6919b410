//! `cargo xtask dashboards`: makes Grafana's dashboards and Prometheus' rules, and holds them against the catalogue, promtool and
//! their runbooks. Against a real server and a real Prometheus they are held by the step `dashboards` of `cargo xtask test`.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{house::House, process::Program, setup};

/// What `cargo xtask dashboards` can be told.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// What the address of a runbook begins with, where operators read them.
    #[arg(long)]
    runbooks: Option<String>,
}

/// Where the runbooks are in the repository; what the rules' tests expect.
const RUNBOOKS: &str = "docs/runbooks/";

/// The package that makes them.
const FOLDER: &str = "dashboards";

/// Makes and checks all of it.
pub(crate) fn run(house: &House, arguments: &Arguments) -> Result<()> {
    let folder = house.path(FOLDER);
    setup::npm(house, FOLDER)?;
    // Its tests use the same SDK set-up as the suites, which the compiler reads too.
    setup::npm(house, "tests/sdk/js")?;
    println!("  checking the types");
    node(house, &["node_modules/typescript/bin/tsc"])?.must()?;
    println!(
        "  making dashboards and rules, and comparing their names with docs/metrics.md and docs/runbooks/"
    );
    let runbooks = arguments.runbooks.as_deref().unwrap_or(RUNBOOKS);
    node(
        house,
        &["--import", "tsx", "src/main.ts", "--runbooks", runbooks],
    )?
    .must()?;
    println!("  checking the rules");
    let promtool = setup::prometheus(house)?.join("promtool");
    Program::new(&promtool, &folder)
        .arguments(["check", "rules"])
        .arguments(files(&folder.join("dist/prometheus"))?)
        .must()?;
    Program::new(&promtool, house.root())
        .arguments(["check", "config", "config/prometheus/prometheus.yml"])
        .must()?;
    if runbooks == RUNBOOKS {
        println!("  running the rules' unit tests");
        Program::new(&promtool, &folder)
            .arguments(["test", "rules"])
            .arguments(files(&folder.join("rules/tests"))?)
            .must()?;
    }
    println!("dashboards: {FOLDER}/dist/grafana/*.json, rules: {FOLDER}/dist/prometheus/*.yaml");
    println!("how Grafana and Prometheus load them: docs/operating.md");
    Ok(())
}

/// A program of the package.
pub(crate) fn node(house: &House, arguments: &[&str]) -> Result<Program> {
    setup::npm(house, FOLDER)?;
    Ok(Program::new("node", &house.path(FOLDER)).arguments(arguments))
}

fn files(folder: &std::path::Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}
