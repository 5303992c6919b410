//! The methods of the server API but for publishing: what each takes and gives.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{BoxFuture, join_all};
use klokke_protocol::{
    ChannelName, ClientInfo, Disconnect, DisconnectCode, ErrorCode, Publication, StreamPosition,
    UnsubscribeCode,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::reply::Failure;
use super::{COMMANDS_MAX, ConnectionInfo, NodeInfo, Range, Who, glob, publish};
use crate::auth::Overrides;
use crate::domain::{self, Caller, Door};
use crate::http::Edge;
use crate::people::{Assurance, AssuranceLevel, SubjectId};
use crate::session::ServerSubscription;

/// Every method.
const METHODS: &[&str] = &[
    "publish",
    "broadcast",
    "subscribe",
    "unsubscribe",
    "disconnect",
    "refresh",
    "presence",
    "presence_stats",
    "history",
    "history_remove",
    "channels",
    "connections",
    "info",
    "rpc",
    "batch",
];

/// Entries of one page of channels or connections, when the request does not say, and at most.
const PAGE: usize = 1_000;

/// Whether there is such a method.
pub(super) fn exists(method: &str) -> bool {
    METHODS.contains(&method)
}

/// Runs a method.
pub(super) fn run<'a>(
    edge: &'a Edge,
    method: &'a str,
    params: &'a [u8],
) -> BoxFuture<'a, Result<Box<RawValue>, Failure>> {
    // Boxed, because a batch runs methods in turn.
    Box::pin(async move {
        match method {
            "publish" => publish::publish(edge, params).await,
            "broadcast" => publish::broadcast(edge, params).await,
            "subscribe" => subscribe(edge, decoded(params)?).await,
            "unsubscribe" => unsubscribe(edge, decoded(params)?).await,
            "disconnect" => disconnect(edge, decoded(params)?).await,
            "refresh" => refresh(edge, decoded(params)?).await,
            "presence" => presence(edge, decoded(params)?).await,
            "presence_stats" => presence_stats(edge, decoded(params)?).await,
            "history" => history(edge, decoded(params)?).await,
            "history_remove" => history_remove(edge, decoded(params)?).await,
            "channels" => channels(edge, decoded(params)?).await,
            "connections" => connections(edge, decoded(params)?).await,
            "info" => info(edge).await,
            "rpc" => rpc(edge, params).await,
            "batch" => batch(edge, params).await,
            _ => Err(Failure::of(ErrorCode::METHOD_NOT_FOUND)),
        }
    })
}

/// The parameters of a method.
pub(super) fn decoded<T: DeserializeOwned>(params: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(params).map_err(|fault| {
        // The text of a serde error can quote the request, so only its place is told.
        let (line, column) = (fault.line(), fault.column());
        Failure::bad_request(&format!("at line {line} column {column} of the parameters"))
    })
}

/// A result as JSON.
pub(super) fn encoded(result: &impl Serialize) -> Result<Box<RawValue>, Failure> {
    to_raw_value(result).map_err(|_| Failure::internal())
}

/// The channel of a request.
pub(super) fn channel_of(name: &str) -> Result<ChannelName, Failure> {
    ChannelName::parse(name).map_err(|error| Failure::bad_request(&error.to_string()))
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Deserialize)]
struct Channel {
    #[serde(default)]
    channel: String,
}

