//! The edge as a whole, called as a client would: the REST doors over a school in memory, and the
//! server API over a node that writes down what it was asked.

mod api;
mod description;
mod rest;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use klokke_protocol::{
    ChannelName, ClientInfo, Disconnect, Epoch, ErrorCode, Position, Publication, Unsubscribe,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::api::{Access, ConnectionInfo, Failure, NodeInfo, Outgoing, Range, Realtime, Who};
use super::health::{Ailment, Draining, Vitals};
use super::{Limits, Parts, openapi, router};
use crate::auth::{ConnectionToken, Flaw, SubscriptionToken, TokenError, TokenVerifier};
use crate::domain::testing::{World, g, p};
use crate::ledger::Clock;
use crate::ledger::testing::run_local;
use crate::session::{HistoryPage, PresenceCount, ServerSubscription};
use crate::telemetry::Telemetry;

/// The token of a person is their subject, with a `+` after a strong login.
struct Names;

#[async_trait]
impl TokenVerifier for Names {
    async fn connection(&self, token: &str, now: u64) -> Result<Arc<ConnectionToken>, TokenError> {
        match token {
            "expired" => Err(TokenError::Expired),
            "forged" => Err(Flaw::Signature.into()),
            "unavailable" => Err(TokenError::Unavailable),
            other
                if !other
                    .trim_end_matches('+')
                    .ends_with(|c: char| c.is_ascii_digit())
                    && other != "a/b" =>
            {
                Err(Flaw::Malformed.into())
            }
            subject => Ok(Arc::new(ConnectionToken {
                subject: subject.trim_end_matches('+').to_owned(),
                level: if subject.ends_with('+') { 3 } else { 2 },
                authenticated_at: Some(now),
                ..ConnectionToken::default()
            })),
        }
    }

    async fn subscription(&self, _: &str, _: u64) -> Result<Arc<SubscriptionToken>, TokenError> {
        Err(Flaw::Kind.into())
    }
}

/// A node that writes down what it was asked.
#[derive(Default)]
struct Node {
    asked: Mutex<Vec<String>>,
    ailments: Mutex<Vec<Ailment>>,
}

impl Node {
    fn note(&self, what: String) {
        self.asked.lock().expect("no panic under it").push(what);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("no panic under it"))
    }
}

impl Vitals for Node {
    fn ailments(&self) -> Vec<Ailment> {
        self.ailments.lock().expect("no panic under it").clone()
    }

    fn draining(&self) -> Option<Draining> {
        let asked = self.asked.lock().expect("no panic under it");
        let is_begun = asked.iter().any(|it| it == "drain");
        is_begun.then_some(Draining { connections: 7 })
    }

    fn drain(&self) {
        self.note("drain".to_owned());
    }
}

fn known(channel: &ChannelName) -> Result<(), Failure> {
    match channel.namespace() {
        "" | "chat" => Ok(()),
        _ => Err(ErrorCode::UNKNOWN_CHANNEL.into()),
    }
}

#[async_trait]
impl Realtime for Node {
    async fn publish(
        &self,
        channel: &ChannelName,
        outgoing: Outgoing,
    ) -> Result<Option<Position>, Failure> {
        known(channel)?;
        let data = String::from_utf8_lossy(&outgoing.data).into_owned();
        self.note(format!("publish {channel} {data}"));
        let epoch = Epoch::from("e");
        Ok((!outgoing.skip_history).then_some(Position { offset: 7, epoch }))
    }

