//! A shard's endpoint: whom it lets in, and what they speak.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac::Key;
use http::header::{HOST, HeaderName};
use http::{HeaderMap, HeaderValue};
use klokke_protocol::Codec;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connecting, Endpoint, EndpointConfig, Incoming, TokioRuntime, VarInt};
use wtransport::endpoint::{IncomingSessionFuture, SessionRequest};

use super::cid::ShardCids;
use super::config::ALPN_HTTP;
use super::duplex::{Carrier, Duplex, Half, Streams};
use super::socket::{self, ShardSocket};
use super::{Arrival, QuicDoor};
use crate::telemetry::now_us;
use crate::transport::admission::{Admission, Permit, Refused};
use crate::transport::host::{Asked, Door, Host, Opening, Reason};
use crate::transport::link::Link;
use crate::transport::listener::Ports;
use crate::transport::serve::Settings;
use crate::transport::tls::{CERTIFICATE_INTERVAL, Certificate};

/// Handshakes under way on a shard from which on a newcomer must show that its address is its own, at the price of a round trip
/// (RFC 9000, section 8.1). A full one costs a millisecond: more than that are not done at once in an ordinary moment.
const UNPROVEN_MAX: usize = 64;

/// Between two resets of a shard: a node that was started again has ten thousand a second to tell. Only ids of its own are
/// answered, and always with less than came.
const RESET_INTERVAL: Duration = Duration::from_micros(100);

/// Connections of a shard beyond those that are known here. The HTTP/3 library may keep one that a browser leaves half made for as long
/// as that browser pings; more than some are a fault or an attack, and nobody else is let in over QUIC then.
const STRAYS_MAX: usize = 1_024;

/// Where a browser finds us.
const PATH: &str = "/connection/webtransport";

/// Closes who came too fast, or is too many, once its address is known; as over WebSocket before its handshake, it may come again.
const TRY_AGAIN_LATER: u32 = 1013;

/// With which code who is still there is closed when the port is: the session's own words came before.
const GOING: VarInt = VarInt::from_u32(0);

/// What connections of a shard come from.
struct Shared<H: Host> {
    host: Rc<H>,
    settings: Arc<Settings>,
    admission: Arc<Admission>,
    certificate: Arc<Certificate>,
    endpoint: Endpoint,
    handshakes: Cell<usize>,
    open: Cell<usize>,
}

/// Serves one shard's part of a port until the port is closed.
pub async fn serve<H: Host>(door: QuicDoor, host: Rc<H>, settings: Arc<Settings>) {
    let QuicDoor {
        part,
        certificate,
        resets,
        admission,
        mut ports,
    } = door;
    let watches = part.shard == 0;
    let endpoint = match endpoint(part, &certificate, resets, &*host) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            tracing::error!(%error, "QUIC is not served");
            return;
        }
    };
    let shared = Rc::new(Shared {
        host,
        settings,
        admission,
        certificate,
        endpoint: endpoint.clone(),
        handshakes: Cell::new(0),
        open: Cell::new(0),
    });
    let open = ports.clone();
    let mut look = tokio::time::interval(CERTIFICATE_INTERVAL);
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => shared.receive(incoming, *open.borrow()),
                None => return,
            },
            _ = look.tick(), if watches => shared.certificate.look(),
            _ = ports.wait_for(|ports| *ports == Ports::Closed) => break,
        }
    }
    endpoint.close(GOING, b"");
    endpoint.wait_idle().await;
}

fn endpoint<H: Host>(
    part: socket::Part,
    certificate: &Certificate,
    resets: Arc<Key>,
    host: &H,
) -> io::Result<Endpoint> {
    let (key, shard) = (part.key.clone(), part.shard);
    let mut config = EndpointConfig::new(resets);
    config.min_reset_interval(RESET_INTERVAL);
    config.cid_generator(move || {
        let key = key.clone();
        Box::new(ShardCids { key, shard })
    });
    let server = (*certificate.quic()).clone();
    let socket = ShardSocket::new(part, host.handing_on())?;
    let runtime = Arc::new(TokioRuntime);
    Endpoint::new_with_abstract_socket(config, Some(server), Arc::new(socket), runtime)
}

/// One handshake under way.
struct UnderWay<H: Host>(Rc<Shared<H>>);

