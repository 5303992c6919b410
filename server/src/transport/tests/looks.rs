//! Who only looks is let in where nobody else is: at the limit, and while a node drains.

use super::super::admission::{LOOKS_MAX, Reserve};
use super::tls::{tls, tls_client};
use super::*;

const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
const METRICS: &str = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";

/// Requests that are no look, each with something of its own.
const OTHERS: [&str; 4] = [
    "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "GET /healthy HTTP/1.1\r\nhost: x\r\n\r\n",
    "POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
    "POST /connection/http_stream HTTP/1.1\r\nhost: x\r\ncontent-length: 20000\r\n\r\n",
];

fn one() -> Limits {
    Limits {
        connections: 1,
        ..Limits::default()
    }
}

/// Sends a request on a connection that stays open to others, and reads all until the server ends it.
async fn asked(server: &Server, request: &str) -> String {
    let mut socket = server.tcp().await;
    socket.write_all(request.as_bytes()).await.unwrap();
    if request.contains("20000") {
        socket.write_all(&[b' '; 20_000]).await.unwrap();
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn refused_websocket(server: &Server) -> http::Response<Option<Vec<u8>>> {
    match server.websocket_with(&[]).await {
        Err(tungstenite::Error::Http(response)) => *response,
        other => panic!("must be refused: {:?}", other.map(|_| "let in")),
    }
}

#[test]
fn a_full_server_is_seen_to_live() {
    on_shard(async {
        let server = Server::start_with(small(), one(), None);
        let mut socket = server.websocket().await;
        for (request, path) in [(HEALTH, "/health"), (METRICS, "/metrics")] {
            let answer = asked(&server, request).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(
                answer.to_lowercase().contains("connection: close"),
                "{answer}"
            );
            assert!(answer.ends_with(path), "{answer}");
        }
        for request in OTHERS {
            let answer = asked(&server, request).await;
            assert!(answer.starts_with("HTTP/1.1 503"), "{request} {answer}");
            assert!(answer.contains("retry-after: 5"), "{answer}");
            assert!(answer.ends_with("connection limit reached"), "{answer}");
        }
        assert_eq!(refused_websocket(&server).await.status(), 503);
        let counted = server.echo.refused.borrow().len();
        assert_eq!(counted, OTHERS.len() + 1, "looks are not refusals");
        assert_eq!(server.echo.openings.borrow().len(), 1);
        assert_eq!(server.admission.open(), 1);
        socket.send("still here".into()).await.unwrap();
        let heard = socket.next().await.unwrap().unwrap();
        assert_eq!(heard, Message::text("still here"));
    });
}

#[test]
fn the_reserve_is_bounded_and_given_back() {
    on_shard(async {
        let mut server = Server::start_with(small(), one(), None);
        let _socket = server.websocket().await;
        let here = "127.0.0.1".parse().unwrap();
        let look = |_| {
            server
                .admission
                .admit_look(here, Reserve::Plain, std::time::Instant::now())
        };
        let held: Vec<_> = (0..LOOKS_MAX).map(look).collect();
        assert!(held.iter().all(Result::is_ok));
        let answer = asked(&server, HEALTH).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert_eq!(server.refusals.recv().await, Some(Refused::Full));
        drop(held);
        // Whoever says nothing within its second is sent away.
        let mut silent = server.tcp().await;
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
        let away = server.echo.turned_away.take();
        assert_eq!(away, [(Asked::Connection, Reason::Timeout)]);
        let answer = asked(&server, HEALTH).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    });
}

#[test]
fn a_server_that_drains_is_seen_to_live() {
    on_shard(async {
        let server = Server::start(small());
        let mut socket = server.websocket().await;
        server.ports.send_replace(Ports::LooksOnly);
        server.drain.send_replace(true);
        server.echo.full.set(true);
        let answer = asked(&server, HEALTH).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        for request in OTHERS {
            let answer = asked(&server, request).await;
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
            assert!(
                answer.ends_with("no more connections are taken"),
                "{answer}"
            );
        }
        assert_eq!(refused_websocket(&server).await.status(), 503);
        assert_eq!(server.echo.refused.borrow().len(), 0, "the limit is not it");
        assert_eq!(server.echo.turned_away.borrow().len(), OTHERS.len() + 1);
        socket.send("until it is told".into()).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_text());

        server.ports.send_replace(Ports::Closed);
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_full_server_is_seen_to_live_over_tls() {
    on_shard(async {
        let tls = tls();
        let server = Server::start_with(small(), one(), Some(Arc::clone(&tls.certificate)));
        let connector = tls_client(&tls.root);
        let secure = async || {
            let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
            connector.connect(name, server.tcp().await).await.unwrap()
        };
        let url = "ws://localhost/connection/websocket".into_client_request();
        let _held = client_async(url.unwrap(), secure().await).await.unwrap();
        for (request, status) in [(HEALTH, "200"), (OTHERS[0], "503")] {
            let mut socket = secure().await;
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // The server may end without a TLS goodbye: what it said is what counts.
            let _ = socket.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
    });
}
