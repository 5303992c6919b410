//! One TCP socket, plain or TLS, read and written without waiting.
//!
//! Waiting is done apart, by `poll_read_ready` and `poll_write_ready`, so that a shard can write to
//! ten thousand sockets in a row from one place and no socket needs a task to be written to.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::Shutdown;
use std::task::{Context, Poll};

use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A connected socket.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsSocket>),
}

/// A TLS session and the socket below it. The session's own buffer of outgoing records is
/// bounded by rustls at 64 KiB.
pub(super) struct TlsSocket {
    stream: TcpStream,
    session: RefCell<ServerConnection>,
}

impl TlsSocket {
    pub(super) fn new(stream: TcpStream, session: ServerConnection) -> Self {
        Self {
            stream,
            session: RefCell::new(session),
        }
    }
}

impl Socket {
    /// Reads what is there. `Ok(0)` is the end, `WouldBlock` is nothing for now.
    pub(super) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => {
                let count = stream.try_read(into)?;
                if 0 < count && count < into.len() {
                    // Drained: say so without a second system call.
                    forget_readable(stream);
                }
                Ok(count)
            }
            Self::Tls(tls) => tls.try_read(into),
        }
    }

    /// Writes what the kernel (or the TLS session) takes at once.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write(bytes),
            Self::Tls(tls) => tls.try_write(bytes),
        }
    }

    /// Writes several buffers as one.
    pub(super) fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write_vectored(buffers),
            Self::Tls(tls) => {
                let first = buffers.iter().find(|buffer| !buffer.is_empty());
                first.map_or(Ok(0), |buffer| tls.try_write(buffer))
            }
        }
    }

    /// Writes records the TLS session still holds; `Ok(true)` when none are left.
    pub(super) fn try_flush(&self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.try_flush(&mut tls.session.borrow_mut()),
        }
    }

    /// Ready when reading is worth trying.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read_ready(cx)
    }

    /// Ready when writing is worth trying.
    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_write_ready(cx)
    }

    /// Tells a TLS peer that nothing follows, so that it can tell an end from a cut.
    pub(super) fn say_goodbye(&self) {
        if let Self::Tls(tls) = self {
            let mut session = tls.session.borrow_mut();
            session.send_close_notify();
            // The socket is given up either way.
            let _ = tls.try_flush(&mut session);
        }
    }

    /// Sends no more, and keeps reading. Failing means the socket is gone already.
    pub(super) fn shut_write(&self) {
        let _ = SockRef::from(self.stream()).shutdown(Shutdown::Write);
    }

    fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &tls.stream,
        }
    }
}

/// Clears the readiness that tokio remembers. The kernel reports the next arrival as a new edge,
/// and reports are only taken in between polls of this thread, so none is lost.
fn forget_readable(stream: &TcpStream) {
    let _ = stream.try_io(Interest::READABLE, || {
        Err::<(), _>(io::ErrorKind::WouldBlock.into())
    });
}

/// A socket as rustls wants it.
struct Raw<'a>(&'a TcpStream);

impl io::Read for Raw<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl io::Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsSocket {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        loop {
            match session.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            let count = session.read_tls(&mut Raw(&self.stream))?;
            if let Err(error) = session.process_new_packets() {
                // The alert that says why, if the socket takes it.
                let _ = self.try_flush(session);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            if count == 0 {
                // An end without close_notify is reported as an error by the next read.
                return session.reader().read(into);
            }
            self.try_flush(session)?;
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        if !self.try_flush(session)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = session.writer().write(bytes)?;
        self.try_flush(session)?;
        Ok(count)
    }

    fn try_flush(&self, session: &mut ServerConnection) -> io::Result<bool> {
        while session.wants_write() {
            match session.write_tls(&mut Raw(&self.stream)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