    async fn history(&self, channel: &ChannelName, range: Range) -> Result<HistoryPage, Failure> {
        known(channel)?;
        self.note(format!(
            "history {channel} {:?} {}",
            range.limit, range.reverse
        ));
        let publication = |offset, data: &'static [u8]| Publication {
            offset,
            data: Bytes::from_static(data),
            ..Publication::default()
        };
        Ok(HistoryPage {
            publications: vec![publication(1, b"{\"a\":1.0}"), publication(2, b"\xff\x00")],
            epoch: Epoch::from("e"),
            offset: 2,
        })
    }

    async fn history_remove(&self, channel: &ChannelName) -> Result<(), Failure> {
        known(channel)?;
        self.note(format!("history_remove {channel}"));
        Ok(())
    }

    async fn presence(&self, channel: &ChannelName) -> Result<Vec<ClientInfo>, Failure> {
        known(channel)?;
        Ok(vec![ClientInfo {
            user: "u".to_owned(),
            client: "c1".to_owned(),
            ..ClientInfo::default()
        }])
    }

    async fn presence_stats(&self, _: &ChannelName) -> Result<PresenceCount, Failure> {
        Err(ErrorCode::NOT_AVAILABLE.into())
    }

    async fn subscribe(&self, who: Who, wanted: ServerSubscription) -> Result<(), Failure> {
        let until = wanted.expires_at_ms;
        let presence = wanted.overrides.presence.map(|it| it.value);
        let what = format!(
            "subscribe {} {} {until:?} {presence:?}",
            who.user, wanted.channel
        );
        self.note(what);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        who: Who,
        channel: Option<ChannelName>,
        why: Unsubscribe,
    ) -> Result<(), Failure> {
        self.note(format!("unsubscribe {} {channel:?} {}", who.user, why.code));
        Ok(())
    }

    async fn disconnect(
        &self,
        who: Who,
        why: Disconnect,
        spared: Vec<String>,
    ) -> Result<(), Failure> {
        self.note(format!("disconnect {} {} {spared:?}", who.user, why.code));
        Ok(())
    }

    async fn refresh(&self, who: Who, until: Option<u64>, _: Option<Bytes>) -> Result<(), Failure> {
        self.note(format!("refresh {} {until:?}", who.user));
        Ok(())
    }

    async fn channels(&self) -> Result<Vec<(ChannelName, u32)>, Failure> {
        let names = ["chat:b", "chat:a", "news", "chat:c"];
        let channel = |name| ChannelName::parse(name).expect("a good name");
        Ok(names.into_iter().map(|name| (channel(name), 2)).collect())
    }

    async fn connections(
        &self,
        user: Option<String>,
        _: &str,
        _: usize,
    ) -> Result<Vec<ConnectionInfo>, Failure> {
        Ok(vec![ConnectionInfo {
            client: "c1".to_owned(),
            user: user.unwrap_or_default(),
            transport: "websocket".to_owned(),
            protocol: "json".to_owned(),
            channels: vec!["news".to_owned()],
        }])
    }

    async fn nodes(&self) -> Result<Vec<NodeInfo>, Failure> {
        Ok(vec![NodeInfo {
            uid: "n1".to_owned(),
            ..NodeInfo::default()
        }])
    }
}

/// An edge over a school.
struct Bench {
    _world: World,
    node: Arc<Node>,
    router: Router,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Access::with_keys(["key"], Duration::from_secs(5)), None).await
    }

    async fn with(api: Access, folder: Option<std::path::PathBuf>) -> Self {
        let world = World::new().await;
        let node = Arc::new(Node::default());
        let clock: Arc<dyn Clock> = world.bench.clock.clone();
        let router = router(Parts {
            domain: world.domain.clone(),
            verifier: Arc::new(Names),
            realtime: Arc::<Node>::clone(&node),
            vitals: Arc::<Node>::clone(&node),
            clock,
            telemetry: Telemetry::new(),
            api,
            limits: Limits::default(),
            origins: Arc::new(|headers: &HeaderMap| {
                headers
                    .get("origin")
                    .is_some_and(|it| it == "https://good.example")
            }),
            serve_metrics: true,
            folder,
        });
        Self {
            _world: world,
            node,
            router,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await;
        let response = response.expect("the router never fails");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// A request with headers; a body, when given, is JSON.
    async fn ask(&self, line: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let (method, uri) = line.split_once(' ').expect("METHOD URI");
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).expect("a sound request"))
            .await
    }

    /// A request of a person.
    async fn person(&self, who: u32, line: &str, body: Option<Value>) -> Answer {
        let token = format!("Bearer s{who}");
        self.ask(line, &[("authorization", &token)], body).await
    }

    /// A call of the server API.
    async fn api(&self, method: &str, params: Value) -> Value {
        let line = format!("POST /api/{method}");
        let answer = self.ask(&line, &[("x-api-key", "key")], Some(params)).await;
        assert_eq!(answer.status, StatusCode::OK, "{method}");
        answer.json()
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.unwrap_or(Ok("")).expect("headers are ASCII")
    }

    /// Status and key of a problem.
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        let key = body["key"].as_str().expect("a problem has a key");
        (self.status.as_u16(), key.to_owned())
    }
}
