//! The driver around the machines: shard threads, their clock, and drain.
//!
//! A **shard** is one thread with its connections, its hub and its ledgers; what it owns no other
//! thread touches (`shard`). What happens to it from outside is one closed enum in a bounded queue
//! (`mailbox`); what its sessions want is carried out in `effects`, operations in `calls`; commits reach
//! its subscribers by `delivery`, behind changed rights (`entering`). Who comes first when there is too much, `admitting`
//! and `steering` carry out. What other nodes hear and are asked of this one's connections is `nodes`'. This room moves; it decides
//! nothing: rights are `people`'s, order is `ledger`'s, the protocol is `session`'s.
//!
//! Order of calls: [`Prepared::new`]; ledgers made with its spawner and outlet; [`Prepared::start`];
//! [`Node::serve`]; on SIGTERM [`Node::drain`], then [`Node::stop`], then the store is closed.

mod admitting;
mod calls;
mod connections;
mod control;
mod delivery;
mod doors;
mod drain;
mod effects;
mod entering;
mod errand;
mod mailbox;
mod node;
pub mod nodes;
mod positions;
mod publish;
mod shard;
mod sink;
mod standing;
mod steering;
mod streams;
mod tally;
#[cfg(test)]
mod tests;
mod uplink;
mod users;
mod wheel;

use std::sync::Arc;

pub use control::Control;
pub use mailbox::{Busy, ConnectionInfo, Counts, Judgement, Listing, Target};
pub use node::{Node, Prepared};
pub use publish::{Published, Publishing};

use crate::admission;
use crate::auth::TokenVerifier;
use crate::bus::Asks;
use crate::domain::Domain;
use crate::ledger::Clock;
use crate::session;
use crate::telemetry::{Meters, Telemetry};
use crate::transport;

/// What every shard works with. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Verifies connection tokens.
    pub tokens: Arc<dyn TokenVerifier>,
    /// Verifies subscription tokens; the same, unless configured apart.
    pub subscription_tokens: Arc<dyn TokenVerifier>,
    /// Operations and, below them, ledgers.
    pub domain: Domain,
    /// Options of sessions, with the namespaces.
    pub session: Arc<session::Settings>,
    /// How connects are let in.
    pub gate: admission::Rules,
    /// How late a shard may be before work is put off, in milliseconds; 0 never puts any off.
    pub lag_max_ms: u64,
    /// How busy the node is.
    pub load: Arc<admission::Load>,
    /// Options of sockets.
    pub transport: Arc<transport::Settings>,
    /// Answers every request that is no connection.
    pub edge: axum::Router,
    /// Where is counted.
    pub telemetry: Telemetry,
    /// For what happens seldom enough; each shard puts its own in place.
    pub meters: Meters,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How other nodes are asked and told.
    pub asks: Asks,
}
