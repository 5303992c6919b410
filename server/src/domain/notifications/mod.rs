//! Personal notifications: short notices that something happened, each with a natural key and, if it has one, an end.
//!
//! What is notified again under the same key takes the place of what was, so nobody gets ten notices of one thing.

mod create;
mod dismiss;
mod list;
pub(crate) mod record;
#[cfg(test)]
mod tests;
mod tidy;

pub use create::{Create, Tag};
pub use dismiss::Dismiss;
pub(crate) use list::newest;
pub use list::{List, NotificationView};
pub(crate) use tidy::{DUE_PREFIX, expire};
