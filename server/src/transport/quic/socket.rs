//! One shard's UDP socket. All shards' sockets share one port, and the kernel spreads datagrams over them; what came here and is
//! for a connection of another shard, because its client moved, is handed on.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime as _, TokioRuntime, UdpPoller};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;

use super::cid::{CidKey, id_in};
use crate::transport::host::HandingOn;

/// Datagrams on their way to another shard. Beyond that they are lost, as on any network that has too much.
const HANDED_MAX: usize = 1_024;

/// Bytes the kernel holds for a shard that does not come to read: some tens of milliseconds at full speed. It grants what it may.
const KERNEL_BYTES: usize = 4 * 1024 * 1024;

/// A datagram for another shard.
pub(super) struct Handed {
    bytes: Bytes,
    meta: RecvMeta,
}

/// What one shard needs to be part of a port.
pub(super) struct Part {
    pub(super) shard: u8,
    pub(super) key: CidKey,
    socket: UdpSocket,
    inbox: mpsc::Receiver<Handed>,
    others: Arc<[mpsc::Sender<Handed>]>,
}

/// Opens a port for so many shards.
pub(super) fn open(
    address: SocketAddr,
    shards: usize,
    key: &CidKey,
) -> io::Result<(SocketAddr, Vec<Part>)> {
    let shards = u8::try_from(shards)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "more than 255 shards"))?;
    let (senders, inboxes): (Vec<_>, Vec<_>) =
        (0..shards).map(|_| mpsc::channel(HANDED_MAX)).unzip();
    let others: Arc<[_]> = senders.into();
    if address.port() != 0 {
        // Sockets that share a port are let join by the system: whether it is somebody else's shows only without.
        drop(bind(address, Sharing::No)?);
    }
    // The first takes the port, where any will do, and the others join it.
    let mut at = address;
    let mut parts = Vec::new();
    for (shard, inbox) in (0..shards).zip(inboxes) {
        let socket = bind(at, Sharing::Yes)?;
        at = socket.local_addr()?;
        parts.push(Part {
            shard,
            key: key.clone(),
            socket,
            inbox,
            others: Arc::clone(&others),
        });
    }
    Ok((at, parts))
}

/// Whether a socket shares its port with those of other shards.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Yes,
    No,
}

fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if let SocketAddr::V6(v6) = address {
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    socket.set_reuse_port(sharing == Sharing::Yes)?;
    // Less is granted where the system's limit is lower; it works with that.
    let _ = socket.set_recv_buffer_size(KERNEL_BYTES);
    let _ = socket.set_send_buffer_size(KERNEL_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// See the file.
pub(super) struct ShardSocket {
    shard: u8,
    key: CidKey,
    inner: Arc<dyn AsyncUdpSocket>,
    /// Locked by this shard's thread alone.
    inbox: Mutex<mpsc::Receiver<Handed>>,
    others: Arc<[mpsc::Sender<Handed>]>,
    /// Told how many datagrams were handed on.
    handed: HandingOn,
}

impl ShardSocket {
    pub(super) fn new(part: Part, handed: HandingOn) -> io::Result<Self> {
        Ok(Self {
            shard: part.shard,
            key: part.key,
            inner: TokioRuntime.wrap_udp_socket(part.socket)?,
            inbox: Mutex::new(part.inbox),
            others: part.others,
            handed,
        })
    }

    /// Takes what others handed on.
    fn poll_inbox(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> usize {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Poll::Ready(Some(handed)) = inbox.poll_recv(cx) else {
                break;
            };
            *meta = handed.meta;
            match buf.get_mut(..handed.bytes.len()) {
                Some(into) => into.copy_from_slice(&handed.bytes),
                None => meta.len = 0,
            }
            count += 1;
        }
        count
    }

    /// Hands on the datagrams in a buffer that are for others; what stays moves together.
    fn sort(&self, buf: &mut [u8], meta: &mut RecvMeta) -> u64 {
        let (mut kept, mut handed) = (0, 0);
        let mut at = 0;
        while at < meta.len {
            let end = meta.len.min(at + meta.stride.max(1));
            match self.owner(&buf[at..end]) {
                None => {
                    // Nearly always nothing was for others, and everything stays where it is.
                    if kept < at {
                        buf.copy_within(at..end, kept);
                    }
                    kept += end - at;
                }
                Some(owner) => {
                    handed += 1;
                    let bytes = Bytes::copy_from_slice(&buf[at..end]);
                    let (len, stride) = (bytes.len(), bytes.len());
                    let meta = RecvMeta {
                        len,
                        stride,
                        ..*meta
                    };
                    // Lost when it has too much already, as on any network.
                    let _ = owner.try_send(Handed { bytes, meta });
                }
            }
            at = end;
        }
        meta.len = kept;
        handed
    }

    /// The shard a datagram is for, when that is another.
    fn owner(&self, datagram: &[u8]) -> Option<&mpsc::Sender<Handed>> {
        let shard = self.key.shard_of(id_in(datagram)?)?;
        if shard == self.shard {
            return None;
        }
        self.others.get(usize::from(shard))
    }
}

impl std::fmt::Debug for ShardSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ShardSocket({})", self.shard)
    }
}

impl AsyncUdpSocket for ShardSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let handed = self.poll_inbox(cx, bufs, meta);
        if handed > 0 {
            return Poll::Ready(Ok(handed));
        }
        let Poll::Ready(count) = self.inner.poll_recv(cx, bufs, meta)? else {
            return Poll::Pending;
        };
        if self.others.len() > 1 {
            let received = bufs.iter_mut().zip(meta).take(count);
            let handed = received.map(|(buf, meta)| self.sort(buf, meta)).sum();
            if handed > 0 {
                (self.handed)(handed);
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}
