//! The Rust SDK over QUIC against the built server: first choice, second choice, moving, and a server that is killed.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use klokke_client::{Client, Config, Event, Events, Quic};
use klokke_tests::{
    http,
    server::{Server, Settings},
    token,
};
use quinn::Endpoint;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tempfile::TempDir;

const LOCALHOST: &str = "127.0.0.1:0";
/// For what must happen at all.
const IN_TIME: Duration = Duration::from_secs(20);

struct Case {
    server: Server,
    quic: SocketAddr,
    tls: ClientConfig,
    /// Kept for its files.
    _folder: TempDir,
}

impl Case {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let tls = write_certificate(folder.path())?;
        let quic = UdpSocket::bind(LOCALHOST)?.local_addr()?;
        let file = |name: &str| folder.path().join(name).display().to_string();
        let server = Settings::new()
            .set("node.shards", "2")
            .set("listen.quic_address", quic.to_string())
            .set("listen.tls_certificate", file("certificate.pem"))
            .set("listen.tls_key", file("key.pem"))
            .start()?;
        Ok(Self {
            server,
            quic,
            tls,
            _folder: folder,
        })
    }

    /// A client that knows both ways; over QUIC it goes to this port.
    fn config(&self, quic: Quic) -> Config {
        let url = format!("ws://{}/connection/websocket", self.server.address());
        Config {
            token: token::of("anna"),
            quic: Some(quic),
            reconnect_wait: (Duration::from_millis(20), Duration::from_millis(200)),
            ..Config::new(url)
        }
    }

    fn quic_at(&self, port: u16) -> Result<Quic> {
        Ok(Quic::new("localhost", port, &self.tls)?)
    }

    /// One that has no other way: whether QUIC is quick enough on a busy machine is not what is asked.
    fn over_quic_alone(&self, quic: Quic) -> Config {
        Config {
            url: "ws://127.0.0.1:1/connection/websocket".to_owned(),
            ..self.config(quic)
        }
    }

    /// Open connections by this way.
    fn open(&self, transport: &str) -> Result<f64> {
        let label = format!("transport=\"{transport}\"");
        let labels = [label.as_str(), "state=\"open\""];
        http::metric(self.server.address(), "klokke_connections", &labels)
    }
}

fn write_certificate(folder: &Path) -> Result<ClientConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    fs::write(folder.join("certificate.pem"), made.cert.pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tls)
}

/// The next event of a kind; what is in between is passed over.
async fn until<T>(events: &mut Events, mut wanted: impl FnMut(Event) -> Option<T>) -> Result<T> {
    let look = async {
        while let Some(event) = events.recv().await {
            if let Some(found) = wanted(event) {
                return Ok(found);
            }
        }
        bail!("the client ended")
    };
    tokio::time::timeout(IN_TIME, look)
        .await
        .context("it did not happen in time")?
}

async fn connected(events: &mut Events) -> Result<()> {
    until(events, |event| {
        matches!(event, Event::Connected { .. }).then_some(())
    })
    .await
}

async fn subscribed(events: &mut Events) -> Result<bool> {
    until(events, |event| match event {
        Event::Subscribed { recovered, .. } => Some(recovered),
        _ => None,
    })
    .await
}

