//! A raw client that has connected and subscribed, so that what it publishes comes back to it.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use klokke_tests::{
    raw::{Event, Frame, PATIENCE, Raw, opcode},
    server::Server,
    token,
};
use serde_json::{Value, json};

/// Close code: a framing rule was broken.
pub(crate) const PROTOCOL_ERROR: u16 = 1002;
/// Close code: text that is not UTF-8.
pub(crate) const NOT_UTF8: u16 = 1007;
/// Close code: too large.
pub(crate) const TOO_BIG: u16 = 1009;
/// Disconnect code of the protocol: the frame was sound, its content was not a command.
pub(crate) const BAD_REQUEST: u16 = 3501;

/// A connection whose own channel gives back what it publishes.
pub(crate) struct Peer {
    raw: Raw,
    channel: String,
    /// Messages that came while something else was waited for.
    arrived: VecDeque<Value>,
    next_id: u32,
}

impl Peer {
    /// Connects and subscribes to a channel of its own.
    pub(crate) fn new(server: &Server) -> Result<Self> {
        static CHANNELS: AtomicU32 = AtomicU32::new(0);
        let channel = format!("open:{}", CHANNELS.fetch_add(1, Ordering::Relaxed));
        let mut peer = Self {
            raw: Raw::open(server.address())?,
            channel,
            arrived: VecDeque::new(),
            next_id: 2,
        };
        let commands = format!(
            "{}\n{}",
            json!({"id": 1, "connect": {"token": token::of("conformance")}}),
            json!({"id": 2, "subscribe": {"channel": peer.channel}}),
        );
        peer.send(&Frame::text(commands))?;
        peer.message(|message| message["id"] == 2 && message.get("subscribe").is_some())?;
        Ok(peer)
    }

    /// A publish command with the data as it stands; whole message and the number it has.
    pub(crate) fn publish(&mut self, data: &[u8]) -> Vec<u8> {
        self.next_id += 1;
        let head = format!(
            "{{\"id\":{},\"publish\":{{\"channel\":\"{}\",\"data\":\"",
            self.next_id, self.channel
        );
        [head.as_bytes(), data, b"\"}}"].concat()
    }

    /// A publish command of exactly so many bytes, and the text in it.
    pub(crate) fn publish_sized(&mut self, bytes: usize) -> Result<(Vec<u8>, String)> {
        let around = self.publish(b"").len();
        self.next_id -= 1;
        let text = "*".repeat(
            bytes
                .checked_sub(around)
                .context("too small for a command")?,
        );
        let message = self.publish(text.as_bytes());
        ensure!(message.len() == bytes, "the case miscounted");
        Ok((message, text))
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, frame: &Frame) -> Result<()> {
        self.raw.send(frame)
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.raw.send_bytes(bytes)
    }

    /// Sends a frame in pieces.
    pub(crate) fn send_chopped(&mut self, frame: &Frame, piece: usize) -> Result<()> {
        self.raw.send_chopped(&frame.masked(), piece)
    }

    /// The text must come back, and the command must be answered.
    pub(crate) fn expect_echo(&mut self, text: &str) -> Result<()> {
        let channel = self.channel.clone();
        let push = self.message(|message| message["push"]["channel"] == channel.as_str())?;
        ensure!(
            push["push"]["pub"]["data"] == text,
            "another text came back (of {} bytes)",
            push["push"]["pub"]["data"].as_str().map_or(0, str::len)
        );
        let id = self.next_id;
        let reply = self.message(|message| message["id"] == id)?;
        ensure!(
            reply.get("publish").is_some(),
            "the publish was refused: {reply}"
        );
        Ok(())
    }

    /// Publishes a short text and expects it back: the connection is well.
    pub(crate) fn expect_well(&mut self) -> Result<()> {
        let message = self.publish(b"still here");
        self.send(&Frame::text(message))?;
        self.expect_echo("still here")
            .context("the connection is not well any more")
    }

    /// A pong with this payload must be the next control frame.
    pub(crate) fn expect_pong(&mut self, payload: &[u8]) -> Result<()> {
        loop {
            match self.raw.next(PATIENCE)? {
                Event::Frame(frame) if frame.opcode == opcode::PONG => {
                    ensure!(frame.payload == payload, "another pong: {frame:?}");
                    ensure!(frame.fin, "a fragmented pong");
                    return Ok(());
                }
                Event::Frame(frame) if frame.opcode == opcode::TEXT => self.take_in(&frame)?,
                other => bail!("instead of a pong: {other:?}"),
            }
        }
    }

    /// The server must close with this code and, once answered, close the TCP connection.
    pub(crate) fn expect_close(&mut self, code: u16) -> Result<()> {
        self.expect_close_of(&[code])
    }

    /// The same, where the standard leaves the choice.
    pub(crate) fn expect_close_of(&mut self, codes: &[u16]) -> Result<()> {
        let seen = self.close_frame()?;
        let code = seen.close_code();
        ensure!(
            code.is_some_and(|code| codes.contains(&code)),
            "closed with {code:?} instead of {codes:?}"
        );
        // The server may have stopped listening for our answer already.
        let _ = self.raw.send(&seen);
        self.expect_end()
    }

    /// The next close frame.
    pub(crate) fn close_frame(&mut self) -> Result<Frame> {
        loop {
            match self.raw.next(PATIENCE)? {
                Event::Frame(frame) if frame.opcode == opcode::CLOSE => return Ok(frame),
                Event::Frame(frame) if frame.opcode == opcode::TEXT => self.take_in(&frame)?,
                other => bail!("instead of a close frame: {other:?}"),
            }
        }
    }

    /// Nothing more may come but the end.
    pub(crate) fn expect_end(&mut self) -> Result<()> {
        // When the server already waits for our end, this is it; when it has closed, it is too late to matter.
        let _ = self.raw.finish();
        match self.raw.next(PATIENCE)? {
            Event::End => Ok(()),
            other => bail!("instead of the end of the connection: {other:?}"),
        }
    }

    /// Nothing may come for a moment.
    pub(crate) fn expect_silence(&mut self) -> Result<()> {
        const MOMENT: Duration = Duration::from_millis(100);
        match self.raw.next(MOMENT)? {
            Event::Silence => Ok(()),
            other => bail!("instead of silence: {other:?}"),
        }
    }

    fn message(&mut self, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            if let Some(at) = self.arrived.iter().position(&fits) {
                return self.arrived.remove(at).context("it was just there");
            }
            match self.raw.next(PATIENCE)? {
                Event::Frame(frame) if frame.opcode == opcode::TEXT => self.take_in(&frame)?,
                Event::Frame(frame) if frame.opcode == opcode::CLOSE => {
                    bail!("closed with {:?}", frame.close_code())
                }
                other => bail!("instead of a message: {other:?}"),
            }
        }
    }

    fn take_in(&mut self, frame: &Frame) -> Result<()> {
        ensure!(
            frame.fin && frame.rsv == 0,
            "the server sent an odd frame: {frame:?}"
        );
        for line in std::str::from_utf8(&frame.payload)?.lines() {
            self.arrived.push_back(serde_json::from_str(line)?);
        }
        Ok(())
    }
}
