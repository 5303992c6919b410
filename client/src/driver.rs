//! The tokio side of a client: a socket, a clock and a caller around one [`Session`].
//!
//! One task owns the session; it ends when the last [`Client`] is dropped or the event reader is gone.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use klokke_protocol::{HistoryRequest, HistoryResult, PresenceResult, PresenceStatsResult};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    config::Config,
    event::{Answer, Event, Refusal},
    session::{Output, Session, Ticket},
    socket::{self, ABNORMAL_CLOSURE, Heard, Kind, Socket},
};

/// Orders that may wait for the task; the caller waits when it is full.
const ORDERS_MAX: usize = 256;

/// Events that may wait for the application. A slow application slows its own socket, and the server notices.
const EVENTS_MAX: usize = 1024;

/// How long a goodbye may take.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Events, in the order they happened.
pub type Events = mpsc::Receiver<Event>;

/// Why a call brought nothing.
pub type CallError = Refusal;

/// A running client. Cheap to clone; all clones are the same client.
#[derive(Clone, Debug)]
pub struct Client {
    orders: mpsc::Sender<Order>,
}

/// What the application wants of the task.
#[derive(Debug)]
enum Order {
    Subscribe {
        channel: String,
        token: String,
        delta: bool,
    },
    Unsubscribe(String),
    Token(String),
    SubscriptionToken(String, String),
    Send(Bytes),
    Call(Call, oneshot::Sender<Result<Answer, Refusal>>),
    Disconnect,
}

#[derive(Debug)]
enum Call {
    Publish(String, Bytes),
    Rpc(String, Bytes),
    History(HistoryRequest),
    Presence(String),
    PresenceStats(String),
}

impl Client {
    /// Starts a client on the current tokio runtime; it connects at once.
    pub fn start(mut config: Config) -> (Self, Events) {
        if config.quic.is_some() {
            // One codec for whatever socket it comes to.
            config.codec = klokke_protocol::Codec::Protobuf;
        }
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let (events, outbox) = mpsc::channel(EVENTS_MAX);
        let driver = Driver {
            session: Session::new(config.clone()),
            config,
            began: Instant::now(),
            events,
            calls: HashMap::new(),
            socket: None,
            favourite: Kind::Quic,
        };
        tokio::spawn(driver.run(inbox));
        (Self { orders }, outbox)
    }

