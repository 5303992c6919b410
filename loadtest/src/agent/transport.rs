//! What carries a phone's bytes: one variant for each transport; everything above is the same for all.
//!
//! A variant, not a trait object: with thousands of phones each step to another place in memory costs as much as the work there.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;

use mio::net::TcpStream;
use rustls::ClientConnection;

use super::tls::Handshake;

/// What a failure of the handshake is called among the errors.
pub(crate) const UNTRUSTED: &str = "tls refused";

/// What an error is called among the errors.
pub(super) fn name_of(what: &str, error: &io::Error) -> String {
    let is_tls = error.kind() == io::ErrorKind::InvalidData;
    if is_tls {
        UNTRUSTED.to_owned()
    } else {
        format!("{what} {}", error.kind())
    }
}

/// A transport. Nothing here waits.
pub(super) enum Transport {
    /// TCP alone.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<Tls>),
}

/// A TLS session and the socket under it.
pub(super) struct Tls {
    socket: TcpStream,
    session: ClientConnection,
}

impl Transport {
    /// Over a socket that connects.
    pub(super) fn new(socket: TcpStream, tls: Option<&Handshake>) -> io::Result<Self> {
        let Some(handshake) = tls else {
            return Ok(Self::Plain(socket));
        };
        let session = handshake.begin().map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(Tls { socket, session })))
    }

    const fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.socket,
        }
    }

    /// Whether the socket stands; an error when it failed.
    pub(super) fn stands(&self) -> io::Result<bool> {
        let socket = self.socket();
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads. Less than was asked for means that nothing more is there for now.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }

    /// Writes what can be written.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    /// Writes what it holds back itself.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }

    /// Ends it without a word.
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket().shutdown(how)
    }
}

impl Tls {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        while length < into.len() {
            match self.session.reader().read(&mut into[length..]) {
                // The other side has said that it ends; what came before is handed on first.
                Ok(0) => break,
                Ok(more) => {
                    length += more;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It ended without saying so, as most do.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            match self.session.read_tls(&mut self.socket) {
                // Told by the reader, now or next time.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if length > 0 {
                        break;
                    }
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
            let state = self.session.process_new_packets();
            // Also what it says when it refuses, so that the server knows.
            self.flush()?;
            state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        Ok(length)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What waits encrypted goes first, so that no more than one buffer of it is held.
        self.flush()?;
        match self.session.writer().write(bytes)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            length => {
                self.flush()?;
                Ok(length)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