/// The members by which connections are named.
macro_rules! with_who {
    ($name:ident { $( $( #[$meta:meta] )* $field:ident : $type:ty ),* $(,)? }) => {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct $name { user: String, client: String, session: String, $( $( #[$meta] )* $field: $type ),* }
        impl $name {
            fn who(&self) -> Result<Who, Failure> {
                if self.user.is_empty() && self.client.is_empty() && self.session.is_empty() {
                    return Err(Failure::bad_request("name a user, client or session"));
                }
                Ok(Who {
                    user: self.user.clone(),
                    client: self.client.clone(),
                    session: self.session.clone(),
                })
            }
        }
    };
}

with_who!(Subscribe {
    channel: String,
    info: Option<Box<RawValue>>,
    b64info: String,
    data: Option<Box<RawValue>>,
    b64data: String,
    expire_at: u64,
    recover_since: Option<StreamPosition>,
    #[serde(rename = "override")]
    overrides: Option<Overrides>,
});

async fn subscribe(edge: &Edge, asked: Subscribe) -> Result<Box<RawValue>, Failure> {
    let who = asked.who()?;
    let subscription = ServerSubscription {
        channel: channel_of(&asked.channel)?.as_str().into(),
        info: publish::payload(asked.info.as_deref(), &asked.b64info)?,
        data: publish::payload(asked.data.as_deref(), &asked.b64data)?,
        expires_at_ms: moment(asked.expire_at),
        recover_since: asked.recover_since,
        overrides: asked.overrides.unwrap_or_default(),
    };
    edge.realtime.subscribe(who, subscription).await?;
    encoded(&Nothing {})
}

/// Unix seconds as milliseconds; 0 is never.
fn moment(seconds: u64) -> Option<u64> {
    (seconds > 0).then(|| seconds.saturating_mul(1000))
}

with_who!(Unsubscribe { channel: String });

async fn unsubscribe(edge: &Edge, asked: Unsubscribe) -> Result<Box<RawValue>, Failure> {
    let channel = match asked.channel.as_str() {
        "" => None,
        name => Some(channel_of(name)?),
    };
    let code = UnsubscribeCode::SERVER.into();
    let who = asked.who()?;
    edge.realtime.unsubscribe(who, channel, code).await?;
    encoded(&Nothing {})
}

with_who!(DisconnectRequest {
    whitelist: Vec<String>,
    disconnect: Option<Disconnect>,
});

async fn disconnect(edge: &Edge, asked: DisconnectRequest) -> Result<Box<RawValue>, Failure> {
    let who = asked.who()?;
    let code = asked
        .disconnect
        .filter(|disconnect| disconnect.code > 0)
        .unwrap_or_else(|| DisconnectCode::FORCE_DISCONNECT.into());
    // What is below is WebSocket's own, what is above nobody's.
    if !(3000..=4999).contains(&code.code) {
        return Err(Failure::bad_request("a disconnect code is 3000 to 4999"));
    }
    edge.realtime.disconnect(who, code, asked.whitelist).await?;
    encoded(&Nothing {})
}

with_who!(Refresh {
    expired: bool,
    expire_at: u64,
    info: Option<Box<RawValue>>,
});

async fn refresh(edge: &Edge, asked: Refresh) -> Result<Box<RawValue>, Failure> {
    let who = asked.who()?;
    if asked.expired {
        let code = DisconnectCode::EXPIRED.into();
        edge.realtime.disconnect(who, code, Vec::new()).await?;
    } else {
        let info = publish::payload(asked.info.as_deref(), "")?;
        let until = moment(asked.expire_at);
        edge.realtime.refresh(who, until, info).await?;
    }
    encoded(&Nothing {})
}

async fn presence(edge: &Edge, asked: Channel) -> Result<Box<RawValue>, Failure> {
    #[derive(Serialize)]
    struct Presence {
        presence: BTreeMap<String, ClientInfo>,
    }
    let present = edge.realtime.presence(&channel_of(&asked.channel)?).await?;
    let by_client = |info: ClientInfo| (info.client.clone(), info);
    let presence = present.into_iter().map(by_client).collect();
    encoded(&Presence { presence })
}

async fn presence_stats(edge: &Edge, asked: Channel) -> Result<Box<RawValue>, Failure> {
    #[derive(Serialize)]
    struct Stats {
        num_clients: u32,
        num_users: u32,
    }
    let channel = channel_of(&asked.channel)?;
    let count = edge.realtime.presence_stats(&channel).await?;
    encoded(&Stats {
        num_clients: count.clients,
        num_users: count.users,
    })
}

#[derive(Deserialize)]
struct HistoryRequest {
    #[serde(default)]
    channel: String,
    #[serde(default)]
    limit: i64,
    since: Option<StreamPosition>,
    #[serde(default)]
    reverse: bool,
}

async fn history(edge: &Edge, asked: HistoryRequest) -> Result<Box<RawValue>, Failure> {
    #[derive(Serialize)]
    struct History {
        publications: Vec<Shown>,
        epoch: String,
        offset: u64,
    }
    let channel = channel_of(&asked.channel)?;
    let range = Range {
        // Negative is all of it.
        limit: u32::try_from(asked.limit).ok(),
        since: asked.since,
        reverse: asked.reverse,
    };
    let page = edge.realtime.history(&channel, range).await?;
    encoded(&History {
        publications: page.publications.into_iter().map(Shown::from).collect(),
        epoch: page.epoch.to_string(),
        offset: page.offset,
    })
}

/// A publication; a payload that is no JSON comes as base64.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    publication: Publication,
    #[serde(skip_serializing_if = "String::is_empty")]
    b64data: String,
}

impl From<Publication> for Shown {
    fn from(mut publication: Publication) -> Self {
        let is_json = serde_json::from_slice::<&RawValue>(&publication.data).is_ok();
        let mut b64data = String::new();
        if !is_json {
            b64data = STANDARD.encode(&publication.data);
            publication.data.clear();
        }
        Self {
            publication,
            b64data,
        }
    }
}

async fn history_remove(edge: &Edge, asked: Channel) -> Result<Box<RawValue>, Failure> {
    let channel = channel_of(&asked.channel)?;
    edge.realtime.history_remove(&channel).await?;
    encoded(&Nothing {})
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Page {
    pattern: String,
    user: String,
    limit: usize,
    cursor: String,
}

impl Page {
    /// Entries shown at most.
    fn size(&self) -> usize {
        match self.limit {
            0 => PAGE,
            limit => limit.min(PAGE),
        }
    }
}

/// The window of a sorted list that begins after `cursor`, and where the next one begins.
fn window<T>(mut all: Vec<(String, T)>, page: &Page) -> (Vec<(String, T)>, String) {
    let limit = page.size();
    all.retain(|(name, _)| *name > page.cursor);
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let more = all.len() > limit;
    all.truncate(limit);
    let last = all.last().map(|(name, _)| name.clone());
    (all, last.filter(|_| more).unwrap_or_default())
}

async fn channels(edge: &Edge, page: Page) -> Result<Box<RawValue>, Failure> {
    #[derive(Serialize)]
    struct Count {
        num_clients: u32,
    }
    #[derive(Serialize)]
    struct Channels {
        channels: BTreeMap<String, Count>,
        #[serde(skip_serializing_if = "String::is_empty")]
        cursor: String,
    }
    let wanted = |name: &str| page.pattern.is_empty() || glob::fits(&page.pattern, name);
    let active = edge.realtime.channels().await?;
    let active = active
        .into_iter()
        .filter(|(channel, _)| wanted(channel.as_str()))
        .map(|(channel, num_clients)| (channel.to_string(), Count { num_clients }))
        .collect();
    let (channels, cursor) = window(active, &page);
    encoded(&Channels {
        channels: channels.into_iter().collect(),
        cursor,
    })
}

async fn connections(edge: &Edge, page: Page) -> Result<Box<RawValue>, Failure> {
    #[derive(Serialize)]
    struct Connections {
        connections: BTreeMap<String, ConnectionInfo>,
        #[serde(skip_serializing_if = "String::is_empty")]
        cursor: String,
    }
    let user = (!page.user.is_empty()).then(|| page.user.clone());
    // One more than is shown says whether there is another page.
    let limit = page.size() + 1;
    let open = edge.realtime.connections(user, &page.cursor, limit).await?;
    let open = open
        .into_iter()
        .map(|connection| (connection.client.clone(), connection))
        .collect();
    let (connections, cursor) = window(open, &page);
    encoded(&Connections {
        connections: connections.into_iter().collect(),
        cursor,
    })
}

async fn info(edge: &Edge) -> Result<Box<RawValue>, Failure> {
    #[derive(Serialize)]
    struct Info {
        nodes: Vec<NodeInfo>,
    }
    let nodes = edge.realtime.nodes().await?;
    encoded(&Info { nodes })
}

/// Calls an operation as the person of a login, whom the back end vouches for, or without `user` as the
/// server itself: then those that act as a person refuse.
async fn rpc(edge: &Edge, params: &[u8]) -> Result<Box<RawValue>, Failure> {
    #[derive(Deserialize)]
    struct Rpc<'a> {
        method: String,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
        /// The login.
        #[serde(default)]
        user: String,
        /// The level at which the person just authenticated, as the claim of a token; nothing is the lowest.
        #[serde(default)]
        loa: u8,
        /// Against doing it twice.
        idempotency_key: Option<String>,
    }
    #[derive(Serialize)]
    struct Answer<'a> {
        data: &'a RawValue,
    }
    let rpc: Rpc<'_> = serde_json::from_slice(params)
        .map_err(|_| Failure::bad_request("rpc takes method, params, user, loa"))?;
    let caller = match rpc.user.as_str() {
        "" => Caller::server(Door::Api),
        user => {
            let subject = user.parse::<SubjectId>();
            let subject = subject.map_err(|error| Failure::bad_request(&error.to_string()))?;
            let assurance = Assurance {
                level: AssuranceLevel::from_claim(rpc.loa),
                authenticated_ms: edge.clock.now_ms(),
            };
            Caller::person(subject, assurance, Door::Api)
        }
    };
    let request = domain::Request {
        operation: rpc.method,
        input: rpc
            .params
            .map(RawValue::get)
            .unwrap_or("{}")
            .to_owned()
            .into(),
        idempotency: rpc.idempotency_key.filter(|key| !key.is_empty()),
        caller,
        arrived_us: 0,
    };
    let answer = edge.domain.call(request).await.map_err(|failure| {
        if failure.code == domain::error::UNKNOWN_OPERATION.code {
            Failure::of(ErrorCode::METHOD_NOT_FOUND)
        } else {
            Failure::new(failure.code, failure.detail)
        }
    })?;
    let data = serde_json::from_slice(&answer.output).map_err(|_| Failure::internal())?;
    encoded(&Answer { data })
}

/// Several methods in one request; the replies are in their order.
async fn batch(edge: &Edge, params: &[u8]) -> Result<Box<RawValue>, Failure> {
    #[derive(Deserialize)]
    struct Batch<'a> {
        #[serde(borrow)]
        commands: Vec<BTreeMap<String, &'a RawValue>>,
        #[serde(default)]
        parallel: bool,
    }
    #[derive(Serialize)]
    struct Replies {
        replies: Vec<BTreeMap<String, Box<RawValue>>>,
    }
    let batch: Batch<'_> = serde_json::from_slice(params)
        .map_err(|_| Failure::bad_request("batch takes commands, each with one method"))?;
    if batch.commands.len() > COMMANDS_MAX {
        let why = format!("a batch has at most {COMMANDS_MAX} commands");
        return Err(Failure::bad_request(&why));
    }
    let commands = batch.commands.iter().map(|command| one_of(edge, command));
    let replies = if batch.parallel {
        join_all(commands).await
    } else {
        let mut replies = Vec::with_capacity(batch.commands.len());
        for command in commands {
            replies.push(command.await);
        }
        replies
    };
    encoded(&Replies { replies })
}

async fn one_of(
    edge: &Edge,
    command: &BTreeMap<String, &RawValue>,
) -> BTreeMap<String, Box<RawValue>> {
    let outcome = match command.iter().next() {
        Some((method, params)) if command.len() == 1 && method != "batch" => {
            let done = run(edge, method, params.get().as_bytes()).await;
            done.map(|result| (method.clone(), result))
        }
        _ => Err(Failure::bad_request("a command names one method")),
    };
    let (name, value) = outcome.unwrap_or_else(|failure| {
        let error = encoded(&failure).unwrap_or_else(|_| RawValue::NULL.to_owned());
        ("error".to_owned(), error)
    });
    BTreeMap::from([(name, value)])
}
