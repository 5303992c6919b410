//! A publication on its way to the node that writes its channel's ledger, and the answer on its way back: protobuf messages, field numbers
//! frozen. As an operation's way ([`crate::domain::routing`]); permissions were asked where it came in.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{ChannelName, ClientInfo, ErrorCode, ErrorReply};
use prost::Message as _;

use super::Services;
use super::publish::{self, Published, Publishing};
use super::streams::generic_ledger_of;
use crate::domain::key_of_this_node;
use crate::domain::routing::{Errand, Outcome, Way};
use crate::telemetry::now_us;

/// The format this code speaks.
pub(super) const FORMAT: u32 = 1;

/// The doors that publish, as commits record them.
const DOORS: [&str; 2] = ["api", "rpc"];

#[derive(Clone, PartialEq, prost::Message)]
struct PublicationRow {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(string, tag = "2")]
    channel: String,
    #[prost(bytes = "bytes", tag = "3")]
    data: Bytes,
    #[prost(btree_map = "string, string", tag = "4")]
    tags: BTreeMap<String, String>,
    #[prost(message, optional, tag = "5")]
    info: Option<ClientInfo>,
    #[prost(string, tag = "6")]
    idempotency: String,
    #[prost(string, tag = "7")]
    door: String,
    #[prost(uint64, tag = "8")]
    age_us: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PublishedRow {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(uint64, tag = "2")]
    offset: u64,
    #[prost(string, tag = "3")]
    epoch: String,
    #[prost(uint64, tag = "4")]
    seq: u64,
    #[prost(message, optional, tag = "5")]
    failure: Option<FailureRow>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FailureRow {
    #[prost(uint32, tag = "1")]
    code: u32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(bool, tag = "3")]
    temporary: bool,
}

/// Whether an error says something of the node that was asked rather than of the publication.
const fn is_the_nodes(failure: &FailureRow) -> bool {
    failure.code == ErrorCode::INTERNAL.number() && failure.temporary
}

/// Sends a publication to the node that writes its ledger. Nothing when it is to be done here, then under the key in it.
pub(super) async fn publish_elsewhere(
    services: &Services,
    way: &Way,
    channel: &ChannelName,
    publishing: &mut Publishing,
    door: &'static str,
) -> Option<Result<Published, ErrorReply>> {
    let key = publishing.idempotency.get_or_insert_with(key_of_this_node);
    let row = PublicationRow {
        format: FORMAT,
        channel: channel.as_str().to_owned(),
        data: publishing.data.clone(),
        tags: publishing.tags.clone(),
        info: publishing.info.as_deref().cloned(),
        idempotency: key.clone(),
        door: door.to_owned(),
        age_us: now_us().saturating_sub(publishing.arrived_us),
    };
    let answered = way
        .ask(Errand::Publication, row.encode_to_vec().into())
        .await
        .ok()
        .and_then(|body| PublishedRow::decode(body).ok())
        .filter(|answer| answer.format == FORMAT);
    let (outcome, published) = match answered {
        None => (Outcome::TakenBack, None),
        Some(PublishedRow {
            failure: Some(failure),
            ..
        }) if is_the_nodes(&failure) => (Outcome::Unable, None),
        Some(PublishedRow {
            failure: Some(failure),
            ..
        }) => {
            let refused = ErrorReply {
                code: failure.code,
                message: failure.message,
                temporary: failure.temporary,
            };
            (Outcome::Refused, Some(Err(refused)))
        }
        Some(row) => {
            way.known_here(services.domain.ledgers(), row.seq).await;
            let published = Published {
                offset: row.offset,
                epoch: row.epoch.into(),
                seq: row.seq,
            };
            (Outcome::Done, Some(Ok(published)))
        }
    };
    way.note(Errand::Publication, outcome);
    published
}

/// Publishes what another node was asked for, and gives the answer that it understands. Nothing when it cannot be read here.
pub(super) async fn run(services: Services, errand: Bytes) -> Option<Bytes> {
    let row = PublicationRow::decode(errand).ok()?;
    let door = DOORS.into_iter().find(|door| *door == row.door)?;
    let channel = ChannelName::parse(&row.channel).ok()?;
    if row.format != FORMAT {
        return None;
    }
    let publishing = Publishing {
        data: row.data,
        info: row.info.map(Arc::new),
        tags: row.tags,
        idempotency: Some(row.idempotency),
        arrived_us: now_us().saturating_sub(row.age_us).max(1),
        ..Publishing::default()
    };
    let ledger = generic_ledger_of(&channel).ok()?;
    let empty = PublishedRow {
        format: FORMAT,
        ..PublishedRow::default()
    };
    let answer = match publish::commit_here(&services, &ledger, channel, publishing, door).await {
        Ok(published) => PublishedRow {
            offset: published.offset,
            epoch: published.epoch.to_string(),
            seq: published.seq,
            ..empty
        },
        Err(error) => PublishedRow {
            failure: Some(FailureRow {
                code: error.code,
                message: error.message,
                temporary: error.temporary,
            }),
            ..empty
        },
    };
    Some(answer.encode_to_vec().into())
}

#[cfg(test)]
#[path = "errand_tests.rs"]
mod tests;
