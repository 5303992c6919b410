//! What nodes ask and tell each other about connections, as bytes: protobuf, field numbers frozen, only ever added to; what a newer version
//! adds is passed over. Reading gives nothing where the bytes are no such message.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{ChannelName, ClientInfo, Epoch};
use prost::Message;

use crate::hub::{self, Announcement, Movement, PresenceTally, Publication};
use crate::runtime::mailbox::{ConnectionInfo, Listing, Target};
use crate::telemetry::now_us;

#[derive(Clone, PartialEq, Message)]
struct ChannelRow {
    #[prost(string, tag = "1")]
    channel: String,
}

/// Somebody, as others see them; `ClientInfo` of the protocol belongs to clients.
#[derive(Clone, PartialEq, Message)]
pub(super) struct InfoRow {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(string, tag = "2")]
    client: String,
    #[prost(bytes = "bytes", tag = "3")]
    conn_info: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    chan_info: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct PresenceRow {
    #[prost(message, repeated, tag = "1")]
    present: Vec<InfoRow>,
}

#[derive(Clone, PartialEq, Message)]
struct TallyRow {
    #[prost(uint32, tag = "1")]
    clients: u32,
    #[prost(string, repeated, tag = "2")]
    users: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ChannelsRow {
    #[prost(message, repeated, tag = "1")]
    all: Vec<CountRow>,
}

#[derive(Clone, PartialEq, Message)]
struct CountRow {
    #[prost(string, tag = "1")]
    channel: String,
    #[prost(uint64, tag = "2")]
    subscribers: u64,
}

/// Which sessions are meant.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TargetRow {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(string, tag = "2")]
    client: String,
    #[prost(string, tag = "3")]
    session: String,
    #[prost(string, repeated, tag = "4")]
    spared: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ListingRow {
    #[prost(message, optional, tag = "1")]
    target: Option<TargetRow>,
    #[prost(string, tag = "2")]
    after: String,
    #[prost(uint64, tag = "3")]
    limit: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ConnectionsRow {
    #[prost(message, repeated, tag = "1")]
    all: Vec<ConnectionRow>,
}

#[derive(Clone, PartialEq, Message)]
struct ConnectionRow {
    #[prost(string, tag = "1")]
    client: String,
    #[prost(string, tag = "2")]
    user: String,
    #[prost(string, tag = "3")]
    transport: String,
    #[prost(string, tag = "4")]
    protocol: String,
    #[prost(string, repeated, tag = "5")]
    channels: Vec<String>,
    #[prost(uint64, tag = "6")]
    queued_bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
struct UplinkRow {
    #[prost(string, tag = "1")]
    session: String,
    #[prost(bytes = "bytes", tag = "2")]
    frame: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct PublicationRow {
    #[prost(string, tag = "1")]
    channel: String,
    #[prost(bytes = "bytes", tag = "2")]
    data: Bytes,
    #[prost(btree_map = "string, string", tag = "3")]
    tags: BTreeMap<String, String>,
    #[prost(message, optional, tag = "4")]
    info: Option<InfoRow>,
    #[prost(bool, tag = "5")]
    delta: bool,
}

#[derive(Clone, PartialEq, Message)]
struct MovementRow {
    #[prost(string, tag = "1")]
    channel: String,
    /// Went, or came.
    #[prost(bool, tag = "2")]
    left: bool,
    #[prost(message, optional, tag = "3")]
    info: Option<InfoRow>,
}

impl From<&ClientInfo> for InfoRow {
    fn from(info: &ClientInfo) -> Self {
        Self {
            user: info.user.clone(),
            client: info.client.clone(),
            conn_info: info.conn_info.clone(),
            chan_info: info.chan_info.clone(),
        }
    }
}

impl From<InfoRow> for ClientInfo {
    fn from(row: InfoRow) -> Self {
        Self {
            user: row.user,
            client: row.client,
            conn_info: row.conn_info,
            chan_info: row.chan_info,
        }
    }
}

impl From<&Target> for TargetRow {
    fn from(target: &Target) -> Self {
        Self {
            user: target.user.clone(),
            client: target.client.clone(),
            session: target.session.clone(),
            spared: target.spared.clone(),
        }
    }
}

impl From<TargetRow> for Target {
    fn from(row: TargetRow) -> Self {
        Self {
            user: row.user,
            client: row.client,
            session: row.session,
            spared: row.spared,
        }
    }
}

pub(super) fn bytes(row: &impl Message) -> Bytes {
    row.encode_to_vec().into()
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn narrow(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

pub(super) fn channel(channel: &ChannelName) -> Bytes {
    let channel = channel.to_string();
    bytes(&ChannelRow { channel })
}

pub(super) fn read_channel(body: Bytes) -> Option<ChannelName> {
    ChannelName::parse(&ChannelRow::decode(body).ok()?.channel).ok()
}

pub(super) fn presence<'a>(present: impl IntoIterator<Item = &'a ClientInfo>) -> Bytes {
    let present = present.into_iter().map(InfoRow::from).collect();
    bytes(&PresenceRow { present })
}

pub(super) fn read_presence(body: Bytes) -> Option<Vec<ClientInfo>> {
    let present = PresenceRow::decode(body).ok()?.present.into_iter();
    Some(present.map(ClientInfo::from).collect())
}

pub(super) fn tally(tally: &PresenceTally) -> Bytes {
    bytes(&TallyRow {
        clients: tally.clients(),
        users: tally.names().map(str::to_owned).collect(),
    })
}

pub(super) fn read_tally(body: Bytes) -> Option<PresenceTally> {
    let row = TallyRow::decode(body).ok()?;
    Some(PresenceTally::of(row.clients, row.users))
}

pub(super) fn channels<'a>(all: impl IntoIterator<Item = (&'a ChannelName, usize)>) -> Bytes {
    let row = |(channel, subscribers): (&ChannelName, usize)| CountRow {
        channel: channel.to_string(),
        subscribers: wide(subscribers),
    };
    let all = all.into_iter().map(row).collect();
    bytes(&ChannelsRow { all })
}

pub(super) fn read_channels(body: Bytes) -> Option<Vec<(ChannelName, usize)>> {
    let all = ChannelsRow::decode(body).ok()?.all.into_iter();
    let read = |row: CountRow| {
        let channel = ChannelName::parse(&row.channel).ok()?;
        Some((channel, narrow(row.subscribers)))
    };
    all.map(read).collect()
}

pub(super) fn listing(listing: &Listing) -> Bytes {
    bytes(&ListingRow {
        target: Some((&listing.target).into()),
        after: listing.after.clone(),
        limit: wide(listing.limit),
    })
}

pub(super) fn read_listing(body: Bytes) -> Option<Listing> {
    let row = ListingRow::decode(body).ok()?;
    Some(Listing {
        target: row.target.map(Target::from).unwrap_or_default(),
        after: row.after,
        limit: narrow(row.limit),
    })
}

pub(super) fn connections(all: Vec<ConnectionInfo>) -> Bytes {
    let row = |it: ConnectionInfo| ConnectionRow {
        client: it.client,
        user: it.user,
        transport: it.transport.into_owned(),
        protocol: it.protocol.into_owned(),
        channels: it.channels,
        queued_bytes: wide(it.queued_bytes),
    };
    let all = all.into_iter().map(row).collect();
    bytes(&ConnectionsRow { all })
}

pub(super) fn read_connections(body: Bytes) -> Option<Vec<ConnectionInfo>> {
    let all = ConnectionsRow::decode(body).ok()?.all.into_iter();
    let read = |row: ConnectionRow| ConnectionInfo {
        client: row.client,
        user: row.user,
        transport: row.transport.into(),
        protocol: row.protocol.into(),
        channels: row.channels,
        queued_bytes: narrow(row.queued_bytes),
    };
    Some(all.map(read).collect())
}

pub(super) fn uplink(session: &str, frame: Bytes) -> Bytes {
    let session = session.to_owned();
    bytes(&UplinkRow { session, frame })
}

pub(super) fn read_uplink(body: Bytes) -> Option<(String, Bytes)> {
    let row = UplinkRow::decode(body).ok()?;
    Some((row.session, row.frame))
}

pub(super) fn publication(it: &Publication) -> Bytes {
    bytes(&PublicationRow {
        channel: it.channel.to_string(),
        data: it.content.full.clone(),
        tags: it.content.tags.clone(),
        info: it.info.as_deref().map(InfoRow::from),
        delta: it.delta,
    })
}

pub(super) fn read_publication(body: Bytes) -> Option<Publication> {
    let row = PublicationRow::decode(body).ok()?;
    Some(Publication {
        channel: ChannelName::parse(&row.channel).ok()?,
        offset: 0,
        epoch: Epoch::default(),
        content: hub::Content {
            tags: row.tags,
            ..hub::Content::open(row.data)
        },
        info: row.info.map(|info| Arc::new(info.into())),
        time_ms: 0,
        delta: row.delta,
        // What it took before it came here, this node's clock cannot tell.
        arrived_us: now_us(),
    })
}

pub(super) fn movement(news: &Announcement) -> Bytes {
    bytes(&MovementRow {
        channel: news.channel.to_string(),
        left: news.movement == Movement::Leave,
        info: Some((&*news.info).into()),
    })
}

pub(super) fn read_movement(body: Bytes) -> Option<Announcement> {
    let row = MovementRow::decode(body).ok()?;
    Some(Announcement {
        channel: ChannelName::parse(&row.channel).ok()?,
        movement: match row.left {
            true => Movement::Leave,
            false => Movement::Join,
        },
        info: Arc::new(row.info?.into()),
    })
}
