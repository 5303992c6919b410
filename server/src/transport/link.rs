//! The way out of one connection: straight to the socket while the kernel takes it, into a bounded
//! queue when not.
//!
//! Written to by the shard from anywhere on its thread, flushed by the connection's own task. The
//! queue never grows past its limit by more than one write: whoever fills it is told so
//! ([`Written::Overflow`]) and closes the connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};

use super::socket::Socket;
use crate::telemetry::Level;

/// Most buffers given to the kernel in one call: enough to make a call worth it, few enough to
/// build on the stack.
const VECTOR_MAX: usize = 64;
/// A drained queue with more room than this gives it back.
const QUEUE_KEPT: usize = 8;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// The kernel has it.
    Sent,
    /// It waits in the queue.
    Queued,
    /// It waits, and the queue is over its limit: the consumer is too slow and must go.
    Overflow,
    /// The connection is over; the bytes are dropped.
    Closed,
}

/// What happens to queued bytes when a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// They go out first.
    AfterQueue,
    /// They are dropped, except a frame that is already half sent.
    InsteadOfQueue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing more may be written; what is queued goes out.
    Finishing,
    Closed,
}

/// Where the bytes go.
enum Outlet {
    Socket(Socket),
    /// Taken from the queue by the response body of an emulated connection.
    Body,
}

/// The write half of one connection.
pub struct Link {
    outlet: Outlet,
    queue: RefCell<VecDeque<Bytes>>,
    queued_bytes: Cell<usize>,
    /// The same, over all links of the shard.
    queued_in_all: Level,
    queue_max_bytes: usize,
    front_is_torn: Cell<bool>,
    state: Cell<State>,
    waker: RefCell<Option<Waker>>,
}

impl Link {
    pub(super) fn to_socket(socket: Socket, queue_max_bytes: usize, queued_in_all: Level) -> Self {
        Self::new(Outlet::Socket(socket), queue_max_bytes, queued_in_all)
    }

    pub(super) fn to_body(queue_max_bytes: usize, queued_in_all: Level) -> Self {
        Self::new(Outlet::Body, queue_max_bytes, queued_in_all)
    }

    fn new(outlet: Outlet, queue_max_bytes: usize, queued_in_all: Level) -> Self {
        Self {
            outlet,
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
            queued_in_all,
            queue_max_bytes,
            front_is_torn: Cell::new(false),
            state: Cell::new(State::Open),
            waker: RefCell::new(None),
        }
    }

    /// Writes whole frames.
    pub fn write(&self, frames: &Bytes) -> Written {
        if self.state.get() != State::Open {
            return Written::Closed;
        }
        self.push(frames.clone())
    }

    /// Writes the last bytes of this connection; nothing can be written after them.
    pub fn finish(&self, last: Bytes, order: Last) {
        if self.state.get() != State::Open {
            return;
        }
        if order == Last::InsteadOfQueue {
            self.drop_queue();
        }
        if !last.is_empty() {
            // How far the goodbye got changes nothing: the task flushes it within its grace time.
            let _ = self.push(last);
        }
        if self.state.get() == State::Open {
            self.state.set(State::Finishing);
        }
        self.wake();
    }

    /// Bytes that wait.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes.get()
    }

    /// Whether more may be written.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state.get() == State::Open
    }

    /// Whether too much waits behind the write under way. That one may have any size: its reader had nothing before
    /// it, and a large recovery must not be what keeps a client from ever catching up.
    pub(super) fn is_over_limit(&self) -> bool {
        let first = self.queue.borrow().front().map_or(0, Bytes::len);
        self.queued_bytes.get() - first > self.queue_max_bytes
    }

    pub(super) fn socket(&self) -> Option<&Socket> {
        match &self.outlet {
            Outlet::Socket(socket) => Some(socket),
            Outlet::Body => None,
        }
    }

    /// Marks the connection as over and forgets what waits.
    pub(super) fn close(&self) {
        self.state.set(State::Closed);
        self.queue.take();
        self.note_queued(0);
        self.waker.take();
    }

    /// Remembers whom to wake when something begins to wait or the end comes.
    pub(super) fn register(&self, waker: &Waker) {
        let mut registered = self.waker.borrow_mut();
        match &mut *registered {
            Some(known) => known.clone_from(waker),
            None => *registered = Some(waker.clone()),
        }
    }

    /// Writes what waits, as far as the socket takes it. Ready when nothing waits any more.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Outlet::Socket(socket) = &self.outlet else {
            return Poll::Ready(Ok(()));
        };
        loop {
            match self.flush_once(socket) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match socket.poll_write_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        other => return other,
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Takes the next waiting bytes, for a response body. `Ready(None)` is the end.
    pub(super) fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(bytes) = self.queue.borrow_mut().pop_front() {
            self.note_queued(self.queued_bytes.get() - bytes.len());
            return Poll::Ready(Some(bytes));
        }
        if self.state.get() != State::Open {
            return Poll::Ready(None);
        }
        self.register(cx.waker());
        Poll::Pending
    }

    /// One write of what waits. `Ok(true)` when nothing is left.
    fn flush_once(&self, socket: &Socket) -> io::Result<bool> {
        let mut queue = self.queue.borrow_mut();
        if queue.is_empty() {
            if queue.capacity() > QUEUE_KEPT {
                *queue = VecDeque::new();
            }
            return match socket.try_flush() {
                Ok(true) => Ok(true),
                Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => Err(error),
            };
        }
        let mut slices = [IoSlice::new(&[]); VECTOR_MAX];
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(queue.iter()) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        let mut written = socket.try_write_vectored(&slices[..count])?;
        self.note_queued(self.queued_bytes.get() - written);
        while let Some(front) = queue.front_mut() {
            if written < front.len() {
                front.advance(written);
                if written > 0 {
                    self.front_is_torn.set(true);
                }
                break;
            }
            written -= front.len();
            queue.pop_front();
            self.front_is_torn.set(false);
        }
        Ok(false)
    }

    fn push(&self, mut bytes: Bytes) -> Written {
        let was_empty = self.queue.borrow().is_empty();
        if was_empty && let Outlet::Socket(socket) = &self.outlet {
            match socket.try_write(&bytes) {
                Ok(count) if count == bytes.len() => return Written::Sent,
                Ok(count) => {
                    bytes.advance(count);
                    self.front_is_torn.set(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    // The task meets the same error when it wakes, and reports it.
                    self.wake();
                    return Written::Closed;
                }
            }
        }
        self.note_queued(self.queued_bytes.get() + bytes.len());
        self.queue.borrow_mut().push_back(bytes);
        if was_empty {
            self.wake();
        }
        if self.is_over_limit() {
            return Written::Overflow;
        }
        Written::Queued
    }

    fn drop_queue(&self) {
        let mut queue = self.queue.borrow_mut();
        queue.truncate(usize::from(self.front_is_torn.get()));
        self.note_queued(queue.iter().map(Bytes::len).sum());
    }

    fn note_queued(&self, bytes: usize) {
        let before = self.queued_bytes.replace(bytes);
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.queued_in_all.add(signed(bytes) - signed(before));
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.note_queued(0);
    }
}
