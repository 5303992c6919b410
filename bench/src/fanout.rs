//! What one delivery costs the server in CPU: one publication at a time, and saturated.

use anyhow::Result;

use crate::{
    Scale,
    report::Report,
    servers::{Programs, Running, Server},
    wire::{Audience, Publisher, Stretch, publication},
    with_server,
};

/// Publications of one measurement, one at a time: enough to mean something with few subscribers, bounded with many.
const SINGLE_MIN: usize = 10;
const SINGLE_MAX: usize = 20_000;
/// Saturated, publications are sent in windows, each as fast as the server takes it, and the next when all of it has
/// arrived, so that what queues up in a server is bounded. As many as make a window of some seconds for the slowest.
const WINDOW_MIN: usize = 100;
const WINDOW_MAX: usize = 1_000;

pub(crate) async fn measure(
    programs: &Programs,
    scale: &Scale,
    subscribers: usize,
    report: &mut Report,
) -> Result<()> {
    for server in [
        Server::Klokke,
        Server::KlokkeQuic,
        Server::Limit,
        Server::Centrifuge,
        Server::Nats,
    ] {
        let what = format!("delivery to {subscribers}");
        let measured = with_server(programs, server, &what, async |running| {
            let audience = Audience::gather(running, subscribers, CHANNEL).await?;
            let mut publisher = Publisher::open(running).await?;
            one_at_a_time(running, &audience, &mut publisher, subscribers, 20).await?;
            let count = (scale.deliveries_single / subscribers).clamp(SINGLE_MIN, SINGLE_MAX);
            let single =
                one_at_a_time(running, &audience, &mut publisher, subscribers, count).await?;
            // The same windows for everyone: what waits can be joined, and everyone gets the same chance to.
            let window = (scale.deliveries_saturated / subscribers).clamp(WINDOW_MIN, WINDOW_MAX);
            let saturated = all_at_once(
                running,
                &audience,
                &mut publisher,
                (subscribers, window),
                scale,
            )
            .await?;
            Ok((single, saturated))
        });
        if let Some((single, saturated)) = measured.await? {
            let name = server.name();
            report.add(
                &format!("delivery_{subscribers}_single"),
                "µs CPU",
                name,
                single.cpu,
            );
            report.add(
                &format!("delivery_{subscribers}_saturated"),
                "µs CPU",
                name,
                saturated.cpu,
            );
            let rate = format!("delivery_{subscribers}_saturated_rate");
            report.add(&rate, "deliveries/s", name, saturated.rate);
        }
    }
    Ok(())
}

/// The channel of the measurement; allowed by the measured servers' configuration. NATS reads it as a subject.
const CHANNEL: &str = "bench:room";

struct Cost {
    /// Server CPU for one delivery, in microseconds.
    cpu: f64,
    /// Deliveries a second.
    rate: f64,
}

async fn one_at_a_time(
    server: &Running,
    audience: &Audience,
    publisher: &mut Publisher,
    subscribers: usize,
    count: usize,
) -> Result<Cost> {
    let stretch = Stretch::begin(server)?;
    for n in 0..count {
        audience.start_counting();
        publisher
            .send(&publication(server.wire, CHANNEL, n))
            .await?;
        audience.reached(subscribers).await?;
    }
    cost(&stretch, subscribers * count)
}

async fn all_at_once(
    server: &Running,
    audience: &Audience,
    publisher: &mut Publisher,
    (subscribers, window): (usize, usize),
    scale: &Scale,
) -> Result<Cost> {
    let bytes: Vec<u8> = (0..window)
        .flat_map(|n| publication(server.wire, CHANNEL, n))
        .collect();
    let stretch = Stretch::begin(server)?;
    let mut windows = 0;
    while windows == 0 || stretch.passed() < scale.saturated_for {
        audience.start_counting();
        publisher.send(&bytes).await?;
        audience.reached(subscribers * window).await?;
        windows += 1;
    }
    cost(&stretch, subscribers * window * windows)
}

#[allow(clippy::cast_precision_loss)] // Counts far below 2^52.
fn cost(stretch: &Stretch, deliveries: usize) -> Result<Cost> {
    let (passed, cpu) = stretch.end()?;
    let deliveries = deliveries as f64;
    Ok(Cost {
        cpu: cpu.as_secs_f64() * 1e6 / deliveries,
        rate: deliveries / passed.as_secs_f64(),
    })
}
