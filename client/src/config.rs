//! What a client is told before it starts.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use klokke_protocol::Codec;

use crate::quic::Quic;

/// How a client connects and behaves.
#[derive(Clone)]
pub struct Config {
    /// `ws://` or `wss://` address of the server's endpoint.
    pub url: String,
    /// Whom to trust and how to speak TLS; needed for `wss://`.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Where the server is found over QUIC, when it is. It is tried first, with a small head start before the WebSocket; whatever
    /// stood last is tried first the next time. Messages are Protobuf then, whatever [`Self::codec`] says, and no position is lost
    /// from one to the other.
    pub quic: Option<Quic>,
    /// How messages are written.
    pub codec: Codec,
    /// Connection token; empty where the server allows anonymous clients.
    pub token: String,
    /// Name of the application, told to the server.
    pub name: String,
    /// Version of the application, told to the server.
    pub version: String,
    /// Data for the server, sent with each connect.
    pub data: Bytes,
    /// Shortest and longest wait before a reconnect; the wait grows between them and is drawn at random below its bound,
    /// so that many clients do not come back together.
    pub reconnect_wait: (Duration, Duration),
    /// How long an answer is waited for.
    pub answer_timeout: Duration,
    /// How much later than announced a ping may come before the connection counts as dead.
    pub ping_grace: Duration,
    /// Calls that may wait for an answer; more are refused at once.
    pub calls_max: usize,
}

impl Config {
    /// The defaults of the protocol's SDKs, for a server at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: None,
            quic: None,
            codec: Codec::Json,
            token: String::new(),
            name: "klokke-client".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            data: Bytes::new(),
            reconnect_wait: (Duration::from_millis(500), Duration::from_secs(20)),
            answer_timeout: Duration::from_secs(5),
            ping_grace: Duration::from_secs(10),
            calls_max: 1024,
        }
    }
}

impl std::fmt::Debug for Config {
    /// Leaves the token out: a configuration may reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.url)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
