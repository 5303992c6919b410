//! Bytes, frames and limits: from an open port to whole frames of the client protocol, and back.
//!
//! Sockets are accepted by one thread ([`listener`]), admitted or refused ([`admission`]) and
//! handed to a shard, where they stay for life. On the shard each speaks HTTP/1 first ([`serve()`]);
//! what asks for a WebSocket becomes one (`websocket`), what asks for a stream of events becomes
//! an emulated connection (`emulation`), and everything else goes to the HTTP edge.
//! What comes over UDP is served by each shard itself ([`quic`]).
//!
//! This room knows nothing of commands, sessions or schools: it hands frames to the [`Host`] port
//! and writes what it is given to a [`Link`].

pub mod admission;
mod body;
mod boundary;
mod emulation;
pub mod failing;
mod handshake;
mod host;
mod link;
pub mod listener;
mod origin;
pub mod quic;
mod scratch;
mod serve;
mod socket;
#[cfg(test)]
mod tests;
pub mod tls;
mod websocket;

pub use body::{ReplyBody, RequestBody, RequestBodyError};
pub use host::{
    Asked, Cause, Door, HandingOn, Host, LocalFuture, Opening, Reason, Resumed, Uplink,
};
pub use link::{Last, Link, Standing, Written};
pub use origin::{Origins, PatternError};
pub use serve::{Incoming, Settings, serve};
pub use websocket::{Kind, close_frame, frame};
