//! Real sockets against a host that answers what the test wants.
#![allow(clippy::unwrap_used)]

mod looks;
mod quic;
mod tls;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::LocalSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::admission::{Admission, Limits, Refused};
use super::listener::{Intake, Listener, Ports};
use super::quic::Arrival;
use super::tls::{Certificate, CertificateFiles};
use super::*;
use crate::hub::ConnKey;

/// Echoes frames, and remembers what happened.
#[derive(Default)]
struct Echo {
    links: RefCell<Vec<Option<Rc<Link>>>>,
    openings: RefCell<Vec<Opening>>,
    closed: RefCell<Vec<(u32, Cause)>>,
    refused: RefCell<Vec<Refused>>,
    turned_away: RefCell<Vec<(Asked, Reason)>>,
    arrivals: RefCell<Vec<Arrival>>,
    handed: Arc<AtomicU64>,
    standing: Rc<Standing>,
    changed: Notify,
    full: Cell<bool>,
    silent: Cell<bool>,
    sated: Cell<bool>,
}

impl Echo {
    async fn until<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(found) = look(self) {
                return found;
            }
            changed.await;
        }
    }

    /// The link of the first connection, which the host lets go of.
    async fn take_link(&self) -> Rc<Link> {
        self.until(|echo| echo.links.borrow_mut().first_mut()?.take())
            .await
    }

    /// What waits in the first link, which is an emulated one's.
    fn take_queued(&self) -> Option<Bytes> {
        let links = self.links.borrow();
        let link = links.first()?.as_ref()?;
        let cx = std::task::Context::from_waker(std::task::Waker::noop());
        match link.poll_take(&cx) {
            std::task::Poll::Ready(bytes) => bytes,
            std::task::Poll::Pending => None,
        }
    }

    async fn cause_of(&self, slot: u32) -> Cause {
        self.until(|echo| {
            let closed = echo.closed.borrow();
            closed.iter().find(|(id, _)| *id == slot).map(|(_, it)| *it)
        })
        .await
    }
}

impl Host for Echo {
    fn has_room(self: &Rc<Self>) -> bool {
        !self.full.get()
    }

    fn refused(self: &Rc<Self>, why: Refused) {
        self.refused.borrow_mut().push(why);
    }

    fn open(self: &Rc<Self>, opening: &Opening, link: &Rc<Link>) -> Option<ConnKey> {
        let slot = u32::try_from(self.links.borrow().len()).unwrap();
        self.links.borrow_mut().push(Some(Rc::clone(link)));
        self.openings.borrow_mut().push(opening.clone());
        self.changed.notify_waiters();
        Some(ConnKey {
            index: slot,
            generation: 0,
        })
    }

    fn receive(self: &Rc<Self>, id: ConnKey, bytes: Bytes) {
        let links = self.links.borrow();
        let opening = &self.openings.borrow()[id.index as usize];
        if self.silent.get() {
            return;
        }
        let echoed = match opening.door {
            Door::WebSocket => frame(Kind::Text, &bytes),
            _ => bytes,
        };
        let link = links[id.index as usize].as_ref().unwrap();
        assert_ne!(link.write(&echoed), Written::Overflow);
    }

    fn pong(self: &Rc<Self>, _: ConnKey) {}

    fn wants_frames(self: &Rc<Self>, _: ConnKey) -> bool {
        !self.sated.get()
    }

    fn shook_hands(self: &Rc<Self>, _: Resumed) {}

    fn arrived(self: &Rc<Self>, arrival: Arrival) {
        self.arrivals.borrow_mut().push(arrival);
        self.changed.notify_waiters();
    }

    fn handing_on(&self) -> HandingOn {
        let handed = Arc::clone(&self.handed);
        Box::new(move |datagrams| {
            handed.fetch_add(datagrams, Ordering::Relaxed);
        })
    }

    fn turned_away(self: &Rc<Self>, asked: Asked, why: Reason) {
        self.turned_away.borrow_mut().push((asked, why));
        self.changed.notify_waiters();
    }

    fn standing(self: &Rc<Self>, _: Door) -> Rc<Standing> {
        Rc::clone(&self.standing)
    }

