//! How long a server with many connections takes to answer Prometheus, as Prometheus sees it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::{
    Scale,
    report::Report,
    servers::{Programs, Server},
    wire, with_server,
};

/// Scrapes of one measurement; the middle one counts.
const SCRAPES: usize = 21;

pub(crate) async fn measure(programs: &Programs, scale: &Scale, report: &mut Report) -> Result<()> {
    let count = scale.connects;
    // NATS answers no Prometheus.
    for server in [Server::Klokke, Server::Centrifuge] {
        let measured = with_server(programs, server, "scrape", async |running| {
            let _open = wire::open_many(running, count, None).await?;
            median(running.address).await
        });
        if let Some(took) = measured.await? {
            let (name, ms) = (format!("scrape_{count}"), took.as_secs_f64() * 1e3);
            report.add(&name, "ms", server.name(), ms);
        }
    }
    Ok(())
}

/// The median over several scrapes, each over a connection of its own.
async fn median(address: SocketAddr) -> Result<Duration> {
    let mut took = Vec::with_capacity(SCRAPES);
    for _ in 0..SCRAPES {
        took.push(once(address).await.context("scrape the metrics")?);
    }
    took.sort_unstable();
    Ok(took[SCRAPES / 2])
}

async fn once(address: SocketAddr) -> Result<Duration> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let took = began.elapsed();
    ensure!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "the server answers no Prometheus"
    );
    let text = String::from_utf8_lossy(&answer);
    ensure!(
        text.contains("process_resident_memory_bytes"),
        "the answer is no exposition"
    );
    Ok(took)
}
