//! One connection of a simulated phone: a socket, what came in pieces, and what could not go out yet.
//!
//! Buffers are there only while something is in them: an idle phone costs its socket and this struct.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::tls::Handshake;
use super::transport::Transport;

/// Loopback addresses that local connections come from, so that no limit by address or range of ports is met: more than enough
/// for a machine's sockets, at 28,000 ports each.
const SOURCES: usize = 200;

/// Most that may wait to be sent before the phone gives up on a server that does not read.
const OUTBOX_BYTES_MAX: usize = 1 << 20;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// TCP is under way, then the request to upgrade.
    Opening,
    /// The request is out.
    Upgrading,
    /// The connect command is out.
    Greeting,
    /// It is connected.
    Online,
}

/// A connection.
pub(super) struct Line {
    transport: Transport,
    pub(super) phase: Phase,
    /// What came of a frame that is not whole yet.
    pub(super) inbox: Vec<u8>,
    /// What came of a message in several frames.
    pub(super) message: Vec<u8>,
    outbox: Vec<u8>,
    /// When something was last heard.
    pub(super) heard_us: u64,
    pub(super) next_id: u32,
}

/// What reading gave.
pub(super) enum Came {
    /// This many bytes; nothing more for now.
    Some(usize),
    /// This many bytes, and there may be more.
    Full(usize),
    /// Nothing for now.
    Nothing,
    /// The other side has ended.
    End,
}

impl Line {
    /// Begins to connect; `nth` spreads local connections over source addresses.
    pub(super) fn open(
        to: SocketAddr,
        tls: Option<&Handshake>,
        nth: usize,
        registry: &Registry,
        token: Token,
        now_us: u64,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if to.ip().is_loopback() && to.is_ipv4() {
            // The port is chosen at connect, so that one address serves more connections than it has free ports.
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::new(source(nth), 0).into())?;
        }
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => {}
            Err(error) => return Err(error),
        }
        let mut socket = TcpStream::from_std(socket.into());
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            transport: Transport::new(socket, tls)?,
            phase: Phase::Opening,
            inbox: Vec::new(),
            message: Vec::new(),
            outbox: Vec::new(),
            heard_us: now_us,
            next_id: 1,
        })
    }

    /// Whether it stands; an error when it failed.
    pub(super) fn stands(&self) -> io::Result<bool> {
        self.transport.stands()
    }

    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<Came> {
        match self.transport.read(into) {
            Ok(0) => Ok(Came::End),
            // A short read of a stream means that it is empty (epoll(7)): one call less for each delivery.
            Ok(length) if length < into.len() => Ok(Came::Some(length)),
            Ok(length) => Ok(Came::Full(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Came::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Sends, or keeps what the kernel does not take.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.outbox.is_empty() {
            if self.outbox.len() + bytes.len() > OUTBOX_BYTES_MAX {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.outbox.extend_from_slice(bytes);
            return Ok(());
        }
        let sent = self.try_write(bytes)?;
        self.outbox.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Sends what was kept.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.transport.flush()?;
        if self.outbox.is_empty() {
            return Ok(());
        }
        let kept = std::mem::take(&mut self.outbox);
        let sent = self.try_write(&kept)?;
        if sent < kept.len() {
            self.outbox.extend_from_slice(&kept[sent..]);
        }
        Ok(())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.transport.write(&bytes[sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Ends it without a word.
    pub(super) fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        self.transport.shutdown(how)
    }

    /// The number of the next command.
    pub(super) const fn number(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

/// `EINPROGRESS`: a connect that goes on in the background. The number is Linux's.
const IN_PROGRESS: i32 = 115;

fn source(nth: usize) -> IpAddr {
    let last = u8::try_from(1 + nth % SOURCES).unwrap_or(1);
    let third = u8::try_from(nth / SOURCES % 200).unwrap_or(0);
    IpAddr::V4(Ipv4Addr::new(127, 0, third, last))
}
