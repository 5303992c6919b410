//! The population: the whole country of the implementation plan, invented, as a stream.

use std::process::ExitCode;

/// What `klokke-load people` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Invents the people.
///
/// # Errors
/// When the files cannot be written.
pub fn run(_arguments: &Arguments) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not built yet")
}
