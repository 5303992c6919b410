//! Publishing to generic channels: through a ledger where the namespace keeps history, straight to
//! every shard where it does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{ChannelName, ClientInfo, Epoch, ErrorCode, ErrorReply};

use super::streams::{error_of, generic_ledger_of};
use super::{Services, errand};
use crate::domain::is_key_of_a_node;
use crate::hub;
use crate::ledger::{Actor, Append, Call, Content, IdempotencyKey, LedgerId, Publisher};
use crate::telemetry::now_us;

/// Something to publish.
#[derive(Debug, Clone, Default)]
pub struct Publishing {
    /// The payload.
    pub data: Bytes,
    /// The client that publishes, when one does.
    pub info: Option<Arc<ClientInfo>>,
    /// For filters.
    pub tags: BTreeMap<String, String>,
    /// The caller's key against publishing twice; for channels with history.
    pub idempotency: Option<String>,
    /// Subscribers that agreed on deltas get one.
    pub delta: bool,
    /// Not into the stream, even where there is one.
    pub skip_history: bool,
    /// When the call arrived, by [`now_us`]; 0 when that is now.
    pub arrived_us: u64,
}

impl Publishing {
    /// When the call arrived.
    fn arrival_us(&self) -> u64 {
        match self.arrived_us {
            0 => now_us(),
            us => us,
        }
    }
}

/// Where a publication ended up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Its offset; 0 without history.
    pub offset: u64,
    /// Its stream; empty without history.
    pub epoch: Epoch,
    /// The commit that holds it; 0 without history.
    pub seq: u64,
}

/// Whether a channel keeps a stream, if there is such a channel. Who may publish there is asked elsewhere.
pub(super) fn keeps_history(
    services: &Services,
    channel: &ChannelName,
) -> Result<bool, ErrorReply> {
    let options = services.session.namespaces.options(channel);
    let options = options.ok_or_else(|| ErrorReply::from(ErrorCode::UNKNOWN_CHANNEL))?;
    Ok(options.has_history())
}

/// The publication as shards take it when it is in no stream.
pub(super) fn unstreamed(
    services: &Services,
    channel: ChannelName,
    publishing: Publishing,
) -> Arc<hub::Publication> {
    let by_namespace = services.session.namespaces.options(&channel);
    let delta = publishing.delta || by_namespace.is_some_and(|options| options.delta_publish);
    Arc::new(hub::Publication {
        arrived_us: publishing.arrival_us(),
        channel,
        offset: 0,
        epoch: Epoch::default(),
        content: hub::Content {
            tags: publishing.tags,
            ..hub::Content::open(publishing.data)
        },
        info: publishing.info,
        time_ms: 0,
        delta,
    })
}

/// Commits a publication to its channel's stream, at the node that writes it; it reaches the shards as any commit does.
pub(super) async fn commit(
    services: Services,
    channel: ChannelName,
    mut publishing: Publishing,
    door: &'static str,
) -> Result<Published, ErrorReply> {
    let ledger = generic_ledger_of(&channel)?;
    publishing.arrived_us = publishing.arrival_us();
    // Held to the end, so that what comes later stays behind it.
    let way = services.domain.routing().way(&ledger).await;
    if let Some(way) = &way {
        let sent = errand::publish_elsewhere(&services, way, &channel, &mut publishing, door);
        if let Some(outcome) = sent.await {
            return outcome;
        }
    }
    commit_here(&services, &ledger, channel, publishing, door).await
}

/// The same, at this node.
pub(super) async fn commit_here(
    services: &Services,
    ledger: &LedgerId,
    channel: ChannelName,
    publishing: Publishing,
    door: &'static str,
) -> Result<Published, ErrorReply> {
    let arrived_us = publishing.arrival_us();
    let info = publishing.info.as_deref();
    let actor = Actor {
        subject: info.map_or("", |info| info.user.as_str()).into(),
        profile: None,
        door: door.into(),
    };
    let content = Content {
        full: publishing.data.clone(),
        tags: publishing.tags,
        publisher: info.map(|info| Publisher {
            user: info.user.clone(),
            client: info.client.clone(),
            conn_info: info.conn_info.clone(),
            chan_info: info.chan_info.clone(),
        }),
        ..Content::default()
    };
    let job = Append {
        channels: vec![channel.clone()],
        content,
    };
    let mut call = Call::new("publish", actor, job).arrived(arrived_us);
    if let Some(key) = &publishing.idempotency {
        call = call.with_key(key_in(&channel, key, &publishing.data));
    }
    let done = services.domain.ledgers().call(ledger, call).await;
    let done = done.map_err(|error| error_of(&error))?;
    let commit = done.commit.as_deref();
    let offset = commit.and_then(|commit| {
        let mut places = commit.entries.iter().flat_map(|entry| &entry.channels);
        places
            .find(|(name, _)| *name == channel)
            .map(|(_, offset)| *offset)
    });
    Ok(Published {
        offset: offset.unwrap_or(0),
        epoch: commit
            .map(|commit| commit.epoch.clone())
            .unwrap_or_default(),
        seq: commit.map_or(0, |commit| commit.seq),
    })
}

/// The key as the ledger remembers it. Within one ledger lie many channels, and a caller's key counts in each for itself: with the length
/// of the channel's name in front no two of both can be taken for each other.
fn key_in(channel: &ChannelName, key: &str, data: &[u8]) -> IdempotencyKey {
    if is_key_of_a_node(key) {
        return IdempotencyKey::of_route(key, "publish", data);
    }
    let length = channel.as_str().len();
    IdempotencyKey::new(&format!("{length}/{channel}/{key}"), "publish", data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key_of_this_node;

    #[test]
    fn a_key_counts_in_each_channel_for_itself() {
        let of = |channel: &str, key: &str| {
            let channel = ChannelName::parse(channel).expect("valid");
            key_in(&channel, key, b"").key
        };
        assert_ne!(of("ns:a", "b/c"), of("ns:a/b", "c"));
        assert_eq!(of("ns:a", "b"), of("ns:a", "b"));
        assert!(IdempotencyKey::is_of_route(&of(
            "ns:a",
            &key_of_this_node()
        )));
        assert!(!IdempotencyKey::is_of_route(&of("ns:a", "routed:mine")));
    }
}
