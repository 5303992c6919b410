//! What people do with Klokke: operations, each declared once and served by every door.
//!
//! An [`Operation`] is a function over a view of one unit's ledger: it checks rights, reads records and stages
//! changes. Its declaration carries name, REST door, rights, errors and the schemas of input and output, so that the
//! sockets' RPC, REST under `/v1`, its OpenAPI description and the command line need nothing more. All of them are in
//! one list, [`registry`]. How to add one: `docs/adding-an-operation.md`.
//!
//! This room knows people and the ledger. It knows nothing of sockets, HTTP or tokens: doors hand in a [`Caller`]
//! and bytes, through [`Domain::call`], and get bytes or an [`OperationError`].
//!
//! Invariants: content that leaves an operation was measured by `people`; an error carries a code and a message key,
//! never content; an operation's effects are what it staged, nothing else.

mod badge;
mod bounded;
mod context;
mod counts;
mod dispatch;
mod errand;
pub mod error;
pub mod notifications;
mod operation;
pub mod page;
pub mod posts;
pub mod registry;
mod retry_key;
mod roles;
pub mod routing;
pub mod sessions;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod threads;
pub mod units;

pub use context::{Caller, Context, Door};
pub use dispatch::{Answer, Domain, OperationError, OutboxDoor, Request};
pub use errand::{is_key_of_a_node, key_of_this_node};
pub use operation::{
    Declaration, Declared, Degraded, Empty, Importance, Kind, Method, Missing, Operation, Prepared,
    Rest, Target,
};
pub use retry_key::{NoRetryKey, RETRY_KEY_LENGTH_MAX, RetryKey};
