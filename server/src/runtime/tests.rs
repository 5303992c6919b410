//! A whole node in the process: three shards, ledgers on the memory store, real sockets.
#![allow(clippy::unwrap_used)]

mod rights;
mod watched;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use klokke_protocol::{ChannelName, DisconnectCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::*;
use crate::auth::mint::{Claims, SigningKey};
use crate::auth::{ClaimRules, JwtVerifier, KeyMaterial, KeyRing, VerificationKey};
use crate::domain::OutboxDoor;
use crate::ledger::{IDLE_UNLOAD, Ledgers, Setup, SystemClock};
use crate::people::Roster;
use crate::session::{ChannelOptions, ChannelRules, Namespaces};
use crate::store::memory::MemoryStore;
use crate::transport::admission::{Admission, Limits};
use crate::transport::listener::Listener;

const SECRET: &[u8] = b"of the test";
const SHARDS: usize = 3;

struct Server {
    node: Node,
    control: Control,
    ledgers: Ledgers<Roster>,
    address: SocketAddr,
    telemetry: Telemetry,
    clock: Arc<Ahead>,
}

/// The real clock, moved ahead.
#[derive(Default)]
struct Ahead {
    by_ms: AtomicU64,
}

impl Clock for Ahead {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms() + self.by_ms.load(Ordering::SeqCst)
    }

    fn random(&self) -> u128 {
        SystemClock.random()
    }
}

fn open_channels() -> ChannelOptions {
    ChannelOptions {
        presence: true,
        join_leave: true,
        allow_subscribe_for_client: true,
        allow_publish_for_client: true,
        allow_presence_for_client: true,
        allow_history_for_client: true,
        ..ChannelOptions::default()
    }
}

fn settings() -> session::Settings {
    let kept = ChannelOptions {
        history_size: 100,
        history_ttl_ms: 60_000,
        force_positioning: true,
        force_recovery: true,
        ..open_channels()
    };
    let named = [("live".into(), open_channels()), ("kept".into(), kept)];
    session::Settings {
        node: "n1".into(),
        domain: true,
        rpc: true,
        namespaces: Namespaces::new(ChannelRules::default(), None, named).unwrap(),
        ..session::Settings::default()
    }
}

fn start_with(transport: transport::Settings) -> Server {
    start_on(Arc::new(MemoryStore::new()), transport)
}

fn start_on(store: Arc<MemoryStore>, transport: transport::Settings) -> Server {
    let telemetry = Telemetry::new();
    let ahead = Arc::new(Ahead::default());
    let clock: Arc<dyn Clock> = Arc::<Ahead>::clone(&ahead);
    let prepared = Prepared::new(SHARDS, &telemetry);
    let ledgers = Ledgers::new(Setup {
        store,
        spawner: prepared.spawner(),
        outlet: prepared.outlet(),
        inbox: Arc::new(OutboxDoor),
        clock: Arc::clone(&clock),
        idle_unload: IDLE_UNLOAD,
    });
    let key = VerificationKey::new(&KeyMaterial::Hmac(SECRET.to_vec())).unwrap();
    let ring = KeyRing::new(vec![key]).unwrap();
    let rules = ClaimRules::default();
    let tokens = Arc::new(JwtVerifier::new(ring, None, rules, Arc::default()));
    let edge = axum::Router::new().route("/health", axum::routing::get(async || "well"));
    let services = Services {
        subscription_tokens: Arc::<JwtVerifier>::clone(&tokens),
        tokens,
        domain: Domain::new(ledgers.clone(), Arc::clone(&clock)),
        session: Arc::new(settings()),
        transport: Arc::new(transport),
        edge,
        telemetry: telemetry.clone(),
        clock,
    };
    let control = prepared.control(&services);
    let admission = Admission::new(Limits::default());
    let mut node = prepared.start(&services, admission).unwrap();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
    let address = listener.local_addr().unwrap();
    node.serve(listener).unwrap();
    Server {
        node,
        control,
        ledgers,
        address,
        telemetry,
        clock: ahead,
    }
}

fn start() -> Server {
    start_with(transport::Settings {
        http_stream: true,
        ..transport::Settings::default()
    })
}

fn token(user: &str) -> String {
    let claims = Claims {
        sub: Some(user.to_owned()),
        ..Claims::default()
    };
    SigningKey::hmac(SECRET).mint(&claims).unwrap()
}

