//! `cargo xtask dev`: the demo page and the server, built and started with an invented municipality.

use anyhow::Result;

use crate::{house::House, process::Program, setup};

/// What `cargo xtask dev` can be told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `klokke dev` as they are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    server: Vec<String>,
}

/// Builds what is missing, then hands the terminal to `klokke dev`.
pub(crate) fn run(house: &House, arguments: &Arguments) -> Result<()> {
    let page = setup::page(house)?;
    let server = setup::server(house)?;
    Program::new(server, house.root())
        .arguments(["dev", "--web"])
        .arguments([page])
        .arguments(&arguments.server)
        .hand_over()
}
