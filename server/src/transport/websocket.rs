//! One WebSocket: frames in through tungstenite, frames out through the [`Link`], one small task.
//!
//! An idle WebSocket holds its socket and this task; bytes are read into a scratch buffer of the
//! thread, and tungstenite is there only while a message is half read, so nothing waits for a
//! client that says nothing.
//! Frames from the server are not masked, so they are built once and shared; tungstenite only
//! reads, answers pings and does its half of the closing handshake.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::Sleep;
use tungstenite::error::{CapacityError, Error as WebSocketError};
use tungstenite::protocol::{Message, Role, WebSocketConfig, WebSocketContext};

use super::admission::Permit;
use super::boundary::Boundary;
use super::host::{Cause, Host};
use super::link::{Last, Link};
use super::scratch;
use super::socket::Socket;
use crate::hub::ConnKey;

/// How long a closed connection may take to deliver its last bytes and to answer our close.
const CLOSE_GRACE: Duration = Duration::from_secs(5);
/// Reads in one turn of a connection that sends without pause.
const READS_PER_TURN: usize = 2;
/// Step by which tungstenite's own read buffer is filled, on top of the frame's length.
const READ_BUFFER_BYTES: usize = 128;

const CLOSE_PROTOCOL: u16 = 1002;
const CLOSE_NOT_UTF8: u16 = 1007;
const CLOSE_POLICY: u16 = 1008;
const CLOSE_TOO_BIG: u16 = 1009;

/// Which frame carries a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8, for JSON.
    Text,
    /// Bytes, for Protobuf.
    Binary,
    /// A native ping.
    Ping,
}

/// A whole server frame around `payload`.
#[must_use]
pub fn frame(kind: Kind, payload: &[u8]) -> Bytes {
    let opcode = match kind {
        Kind::Text => 0x1,
        Kind::Binary => 0x2,
        Kind::Ping => 0x9,
    };
    encode(opcode, payload)
}

/// A close frame. Reasons longer than the 123 bytes a frame holds are cut.
#[must_use]
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    const REASON_MAX_BYTES: usize = 123;
    let reason = cut(reason, REASON_MAX_BYTES);
    let mut payload = BytesMut::with_capacity(2 + reason.len());
    payload.put_u16(code);
    payload.put_slice(reason.as_bytes());
    encode(0x8, &payload)
}

/// The longest prefix of at most `max` bytes that does not split a character.
fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev();
    let end = end.into_iter().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

