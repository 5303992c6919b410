//! The protocol state machine of one connection, without I/O.
//!
//! A [`Session`] takes frames, answers, events and the time, and says by [`Effect`]s what is to be done. It
//! never waits, reads no clock and draws no random number, so any moment of a connection's life can be
//! replayed in a test. It knows no socket, no other connection, no ledger; what a domain channel may show
//! is told to it ([`Entitlement`]).
//!
//! Order of calls: [`Session::new`]; then any `handle_*`, each followed by [`Session::poll_effect`] until
//! that returns `None`; and [`Session::next_deadline`] says when to call [`Session::handle_timeout`].
//!
//! Promises: commands run one after another; each with an id gets one reply unless the connection closes;
//! a reply that opens a subscription precedes what is pushed to it; memory is bounded by the limits of
//! [`Settings`] and the frame size.

mod answer;
mod channel_commands;
mod connect;
mod counts;
mod effect;
mod keepalive;
mod machine;
mod namespace;
mod recovery;
mod refresh;
mod rights;
mod server_side;
mod settings;
mod subscribe;
mod subscription;
#[cfg(test)]
mod tests;

pub use answer::{
    Answer, Entitlement, Event, HistoryPage, PresenceCount, ServerSubscription, Source, SteppedUp,
    SubscribeFailure, Subscribed,
};
pub use counts::{Counts, Frame};
pub use effect::{BacklogWish, Effect, HistoryEffect, Identity, Login, SubscribeEffect, Ticket};
pub use machine::{Link, PingStyle, Session};
pub use namespace::{
    ChannelOptions, ChannelRules, DataFormat, Namespace, NamespaceError, NamespaceId, Namespaces,
    RESERVED, RecoveryMode,
};
pub use settings::{PersonalChannel, Settings};
