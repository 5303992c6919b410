//! What one delivery costs the server in CPU: one publication at a time, and saturated.

use anyhow::Result;

use crate::{
    Scale,
    report::Report,
    servers::{Programs, Running, Server},
    wire::{Audience, Publisher, Stretch, publication},
    with_server,
};

/// Publications of one measurement: enough to mean something with few subscribers, bounded with many.
const PUBLICATIONS_MAX: usize = 20_000;
/// Publications sent before the driver looks whether they arrived; bounds what queues up in a server.
const WINDOW: usize = 1_000;
/// Deliveries a server may cost at most in one measurement, for those that cost much more than a send.
const SLOW_SERVER_SHARE: usize = 8;

pub(crate) async fn measure(
    programs: &Programs,
    scale: &Scale,
    subscribers: usize,
    report: &mut Report,
) -> Result<()> {
    for server in [
        Server::Klokke,
        Server::Limit,
        Server::Centrifuge,
        Server::Nats,
    ] {
        let what = format!("delivery to {subscribers}");
        let measured = with_server(programs, server, &what, async |running| {
            let audience = Audience::gather(running, subscribers, CHANNEL).await?;
            let mut publisher = Publisher::open(running).await?;
            one_at_a_time(running, &audience, &mut publisher, subscribers, 20).await?;
            let count = (scale.deliveries_single / subscribers).clamp(10, PUBLICATIONS_MAX);
            let single =
                one_at_a_time(running, &audience, &mut publisher, subscribers, count).await?;
            let share = if server == Server::Klokke {
                1
            } else {
                SLOW_SERVER_SHARE
            };
            let count =
                (scale.deliveries_saturated / share / subscribers).clamp(25, PUBLICATIONS_MAX);
            let saturated =
                all_at_once(running, &audience, &mut publisher, subscribers, count).await?;
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
    subscribers: usize,
    count: usize,
) -> Result<Cost> {
    let stretch = Stretch::begin(server)?;
    let mut sent = 0;
    while sent < count {
        let now = WINDOW.min(count - sent);
        let bytes: Vec<u8> = (sent..sent + now)
            .flat_map(|n| publication(server.wire, CHANNEL, n))
            .collect();
        audience.start_counting();
        publisher.send(&bytes).await?;
        audience.reached(subscribers * now).await?;
        sent += now;
    }
    cost(&stretch, subscribers * count)
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