impl<H: Host> UnderWay<H> {
    fn new(shared: &Rc<Shared<H>>) -> Self {
        shared.handshakes.set(shared.handshakes.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl<H: Host> Drop for UnderWay<H> {
    fn drop(&mut self) {
        let handshakes = &self.0.handshakes;
        handshakes.set(handshakes.get() - 1);
    }
}

impl<H: Host> Shared<H> {
    /// Lets somebody in, or sends them away at the price of one datagram.
    fn receive(self: &Rc<Self>, incoming: Incoming, ports: Ports) {
        let is_proven = incoming.remote_address_validated();
        if !is_proven && self.handshakes.get() >= UNPROVEN_MAX {
            self.host.arrived(Arrival::Retried);
            // Whoever is not proven can be asked.
            let _ = incoming.retry();
            return;
        }
        let peer = incoming.remote_address();
        let known = self.handshakes.get() + self.open.get();
        let is_strayed = self.endpoint.open_connections() > known + STRAYS_MAX;
        if ports != Ports::Open || is_strayed {
            self.host.turned_away(Asked::Connection, Reason::NoRoom);
            self.host.arrived(Arrival::Refused);
            return incoming.refuse();
        }
        // An address is charged when it is known to be the sender's: else anybody could use up a school's account.
        let permit = self.admission.admit_unproven().and_then(|permit| {
            if is_proven {
                self.charge(peer, permit)
            } else {
                Ok(permit)
            }
        });
        let permit = match permit {
            Ok(permit) => permit,
            Err(why) => {
                self.host.refused(why);
                self.host.arrived(Arrival::Refused);
                return incoming.refuse();
            }
        };
        // Counted now and not when the task first runs: many may come before.
        let under_way = UnderWay::new(self);
        let Ok(connecting) = incoming.accept_with(self.certificate.quic()) else {
            return self.host.arrived(Arrival::Failed);
        };
        let (shared, since_us) = (Rc::clone(self), now_us());
        tokio::task::spawn_local(async move {
            let is_done = Cell::new(false);
            // Boxed: what a handshake takes is not what a connection keeps.
            let greeting = Box::pin(shared.greet(connecting, peer, since_us, &is_done));
            let met = tokio::time::timeout(shared.settings.handshake_timeout, greeting).await;
            drop(under_way);
            match met {
                Ok(Some((opening, streams))) => {
                    let permit = if is_proven {
                        Ok(permit)
                    } else {
                        shared.charge(peer, permit)
                    };
                    match permit {
                        Ok(permit) => shared.begin(&opening, streams, permit),
                        Err(why) => {
                            shared.host.refused(why);
                            streams.carrier.close(TRY_AGAIN_LATER);
                        }
                    }
                }
                Ok(None) => {}
                Err(_) => {
                    if !is_done.get() {
                        shared.host.arrived(Arrival::Failed);
                    }
                    shared.host.turned_away(Asked::Connection, Reason::Timeout);
                }
            }
        });
    }

    /// Puts a connection on the account of its address.
    fn charge(&self, peer: SocketAddr, mut permit: Permit) -> Result<Permit, Refused> {
        if let Some(charge) = self.admission.charge(peer.ip(), Instant::now())? {
            permit.put_on(charge);
        }
        Ok(permit)
    }

    /// From the first datagram to the stream that carries messages.
    async fn greet(
        &self,
        mut connecting: Connecting,
        peer: SocketAddr,
        since_us: u64,
        is_done: &Cell<bool>,
    ) -> Option<(Opening, Streams)> {
        let opening = Opening {
            door: Door::Quic,
            codec: Codec::Protobuf,
            peer: peer.ip().to_canonical(),
            native_ping: false,
            headers: HeaderMap::new(),
            since_us,
        };
        let Ok(data) = connecting.handshake_data().await else {
            self.host.arrived(Arrival::Failed);
            return None;
        };
        let data = data.downcast::<HandshakeData>().ok();
        let protocol = data.and_then(|data| data.protocol);
        if protocol.as_deref() == Some(ALPN_HTTP) {
            return self.greet_browser(connecting, opening, is_done).await;
        }
        let Ok(connection) = connecting.await else {
            self.host.arrived(Arrival::Failed);
            return None;
        };
        self.host.arrived(Arrival::Done);
        is_done.set(true);
        let (send, recv) = connection.accept_bi().await.ok()?;
        let streams = Streams {
            carrier: Carrier::Raw(connection),
            send: Half::Raw(send),
            recv: Half::Raw(recv),
        };
        Some((opening, streams))
    }

    async fn greet_browser(
        &self,
        connecting: Connecting,
        opening: Opening,
        is_done: &Cell<bool>,
    ) -> Option<(Opening, Streams)> {
        let request = IncomingSessionFuture::with_quic_connecting(connecting).await;
        let Ok(request) = request else {
            self.host.arrived(Arrival::Failed);
            return None;
        };
        self.host.arrived(Arrival::Done);
        is_done.set(true);
        let (path, query) = split(request.path());
        if path != PATH {
            self.host.turned_away(Asked::Connection, Reason::Malformed);
            request.not_found().await;
            return None;
        }
        let headers = headers(&request);
        if !self.settings.origins.allow(&headers) {
            self.host.turned_away(Asked::Connection, Reason::Origin);
            request.forbidden().await;
            return None;
        }
        let codec = if query.split('&').any(|part| part == "cf_protocol=protobuf") {
            Codec::Protobuf
        } else {
            Codec::Json
        };
        let session = request.accept().await.ok()?;
        let (send, recv) = session.accept_bi().await.ok()?;
        let streams = Streams {
            carrier: Carrier::WebTransport(session),
            send: Half::WebTransport(send),
            recv: Half::WebTransport(recv),
        };
        let opening = Opening {
            door: Door::WebTransport,
            codec,
            headers,
            ..opening
        };
        Some((opening, streams))
    }

    fn begin(self: &Rc<Self>, opening: &Opening, streams: Streams, permit: Permit) {
        let standing = self.host.standing(opening.door);
        let link = Rc::new(Link::to_taker(self.settings.queue_max_bytes, standing));
        let Some(id) = self.host.open(opening, &link) else {
            return;
        };
        let (host, codec) = (Rc::clone(&self.host), opening.codec);
        let max_bytes = self.settings.frame_max_bytes;
        let task = Duplex::new(host, link, id, codec, streams, permit, max_bytes);
        let shared = Rc::clone(self);
        shared.open.set(shared.open.get() + 1);
        tokio::task::spawn_local(async move {
            task.await;
            shared.open.set(shared.open.get() - 1);
        });
    }
}

fn split(path: &str) -> (&str, &str) {
    path.split_once('?').unwrap_or((path, ""))
}

/// A request's header fields as other doors have them.
fn headers(request: &SessionRequest) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers() {
        // HTTP/3's own begin with a colon, and are no names.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    if let Ok(host) = HeaderValue::try_from(request.authority()) {
        headers.insert(HOST, host);
    }
    headers
}
