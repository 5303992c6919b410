//! Durable commits: how many a second, and how long one takes until its acknowledgement.
//!
//! Klokke publishes into a namespace with history, acknowledged once it is on disk. NATS publishes into a JetStream
//! stream on disk that is synchronised at each message, acknowledged too. The Go library keeps nothing on
//! disk and takes no part.

use std::{
    cell::RefCell,
    io::{Seek, Write},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    Scale,
    report::Report,
    servers::{Programs, Running, Server},
    wire::{self, Wire, publication},
    with_server,
};

/// Connections that commit at the same time, each with one commit under way, each in its own channel.
pub(crate) const COMMITTERS: [usize; 2] = [1, 200];

/// Size of the file that the bare disk is measured with.
const LIMIT_FILE_BYTES: usize = 8 << 20;

pub(crate) async fn measure(programs: &Programs, scale: &Scale, report: &mut Report) -> Result<()> {
    for committers in COMMITTERS {
        for server in [Server::Klokke, Server::Nats] {
            let what = format!("commits by {committers}");
            let measured = with_server(programs, server, &what, async |running| {
                if running.wire == Wire::Nats {
                    make_stream(running).await?;
                }
                run(std::slice::from_ref(running), committers, scale.commits_for).await
            });
            if let Some((rate, histogram)) = measured.await? {
                add(report, committers, server.name(), rate, &histogram);
            }
        }
        if committers == 1 {
            let (rate, histogram) = append_and_sync(scale.commits_for)?;
            add(report, committers, Server::Limit.name(), rate, &histogram);
        }
    }
    Ok(())
}

/// The limit of one commit after the other: the same bytes written to a file that is large enough already, each
/// synchronised, and nothing else.
#[allow(clippy::cast_precision_loss)] // Counts far below 2^52.
fn append_and_sync(span: Duration) -> Result<(f64, Histogram<u64>)> {
    let mut file = tempfile::tempfile()?;
    file.write_all(&vec![0; LIMIT_FILE_BYTES])?;
    file.sync_all()?;
    file.rewind()?;
    let bytes = publication(Wire::Centrifugal, "kept:0", 0);
    let mut times = Histogram::<u64>::new(3)?;
    let started = Instant::now();
    while started.elapsed() < span {
        let began = Instant::now();
        if file.stream_position()? + bytes.len() as u64 > LIMIT_FILE_BYTES as u64 {
            file.rewind()?;
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        times.record(u64::try_from(began.elapsed().as_micros())?)?;
    }
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    Ok((rate, times))
}

#[allow(clippy::cast_precision_loss)] // Microseconds far below 2^52.
pub(crate) fn add(
    report: &mut Report,
    committers: usize,
    name: &str,
    rate: f64,
    times: &Histogram<u64>,
) {
    report.add(
        &format!("commits_{committers}_rate"),
        "commits/s",
        name,
        rate,
    );
    for (figure, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let value = times.value_at_quantile(quantile) as f64;
        report.add(&format!("commits_{committers}_{figure}"), "µs", name, value);
    }
}

/// Commits at these servers, which are nodes of one cluster, in turn.
#[allow(clippy::cast_precision_loss)] // Counts far below 2^52.
pub(crate) async fn run(
    servers: &[Running],
    committers: usize,
    span: Duration,
) -> Result<(f64, Histogram<u64>)> {
    let times = Rc::new(RefCell::new(Histogram::<u64>::new(3)?));
    let mut streams = Vec::new();
    for (n, server) in servers.iter().cycle().take(committers).enumerate() {
        streams.push((server.wire, wire::open(server, n, None).await?));
    }
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for (n, (wire, stream)) in streams.into_iter().enumerate() {
        let times = Rc::clone(&times);
        tasks.spawn_local(
            async move { commit_until(stream, wire, n, started + span, &times).await },
        );
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let passed = started.elapsed();
    let times = times.borrow().clone();
    Ok((times.len() as f64 / passed.as_secs_f64(), times))
}

async fn commit_until(
    mut stream: TcpStream,
    wire: Wire,
    n: usize,
    end: Instant,
    times: &RefCell<Histogram<u64>>,
) -> Result<()> {
    let channel = match wire {
        Wire::Nats => format!("kept.{n}"),
        _ => format!("kept:{n}"),
    };
    if wire == Wire::Nats {
        stream
            .write_all(format!("SUB ack.{n} 2\r\n").as_bytes())
            .await?;
    }
    let mut buffer = Vec::with_capacity(4096);
    let mut count = 0;
    while Instant::now() < end {
        let bytes = match wire {
            Wire::Nats => with_reply(&publication(wire, &channel, count), &format!("ack.{n}")),
            _ => publication(wire, &channel, count),
        };
        let began = Instant::now();
        stream.write_all(&bytes).await?;
        let acknowledged: &[u8] = if wire == Wire::Nats {
            b"\"seq\":"
        } else {
            b"\"publish\":{}"
        };
        buffer.clear();
        while memchr::memmem::find(&buffer, acknowledged).is_none() {
            if stream.read_buf(&mut buffer).await? == 0
                || memchr::memmem::find(&buffer, b"\"error\"").is_some()
            {
                bail!("refused: {}", String::from_utf8_lossy(&buffer));
            }
        }
        times
            .borrow_mut()
            .record(u64::try_from(began.elapsed().as_micros())?)?;
        count += 1;
    }
    Ok(())
}

/// The same NATS message, asking for an acknowledgement on another subject.
fn with_reply(message: &[u8], reply: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(message);
    let mut words = text.splitn(3, ' ');
    let (verb, subject, rest) = (
        words.next().unwrap_or(""),
        words.next().unwrap_or(""),
        words.next().unwrap_or(""),
    );
    format!("{verb} {subject} {reply} {rest}").into_bytes()
}

async fn make_stream(server: &Running) -> Result<()> {
    let mut stream = wire::open(server, 0, None).await?;
    let wanted =
        json!({"name": "KEPT", "subjects": ["kept.*"], "storage": "file", "retention": "limits",
        "max_msgs_per_subject": 1000, "discard": "old", "num_replicas": 1})
        .to_string();
    let request = format!(
        "SUB made 9\r\nPUB $JS.API.STREAM.CREATE.KEPT made {}\r\n{wanted}\r\n",
        wanted.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while memchr::memmem::find(&answer, b"stream_create_response").is_none() {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut answer));
        if read.await.context("JetStream does not answer")?? == 0 {
            bail!("NATS hung up");
        }
    }
    if memchr::memmem::find(&answer, b"\"error\"").is_some() {
        bail!("JetStream refused: {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
