//! One shard's machine for subscriptions and fan-out, without I/O.
//!
//! The [`Hub`] knows which of the shard's connections are subscribed to what, and how each looks at it. It
//! gets publications in the order of their ledger, encodes each once per class of subscriber, and hands
//! the bytes to a [`Sink`]. It knows no socket, no clock, no history and no rights: positions and lenses
//! are told to it.
//!
//! Order of calls, per channel: [`Hub::subscribe`]; for positioned subscriptions, once the history was read,
//! [`Hub::activate`]; then [`Hub::publish`] and [`Hub::fan_out`] in any number;
//! [`Hub::unsubscribe`] or [`Hub::remove`].
//!
//! Promises: a subscriber gets the items of a channel in order and each at most once; a positioned one
//! gets every offset after its position or is reported to [`Sink::position_lost`], never a silent gap;
//! nobody gets what their lens at the moment of delivery hides.

mod activate;
mod batch;
#[cfg(feature = "broken")]
mod broken;
mod channel;
mod encode;
mod fan_out;
mod lens;
mod membership;
mod options;
mod position;
mod presence;
mod publication;
mod subscriber;
#[cfg(test)]
mod tests;
mod wire;

pub use activate::{ActivateError, Activation, Backlog};
pub use fan_out::{FanOut, Finished, Sink, Told, Written};
pub use lens::{Audience, Lens, Measure};
pub use membership::{Attempt, Hub, SubscribeError, Unsubscribed};
pub use options::SubOptions;
pub use position::PositionCheck;
pub use presence::PresenceTally;
pub use publication::{Announcement, Content, Kind, Movement, Publication, Tags};
pub use subscriber::ConnKey;
pub use wire::Wire;
