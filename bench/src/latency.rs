//! How long a publication takes from its sender to a receiver, at a steady rate that no server is busy with.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::{
    Scale,
    report::Report,
    servers::{Programs, Running, Server},
    wire::{self, Audience, Marks, Publisher, Wire, publication},
    with_server,
};

const CHANNEL: &str = "bench:latency";
/// Subscribers besides the one whose clock is looked at.
const OTHERS: usize = 99;
/// One publication in this time, due at fixed moments whether the last one has arrived or not.
const INTERVAL: Duration = Duration::from_millis(2);
/// How much later than asked a sleeping thread may wake.
const SLEEP_OVERSHOOT: Duration = Duration::from_micros(150);

pub(crate) async fn measure(
    programs: &Programs,
    scale: &Scale,
    url: Option<&str>,
    report: &mut Report,
) -> Result<()> {
    for server in [
        Server::Klokke,
        Server::Limit,
        Server::Centrifuge,
        Server::Nats,
    ] {
        let measured = with_server(programs, server, "latency", async |running| {
            let _others = Audience::gather(running, OTHERS, CHANNEL).await?;
            let subscriber = wire::open(running, OTHERS, Some(CHANNEL)).await?;
            let mut publisher = Publisher::open(running).await?;
            sample(subscriber, &mut publisher, steady(running.wire, scale)).await
        });
        if let Some(histogram) = measured.await? {
            add(report, server.name(), &histogram);
        }
    }
    if let Some(url) = url {
        let running = Running::elsewhere(url)?;
        let subscriber = wire::open(&running, OTHERS, Some(CHANNEL))
            .await
            .context("--url")?;
        let mut publisher = Publisher::open(&running).await?;
        add(
            report,
            url,
            &sample(subscriber, &mut publisher, steady(running.wire, scale)).await?,
        );
    }
    Ok(())
}

/// Publications at a steady rate.
#[derive(Clone, Copy)]
pub(crate) struct Steady<'a> {
    pub(crate) wire: Wire,
    pub(crate) channel: &'a str,
    pub(crate) interval: Duration,
    pub(crate) span: Duration,
}

const fn steady(wire: Wire, scale: &Scale) -> Steady<'static> {
    Steady {
        wire,
        channel: CHANNEL,
        interval: INTERVAL,
        span: scale.latency_for,
    }
}

#[allow(clippy::cast_precision_loss)] // Microseconds far below 2^52.
fn add(report: &mut Report, name: &str, histogram: &Histogram<u64>) {
    for (figure, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let value = histogram.value_at_quantile(quantile) as f64;
        report.add(&format!("latency_100_{figure}"), "µs", name, value);
    }
}

/// Sleeps most of the time and spins the rest, which a sleep would overshoot.
fn wait_until(moment: Instant) {
    if let Some(early) = moment.checked_sub(SLEEP_OVERSHOOT) {
        std::thread::sleep(early.saturating_duration_since(Instant::now()));
    }
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
}

async fn sample(
    subscriber: TcpStream,
    publisher: &mut Publisher,
    steady: Steady<'_>,
) -> Result<Histogram<u64>> {
    let all = sample_all(vec![subscriber], publisher, steady).await?;
    all.into_iter().next().context("one subscriber")
}

/// What each of the subscribers saw. Latency counts from when a publication was due, so a late sender or a stalled server shows in full.
pub(crate) async fn sample_all(
    subscribers: Vec<TcpStream>,
    publisher: &mut Publisher,
    steady: Steady<'_>,
) -> Result<Vec<Histogram<u64>>> {
    let Steady { wire, interval, .. } = steady;
    let count = usize::try_from(steady.span.as_micros() / interval.as_micros())?;
    let started = Instant::now();
    let due = move |n: usize| interval.mul_f64(f64::from(u32::try_from(n).unwrap_or(u32::MAX)));
    let receive = |mut subscriber: TcpStream| async move {
        let mut histogram = Histogram::<u64>::new(3)?;
        let mut buffer = vec![0; 64 * 1024];
        let mut marks = Marks::new();
        let mut arrived = 0;
        while arrived < count {
            let length = subscriber.read(&mut buffer).await?;
            anyhow::ensure!(length > 0, "the server hung up");
            let now = started.elapsed();
            for _ in 0..marks.count(&buffer[..length]) {
                histogram.record(u64::try_from(now.saturating_sub(due(arrived)).as_micros())?)?;
                arrived += 1;
            }
        }
        anyhow::Ok(histogram)
    };
    let receive = futures_util::future::try_join_all(subscribers.into_iter().map(receive));
    // On a thread of its own: the driver's timers are too coarse to send at a moment.
    let mut sender = publisher.sender()?;
    let channel = steady.channel.to_owned();
    let send = tokio::task::spawn_blocking(move || {
        for n in 0..count {
            wait_until(started + due(n));
            sender.write_all(&publication(wire, &channel, n))?;
        }
        anyhow::Ok(())
    });
    let send = async { send.await? };
    let both = async { tokio::try_join!(receive, send) };
    let ended = tokio::time::timeout(steady.span + Duration::from_secs(30), both).await;
    let (histograms, ()) = ended.with_context(|| match publisher.refused() {
        Some(refused) => format!("a publication was refused: {refused}"),
        None => "not everything arrived in time".to_owned(),
    })??;
    Ok(histograms)
}
