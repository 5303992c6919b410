//! The body of an answer: nothing, some bytes, an emulated connection, or whatever the edge made.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::host::{Cause, Host};
use super::link::Link;
use crate::hub::ConnKey;

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
