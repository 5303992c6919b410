//! Klokke's server, as a library: every room of the house, and the binary beside it.

pub mod auth;
pub mod ledger;
pub mod store;
