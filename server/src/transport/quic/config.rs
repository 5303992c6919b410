//! What QUIC is served with: the library's defaults are for few connections that move much, ours for many that rest.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{IdleTimeout, ServerConfig, TransportConfig, VarInt};

/// The protocol's name in the handshake (RFC 7301) of a native app.
pub(super) const ALPN_RAW: &[u8] = b"klokke";
/// And of a browser, which speaks HTTP/3.
pub(super) const ALPN_HTTP: &[u8] = b"h3";

/// Bytes a client may send on a stream before we have read them. We read as they come, so this bounds what waits while a message's
/// middle is lost, and what a hostile client makes us hold; a message may be longer.
const STREAM_WINDOW: u32 = 16 * 1024;
/// The same over all its streams: those of HTTP/3 and one more.
const RECEIVE_WINDOW: u32 = 32 * 1024;
/// Bytes to a client that are sent or ready and not acknowledged: a megabyte a second at 100 ms. What is more waits in the link's
/// queue, which has a limit and counts.
const SEND_WINDOW: u64 = 128 * 1024;
/// Streams a client may have open: a request for WebTransport, what it carries, and one being given up. A native app has one.
const BIDI_STREAMS: u32 = 3;
/// HTTP/3's control stream, two of its header compression, and some that mean nothing (RFC 9114, section 6.2.3).
const UNI_STREAMS: u32 = 6;
/// Datagrams from a client that wait. We read none; browsers only speak WebTransport to who takes some.
const DATAGRAM_BYTES: usize = 2 * 1024;
/// How long nothing may come before a connection is over. The protocol's pings come every 25 s, so this is two of them and time to walk
/// from one network into another.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Handshakes not yet looked at. Looking takes microseconds; more than that is a flood.
const WAITING_MAX: usize = 1_024;
/// Bytes that one of them may send meanwhile, and all together.
const WAITING_BYTES: u64 = 8 * 1024;
const WAITING_BYTES_ALL: u64 = 4 * 1024 * 1024;

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        .max_concurrent_bidi_streams(VarInt::from_u32(BIDI_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .datagram_receive_buffer_size(Some(DATAGRAM_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BYTES)
        .max_idle_timeout(IdleTimeout::try_from(IDLE_MAX).ok());
    transport
}

/// Puts a certificate to use for QUIC.
///
/// Early data stays off: everything a client may say changes something, if only who is present, and a copy of it must not.
///
/// # Errors
/// When TLS is set up without the suite that QUIC begins with.
pub(in crate::transport) fn server(
    mut tls: rustls::ServerConfig,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    tls.alpn_protocols = vec![ALPN_RAW.to_vec(), ALPN_HTTP.to_vec()];
    let crypto = QuicServerConfig::try_from(tls)
        .map_err(|_| rustls::Error::General("no suite that QUIC begins with".to_owned()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport()))
        .migration(true)
        .max_incoming(WAITING_MAX)
        .incoming_buffer_size(WAITING_BYTES)
        .incoming_buffer_size_total(WAITING_BYTES_ALL);
    Ok(Arc::new(config))
}
