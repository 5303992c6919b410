//! `klokke-load`: arguments in, exit code out. What it does is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use klokke_load::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    klokke_load::cli::main(Cli::parse())
}
