//! `klokke`: arguments to exit code. Everything else is in the library.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use klokke::app;

/// Gives memory back in small pieces: an idle connection is some hundred bytes here and there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match app::run(app::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // With nowhere to say it, the exit code says enough.
            let _ = writeln!(std::io::stderr(), "klokke: {error:#}");
            app::exit_code(&error)
        }
    }
}
