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

/// For serde: `null` is the default. The reference server reads it so, and some clients write it.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::Deserialize<'de>,
{
    <Option<T> as serde::Deserialize>::deserialize(deserializer).map(Option::unwrap_or_default)
}