/// A client that speaks JSON and leaves pushes for later.
struct Client {
    socket: WebSocketStream<TcpStream>,
    id: u64,
    pushes: std::collections::VecDeque<Value>,
}

impl Client {
    async fn open(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let url = format!("ws://{}/connection/websocket", server.address);
        let (socket, _) = client_async(url, stream).await.unwrap();
        Self {
            socket,
            id: 0,
            pushes: std::collections::VecDeque::new(),
        }
    }

    async fn connect(server: &Server, user: &str) -> Self {
        Self::connect_with(server, &token(user)).await.0
    }

    /// Connects; gives the connect result too.
    async fn connect_with(server: &Server, token: &str) -> (Self, Value) {
        let mut client = Self::open(server).await;
        let reply = client.ask("connect", json!({"token": token})).await;
        assert!(reply["connect"]["client"].is_string(), "{reply}");
        (client, reply["connect"].clone())
    }

    /// Sends a command and waits for its reply.
    async fn ask(&mut self, method: &str, body: Value) -> Value {
        self.id += 1;
        let command = json!({"id": self.id, method: body}).to_string();
        self.socket.send(Message::text(command)).await.unwrap();
        loop {
            for document in self.frame().await {
                if document["id"] == self.id {
                    return document;
                }
                self.pushes.push_back(document);
            }
        }
    }

    async fn frame(&mut self) -> Vec<Value> {
        let limit = Duration::from_secs(10);
        let message = tokio::time::timeout(limit, self.socket.next()).await;
        let message = message.expect("a frame in time").unwrap().unwrap();
        let Message::Text(text) = message else {
            panic!("a text frame, not {message:?}");
        };
        let documents = text.lines().map(|line| serde_json::from_str(line).unwrap());
        documents.collect()
    }

    async fn push(&mut self) -> Value {
        loop {
            if let Some(push) = self.pushes.pop_front() {
                return push["push"].clone();
            }
            let frame = self.frame().await;
            self.pushes.extend(frame);
        }
    }

    /// The next publication, passing over who came and went.
    async fn publication(&mut self) -> Value {
        loop {
            let push = self.push().await;
            if !push["pub"].is_null() {
                return push["pub"].clone();
            }
        }
    }

