//! The edge as a whole, called as a client would: the REST doors over a school in memory, and the
//! server API over a node that writes down what it was asked.

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
use super::health::{Ailment, Vitals};
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

    async fn connections(&self, user: Option<String>) -> Result<Vec<ConnectionInfo>, Failure> {
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

fn letter() -> Value {
    json!({ "profile": p(1), "subject": "Tur", "text": "Husk madpakke", "recipients": [{ "group": g(1) }] })
}

fn threads_of(who: u32) -> String {
    format!("GET /v1/profiles/{}/threads", p(who))
}

#[test]
fn what_a_teacher_posts_a_guardian_gets() {
    run_local(async {
        let bench = Bench::new().await;
        let posted = bench.person(1, "POST /v1/threads", Some(letter())).await;
        assert_eq!(posted.status, StatusCode::OK, "{:?}", posted.body);
        let list = bench.person(41, &threads_of(41), None).await;
        assert_eq!(list.status, StatusCode::OK);
        assert_eq!(list.header("cache-control"), "private, no-cache");
        assert_eq!(list.json()["threads"].as_array().map(Vec::len), Some(1));
        let other = bench.person(92, &threads_of(92), None).await;
        assert_eq!(other.json()["threads"], json!([]), "another class");
        let foreign = bench.person(92, &threads_of(41), None).await;
        assert_eq!(
            foreign.problem(),
            (403, "error.profile_not_yours".to_owned())
        );
    });
}

#[test]
fn lists_go_on_by_link() {
    run_local(async {
        let bench = Bench::new().await;
        for _ in 0..3 {
            bench.person(1, "POST /v1/threads", Some(letter())).await;
        }
        let mut line = format!("{}?limit=2", threads_of(41));
        let first = bench.person(41, &line, None).await;
        assert_eq!(first.json()["threads"].as_array().map(Vec::len), Some(2));
        let link = first.header("link");
        let next = link
            .strip_prefix('<')
            .and_then(|it| it.strip_suffix(">; rel=\"next\""));
        line = format!("GET {}", next.expect("a link to the next page"));
        let second = bench.person(41, &line, None).await;
        assert_eq!(second.json()["threads"].as_array().map(Vec::len), Some(1));
        assert_eq!(second.header("link"), "", "the end");
    });
}

#[test]
fn a_key_does_it_once_and_says_so() {
    run_local(async {
        let bench = Bench::new().await;
        let headers = [
            ("authorization", "Bearer s1"),
            ("idempotency-key", "\"k-1\""),
        ];
        let post = |body| bench.ask("POST /v1/threads", &headers, Some(body));
        let first = post(letter()).await;
        let again = post(letter()).await;
        assert_eq!(first.header("idempotency-replayed"), "");
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(first.body, again.body);
        let mut other = letter();
        other["text"] = json!("Noget andet");
        let conflict = post(other).await;
        assert_eq!(
            conflict.problem(),
            (409, "error.idempotency_conflict".to_owned())
        );
        let list = bench.person(41, &threads_of(41), None).await;
        assert_eq!(list.json()["threads"].as_array().map(Vec::len), Some(1));
    });
}

#[test]
fn a_tag_saves_the_body_and_guards_a_change() {
    run_local(async {
        let bench = Bench::new().await;
        let posted = bench
            .person(1, "POST /v1/threads", Some(letter()))
            .await
            .json();
        let thread = posted["thread"]["id"].as_str().expect("an id").to_owned();
        let line = format!("GET /v1/threads/{thread}?profile={}", p(1));
        let shown = bench.person(1, &line, None).await;
        let tag = shown.header("etag").to_owned();
        let s1 = ("authorization", "Bearer s1+");
        let held = bench.ask(&line, &[s1, ("if-none-match", &tag)], None).await;
        assert_eq!(
            (held.status, held.body.len()),
            (StatusCode::NOT_MODIFIED, 0)
        );
        let version = shown.json()["thread"]["version"]
            .as_u64()
            .expect("a version");
        let line = format!("PUT /v1/threads/{thread}/sensitivity");
        let body = json!({ "profile": p(1), "sensitive": true });
        let stale = format!("\"{}\"", version + 1);
        let refused = bench
            .ask(&line, &[s1, ("if-match", &stale)], Some(body.clone()))
            .await;
        assert_eq!(refused.problem(), (412, "error.version_changed".to_owned()));
        let done = bench
            .ask(&line, &[s1, ("if-match", &tag)], Some(body))
            .await;
        assert_eq!(done.status, StatusCode::OK, "{:?}", done.body);
    });
}

#[test]
fn everything_wrong_is_a_problem_with_its_own_key() {
    run_local(async {
        let bench = Bench::new().await;
        let s1 = ("authorization", "Bearer s1");
        let list = threads_of(1);
        let huge = json!({ "text": "x".repeat(70_000) });
        type Row<'r> = (
            &'r str,
            Vec<(&'r str, &'r str)>,
            Option<Value>,
            u16,
            &'r str,
        );
        let table: Vec<Row<'_>> = vec![
            (&list, vec![], None, 401, "error.not_signed_in"),
            (
                &list,
                vec![("authorization", "Basic x")],
                None,
                401,
                "error.not_signed_in",
            ),
            (
                &list,
                vec![("authorization", "Bearer expired")],
                None,
                401,
                "error.token_refused",
            ),
            (
                &list,
                vec![("authorization", "Bearer forged")],
                None,
                401,
                "error.token_refused",
            ),
            (
                &list,
                vec![("authorization", "Bearer a/b")],
                None,
                401,
                "error.token_refused",
            ),
            (
                &list,
                vec![("authorization", "Bearer unavailable")],
                None,
                503,
                "error.unavailable",
            ),
            (
                &list,
                vec![s1, ("accept", "text/html")],
                None,
                406,
                "error.not_acceptable",
            ),
            (
                "GET /v1/profiles/x/threads",
                vec![s1],
                None,
                400,
                "error.invalid_input",
            ),
            ("GET /v1/nothing", vec![s1], None, 404, "error.no_such_path"),
            (
                "TRACE /v1/threads",
                vec![s1],
                None,
                405,
                "error.method_not_allowed",
            ),
            (
                "POST /health",
                vec![],
                None,
                405,
                "error.method_not_allowed",
            ),
            (
                "POST /v1/threads",
                vec![s1],
                None,
                400,
                "error.invalid_input",
            ),
            (
                "POST /v1/threads",
                vec![s1],
                Some(json!([])),
                400,
                "error.invalid_input",
            ),
            (
                "POST /v1/threads",
                vec![s1],
                Some(json!({"x": 1})),
                400,
                "error.invalid_input",
            ),
            (
                "POST /v1/threads?a=b",
                vec![s1],
                Some(letter()),
                400,
                "error.invalid_input",
            ),
            (
                "POST /v1/threads",
                vec![s1],
                Some(huge),
                413,
                "error.body_too_large",
            ),
            (
                "POST /v1/threads",
                vec![s1, ("content-type", "text/plain")],
                Some(letter()),
                415,
                "error.unsupported_media_type",
            ),
            (
                "POST /v1/threads",
                vec![s1, ("idempotency-key", "a b")],
                Some(letter()),
                400,
                "error.bad_header",
            ),
            (
                "POST /v1/threads",
                vec![s1, ("if-match", "seven")],
                Some(letter()),
                400,
                "error.bad_header",
            ),
        ];
        for (line, headers, body, status, key) in table {
            let answer = bench.ask(line, &headers, body).await;
            assert_eq!(
                answer.problem(),
                (status, key.to_owned()),
                "{line} {headers:?}"
            );
            let challenged = answer.header("www-authenticate").starts_with("Bearer ");
            assert_eq!(challenged, status == 401, "{line}");
        }
        for query in [
            "limit=abc",
            "limit=0",
            "limit=1&limit=2",
            "unread=maybe",
            "colour=red",
        ] {
            let answer = bench.person(1, &format!("{list}?{query}"), None).await;
            assert_eq!(
                answer.problem(),
                (400, "error.invalid_input".to_owned()),
                "{query}"
            );
        }
    });
}