/// The numbers published in the channel of a test, as they come. A new connection is a failure.
async fn numbers(events: &mut Events, count: usize) -> Result<Vec<u64>> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let next = until(events, |event| match event {
            Event::Publication { publication, .. } => Some(Ok(publication.data)),
            Event::Connecting { reason, .. } => Some(Err(reason)),
            _ => None,
        });
        match next.await? {
            Ok(data) => heard.push(std::str::from_utf8(&data)?.parse()?),
            Err(reason) => bail!("it had to connect again: {reason}"),
        }
    }
    Ok(heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sdk_takes_quic_where_it_is_and_says_and_hears_everything_there() -> Result<()> {
    let case = Case::start()?;
    let config = case.over_quic_alone(case.quic_at(case.quic.port())?);
    let (client, mut events) = Client::start(config);
    connected(&mut events).await?;
    ensure!(case.open("quic")? == 1.0 && case.open("websocket")? == 0.0);
    client.subscribe("kept:quic").await?;
    subscribed(&mut events).await?;
    for n in 0..100 {
        client.publish("kept:quic", n.to_string()).await?;
    }
    let heard = numbers(&mut events, 100).await?;
    ensure!(heard == (0..100).collect::<Vec<u64>>(), "{heard:?}");
    let refused = client.rpc("no.such.method", "{}").await;
    ensure!(refused.is_err(), "an unknown operation");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_udp_goes_nowhere_the_sdk_comes_over_websocket_at_once() -> Result<()> {
    let case = Case::start()?;
    // A port where everything is taken and nothing answered.
    let nowhere = UdpSocket::bind(LOCALHOST)?;
    let config = case.config(case.quic_at(nowhere.local_addr()?.port())?);
    let began = Instant::now();
    let (_client, mut events) = Client::start(config);
    connected(&mut events).await?;
    ensure!(
        began.elapsed() < Duration::from_secs(5),
        "it waited for QUIC to give up"
    );
    ensure!(case.open("websocket")? == 1.0 && case.open("quic")? == 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_address_changes_all_the_time_never_connects_again_and_misses_nothing() -> Result<()>
{
    const MOVES: u64 = 20;
    let case = Case::start()?;
    let endpoint = Endpoint::client(LOCALHOST.parse()?)?;
    let quic = case.quic_at(case.quic.port())?.over(endpoint.clone());
    let (client, mut events) = Client::start(case.over_quic_alone(quic));
    connected(&mut events).await?;
    client.subscribe("kept:moves").await?;
    subscribed(&mut events).await?;
    let mut expected = Vec::new();
    for n in 0..MOVES {
        endpoint.rebind(UdpSocket::bind(LOCALHOST)?)?;
        // One that it says itself, from the new address, and one that comes to it there.
        client.publish("kept:moves", (2 * n).to_string()).await?;
        let body = json!({"channel": "kept:moves", "data": 2 * n + 1});
        http::api(case.server.address(), "publish", &body)?;
        expected.extend([2 * n, 2 * n + 1]);
    }
    let heard = numbers(&mut events, expected.len()).await?;
    ensure!(heard == expected, "{heard:?}");
    ensure!(case.open("quic")? == 1.0, "the one connection");
    let handed = "klokke_quic_datagrams_handed_on_total";
    ensure!(
        http::metric(case.server.address(), handed, &[])? > 0.0,
        "no address led to the other shard"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_tells_its_old_clients_and_they_miss_nothing() -> Result<()> {
    let mut case = Case::start()?;
    let config = case.over_quic_alone(case.quic_at(case.quic.port())?);
    let (client, mut events) = Client::start(config);
    connected(&mut events).await?;
    client.subscribe("kept:killed").await?;
    subscribed(&mut events).await?;
    client.publish("kept:killed", "1").await?;
    ensure!(numbers(&mut events, 1).await? == [1]);
    case.server.kill()?;
    case.server.start_again()?;
    let body = json!({"channel": "kept:killed", "data": 2});
    http::api(case.server.address(), "publish", &body)?;
    let began = Instant::now();
    // Whatever it says next is answered with a reset: without, it would wait for its pings, or for the connection to time out.
    let heard = client.publish("kept:killed", "3").await.is_ok();
    connected(&mut events).await?;
    ensure!(subscribed(&mut events).await?, "the gap is filled");
    ensure!(
        began.elapsed() < Duration::from_secs(8),
        "it took {:?}",
        began.elapsed()
    );
    // The third only when it had connected again by then.
    let expected: &[u64] = if heard { &[2, 3] } else { &[2] };
    ensure!(numbers(&mut events, expected.len()).await? == expected);
    ensure!(case.open("quic")? == 1.0, "by the same way");
    Ok(())
}