    async fn close_code(&mut self) -> u16 {
        let limit = Duration::from_secs(10);
        loop {
            let message = tokio::time::timeout(limit, self.socket.next()).await;
            match message.expect("a close in time") {
                Some(Ok(Message::Close(Some(close)))) => return close.code.into(),
                Some(Ok(_)) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_publication_reaches_subscribers_on_every_shard() {
    let server = start();
    let mut clients = Vec::new();
    for n in 0..2 * SHARDS {
        let mut client = Client::connect(&server, &format!("user-{n}")).await;
        let reply = client.ask("subscribe", json!({"channel": "live:a"})).await;
        assert!(reply["error"].is_null(), "{reply}");
        clients.push(client);
    }
    let spread = server.control.counts().await.unwrap();
    assert_eq!((spread.connections, spread.channels), (2 * SHARDS, SHARDS));
    for round in 0..20 {
        let body = json!({"channel": "live:a", "data": {"n": round}});
        let reply = clients[round % SHARDS].ask("publish", body).await;
        assert_eq!(reply["publish"], json!({}), "{reply}");
        for client in &mut clients {
            assert_eq!(client.publication().await["data"]["n"], round);
        }
    }
    server.node.stop().await;
}

#[tokio::test]
async fn what_was_missed_is_recovered_and_read() {
    let server = start();
    let mut reader = Client::connect(&server, "reader").await;
    let channel = json!({"channel": "kept:a"});
    let first = reader.ask("subscribe", channel.clone()).await["subscribe"].clone();
    assert_eq!(first["recoverable"], true, "{first}");
    let epoch = first["epoch"].as_str().unwrap().to_owned();
    drop(reader);
    let name = ChannelName::parse("kept:a").unwrap();
    for n in 1..=10 {
        let publishing = Publishing {
            data: Bytes::from(json!({"n": n}).to_string()),
            ..Publishing::default()
        };
        let done = server.control.publish(&name, publishing).await.unwrap();
        assert_eq!((done.offset, done.epoch.as_str()), (n, epoch.as_str()));
    }
    let mut reader = Client::connect(&server, "reader").await;
    let from = json!({"channel": "kept:a", "recover": true, "offset": 4, "epoch": epoch});
    let again = reader.ask("subscribe", from).await["subscribe"].clone();
    assert_eq!(again["recovered"], true, "{again}");
    let offsets = again["publications"].as_array().unwrap().iter();
    let offsets: Vec<_> = offsets.map(|it| it["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, [5, 6, 7, 8, 9, 10]);

    let page = json!({"channel": "kept:a", "limit": 3, "reverse": true});
    let page = reader.ask("history", page).await["history"].clone();
    assert_eq!(page["publications"][0]["offset"], 10, "{page}");
    assert_eq!(page["publications"].as_array().unwrap().len(), 3);
    let wrong = json!({"channel": "kept:a", "limit": 1, "since": {"offset": 1, "epoch": "x"}});
    assert_eq!(reader.ask("history", wrong).await["error"]["code"], 112);
    let publishing = Publishing {
        data: Bytes::from("11"),
        ..Publishing::default()
    };
    server.control.publish(&name, publishing).await.unwrap();
    assert_eq!(reader.publication().await["offset"], 11);
    server.node.stop().await;
}

#[tokio::test]
async fn publishing_and_subscribing_at_once_leaves_no_gap_and_no_double() {
    const LAST: u64 = 400;
    let server = start();
    let control = server.control.clone();
    let publisher = tokio::spawn(async move {
        let name = ChannelName::parse("kept:busy").unwrap();
        for n in 1..=LAST {
            let publishing = Publishing {
                data: Bytes::from(n.to_string()),
                ..Publishing::default()
            };
            control.publish(&name, publishing).await.unwrap();
        }
    });
    let mut readers = Vec::new();
    for n in 0..8 {
        let mut reader = Client::connect(&server, &format!("user-{n}")).await;
        let wish = json!({"channel": "kept:busy"});
        let reply = reader.ask("subscribe", wish).await["subscribe"].clone();
        let top = reply["offset"].as_u64().unwrap_or(0);
        readers.push((reader, top));
    }
    publisher.await.unwrap();
    for (mut reader, top) in readers {
        for offset in top + 1..=LAST {
            assert_eq!(reader.publication().await["offset"], offset);
        }
    }
    server.node.stop().await;
}

#[tokio::test]
async fn presence_is_collected_from_all_shards() {
    let server = start();
    let mut clients = Vec::new();
    for n in 0..4 {
        let mut client = Client::connect(&server, &format!("user-{}", n % 2)).await;
        client.ask("subscribe", json!({"channel": "live:p"})).await;
        clients.push(client);
    }
    let asked = json!({"channel": "live:p"});
    let reply = clients[0].ask("presence", asked.clone()).await;
    assert_eq!(reply["presence"]["presence"].as_object().unwrap().len(), 4);
    let reply = clients[0].ask("presence_stats", asked).await["presence_stats"].clone();
    assert_eq!(reply, json!({"num_clients": 4, "num_users": 2}));
    server.node.stop().await;
}

#[tokio::test]
async fn bad_tokens_and_bad_frames_get_their_codes() {
    let server = start();
    let mut client = Client::open(&server).await;
    let connect = json!({"id": 1, "connect": {"token": "no.such.token"}}).to_string();
    client.socket.send(Message::text(connect)).await.unwrap();
    assert_eq!(client.close_code().await, 3500);
    let mut client = Client::open(&server).await;
    client.socket.send(Message::text("nonsense")).await.unwrap();
    assert_eq!(client.close_code().await, 3501);
    let expired = SigningKey::hmac(SECRET).mint(&Claims {
        exp: Some(1),
        ..Claims::default()
    });
    let mut client = Client::open(&server).await;
    let reply = client
        .ask("connect", json!({"token": expired.unwrap()}))
        .await;
    assert_eq!(reply["error"]["code"], 109);
    let counted = server.telemetry.exposition();
    assert!(counted.contains("klokke_tokens_verified_total{outcome=\"expired\"} 1"));
    server.node.stop().await;
}

#[tokio::test]
async fn the_server_api_reaches_sessions_wherever_they_are() {
    let server = start();
    let mut clients = Vec::new();
    for _ in 0..SHARDS {
        clients.push(Client::connect(&server, "guardian").await);
    }
    let mut other = Client::connect(&server, "teacher").await;
    let target = Target {
        user: "guardian".to_owned(),
        ..Target::default()
    };
    let open = server.control.connections(&target).await.unwrap();
    assert_eq!(open.len(), SHARDS);
    let gone = DisconnectCode::FORCE_DISCONNECT.into();
    server.control.disconnect(target.clone(), gone).await;
    for client in &mut clients {
        assert_eq!(client.close_code().await, 3503);
    }
    other.ask("subscribe", json!({"channel": "live:a"})).await;
    assert!(
        server
            .control
            .connections(&target)
            .await
            .unwrap()
            .is_empty()
    );
    let channels = server.control.channels().await.unwrap();
    let name = ChannelName::parse("live:a").unwrap();
    assert_eq!(channels.get(&name), Some(&1));
    server.node.stop().await;
}

#[tokio::test]
async fn a_slow_reader_is_disconnected_and_the_others_get_everything() {
    let server = start_with(transport::Settings {
        queue_max_bytes: 64 * 1024,
        ..transport::Settings::default()
    });
    let mut slow = Client::connect(&server, "slow").await;
    slow.ask("subscribe", json!({"channel": "live:s"})).await;
    let mut quick = Client::connect(&server, "quick").await;
    quick.ask("subscribe", json!({"channel": "live:s"})).await;
    let name = ChannelName::parse("live:s").unwrap();
    let text = "x".repeat(100_000);
    let metric = "klokke_slow_consumers_total{transport=\"websocket\"} 1";
    let is_cut_off = || server.telemetry.exposition().contains(metric);
    let mut n = 0;
    // Until the kernel's buffers for the slow one are full and then its queue is.
    while !is_cut_off() {
        assert!(n < 1000, "100 MB are in no queue of 64 KiB");
        let publishing = Publishing {
            data: Bytes::from(json!({"n": n, "text": text}).to_string()),
            ..Publishing::default()
        };
        server.control.publish(&name, publishing).await.unwrap();
        assert_eq!(quick.publication().await["data"]["n"], n);
        n += 1;
    }
    assert_eq!(slow.close_code().await, 3008);
    server.node.stop().await;
}

#[tokio::test]
async fn draining_closes_everybody_politely() {
    let server = start();
    let mut clients = Vec::new();
    for n in 0..9 {
        clients.push(Client::connect(&server, &format!("user-{n}")).await);
    }
    let closing = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            let code = client.close_code().await;
            // Answers the close, as clients do.
            let _ = client.socket.next().await;
            code
        })
    });
    let closing: Vec<_> = closing.collect();
    let begun = std::time::Instant::now();
    server.node.drain(Duration::from_millis(100)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "nobody was waited for in vain"
    );
    for code in closing {
        assert_eq!(code.await.unwrap(), 3001);
    }
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "the port is closed"
    );
    server.node.stop().await;
}

#[tokio::test]
async fn an_emulated_connection_is_reached_through_any_shard() {
    let server = start();
    let connect = json!({"id": 1, "connect": {"token": token("guardian")}}).to_string();
    let mut down = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /connection/http_stream HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{connect}",
        connect.len()
    );
    down.write_all(head.as_bytes()).await.unwrap();
    let seen = read_until(&mut down, "\"session\"").await;
    let at = seen.find("\"session\":\"").unwrap() + "\"session\":\"".len();
    let session = seen[at..].split('"').next().unwrap();
    // More sockets than shards, so that some are not on the shard of the connection.
    for n in 2..2 + 2 * SHARDS {
        let commands = json!({"id": n, "subscribe": {"channel": format!("live:{n}")}});
        let body = json!({"node": "n1", "session": session, "data": commands.to_string()});
        let body = body.to_string();
        let post = format!(
            "POST /emulation HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut up = TcpStream::connect(server.address).await.unwrap();
        up.write_all(post.as_bytes()).await.unwrap();
        read_until(&mut up, "204").await;
        read_until(&mut down, &format!("\"id\":{n},")).await;
    }
    server.node.stop().await;
}

async fn read_until(socket: &mut TcpStream, wanted: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        let count = socket.read_buf(&mut seen).await.unwrap();
        assert!(count > 0, "ended before {wanted}");
    }
    String::from_utf8(seen).unwrap()
}
