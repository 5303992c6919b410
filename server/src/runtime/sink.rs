//! The hub's way to the sockets of its shard.

use bytes::Bytes;
use klokke_protocol::ChannelName;

use super::connections::Connections;
use super::tally::Tally;
use crate::hub::{self, ConnKey, Finished, Told, Wire};
use crate::transport::Written;

/// What the hub found while writing.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) slow: Vec<ConnKey>,
    pub(super) inappropriate: Vec<ConnKey>,
    pub(super) lost: Vec<(ConnKey, ChannelName)>,
}

/// The hub's way to the sockets.
pub(super) struct Sink<'a> {
    pub(super) connections: &'a Connections,
    pub(super) tally: &'a Tally,
    pub(super) outcome: &'a mut Outcome,
}

impl hub::Sink for Sink<'_> {
    fn write(&mut self, conn: ConnKey, frame: &Bytes, _: u32) -> hub::Written {
        let Some(connection) = self.connections.find(conn) else {
            return hub::Written::Refused;
        };
        match connection.link.write(frame) {
            Written::Sent | Written::Queued => hub::Written::Accepted,
            Written::Overflow => {
                self.outcome.slow.push(conn);
                hub::Written::Refused
            }
            Written::Closed => hub::Written::Refused,
        }
    }

    #[cfg(feature = "broken")]
    fn stranger(&self, conn: ConnKey, channel: &ChannelName) -> Option<ConnKey> {
        let wire = self.connections.find(conn)?.session.wire();
        let strangers = || {
            let open = self.connections.keys().filter(|key| {
                let found = self.connections.find(*key).map(|it| &it.session);
                found.is_some_and(|session| {
                    let is_here = session.channels().any(|it| it == channel);
                    session.is_open() && session.wire() == wire && !is_here
                })
            });
            open.filter(|key| *key != conn)
        };
        let next = strangers().find(|key| key.index > conn.index);
        next.or_else(|| strangers().next())
    }

    fn position_lost(&mut self, conn: ConnKey, channel: &ChannelName) {
        self.outcome.lost.push((conn, channel.clone()));
    }

    fn inappropriate(&mut self, conn: ConnKey) {
        self.outcome.inappropriate.push(conn);
    }

    fn delivered(&mut self, channel: &ChannelName, wire: Wire, told: &Told, subscribers: u32) {
        self.tally.delivered(channel, wire, told, subscribers);
    }

    fn filtered(&mut self, channel: &ChannelName, publications: u64) {
        self.tally.filtered(channel, publications);
    }

    fn finished(&mut self, channel: &ChannelName, items: impl Iterator<Item = Finished>) {
        self.tally.finished(channel, items);
    }
}
