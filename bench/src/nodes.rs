//! What a cluster costs: durable commits and fan-out of one node on a store of its own, beside nodes that share a store and hear each other
//! over a bus; and how long a publication takes to a crowd that one machine holds over several nodes.
//!
//! Which stores there are, is told by whoever starts the driver (`cargo xtask cluster --costs`).

use std::{fs, path::PathBuf, str::FromStr, time::Duration, time::Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;

use crate::{
    commits::{self, COMMITTERS},
    connect::settled_bytes,
    crowd::Crowd,
    latency::{Steady, sample_all},
    report::Report,
    servers::{self, Running},
    wire::{self, Publisher, Wire, publication},
};

/// What this measurement can be told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The klokke program to measure.
    #[arg(long)]
    klokke: PathBuf,
    /// A case, as NAME=NODES, or NAME=NODES=FILE with a file of further sections of their configuration; several times.
    #[arg(long, required = true)]
    case: Vec<Case>,
    /// Subscribers of one channel over all nodes of the last case; none as a rule.
    #[arg(long, default_value_t = 0)]
    sockets: usize,
    /// Seconds of each stretch.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Writes the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes the picture of the figures (SVG) to this file.
    #[arg(long)]
    picture: Option<PathBuf>,
}

/// Nodes of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    name: String,
    nodes: usize,
    file: Option<PathBuf>,
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '=');
        let (name, nodes) = (parts.next(), parts.next());
        let nodes = nodes
            .and_then(|nodes| nodes.parse().ok())
            .filter(|&it| it > 0);
        match (name, nodes) {
            (Some(name), Some(nodes)) => Ok(Self {
                name: name.to_owned(),
                nodes,
                file: parts.next().map(PathBuf::from),
            }),
            _ => Err("not NAME=NODES or NAME=NODES=FILE".to_owned()),
        }
    }
}

/// Channels without and with a history, and how often something is published there: what is kept, as often as one ledger of a cluster bears.
const CHANNELS: [(&str, &str, Duration); 2] = [
    ("fan_out", "bench:latency", Duration::from_millis(2)),
    ("fan_out_kept", "kept:latency", Duration::from_millis(50)),
];

/// At once, before anything is measured.
const WARM_UP_COMMITTERS: usize = 16;

/// What the crowd listens to, and how often something is said to it.
const SQUARE: &str = "bench:square";
const SAID: usize = 20;

/// Measures each case.
pub(crate) async fn measure(arguments: &Arguments) -> Result<()> {
    let mut report = Report::default();
    let span = Duration::from_secs(arguments.seconds);
    for (nth, case) in arguments.case.iter().enumerate() {
        eprintln!("{}: {} nodes", case.name, case.nodes);
        let nodes = start(arguments, case)?;
        // What a store does for the first time takes longer; that is not what is asked here.
        commits::run(&nodes, WARM_UP_COMMITTERS, span).await?;
        for committers in COMMITTERS {
            let (rate, times) = commits::run(&nodes, committers, span).await?;
            commits::add(&mut report, committers, &case.name, rate, &times);
        }
        for (figure, channel, interval) in CHANNELS {
            let steady = Steady {
                wire: Wire::Centrifugal,
                channel,
                interval,
                span,
            };
            fan_out(&nodes, case, figure, steady, &mut report).await?;
        }
        drop(nodes);
        let is_last = nth + 1 == arguments.case.len();
        if is_last && arguments.sockets > 0 {
            // Of which nothing was asked before.
            let fresh = start(arguments, case)?;
            crowd(&fresh, case, arguments.sockets, &mut report).await?;
        }
    }
    report.show(arguments.json.as_deref(), arguments.picture.as_deref())
}

fn start(arguments: &Arguments, case: &Case) -> Result<Vec<Running>> {
    let more = match &case.file {
        Some(file) => {
            fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?
        }
        None => String::new(),
    };
    if !more.is_empty() {
        servers::migrate(&arguments.klokke, &more)?;
    }
    (1..=case.nodes)
        .map(|nth| servers::start_node(&arguments.klokke, &more, nth))
        .collect()
}

/// Published at the first node, heard there and at all others.
#[allow(clippy::cast_precision_loss)] // Microseconds far below 2^52.
async fn fan_out(
    nodes: &[Running],
    case: &Case,
    figure: &str,
    steady: Steady<'_>,
    report: &mut Report,
) -> Result<()> {
    let subscribers = nodes
        .iter()
        .map(|node| wire::open(node, 0, Some(steady.channel)));
    let subscribers = try_join_all(subscribers).await?;
    let mut publisher = Publisher::open(&nodes[0]).await?;
    let mut heard = sample_all(subscribers, &mut publisher, steady).await?;
    let own = heard.remove(0);
    let others = heard.into_iter().reduce(|mut all, it| {
        all += it;
        all
    });
    for (place, times) in [("own", Some(own)), ("other", others)] {
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            if let Some(times) = &times {
                let value = times.value_at_quantile(quantile) as f64;
                report.add(&format!("{figure}_{place}_{name}"), "µs", &case.name, value);
            }
        }
    }
    Ok(())
}

/// What all of them hold, once that no longer changes.
async fn memory(nodes: &[Running]) -> Result<u64> {
    let mut sum = 0;
    for node in nodes {
        sum += settled_bytes(node).await?;
    }
    Ok(sum)
}

/// As many as asked for, spread over the nodes, hear one publication after the other.
#[allow(clippy::cast_precision_loss)] // Counts and bytes far below 2^52.
async fn crowd(nodes: &[Running], case: &Case, size: usize, report: &mut Report) -> Result<()> {
    let share = size / nodes.len();
    ensure!(share > 0, "--sockets: at least one for each node");
    let before = memory(nodes).await?;
    let began = Instant::now();
    let mut crowds = Vec::new();
    for node in nodes {
        crowds.push(Crowd::gather(node, share, SQUARE)?);
    }
    try_join_all(crowds.iter_mut().map(Crowd::ready)).await?;
    let took = began.elapsed().as_secs_f64();
    let size = share * nodes.len();
    let each = memory(nodes).await?.saturating_sub(before) as f64 / size as f64;
    let mut publisher = Publisher::open(&nodes[0]).await?;
    let mut times = Vec::new();
    for n in 0..SAID {
        try_join_all(crowds.iter_mut().map(Crowd::begin)).await?;
        let said = Instant::now();
        publisher
            .send(&publication(Wire::Centrifugal, SQUARE, n))
            .await?;
        try_join_all(crowds.iter_mut().map(Crowd::reached)).await?;
        times.push(said.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    let figures = [
        ("crowd", "sockets", size as f64),
        ("crowd_connects", "connects/s", size as f64 / took),
        ("crowd_memory", "bytes a socket", each),
        ("crowd_all_heard_p50", "ms", times[SAID / 2]),
        ("crowd_all_heard_max", "ms", times[SAID - 1]),
    ];
    for (figure, unit, value) in figures {
        report.add(figure, unit, &case.name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_from_one_word() {
        let case = |name: &str, nodes, file: Option<&str>| Case {
            name: name.to_owned(),
            nodes,
            file: file.map(PathBuf::from),
        };
        assert_eq!("klokke=1".parse(), Ok(case("klokke", 1, None)));
        assert_eq!("3=2=a=b".parse(), Ok(case("3", 2, Some("a=b"))));
        for wrong in ["", "a", "a=0", "a=x"] {
            assert!(wrong.parse::<Case>().is_err(), "{wrong}");
        }
    }
}