#[test]
fn a_wrong_method_names_the_right_ones() {
    run_local(async {
        let bench = Bench::new().await;
        let line = threads_of(1).replace("GET", "DELETE");
        let answer = bench.person(1, &line, None).await;
        assert_eq!(answer.problem().0, 405);
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS");
        let options = bench
            .ask(&threads_of(1).replace("GET", "OPTIONS"), &[], None)
            .await;
        assert_eq!(options.status, StatusCode::NO_CONTENT);
        assert_eq!(options.header("allow"), "GET, HEAD, OPTIONS");
    });
}

#[test]
fn nothing_that_was_sent_comes_back_in_a_problem() {
    run_local(async {
        let bench = Bench::new().await;
        let secret = "Emil-er-syg";
        let bodies = [
            json!({ "profile": secret }),
            json!({ "profile": p(1), "text": [secret] }),
            json!({ secret: 1 }),
        ];
        for body in bodies {
            let answer = bench.person(1, "POST /v1/threads", Some(body)).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            assert!(!String::from_utf8_lossy(&answer.body).contains(secret));
        }
    });
}

#[test]
fn only_allowed_pages_are_let_in() {
    run_local(async {
        let bench = Bench::new().await;
        let preflight = |origin| {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
            ];
            async move { headers }
        };
        let good = preflight("https://good.example").await;
        let answer = bench.ask("OPTIONS /v1/threads", &good, None).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(
            answer.header("access-control-allow-origin"),
            "https://good.example"
        );
        assert!(
            answer
                .header("access-control-allow-headers")
                .contains("idempotency-key")
        );
        let bad = preflight("https://bad.example").await;
        let answer = bench.ask("OPTIONS /v1/threads", &bad, None).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.header("access-control-allow-origin"), "");
        assert_eq!(answer.header("vary"), "origin");
    });
}

