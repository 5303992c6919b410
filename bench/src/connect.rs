//! What an authenticated connect costs in CPU, and what an idle connection holds in memory, plain and TLS.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, client::Resumption, pki_types::pem::PemObject,
};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::{
    Scale, process,
    quic::Clients,
    report::Report,
    servers::{Programs, Running, Server},
    wire::{self, Stretch},
    with_server,
};

/// Connects before counting begins, so that what a process does once is not counted.
const WARM_UP: usize = 50;
/// How often memory is looked at, at most how many times, and how many times it must not have changed.
const SETTLE_LOOK: Duration = Duration::from_millis(100);
const SETTLE_LOOKS: usize = 100;
const SETTLED: usize = 20;
/// Servers whose tickets a client keeps. There is one.
const TICKETS: usize = 8;
/// TLS handshakes under way at once.
const HANDSHAKES_AT_ONCE: usize = 32;
/// The same where each takes a ticket: a client keeps eight of a server, and each is good for one handshake.
const RESUMED_AT_ONCE: usize = 4;

pub(crate) async fn measure(programs: &Programs, scale: &Scale, report: &mut Report) -> Result<()> {
    for server in [Server::Klokke, Server::Centrifuge, Server::Nats] {
        let count = scale.connects;
        let measured = with_server(programs, server, "connect", async |running| {
            let _warm = wire::open_many(running, WARM_UP, None).await?;
            let (seen, _open) = look(running, wire::open_many(running, count, None)).await?;
            Ok(seen)
        });
        if let Some(seen) = measured.await? {
            add(report, ("connect", "idle_connection"), server, count, &seen);
        }
    }
    for server in [Server::KlokkeTls, Server::CentrifugeTls] {
        let count = scale.connects_tls;
        let measured = with_server(programs, server, "TLS connect", async |running| {
            let connector = connector(running, Resumption::disabled())?;
            let _warm = open_many_tls(running, &connector, WARM_UP, HANDSHAKES_AT_ONCE).await?;
            let (seen, _open) = look(
                running,
                open_many_tls(running, &connector, count, HANDSHAKES_AT_ONCE),
            )
            .await?;
            Ok(seen)
        });
        if let Some(seen) = measured.await? {
            let names = ("connect_tls", "idle_connection_tls");
            add(report, names, server, count, &seen);
        }
        let measured = with_server(programs, server, "TLS connect resumed", async |running| {
            let connector = connector(running, Resumption::in_memory_sessions(TICKETS))?;
            let warm = open_many_tls(running, &connector, WARM_UP, HANDSHAKES_AT_ONCE).await?;
            let (seen, open) = look(
                running,
                open_many_tls(running, &connector, count, RESUMED_AT_ONCE),
            )
            .await?;
            ensure!(resumed(&warm) < WARM_UP, "nobody has a ticket at first");
            ensure!(resumed(&open) * 10 > count * 9, "tickets were not taken");
            Ok(seen)
        });
        if let Some(seen) = measured.await? {
            add_connect(report, "connect_tls_resumed", server, count, &seen);
        }
    }
    Ok(())
}

/// The same over QUIC, beside TLS.
pub(crate) async fn measure_quic(
    programs: &Programs,
    scale: &Scale,
    report: &mut Report,
) -> Result<()> {
    let (count, server) = (scale.connects_tls, Server::KlokkeQuic);
    let measured = with_server(programs, server, "QUIC connect", async |running| {
        let clients = Clients::of(running)?;
        let _warm = clients.open_many(WARM_UP, None).await?;
        let (seen, _open) = look(running, clients.open_many(count, None)).await?;
        Ok(seen)
    });
    if let Some(seen) = measured.await? {
        let names = ("connect_tls", "idle_connection_tls");
        add(report, names, server, count, &seen);
    }
    Ok(())
}

/// How many went on with a session from before.
fn resumed(open: &[TlsStream]) -> usize {
    let kinds = open
        .iter()
        .map(|stream| stream.get_ref().1.handshake_kind());
    kinds
        .filter(|kind| *kind == Some(HandshakeKind::Resumed))
        .count()
}

/// What connecting took, and what the connections hold once they are idle.
struct Seen {
    cpu: Duration,
    bytes: u64,
}

async fn look<T>(
    server: &Running,
    connecting: impl Future<Output = Result<T>>,
) -> Result<(Seen, T)> {
    let before = process::resident_bytes(server.pid)?;
    let stretch = Stretch::begin(server)?;
    let open = connecting.await?;
    let (_, cpu) = stretch.end()?;
    let after = settled_bytes(server).await?;
    let seen = Seen {
        cpu,
        bytes: after.saturating_sub(before),
    };
    Ok((seen, open))
}

#[allow(clippy::cast_precision_loss)] // Counts and bytes far below 2^52.
fn add(report: &mut Report, names: (&str, &str), server: Server, count: usize, seen: &Seen) {
    let name = server.name().trim_end_matches("_tls");
    add_connect(report, names.0, server, count, seen);
    report.add(names.1, "bytes", name, seen.bytes as f64 / count as f64);
}

#[allow(clippy::cast_precision_loss)] // Counts far below 2^52.
fn add_connect(report: &mut Report, figure: &str, server: Server, count: usize, seen: &Seen) {
    let name = server.name().trim_end_matches("_tls");
    let each = seen.cpu.as_secs_f64() * 1e6 / count as f64;
    report.add(figure, "µs CPU", name, each);
}

/// Memory once it no longer changes: a server may give back what connecting took. No collection is forced on those
/// that collect garbage; what they hold is what the machine must have.
pub(crate) async fn settled_bytes(server: &Running) -> Result<u64> {
    let mut last = process::resident_bytes(server.pid)?;
    let mut unchanged = 0;
    for _ in 0..SETTLE_LOOKS {
        tokio::time::sleep(SETTLE_LOOK).await;
        let now = process::resident_bytes(server.pid)?;
        unchanged = if now == last { unchanged + 1 } else { 0 };
        last = now;
        if unchanged == SETTLED {
            break;
        }
    }
    Ok(last)
}

type TlsStream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

fn connector(server: &Running, resumption: Resumption) -> Result<TlsConnector> {
    let certificate = server.certificate.as_ref().context("no certificate")?;
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(
        certificate,
    )?)?;
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = resumption;
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn open_many_tls(
    server: &Running,
    connector: &TlsConnector,
    size: usize,
    at_once: usize,
) -> Result<Vec<TlsStream>> {
    let mut open = Vec::with_capacity(size);
    let mut under_way = JoinSet::new();
    let mut next = 0;
    while open.len() < size {
        while next < size && under_way.len() < at_once {
            let (address, wire, connector, n) =
                (server.address, server.wire, connector.clone(), next);
            under_way.spawn_local(async move {
                let stream = wire::dial(address, n).await?;
                let mut stream = connector.connect("localhost".try_into()?, stream).await?;
                wire::greet(&mut stream, wire, n, None).await?;
                anyhow::Ok(stream)
            });
            next += 1;
        }
        open.push(
            under_way
                .join_next()
                .await
                .context("no connect under way")???,
        );
    }
    Ok(open)
}
