//! `cargo xtask bench`: builds Klokke, the driver and the peers, and hands over to `klokke-bench`.

use std::path::Path;

use anyhow::Result;

use crate::{house::House, process::Program, setup};

/// What `cargo xtask bench` can be told; everything goes to `klokke-bench`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `klokke-bench` as they are (`--json FILE`, `--only NAME`, `--quick` ...).
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    driver: Vec<String>,
}

/// The folder of the peer built on the Go library.
const CENTRIFUGE: &str = "bench/peers/centrifuge";

/// Builds all parts, then measures.
pub(crate) fn run(house: &House, arguments: &Arguments) -> Result<()> {
    let server = setup::server(house)?;
    driver(house, &server)?
        .arguments(&arguments.driver)
        .hand_over()
}

/// The driver, told where the server and its peers are, all built.
pub(crate) fn driver(house: &House, server: &Path) -> Result<Program> {
    let driver = alone(house)?;
    setup::go(house, CENTRIFUGE)?;
    let centrifuge = house.foreign().join("centrifuge-peer");
    Program::new("go", &house.path(CENTRIFUGE))
        .arguments(["build", "-o"])
        .arguments([&centrifuge])
        .must()?;
    let nats = setup::nats(house)?;
    let driver = driver
        .arguments(["--klokke".as_ref(), server.as_os_str()])
        .arguments(["--centrifuge".as_ref(), centrifuge.as_os_str()])
        .arguments(["--nats".as_ref(), nats.as_os_str()]);
    Ok(driver)
}

/// The driver without any peers.
pub(crate) fn alone(house: &House) -> Result<Program> {
    println!("  building the driver (release)");
    Program::new("cargo", house.root())
        .arguments(["build", "--quiet", "--release", "--workspace"])
        .arguments(["--bin", "klokke-bench"])
        .must()?;
    let driver = house.target().join("release/klokke-bench");
    Ok(Program::new(driver, house.root()))
}
