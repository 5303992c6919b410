//! What an operator meets, against the built server: a drain that can be watched to its end and cut short, a full node
//! that is not taken for a dead one, and a node whose login service cannot be reached yet.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use klokke_tests::{
    client::Client,
    http,
    raw::{PATIENCE, Raw},
    server::{Server, Settings},
    token,
};
use serde_json::json;

/// Far shorter than the drains below would take if nobody cut them short.
const AT_ONCE: Duration = Duration::from_secs(20);

/// The opening of a WebSocket, answered with this status.
fn websocket_gets(server: &Server, status: u16) -> Result<()> {
    let (_, head) = Raw::shake_hands(server.address(), "/connection/websocket", &[])?;
    let wanted = format!("HTTP/1.1 {status} ");
    ensure!(head.starts_with(&wanted), "wanted {status}: {head}");
    Ok(())
}

/// `/health` with its status, and the parts it names.
fn health(server: &Server) -> Result<(u16, Vec<String>)> {
    let answer = http::request(server.address(), "GET", "/health", &[], "")?;
    let said = answer.json()?;
    let reasons = said["reasons"].as_array().context("no reasons")?;
    let parts = reasons.iter().filter_map(|it| it["part"].as_str());
    Ok((answer.status, parts.map(str::to_owned).collect()))
}

#[test]
fn a_drain_can_be_watched_to_its_end() -> Result<()> {
    let settings = Settings::new().set("drain.spread", "60s");
    let settings = settings.set("drain.timeout", "60s");
    let mut server = settings.set("node.shards", "1").start()?;
    let address = server.address();
    // Two, so that the second is told half a minute after the first: meanwhile the drain is under way.
    let mut clients = [
        Client::connect(address, &token::of("anna"))?,
        Client::connect(address, &token::of("bo"))?,
    ];
    server.tell_to_stop()?;
    let begun = Instant::now();
    while !server.log().contains("the drain begins") {
        ensure!(begun.elapsed() < PATIENCE, "{}", server.log());
        std::thread::yield_now();
    }
    ensure!(server.log().contains("connections=2"), "{}", server.log());
    let mut told = None;
    while told.is_none() {
        ensure!(begun.elapsed() < PATIENCE, "nobody was told to go");
        for (nth, client) in clients.iter_mut().enumerate() {
            client.take(Duration::from_millis(50), |_| false)?;
            if client.closed() == Some(3001) {
                told = Some(nth);
            }
        }
    }
    for _ in 0..3 {
        let (status, parts) = health(&server)?;
        ensure!(status == 503 && parts == ["drain"], "{status} {parts:?}");
        let scraped = http::request(address, "GET", "/metrics", &[], "")?;
        ensure!(scraped.status == 200, "{}", scraped.status);
        websocket_gets(&server, 503)?;
        let api = http::request(address, "POST", "/api/info", &[], "{}")?;
        ensure!(api.status == 503, "{}", api.status);
    }
    let stays = &mut clients[1 - told.unwrap_or(0)];
    let pong = stays.call("history", &json!({"channel": "kept:a", "limit": 0}))?;
    ensure!(pong.get("error").is_none(), "who waits is served: {pong}");

    let again = Instant::now();
    let (status, said) = server.last_words()?;
    ensure!(again.elapsed() < AT_ONCE, "it did not end at once");
    ensure!(status.code() == Some(1), "{status}");
    ensure!(said.contains("told to stop once more"), "{said}");
    Ok(())
}

#[test]
fn a_drain_that_is_left_alone_says_that_it_ends() -> Result<()> {
    let mut server = Settings::new().start()?;
    let _client = Client::connect(server.address(), &token::of("anna"))?;
    let (status, said) = server.last_words()?;
    ensure!(status.success(), "{status}");
    let ends = said.lines().find(|line| line.contains("the drain ends"));
    ensure!(ends.is_some(), "{said}");
    Ok(())
}

#[test]
fn a_full_node_is_seen_to_live() -> Result<()> {
    let server = Settings::new()
        .set("admission.connection_limit", "2")
        .start()?;
    let address = server.address();
    let mut first = Client::connect(address, &token::of("anna"))?;
    let _second = Client::connect(address, &token::of("bo"))?;
    ensure!(health(&server)? == (200, Vec::new()));
    websocket_gets(&server, 503)?;
    let counted = http::metric(address, "centrifugo_node_client_connection_limit", &[])?;
    ensure!(counted == 1.0, "{counted}");
    let other = http::request(address, "GET", "/openapi.json", &[], "")?;
    ensure!(other.status == 503, "{}", other.status);
    let reply = first.call("history", &json!({"channel": "kept:a", "limit": 0}))?;
    ensure!(reply.get("error").is_none(), "{reply}");
    Ok(())
}

/// `/health` over a connection that is kept, as balancers and people with patience look.
fn health_over(kept: &mut TcpStream) -> Result<String> {
    kept.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut said = String::new();
    let mut piece = [0; 4096];
    while !said.ends_with('}') {
        let count = kept.read(&mut piece)?;
        ensure!(count > 0, "closed after {said}");
        said.push_str(std::str::from_utf8(&piece[..count])?);
    }
    Ok(said)
}

#[test]
fn out_of_file_handles_it_says_so_and_not_too_often() -> Result<()> {
    // Some forty are the store's and the threads'.
    let server = Settings::new().file_handles(100).start()?;
    let mut kept = TcpStream::connect(server.address())?;
    kept.set_read_timeout(Some(PATIENCE))?;
    ensure!(health_over(&mut kept)?.contains("\"status\":\"ok\""));
    let begun = Instant::now();
    let crowd: Vec<_> = (0..150)
        .map(|_| TcpStream::connect(server.address()))
        .collect::<Result<_, _>>()?;
    let mut said = String::new();
    while !said.contains("\"part\":\"accept\"") {
        ensure!(begun.elapsed() < PATIENCE, "{said}");
        said = health_over(&mut kept)?;
    }
    ensure!(said.starts_with("HTTP/1.1 200"), "{said}");
    drop(crowd);
    // Let in again as soon as there are handles.
    ensure!(http::request(server.address(), "GET", "/metrics", &[], "")?.status == 200);
    let log = server.log();
    let lines = log.matches("cannot accept connections").count();
    let tens = usize::try_from(begun.elapsed().as_secs() / 10)?;
    ensure!((1..=1 + tens).contains(&lines), "{lines} lines:\n{log}");
    Ok(())
}

#[test]
fn before_keys_are_there_a_connect_is_told_to_come_again() -> Result<()> {
    let server = Settings::new()
        .set("client.token.hmac_secret_key", "")
        .set("client.token.jwks_file", "/no/such/keys.json")
        .start()?;
    let mut client = Client::over(Raw::open(server.address())?);
    let reply = client.call("connect", &json!({"token": token::of("anna")}))?;
    ensure!(reply["error"]["code"] == 100, "{reply}");
    ensure!(reply["error"]["temporary"] == true, "{reply}");
    let labels = ["outcome=\"unavailable\""];
    let counted = http::metric(server.address(), "klokke_tokens_verified_total", &labels)?;
    ensure!(counted >= 1.0, "{counted}");
    let (status, parts) = health(&server)?;
    ensure!(status == 200 && parts == ["keys"], "{status} {parts:?}");
    Ok(())
}
