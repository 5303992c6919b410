//! What an authenticated connect costs in CPU, and what an idle connection holds in memory, plain and TLS.

use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::{ClientConfig, RootCertStore, pki_types::pem::PemObject};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::{
    Scale, process,
    report::Report,
    servers::{Programs, Running, Server},
    wire::{self, Stretch},
    with_server,
};

/// Connects before counting begins, so that what a process does once is not counted.
const WARM_UP: usize = 50;
/// TLS handshakes under way at once.
const HANDSHAKES_AT_ONCE: usize = 32;

pub(crate) async fn measure(programs: &Programs, scale: &Scale, report: &mut Report) -> Result<()> {
    for server in [Server::Klokke, Server::Centrifuge, Server::Nats] {
        let measured = with_server(programs, server, "connect", async |running| {
            let _warm = wire::open_many(running, WARM_UP, None).await?;
            let before = process::resident_bytes(running.pid)?;
            let stretch = Stretch::begin(running)?;
            let streams = wire::open_many(running, scale.connects, None).await?;
            let (_, cpu) = stretch.end()?;
            let after = settled_bytes(running).await?;
            drop(streams);
            Ok((cpu.as_secs_f64() * 1e6, after.saturating_sub(before)))
        });
        if let Some((cpu, bytes)) = measured.await? {
            add(
                report,
                scale,
                ("connect", "idle_connection"),
                server,
                cpu,
                bytes,
            );
        }
    }
    for server in [Server::KlokkeTls, Server::CentrifugeTls] {
        let count = scale.connects.div_ceil(3);
        let measured = with_server(programs, server, "TLS connect", async |running| {
            let _warm = open_many_tls(running, WARM_UP).await?;
            let before = process::resident_bytes(running.pid)?;
            let stretch = Stretch::begin(running)?;
            let streams = open_many_tls(running, count).await?;
            let (_, cpu) = stretch.end()?;
            let after = settled_bytes(running).await?;
            drop(streams);
            Ok((cpu.as_secs_f64() * 1e6, after.saturating_sub(before)))
        });
        if let Some((cpu, bytes)) = measured.await? {
            let scale = Scale {
                connects: count,
                ..Scale::quick()
            };
            add(
                report,
                &scale,
                ("connect_tls", "idle_connection_tls"),
                server,
                cpu,
                bytes,
            );
        }
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // Counts and bytes far below 2^52.
fn add(
    report: &mut Report,
    scale: &Scale,
    names: (&str, &str),
    server: Server,
    cpu: f64,
    bytes: u64,
) {
    let name = server.name().trim_end_matches("_tls");
    report.add(names.0, "µs CPU", name, cpu / scale.connects as f64);
    report.add(names.1, "bytes", name, bytes as f64 / scale.connects as f64);
}

/// Memory once it no longer changes: a server may give back what connecting took.
async fn settled_bytes(server: &Running) -> Result<u64> {
    let mut least = process::resident_bytes(server.pid)?;
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        least = process::resident_bytes(server.pid)?;
    }
    Ok(least)
}

type TlsStream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

async fn open_many_tls(server: &Running, size: usize) -> Result<Vec<TlsStream>> {
    let certificate = server.certificate.as_ref().context("no certificate")?;
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(
        certificate,
    )?)?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let mut open = Vec::with_capacity(size);
    let mut under_way = JoinSet::new();
    let mut next = 0;
    while open.len() < size {
        while next < size && under_way.len() < HANDSHAKES_AT_ONCE {
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
