//! One accepted socket, from its first byte until it is a WebSocket or closed.
//!
//! Every socket speaks HTTP/1 first. The machinery for that is freed the moment a WebSocket comes
//! of it: what stays is the small task of [`super::websocket`].

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming as RawBody;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::admission::{Admission, Charge, Place, Refused};
use super::body::{ReplyBody, RequestBody};
use super::emulation;
use super::handshake::{Refusal, negotiate};
use super::host::{Asked, Door, Host, Opening, Reason, Resumed};
use super::link::Link;
use super::origin::Origins;
use super::socket::{Socket, TlsSocket};
use super::websocket::WebSocket;
use crate::telemetry::now_us;

/// Header fields of one request. Browsers send about 20, proxies add some.
const HEADERS_MAX: usize = 100;
/// Bytes of one request's head, and of hyper's buffers.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// How long a kept-alive HTTP connection may rest between requests: longer than the minute after
/// which proxies let go of theirs.
const IDLE_MAX: Duration = Duration::from_secs(75);

/// How long who may only look has for its request, a TLS handshake included: a place in the reserve is for those who
/// mean to.
const LOOK_GRACE: Duration = Duration::from_secs(1);
/// How long such a connection may last in all: as long as Prometheus waits for a scrape.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// What may be looked at.
const LOOKS: [&str; 2] = ["/health", "/metrics"];
/// What is said on a node that is being drained.
const NO_MORE: &str = "no more connections are taken";

/// What the sockets of a node are served with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest frame or body of a client, in bytes.
    pub frame_max_bytes: usize,
    /// Bytes that may wait for one slow client.
    pub queue_max_bytes: usize,
    /// Time from accept to the first whole request.
    pub handshake_timeout: Duration,
    /// Time from a request's head to the end of its body; a large one may take longer at a pace.
    pub body_timeout: Duration,
    /// From which pages browsers may connect.
    pub origins: Origins,
    /// Whether `/connection/http_stream` is served.
    pub http_stream: bool,
    /// Whether `/connection/sse` is served.
    pub sse: bool,
}

impl Default for Settings {
    /// 64 KiB frames, 1 MiB queue, 10 s for the handshake, 30 s for a body, WebSocket only.
    fn default() -> Self {
        Self {
            frame_max_bytes: 64 * 1024,
            queue_max_bytes: 1024 * 1024,
            handshake_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            origins: Origins::default(),
            http_stream: false,
            sse: false,
        }
    }
}

/// A socket just accepted and admitted.
pub struct Incoming {
    /// The socket, non-blocking.
    pub stream: std::net::TcpStream,
    /// The other end.
    pub peer: SocketAddr,
    /// What it was let in for; given back when the connection is over.
    pub place: Place,
    /// Its certificate, when its port speaks TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// When it was accepted, by [`now_us`].
    pub since_us: u64,
}

/// What all requests of one connection share.
pub(super) struct Connection<H: Host> {
    pub(super) host: Rc<H>,
    pub(super) settings: Arc<Settings>,
    pub(super) peer: SocketAddr,
    admission: Arc<Admission>,
    /// There was no room for more than a look.
    only_looks: bool,
    /// The account of who became a WebSocket through a proxy.
    charge: RefCell<Option<Charge>>,
    /// Set when an answer was "switching protocols".
    upgrade: RefCell<Option<Opening>>,
    /// Whether any request came yet.
    spoken: Cell<bool>,
    /// When the request being answered began: the first with the socket's acceptance.
    since_us: Cell<u64>,
}

impl<H: Host> Connection<H> {
    /// Refuses a request with an answer that says what was wrong.
    pub(super) fn refuse(&self, asked: Asked, refusal: Refusal) -> Response<ReplyBody<H>> {
        self.host.turned_away(asked, refusal.reason());
        refuse(refusal)
    }

    /// When the request being answered began.
    pub(super) fn since_us(&self) -> u64 {
        self.since_us.get()
    }

    /// How long the first whole request may take.
    fn patience(&self) -> Duration {
        if self.only_looks {
            LOOK_GRACE
        } else {
            self.settings.handshake_timeout
        }
    }

    fn turn_away(&self, why: Reason) {
        self.host.turned_away(Asked::Connection, why);
    }

    /// Who asks.
    pub(super) fn client(&self, headers: &HeaderMap) -> IpAddr {
        self.admission.client(self.peer.ip(), headers)
    }

