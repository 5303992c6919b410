//! Peers that say nothing, read nothing, come from elsewhere, or come in their thousands.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Result, ensure};
use klokke_tests::{
    client::Client,
    http,
    raw::{Event, PATIENCE, Raw},
    server::Settings,
    token,
};
use serde_json::json;

use crate::witness::{SECRET_WORD, Witness, usual};

const HANDSHAKES_REFUSED: &str = "klokke_transport_handshakes_refused_total";
const DISCONNECTS: &str = "centrifugo_client_num_server_disconnects";

#[test]
fn a_page_of_another_origin_is_refused() -> Result<()> {
    let mut witness = usual()?;
    witness.sees(HANDSHAKES_REFUSED, &["reason=\"origin\""], |server| {
        let foreign = [("Origin", "https://elsewhere.example")];
        let (_, head) = Raw::shake_hands(server.address(), "/connection/websocket", &foreign)?;
        ensure!(head.starts_with("HTTP/1.1 403"), "{head}");
        let own = format!("http://{}", server.address());
        Raw::open_with(
            server.address(),
            "/connection/websocket",
            &[("Origin", &own)],
        )?;
        Ok(())
    })
}

#[test]
fn an_opening_request_that_is_none_is_refused() -> Result<()> {
    let mut witness = usual()?;
    let address = witness.server.address();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (what, lines) in [
        ("no key", format!("{upgrade}Sec-WebSocket-Version: 13\r\n")),
        (
            "an old version",
            format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n"),
        ),
        ("no upgrade", key.to_owned()),
    ] {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let path = "/connection/websocket";
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\n{lines}\r\n"
        )?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        ensure!(
            answer.starts_with(b"HTTP/1.1 4"),
            "{what}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    witness.is_well()
}

#[test]
fn a_socket_that_says_nothing_is_closed() -> Result<()> {
    let settings = Settings::new()
        .set("transport.handshake_timeout", "1s")
        .set("client.stale_close_delay", "1s")
        .set("admission.wait_max", "500ms");
    let mut witness = Witness::start(settings)?;
    witness.sees(HANDSHAKES_REFUSED, &["reason=\"timeout\""], |server| {
        let mut silent = TcpStream::connect(server.address())?;
        let mut slow = TcpStream::connect(server.address())?;
        slow.write_all(b"GET /connection/websocket HTTP/1.1\r\n")?;
        for stream in [&mut silent, &mut slow] {
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut rest = Vec::new();
            // A reset is as good an end as an end.
            let _ = stream.read_to_end(&mut rest);
        }
        Ok(())
    })?;
    witness.sees(DISCONNECTS, &["code=\"3502\""], |server| {
        let code = Client::over(Raw::open(server.address())?).close_code()?;
        ensure!(code == 3502, "closed with {code}");
        Ok(())
    })
}

#[test]
fn a_peer_that_no_longer_answers_pings_is_closed() -> Result<()> {
    let settings = Settings::new()
        .set("client.ping_interval", "2s")
        .set("client.pong_timeout", "1s");
    let server = settings.start()?;
    let before = http::metric(server.address(), DISCONNECTS, &["code=\"3012\""])?;
    // A half-open socket looks just like this to the server: nothing comes back, nothing is refused.
    let mut raw = Raw::open(server.address())?;
    let connect = json!({"id": 1, "connect": {"token": token::of("anna")}}).to_string();
    raw.send(&klokke_tests::raw::Frame::text(connect))?;
    let code = loop {
        match raw.next(PATIENCE)? {
            Event::Frame(frame) => {
                if let Some(code) = frame.close_code() {
                    break code;
                }
            }
            other => anyhow::bail!("instead of a close: {other:?}"),
        }
    };
    ensure!(code == 3012, "closed with {code}");
    let after = http::metric(server.address(), DISCONNECTS, &["code=\"3012\""])?;
    ensure!(after > before, "the metric did not count it");
    Ok(())
}

#[test]
fn a_slow_reader_is_sent_away_and_recovers_while_others_go_on() -> Result<()> {
    let settings = Settings::new()
        .set("client.queue_max_size_bytes", "131072")
        .set("client.recovery_max_publication_limit", "1000");
    let mut witness = Witness::start(settings)?;
    let address = witness.server.address();
    let text = format!("{SECRET_WORD}{}", "*".repeat(30_000));
    let mut position = json!(null);
    witness.sees("klokke_slow_consumers_total", &[], |_| {
        let mut slow = Client::connect(address, &token::of("langsom"))?;
        let first = slow.must("subscribe", &json!({"channel": "kept:slow"}))?;
        position =
            json!({"epoch": first["epoch"], "offset": first["offset"].as_u64().unwrap_or(0)});
        let mut quick = Client::connect(address, &token::of("hurtig"))?;
        quick.must("subscribe", &json!({"channel": "kept:slow"}))?;
        // Far more than the kernel's buffers and the queue hold together.
        for _ in 0..400 {
            http::api(
                address,
                "publish",
                &json!({"channel": "kept:slow", "data": text}),
            )?;
            quick.push("kept:slow")?;
        }
        let code = slow.close_code()?;
        ensure!(code == 3008, "closed with {code}");
        Ok(())
    })?;
    let request = json!({"channel": "kept:slow", "recover": true, "epoch": position["epoch"], "offset": position["offset"]});
    let settings_allow = http::api(
        address,
        "history",
        &json!({"channel": "kept:slow", "limit": 0}),
    )?;
    ensure!(settings_allow["offset"] == 400, "{settings_allow}");
    let mut back = Client::connect(address, &token::of("langsom"))?;
    // The recovery alone is larger than the queue allows, so it comes in pieces or as a plain answer; either way nothing is lost.
    match back.call("subscribe", &request) {
        Ok(reply) => {
            let count = reply["subscribe"]["publications"]
                .as_array()
                .map_or(0, Vec::len);
            ensure!(
                count == 400 || reply["subscribe"].get("recovered").is_none(),
                "recovered {count} of 400"
            );
        }
        Err(error) => {
            ensure!(back.close_code()? == 3008, "{error:#}");
        }
    }
    witness.is_well()
}

#[test]
fn more_connections_than_allowed_are_refused_and_the_others_stay() -> Result<()> {
    let mut witness = Witness::start(Settings::new().set("admission.connection_limit", "50"))?;
    let address = witness.server.address();
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..200 {
        match Raw::shake_hands(address, "/connection/websocket", &[]) {
            Ok((raw, head)) if head.starts_with("HTTP/1.1 101") => held.push(raw),
            Ok((_, head)) => {
                ensure!(head.starts_with("HTTP/1.1 503"), "{head}");
                refused += 1;
            }
            Err(_) => refused += 1,
        }
    }
    ensure!(
        held.len() <= 50 && refused >= 150,
        "{} held, {refused} refused",
        held.len()
    );
    drop(held);
    let labels = ["reason=\"connection_limit\""];
    wait_for_room(address)?;
    let counted = http::metric(address, HANDSHAKES_REFUSED, &labels)?;
    ensure!(counted >= 150.0, "{counted} counted");
    witness.is_well()
}

/// Closed sockets are noticed one by one; a request that is no look is let in as soon as there is room.
fn wait_for_room(address: SocketAddr) -> Result<()> {
    for _ in 0..1000 {
        if http::request(address, "GET", "/openapi.json", &[], "")
            .is_ok_and(|answer| answer.status == 200)
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    anyhow::bail!("there is no room again")
}

#[test]
fn thousands_of_connects_from_one_address_are_slowed_down() -> Result<()> {
    // Connections from the machine itself are not limited by address, so another of its addresses is used, where it has one.
    let Some(own) = outside_address() else {
        return Ok(());
    };
    let settings = Settings::new()
        .set("listen.address", "0.0.0.0:0")
        .set("admission.rate_per_address", "100");
    let server = settings.start()?;
    let from_inside = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
    let mut witness = Client::connect(from_inside, &token::of("vidne"))?;
    let target = SocketAddr::new(own, server.address().port());
    let mut let_in = 0;
    for _ in 0..3000 {
        let opened = Raw::shake_hands(target, "/connection/websocket", &[]);
        if opened.is_ok_and(|(_, head)| head.starts_with("HTTP/1.1 101")) {
            let_in += 1;
        }
    }
    let refused = http::metric(from_inside, HANDSHAKES_REFUSED, &["reason=\"rate\""])?;
    ensure!(
        refused > 0.0 && let_in < 3000,
        "{let_in} of 3000 were let in, {refused} refused"
    );
    witness.must("subscribe", &json!({"channel": "open:flood"}))?;
    Ok(())
}

/// An address of this machine that is not loopback; nothing is sent to find it.
fn outside_address() -> Option<std::net::IpAddr> {
    let probe = UdpSocket::bind("0.0.0.0:0").ok()?;
    probe.connect("192.0.2.1:9").ok()?;
    let own = probe.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}
