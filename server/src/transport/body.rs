//! The body of an answer: nothing, some bytes, an emulated connection, or whatever the edge made.

use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::admission::Charge;
use super::host::{Cause, Host};
use super::link::Link;
use crate::hub::ConnKey;

/// Bytes a second that a body may take longer for: a phone on the edge of its network sends more.
const PACE_BYTES: u64 = 32 * 1024;

/// The body of a request, which must be there within a time, and a large one at a pace after that:
/// a client that sends a byte a minute would else hold its place for ever.
pub struct RequestBody {
    body: Incoming,
    deadline: Instant,
    /// Made when something is waited for: nearly every body is there at once.
    timer: Option<Pin<Box<Sleep>>>,
    late: Arc<AtomicBool>,
}

/// Why a request's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// It took too long.
    #[error("the request's body did not come in time")]
    Late,
    /// The socket or the framing broke.
    #[error("the request's body broke off")]
    Broken(#[source] hyper::Error),
}

impl RequestBody {
    pub(super) fn new(body: Incoming, patience: Duration) -> Self {
        Self {
            body,
            deadline: Instant::now() + patience,
            timer: None,
            late: Arc::default(),
        }
    }

    /// Tells afterwards whether it came too late.
    pub(super) fn lateness(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.late)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            let frame = frame.map(|frame| frame.map_err(RequestBodyError::Broken));
            if let Some(Ok(frame)) = &frame {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.deadline += Duration::from_micros(bytes * 1_000_000 / PACE_BYTES);
            }
            return Poll::Ready(frame);
        }
        let deadline = this.deadline;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() < deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).map(|()| {
            this.late.store(true, Ordering::Relaxed);
            Some(Err(RequestBodyError::Late))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer of this server.
pub enum ReplyBody<H: Host> {
    /// A whole body, possibly empty; `None` once it is sent.
    Whole(Option<Bytes>),
    /// The down side of an emulated connection.
    Stream(StreamBody<H>),
    /// What the edge made.
    Edge(axum::body::Body),
}

/// The never-ending body of an emulated connection. Dropped when the client goes away, which is
/// how that is noticed.
pub struct StreamBody<H: Host> {
    pub(super) link: Rc<Link>,
    pub(super) host: Rc<H>,
    pub(super) id: ConnKey,
    /// Its place on the account of who is behind a proxy.
    pub(super) _charge: Option<Charge>,
}

impl<H: Host> Drop for StreamBody<H> {
    fn drop(&mut self) {
        if self.link.is_open() {
            self.link.close();
            self.host.closed(self.id, Cause::Client);
        }
    }
}

impl<H: Host> Body for ReplyBody<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => stream
                .link
                .poll_take(cx)
                .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Edge(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(_) => false,
            Self::Edge(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Stream(_) => SizeHint::default(),
            Self::Edge(body) => body.size_hint(),
        }
    }
}
