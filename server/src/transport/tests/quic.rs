//! QUIC against the same host: raw and WebTransport, clients that move, and what is no client at all.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::Instant;

use klokke_protocol::Codec;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, Endpoint, RecvStream, SendStream, VarInt};
use wtransport::endpoint::ConnectOptions;

use super::super::quic::{self as door, Arrival, QuicPort};
use super::*;

const LOCALHOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A UDP port of some shards, all of which the test's thread plays.
struct Port {
    address: SocketAddr,
    echo: Rc<Echo>,
    ports: watch::Sender<Ports>,
    admission: Arc<Admission>,
    roots: Arc<rustls::RootCertStore>,
    _folder: tempfile::TempDir,
}

impl Port {
    fn start(settings: Settings, limits: Limits) -> Self {
        Self::start_on(2, settings, limits)
    }

    fn start_on(shards: usize, settings: Settings, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = vec!["localhost".to_owned()];
        let pair = rcgen::generate_simple_self_signed(names).unwrap();
        let files = CertificateFiles {
            chain: folder.path().join("chain.pem"),
            key: folder.path().join("key.pem"),
        };
        std::fs::write(&files.chain, pair.cert.pem()).unwrap();
        std::fs::write(&files.key, pair.signing_key.serialize_pem()).unwrap();
        let certificate = Arc::new(Certificate::load(files).unwrap());
        let port = QuicPort::bind(LOCALHOST, shards, certificate, "node").unwrap();
        let address = port.local_addr();
        let admission = Admission::new(limits);
        let (ports, letting_in) = watch::channel(Ports::Open);
        let (echo, settings) = (Rc::new(Echo::default()), Arc::new(settings));
        for part in port.split(&admission, &letting_in) {
            let (host, settings) = (Rc::clone(&echo), Arc::clone(&settings));
            tokio::task::spawn_local(door::serve(part, host, settings));
        }
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pair.cert.der().clone()).unwrap();
        Self {
            address,
            echo,
            ports,
            admission,
            roots: Arc::new(roots),
            _folder: folder,
        }
    }

    fn tls(&self, alpn: &[&[u8]]) -> rustls::ClientConfig {
        let suites = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(suites)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        tls.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        tls
    }

    async fn connect_as(
        &self,
        endpoint: &Endpoint,
        alpn: &[u8],
    ) -> Result<quinn::Connection, ConnectionError> {
        let crypto = QuicClientConfig::try_from(self.tls(&[alpn])).unwrap();
        let config = ClientConfig::new(Arc::new(crypto));
        let connecting = endpoint.connect_with(config, self.address, "localhost");
        connecting.unwrap().await
    }

    async fn raw(&self) -> Raw {
        let endpoint = Endpoint::client(LOCALHOST).unwrap();
        let connection = self.connect_as(&endpoint, b"klokke").await.unwrap();
        let (send, recv) = connection.open_bi().await.unwrap();
        Raw {
            endpoint,
            connection,
            send,
            recv,
        }
    }

    async fn browser(
        &self,
        path: &str,
        origin: Option<&str>,
    ) -> Result<wtransport::Connection, wtransport::error::ConnectingError> {
        let config = wtransport::ClientConfig::builder()
            .with_bind_address(LOCALHOST)
            .with_custom_tls(self.tls(&[b"h3"]))
            .build();
        let endpoint = wtransport::Endpoint::client(config).unwrap();
        let url = format!("https://localhost:{}{path}", self.address.port());
        let mut options = ConnectOptions::builder(url);
        if let Some(origin) = origin {
            options = options.add_header("origin", origin);
        }
        endpoint.connect(options.build()).await
    }

    /// The place is given back when a connection's task is gone, of which nobody is told.
    async fn emptied(&self) {
        while self.admission.open() > 0 {
            tokio::task::yield_now().await;
        }
    }

    fn arrivals(&self, wanted: Arrival) -> usize {
        let arrivals = self.echo.arrivals.borrow();
        arrivals.iter().filter(|it| **it == wanted).count()
    }
}

/// A native app's connection.
struct Raw {
    endpoint: Endpoint,
    connection: quinn::Connection,
    send: SendStream,
    recv: RecvStream,
}

impl Raw {
    async fn says(&mut self, message: &[u8]) {
        self.send.write_all(&led(message)).await.unwrap();
    }

    async fn hears(&mut self, message: &[u8]) {
        let mut heard = vec![0; led(message).len()];
        self.recv.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, led(message));
    }
}

/// A message with its length before it.
fn led(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encode_length_delimiter(message.len(), &mut bytes).unwrap();
    bytes.extend_from_slice(message);
    bytes
}

/// The code with which a connection was closed from the other side.
fn code(error: &ConnectionError) -> u64 {
    match error {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("closed otherwise: {other}"),
    }
}

