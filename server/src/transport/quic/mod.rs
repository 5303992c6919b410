//! QUIC: one UDP port for native apps (raw, `docs/protocol-quic.md`) and browsers (WebTransport). What comes of either is a
//! stream of messages like any other connection's, with the same admission, limits and drain.
//!
//! Every shard has a socket and an endpoint of its own, and its connections live where the kernel first brought them.

mod cid;
mod config;
mod duplex;
mod serve;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::hmac::{HMAC_SHA256, Key};
use tokio::sync::watch;

use self::cid::CidKey;
pub(super) use self::config::server as server_config;
pub use self::serve::serve;
use super::admission::Admission;
use super::listener::Ports;
use super::tls::Certificate;

/// What became of somebody who came over QUIC before there was a connection; for the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// The handshake is done.
    Done,
    /// It broke off, or took too long.
    Failed,
    /// Was asked to show that its address is its own.
    Retried,
    /// Was sent away.
    Refused,
}

impl Arrival {
    /// The name used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Refused => "refused",
        }
    }
}

/// An open UDP port, still in one piece.
pub struct QuicPort {
    parts: Vec<socket::Part>,
    address: SocketAddr,
    certificate: Arc<Certificate>,
    resets: Arc<Key>,
}

/// One shard's part of it.
pub struct QuicDoor {
    part: socket::Part,
    certificate: Arc<Certificate>,
    /// By which the node tells clients that it knows nothing of their connection (RFC 9000, section 10.3). Other nodes have others: what one
    /// says must not end what another has.
    resets: Arc<Key>,
    admission: Arc<Admission>,
    ports: watch::Receiver<Ports>,
}

impl QuicPort {
    /// Opens a port for so many shards of the node of this name.
    ///
    /// # Errors
    /// What the system says: address in use, no right, no such address.
    pub fn bind(
        address: SocketAddr,
        shards: usize,
        certificate: Arc<Certificate>,
        node: &str,
    ) -> io::Result<Self> {
        let ids = CidKey::new(certificate.key_for(node, "QUIC connection ids"));
        let resets = certificate.key_for(node, "QUIC stateless resets");
        let (address, parts) = socket::open(address, shards, &ids)?;
        Ok(Self {
            parts,
            address,
            certificate,
            resets: Arc::new(Key::new(HMAC_SHA256, &resets)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes it apart: a part a shard, in their order.
    #[must_use]
    pub fn split(
        self,
        admission: &Arc<Admission>,
        ports: &watch::Receiver<Ports>,
    ) -> Vec<QuicDoor> {
        let parts = self.parts.into_iter();
        let door = |part| QuicDoor {
            part,
            certificate: Arc::clone(&self.certificate),
            resets: Arc::clone(&self.resets),
            admission: Arc::clone(admission),
            ports: ports.clone(),
        };
        parts.map(door).collect()
    }
}
