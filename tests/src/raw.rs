//! A WebSocket client that keeps no rule: it sends whatever frames or bytes a test wants and shows what comes back.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

/// How long an expected answer may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Frame kinds by number, reserved ones included.
pub mod opcode {
    /// The rest of a fragmented message.
    pub const CONTINUATION: u8 = 0x0;
    /// UTF-8.
    pub const TEXT: u8 = 0x1;
    /// Bytes.
    pub const BINARY: u8 = 0x2;
    /// The end.
    pub const CLOSE: u8 = 0x8;
    /// Asks for a pong.
    pub const PING: u8 = 0x9;
    /// Answers a ping.
    pub const PONG: u8 = 0xA;
}

/// A stream in both directions: TCP, or TLS over it.
pub trait Duplex: Read + Write + Send {
    /// The TCP socket under it.
    fn socket(&self) -> &TcpStream;
}

impl Duplex for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

/// A frame as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whether it ends its message.
    pub fin: bool,
    /// The three reserved bits.
    pub rsv: u8,
    /// The kind.
    pub opcode: u8,
    /// The payload, unmasked.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A whole message or control frame.
    #[must_use]
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            fin: true,
            rsv: 0,
            opcode,
            payload: payload.into(),
        }
    }

    /// A whole text message.
    #[must_use]
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::TEXT, payload)
    }

    /// A close frame with a code and a reason.
    #[must_use]
    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_ref());
        Self::new(opcode::CLOSE, payload)
    }

    /// The same frame with more to come.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// The same frame with reserved bits.
    #[must_use]
    pub fn reserved(mut self, rsv: u8) -> Self {
        self.rsv = rsv;
        self
    }

    /// The code of a close frame.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        let code = self.payload.get(..2)?;
        (self.opcode == opcode::CLOSE).then(|| u16::from_be_bytes([code[0], code[1]]))
    }

    /// As a client sends it: masked, with the shortest length form.
    #[must_use]
    pub fn masked(&self) -> Vec<u8> {
        const MASK: [u8; 4] = [0x5A, 0x0F, 0xC3, 0x99];
        let mut bytes = self.head(0x80);
        bytes.extend_from_slice(&MASK);
        bytes.extend(
            self.payload
                .iter()
                .zip(MASK.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        bytes
    }

    /// As only a server may send it.
    #[must_use]
    pub fn unmasked(&self) -> Vec<u8> {
        let mut bytes = self.head(0);
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    fn head(&self, mask_bit: u8) -> Vec<u8> {
        let mut head = vec![(u8::from(self.fin) << 7) | (self.rsv << 4) | self.opcode];
        match (
            u8::try_from(self.payload.len()),
            u16::try_from(self.payload.len()),
        ) {
            (Ok(length @ 0..=125), _) => head.push(mask_bit | length),
            (_, Ok(length)) => {
                head.push(mask_bit | 126);
                head.extend_from_slice(&length.to_be_bytes());
            }
            _ => {
                head.push(mask_bit | 127);
                head.extend_from_slice(&(self.payload.len() as u64).to_be_bytes());
            }
        }
        head
    }
}

/// What reading came upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A frame.
    Frame(Frame),
    /// The server closed the connection.
    End,
    /// Nothing within the given time.
    Silence,
}

/// An open WebSocket.
pub struct Raw {
    stream: Box<dyn Duplex>,
    buffer: Vec<u8>,
}

impl Raw {
    /// Opens a WebSocket on the default path.
    ///
    /// # Errors
    /// When the server does not answer 101.
    pub fn open(address: SocketAddr) -> Result<Self> {
        Self::open_with(address, "/connection/websocket", &[])
    }

    /// Opens a WebSocket with a path and more headers.
    ///
    /// # Errors
    /// When the server does not answer 101.
    pub fn open_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self> {
        let (raw, head) = Self::shake_hands(address, path, headers)?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "refused: {head}");
        Ok(raw)
    }

    /// Sends the opening request and returns the head of whatever is answered.
    ///
    /// # Errors
    /// When nothing is answered.
    pub fn shake_hands(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Self, String)> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Self::shake_hands_over(Box::new(stream), &address.to_string(), path, headers)
    }

    /// The same over a stream that is open already.
    ///
    /// # Errors
    /// When nothing is answered.
    pub fn shake_hands_over(
        stream: Box<dyn Duplex>,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Self, String)> {
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut raw = Self {
            stream,
            buffer: Vec::new(),
        };
        raw.send_bytes(request.as_bytes())?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = raw.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = raw.buffer.drain(..end + 4).collect();
                return Ok((raw, String::from_utf8_lossy(&head).into_owned()));
            }
            match raw.fill(deadline)? {
                Filled::More => {}
                Filled::End => bail!("the server closed instead of answering"),
                Filled::Silence => bail!("the server did not answer the opening request"),
            }
        }
    }

    /// Sends a masked frame.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, frame: &Frame) -> Result<()> {
        self.send_bytes(&frame.masked())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("send")?;
        self.stream.flush().context("send")
    }

    /// Sends bytes a few at a time, each piece in a segment of its own as far as the kernel allows.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_chopped(&mut self, bytes: &[u8], piece: usize) -> Result<()> {
        bytes
            .chunks(piece.max(1))
            .try_for_each(|chunk| self.send_bytes(chunk))
    }

    /// The next frame, the end, or silence after the given time.
    ///
    /// # Errors
    /// When the server sends what is no frame.
    pub fn next(&mut self, patience: Duration) -> Result<Event> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(frame) = self.parse()? {
                return Ok(Event::Frame(frame));
            }
            match self.fill(deadline)? {
                Filled::More => {}
                Filled::End => {
                    ensure!(
                        self.buffer.is_empty(),
                        "the server closed in the middle of a frame"
                    );
                    return Ok(Event::End);
                }
                Filled::Silence => return Ok(Event::Silence),
            }
        }
    }

    /// Stops sending, as a client that goes away properly.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn finish(&self) -> Result<()> {
        Ok(self.stream.socket().shutdown(std::net::Shutdown::Write)?)
    }

    fn parse(&mut self) -> Result<Option<Frame>> {
        let buffer = &self.buffer;
        let [first, second, ..] = buffer[..] else {
            return Ok(None);
        };
        ensure!(second & 0x80 == 0, "the server masked a frame");
        let (length, head) = match second & 0x7F {
            126 => match buffer.get(2..4) {
                Some(bytes) => (u64::from(u16::from_be_bytes(bytes.try_into()?)), 4),
                None => return Ok(None),
            },
            127 => match buffer.get(2..10) {
                Some(bytes) => (u64::from_be_bytes(bytes.try_into()?), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        let end = head + usize::try_from(length)?;
        if buffer.len() < end {
            return Ok(None);
        }
        let payload = buffer[head..end].to_vec();
        self.buffer.drain(..end);
        Ok(Some(Frame {
            fin: first & 0x80 != 0,
            rsv: (first >> 4) & 7,
            opcode: first & 0xF,
            payload,
        }))
    }

    fn fill(&mut self, deadline: Instant) -> Result<Filled> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Filled::Silence);
        }
        self.stream.socket().set_read_timeout(Some(left))?;
        let mut piece = [0; 65_536];
        match self.stream.read(&mut piece) {
            Ok(0) => Ok(Filled::End),
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                Ok(Filled::More)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ok(Filled::Silence),
                io::ErrorKind::Interrupted => Ok(Filled::More),
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => Ok(Filled::End),
                _ => Err(error).context("read"),
            },
        }
    }
}

enum Filled {
    More,
    End,
    Silence,
}
