//! The port between sockets and the shard they live on.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use klokke_protocol::Codec;

use super::admission::Refused;
use super::quic::Arrival;
use super::{Link, RequestBody, Standing};
use crate::hub::ConnKey;

/// By which door a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// A WebSocket.
    WebSocket,
    /// A never-ending HTTP response; commands come by the emulation uplink.
    HttpStream,
    /// Server-sent events; commands come by the emulation uplink.
    Sse,
    /// A stream of a native app's QUIC connection.
    Quic,
    /// A stream of a browser's WebTransport session.
    WebTransport,
}

impl Door {
    /// The name used in metrics and in requests to back ends.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::HttpStream => "http_stream",
            Self::Sse => "sse",
            Self::Quic => "quic",
            Self::WebTransport => "webtransport",
        }
    }

    /// Whether what the server says is one never-ending answer, and commands come by requests of their own.
    #[must_use]
    pub const fn is_emulated(self) -> bool {
        matches!(self, Self::HttpStream | Self::Sse)
    }
}

/// What is known of a connection when it opens.
#[derive(Debug, Clone)]
pub struct Opening {
    /// By which door.
    pub door: Door,
    /// How it writes its messages.
    pub codec: Codec,
    /// The client's address, as far as that is known.
    pub peer: IpAddr,
    /// The client wants native WebSocket pings in place of the protocol's own.
    pub native_ping: bool,
    /// The request's header fields.
    pub headers: HeaderMap,
    /// When it began: its socket's acceptance, or its request where the socket had others before; by
    /// [`telemetry::now_us`](crate::telemetry::now_us).
    pub since_us: u64,
}

/// What somebody asked for who was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// A connection.
    Connection,
    /// That commands of an emulated connection be taken.
    Uplink,
}

/// Why somebody was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A page of an origin that is not allowed.
    Origin,
    /// TLS could not be agreed on.
    Tls,
    /// What came is not what the address takes.
    Malformed,
    /// Too much came.
    TooLarge,
    /// Nothing whole came in time.
    Timeout,
    /// No more is taken now.
    NoRoom,
}

/// Whether a TLS session goes on that the client had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resumed {
    /// Yes, by a ticket: no signature was computed.
    Yes,
    /// No.
    No,
}

/// Why a connection ended, as its socket saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The client closed it.
    Client,
    /// The socket broke.
    Broken,
    /// The client broke the framing rules and was told so with this WebSocket close code.
    Framing(u16),
    /// The client did not read what it was sent.
    Slow,
}

/// What became of a message that came by the emulation uplink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uplink {
    /// Handed on, or there is no such session: the sender must not learn which.
    Accepted,
    /// The session's node is not in the cluster.
    UnknownNode,
    /// Its shard cannot take it now.
    Busy,
}

/// Is told how many datagrams went on to another shard.
pub type HandingOn = Box<dyn Fn(u64) + Send + Sync>;

/// A future on the shard's own thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The shard, as sockets see it. All calls come from the shard's thread.
pub trait Host: 'static {
    /// Whether another connection would be taken; asked before a client is told yes.
    fn has_room(self: &Rc<Self>) -> bool;

    /// Somebody behind a proxy was refused.
    fn refused(self: &Rc<Self>, why: Refused);

    /// A connection opened. `None` when no more are taken (drain, memory): the client gets 503, or a closed
    /// socket where it was told yes already.
    fn open(self: &Rc<Self>, opening: &Opening, link: &Rc<Link>) -> Option<ConnKey>;

    /// A whole frame came in. Ids of connections that are gone are ignored.
    fn receive(self: &Rc<Self>, id: ConnKey, frame: Bytes);

    /// Whether more frames of a connection may come now. When not, they stay in the socket until the shard says
    /// [`Link::resume`]: a client that asks faster than it is answered waits, and nobody else does.
    fn wants_frames(self: &Rc<Self>, id: ConnKey) -> bool;

    /// A TLS handshake succeeded; for the figures.
    fn shook_hands(self: &Rc<Self>, resumed: Resumed);

    /// Somebody came over QUIC; for the figures.
    fn arrived(self: &Rc<Self>, arrival: Arrival);

    /// What is to be told how many datagrams went on to another shard, for the figures. It is called from this shard's thread.
    fn handing_on(&self) -> HandingOn;

    /// Somebody was refused before anything came of it; for the figures.
    fn turned_away(self: &Rc<Self>, asked: Asked, why: Reason);

    /// Where the links of a door stand in the figures as long as nobody knows whose they are.
    fn standing(self: &Rc<Self>, door: Door) -> Rc<Standing>;

    /// A native pong came in.
    fn pong(self: &Rc<Self>, id: ConnKey);

    /// The socket is gone or going; called once, and not after the shard itself let go of it.
    fn closed(self: &Rc<Self>, id: ConnKey, cause: Cause);

    /// Hands commands of an emulated connection to the shard and node that own it.
    fn uplink<'a>(
        self: &'a Rc<Self>,
        session: &'a str,
        node: &'a str,
        frame: Bytes,
    ) -> LocalFuture<'a, Uplink>;

    /// Answers any request that is not for this room.
    fn edge(
        self: &Rc<Self>,
        request: Request<RequestBody>,
        peer: SocketAddr,
    ) -> LocalFuture<'_, Response<axum::body::Body>>;
}
