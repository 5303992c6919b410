//! The composition root: takes the command line apart and puts the server together. The only file (with its folder) that
//! names concrete stores, verifiers and transports; nothing else may.

mod answers;
mod check;
pub mod cli;
mod cluster;
mod dev;
mod drain;
mod edge;
mod figures;
mod import;
mod leave;
mod ledger;
mod offline;
mod remote;
mod routing;
mod serve;
mod settings;
mod store;
mod stores;
mod token;
mod vitals;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::config;
use crate::store::fjall::OpenError;
use cli::{Cli, ConfigVerb, Verb};

/// Does what the command line asks.
///
/// # Errors
/// Whatever kept it from being done, as a chain of causes that names what to mend.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.verb {
        Verb::Config(verb) => configuration(&verb),
        Verb::Token(arguments) => token::run(&arguments),
        Verb::Drain(arguments) => block_on(drain::run(&arguments)),
        Verb::Import(arguments) => block_on(import::run(&arguments)),
        Verb::Store(verb) => block_on(store::run(verb)),
        Verb::Ledger(verb) => block_on(ledger::run(verb)),
        Verb::Serve(given) => block_on(serve::run(&given)),
        Verb::Dev(arguments) => block_on(dev::run(&arguments)),
    }
}

/// Exit code when what is stored is not what was written.
const DAMAGED: u8 = 3;

/// How a failed run ends.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<OpenError>() {
        Some(error) if error.is_damage() => ExitCode::from(DAMAGED),
        _ => ExitCode::FAILURE,
    }
}

fn configuration(verb: &ConfigVerb) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match verb {
        ConfigVerb::Example => write!(out, "{}", config::example())?,
        ConfigVerb::Print(given) => {
            let config = settings::read(given.config.as_deref(), &given.set)?;
            write!(out, "{}", config::print(&config))?;
        }
        ConfigVerb::Check(given) => {
            let config = settings::read(given.config.as_deref(), &given.set)?;
            check::configuration(&config)?;
            writeln!(out, "the configuration is right")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs work of the command line on this thread.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("cannot start")?;
    let done = runtime.block_on(work);
    // What is still under way was not waited for on purpose: a server told to end at once.
    runtime.shutdown_background();
    done
}
