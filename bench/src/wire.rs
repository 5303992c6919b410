//! The three wires the driver speaks, as cheaply as it can: bytes that were made once go out, and of what
//! comes in only the marks are counted. A driver must not be what is measured.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet, spawn_local},
    time::timeout,
};

use crate::{
    quic::{self, Clients},
    servers::{Running, SECRET},
};

/// Stands in each payload exactly once. Its first byte is no length or opcode that could precede the others, so no
/// frame's header can look like it.
const MARK: &[u8; 3] = b"\"~x";

/// Loopback addresses the connections come from, so that no limit by address or port range is met.
const SOURCE_ADDRESSES: usize = 200;

/// Connects under way at once.
const CONNECTS_AT_ONCE: usize = 64;

/// How long one step (a connect, a full delivery) may take before the measurement is given up.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(120);

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// The Centrifugal protocol, JSON over WebSocket.
    Centrifugal,
    /// The NATS text protocol.
    Nats,
    /// The send loop's own: see `limit`.
    Plain,
}

/// Opens a connection as the `n`-th client, up to being authenticated and, when a channel is given, subscribed.
pub(crate) async fn open(server: &Running, n: usize, channel: Option<&str>) -> Result<TcpStream> {
    let mut stream = dial(server.address, n).await?;
    greet(&mut stream, server.wire, n, channel).await?;
    Ok(stream)
}

/// A TCP connection from one of the spread loopback addresses.
pub(crate) async fn dial(address: SocketAddr, n: usize) -> Result<TcpStream> {
    let last = u8::try_from(1 + n % SOURCE_ADDRESSES)?;
    let socket = TcpSocket::new_v4()?;
    // The port is chosen at connect, so that one address can serve more connections than it has free ports.
    socket2::SockRef::from(&socket).set_reuse_address(true)?;
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    let stream = timeout(STEP_TIMEOUT, socket.connect(address))
        .await
        .context("connect timed out")??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Says on a fresh stream who is calling, and waits for the server's consent.
pub(crate) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    wire: Wire,
    n: usize,
    channel: Option<&str>,
) -> Result<()> {
    match wire {
        Wire::Centrifugal => greet_centrifugal(stream, n, channel).await,
        Wire::Nats => {
            expect(stream, "\r\n").await?;
            let subscribe = channel.map_or_else(String::new, |c| format!("SUB {c} 1\r\n"));
            let connect =
                json!({"verbose": false, "pedantic": false, "user": "bench", "pass": SECRET});
            let greeting = format!("CONNECT {connect}\r\n{subscribe}PING\r\n");
            stream.write_all(greeting.as_bytes()).await?;
            expect(stream, "PONG\r\n").await
        }
        Wire::Plain => {
            let kind: &[u8] = if channel.is_some() { b"S" } else { b"P" };
            stream.write_all(kind).await?;
            stream.read_u8().await.context("no answer")?;
            Ok(())
        }
    }
}

async fn greet_centrifugal<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    n: usize,
    channel: Option<&str>,
) -> Result<()> {
    let upgrade = "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await?;
    expect(stream, "\r\n\r\n").await?;
    let mut commands = json!({"id": 1, "connect": {"token": token(n)?}}).to_string();
    if let Some(channel) = channel {
        commands.push('\n');
        commands.push_str(&json!({"id": 2, "subscribe": {"channel": channel}}).to_string());
    }
    stream.write_all(&frame(commands.as_bytes())).await?;
    expect(
        stream,
        if channel.is_some() {
            "\"id\":2,"
        } else {
            "\"id\":1,"
        },
    )
    .await
}

/// Reads until the text has come, or says what came in its place.
async fn expect<S: AsyncRead + Unpin>(stream: &mut S, text: &str) -> Result<()> {
    let mut seen = Vec::new();
    let read = async {
        while memchr::memmem::find(&seen, text.as_bytes()).is_none() {
            ensure!(stream.read_buf(&mut seen).await? > 0, "the server hung up");
        }
        Ok(())
    };
    let result = timeout(STEP_TIMEOUT, read)
        .await
        .context("no answer in time")?;
    if seen.windows(8).any(|window| window == b"\"error\":") {
        bail!("refused: {}", String::from_utf8_lossy(&seen));
    }
    result.with_context(|| {
        format!(
            "waiting for {text:?} after {}",
            String::from_utf8_lossy(&seen)
        )
    })
}

