//! Rust SDK for Klokke and every server that speaks the Centrifugal protocol.
//!
//! [`session`] is the client's state machine: no socket, no clock, no randomness; [`driver`] gives it a WebSocket or a
//! stream over QUIC, a clock and a caller. Reconnects spread themselves, subscriptions come back by themselves, and what was missed is
//! asked for by position, so that an application sees each publication of a recoverable channel once and in order.
//!
//! ```no_run
//! use klokke_client::{Client, Config, Event};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config { token: "a connection token".to_owned(), ..Config::new("ws://127.0.0.1:8000/connection/websocket") };
//! let (client, mut events) = Client::start(config);
//! client.subscribe("news").await?;
//! client.publish("news", r#"{"text":"hello"}"#).await?;
//! while let Some(event) = events.recv().await {
//!     if let Event::Publication { channel, publication } = event {
//!         println!("{channel}: {} bytes", publication.data.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod backoff;
mod config;
pub mod driver;
mod event;
mod quic;
pub mod session;
mod socket;
mod subscription;
mod websocket;

pub use config::Config;
pub use driver::{CallError, Client, Events};
pub use event::{Answer, Event, Refusal};
pub use quic::Quic;
pub use session::Session;