#[test]
fn health_tells_what_is_missing() {
    run_local(async {
        let bench = Bench::new().await;
        let check = |serving| {
            let reason = "the key set cannot be fetched".to_owned();
            let part = "keys";
            *bench.node.ailments.lock().expect("no panic") = vec![Ailment {
                part,
                reason,
                serving,
            }];
        };
        let ok = bench.ask("GET /health", &[], None).await;
        assert_eq!(
            (ok.status, &ok.json()["status"]),
            (StatusCode::OK, &json!("ok"))
        );
        check(true);
        let degraded = bench.ask("GET /health", &[], None).await;
        assert_eq!(degraded.status, StatusCode::OK);
        assert_eq!(degraded.json()["status"], "degraded");
        assert_eq!(degraded.json()["reasons"][0]["part"], "keys");
        check(false);
        let failing = bench.ask("GET /health", &[], None).await;
        assert_eq!(failing.status, StatusCode::SERVICE_UNAVAILABLE);
    });
}

#[test]
fn requests_are_counted_by_route() {
    run_local(async {
        let bench = Bench::new().await;
        bench.person(41, &threads_of(41), None).await;
        let text = bench.ask("GET /metrics", &[], None).await;
        let text = String::from_utf8_lossy(&text.body).into_owned();
        let line = "centrifugo_node_incoming_http_requests_total{path=\"/v1/profiles/{profile}/threads\",method=\"GET\",status=\"200\"} 1";
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("G10001"), "no id in a label");
    });
}