    fn closed(self: &Rc<Self>, id: ConnKey, cause: Cause) {
        self.links.borrow_mut()[id.index as usize] = None;
        self.closed.borrow_mut().push((id.index, cause));
        self.changed.notify_waiters();
    }

    fn uplink<'a>(
        self: &'a Rc<Self>,
        session: &'a str,
        _: &'a str,
        data: Bytes,
    ) -> LocalFuture<'a, Uplink> {
        let slot = session.parse().unwrap();
        self.receive(
            ConnKey {
                index: slot,
                generation: 0,
            },
            data,
        );
        Box::pin(async { Uplink::Accepted })
    }

    fn edge(
        self: &Rc<Self>,
        request: Request<RequestBody>,
        _: SocketAddr,
    ) -> LocalFuture<'_, Response<axum::body::Body>> {
        let path = request.uri().path().to_owned();
        Box::pin(async move {
            // As the edge does it: the body first.
            let _ = request.into_body().collect().await;
            Response::new(axum::body::Body::from(path))
        })
    }
}

struct ToShard {
    sockets: mpsc::UnboundedSender<Incoming>,
    refusals: mpsc::UnboundedSender<Refused>,
}

impl Intake for ToShard {
    fn take(&self, incoming: Incoming) -> Result<(), Incoming> {
        self.sockets.send(incoming).map_err(|error| error.0)
    }

    fn refused(&self, why: Refused) {
        self.refusals.send(why).unwrap();
    }

    fn exhausted(&self) {}

    fn accepted(&self, _: bool) {}
}

struct Server {
    address: SocketAddr,
    echo: Rc<Echo>,
    refusals: mpsc::UnboundedReceiver<Refused>,
    drain: watch::Sender<bool>,
    ports: watch::Sender<Ports>,
    admission: Arc<Admission>,
}

impl Server {
    fn start(settings: Settings) -> Self {
        Self::start_with(settings, Limits::default(), None)
    }

    fn start_with(settings: Settings, limits: Limits, tls: Option<Arc<Certificate>>) -> Self {
        Self::start_at(Admission::new(limits), settings, tls)
    }