    /// Reads a channel from now on.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn subscribe(&self, channel: &str) -> Result<(), CallError> {
        self.subscribe_with(channel, "", false).await
    }

    /// Reads a channel with a subscription token (or none, when empty), and with deltas when wanted.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn subscribe_with(
        &self,
        channel: &str,
        token: &str,
        delta: bool,
    ) -> Result<(), CallError> {
        let (channel, token) = (channel.to_owned(), token.to_owned());
        self.order(Order::Subscribe {
            channel,
            token,
            delta,
        })
        .await
    }

    /// Reads a channel no more.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn unsubscribe(&self, channel: &str) -> Result<(), CallError> {
        self.order(Order::Unsubscribe(channel.to_owned())).await
    }

    /// Gives a newer connection token, asked for by [`Event::TokenNeeded`] or not.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn set_token(&self, token: &str) -> Result<(), CallError> {
        self.order(Order::Token(token.to_owned())).await
    }

    /// Gives a newer subscription token.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn set_subscription_token(
        &self,
        channel: &str,
        token: &str,
    ) -> Result<(), CallError> {
        self.order(Order::SubscriptionToken(
            channel.to_owned(),
            token.to_owned(),
        ))
        .await
    }

    /// Publishes into a channel; returns once the server acknowledged it.
    ///
    /// # Errors
    /// The server's refusal, or no answer.
    pub async fn publish(&self, channel: &str, data: impl Into<Bytes>) -> Result<(), CallError> {
        self.call(Call::Publish(channel.to_owned(), data.into()))
            .await
            .map(drop)
    }

    /// Calls an operation and returns its output.
    ///
    /// # Errors
    /// The server's refusal, or no answer.
    pub async fn rpc(&self, method: &str, data: impl Into<Bytes>) -> Result<Bytes, CallError> {
        match self.call(Call::Rpc(method.to_owned(), data.into())).await? {
            Answer::Rpc(result) => Ok(result.data),
            _ => Err(Refusal::ConnectionLost),
        }
    }

    /// What was published before.
    ///
    /// # Errors
    /// The server's refusal, or no answer.
    pub async fn history(&self, request: HistoryRequest) -> Result<HistoryResult, CallError> {
        match self.call(Call::History(request)).await? {
            Answer::History(result) => Ok(result),
            _ => Err(Refusal::ConnectionLost),
        }
    }

    /// Who is in a channel.
    ///
    /// # Errors
    /// The server's refusal, or no answer.
    pub async fn presence(&self, channel: &str) -> Result<PresenceResult, CallError> {
        match self.call(Call::Presence(channel.to_owned())).await? {
            Answer::Presence(result) => Ok(result),
            _ => Err(Refusal::ConnectionLost),
        }
    }

    /// How many are in a channel.
    ///
    /// # Errors
    /// The server's refusal, or no answer.
    pub async fn presence_stats(&self, channel: &str) -> Result<PresenceStatsResult, CallError> {
        match self.call(Call::PresenceStats(channel.to_owned())).await? {
            Answer::PresenceStats(result) => Ok(result),
            _ => Err(Refusal::ConnectionLost),
        }
    }

    /// Sends a message that has no answer.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn send(&self, data: impl Into<Bytes>) -> Result<(), CallError> {
        self.order(Order::Send(data.into())).await
    }

    /// Ends the connection; the events end with [`Event::Disconnected`].
    ///
    /// # Errors
    /// The client has ended already.
    pub async fn disconnect(&self) -> Result<(), CallError> {
        self.order(Order::Disconnect).await
    }

    async fn order(&self, order: Order) -> Result<(), CallError> {
        self.orders.send(order).await.map_err(|_| Refusal::Ended)
    }

    async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let (answer, wait) = oneshot::channel();
        self.order(Order::Call(call, answer)).await?;
        wait.await.unwrap_or(Err(Refusal::Ended))
    }
}

struct Driver {
    session: Session,
    config: Config,
    began: Instant,
    events: mpsc::Sender<Event>,
    calls: HashMap<Ticket, oneshot::Sender<Result<Answer, Refusal>>>,
    socket: Option<Socket>,
    /// What stood last, and is tried first.
    favourite: Kind,
}

/// What woke the task.
enum Wake {
    Order(Option<Order>),
    Heard(Heard),
    Deadline,
}

