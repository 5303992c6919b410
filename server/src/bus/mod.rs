//! The bus: hints that travel fast between the nodes of a cluster, never the truth.
//!
//! What is told here may be lost, come twice, late or in another order; whoever hears it decides by number and hash, and by the store.
//! So the bus may be away: live delivery between nodes then takes as long as [`follow`] takes to look at the store, nothing is lost,
//! nothing comes twice, and writing goes on. This room knows ledgers and their positions, and nothing of people or operations.

mod asks;
mod desk;
mod follow;
mod herald;
pub mod kind;
mod mark;
mod members;
mod nats;
mod parts;
pub mod queue;
mod wire;

#[cfg(test)]
mod asks_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use asks::{Answering, AskError, Asks, Question, Refused};
pub use desk::{ANSWERING_BYTES_MAX, ANSWERING_MAX, ASKED_MAX};
pub use follow::{Pace, follow};
pub use herald::BusHerald;
pub use members::{Change, Member, Members, NodeId, Shared};
pub use nats::{NatsError, NatsSettings, nats};
pub use parts::ANSWER_BYTES_MAX;
pub use wire::{Answer, Asked, FORMAT, Hello, Message, Position, Undecodable};

/// Largest message told. NATS refuses more than a megabyte unless told otherwise; what is larger is only named, and read from the store.
pub const MESSAGE_BYTES_MAX: usize = 512 * 1024;

/// Messages that may wait to be handed to the bus: a few commits of a hundred kilobytes, or some tenths of a second of a node that publishes
/// to channels without history as fast as it can. A bus that is further behind is as good as away.
pub const OUTGOING_MAX: usize = 16_384;

/// Messages heard that may wait to be looked at; some tenths of a second of a busy cluster.
pub const INCOMING_MAX: usize = 16_384;

/// What those may be together, in bytes: more than an answer in parts, so that one does not push itself out.
pub const INCOMING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The same of what waits to be handed to the bus.
pub const OUTGOING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The way to all other nodes.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Tells all other nodes. Never waits; false when it was dropped because the bus is away or behind.
    fn tell(&self, message: Bytes) -> bool;

    /// Tells one other node, as [`Bus::tell`] does. A bus that cannot tell one alone tells all: whom the message is not for passes over it.
    fn tell_one(&self, node: NodeId, message: Bytes) -> bool {
        let _ = node;
        self.tell(message)
    }
    /// Waits until what was told has left this node; for one that goes.
    async fn told(&self) {}
}

/// What comes from the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Another node told something.
    Message(Bytes),
    /// The bus is there (again): what was told meanwhile is unknown.
    Up,
    /// The bus is away.
    Down,
    /// It told more than was taken: something is missing.
    Behind,
    /// Somebody told something about another store: another cluster uses the same name on this bus.
    Stranger,
}

/// A bus and what comes from it.
pub type Connected = (Arc<dyn Bus>, queue::Receiver<Incoming>);

/// No bus: nobody is told and nobody heard, and what other nodes write is read from the store.
#[must_use]
pub fn nowhere() -> Connected {
    struct Nowhere(
        #[expect(dead_code, reason = "as long as it is there, the bus has not ended")]
        queue::Sender<Incoming>,
    );

    impl Bus for Nowhere {
        fn tell(&self, _: Bytes) -> bool {
            false
        }
    }

    let (tell, incoming) = queue::incoming();
    (Arc::new(Nowhere(tell)), incoming)
}
