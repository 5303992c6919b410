//! Klokke's server: the communication core of a school and daycare platform.
//!
//! Each module is a room of the house described in `ARCHITECTURE.md`. Arrows between rooms point one way:
//!
//! ```text
//! protocol <- session, hub <- ledger <- people <- domain <- { transport, http } <- app <- main
//! ```
//!
//! `admission`, `config` and `telemetry` are leaves that every room may name; `store` is a port with its adapters.
//! `cargo xtask tidy` checks the arrows.

pub mod admission;
pub mod app;
pub mod auth;
#[cfg(feature = "broken")]
pub mod broken;
pub mod bus;
pub mod config;
pub mod domain;
pub mod http;
pub mod hub;
pub mod ledger;
pub mod people;
pub mod runtime;
pub mod session;
#[cfg(test)]
mod sim;
pub mod store;
pub mod telemetry;
pub mod transport;
