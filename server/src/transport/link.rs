//! The way out of one connection: straight to the socket while the kernel takes it, into a bounded
//! queue when not.
//!
//! Written to by the shard from anywhere on its thread, flushed by the connection's own task. The
//! queue never grows past its limit by more than one write: whoever fills it is told so
//! ([`Written::Overflow`]) and closes the connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};

use super::socket::Socket;
use crate::telemetry::Level;

/// Most buffers given to the kernel in one call: enough to make a call worth it, few enough to
/// build on the stack.
const VECTOR_MAX: usize = 64;
/// Most buffers given to a QUIC stream at once.
const CHUNKS_MAX: usize = 16;
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
    /// Taken from the queue by the response body of an emulated connection, or by the task of a QUIC stream.
    Taken,
}

/// A place in the figures, shared by all links that stand alike.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Bytes that wait.
    pub queued: Level,
    /// The same, as memory of the shard.
    pub memory: Level,
    /// Links with nothing waiting.
    pub quick: Level,
    /// Links with something waiting.
    pub lagging: Level,
}

impl Standing {
    fn links(&self, waits: bool) -> &Level {
        if waits { &self.lagging } else { &self.quick }
    }
}

/// The write half of one connection.
pub struct Link {
    outlet: Outlet,
    queue: RefCell<VecDeque<Bytes>>,
    queued_bytes: Cell<usize>,
    /// Its place in the figures.
    standing: RefCell<Rc<Standing>>,
    /// Whether it is counted there as a connection; its bytes always are.
    is_counted: Cell<bool>,
    queue_max_bytes: usize,
    front_is_torn: Cell<bool>,
    state: Cell<State>,
    close_code: Cell<u32>,
    waker: RefCell<Option<Waker>>,
    /// Whether its socket is not read because the shard has enough of its frames.
    is_paused: Cell<bool>,
}

impl Link {
    pub(super) fn to_socket(
        socket: Socket,
        queue_max_bytes: usize,
        standing: Rc<Standing>,
    ) -> Self {
        Self::new(Outlet::Socket(socket), queue_max_bytes, standing)
    }

    /// One whose bytes are taken from its queue.
    pub(super) fn to_taker(queue_max_bytes: usize, standing: Rc<Standing>) -> Self {
        Self::new(Outlet::Taken, queue_max_bytes, standing)
    }

    fn new(outlet: Outlet, queue_max_bytes: usize, standing: Rc<Standing>) -> Self {
        standing.quick.add(1);
        Self {
            outlet,
            queue: RefCell::default(),
            queued_bytes: Cell::new(0),
            standing: RefCell::new(standing),
            is_counted: Cell::new(true),
            queue_max_bytes,
            front_is_torn: Cell::new(false),
            state: Cell::new(State::Open),
            close_code: Cell::new(0),
            waker: RefCell::new(None),
            is_paused: Cell::new(false),
        }
    }

    /// The socket is not read until [`Link::resume`].
    pub(super) fn pause(&self) {
        self.is_paused.set(true);
    }

    /// Whether somebody should say [`Link::resume`] once there is room.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused.get()
    }

    /// More frames may come.
    pub fn resume(&self) {
        if self.is_paused.replace(false) {
            self.wake();
        }
    }

    /// Writes whole frames.
    pub fn write(&self, frames: &Bytes) -> Written {
        if self.state.get() != State::Open {
            return Written::Closed;
        }
        self.push(frames.clone())
    }

    /// With which code the connection is to end, where its transport has a place for one outside what is written.
    pub fn end_with(&self, code: u32) {
        self.close_code.set(code);
    }

    pub(super) fn close_code(&self) -> u32 {
        self.close_code.get()
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

    /// Stands elsewhere in the figures from now on.
    pub fn stand(&self, standing: &Rc<Standing>) {
        let bytes = signed(self.queued_bytes.get());
        let former = self.standing.replace(Rc::clone(standing));
        former.queued.add(-bytes);
        standing.queued.add(bytes);
        former.memory.add(-bytes);
        standing.memory.add(bytes);
        if self.is_counted.get() {
            former.links(bytes > 0).add(-1);
            standing.links(bytes > 0).add(1);
        }
    }

    /// Is no connection any more: what it still has to say is counted, itself no longer.
    pub fn leave(&self) {
        if self.is_counted.replace(false) {
            let waits = self.queued_bytes.get() > 0;
            self.standing.borrow().links(waits).add(-1);
        }
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
            Outlet::Taken => None,
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

    /// Gives what waits to `write` until nothing waits any more or it takes no more. It says how many bytes it took, and keeps them
    /// as they are.
    pub(super) fn poll_pass<E>(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut Context<'_>, &mut [Bytes]) -> Poll<Result<usize, E>>,
    ) -> Poll<Result<(), E>> {
        loop {
            let mut queue = self.queue.borrow_mut();
            let count = queue.len().min(CHUNKS_MAX);
            if count == 0 {
                if queue.capacity() > QUEUE_KEPT {
                    *queue = VecDeque::new();
                }
                return Poll::Ready(Ok(()));
            }
            let mut chunks: [Bytes; CHUNKS_MAX] = std::array::from_fn(|_| Bytes::new());
            chunks
                .iter_mut()
                .zip(queue.iter())
                .for_each(|(chunk, bytes)| chunk.clone_from(bytes));
            let written = std::task::ready!(write(cx, &mut chunks[..count]))?;
            self.advance(&mut queue, written);
        }
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
        let written = socket.try_write_vectored(&slices[..count])?;
        self.advance(&mut queue, written);
        Ok(false)
    }

    /// The first so many bytes are gone.
    fn advance(&self, queue: &mut VecDeque<Bytes>, mut written: usize) {
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
        if bytes == before {
            return;
        }
        let standing = self.standing.borrow();
        let more = signed(bytes) - signed(before);
        standing.queued.add(more);
        standing.memory.add(more);
        let (waited, waits) = (before > 0, bytes > 0);
        if waited != waits && self.is_counted.get() {
            standing.links(waited).add(-1);
            standing.links(waits).add(1);
        }
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
        self.leave();
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
