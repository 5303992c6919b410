//! A stream of a QUIC connection to the server (`docs/protocol-quic.md`).

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use klokke_protocol::{Codec, Cutter};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, IdleTimeout, RecvStream, SendStream,
    TransportConfig, VarInt, crypto::rustls::QuicClientConfig,
};

use crate::socket::{FRAME_MAX_BYTES, Heard};

/// The protocol's name in the handshake.
const ALPN: &[u8] = b"klokke";

/// How long nothing may come before the connection is over: as long as the server waits.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Bytes the server may send before they are read: a first screen in one go.
const WINDOW: u32 = 256 * 1024;

/// How long one of a server's addresses is waited for before the next is tried.
const ADDRESS_MAX: Duration = Duration::from_secs(2);

/// One read.
const READ_BYTES: usize = 16 * 1024;

/// Where a server is found over QUIC. Cheap to clone; clones share one UDP socket.
#[derive(Clone)]
pub struct Quic {
    host: String,
    port: u16,
    endpoint: Option<Endpoint>,
    config: ClientConfig,
}

impl Quic {
    /// A server at `host:port`, trusted as `tls` says. Each connection has a socket of its own.
    ///
    /// # Errors
    /// TLS settings that QUIC cannot use: without TLS 1.3.
    pub fn new(host: &str, port: u16, tls: &rustls::ClientConfig) -> io::Result<Self> {
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let crypto = QuicClientConfig::try_from(tls).map_err(io::Error::other)?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(IdleTimeout::try_from(IDLE_MAX).ok())
            .stream_receive_window(VarInt::from_u32(WINDOW))
            .receive_window(VarInt::from_u32(WINDOW))
            .max_concurrent_bidi_streams(VarInt::from_u32(0));
        config.transport_config(Arc::new(transport));
        Ok(Self {
            host: host.to_owned(),
            port,
            endpoint: None,
            config,
        })
    }

    /// Over a socket that others use too: many connections need no more than one.
    #[must_use]
    pub fn over(self, endpoint: Endpoint) -> Self {
        Self {
            endpoint: Some(endpoint),
            ..self
        }
    }
}

impl fmt::Debug for Quic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "quic://{}:{}", self.host, self.port)
    }
}

/// See the file.
pub(crate) struct QuicStream {
    endpoint: Endpoint,
    /// Whether no other connection uses its socket.
    is_own: bool,
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    cutter: Cutter,
}

impl QuicStream {
    /// The next messages that came whole; [`Heard::Closed`] when there are no more.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            let chunk = match self.recv.read_chunk(READ_BYTES, true).await {
                Ok(Some(chunk)) => chunk,
                // What the connection is closed with comes after the last message.
                Ok(None) => return closed(&self.connection.closed().await),
                Err(quinn::ReadError::ConnectionLost(error)) => return closed(&error),
                Err(_) => return Heard::lost(),
            };
            match self.cutter.take(&chunk.bytes) {
                Ok(Some(frame)) => return Heard::Frame(frame),
                Ok(None) => {}
                Err(_) => return Heard::lost(),
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: Bytes) -> io::Result<()> {
        self.send.write_chunk(frame).await.map_err(io::Error::other)
    }

    /// What was said goes out first.
    pub(crate) async fn close(mut self) {
        // Whoever is gone already takes nothing more.
        let _ = self.send.finish();
        let _ = self.send.stopped().await;
        self.connection.close(VarInt::from_u32(0), b"");
        if self.is_own {
            self.endpoint.wait_idle().await;
        }
    }
}

fn closed(error: &ConnectionError) -> Heard {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let code = u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX);
            Heard::Closed(code, String::from_utf8_lossy(&close.reason).into_owned())
        }
        _ => Heard::lost(),
    }
}

/// Opens one, to the first of the server's addresses that answers.
pub(crate) async fn dial(quic: &Quic) -> io::Result<QuicStream> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in tokio::net::lookup_host((quic.host.as_str(), quic.port)).await? {
        match dial_at(quic, address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn dial_at(quic: &Quic, address: SocketAddr) -> io::Result<QuicStream> {
    let is_own = quic.endpoint.is_none();
    let endpoint = match &quic.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => own_endpoint(address)?,
    };
    let connecting = endpoint
        .connect_with(quic.config.clone(), address, &quic.host)
        .map_err(io::Error::other)?;
    let connection = tokio::time::timeout(ADDRESS_MAX, connecting).await??;
    let (send, recv) = connection.open_bi().await?;
    Ok(QuicStream {
        endpoint,
        is_own,
        connection,
        send,
        recv,
        cutter: Cutter::new(Codec::Protobuf, FRAME_MAX_BYTES),
    })
}

fn own_endpoint(to: SocketAddr) -> io::Result<Endpoint> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    Endpoint::client(any)
}