#[test]
fn a_problems_type_leads_to_its_description() {
    run_local(async {
        let bench = Bench::new().await;
        let answer = bench.ask("GET /v1/nothing", &[], None).await;
        let kind = answer.json()["type"].as_str().expect("a type").to_owned();
        let described = bench.ask(&format!("GET {kind}"), &[], None).await;
        assert_eq!(described.status, StatusCode::OK);
        assert!(String::from_utf8_lossy(&described.body).contains("no_such_path"));
        let unknown = bench.ask("GET /problems/none", &[], None).await;
        assert_eq!(unknown.problem().0, 404);
    });
}

#[test]
fn files_are_served_from_their_folder_and_no_other() {
    run_local(async {
        let outer = tempfile::tempdir().expect("a folder");
        let folder = outer.path().join("dist");
        std::fs::create_dir(&folder).expect("made");
        std::fs::write(folder.join("index.html"), "<p>hej").expect("written");
        std::fs::write(outer.path().join("secret"), "no").expect("written");
        let api = Access::with_keys([], Duration::from_secs(1));
        let bench = Bench::with(api, Some(folder)).await;
        let page = bench.ask("GET /", &[], None).await;
        assert_eq!(
            (page.status, &page.body[..]),
            (StatusCode::OK, &b"<p>hej"[..])
        );
        assert_eq!(page.header("cache-control"), "no-cache");
        for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "//secret"] {
            let answer = bench.ask(&format!("GET {path}"), &[], None).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        }
        let closed = bench.ask("POST /api/info", &[], Some(json!({}))).await;
        assert_eq!(closed.status, StatusCode::UNAUTHORIZED, "routes come first");
    });
}

// --- The server API ---

#[test]
fn the_server_api_answers_as_its_back_ends_expect() {
    run_local(async {
        let bench = Bench::new().await;
        let position = json!({ "offset": 7, "epoch": "e" });
        let table = [
            (
                "publish",
                json!({"channel": "chat:a", "data": {"a": 1.0}}),
                json!({"result": position}),
            ),
            (
                "publish",
                json!({"channel": "chat:a", "b64data": "aGVq", "skip_history": true}),
                json!({"result": {}}),
            ),
            (
                "broadcast",
                json!({"channels": ["chat:a", "nope:b"], "data": 1}),
                json!({"result": {"responses": [{"result": position},
                    {"error": {"code": 102, "message": "unknown channel"}}]}}),
            ),
            (
                "presence",
                json!({"channel": "chat:a"}),
                json!({"result": {"presence": {"c1": {"user": "u", "client": "c1"}}}}),
            ),
            (
                "presence_stats",
                json!({"channel": "chat:a"}),
                json!({"error": {"code": 108, "message": "not available"}}),
            ),
            (
                "history",
                json!({"channel": "chat:a", "limit": 10}),
                json!({"result": {
                "publications": [{"data": {"a": 1.0}, "offset": 1}, {"b64data": "/wA=", "offset": 2}],
                "epoch": "e", "offset": 2}}),
            ),
            (
                "subscribe",
                json!({"user": "u", "channel": "chat:a", "expire_at": 5,
                "override": {"presence": {"value": true}}}),
                json!({"result": {}}),
            ),
            (
                "unsubscribe",
                json!({"user": "u", "channel": ""}),
                json!({"result": {}}),
            ),
            (
                "disconnect",
                json!({"user": "u", "whitelist": ["c"]}),
                json!({"result": {}}),
            ),
            (
                "refresh",
                json!({"user": "u", "expire_at": 9}),
                json!({"result": {}}),
            ),
            (
                "refresh",
                json!({"user": "u", "expired": true}),
                json!({"result": {}}),
            ),
            (
                "history_remove",
                json!({"channel": "chat:a"}),
                json!({"result": {}}),
            ),
            (
                "connections",
                json!({"user": "u"}),
                json!({"result": {"connections": {"c1": {
                "user": "u", "transport": "websocket", "protocol": "json",
                "channels": ["news"]}}}}),
            ),
            (
                "rpc",
                json!({"method": "no.such"}),
                json!({"error": {"code": 104, "message": "method not found"}}),
            ),
        ];
        for (method, params, expected) in table {
            assert_eq!(
                bench.api(method, params.clone()).await,
                expected,
                "{method} {params}"
            );
        }
        assert_eq!(
            bench.node.asked(),
            [
                "publish chat:a {\"a\":1.0}",
                "publish chat:a hej",
                "publish chat:a 1",
                "history chat:a Some(10) false",
                "subscribe u chat:a Some(5000) Some(true)",
                "unsubscribe u None 2000",
                "disconnect u 3503 [\"c\"]",
                "refresh u Some(9000)",
                "disconnect u 3005 []",
                "history_remove chat:a",
            ]
        );
        assert_eq!(
            bench.api("info", json!({})).await["result"]["nodes"][0]["uid"],
            "n1"
        );
    });
}