    /// Puts a new connection through a proxy on the account of who is behind it; others were
    /// counted when their socket came.
    pub(super) fn charge(&self, headers: &HeaderMap) -> Result<Option<Charge>, Refusal> {
        let client = self.client(headers);
        if client == self.peer.ip().to_canonical() {
            return Ok(None);
        }
        self.admission
            .charge(client, Instant::now())
            .map_err(|why| {
                self.host.refused(why);
                let status = match why {
                    Refused::Full => StatusCode::SERVICE_UNAVAILABLE,
                    Refused::Address | Refused::Rate => StatusCode::TOO_MANY_REQUESTS,
                };
                Refusal {
                    header: Some((RETRY_AFTER, HeaderValue::from_static("5"))),
                    ..Refusal::new(status, "too many connections")
                }
            })
    }
}

/// Serves one socket to its end, or until its own task took it over. `drain` turning true lets
/// answers under way finish and takes no more requests.
pub async fn serve<H: Host>(
    incoming: Incoming,
    host: Rc<H>,
    settings: Arc<Settings>,
    drain: watch::Receiver<bool>,
) {
    let Incoming {
        stream,
        peer,
        place,
        tls,
        since_us,
    } = incoming;
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    let connection = Rc::new(Connection {
        host,
        settings,
        peer,
        admission: Arc::clone(place.admission()),
        only_looks: matches!(place, Place::Look(_)),
        charge: RefCell::new(None),
        upgrade: RefCell::new(None),
        spoken: Cell::new(false),
        since_us: Cell::new(since_us),
    });
    if connection.only_looks {
        // Boxed, so that it takes no room in the tasks of connections. Who reads its answer too slowly holds a place
        // that others wait for.
        let looking = Box::pin(serve_stream(stream, tls, &connection, place, drain));
        let _ = tokio::time::timeout(LOOK_MAX, looking).await;
    } else {
        serve_stream(stream, tls, &connection, place, drain).await;
    }
}

async fn serve_stream<H: Host>(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    connection: &Rc<Connection<H>>,
    place: Place,
    drain: watch::Receiver<bool>,
) {
    match tls {
        None => {
            if let Some((stream, early)) = speak_http(stream, connection, drain).await {
                become_websocket(Socket::Plain(stream), &early, connection, place);
            }
        }
        Some(config) => {
            let accept = TlsAcceptor::from(config).accept(stream);
            let stream = match tokio::time::timeout(connection.patience(), accept).await {
                Ok(Ok(stream)) => stream,
                // Whoever just leaves was not refused.
                Ok(Err(error)) if error.kind() != ErrorKind::InvalidData => return,
                Ok(Err(_)) => return connection.turn_away(Reason::Tls),
                Err(_) => return connection.turn_away(Reason::Timeout),
            };
            connection.host.shook_hands(resumed(stream.get_ref().1));
            let stream = Box::pin(speak_http(stream, connection, drain)).await;
            if let Some((stream, early)) = stream {
                let (stream, session) = stream.into_inner();
                let socket = Socket::Tls(Box::new(TlsSocket::new(stream, session)));
                become_websocket(socket, &early, connection, place);
            }
        }
    }
}

fn resumed(session: &rustls::ServerConnection) -> Resumed {
    match session.handshake_kind() {
        Some(rustls::HandshakeKind::Resumed) => Resumed::Yes,
        _ => Resumed::No,
    }
}

/// Answers requests. Gives the stream and what was read beyond the handshake when it became a
/// WebSocket.
async fn speak_http<H: Host, S>(
    stream: S,
    connection: &Rc<Connection<H>>,
    mut drain: watch::Receiver<bool>,
) -> Option<(S, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let connection = Rc::clone(connection);
        Box::pin(async move { Ok::<_, Infallible>(answer(request, &connection).await) })
    });
    let mut http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .keep_alive(!connection.only_looks)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut patience = pin!(tokio::time::sleep(connection.patience()));
    // Who only looks is answered while the node drains too, and has one request anyway.
    let (mut draining, mut impatient) = (connection.only_looks, true);
    loop {
        tokio::select! {
            biased;
            done = poll_fn(|cx| http.poll_without_shutdown(cx)) => {
                // A broken request was answered by hyper; a broken socket needs nothing.
                if let Err(error) = done {
                    if error.is_parse_too_large() {
                        connection.turn_away(Reason::TooLarge);
                    } else if error.is_parse() {
                        connection.turn_away(Reason::Malformed);
                    }
                    return None;
                }
                break;
            }
            // Whether a request came is known only now: while it is answered this loop waits here.
            () = &mut patience, if impatient => {
                if !connection.spoken.get() {
                    connection.turn_away(Reason::Timeout);
                    return None;
                }
                impatient = false;
            }
            _ = drain.wait_for(|drain| *drain), if !draining => {
                draining = true;
                std::pin::Pin::new(&mut http).graceful_shutdown();
            }
        }
    }
    let parts = http.into_parts();
    let mut stream = parts.io.into_inner();
    if connection.upgrade.borrow().is_some() {
        return Some((stream, parts.read_buf));
    }
    // Best effort: the answer is sent, the rest is courtesy.
    let _ = stream.shutdown().await;
    if connection.only_looks {
        // A body nobody read would make the kernel reset the connection before the refusal is seen.
        let _ = tokio::time::timeout(LOOK_GRACE, read_off(&mut stream)).await;
    }
    None
}

