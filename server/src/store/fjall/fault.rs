//! Errors of reading and writing, in the words of the store.

use std::sync::Arc;

pub(super) use crate::store::fault::{at, derived, somewhere};
use crate::store::{Damaged, Place, StoreError};

/// What the storage engine says: trouble with the disk is one thing, with what lies on it another.
pub(super) fn engine(error: &fjall::Error) -> StoreError {
    let text = plain(error);
    if let fjall::Error::Poisoned | fjall::Error::Locked = error {
        return StoreError::Unavailable(text);
    }
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match io(error).map(std::io::Error::kind) {
        // A file that ends early or holds nonsense is damage; everything else may pass.
        Some(kind) if !matches!(kind, InvalidData | InvalidInput | UnexpectedEof) => {
            StoreError::Unavailable(text)
        }
        _ => StoreError::Damaged(Damaged {
            ledger: "*".into(),
            place: Place::Files,
            what: text,
        }),
    }
}

fn io(error: &fjall::Error) -> Option<&std::io::Error> {
    match error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => Some(io),
        _ => None,
    }
}

/// An error of the storage engine for people: what the system says, where it said something.
pub(super) fn plain(error: &fjall::Error) -> Arc<str> {
    io(error)
        .map_or_else(|| error.to_string(), ToString::to_string)
        .into()
}