impl Driver {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        self.session.connect();
        while self.flush().await {
            let deadline = self.session.next_deadline().map(|at| self.began + at);
            let wake = tokio::select! {
                order = orders.recv() => Wake::Order(order),
                heard = next(&mut self.socket) => Wake::Heard(heard),
                () = sleep_until(deadline) => Wake::Deadline,
            };
            let now = self.began.elapsed();
            match wake {
                Wake::Order(Some(Order::Disconnect) | None) => {
                    self.session.disconnect();
                    self.flush().await;
                    return;
                }
                Wake::Order(Some(order)) => self.on_order(order, now),
                Wake::Heard(heard) => self.on_heard(heard, now),
                Wake::Deadline => self.session.handle_timeout(now, rand::random()),
            }
        }
    }

    fn on_order(&mut self, order: Order, now: Duration) {
        match order {
            Order::Subscribe {
                channel,
                token,
                delta,
            } => {
                self.session.subscribe_with(&channel, &token, delta, now);
            }
            Order::Unsubscribe(channel) => self.session.unsubscribe(&channel, now),
            Order::Token(token) => self.session.set_token(&token, now),
            Order::SubscriptionToken(channel, token) => {
                self.session.set_subscription_token(&channel, &token, now);
            }
            Order::Send(data) => self.session.send(data),
            Order::Disconnect => self.session.disconnect(),
            Order::Call(call, answer) => {
                let ticket = match call {
                    Call::Publish(channel, data) => self.session.publish(&channel, data, now),
                    Call::Rpc(method, data) => self.session.rpc(&method, data, now),
                    Call::History(request) => self.session.history(request, now),
                    Call::Presence(channel) => self.session.presence(&channel, now),
                    Call::PresenceStats(channel) => self.session.presence_stats(&channel, now),
                };
                self.calls.insert(ticket, answer);
            }
        }
    }

    fn on_heard(&mut self, heard: Heard, now: Duration) {
        let chance = rand::random();
        match heard {
            Heard::Frame(frame) => self.session.handle_frame(&frame, now, chance),
            Heard::Closed(code, reason) => {
                self.socket = None;
                self.session.handle_closed(code, &reason, now, chance);
            }
        }
    }

    /// Carries out all that the session wants; `false` once nobody listens any more.
    async fn flush(&mut self) -> bool {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Open => self.open().await,
                Output::Send(frame) => self.send(frame).await,
                Output::Close => {
                    if let Some(socket) = self.socket.take() {
                        let _ = tokio::time::timeout(GOODBYE_MAX, socket.close()).await; // Or it is just gone.
                    }
                }
                Output::Event(event) => {
                    if self.events.send(event).await.is_err() {
                        return false;
                    }
                }
                Output::Answered(ticket, result) => {
                    if let Some(answer) = self.calls.remove(&ticket) {
                        // The caller may have stopped waiting.
                        let _ = answer.send(result);
                    }
                }
            }
        }
        true
    }

    async fn open(&mut self) {
        let opening = socket::open(&self.config, self.favourite);
        let opened = tokio::time::timeout(self.config.answer_timeout, opening).await;
        let now = self.began.elapsed();
        match opened {
            Ok(Ok(socket)) => {
                self.favourite = socket.kind();
                self.socket = Some(socket);
                self.session.handle_opened(now);
            }
            Ok(Err(_)) | Err(_) => {
                self.session
                    .handle_closed(ABNORMAL_CLOSURE, "cannot connect", now, rand::random());
            }
        }
    }

    async fn send(&mut self, frame: Bytes) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        if socket.send(frame).await.is_err() {
            self.socket = None;
            let now = self.began.elapsed();
            self.session
                .handle_closed(ABNORMAL_CLOSURE, "cannot write", now, rand::random());
        }
    }
}

async fn next(socket: &mut Option<Socket>) -> Heard {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::net::TcpListener;
    use tokio_tungstenite::tungstenite::{
        Message,
        handshake::server::{Request, Response},
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
    };

    use super::*;

    /// The server says all that was missed in one frame, and a client that cannot read it would ask for it for ever.
    #[tokio::test]
    async fn a_recovery_as_large_as_the_server_gives_is_read() {
        const PUBLICATIONS: usize = 300;
        const PAYLOAD_BYTES: usize = 65_000;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a client");
            #[allow(clippy::result_large_err)] // The library's own type.
            let agree = |_: &Request, mut response: Response| {
                let protocol = HeaderValue::from_static("centrifuge-json");
                let headers = response.headers_mut();
                headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
                Ok(response)
            };
            let accepted = tokio_tungstenite::accept_hdr_async(stream, agree).await;
            let mut socket = accepted.expect("a WebSocket");
            socket.next().await.expect("a command").expect("whole");
            let data = "x".repeat(PAYLOAD_BYTES);
            let missed: Vec<_> = (1..=PUBLICATIONS)
                .map(|offset| serde_json::json!({"data": data, "offset": offset}))
                .collect();
            let subscription = serde_json::json!({"recoverable": true, "recovered": true, "was_recovering": true, "epoch": "e",
                "publications": missed});
            let reply = serde_json::json!({"id": 1, "connect": {"client": "c", "subs": {"s": subscription}}});
            socket
                .send(Message::text(reply.to_string()))
                .await
                .expect("the client reads");
            socket
        });
        let (_client, mut events) = Client::start(Config::new(format!("ws://{address}")));
        let mut heard = 0;
        while heard < PUBLICATIONS {
            match events.recv().await.expect("the client goes on") {
                Event::Publication { .. } => heard += 1,
                Event::Connecting { code, reason } => assert_eq!(code, 0, "{reason}"),
                _ => {}
            }
        }
        drop(server.await.expect("it wrote all"));
    }
}
