//! Commands of emulated connections: they come by requests of their own, on any shard, and on any node, and go to
//! the one that has the connection.

use std::rc::Rc;

use bytes::Bytes;

use super::mailbox::owner_of;
use super::shard::Shard;
use crate::transport::{Host, Uplink};

impl Shard {
    /// Where the commands of an emulated connection of this node go: its secret begins with its shard.
    pub(super) fn route(self: &Rc<Self>, session: &str, frame: Bytes) -> Uplink {
        if owner_of(session) == Some(self.index) {
            self.receive_emulated(session, frame);
            return Uplink::Accepted;
        }
        match self.shards.route(session, frame) {
            Ok(()) => Uplink::Accepted,
            Err(_) => Uplink::Busy,
        }
    }

    pub(super) fn receive_emulated(self: &Rc<Self>, secret: &str, frame: Bytes) {
        let key = self.core.borrow().connections.by_secret(secret);
        if let Some(key) = key {
            Host::receive(self, key, frame);
        }
    }
}
