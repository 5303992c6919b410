//! The connection to the server, of either kind, and which kind is tried first.

use std::{future::Future, io, pin::pin, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;

use crate::{
    config::Config,
    quic::{self, QuicStream},
    websocket::{self, WebSocket},
};

/// Largest frame that is read. All that was missed in a channel comes in one, by the server's defaults 300 publications of 64 KiB
/// or 19 MiB, and a connect's answer holds it for each channel the server subscribes. A client that cannot read it asks again for ever.
pub(crate) const FRAME_MAX_BYTES: usize = 64 << 20;

/// Close code of a connection that ended without one.
pub(crate) const ABNORMAL_CLOSURE: u32 = 1006;

/// By how much the kind that is tried first is ahead of the other. A handshake over QUIC is one round trip: most networks have answered
/// by then, and where UDP is dropped it is all that is lost (RFC 8305 gives addresses the same).
const HEAD_START: Duration = Duration::from_millis(250);

/// What came.
#[derive(Debug)]
pub(crate) enum Heard {
    /// One message or more.
    Frame(Bytes),
    /// Nothing more comes, for this reason.
    Closed(u32, String),
}

impl Heard {
    /// It ended without a word.
    pub(crate) fn lost() -> Self {
        Self::Closed(ABNORMAL_CLOSURE, "connection lost".to_owned())
    }
}

/// The kinds there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stream of a QUIC connection.
    Quic,
    /// A WebSocket.
    WebSocket,
}

/// A connection that stands.
pub(crate) enum Socket {
    Quic(Box<QuicStream>),
    WebSocket(Box<WebSocket>),
}

impl Socket {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Quic(_) => Kind::Quic,
            Self::WebSocket(_) => Kind::WebSocket,
        }
    }

    pub(crate) async fn next(&mut self) -> Heard {
        match self {
            Self::Quic(stream) => stream.next().await,
            Self::WebSocket(socket) => socket.next().await,
        }
    }

    pub(crate) async fn send(&mut self, frame: Bytes) -> io::Result<()> {
        match self {
            Self::Quic(stream) => stream.send(frame).await,
            Self::WebSocket(socket) => socket.send(frame).await,
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Quic(stream) => stream.close().await,
            Self::WebSocket(socket) => socket.close().await,
        }
    }
}

/// Opens a connection: of the one kind there is, or of two that race, `favourite` with a small head start.
pub(crate) async fn open(config: &Config, favourite: Kind) -> io::Result<Socket> {
    let over_websocket = async {
        let socket = websocket::dial(config).await.map_err(io::Error::other)?;
        Ok(Socket::WebSocket(Box::new(socket)))
    };
    let Some(quic) = &config.quic else {
        return over_websocket.await;
    };
    let over_quic = async { Ok(Socket::Quic(Box::new(quic::dial(quic).await?))) };
    match favourite {
        Kind::Quic => race(over_quic, over_websocket).await,
        Kind::WebSocket => race(over_websocket, over_quic).await,
    }
}

/// The first that opens. The second begins when the first has not opened in time, or has failed.
async fn race<T>(
    first: impl Future<Output = io::Result<T>>,
    second: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    match timeout(HEAD_START, &mut first).await {
        Ok(Ok(opened)) => return Ok(opened),
        Ok(Err(_)) => return second.await,
        Err(_) => {}
    }
    tokio::select! {
        opened = &mut first => match opened {
            Ok(opened) => Ok(opened),
            Err(_) => second.await,
        },
        opened = &mut second => match opened {
            Ok(opened) => Ok(opened),
            Err(_) => first.await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    async fn later<T>(wait: Duration, result: io::Result<T>) -> io::Result<T> {
        tokio::time::sleep(wait).await;
        result
    }

    fn refused() -> io::Result<Kind> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_has_a_head_start_and_no_more() {
        let quick = race(
            later(HEAD_START / 2, Ok(Kind::Quic)),
            ready(Ok(Kind::WebSocket)),
        );
        assert_eq!(quick.await.expect("one opens"), Kind::Quic);
        let slow = race(
            later(HEAD_START * 3, Ok(Kind::Quic)),
            later(HEAD_START, Ok(Kind::WebSocket)),
        );
        assert_eq!(slow.await.expect("one opens"), Kind::WebSocket);
        let deaf = race(pending(), ready(Ok(Kind::WebSocket)));
        assert_eq!(deaf.await.expect("one opens"), Kind::WebSocket);
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_is_left_when_one_fails() {
        let began = tokio::time::Instant::now();
        let refused_at_once = race(ready(refused()), ready(Ok(Kind::WebSocket)));
        assert_eq!(refused_at_once.await.expect("one opens"), Kind::WebSocket);
        assert!(began.elapsed() < HEAD_START, "nothing is waited for");
        let second_fails = race(later(HEAD_START * 2, Ok(Kind::Quic)), ready(refused()));
        assert_eq!(second_fails.await.expect("one opens"), Kind::Quic);
        let both = race(later(HEAD_START * 2, refused()), ready(refused()));
        assert!(both.await.is_err());
    }
}
