//! This node's part of what another asks or tells.

use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{ChannelName, ErrorCode, ErrorReply};

use super::{direct, rows};
use crate::bus::{Question, Refused, kind};
use crate::runtime::Control;
use crate::runtime::mailbox::{Busy, ShardInput};
use crate::session::Namespace;

impl Control {
    /// Answers another node, for the kinds of questions that are about connections.
    ///
    /// # Errors
    /// With the code this node's own client would get; [`Refused::unknown`] for other kinds.
    pub async fn answer(&self, question: Question) -> Result<Bytes, Refused> {
        let body = question.body;
        match question.kind {
            kind::PRESENCE => {
                let present = self.presence_here(&read(rows::read_channel(body))?).await;
                let present = present.map_err(refused)?;
                Ok(rows::presence(present.iter().map(AsRef::as_ref)))
            }
            kind::PRESENCE_STATS => {
                let tally = self.tally_here(&read(rows::read_channel(body))?).await;
                Ok(rows::tally(&tally.map_err(refused)?))
            }
            kind::CHANNELS => {
                let all = self.channels_here().await.map_err(refused)?;
                Ok(rows::channels(
                    all.iter().map(|(name, count)| (name, *count)),
                ))
            }
            kind::CONNECTIONS => {
                let listing = read(rows::read_listing(body))?;
                let all = self.connections_here(&listing).await.map_err(refused)?;
                Ok(rows::connections(all))
            }
            kind::DIRECT => {
                self.direct_here(read(direct::read(body))?).await;
                Ok(Bytes::new())
            }
            kind::UPLINK => {
                let (secret, frame) = read(rows::read_uplink(body))?;
                self.shards.route(&secret, frame).map_err(busy)?;
                Ok(Bytes::new())
            }
            _ => Err(Refused::unknown()),
        }
    }

    /// Hears what another node tells; false when that is nothing known here, or could not be taken.
    pub fn hear(&self, told: Question) -> bool {
        match told.kind {
            kind::PUBLICATION => rows::read_publication(told.body)
                .filter(|it| self.is_generic(&it.channel))
                .map(Arc::new)
                .is_some_and(|it| self.give_all(|| ShardInput::Publish(Arc::clone(&it)))),
            kind::MOVEMENT => rows::read_movement(told.body)
                .filter(|it| self.is_generic(&it.channel))
                .map(Arc::new)
                .is_some_and(|it| self.give_all(|| ShardInput::Announce(Arc::clone(&it)))),
            _ => false,
        }
    }

    fn give_all(&self, input: impl FnMut() -> ShardInput) -> bool {
        self.shards.give_all(None, input).is_ok()
    }

    /// Channels of the domain hear only what their ledgers say.
    fn is_generic(&self, channel: &ChannelName) -> bool {
        let namespace = self.services.session.namespaces.resolve(channel);
        matches!(namespace, Some(Namespace::Generic(_)))
    }
}

fn read<T>(read: Option<T>) -> Result<T, Refused> {
    read.ok_or_else(|| refused(ErrorCode::BAD_REQUEST.into()))
}

fn refused(error: ErrorReply) -> Refused {
    Refused {
        code: error.code,
        text: error.message,
    }
}

fn busy(_: Busy) -> Refused {
    refused(ErrorCode::TOO_MANY_REQUESTS.into())
}
