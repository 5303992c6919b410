//! The Centrifugal client protocol, pure: messages, both codecs, framing, ids parsed once, codes and limits.
//!
//! What may be here: what stands on the wire and what it means. What must not: a socket, a clock, a task,
//! randomness, or anything of school. `docs/protocol.md` is the promise this crate keeps.

pub mod code;
pub mod codec;
pub mod delta;
pub mod filter;
pub mod id;
pub mod limits;
pub mod message;
mod raw;
pub mod stream;

pub use code::{DisconnectCode, ErrorCode, UnsubscribeCode};
pub use codec::{Codec, DecodeError, EncodeError};
pub use filter::{FilterError, TagFilter};
pub use id::{ChannelName, ChannelNameError, ClientId, Epoch, Position, UserId};
pub use message::*;
pub use stream::{CutError, Cutter};
