//! The stream that carries a connection over QUIC, raw or WebTransport: commands in, frames out, one small task.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use klokke_protocol::{Codec, CutError, Cutter};
use quinn::{ReadError, RecvStream, SendStream, VarInt};
use tokio::time::Sleep;

use super::super::admission::Permit;
use super::super::host::{Cause, Host};
use super::super::link::{Last, Link};
use super::super::scratch;
use crate::hub::ConnKey;

/// How long a closed connection may take to acknowledge its last bytes.
const CLOSE_GRACE: Duration = Duration::from_secs(5);
/// Reads in one turn of a connection that sends without pause.
const READS_PER_TURN: usize = 2;

/// What the stream belongs to, and is closed by.
pub(super) enum Carrier {
    /// A native app's connection.
    Raw(quinn::Connection),
    /// A browser's session.
    WebTransport(wtransport::Connection),
}

impl Carrier {
    pub(super) fn close(&self, code: u32) {
        let code = VarInt::from_u32(code);
        match self {
            Self::Raw(connection) => connection.close(code, b""),
            Self::WebTransport(session) => session.quic_connection().close(code, b""),
        }
    }
}

/// Where a connection stands, as its task sees it.
enum Stage {
    /// Messages go to the host.
    Open(ConnKey),
    /// The last bytes are under way; the sleep bounds it.
    Finishing {
        grace: Pin<Box<Sleep>>,
        /// Set once everything is handed to QUIC: done when the client has it all.
        taken: Option<Pin<Box<dyn Future<Output = ()>>>>,
    },
}

/// What is read and written, and what it belongs to.
pub(super) struct Streams {
    pub(super) carrier: Carrier,
    pub(super) send: Half<SendStream, wtransport::SendStream>,
    pub(super) recv: Half<RecvStream, wtransport::RecvStream>,
}

/// One direction.
pub(super) enum Half<R, W> {
    Raw(R),
    WebTransport(W),
}

impl Half<SendStream, wtransport::SendStream> {
    fn quic(&mut self) -> &mut SendStream {
        match self {
            Self::Raw(stream) => stream,
            Self::WebTransport(stream) => stream.quic_stream_mut(),
        }
    }
}

impl Half<RecvStream, wtransport::RecvStream> {
    fn quic(&mut self) -> &mut RecvStream {
        match self {
            Self::Raw(stream) => stream,
            Self::WebTransport(stream) => stream.quic_stream_mut(),
        }
    }
}

/// The task of one connection.
pub(super) struct Duplex<H: Host> {
    host: Rc<H>,
    link: Rc<Link>,
    stage: Stage,
    cutter: Cutter,
    streams: Streams,
    /// Held until the connection is gone.
    _permit: Permit,
}

impl<H: Host> Drop for Duplex<H> {
    /// Also when the task was dropped or broke off half way, the host hears of it.
    fn drop(&mut self) {
        self.link.close();
        if let Stage::Open(id) = self.stage {
            self.host.closed(id, Cause::Broken);
        }
    }
}

/// What reading came upon.
enum Event {
    /// The client is done.
    End,
    /// The connection is lost.
    Broken,
    /// What came cannot be cut into messages.
    Framing(CutError),
}

/// Codes of RFC 6455, by which doors of every kind are counted.
const TOO_BIG: u16 = 1009;
const PROTOCOL: u16 = 1002;

impl<H: Host> Duplex<H> {
    pub(super) fn new(
        host: Rc<H>,
        link: Rc<Link>,
        id: ConnKey,
        codec: Codec,
        streams: Streams,
        permit: Permit,
        message_max_bytes: usize,
    ) -> Self {
        Self {
            host,
            link,
            stage: Stage::Open(id),
            cutter: Cutter::new(codec, message_max_bytes),
            streams,
            _permit: permit,
        }
    }

    /// Reads until nothing is left or something happens; lets others run after some reads.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        for _ in 0..READS_PER_TURN {
            let Stage::Open(id) = self.stage else {
                return Poll::Pending;
            };
            if !self.host.wants_frames(id) {
                self.link.pause();
                return Poll::Pending;
            }
            let (recv, cutter) = (self.streams.recv.quic(), &mut self.cutter);
            let read = scratch::with(|scratch| {
                recv.poll_read(cx, scratch).map(|read| match read {
                    Ok(0) => Err(Event::End),
                    Ok(count) => cutter.take(&scratch[..count]).map_err(Event::Framing),
                    Err(error) => Err(event_of(&error)),
                })
            });
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(frame))) => self.host.receive(id, frame),
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Err(event)) => return Poll::Ready(event),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Acts on what reading came upon. `Ready` when the connection is over.
    fn react(&mut self, event: &Event) -> Poll<()> {
        let cause = match event {
            // Whoever ends within a message did not mean to.
            Event::End if self.cutter.is_within() => Cause::Broken,
            Event::End => Cause::Client,
            Event::Broken => Cause::Broken,
            Event::Framing(CutError::TooLong) => Cause::Framing(TOO_BIG),
            Event::Framing(_) => Cause::Framing(PROTOCOL),
        };
        if let Cause::Framing(code) = cause {
            self.link.end_with(u32::from(code));
        }
        self.depart(Some(cause));
        match event {
            Event::Framing(_) => Poll::Pending,
            Event::End | Event::Broken => Poll::Ready(()),
        }
    }

    /// Begins to close. The host is told once, and not when it closed the connection itself.
    fn depart(&mut self, cause: Option<Cause>) {
        let Stage::Open(id) = self.stage else {
            return;
        };
        self.stage = Stage::Finishing {
            grace: Box::pin(tokio::time::sleep(CLOSE_GRACE)),
            taken: None,
        };
        if let Some(cause) = cause {
            self.link.finish(bytes::Bytes::new(), Last::AfterQueue);
            self.host.closed(id, cause);
        }
    }

    /// Notices that others closed the link since the last turn.
    fn look_at_link(&mut self) {
        if matches!(self.stage, Stage::Open(_)) && !self.link.is_open() {
            self.depart(None);
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.look_at_link();
        if let Poll::Ready(event) = self.poll_read(cx)
            && self.react(&event).is_ready()
        {
            return Poll::Ready(());
        }
        self.look_at_link();
        let send = self.streams.send.quic();
        let passed = self.link.poll_pass(cx, |cx, chunks| {
            let writing = pin!(send.write_chunks(chunks));
            writing.poll(cx).map_ok(|written| written.bytes)
        });
        let is_passed = match passed {
            Poll::Ready(Err(_)) => return self.react(&Event::Broken),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        let Stage::Finishing { grace, taken } = &mut self.stage else {
            return Poll::Pending;
        };
        if is_passed && taken.is_none() {
            // Whoever is gone already takes nothing more.
            let _ = send.finish();
            let stopped = send.stopped();
            *taken = Some(Box::pin(async move {
                let _ = stopped.await;
            }));
        }
        if let Some(taken) = taken
            && taken.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(());
        }
        grace.as_mut().poll(cx)
    }
}

impl<H: Host> Future for Duplex<H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.link.register(cx.waker());
        let step = this.poll_step(cx);
        if step.is_ready() {
            this.streams.carrier.close(this.link.close_code());
            this.link.close();
        }
        step
    }
}

const fn event_of(error: &ReadError) -> Event {
    match error {
        // A browser that leaves says so on its session, whose driver then closes the connection from our side.
        ReadError::Reset(_)
        | ReadError::ConnectionLost(
            quinn::ConnectionError::ApplicationClosed(_) | quinn::ConnectionError::LocallyClosed,
        ) => Event::End,
        _ => Event::Broken,
    }
}
