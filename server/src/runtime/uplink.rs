//! Commands of emulated connections: they come by requests of their own, on any shard, and go to the one that has the
//! connection.

use std::rc::Rc;

use bytes::Bytes;

use super::mailbox::ShardInput;
use super::shard::Shard;
use crate::transport::{Host, Uplink};

impl Shard {
    /// Where an emulated connection's commands go: its secret begins with its shard.
    pub(super) fn route(self: &Rc<Self>, session: &str, node: &str, frame: Bytes) -> Uplink {
        if !node.is_empty() && *node != *self.services.session.node {
            return Uplink::UnknownNode;
        }
        let owner = session
            .get(..4)
            .and_then(|hex| usize::from_str_radix(hex, 16).ok());
        match owner {
            Some(owner) if owner == self.index => self.receive_emulated(session, frame),
            Some(owner) if owner < self.shards.count() => {
                let secret = session.into();
                let input = ShardInput::Uplink { secret, frame };
                if self.shards.give(owner, input).is_err() {
                    return Uplink::Busy;
                }
            }
            // No such session: the sender must not learn that.
            _ => {}
        }
        Uplink::Accepted
    }

    pub(super) fn receive_emulated(self: &Rc<Self>, secret: &str, frame: Bytes) {
        let key = self.core.borrow().connections.by_secret(secret);
        if let Some(key) = key {
            Host::receive(self, key, frame);
        }
    }
}
