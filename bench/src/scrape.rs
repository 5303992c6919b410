//! How long a server takes to answer Prometheus, as Prometheus sees it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

/// Scrapes of one measurement; the middle one counts.
const SCRAPES: usize = 21;

/// The median over several scrapes, each over a connection of its own.
pub(crate) async fn median(address: SocketAddr) -> Result<Duration> {
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