async fn read_off(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Answers who may only look and asked for something else.
fn no_room<H: Host>(connection: &Connection<H>) -> Response<ReplyBody<H>> {
    let later = Some((RETRY_AFTER, HeaderValue::from_static("5")));
    let refusal = |text| Refusal {
        header: later.clone(),
        ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
    };
    if connection.host.has_room() {
        connection.host.refused(Refused::Full);
        return refuse(refusal("connection limit reached"));
    }
    connection.refuse(Asked::Connection, refusal(NO_MORE))
}

fn become_websocket<H: Host>(
    socket: Socket,
    early: &[u8],
    connection: &Connection<H>,
    place: Place,
) {
    let Some(opening) = connection.upgrade.take() else {
        return;
    };
    let Place::Connection(mut permit) = place else {
        return;
    };
    if let Some(charge) = connection.charge.take() {
        permit.put_on(charge);
    }
    let settings = &connection.settings;
    let standing = connection.host.standing(Door::WebSocket);
    let link = Link::to_socket(socket, settings.queue_max_bytes, standing);
    let link = Rc::new(link);
    let Some(id) = connection.host.open(&opening, &link) else {
        return;
    };
    let host = Rc::clone(&connection.host);
    let task = WebSocket::new(host, link, id, early, permit, settings.frame_max_bytes);
    tokio::task::spawn_local(task);
}

async fn answer<H: Host>(
    request: Request<RawBody>,
    connection: &Rc<Connection<H>>,
) -> Response<ReplyBody<H>> {
    if connection.spoken.replace(true) {
        connection.since_us.set(now_us());
    }
    let is_look = request.method() == Method::GET && LOOKS.contains(&request.uri().path());
    if connection.only_looks && !is_look {
        return no_room(connection);
    }
    if request.uri().path() == "/connection/websocket" {
        return upgrade(request, connection);
    }
    let patience = connection.settings.body_timeout;
    let request = request.map(|body| RequestBody::new(body, patience));
    match request.uri().path() {
        "/connection/http_stream" if connection.settings.http_stream => {
            emulation::open(request, connection, Door::HttpStream).await
        }
        "/connection/sse" if connection.settings.sse => {
            emulation::open(request, connection, Door::Sse).await
        }
        "/emulation" if connection.settings.http_stream || connection.settings.sse => {
            emulation::uplink(request, connection).await
        }
        _ => {
            let lateness = request.body().lateness();
            let client = connection.client(request.headers());
            let client = SocketAddr::new(client, connection.peer.port());
            let response = connection.host.edge(request, client).await;
            if lateness.load(Ordering::Relaxed) {
                // The edge knows only that it got no body.
                return refuse(late());
            }
            response.map(ReplyBody::Edge)
        }
    }
}

fn upgrade<H: Host>(
    request: Request<RawBody>,
    connection: &Connection<H>,
) -> Response<ReplyBody<H>> {
    let (parts, _) = request.into_parts();
    let agreement = match negotiate(&parts, &connection.settings.origins) {
        Ok(_) if !connection.host.has_room() => {
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, NO_MORE);
            return connection.refuse(Asked::Connection, refusal);
        }
        Ok(agreement) => agreement,
        Err(refusal) => return connection.refuse(Asked::Connection, refusal),
    };
    match connection.charge(&parts.headers) {
        Ok(charge) => *connection.charge.borrow_mut() = charge,
        Err(refusal) => return refuse(refusal),
    }
    let opening = Opening {
        door: Door::WebSocket,
        codec: agreement.codec,
        peer: connection.client(&parts.headers),
        native_ping: agreement.native_ping,
        headers: parts.headers,
        since_us: connection.since_us(),
    };
    let mut response = Response::new(ReplyBody::Whole(None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = agreement.headers;
    *connection.upgrade.borrow_mut() = Some(opening);
    response
}

/// What a client is told whose body did not come in time.
pub(super) fn late() -> Refusal {
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "body took too long")
}

/// An answer that says what was wrong.
pub(super) fn refuse<H: Host>(refusal: Refusal) -> Response<ReplyBody<H>> {
    let body = ReplyBody::Whole(Some(Bytes::from_static(refusal.text.as_bytes())));
    let mut response = Response::new(body);
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static(Method::GET.as_str()));
    }
    if let Some((name, value)) = refusal.header {
        headers.insert(name, value);
    }
    response
}
