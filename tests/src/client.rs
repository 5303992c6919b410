//! The JSON protocol by hand over a raw WebSocket: commands out, replies and pushes in.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::raw::{Event, Frame, PATIENCE, Raw, opcode};

/// A connection that speaks JSON and answers pings.
pub struct Client {
    raw: Raw,
    next_id: u64,
    arrived: VecDeque<Value>,
    closed: Option<u16>,
}

impl Client {
    /// Connects with a token and waits for the answer.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn connect(address: SocketAddr, token: &str) -> Result<Self> {
        Ok(Self::connect_with(address, &json!({"token": token}))?.0)
    }

    /// Connects with any connect request; returns also the connect result.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn connect_with(address: SocketAddr, request: &Value) -> Result<(Self, Value)> {
        let mut client = Self::over(Raw::open(address)?);
        let mut reply = client.call("connect", request)?;
        ensure!(reply.get("error").is_none(), "connect: {reply}");
        Ok((client, reply["connect"].take()))
    }

    /// Takes a WebSocket on which nothing was said yet.
    #[must_use]
    pub fn over(raw: Raw) -> Self {
        Self {
            raw,
            next_id: 0,
            arrived: VecDeque::new(),
            closed: None,
        }
    }

    /// The WebSocket under it.
    pub fn raw(&mut self) -> &mut Raw {
        &mut self.raw
    }

    /// Sends a command and waits for its reply; pushes that come meanwhile are kept.
    ///
    /// # Errors
    /// When the connection ends first.
    pub fn call(&mut self, method: &str, request: &Value) -> Result<Value> {
        let id = self.send(method, request)?;
        self.reply(id)
    }

    /// Sends a command without waiting; returns its number.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, method: &str, request: &Value) -> Result<u64> {
        self.next_id += 1;
        let command = json!({"id": self.next_id, method: request});
        self.raw.send(&Frame::text(command.to_string()))?;
        Ok(self.next_id)
    }

    /// Waits for the reply to a command.
    ///
    /// # Errors
    /// When the connection ends first.
    pub fn reply(&mut self, id: u64) -> Result<Value> {
        self.take(PATIENCE, |message| message["id"] == id)?
            .with_context(|| format!("no reply to command {id} (closed: {:?})", self.closed))
    }

    /// The next push of a channel: a publication, a join, an unsubscribe and so on.
    ///
    /// # Errors
    /// When none comes.
    pub fn push(&mut self, channel: &str) -> Result<Value> {
        let mut message = self
            .take(PATIENCE, |message| message["push"]["channel"] == channel)?
            .with_context(|| format!("no push on {channel} (closed: {:?})", self.closed))?;
        Ok(message["push"].take())
    }

    /// A call that must succeed; returns the result.
    ///
    /// # Errors
    /// When the reply is an error.
    pub fn must(&mut self, method: &str, request: &Value) -> Result<Value> {
        let mut reply = self.call(method, request)?;
        ensure!(reply.get("error").is_none(), "{method}: {reply}");
        Ok(reply[method].take())
    }

    /// A call that must fail; returns the error code.
    ///
    /// # Errors
    /// When the reply is no error.
    pub fn refused(&mut self, method: &str, request: &Value) -> Result<u64> {
        let reply = self.call(method, request)?;
        reply["error"]["code"]
            .as_u64()
            .with_context(|| format!("{method} was not refused: {reply}"))
    }

    /// Waits for the server to close, and returns the code.
    ///
    /// # Errors
    /// When it does not.
    pub fn close_code(&mut self) -> Result<u16> {
        let deadline = Instant::now() + PATIENCE;
        while self.closed.is_none() && Instant::now() < deadline {
            self.read(deadline)?;
        }
        self.closed.context("the server did not close")
    }

    /// The code it was closed with, as far as was read.
    #[must_use]
    pub const fn closed(&self) -> Option<u16> {
        self.closed
    }

    /// Whether nothing (but pings) comes within a time; the round trip of a call is the proof, not the time.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn has_nothing(&mut self) -> Result<bool> {
        // Whatever was on its way before this reply has arrived with it.
        let id = self.send("rpc", &json!({"method": "no.such.method"}))?;
        self.reply(id)?;
        Ok(self.arrived.is_empty())
    }

    /// Everything that arrived and was not asked for, until now.
    #[must_use]
    pub fn arrived(&mut self) -> Vec<Value> {
        self.arrived.drain(..).collect()
    }

    /// The first message that fits, from those kept or those to come within the time.
    ///
    /// # Errors
    /// When the server sends what is not JSON.
    pub fn take(
        &mut self,
        patience: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Option<Value>> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(at) = self.arrived.iter().position(&fits) {
                return Ok(self.arrived.remove(at));
            }
            if self.closed.is_some() || Instant::now() >= deadline {
                return Ok(None);
            }
            self.read(deadline)?;
        }
    }

    fn read(&mut self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.raw.next(left)? {
            Event::Frame(frame) if frame.opcode == opcode::TEXT => {
                for line in String::from_utf8(frame.payload)?.lines() {
                    self.take_in(line)?;
                }
            }
            Event::Frame(frame) if frame.opcode == opcode::CLOSE => {
                self.closed = Some(frame.close_code().unwrap_or(1005));
            }
            Event::Frame(frame) if frame.opcode == opcode::PONG => {}
            Event::Frame(frame) => bail!("an unexpected frame: {frame:?}"),
            // 1006 is what clients call an end without a close frame.
            Event::End => self.closed = Some(self.closed.unwrap_or(1006)),
            Event::Silence => {}
        }
        Ok(())
    }

    fn take_in(&mut self, line: &str) -> Result<()> {
        let message: Value =
            serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        if message == json!({}) {
            self.raw.send(&Frame::text("{}"))?;
        } else {
            self.arrived.push_back(message);
        }
        Ok(())
    }
}