#[test]
fn what_makes_no_sense_is_error_107() {
    run_local(async {
        let bench = Bench::new().await;
        let table = [
            ("publish", json!({"channel": "chat:a"})),
            ("publish", json!({"channel": "", "data": 1})),
            ("publish", json!({"channel": "x".repeat(256), "data": 1})),
            ("publish", json!({"channel": "chat:a", "b64data": "?"})),
            ("publish", json!({"channel": 5, "data": 1})),
            ("broadcast", json!({"channels": [], "data": 1})),
            ("subscribe", json!({"channel": "chat:a"})),
            ("disconnect", json!({})),
            (
                "disconnect",
                json!({"user": "u", "disconnect": {"code": 1000}}),
            ),
        ];
        for (method, params) in table {
            let answer = bench.api(method, params.clone()).await;
            assert_eq!(answer["error"]["code"], 107, "{method} {params}: {answer}");
        }
        assert!(bench.node.asked().is_empty(), "nothing was done");
    });
}

#[test]
fn channels_are_found_by_pattern_and_paged() {
    run_local(async {
        let bench = Bench::new().await;
        let first = bench
            .api("channels", json!({"pattern": "chat:*", "limit": 2}))
            .await;
        let page = &first["result"];
        assert_eq!(
            page["channels"],
            json!({"chat:a": {"num_clients": 2}, "chat:b": {"num_clients": 2}})
        );
        let rest = json!({"pattern": "chat:*", "limit": 2, "cursor": page["cursor"]});
        let rest = bench.api("channels", rest).await;
        assert_eq!(
            rest["result"],
            json!({"channels": {"chat:c": {"num_clients": 2}}})
        );
    });
}

#[test]
fn a_repeated_or_late_publication_is_suppressed() {
    run_local(async {
        let bench = Bench::new().await;
        let keyed = json!({"channel": "chat:a", "data": 1, "idempotency_key": "k"});
        let first = bench.api("publish", keyed.clone()).await;
        assert_eq!(bench.api("publish", keyed).await, first);
        for version in [2, 1, 2, 3] {
            let versioned = json!({"channel": "chat:v", "data": version, "version": version});
            bench.api("publish", versioned).await;
        }
        let asked = bench.node.asked();
        assert_eq!(
            asked,
            ["publish chat:a 1", "publish chat:v 2", "publish chat:v 3"]
        );
    });
}

#[test]
fn a_batch_answers_in_order_without_wrapper() {
    run_local(async {
        let bench = Bench::new().await;
        for parallel in [false, true] {
            let batch = json!({ "parallel": parallel, "commands": [
                {"publish": {"channel": "chat:a", "data": 1}},
                {"publish": {"channel": "nope:a", "data": 1}},
                {"batch": {"commands": []}},
            ]});
            let answer = bench.api("batch", batch).await;
            assert_eq!(
                answer["replies"][0],
                json!({"publish": {"offset": 7, "epoch": "e"}})
            );
            assert_eq!(answer["replies"][1]["error"]["code"], 102);
            assert_eq!(
                answer["replies"][2]["error"]["code"], 107,
                "no batch in a batch"
            );
        }
    });
}

