//! `klokke-bench`: what a delivery, a connect, an idle connection and a durable commit cost.
//!
//! Every figure is taken from outside: the server is a process of its own, and its CPU time and memory
//! are read from `/proc`. Klokke, a plain send loop (the limit) and the peers are measured in one run,
//! one after the other, because machines differ and drift: the ratios are what counts. This crate may
//! know the wire and the operating system; it knows nothing of Klokke's rooms.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command line tool: tables on one, progress on the other.

mod commits;
mod connect;
mod crowd;
mod fanout;
mod latency;
mod limit;
mod nodes;
mod process;
mod quic;
mod report;
mod scrape;
mod servers;
mod wire;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::{
    report::Report,
    servers::{Programs, Server},
};

#[derive(Parser)]
#[command(about = "Measures Klokke beside the limit and its peers, in one run")]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Subcommand)]
enum Verb {
    /// The limit: a plain send loop on one thread, started by a measurement as a process of its own.
    Limit,
    /// Some thousand subscribers in a process of their own, started by a measurement.
    Crowd(crowd::Arguments),
    /// Many connections over QUIC at rest.
    Quic(quic::Arguments),
    /// One node on a store of its own beside nodes that share one.
    Nodes(nodes::Arguments),
}

#[derive(clap::Args)]
struct RunArguments {
    /// The klokke program to measure.
    #[arg(long)]
    klokke: Option<PathBuf>,
    /// The peer built on the Go library centrifuge; left out of the run when not given.
    #[arg(long)]
    centrifuge: Option<PathBuf>,
    /// The NATS server program; left out of the run when not given.
    #[arg(long)]
    nats: Option<PathBuf>,
    /// Any other server that speaks the protocol, as ws://host:port/path; only its latency can be seen.
    #[arg(long)]
    url: Option<String>,
    /// Small sizes, to see that everything runs.
    #[arg(long)]
    quick: bool,
    /// Fails when a figure lacks Klokke's value or has nothing to stand beside.
    #[arg(long)]
    complete: bool,
    /// Only the measurements whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Writes the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes the picture of the figures (SVG) to this file.
    #[arg(long)]
    picture: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the driver's runtime")?;
    let local = tokio::task::LocalSet::new();
    match arguments.verb {
        Some(Verb::Limit) => limit::serve(),
        Some(Verb::Crowd(crowd)) => local.block_on(&runtime, crowd::hold(&crowd)),
        Some(Verb::Quic(resting)) => local.block_on(&runtime, quic::rest(&resting)),
        Some(Verb::Nodes(nodes)) => local.block_on(&runtime, nodes::measure(&nodes)),
        None => local.block_on(&runtime, run(&arguments.run)),
    }
}

async fn run(arguments: &RunArguments) -> Result<()> {
    let programs = Programs {
        klokke: arguments
            .klokke
            .clone()
            .context("--klokke PROGRAM is needed")?,
        centrifuge: arguments.centrifuge.clone(),
        nats: arguments.nats.clone(),
    };
    let scale = if arguments.quick {
        Scale::quick()
    } else {
        Scale::full()
    };
    let wanted = |name: &str| {
        arguments
            .only
            .as_deref()
            .is_none_or(|only| name.contains(only))
    };
    let mut report = Report::default();

    if wanted("connect") || wanted("idle") {
        connect::measure(&programs, &scale, &mut report).await?;
        connect::measure_quic(&programs, &scale, &mut report).await?;
    }
    if wanted("scrape") {
        scrape::measure(&programs, &scale, &mut report).await?;
    }
    for &subscribers in &scale.subscribers {
        if wanted("delivery") || wanted(&format!("delivery_{subscribers}")) {
            fanout::measure(&programs, &scale, subscribers, &mut report).await?;
        }
    }
    if wanted("latency") {
        latency::measure(&programs, &scale, arguments.url.as_deref(), &mut report).await?;
    }
    if wanted("commit") {
        commits::measure(&programs, &scale, &mut report).await?;
    }

    report.show(arguments.json.as_deref(), arguments.picture.as_deref())?;
    if arguments.complete {
        report.must_be_complete()?;
    }
    Ok(())
}

/// How much of everything one run does.
pub(crate) struct Scale {
    /// Subscribers of one channel, a measurement each.
    subscribers: Vec<usize>,
    /// Deliveries a measurement aims at, one publication at a time.
    deliveries_single: usize,
    /// Deliveries of one window of publications, saturated.
    deliveries_saturated: usize,
    /// How long windows follow each other.
    saturated_for: Duration,
    /// Connections for the connect and idle figures.
    connects: usize,
    /// The same over TLS, where the driver's side costs as much as the server's.
    connects_tls: usize,
    /// How long publish-to-receive latency is sampled.
    latency_for: Duration,
    /// How long durable commits are made.
    commits_for: Duration,
}

impl Scale {
    fn full() -> Self {
        Self {
            subscribers: vec![100, 1_000, 9_000, 18_000],
            deliveries_single: 150_000,
            deliveries_saturated: 900_000,
            saturated_for: Duration::from_secs(4),
            connects: 18_000,
            connects_tls: 18_000,
            latency_for: Duration::from_secs(10),
            commits_for: Duration::from_secs(10),
        }
    }

    fn quick() -> Self {
        Self {
            subscribers: vec![50],
            deliveries_single: 2_000,
            deliveries_saturated: 10_000,
            saturated_for: Duration::from_millis(200),
            connects: 100,
            connects_tls: 50,
            latency_for: Duration::from_millis(500),
            commits_for: Duration::from_millis(500),
        }
    }
}

/// Starts a server of its own for one measurement, and tells whoever waits how far the run is.
async fn with_server<T>(
    programs: &Programs,
    server: Server,
    what: &str,
    measure: impl AsyncFnOnce(&servers::Running) -> Result<T>,
) -> Result<Option<T>> {
    let Some(running) = servers::start(programs, server)? else {
        return Ok(None);
    };
    eprint!("{what}: {} ... ", server.name());
    let started = std::time::Instant::now();
    let result = measure(&running)
        .await
        .with_context(|| format!("{what} of {}", server.name()))?;
    eprintln!("{:.1} s", started.elapsed().as_secs_f64());
    Ok(Some(result))
}