#[test]
fn an_app_says_and_hears_messages_however_they_are_cut() {
    on_shard(async {
        let port = Port::start(small(), Limits::default());
        let mut app = port.raw().await;
        app.says(b"hello").await;
        app.hears(b"hello").await;
        for byte in led(b"slowly") {
            app.send.write_all(&[byte]).await.unwrap();
        }
        app.hears(b"slowly").await;
        let long = vec![7; 60_000];
        app.says(&long).await;
        app.hears(&long).await;
        {
            let openings = port.echo.openings.borrow();
            let opening = &openings[0];
            assert_eq!((opening.door, opening.codec), (Door::Quic, Codec::Protobuf));
            assert_eq!(opening.peer, Ipv4Addr::LOCALHOST);
        }
        assert_eq!(port.admission.open(), 1);
        app.send.finish().unwrap();
        assert_eq!(port.echo.cause_of(0).await, Cause::Client);
        app.connection.closed().await;
        port.emptied().await;
    });
}

#[test]
fn a_browser_says_and_hears_lines() {
    on_shard(async {
        let port = Port::start(small(), Limits::default());
        let at = format!("https://localhost:{}", port.address.port());
        let browser = port
            .browser("/connection/webtransport", Some(&at))
            .await
            .unwrap();
        let (mut send, mut recv) = browser.open_bi().await.unwrap().await.unwrap();
        send.write_all(b"{}\n{").await.unwrap();
        let mut heard = [0; 3];
        recv.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"{}\n");
        send.write_all(b"}\n").await.unwrap();
        recv.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"{}\n");
        let opening = port.echo.openings.borrow()[0].clone();
        assert_eq!(
            (opening.door, opening.codec),
            (Door::WebTransport, Codec::Json)
        );
        drop((send, recv));
        browser.close(wtransport::VarInt::from_u32(0), b"");
        assert_eq!(port.echo.cause_of(0).await, Cause::Client);
        let path = "/connection/webtransport?cf_protocol=protobuf";
        let browser = port.browser(path, None).await.unwrap();
        let (mut send, _recv) = browser.open_bi().await.unwrap().await.unwrap();
        send.write_all(&led(b"x")).await.unwrap();
        let codec = port
            .echo
            .until(|echo| Some(echo.openings.borrow().get(1)?.codec));
        assert_eq!(codec.await, Codec::Protobuf);
    });
}

#[test]
fn pages_of_others_other_paths_and_other_protocols_are_refused() {
    on_shard(async {
        let port = Port::start(small(), Limits::default());
        let foreign = port.browser("/connection/webtransport", Some("https://evil.dk"));
        assert!(foreign.await.is_err());
        assert!(port.browser("/connection/websocket", None).await.is_err());
        let endpoint = Endpoint::client(LOCALHOST).unwrap();
        assert!(port.connect_as(&endpoint, b"hq-interop").await.is_err());
        let turned_away = port.echo.turned_away.borrow().clone();
        let expected = [Reason::Origin, Reason::Malformed].map(|why| (Asked::Connection, why));
        assert_eq!(turned_away, expected);
        assert!(port.echo.openings.borrow().is_empty());
    });
}

#[test]
fn who_moves_stays_connected_whichever_shard_its_datagrams_come_to() {
    on_shard(async {
        let port = Port::start(small(), Limits::default());
        let mut app = port.raw().await;
        // Sixteen addresses, and each comes to either shard as likely: that all come to one is as likely as never seen.
        for step in 0..16_u8 {
            let socket = UdpSocket::bind(LOCALHOST).unwrap();
            app.endpoint.rebind(socket).unwrap();
            app.says(&[step; 40]).await;
            app.hears(&[step; 40]).await;
        }
        assert_eq!(
            port.echo.openings.borrow().len(),
            1,
            "one connection all the time"
        );
        assert!(port.echo.handed.load(Ordering::Relaxed) > 0);
    });
}

#[test]
fn a_message_too_long_is_refused_when_its_length_is_read() {
    on_shard(async {
        let port = Port::start(small(), Limits::default());
        let mut app = port.raw().await;
        let mut length = Vec::new();
        prost::encode_length_delimiter(64 * 1024 + 1, &mut length).unwrap();
        app.send.write_all(&length).await.unwrap();
        assert_eq!(code(&app.connection.closed().await), 1009);
        assert_eq!(port.echo.cause_of(0).await, Cause::Framing(1009));
        let mut app = port.raw().await;
        app.send.write_all(&[0xff; 5]).await.unwrap();
        assert_eq!(code(&app.connection.closed().await), 1002);
    });
}

#[test]
fn a_closed_connection_gets_its_last_words_and_then_the_code() {
    on_shard(async {
        let port = Port::start(small(), Limits::default());
        let mut app = port.raw().await;
        app.says(b"x").await;
        app.hears(b"x").await;
        let link = port.echo.take_link().await;
        link.end_with(3001);
        link.finish(Bytes::from(led(b"goodbye")), Last::AfterQueue);
        app.hears(b"goodbye").await;
        assert_eq!(code(&app.connection.closed().await), 3001);
    });
}