    fn start_at(
        admission: Arc<Admission>,
        settings: Settings,
        tls: Option<Arc<Certificate>>,
    ) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls).unwrap();
        let address = listener.local_addr().unwrap();
        let (sockets, mut accepted) = mpsc::unbounded_channel();
        let (refused, refusals) = mpsc::unbounded_channel();
        let (drain, draining) = watch::channel(false);
        let intake = Arc::new(ToShard {
            sockets,
            refusals: refused,
        });
        let (ports, letting_in) = watch::channel(Ports::Open);
        let run = listener.run(Arc::clone(&admission), intake, letting_in);
        tokio::task::spawn_local(run);
        let echo = Rc::new(Echo::default());
        let host = Rc::clone(&echo);
        let settings = Arc::new(settings);
        tokio::task::spawn_local(async move {
            while let Some(incoming) = accepted.recv().await {
                let (host, settings) = (Rc::clone(&host), Arc::clone(&settings));
                tokio::task::spawn_local(serve(incoming, host, settings, draining.clone()));
            }
        });
        Self {
            address,
            echo,
            refusals,
            drain,
            ports,
            admission,
        }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn websocket(&self) -> WebSocketStream<TcpStream> {
        self.websocket_with(&[]).await.unwrap().0
    }

    async fn websocket_with(
        &self,
        headers: &[(&'static str, &str)],
    ) -> tungstenite::Result<(
        WebSocketStream<TcpStream>,
        tungstenite::handshake::client::Response,
    )> {
        let url = format!("ws://{}/connection/websocket", self.address);
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(*name, value);
        }
        client_async(request, self.tcp().await).await
    }

    /// Sends a raw request and reads the whole answer.
    async fn http(&self, request: &str) -> String {
        let mut socket = self.tcp().await;
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn on_shard(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

fn small() -> Settings {
    Settings {
        http_stream: true,
        sse: true,
        ..Settings::default()
    }
}

/// A masked client frame.
fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend([0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

async fn closes_with(socket: &mut WebSocketStream<TcpStream>, code: u16) {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Close(Some(frame)) => return assert_eq!(u16::from(frame.code), code),
            Message::Close(None) => panic!("no close code, wanted {code}"),
            _ => {}
        }
    }
}

#[test]
fn a_frame_goes_in_and_out() {
    on_shard(async {
        let server = Server::start(small());
        let protocol = ("sec-websocket-protocol", "centrifuge-json");
        let (mut socket, response) = server.websocket_with(&[protocol]).await.unwrap();
        assert_eq!(response.headers()[protocol.0], protocol.1);
        for size in [1, 125, 126, 4096, 65_535, 65_536] {
            let text = "x".repeat(size);
            socket.send(text.clone().into()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
        }
        socket.send(Message::Ping(Bytes::from("p"))).await.unwrap();
        let pong = socket.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong(Bytes::from("p")));
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
        assert_eq!(server.echo.cause_of(0).await, Cause::Client);
    });
}

#[test]
fn many_frames_in_one_packet_and_one_frame_in_many() {
    on_shard(async {
        let server = Server::start(small());
        let (mut socket, _) = server.websocket_with(&[]).await.unwrap();
        let mut packet = Vec::new();
        for n in 0..500 {
            packet.extend(client_frame(0x81, n.to_string().as_bytes()));
        }
        socket.get_mut().write_all(&packet).await.unwrap();
        for byte in client_frame(0x81, b"slow") {
            socket.get_mut().write_all(&[byte]).await.unwrap();
            socket.get_mut().flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        for n in 0..500 {
            let message = socket.next().await.unwrap().unwrap();
            assert_eq!(message, Message::text(n.to_string()));
        }
        let message = socket.next().await.unwrap().unwrap();
        assert_eq!(message, Message::text("slow"));
    });
}

#[test]
fn a_socket_is_not_read_while_the_host_has_enough() {
    on_shard(async {
        let server = Server::start(small());
        let (mut socket, _) = server.websocket_with(&[]).await.unwrap();
        server.echo.sated.set(true);
        socket.send("later".into()).await.unwrap();
        let link = server
            .echo
            .until(|echo| echo.links.borrow()[0].clone())
            .await;
        while !link.is_paused() {
            tokio::task::yield_now().await;
        }
        server.echo.sated.set(false);
        link.resume();
        assert_eq!(
            socket.next().await.unwrap().unwrap(),
            Message::text("later")
        );
        // One that is paused is closed like any other.
        server.echo.sated.set(true);
        socket.send("never".into()).await.unwrap();
        while !link.is_paused() {
            tokio::task::yield_now().await;
        }
        link.finish(close_frame(3001, ""), Last::AfterQueue);
        let Some(Ok(Message::Close(Some(close)))) = socket.next().await else {
            panic!("a close frame");
        };
        assert_eq!(u16::from(close.code), 3001);
    });
}

#[test]
fn what_comes_behind_the_request_is_heard() {
    on_shard(async {
        let server = Server::start(small());
        let mut socket = server.tcp().await;
        let mut packet = b"GET /connection/websocket HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\
            connection: upgrade\r\nsec-websocket-version: 13\r\n\
            sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            .to_vec();
        packet.extend(client_frame(0x81, b"early"));
        socket.write_all(&packet).await.unwrap();
        read_until(&mut socket, "early").await;
    });
}

#[test]
fn between_messages_no_reader_is_kept() {
    on_shard(async {
        let echo = Rc::new(Echo::default());
        let link = Rc::new(Link::to_taker(1 << 20, Rc::default()));
        let opening = Opening {
            door: Door::WebSocket,
            codec: klokke_protocol::Codec::Json,
            peer: [127, 0, 0, 1].into(),
            native_ping: false,
            headers: http::HeaderMap::new(),
            since_us: 0,
        };
        let id = echo.open(&opening, &link).unwrap();
        let permit = Admission::new(Limits::default())
            .admit([127, 0, 0, 1].into(), std::time::Instant::now())
            .unwrap();
        let mut task = websocket::WebSocket::new(Rc::clone(&echo), link, id, b"", permit, 65_536);
        assert!(size_of_val(&task) <= 128, "{}", size_of_val(&task));
        assert!(!task.holds_a_reader());
        let large = client_frame(0x81, &vec![b'x'; 60_000]);
        let (one, other) = large.split_at(30_000);
        let steps: [(&str, Vec<u8>, bool); 6] = [
            ("half a message", one.to_vec(), true),
            ("the other half", other.to_vec(), false),
            ("a ping", client_frame(0x89, b"x"), false),
            ("a first fragment", client_frame(0x01, b"ab"), true),
            ("a ping in between", client_frame(0x89, b"x"), true),
            ("the last fragment", client_frame(0x80, b"cd"), false),
        ];
        for (name, bytes, held) in steps {
            assert_eq!(task.digest(&bytes), None, "{name}");
            assert_eq!(task.holds_a_reader(), held, "{name}");
        }
        let said = std::iter::from_fn(|| echo.take_queued());
        let lengths: Vec<usize> = said.map(|bytes| bytes.len()).collect();
        // Two echoes with their headers, and a pong after each ping.
        assert_eq!(lengths, [60_004, 3, 3, 6]);
    });
}

#[test]
fn broken_framing_is_told_by_its_code() {
    let unmasked = vec![0x81, 0x01, b'x'];
    let rows: Vec<(&str, Vec<u8>, u16)> = vec![
        ("too large", client_frame(0x81, &vec![b'x'; 65_537]), 1009),
        ("not UTF-8", client_frame(0x81, &[0xff, 0xfe]), 1007),
        ("unmasked", unmasked, 1002),
        ("reserved bit", client_frame(0xC1, b"x"), 1002),
        ("reserved opcode", client_frame(0x83, b"x"), 1002),
        ("lone continuation", client_frame(0x80, b"x"), 1002),
        ("fragmented ping", client_frame(0x09, b"x"), 1002),
        ("long ping", client_frame(0x89, &[b'x'; 126]), 1002),
    ];
    on_shard(async {
        let server = Server::start(small());
        for (slot, (name, bytes, code)) in rows.into_iter().enumerate() {
            let mut socket = server.websocket().await;
            // The server may close before it has taken all of it.
            let _ = socket.get_mut().write_all(&bytes).await;
            closes_with(&mut socket, code).await;
            let cause = server.echo.cause_of(u32::try_from(slot).unwrap()).await;
            assert_eq!(cause, Cause::Framing(code), "{name}");
        }
    });
}

#[test]
fn a_close_by_the_shard_waits_for_the_answer() {
    on_shard(async {
        let server = Server::start(small());
        let mut socket = server.websocket().await;
        let link = server.echo.take_link().await;
        link.finish(close_frame(3001, "shutdown"), Last::AfterQueue);
        let Message::Close(Some(close)) = socket.next().await.unwrap().unwrap() else {
            panic!("a close frame");
        };
        assert_eq!(u16::from(close.code), 3001);
        assert_eq!(close.reason.as_str(), "shutdown");
        drop(link);
        // The client's answer ends it, long before the grace time.
        while let Some(Ok(_)) = socket.next().await {}
        let closed = server.echo.closed.borrow();
        assert!(closed.is_empty(), "the shard closed it and is not told");
    });
}

#[test]
fn a_slow_reader_is_noticed_and_others_are_not_held_up() {
    on_shard(async {
        let settings = Settings {
            queue_max_bytes: 64 * 1024,
            ..small()
        };
        let server = Server::start(settings);
        let mut slow = server.websocket().await;
        let mut quick = server.websocket().await;
        let both = |echo: &Echo| (echo.links.borrow().len() == 2).then_some(());
        server.echo.until(both).await;
        let links: Vec<_> = server
            .echo
            .links
            .borrow()
            .iter()
            .flatten()
            .cloned()
            .collect();
        let news = frame(Kind::Text, &vec![b'x'; 32 * 1024]);
        let mut rounds = 0;
        loop {
            assert_ne!(links[1].write(&news), Written::Overflow);
            quick.next().await.unwrap().unwrap();
            rounds += 1;
            if links[0].write(&news) == Written::Overflow {
                break;
            }
            assert!(links[0].queued_bytes() <= 64 * 1024);
            assert!(rounds < 10_000, "the kernel took everything");
        }
        links[0].finish(close_frame(3008, "slow"), Last::InsteadOfQueue);
        // What was on its way arrives whole, then the close.
        closes_with(&mut slow, 3008).await;
    });
}

#[test]
fn a_link_stands_where_its_bytes_and_its_owner_put_it() {
    on_shard(async {
        let (opening, open) = (Rc::new(Standing::default()), Rc::new(Standing::default()));
        let at = |standing: &Standing| {
            let Standing {
                queued,
                memory,
                quick,
                lagging,
            } = standing;
            assert_eq!(queued.value(), memory.value());
            (queued.value(), quick.value(), lagging.value())
        };
        let cx = std::task::Context::from_waker(std::task::Waker::noop());
        let link = Link::to_taker(1 << 20, Rc::clone(&opening));
        assert_eq!(at(&opening), (0, 1, 0));
        assert_eq!(link.write(&Bytes::from_static(b"abc")), Written::Queued);
        assert_eq!(at(&opening), (3, 0, 1));
        link.stand(&open);
        assert_eq!((at(&opening), at(&open)), ((0, 0, 0), (3, 0, 1)));
        assert!(link.poll_take(&cx).is_ready());
        assert_eq!(at(&open), (0, 1, 0));
        assert_eq!(link.write(&Bytes::from_static(b"de")), Written::Queued);
        link.leave();
        assert_eq!(at(&open), (2, 0, 0), "its goodbye still waits");
        link.stand(&opening);
        assert_eq!((at(&opening), at(&open)), ((2, 0, 0), (0, 0, 0)));
        drop(link);
        assert_eq!(at(&opening), (0, 0, 0));
        let other = Link::to_taker(1 << 20, Rc::clone(&open));
        assert_eq!(other.write(&Bytes::from_static(b"f")), Written::Queued);
        drop(other);
        assert_eq!(at(&open), (0, 0, 0));
    });
}

#[test]
fn queued_bytes_arrive_in_order_and_whole() {
    on_shard(async {
        let server = Server::start(small());
        let mut socket = server.websocket().await;
        let link = server.echo.take_link().await;
        let mut sent: u32 = 0;
        let mut queued = 0;
        while queued < 20 {
            let payload = format!("{sent:06}{}", "y".repeat(20_000 + sent as usize));
            sent += 1;
            match link.write(&frame(Kind::Text, payload.as_bytes())) {
                Written::Queued => queued += 1,
                Written::Sent => {}
                other => panic!("{other:?}"),
            }
        }
        link.finish(close_frame(3001, ""), Last::AfterQueue);
        for n in 0..sent {
            let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
            assert_eq!(&text[..6], format!("{n:06}"));
            assert_eq!(text.len(), 20_006 + n as usize);
        }
        closes_with(&mut socket, 3001).await;
    });
}

#[test]
fn a_client_that_pings_without_reading_is_dropped() {
    on_shard(async {
        let settings = Settings {
            queue_max_bytes: 16 * 1024,
            ..small()
        };
        let server = Server::start(settings);
        let socket = server.websocket().await;
        let (_unread, mut writer) = tokio::io::split(socket.into_inner());
        let pings = client_frame(0x89, &[b'x'; 125]).repeat(500);
        tokio::task::spawn_local(async move { while writer.write_all(&pings).await.is_ok() {} });
        assert_eq!(server.echo.cause_of(0).await, Cause::Slow);
    });
}

#[test]
fn foreign_pages_are_refused() {
    on_shard(async {
        let server = Server::start(small());
        let evil = ("origin", "https://evil.example");
        let Err(tungstenite::Error::Http(response)) = server.websocket_with(&[evil]).await else {
            panic!("must be refused");
        };
        assert_eq!(response.status(), 403);
        let own = format!("http://{}", server.address);
        assert!(server.websocket_with(&[("origin", &own)]).await.is_ok());
    });
}

#[test]
fn other_requests_go_to_the_edge_and_drain_ends_them() {
    on_shard(async {
        let server = Server::start(small());
        let request = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answer = server.http(request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("/health"));
        let plain = "GET /connection/websocket HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        assert!(server.http(plain).await.starts_with("HTTP/1.1 426"));
        assert!(
            server
                .http("nonsense\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 400")
        );

        let mut idle = server.tcp().await;
        let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        idle.write_all(request).await.unwrap();
        let mut first = [0; 12];
        idle.read_exact(&mut first).await.unwrap();
        server.drain.send_replace(true);
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap();
    });
}

#[test]
fn a_full_server_says_so() {
    on_shard(async {
        let limits = Limits {
            connections: 1,
            ..Limits::default()
        };
        let server = Server::start_with(small(), limits, None);
        let socket = server.websocket().await;
        let answer = server.http("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert_eq!(*server.echo.refused.borrow(), [Refused::Full]);
        drop(socket);
        server.echo.cause_of(0).await;
        while server.admission.open() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(server.websocket_with(&[]).await.is_ok());

        server.echo.full.set(true);
        let limits = Limits::default();
        let full = Server::start_with(small(), limits, None);
        full.echo.full.set(true);
        let Err(tungstenite::Error::Http(response)) = full.websocket_with(&[]).await else {
            panic!("must be refused");
        };
        assert_eq!(response.status(), 503);
    });
}

#[test]
fn behind_a_proxy_each_client_has_an_account_of_its_own() {
    on_shard(async {
        let limits = Limits {
            connections_per_address: 2,
            ..Limits::default()
        };
        let proxies = vec!["127.0.0.1".parse().unwrap()];
        let admission = Admission::behind(proxies, limits);
        let server = Server::start_at(admission, small(), None);
        let from = [("x-forwarded-for", "203.0.113.5, 198.51.100.9")];
        let first = server.websocket_with(&from).await.unwrap().0;
        let peer = server
            .echo
            .until(|echo| Some(echo.openings.borrow().first()?.peer))
            .await;
        assert_eq!(peer.to_string(), "198.51.100.9");
        let stream = "POST /connection/http_stream HTTP/1.1\r\nhost: x\r\n\
            x-forwarded-for: 198.51.100.9\r\ncontent-length: 5\r\n\r\nfirst";
        let mut down = server.tcp().await;
        down.write_all(stream.as_bytes()).await.unwrap();
        read_until(&mut down, "first").await;

        let Err(tungstenite::Error::Http(response)) = server.websocket_with(&from).await else {
            panic!("must be refused");
        };
        assert_eq!(response.status(), 429);
        assert!(response.headers().contains_key("retry-after"));
        let mut refused = server.tcp().await;
        refused.write_all(stream.as_bytes()).await.unwrap();
        read_until(&mut refused, "HTTP/1.1 429").await;
        assert_eq!(*server.echo.refused.borrow(), [Refused::Address; 2]);
        let other = [("x-forwarded-for", "198.51.100.10")];
        server.websocket_with(&other).await.unwrap();

        drop((first, down));
        server.echo.cause_of(0).await;
        server.echo.cause_of(1).await;
        loop {
            if server.websocket_with(&from).await.is_ok() {
                break;
            }
        }
    });
}

#[test]
fn emulated_connections_go_both_ways() {
    on_shard(async {
        let server = Server::start(small());
        let mut down = server.tcp().await;
        let open =
            "POST /connection/http_stream HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nfirst";
        down.write_all(open.as_bytes()).await.unwrap();
        let seen = read_until(&mut down, "first").await;
        assert!(seen.contains("x-accel-buffering: no"), "{seen}");

        let body = r#"{"session":"0","node":"n","data":"{\"id\":1}\n{}"}"#;
        let length = body.len();
        let post = format!(
            "POST /emulation HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        assert!(server.http(&post).await.starts_with("HTTP/1.1 204"));
        read_until(&mut down, "{\"id\":1}\n{}").await;
        drop(down);
        assert_eq!(server.echo.cause_of(0).await, Cause::Client);
    });
}

#[test]
fn server_sent_events_begin_with_an_empty_line_and_end_when_closed() {
    on_shard(async {
        let server = Server::start(small());
        let mut down = server.tcp().await;
        let open = "GET /connection/sse?cf_connect=%7B%7D HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        down.write_all(open.as_bytes()).await.unwrap();
        let link = server.echo.take_link().await;
        link.finish(Bytes::from("data: bye\n\n"), Last::AfterQueue);
        drop(link);
        let mut answer = String::new();
        down.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("content-type: text/event-stream"));
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(body.starts_with("2\r\n\r\n\r\n"), "{body:?}");
        assert!(body.ends_with("data: bye\n\n\r\n0\r\n\r\n"), "{body:?}");
        assert!(server.echo.closed.borrow().is_empty());
    });
}

#[test]
fn requests_outlive_the_time_for_the_handshake() {
    let short = Settings {
        handshake_timeout: Duration::from_millis(100),
        ..small()
    };
    on_shard(async move {
        let server = Server::start(short.clone());
        // A client that says nothing is what the timeout is for; once it is over for that one, it
        // is over for those before it too.
        let mut streams = Vec::new();
        for open in [
            "POST /connection/http_stream HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nfirst",
            "GET /connection/sse?cf_connect=first HTTP/1.1\r\nhost: x\r\n\r\n",
        ] {
            let mut down = server.tcp().await;
            down.write_all(open.as_bytes()).await.unwrap();
            read_until(&mut down, "first").await;
            streams.push(down);
        }
        let mut posting = server.tcp().await;
        let head =
            b"POST /v1/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\na";
        posting.write_all(head).await.unwrap();
        let mut silent = server.tcp().await;
        assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0, "closed in time");

        for (slot, down) in streams.iter_mut().enumerate() {
            let echo = Rc::clone(&server.echo);
            let key = ConnKey {
                index: u32::try_from(slot).unwrap(),
                generation: 0,
            };
            echo.receive(key, Bytes::from_static(b"later"));
            read_until(down, "later").await;
        }
        posting.write_all(b"b").await.unwrap();
        read_until(&mut posting, "HTTP/1.1 200").await;
    });
}

#[test]
fn a_body_that_does_not_come_in_time_is_not_waited_for() {
    let short = Settings {
        body_timeout: Duration::from_millis(50),
        ..small()
    };
    on_shard(async move {
        let server = Server::start(short);
        for path in ["/v1/x", "/connection/http_stream", "/emulation"] {
            let request =
                format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf");
            let answer = server.http(&request).await;
            assert!(answer.starts_with("HTTP/1.1 408"), "{path}: {answer}");
        }
    });
}

#[test]
fn a_large_body_may_take_longer_at_a_pace() {
    let short = Settings {
        body_timeout: Duration::from_millis(50),
        ..small()
    };
    on_shard(async move {
        let server = Server::start(short);
        let mut socket = server.tcp().await;
        let piece = vec![b'x'; 64 * 1024];
        let head = "POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 131072\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&piece).await.unwrap();
        // Two seconds were gained with it; longer than the first 50 ms is what is tried.
        tokio::time::sleep(Duration::from_millis(150)).await;
        socket.write_all(&piece).await.unwrap();
        read_until(&mut socket, "HTTP/1.1 200").await;
    });
}

#[test]
fn emulation_refuses_what_it_cannot_take() {
    let head = "HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let big = "x".repeat(65_537);
    let rows = [
        (format!("GET /connection/sse {head}\r\n"), 400),
        (format!("GET /connection/http_stream {head}\r\n"), 405),
        (format!("GET /emulation {head}\r\n"), 405),
        (
            format!("POST /emulation {head}content-length: 2\r\n\r\nno"),
            400,
        ),
        (
            format!("POST /emulation {head}content-length: 65537\r\n\r\n{big}"),
            413,
        ),
        (
            format!("POST /emulation {head}origin: https://evil.example\r\n\r\n"),
            403,
        ),
        (format!("OPTIONS /emulation {head}\r\n"), 204),
    ];
    on_shard(async {
        let server = Server::start(small());
        for (request, status) in rows {
            let answer = server.http(&request).await;
            let expected = format!("HTTP/1.1 {status}");
            assert!(answer.starts_with(&expected), "{status}: {answer}");
        }
        let expected = [
            (Asked::Connection, Reason::Malformed),
            (Asked::Connection, Reason::Malformed),
            (Asked::Uplink, Reason::Malformed),
            (Asked::Uplink, Reason::Malformed),
            (Asked::Uplink, Reason::TooLarge),
            (Asked::Uplink, Reason::Origin),
        ];
        assert_eq!(*server.echo.turned_away.borrow(), expected);
    });
}

async fn read_until(socket: &mut TcpStream, wanted: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        let count = socket.read_buf(&mut seen).await.unwrap();
        assert!(count > 0, "ended before {wanted}");
    }
    String::from_utf8_lossy(&seen).into_owned()
}
