//! A whole node in the process: three shards, ledgers on the memory store, real sockets.
#![allow(clippy::unwrap_used)]

mod admitting;
mod figures;
mod listening;
mod rights;
mod watched;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
use crate::bus;
use crate::domain::OutboxDoor;
use crate::ledger::{Delivery, IDLE_UNLOAD, Ledgers, Outlet, Setup, ShardAnswer, SystemClock};
use crate::people::{Change, Roster};
use crate::session::{ChannelOptions, ChannelRules, Namespaces};
use crate::store::Store;
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
    /// While set, commits do not reach the shards.
    lossy: Arc<AtomicBool>,
    load: Arc<admission::Load>,
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

/// The way to the shards, with a hole in it.
struct Lossy {
    way: Arc<dyn Outlet<Roster>>,
    lossy: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl Outlet<Roster> for Lossy {
    async fn deliver(&self, delivery: Arc<Delivery<Change>>) {
        if !self.lossy.load(Ordering::SeqCst) {
            self.way.deliver(delivery).await;
        }
    }

    async fn follows(&self, _: &crate::ledger::LedgerId) -> bool {
        false
    }

    async fn answer(&self, shard: usize, answer: ShardAnswer) {
        self.way.answer(shard, answer).await;
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
    let few = ChannelOptions {
        history_size: 5,
        ..kept.clone()
    };
    let brief = ChannelOptions {
        history_ttl_ms: 1,
        ..kept.clone()
    };
    let named = [
        ("live".into(), open_channels()),
        ("kept".into(), kept),
        ("few".into(), few),
        ("brief".into(), brief),
    ];
    session::Settings {
        node: "n1".into(),
        admission: true,
        domain: true,
        rpc: true,
        namespaces: Namespaces::new(ChannelRules::default(), None, named).unwrap(),
        ..session::Settings::default()
    }
}

fn start_with(transport: transport::Settings) -> Server {
    start_on(Arc::new(MemoryStore::new()), transport)
}

fn start_on(store: Arc<dyn Store>, transport: transport::Settings) -> Server {
    start_whole(store, transport, settings())
}

fn start_by(session: session::Settings) -> Server {
    let transport = transport::Settings::default();
    start_whole(Arc::new(MemoryStore::new()), transport, session)
}

fn start_gated(gate: admission::Rules) -> Server {
    let store = Arc::new(MemoryStore::new());
    start_with_gate(store, transport::Settings::default(), settings(), gate)
}

fn start_whole(
    store: Arc<dyn Store>,
    transport: transport::Settings,
    session: session::Settings,
) -> Server {
    start_with_gate(store, transport, session, admission::Rules::default())
}

fn start_with_gate(
    store: Arc<dyn Store>,
    transport: transport::Settings,
    session: session::Settings,
    gate: admission::Rules,
) -> Server {
    let alone = Arc::new(crate::ledger::NoHerald);
    start_beside(alone, store, transport, session, gate)
}

fn start_beside(
    herald: Arc<dyn crate::ledger::Herald>,
    store: Arc<dyn Store>,
    transport: transport::Settings,
    session: session::Settings,
    gate: admission::Rules,
) -> Server {
    let telemetry = Telemetry::new();
    let ahead = Arc::new(Ahead::default());
    let clock: Arc<dyn Clock> = Arc::<Ahead>::clone(&ahead);
    let prepared = Prepared::new(SHARDS, &telemetry);
    let lossy = Arc::new(AtomicBool::new(false));
    let ledgers = Ledgers::new(Setup {
        store,
        spawner: prepared.spawner(),
        outlet: Arc::new(Lossy {
            way: prepared.outlet(),
            lossy: Arc::clone(&lossy),
        }),
        inbox: Arc::new(OutboxDoor),
        clock: Arc::clone(&clock),
        herald,
        epoch_seed: None,
        idle_unload: IDLE_UNLOAD,
        meters: telemetry.meters(),
    });
    let key = VerificationKey::new(&KeyMaterial::Hmac(SECRET.to_vec())).unwrap();
    let ring = KeyRing::new(vec![key]).unwrap();
    let rules = ClaimRules::default();
    let tokens = Arc::new(JwtVerifier::new(ring, None, rules, Arc::default()));
    let edge = axum::Router::new().route("/health", axum::routing::get(async || "well"));
    let load = Arc::new(admission::Load::new(SHARDS));
    let domain = Domain::new(ledgers.clone(), Arc::clone(&clock), telemetry.meters());
    let own = bus::NodeId::new(uuid::Uuid::from_u128(1));
    let members = bus::Shared::new(bus::Members::new(own, 60_000));
    let asks = Asks::new(own, None, members, Arc::clone(&clock), &telemetry.meters());
    let services = Services {
        subscription_tokens: Arc::<JwtVerifier>::clone(&tokens),
        tokens,
        domain: domain.under(Arc::clone(&load)),
        session: Arc::new(session),
        gate,
        lag_max_ms: 0,
        load: Arc::clone(&load),
        transport: Arc::new(transport),
        edge,
        telemetry: telemetry.clone(),
        meters: telemetry.meters(),
        clock,
        asks,
    };
    let control = prepared.control(&services);
    let door = Admission::new(Limits::default());
    let mut node = prepared.start(&services, door).unwrap();
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
        lossy,
        load,
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

async fn publish(server: &Server, channel: &ChannelName, data: &str) -> Published {
    let publishing = Publishing {
        data: Bytes::from(data.to_owned()),
        ..Publishing::default()
    };
    server.control.publish(channel, publishing).await.unwrap()
}

#[tokio::test]
async fn private_channels_keep_a_history_whatever_they_are_called() {
    let server = start();
    for room in 0..16 {
        let channel: ChannelName = format!("$kept:r{room}").parse().unwrap();
        publish(&server, &channel, "1").await;
        let history = || server.control.history(&channel, 10, None, false);
        assert_eq!(history().await.unwrap().publications.len(), 1, "{channel}");
        server.control.history_remove(&channel).await.unwrap();
        let page = history().await.unwrap();
        assert_eq!((page.publications.len(), page.offset), (0, 1), "{channel}");
    }
    server.node.stop().await;
}

#[tokio::test]
async fn a_key_with_another_payload_is_told_so() {
    let server = start();
    let channel: ChannelName = "kept:k".parse().unwrap();
    let keyed = async |data: &'static [u8]| {
        let publishing = Publishing {
            data: Bytes::from_static(data),
            idempotency: Some("k".to_owned()),
            ..Publishing::default()
        };
        server.control.publish(&channel, publishing).await
    };
    let first = keyed(b"1").await.unwrap();
    assert_eq!(keyed(b"1").await.unwrap(), first);
    let conflict = keyed(b"2").await.unwrap_err();
    assert_eq!(
        (conflict.code, conflict.message.as_str(), conflict.temporary),
        (409, "error.idempotency_conflict", false)
    );
    let since = klokke_protocol::StreamPosition::default();
    let wrong = server.control.history(&channel, 1, Some(since), true).await;
    assert_eq!(
        wrong.unwrap_err().code,
        107,
        "there is nothing before the first"
    );
    server.node.stop().await;
}

#[tokio::test]
async fn the_domain_is_closed_whatever_the_marks_of_names_are() {
    let open = ChannelOptions {
        history_size: 100,
        history_ttl_ms: 60_000,
        ..open_channels()
    };
    let rules = ChannelRules {
        namespace_boundary: "/".into(),
        ..ChannelRules::default()
    };
    let named = [("chat".into(), open.clone())];
    let session = session::Settings {
        namespaces: Namespaces::new(rules, Some(open), named).unwrap(),
        ..settings()
    };
    let server = start_by(session);
    rights::commit(&server, rights::said("of the unit")).await;
    let mut stranger = Client::connect(&server, "nobody").await;
    for name in [
        "unit:G10001",
        "$unit:G10001",
        "group:G10001/g1",
        "person:G10001/p1",
    ] {
        let channel: ChannelName = name.parse().unwrap();
        for (method, body) in [
            ("subscribe", json!({"channel": name})),
            ("publish", json!({"channel": name, "data": 1})),
            ("history", json!({"channel": name, "limit": 10})),
        ] {
            let reply = stranger.ask(method, body).await;
            assert_eq!(reply["error"]["code"], 103, "{method} {name}: {reply}");
        }
        let publishing = Publishing {
            data: Bytes::from_static(b"1"),
            ..Publishing::default()
        };
        let forged = server.control.publish(&channel, publishing).await;
        assert_eq!(forged.unwrap_err().code, 107, "{name}");
        let read = server.control.history(&channel, 10, None, false).await;
        assert_eq!(read.unwrap_err().code, 107, "{name}");
    }
    let room: ChannelName = "chat/a".parse().unwrap();
    assert_eq!(publish(&server, &room, "1").await.offset, 1);
    server.node.stop().await;
}

#[tokio::test]
async fn what_is_beyond_the_size_or_time_of_a_history_is_not_read() {
    let server = start();
    let few: ChannelName = "few:a".parse().unwrap();
    for n in 1..=20 {
        publish(&server, &few, &n.to_string()).await;
    }
    let offsets = async |limit, since: Option<u64>, reverse| {
        let since = since.map(|offset| klokke_protocol::StreamPosition {
            offset,
            ..Default::default()
        });
        let page = server.control.history(&few, limit, since, reverse).await;
        let publications = page.unwrap().publications;
        publications.iter().map(|it| it.offset).collect::<Vec<_>>()
    };
    assert_eq!(offsets(u32::MAX, None, false).await, [16, 17, 18, 19, 20]);
    assert_eq!(offsets(2, None, false).await, [16, 17]);
    assert_eq!(offsets(2, Some(3), false).await, [16, 17]);
    assert_eq!(offsets(2, Some(17), false).await, [18, 19]);
    assert_eq!(offsets(9, None, true).await, [20, 19, 18, 17, 16]);
    assert_eq!(offsets(9, Some(18), true).await, [17, 16]);

    let mut client = Client::connect(&server, "u1").await;
    let epoch = publish(&server, &few, "21").await.epoch;
    for (offset, recovered) in [(15, false), (16, true)] {
        let wish = json!({"channel": few.as_str(), "recover": true, "offset": offset,
            "epoch": epoch.as_str()});
        let reply = client.ask("subscribe", wish).await;
        let result = &reply["subscribe"];
        assert_eq!(
            result["recovered"].as_bool().unwrap_or(false),
            recovered,
            "{reply}"
        );
        let count = result["publications"].as_array().map_or(0, Vec::len);
        assert_eq!(count, if recovered { 5 } else { 0 }, "{reply}");
        client
            .ask("unsubscribe", json!({"channel": few.as_str()}))
            .await;
    }

    let brief: ChannelName = "brief:a".parse().unwrap();
    let position = publish(&server, &brief, "1").await;
    let until_gone = async {
        loop {
            let page = server
                .control
                .history(&brief, 10, None, false)
                .await
                .unwrap();
            if page.publications.is_empty() {
                return page.offset;
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), until_gone).await;
    assert_eq!(waited, Ok(1), "the position stays");
    let wish = json!({"channel": brief.as_str(), "recover": true, "offset": 0,
        "epoch": position.epoch.as_str()});
    let reply = client.ask("subscribe", wish).await;
    assert!(reply["subscribe"]["recovered"].is_null(), "{reply}");
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
    let listing = |target: &Target, after: &str, limit| Listing {
        target: target.clone(),
        after: after.to_owned(),
        limit,
    };
    let open = server.control.connections(&listing(&target, "", 10)).await;
    assert_eq!(open.unwrap().len(), SHARDS);
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = listing(&Target::default(), &after, 3);
        let page = server.control.connections(&page).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 3, "a page is no longer than asked");
        after = last.client.clone();
        all.extend(page.into_iter().map(|it| it.client));
    }
    assert_eq!(all.len(), SHARDS + 1, "who names nobody lists everybody");
    assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
    let gone = DisconnectCode::FORCE_DISCONNECT.into();
    server
        .control
        .disconnect(target.clone(), gone)
        .await
        .unwrap();
    for client in &mut clients {
        assert_eq!(client.close_code().await, 3503);
    }
    other.ask("subscribe", json!({"channel": "live:a"})).await;
    let open = server.control.connections(&listing(&target, "", 10)).await;
    assert!(open.unwrap().is_empty());
    let gone = DisconnectCode::FORCE_DISCONNECT.into();
    server
        .control
        .disconnect(Target::default(), gone)
        .await
        .unwrap();
    for (channel, code) in [
        ("nope:a", 102),
        ("unit:G10001", 103),
        ("$person:G10001/p1", 103),
        ("", 107),
    ] {
        let subscription = session::ServerSubscription {
            channel: channel.into(),
            ..session::ServerSubscription::default()
        };
        let told = server.control.subscribe(target.clone(), subscription).await;
        assert_eq!(told.unwrap_err().code, code, "{channel}");
    }
    let channels = server.control.channels().await.unwrap();
    let name = ChannelName::parse("live:a").unwrap();
    assert_eq!(channels.get(&name), Some(&1));
    server.node.stop().await;
}

#[tokio::test]
async fn a_user_has_no_more_connections_than_the_limit_says() {
    let session = session::Settings {
        user_connection_limit: 2,
        ..settings()
    };
    let server = start_by(session);
    let first = Client::connect(&server, "guardian").await;
    let _second = Client::connect(&server, "guardian").await;
    let mut third = Client::open(&server).await;
    let connect = json!({"id": 1, "connect": {"token": token("guardian")}});
    third
        .socket
        .send(Message::text(connect.to_string()))
        .await
        .unwrap();
    assert_eq!(third.close_code().await, 3504);
    Client::connect(&server, "teacher").await;
    drop(first);
    let again = async {
        loop {
            let mut client = Client::open(&server).await;
            client
                .socket
                .send(Message::text(connect.to_string()))
                .await
                .unwrap();
            if let Some(Ok(Message::Text(_))) = client.socket.next().await {
                return;
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), again).await;
    waited.expect("the place of the one that went is free");
    server.node.stop().await;
}

#[tokio::test]
async fn who_may_not_go_on_is_closed() {
    let server = start();
    let claims = |id: &str, issued| Claims {
        sub: Some("guardian".to_owned()),
        jti: Some(id.to_owned()),
        iat: Some(issued),
        ..Claims::default()
    };
    let mut clients = Vec::new();
    for (id, issued) in [("a", 100), ("b", 100), ("c", 200)] {
        let token = SigningKey::hmac(SECRET).mint(&claims(id, issued)).unwrap();
        let mut client = Client::open(&server).await;
        client.ask("connect", json!({"token": token})).await;
        clients.push(client);
    }
    let revocations = Arc::new(crate::auth::Revocations::default());
    let judge = async |lines: &str| {
        revocations.load(lines, 0).unwrap();
        let revocations = Arc::clone(&revocations);
        let judged = move |who: &session::Identity| {
            let is_revoked = |it: &session::Login| {
                revocations.covers(it.token.as_deref(), &who.subject, it.issued_ms)
            };
            let is_over = who.logins().any(is_revoked);
            is_over.then_some(DisconnectCode::INVALID_TOKEN)
        };
        server.control.judge(Arc::new(judged)).await;
    };
    judge("{\"jti\": \"b\"}").await;
    assert_eq!(clients[1].close_code().await, 3500);
    judge("{\"sub\": \"guardian\", \"not_before\": 150}").await;
    assert_eq!(clients[0].close_code().await, 3500);
    let reply = clients[2]
        .ask("presence_stats", json!({"channel": "live:a"}))
        .await;
    assert!(reply["presence_stats"].is_object(), "{reply}");
    // A newer token takes the old one's place.
    let newer = SigningKey::hmac(SECRET).mint(&claims("d", 300)).unwrap();
    clients[2].ask("refresh", json!({"token": newer})).await;
    judge("{\"jti\": \"c\"}").await;
    let reply = clients[2]
        .ask("presence_stats", json!({"channel": "live:a"}))
        .await;
    assert!(reply["presence_stats"].is_object(), "{reply}");
    judge("{\"jti\": \"d\"}").await;
    assert_eq!(clients[2].close_code().await, 3500);
    server.node.stop().await;
}

#[tokio::test]
async fn a_lost_publication_is_noticed_where_no_other_follows() {
    let session = session::Settings {
        position_check_delay_ms: 100,
        ..settings()
    };
    let server = start_by(session);
    let channel: ChannelName = "kept:a".parse().unwrap();
    let mut client = Client::connect(&server, "guardian").await;
    client
        .ask("subscribe", json!({"channel": channel.as_str()}))
        .await;
    publish(&server, &channel, "1").await;
    client.publication().await;
    server.lossy.store(true, Ordering::SeqCst);
    publish(&server, &channel, "2").await;
    server.lossy.store(false, Ordering::SeqCst);
    let push = client.push().await;
    assert_eq!(push["unsubscribe"]["code"], 2500, "{push}");
    let page = server.control.history(&channel, 10, None, false).await;
    assert_eq!(page.unwrap().publications.len(), 2, "it is not lost");
    // Who has everything is left alone: ten rounds of checks change nothing.
    client
        .ask("subscribe", json!({"channel": channel.as_str()}))
        .await;
    let quiet = tokio::time::timeout(Duration::from_secs(1), client.push()).await;
    assert!(quiet.is_err(), "{quiet:?}");
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
    let mut look = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    look.write_all(request).await.unwrap();
    read_until(&mut look, "well").await;
    let url = format!("ws://{}/connection/websocket", server.address);
    let socket = TcpStream::connect(server.address).await.unwrap();
    assert!(client_async(url, socket).await.is_err(), "nobody else");
    server.node.stop().await;
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "the port is closed"
    );
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