#[test]
fn who_asks_faster_than_is_answered_waits_until_there_is_room() {
    on_shard(async {
        let port = Port::start(small(), Limits::default());
        let mut app = port.raw().await;
        app.says(b"1").await;
        app.hears(b"1").await;
        port.echo.sated.set(true);
        app.says(b"2").await;
        let link = port.echo.links.borrow()[0].clone().unwrap();
        while !link.is_paused() {
            tokio::task::yield_now().await;
        }
        port.echo.sated.set(false);
        link.resume();
        app.hears(b"2").await;
    });
}

#[test]
fn the_doors_limits_hold_and_a_draining_node_takes_nobody() {
    on_shard(async {
        let one = Limits {
            connections: 1,
            ..Limits::default()
        };
        let port = Port::start(small(), one);
        let app = port.raw().await;
        let endpoint = Endpoint::client(LOCALHOST).unwrap();
        assert!(port.connect_as(&endpoint, b"klokke").await.is_err());
        assert_eq!(*port.echo.refused.borrow(), [Refused::Full]);
        app.connection.close(VarInt::from_u32(0), b"");
        port.emptied().await;
        port.ports.send_replace(Ports::LooksOnly);
        assert!(port.connect_as(&endpoint, b"klokke").await.is_err());
        assert_eq!(port.arrivals(Arrival::Refused), 2);
    });
}

#[test]
fn when_many_only_begin_newcomers_have_to_prove_their_address_and_get_in() {
    on_shard(async {
        let port = Port::start_on(1, small(), Limits::default());
        // Whoever begins is answered, and never goes on: what they said first is sent from elsewhere.
        let taker = tokio::net::UdpSocket::bind(LOCALHOST).await.unwrap();
        let sender = tokio::net::UdpSocket::bind(LOCALHOST).await.unwrap();
        let endpoint = Endpoint::client(LOCALHOST).unwrap();
        let crypto = QuicClientConfig::try_from(port.tls(&[b"klokke"])).unwrap();
        let config = ClientConfig::new(Arc::new(crypto));
        // Kept: giving up would be said, and heard.
        let mut kept = Vec::new();
        let mut datagram = [0; 1_500];
        while port.arrivals(Arrival::Retried) == 0 {
            let to = taker.local_addr().unwrap();
            let begun = endpoint.connect_with(config.clone(), to, "localhost");
            let count = taker.recv(&mut datagram).await.unwrap();
            sender
                .send_to(&datagram[..count], port.address)
                .await
                .unwrap();
            kept.push(begun);
            tokio::task::yield_now().await;
        }
        let asked = port.arrivals(Arrival::Retried);
        let mut app = port.raw().await;
        app.says(b"through").await;
        app.hears(b"through").await;
        assert!(port.arrivals(Arrival::Retried) > asked, "it was asked, too");
    });
}

#[test]
fn what_is_no_quic_is_not_answered_and_an_unknown_version_is_told_ours() {
    on_shard(async {
        let port = Port::start(small(), Limits::default());
        let socket = tokio::net::UdpSocket::bind(LOCALHOST).await.unwrap();
        socket.connect(port.address).await.unwrap();
        for length in 1..200_usize {
            let garbage: Vec<u8> = (0..length).map(|_| rand::random::<u8>() & 0x3f).collect();
            socket.send(&garbage).await.unwrap();
        }
        let mut unknown = vec![0xc0, 0xba, 0xba, 0xba, 0xba, 8];
        unknown.extend([1; 8]);
        unknown.extend([8]);
        unknown.extend([2; 8]);
        unknown.resize(1_200, 0);
        socket.send(&unknown).await.unwrap();
        let mut answer = [0; 1_500];
        let count = socket.recv(&mut answer).await.unwrap();
        assert_eq!(
            answer[1..5],
            [0; 4],
            "version negotiation, and nothing before it"
        );
        assert!(count < unknown.len(), "less than was sent");
        assert!(port.echo.arrivals.borrow().is_empty());
    });
}

#[test]
fn who_connects_and_says_nothing_is_let_go_in_time() {
    on_shard(async {
        let settings = Settings {
            handshake_timeout: Duration::from_millis(100),
            ..small()
        };
        let port = Port::start(settings, Limits::default());
        let endpoint = Endpoint::client(LOCALHOST).unwrap();
        let began = Instant::now();
        let silent = port.connect_as(&endpoint, b"klokke").await.unwrap();
        silent.closed().await;
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(port.admission.open(), 0);
        assert_eq!(port.arrivals(Arrival::Done), 1);
        let turned_away = port.echo.turned_away.borrow();
        assert_eq!(*turned_away, [(Asked::Connection, Reason::Timeout)]);
    });
}
