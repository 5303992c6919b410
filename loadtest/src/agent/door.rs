//! The server's door: where it is, and what is said to be let in to a WebSocket (RFC 6455, section 4).

use std::net::SocketAddr;

use klokke_protocol::Codec;

use super::tls::{Handshake, Handshakes};
use crate::target::Address;

/// The answer to [`KEY`] that RFC 6455, section 4.2.2, demands.
pub(super) const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The example key of RFC 6455: nobody's secret, and the same answer every time.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// See the file.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    tls: Option<Handshakes>,
    json: Vec<u8>,
    protobuf: Vec<u8>,
}

impl Door {
    pub(super) fn new(target: &Address, address: SocketAddr, tls: Option<Handshakes>) -> Self {
        let host = format!("{}:{}", target.host, target.port);
        Self {
            address,
            tls,
            json: request(&host, &target.path, None),
            protobuf: request(&host, &target.path, Some("centrifuge-protobuf")),
        }
    }

    /// How somebody begins TLS; `None` where there is none.
    pub(super) fn tls(&self, is_again: bool) -> Option<&Handshake> {
        let tls = self.tls.as_ref()?;
        Some(if is_again { &tls.again } else { &tls.first })
    }

    /// What asks for the upgrade.
    pub(super) fn request(&self, codec: Codec) -> &[u8] {
        match codec {
            Codec::Json => &self.json,
            Codec::Protobuf => &self.protobuf,
        }
    }
}

fn request(host: &str, path: &str, subprotocol: Option<&str>) -> Vec<u8> {
    let subprotocol = subprotocol.map_or_else(String::new, |it| {
        format!("Sec-WebSocket-Protocol: {it}\r\n")
    });
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n{subprotocol}\r\n"
    )
    .into_bytes()
}
