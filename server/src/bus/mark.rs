//! Which store a message is about: behind each message stands the id of its sender's store, so that two clusters on one bus which have
//! the same name do not take each other's ledgers for their own.
//!
//! The id is one more field of the same envelope (protobuf fields may stand in any order), added where messages go out and looked at
//! where they come in. A message of a version before has none, and passes: the chain of hashes decides as it always did.

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use uuid::Uuid;

/// The envelope, as far as it is of interest here. Field number frozen.
#[derive(Clone, PartialEq, prost::Message)]
struct Mark {
    #[prost(bytes = "bytes", optional, tag = "15")]
    store: Option<Bytes>,
}

/// The message with the id of the store behind it.
pub(super) fn mark(message: &Bytes, store: Uuid) -> Bytes {
    let mark = Mark {
        store: Some(Bytes::copy_from_slice(store.as_bytes())),
    };
    let mut marked = BytesMut::with_capacity(message.len() + mark.encoded_len());
    marked.extend_from_slice(message);
    marked.extend_from_slice(&mark.encode_to_vec());
    marked.freeze()
}

/// Whether a message is about another store.
pub(super) fn is_of_another(message: &Bytes, store: Uuid) -> bool {
    // What is no message at all is found so where it is read.
    let mark = Mark::decode(message.clone()).unwrap_or_default();
    mark.store.is_some_and(|it| it != store.as_bytes()[..])
}

#[cfg(test)]
mod tests {
    use super::super::{Hello, NodeId, wire};
    use super::*;

    #[test]
    fn a_marked_message_reads_as_before_and_only_the_same_store_takes_it() {
        let own = NodeId::new(Uuid::from_u128(1));
        let hello = Hello {
            name: "a node".into(),
            version: "1".into(),
            settings: 7,
            now_ms: 1,
            leaving: false,
            gone: false,
        };
        let bare = wire::hello(own, &hello);
        let (ours, theirs) = (Uuid::from_u128(11), Uuid::from_u128(12));
        let marked = mark(&bare, ours);
        let heard = wire::decode(marked.clone()).expect("a message");
        assert_eq!(heard.from, own);
        assert!(matches!(heard.message, wire::Message::Hello(it) if it == hello));
        assert!(!is_of_another(&marked, ours));
        assert!(is_of_another(&marked, theirs));
        assert!(!is_of_another(&bare, ours), "of a version before");
        assert!(!is_of_another(&Bytes::from_static(b"\xff\xff"), ours));
    }
}
