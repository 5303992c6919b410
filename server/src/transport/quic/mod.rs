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

use tokio::sync::watch;

pub(super) use self::cid::CidKey;
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
    halves: Vec<socket::Half>,
    address: SocketAddr,
    certificate: Arc<Certificate>,
}

/// One shard's part of it.
pub struct QuicDoor {
    half: socket::Half,
    certificate: Arc<Certificate>,
    admission: Arc<Admission>,
    ports: watch::Receiver<Ports>,
}

impl QuicPort {
    /// Opens a port for so many shards.
    ///
    /// # Errors
    /// What the system says: address in use, no right, no such address.
    pub fn bind(
        address: SocketAddr,
        shards: usize,
        certificate: Arc<Certificate>,
    ) -> io::Result<Self> {
        let (address, halves) = socket::open(address, shards, &certificate.cid_key())?;
        Ok(Self {
            halves,
            address,
            certificate,
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
        let halves = self.halves.into_iter();
        let door = |half| QuicDoor {
            half,
            certificate: Arc::clone(&self.certificate),
            admission: Arc::clone(admission),
            ports: ports.clone(),
        };
        halves.map(door).collect()
    }
}
