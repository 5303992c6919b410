//! What a back end lets happen to sessions of other nodes, as bytes; as [`super::rows`].

use bytes::Bytes;
use klokke_protocol::{ChannelName, Disconnect, StreamPosition, Unsubscribe};
use prost::{Message, Oneof};

use super::rows::{TargetRow, bytes};
use crate::auth::{Override, Overrides};
use crate::runtime::mailbox::Directive;
use crate::session::{Event, ServerSubscription};

#[derive(Clone, PartialEq, Message)]
struct DirectiveRow {
    #[prost(message, optional, tag = "1")]
    target: Option<TargetRow>,
    #[prost(oneof = "Happening", tags = "2, 3, 4, 5")]
    happening: Option<Happening>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Happening {
    #[prost(message, tag = "2")]
    Subscribe(SubscribeRow),
    #[prost(message, tag = "3")]
    Unsubscribe(UnsubscribeRow),
    #[prost(message, tag = "4")]
    Disconnect(DisconnectRow),
    #[prost(message, tag = "5")]
    Refresh(RefreshRow),
}

#[derive(Clone, PartialEq, Message)]
struct SubscribeRow {
    #[prost(string, tag = "1")]
    channel: String,
    #[prost(bytes = "bytes", optional, tag = "2")]
    info: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    data: Option<Bytes>,
    #[prost(uint64, optional, tag = "4")]
    expires_at_ms: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    since_offset: Option<u64>,
    #[prost(string, tag = "6")]
    since_epoch: String,
    #[prost(bool, optional, tag = "7")]
    presence: Option<bool>,
    #[prost(bool, optional, tag = "8")]
    join_leave: Option<bool>,
    #[prost(bool, optional, tag = "9")]
    force_push_join_leave: Option<bool>,
    #[prost(bool, optional, tag = "10")]
    force_recovery: Option<bool>,
    #[prost(bool, optional, tag = "11")]
    force_positioning: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct UnsubscribeRow {
    #[prost(string, optional, tag = "1")]
    channel: Option<String>,
    #[prost(uint32, tag = "2")]
    code: u32,
    #[prost(string, tag = "3")]
    reason: String,
}

#[derive(Clone, PartialEq, Message)]
struct DisconnectRow {
    #[prost(uint32, tag = "1")]
    code: u32,
    #[prost(string, tag = "2")]
    reason: String,
}

#[derive(Clone, PartialEq, Message)]
struct RefreshRow {
    #[prost(uint64, optional, tag = "1")]
    expires_at_ms: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    info: Option<Bytes>,
}

/// As bytes; nothing for what no back end asks for.
pub(super) fn write(directive: &Directive) -> Option<Bytes> {
    let happening = match &directive.event {
        Event::Subscribe(subscription) => Happening::Subscribe(subscribe(subscription)),
        Event::Unsubscribe {
            channel,
            unsubscribe,
        } => Happening::Unsubscribe(UnsubscribeRow {
            channel: channel.as_ref().map(ToString::to_string),
            code: unsubscribe.code,
            reason: unsubscribe.reason.clone(),
        }),
        Event::Disconnect(disconnect) => Happening::Disconnect(DisconnectRow {
            code: disconnect.code,
            reason: disconnect.reason.clone(),
        }),
        Event::Refresh {
            expires_at_ms,
            info,
        } => Happening::Refresh(RefreshRow {
            expires_at_ms: *expires_at_ms,
            info: info.clone(),
        }),
        Event::Entitlements(_) | Event::PositionLost { .. } | Event::Message(_) => return None,
    };
    Some(bytes(&DirectiveRow {
        target: Some((&directive.target).into()),
        happening: Some(happening),
    }))
}

/// From bytes; nothing for what is none, or of a newer version.
pub(super) fn read(body: Bytes) -> Option<Directive> {
    let row = DirectiveRow::decode(body).ok()?;
    let event = match row.happening? {
        Happening::Subscribe(row) => Event::Subscribe(Box::new(subscription(row))),
        Happening::Unsubscribe(row) => Event::Unsubscribe {
            channel: match row.channel {
                Some(name) => Some(ChannelName::parse(&name).ok()?),
                None => None,
            },
            unsubscribe: Unsubscribe {
                code: row.code,
                reason: row.reason,
            },
        },
        Happening::Disconnect(row) => Event::Disconnect(Disconnect {
            code: row.code,
            reason: row.reason,
            ..Disconnect::default()
        }),
        Happening::Refresh(row) => Event::Refresh {
            expires_at_ms: row.expires_at_ms,
            info: row.info,
        },
    };
    Some(Directive {
        target: row.target?.into(),
        event,
    })
}

fn subscribe(it: &ServerSubscription) -> SubscribeRow {
    let value = |option: Option<Override>| option.map(|option| option.value);
    let since = it.recover_since.as_ref();
    SubscribeRow {
        channel: it.channel.to_string(),
        info: it.info.clone(),
        data: it.data.clone(),
        expires_at_ms: it.expires_at_ms,
        since_offset: since.map(|since| since.offset),
        since_epoch: since.map(|since| since.epoch.clone()).unwrap_or_default(),
        presence: value(it.overrides.presence),
        join_leave: value(it.overrides.join_leave),
        force_push_join_leave: value(it.overrides.force_push_join_leave),
        force_recovery: value(it.overrides.force_recovery),
        force_positioning: value(it.overrides.force_positioning),
    }
}

fn subscription(row: SubscribeRow) -> ServerSubscription {
    let option = |value: Option<bool>| value.map(|value| Override { value });
    let epoch = row.since_epoch;
    ServerSubscription {
        channel: row.channel.into(),
        info: row.info,
        data: row.data,
        expires_at_ms: row.expires_at_ms,
        recover_since: row
            .since_offset
            .map(|offset| StreamPosition { offset, epoch }),
        overrides: Overrides {
            presence: option(row.presence),
            join_leave: option(row.join_leave),
            force_push_join_leave: option(row.force_push_join_leave),
            force_recovery: option(row.force_recovery),
            force_positioning: option(row.force_positioning),
        },
    }
}