pub(crate) fn token(n: usize) -> Result<String> {
    let expiry = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 24 * 3600;
    let claims = json!({"sub": format!("user{n}"), "exp": expiry});
    Ok(encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )?)
}

/// A client's text frame. The mask is zero, which every server must accept and which costs nothing to apply.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap_or_default()),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Bytes that publish one message of about 130 bytes on a channel.
pub(crate) fn publication(wire: Wire, channel: &str, n: usize) -> Vec<u8> {
    let data = json!({"kind": "message", "n": n, "text": format!("~{}", "x".repeat(80))});
    match wire {
        Wire::Centrifugal => {
            let command = json!({"id": n + 10, "publish": {"channel": channel, "data": data}});
            frame(command.to_string().as_bytes())
        }
        Wire::Nats => {
            let data = data.to_string();
            format!("PUB {channel} {}\r\n{data}\r\n", data.len()).into_bytes()
        }
        Wire::Plain => {
            // What a Centrifugal server would send for the same publication, ready made.
            let push = json!({"push": {"channel": channel, "pub": {"data": data}}}).to_string();
            let mut message = vec![0x81, 126];
            message.extend_from_slice(&u16::try_from(push.len()).unwrap_or(u16::MAX).to_be_bytes());
            message.extend_from_slice(push.as_bytes());
            let mut bytes = u32::try_from(message.len())
                .unwrap_or(u32::MAX)
                .to_be_bytes()
                .to_vec();
            bytes.append(&mut message);
            bytes
        }
    }
}

/// Many subscribers of one channel, and how many deliveries they have seen together.
pub(crate) struct Audience {
    seen: Rc<Seen>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    deliveries: Cell<usize>,
    awaited: Cell<usize>,
    hung_up: Cell<usize>,
    reached: Notify,
}

impl Audience {
    /// Connects and subscribes this many.
    pub(crate) async fn gather(server: &Running, size: usize, channel: &str) -> Result<Self> {
        let seen = Rc::new(Seen::default());
        let scratch = Rc::new(RefCell::new(vec![0; 256 * 1024]));
        let mut readers = Vec::with_capacity(size);
        if server.quic.is_some() {
            let clients = Clients::of(server)?;
            for client in clients.open_many(size, Some(channel)).await? {
                readers.push(spawn_local(count_quic(client, Rc::clone(&seen))));
            }
            return Ok(Self { seen, readers });
        }
        for stream in open_many(server, size, Some(channel)).await? {
            readers.push(spawn_local(count(
                stream,
                Rc::clone(&seen),
                Rc::clone(&scratch),
            )));
        }
        Ok(Self { seen, readers })
    }

    /// Forgets what was counted so far; the next `reached` counts from here.
    pub(crate) fn start_counting(&self) {
        self.seen.deliveries.set(0);
    }

