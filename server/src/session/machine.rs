//! The session itself: what came in, what state it meets, what goes out.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::{Answer, Effect, Event, Settings, Ticket};
use crate::hub::Wire;

/// What a session is told of its connection when it begins.
#[derive(Debug, Clone)]
pub struct Link {
    /// How messages are written.
    pub wire: Wire,
    /// How pings are sent.
    pub ping: PingStyle,
    /// The connection's id, a fresh UUID; told to the client and seen by others.
    pub client: Box<str>,
    /// The secret by which an emulated connection's commands are matched; told to the client.
    pub emulation: Option<Box<str>>,
    /// A random number that spreads first pings.
    pub jitter: u32,
}

/// How a connection is kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PingStyle {
    /// Empty replies and commands of the protocol.
    Messages,
    /// Ping and pong frames of WebSocket (`cf_ws_frame_ping_pong`).
    Frames,
}

/// One connection's protocol state; see the [module](super) for the order of calls.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    effects: VecDeque<Effect>,
}

impl Session {
    /// A session that waits for its connect command.
    #[must_use]
    pub fn new(settings: Arc<Settings>, link: Link, now_ms: u64) -> Self {
        let _ = (link, now_ms);
        Self {
            settings,
            effects: VecDeque::new(),
        }
    }

    /// Takes what the client sent: the payload of one WebSocket message, HTTP body or emulation request.
    pub fn handle_frame(&mut self, frame: Bytes, now_ms: u64) {
        let _ = (frame, now_ms);
    }

    /// Whether more frames may come now. While not, the driver leaves them in the socket; what is handed in
    /// all the same counts against a bound that closes the connection.
    #[must_use]
    pub fn wants_frames(&self) -> bool {
        true
    }

    /// Takes a native WebSocket pong ([`PingStyle::Frames`]).
    pub fn handle_pong(&mut self, now_ms: u64) {
        let _ = now_ms;
    }

    /// Takes the answer to a question. Answers to questions that no longer matter are ignored.
    pub fn handle_answer(&mut self, ticket: Ticket, answer: Answer, now_ms: u64) {
        let _ = (ticket, answer, now_ms);
    }

    /// Takes what happened without the session's asking.
    pub fn handle_event(&mut self, event: Event, now_ms: u64) {
        let _ = (event, now_ms);
    }

    /// Does what is due at `now_ms`. Calling early or twice is harmless.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        let _ = now_ms;
    }

    /// When [`Session::handle_timeout`] wants to be called; `None` once closed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// The next thing to do, if any.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether [`Effect::Close`] was given out; nothing follows it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        false
    }
}
