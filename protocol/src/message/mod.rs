//! Every message of the client protocol, one struct for both codecs (protocol.md, section 2).
//!
//! Left out on purpose: map and shared-poll messages. Their field numbers stay unused here.

mod command;
mod publication;
mod push;
mod reply;

pub use command::*;
pub use publication::*;
pub use push::*;
pub use reply::*;

/// For serde: whether a field holds its default and is left out of JSON.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
