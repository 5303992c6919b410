//! Connection ids that say which shard a connection lives on, to this node only.
//!
//! The kernel spreads datagrams over the shards' sockets by addresses. A phone that changes its network comes with another
//! address and so to another shard; its connection id then says where its connection is. An id is a random half and the shard's
//! number under a keyed hash of that half: to everybody else two ids of one connection have nothing in common (RFC 9000, section
//! 9.5), and what somebody else chose is told from ours all but once in sixteen million times.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};

/// Bytes of an id.
pub(super) const CID_BYTES: usize = 8;
const HALF: usize = CID_BYTES / 2;

/// A long header has its first bit set (RFC 8999, section 5.1).
const LONG_HEADER: u8 = 0x80;
/// Where the length of the id stands in a long header, behind the version.
const LONG_CID_LENGTH_AT: usize = 5;

/// What the shards of a node know and nobody else.
#[derive(Debug, Clone)]
pub(super) struct CidKey(Arc<[u8; 32]>);

impl CidKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(Arc::new(key))
    }

    fn mask(&self, half: [u8; HALF]) -> [u8; HALF] {
        let hash = blake3::keyed_hash(&self.0, &half);
        let [a, b, c, d, ..] = *hash.as_bytes();
        [a, b, c, d]
    }

    fn seal(&self, half: [u8; HALF], shard: u8) -> [u8; CID_BYTES] {
        let mut id = [0; CID_BYTES];
        id[..HALF].copy_from_slice(&half);
        id[HALF..].copy_from_slice(&self.mask(half));
        id[HALF] ^= shard;
        id
    }

    /// The shard an id was made for, if it was made here.
    pub(super) fn shard_of(&self, id: &[u8]) -> Option<u8> {
        let id: [u8; CID_BYTES] = id.try_into().ok()?;
        let [a, b, c, d, shard, rest @ ..] = id;
        let [mask, mask_rest @ ..] = self.mask([a, b, c, d]);
        (rest == mask_rest).then_some(shard ^ mask)
    }
}

/// The id that a datagram is for, as its sender wrote it; nothing where it has none.
pub(super) fn id_in(datagram: &[u8]) -> Option<&[u8]> {
    let first = *datagram.first()?;
    if first & LONG_HEADER == 0 {
        return datagram.get(1..=CID_BYTES);
    }
    let length = usize::from(*datagram.get(LONG_CID_LENGTH_AT)?);
    let begin = LONG_CID_LENGTH_AT + 1;
    datagram.get(begin..begin + length)
}

/// Makes the ids of one shard's connections.
#[derive(Debug)]
pub(super) struct ShardCids {
    pub(super) key: CidKey,
    pub(super) shard: u8,
}

impl ConnectionIdGenerator for ShardCids {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.key.seal(rand::random(), self.shard))
    }

    /// What was made by nobody who has the key is not answered, not even by a reset. One of ours from before, of whichever shard, is.
    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        match self.key.shard_of(cid) {
            Some(_) => Ok(()),
            None => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_shard_to_this_node_only() {
        let (ours, others) = (CidKey::new([1; 32]), CidKey::new([2; 32]));
        let mut taken_for_ours = 0;
        for shard in 0..=u8::MAX {
            let mut cids = ShardCids {
                key: ours.clone(),
                shard,
            };
            let id = cids.generate_cid();
            assert_eq!(ours.shard_of(&id), Some(shard));
            assert!(cids.validate(&id).is_ok());
            taken_for_ours += u32::from(others.shard_of(&id).is_some());
        }
        assert!(taken_for_ours <= 1, "{taken_for_ours} of 256");
    }

    #[test]
    fn ids_of_one_shard_have_nothing_in_common() {
        let mut cids = ShardCids {
            key: CidKey::new(rand::random()),
            shard: 1,
        };
        let ids: Vec<_> = (0..64).map(|_| cids.generate_cid()).collect();
        for at in 0..CID_BYTES {
            let same = ids.iter().all(|id| id[at] == ids[0][at]);
            assert!(!same, "byte {at}");
        }
    }

    #[test]
    fn finds_the_id_in_both_headers() {
        let long = [&[0xc0, 0, 0, 0, 1, 3][..], b"abc", &[0]].concat();
        assert_eq!(id_in(&long), Some(&b"abc"[..]));
        assert_eq!(id_in(b"\x40abcdefghrest"), Some(&b"abcdefgh"[..]));
        for nothing in [&b""[..], b"\x40abc", &[0xc0], &[0xc0, 0, 0, 0, 1, 200, 1]] {
            assert_eq!(id_in(nothing), None);
        }
    }
}
