//! Who comes first when more is asked than the node can do: connects by role in reserved shares, work by its
//! importance in a fixed order.
//!
//! Two machines without clock or I/O, and what they share with the threads. The [`Gate`] of a shard lets connects on,
//! lets them wait or sends them away for a while. The [`Shedder`] of the node finds how far work must be put off by how
//! late the shards are; its [`Level`] stands in the [`Load`], where operations look. Who is connected stays connected.
//!
//! docs/overload.md says what happens in which order, and what clients see of it.

mod gate;
#[cfg(test)]
mod gate_tests;
mod load;
mod notice;
mod shed;

pub use gate::{Arrival, Class, Gate, Outcome, Reason, Rules, Shares};
pub use load::Load;
pub use notice::Service;
pub use shed::{LOOK_MS, Level, Shedder, Work};
