//! Delivers the outbox of a ledger to other ledgers.

use super::State;
use super::actor::Context;

/// Starts the delivery of what waits.
pub(super) fn start<S: State>(_: &Context<S>) {}