#[test]
fn errors_come_by_status_when_asked() {
    run_local(async {
        let bench = Bench::new().await;
        let headers = [
            ("x-api-key", "key"),
            ("x-centrifugo-error-mode", "transport"),
        ];
        let body = json!({"channel": "nope:a", "data": 1});
        let answer = bench.ask("POST /api/publish", &headers, Some(body)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(
            answer.json(),
            json!({"code": 102, "message": "unknown channel"})
        );
    });
}

#[test]
fn what_is_no_call_is_told_by_status() {
    run_local(async {
        let bench = Bench::new().await;
        let key = [("x-api-key", "key")];
        let check = |answer: Answer| answer.status.as_u16();
        assert_eq!(
            check(bench.ask("POST /api/info", &[], Some(json!({}))).await),
            401
        );
        assert_eq!(check(bench.ask("GET /api/info", &key, None).await), 405);
        assert_eq!(
            check(bench.ask("POST /api/none", &key, Some(json!({}))).await),
            404
        );
        let bad = bench.ask("POST /api/info", &key, Some(json!([]))).await;
        assert_eq!(
            (bad.status.as_u16(), &bad.body[..]),
            (400, &b"Bad Request"[..])
        );
    });
}

#[test]
fn older_clients_send_commands_by_line() {
    run_local(async {
        let bench = Bench::new().await;
        let lines = "{\"method\":\"publish\",\"params\":{\"channel\":\"chat:a\",\"data\":1}}\n{\"method\":\"none\"}";
        let request = Request::post("/api").header("authorization", "apikey key");
        let request = request.body(Body::from(lines)).expect("a sound request");
        let answer = bench.send(request).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let replies: Vec<&str> = text.lines().collect();
        assert_eq!(replies.len(), 2);
        assert_eq!(replies[0], "{\"result\":{\"offset\":7,\"epoch\":\"e\"}}");
        assert!(replies[1].contains("104"), "{}", replies[1]);
    });
}

// --- The description ---

/// Calls `visit` with every value of a document.
fn walk(value: &Value, visit: &mut impl FnMut(&Value)) {
    visit(value);
    match value {
        Value::Object(members) => members.values().for_each(|member| walk(member, visit)),
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_of_the_description_leads_somewhere() {
    let document = openapi::document();
    let mut references = 0;
    walk(&document, &mut |value| {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
            return;
        };
        let pointer = reference.strip_prefix('#').expect("references stay inside");
        assert!(document.pointer(pointer).is_some(), "{reference}");
        references += 1;
    });
    assert!(references > 20, "{references}");
}

#[test]
fn every_door_is_described() {
    let document = openapi::document();
    let mut ids = std::collections::HashSet::new();
    for declared in crate::domain::registry::all() {
        let declaration = &declared.declaration;
        let Some(rest) = declaration.rest else {
            continue;
        };
        let method = format!("{:?}", rest.method).to_lowercase();
        let operation = &document["paths"][rest.path][&method];
        assert_eq!(operation["operationId"], declaration.name);
        assert!(ids.insert(declaration.name), "{}", declaration.name);
        let parameters = operation["parameters"].as_array().expect("a list");
        for part in rest
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{'))
        {
            let name = part.trim_end_matches('}');
            let described = parameters.iter().find(|it| it["name"] == name);
            let described = described.unwrap_or_else(|| panic!("{}: {name}", rest.path));
            assert_eq!(
                (&described["in"], &described["required"]),
                (&json!("path"), &json!(true))
            );
            assert!(described["schema"].is_object(), "{}: {name}", rest.path);
        }
        for row in declaration.errors {
            let status = row.status.to_string();
            assert!(
                operation["responses"][&status].is_object(),
                "{} {status}",
                declaration.name
            );
        }
    }
    assert!(ids.len() > 10, "{}", ids.len());
    assert_eq!(document["openapi"], "3.1.0");
}