    /// Waits until this many deliveries were seen.
    pub(crate) async fn reached(&self, deliveries: usize) -> Result<()> {
        self.seen.awaited.set(deliveries);
        let waited = timeout(STEP_TIMEOUT, async {
            while self.seen.deliveries.get() < deliveries {
                self.seen.reached.notified().await;
            }
        });
        waited.await.with_context(|| {
            let (seen, gone) = (self.seen.deliveries.get(), self.seen.hung_up.get());
            format!(
                "{seen} of {deliveries} deliveries arrived; {gone} subscribers were disconnected"
            )
        })
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

/// Counts marks in a stream of bytes that arrives in pieces.
pub(crate) struct Marks {
    finder: memchr::memmem::Finder<'static>,
    tail: [u8; 2],
}

impl Marks {
    pub(crate) fn new() -> Self {
        Self {
            finder: memchr::memmem::Finder::new(MARK),
            tail: [0; 2],
        }
    }

    /// Marks that end in this piece.
    pub(crate) fn count(&mut self, piece: &[u8]) -> usize {
        let mut seam = [self.tail[0], self.tail[1], 0, 0];
        let taken = piece.len().min(2);
        seam[2..2 + taken].copy_from_slice(&piece[..taken]);
        let seam = &seam[..2 + taken];
        let count = self.finder.find_iter(seam).count() + self.finder.find_iter(piece).count();
        let last = if piece.len() >= 2 { piece } else { seam };
        self.tail = [last[last.len() - 2], last[last.len() - 1]];
        count
    }
}

impl Seen {
    fn add(&self, deliveries: usize) {
        self.deliveries.set(self.deliveries.get() + deliveries);
        if self.deliveries.get() >= self.awaited.get() {
            self.reached.notify_one();
        }
    }
}

async fn count_quic(mut client: quic::Client, seen: Rc<Seen>) {
    let mut marks = Marks::new();
    while let Ok(Some(chunk)) = client.recv.read_chunk(usize::MAX, true).await {
        seen.add(marks.count(&chunk.bytes));
    }
    seen.hung_up.set(seen.hung_up.get() + 1);
}

async fn count(stream: TcpStream, seen: Rc<Seen>, scratch: Rc<RefCell<Vec<u8>>>) {
    let mut marks = Marks::new();
    while stream.readable().await.is_ok() {
        let mut buffer = scratch.borrow_mut();
        match stream.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => seen.add(marks.count(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    seen.hung_up.set(seen.hung_up.get() + 1);
}

/// Opens this many connections, a bounded number at a time.
pub(crate) async fn open_many(
    server: &Running,
    size: usize,
    channel: Option<&str>,
) -> Result<Vec<TcpStream>> {
    let mut open_streams = Vec::with_capacity(size);
    let mut next = 0;
    let mut under_way = JoinSet::new();
    while open_streams.len() < size {
        while next < size && under_way.len() < CONNECTS_AT_ONCE {
            let (address, wire) = (server.address, server.wire);
            let channel = channel.map(str::to_owned);
            let n = next;
            under_way.spawn_local(async move {
                let mut stream = dial(address, n).await?;
                greet(&mut stream, wire, n, channel.as_deref()).await?;
                anyhow::Ok(stream)
            });
            next += 1;
        }
        let stream = under_way
            .join_next()
            .await
            .context("no connect under way")??;
        open_streams.push(stream.with_context(|| format!("connection {}", open_streams.len()))?);
    }
    Ok(open_streams)
}

/// Whoever publishes: one connection that is not subscribed. Of its replies only refusals are kept, the first of them.
pub(crate) struct Publisher {
    writer: tokio::net::tcp::OwnedWriteHalf,
    drain: JoinHandle<()>,
    refused: Rc<RefCell<Option<String>>>,
}

impl Publisher {
    pub(crate) async fn open(server: &Running) -> Result<Self> {
        let (mut reader, writer) = open(server, usize::MAX - 1, None).await?.into_split();
        let refused = Rc::new(RefCell::new(None));
        let kept = Rc::clone(&refused);
        let drain = spawn_local(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = reader.read(&mut buffer).await {
                let replies = &buffer[..length];
                if memchr::memmem::find(replies, b"\"error\":").is_some() {
                    let text = || String::from_utf8_lossy(replies).into_owned();
                    kept.borrow_mut().get_or_insert_with(text);
                }
            }
        });
        Ok(Self {
            writer,
            drain,
            refused,
        })
    }

    /// What the server said to a publication that it did not take.
    pub(crate) fn refused(&self) -> Option<String> {
        self.refused.borrow().clone()
    }

    /// The same connection for a thread that writes in its own time.
    pub(crate) fn sender(&self) -> Result<std::net::TcpStream> {
        let socket = socket2::SockRef::from(self.writer.as_ref()).try_clone()?;
        Ok(socket.into())
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.writer.write_all(bytes).await?)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.drain.abort();
    }
}

/// The time that passed, and what the server's process used of it.
pub(crate) struct Stretch {
    started: Instant,
    cpu: Duration,
    pid: u32,
}

impl Stretch {
    pub(crate) fn begin(server: &Running) -> Result<Self> {
        Ok(Self {
            started: Instant::now(),
            cpu: crate::process::cpu(server.pid)?,
            pid: server.pid,
        })
    }

    pub(crate) fn passed(&self) -> Duration {
        self.started.elapsed()
    }

    /// (passed, CPU used) since the beginning.
    pub(crate) fn end(&self) -> Result<(Duration, Duration)> {
        Ok((
            self.started.elapsed(),
            crate::process::cpu(self.pid)?.saturating_sub(self.cpu),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_once_wherever_the_stream_is_cut() {
        let bytes = [
            publication(Wire::Centrifugal, "c", 1),
            publication(Wire::Plain, "c", 2),
        ]
        .concat();
        for size in 1..bytes.len() {
            let mut marks = Marks::new();
            let count: usize = bytes.chunks(size).map(|piece| marks.count(piece)).sum();
            assert_eq!(count, 2, "in pieces of {size}");
        }
    }
}