fn encode(opcode: u8, payload: &[u8]) -> Bytes {
    const FINAL: u8 = 0x80;
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(FINAL | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => frame.put_u8(length),
        (_, Ok(length)) => {
            frame.put_u8(126);
            frame.put_u16(length);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(payload.len() as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

/// Where a connection stands, as its task sees it.
enum Stage {
    /// Frames go to the host.
    Open(ConnKey),
    /// The end is under way; the sleep bounds it.
    Closing {
        awaited: Awaited,
        grace: Pin<Box<Sleep>>,
    },
}

/// What a closing connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The client's answer to our close frame.
    Reply,
    /// Only that our last bytes are gone.
    Flush,
    /// That the client stops sending. What it sends is not looked at; closing over unread bytes
    /// would reset the connection and take our close frame with it.
    End,
}

/// What reading came upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The closing handshake is complete.
    Handshake,
    /// The client sends no more.
    End,
    /// The socket broke.
    Broken,
    /// The framing rules were broken; the close code says how.
    Framing(u16),
}

/// The task of one WebSocket.
pub(super) struct WebSocket<H: Host> {
    link: Rc<Link>,
    host: Rc<H>,
    stage: Stage,
    /// `None` between messages. It keeps a buffer as large as the largest message that came.
    context: Option<Box<WebSocketContext>>,
    boundary: Boundary,
    message_max_bytes: usize,
    /// Held until the socket is gone.
    _permit: Permit,
}

impl<H: Host> Drop for WebSocket<H> {
    /// Also when the task was dropped or broke off half way, the host hears of it.
    fn drop(&mut self) {
        self.link.close();
        if let Stage::Open(id) = self.stage {
            self.host.closed(id, Cause::Broken);
        }
    }
}

impl<H: Host> WebSocket<H> {
    /// A WebSocket whose handshake is done; `early` are bytes that came behind the request.
    pub(super) fn new(
        host: Rc<H>,
        link: Rc<Link>,
        id: ConnKey,
        early: &[u8],
        permit: Permit,
        frame_max_bytes: usize,
    ) -> Self {
        let mut new = Self {
            link,
            host,
            stage: Stage::Open(id),
            context: None,
            boundary: Boundary::default(),
            message_max_bytes: frame_max_bytes,
            _permit: permit,
        };
        // Now: no readiness of the socket will tell of them.
        if !early.is_empty()
            && let Some(event) = new.digest(early)
        {
            // Bytes alone neither end nor break a socket, so it is not over yet.
            let _ = new.react(event);
        }
        new
    }

    #[cfg(test)]
    pub(super) fn holds_a_reader(&self) -> bool {
        self.context.is_some()
    }

    /// Feeds bytes to tungstenite and hands on what they complete.
    pub(super) fn digest(&mut self, bytes: &[u8]) -> Option<Event> {
        self.boundary.advance(bytes);
        let link = Rc::clone(&self.link);
        let mut wire = Wire { bytes, link: &link };
        let context = self.context.take();
        let mut context = context.unwrap_or_else(|| Box::new(reader(self.message_max_bytes)));
        let event = loop {
            match context.read(&mut wire) {
                Ok(message) => self.accept(message),
                Err(error) => break event_of(&error),
            }
        };
        if event.is_some() || !self.boundary.is_between_messages() {
            self.context = Some(context);
        }
        event
    }

    fn accept(&self, message: Message) {
        let Stage::Open(id) = self.stage else {
            // The rest of what was under way when we closed.
            return;
        };
        match message {
            Message::Text(text) => self.host.receive(id, text.into()),
            Message::Binary(bytes) => self.host.receive(id, bytes),
            Message::Pong(_) => self.host.pong(id),
            // tungstenite answers both.
            Message::Ping(_) | Message::Close(_) | Message::Frame(_) => {}
        }
    }

    /// Reads until nothing is left or something happens; lets others run after some reads.
    ///
    /// Reading comes first and waiting after: a TLS session may hold bytes already decrypted while
    /// its socket is not ready.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let link = Rc::clone(&self.link);
        let Some(socket) = link.socket() else {
            return Poll::Ready(Event::Broken);
        };
        for _ in 0..READS_PER_TURN {
            if let Stage::Open(id) = self.stage
                && !self.host.wants_frames(id)
            {
                link.pause();
                return Poll::Pending;
            }
            let (event, drained) = scratch::with(|scratch| self.read(socket, scratch));
            if let Some(event) = event {
                return Poll::Ready(event);
            }
            if drained {
                match socket.poll_read_ready(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(_)) => return Poll::Ready(Event::Broken),
                    Poll::Ready(Ok(())) => {}
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One read: what it led to, and whether nothing more is there for now.
    fn read(&mut self, socket: &Socket, scratch: &mut [u8]) -> (Option<Event>, bool) {
        match socket.try_read(scratch) {
            Ok(0) => (Some(Event::End), true),
            Ok(count) if self.awaits(Awaited::End) => (None, count < scratch.len()),
            Ok(count) => (self.digest(&scratch[..count]), count < scratch.len()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (None, true),
            Err(_) => (Some(Event::Broken), true),
        }
    }

    fn awaits(&self, what: Awaited) -> bool {
        matches!(self.stage, Stage::Closing { awaited, .. } if awaited == what)
    }

    /// Acts on what reading came upon. `Ready` when the connection is over.
    fn react(&mut self, event: Event) -> Poll<()> {
        match event {
            Event::Handshake => {
                self.link.finish(Bytes::new(), Last::AfterQueue);
                self.depart(Some(Cause::Client), Awaited::Flush);
            }
            Event::Framing(code) => {
                self.link.finish(close_frame(code, ""), Last::AfterQueue);
                self.depart(Some(Cause::Framing(code)), Awaited::End);
            }
            Event::End => {
                self.depart(Some(Cause::Client), Awaited::Flush);
                return Poll::Ready(());
            }
            Event::Broken => {
                self.depart(Some(Cause::Broken), Awaited::Flush);
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Begins to close, or goes on to the next thing to wait for. The host is told once, and not
    /// when it closed the connection itself.
    fn depart(&mut self, cause: Option<Cause>, next: Awaited) {
        match &mut self.stage {
            Stage::Closing { awaited, .. } => *awaited = next,
            Stage::Open(id) => {
                let id = *id;
                self.stage = Stage::Closing {
                    awaited: next,
                    grace: Box::pin(tokio::time::sleep(CLOSE_GRACE)),
                };
                if let Some(cause) = cause {
                    self.host.closed(id, cause);
                }
            }
        }
    }

    /// Notices what others did to the link since the last turn.
    fn look_at_link(&mut self) {
        if !matches!(self.stage, Stage::Open(_)) {
            return;
        }
        if !self.link.is_open() {
            self.depart(None, Awaited::Reply);
        } else if self.link.is_over_limit() {
            // Whatever the shard writes it watches itself; only pongs to a client that pings
            // without reading get here.
            let goodbye = close_frame(CLOSE_POLICY, "");
            self.link.finish(goodbye, Last::InsteadOfQueue);
            self.depart(Some(Cause::Slow), Awaited::Flush);
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Before reading: when the shard has closed, the client's answer must not look like the
        // client's own wish. And after, for what the frames just read led to.
        self.look_at_link();
        while !self.awaits(Awaited::Flush) {
            match self.poll_read(cx) {
                Poll::Ready(event) => {
                    if self.react(event).is_ready() {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending => break,
            }
        }
        self.look_at_link();
        match self.link.poll_flush(cx) {
            Poll::Ready(Err(_)) => return self.react(Event::Broken),
            Poll::Ready(Ok(())) if self.awaits(Awaited::Flush) => return Poll::Ready(()),
            Poll::Ready(Ok(())) if self.awaits(Awaited::End) => {
                if let Some(socket) = self.link.socket() {
                    socket.shut_write();
                }
            }
            _ => {}
        }
        match &mut self.stage {
            Stage::Open(_) => Poll::Pending,
            Stage::Closing { grace, .. } => grace.as_mut().poll(cx),
        }
    }
}

impl<H: Host> Future for WebSocket<H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.link.register(cx.waker());
        let step = this.poll_step(cx);
        if step.is_ready() {
            if let Some(socket) = this.link.socket() {
                socket.say_goodbye();
            }
            this.link.close();
        }
        step
    }
}

/// A reader that stands between two messages.
fn reader(message_max_bytes: usize) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(message_max_bytes))
        .max_frame_size(Some(message_max_bytes));
    WebSocketContext::new(Role::Server, Some(config))
}

fn event_of(error: &WebSocketError) -> Option<Event> {
    match error {
        WebSocketError::Io(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        WebSocketError::Io(_) => Some(Event::Broken),
        WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => Some(Event::Handshake),
        WebSocketError::Capacity(CapacityError::MessageTooLong { .. }) => {
            Some(Event::Framing(CLOSE_TOO_BIG))
        }
        WebSocketError::Utf8(_) => Some(Event::Framing(CLOSE_NOT_UTF8)),
        _ => Some(Event::Framing(CLOSE_PROTOCOL)),
    }
}

/// What tungstenite reads from and writes to: the bytes just read, and the link.
struct Wire<'a> {
    bytes: &'a [u8],
    link: &'a Link,
}

impl io::Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = into.len().min(self.bytes.len());
        let (now, later) = self.bytes.split_at(count);
        into[..count].copy_from_slice(now);
        self.bytes = later;
        Ok(count)
    }
}

impl io::Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A pong or close. When the link is over nobody waits for it; when it is full, the task
        // sees that and closes.
        let _ = self.link.write(&Bytes::copy_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
