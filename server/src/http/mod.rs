//! The thin edge: REST doors, server API, problem details, OpenAPI, health and metrics.
//!
//! | Path | What | Who may |
//! |---|---|---|
//! | `/v1/...` | REST doors of the operations ([`rest`]) | people, by bearer token |
//! | `/api/...` | server API ([`api`]) | back ends, by API key |
//! | `/openapi.json` | description of the REST doors ([`openapi`]) | everybody |
//! | `/problems/{name}` | what a kind of problem means ([`problem`]) | everybody |
//! | `/health` | whether all is well ([`health`]) | everybody |
//! | `/metrics` | figures for Prometheus | whoever reaches the address |
//! | `/` | a folder of files, where configured | everybody |
//!
//! HTTP is translated here and nothing more: what may be done and seen is decided in `domain` and
//! `people`. The room knows neither shards nor stores; what it needs of the running node it asks
//! through two ports, [`api::Realtime`] and [`health::Vitals`].

pub mod api;
mod cors;
mod files;
pub mod health;
pub mod openapi;
pub mod problem;
pub mod rest;
#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::auth::TokenVerifier;
use crate::domain::Domain;
use crate::ledger::Clock;
use crate::telemetry::{self, Meters, Telemetry, catalogue};
use problem::{NO_SUCH_PATH, Problem};

/// Whether a page of this origin may call, by the request's headers.
pub type OriginRule = Arc<dyn Fn(&HeaderMap) -> bool + Send + Sync>;

/// Bounds of the edge.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body at a REST door, in bytes: an operation's input is no larger over a socket.
    pub rest_body_bytes: usize,
    /// Largest body of the server API, in bytes; an import has its own bound.
    pub api_body_bytes: usize,
    /// Which part of a unit's records an import may end without being told to, in per cent.
    pub import_ended_percent: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rest_body_bytes: 64 * 1024,
            api_body_bytes: 4 * 1024 * 1024,
            import_ended_percent: crate::people::import::ENDED_PERCENT_MAX,
        }
    }
}

/// What the edge is made of.
pub struct Parts {
    /// The operations.
    pub domain: Domain,
    /// Who a token says somebody is.
    pub verifier: Arc<dyn TokenVerifier>,
    /// The running node, for the server API.
    pub realtime: Arc<dyn api::Realtime>,
    /// How the node is.
    pub vitals: Arc<dyn health::Vitals>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Everything counted.
    pub telemetry: Telemetry,
    /// Who may use the server API and how it reports errors.
    pub api: api::Access,
    /// Bounds.
    pub limits: Limits,
    /// Pages that may call.
    pub origins: OriginRule,
    /// Whether `/metrics` is served.
    pub serve_metrics: bool,
    /// Files served at `/`.
    pub folder: Option<PathBuf>,
}

/// The edge's state, shared by all requests.
#[derive(Clone)]
pub struct Edge(Arc<Shared>);

/// [`Parts`] with what is made of them once.
pub struct Shared {
    parts: Parts,
    meters: Meters,
    suppression: api::Suppression,
    importing: api::Importing,
}

impl Shared {
    /// Counts a request that came to no operation.
    fn refused(&self, reason: &'static str) {
        self.meters.count(catalogue::HTTP_REFUSED, &[reason]);
    }
}

impl Deref for Edge {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Deref for Shared {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// The whole edge as one service.
pub fn router(parts: Parts) -> Router {
    let folder = parts.folder.clone();
    let meters = parts.telemetry.meters();
    let serve_metrics = parts.serve_metrics;
    let edge = Edge(Arc::new(Shared {
        parts,
        meters,
        suppression: api::Suppression::default(),
        importing: api::Importing::default(),
    }));
    let mut router = Router::new()
        .route("/health", get(health::health))
        .route("/openapi.json", get(openapi::serve))
        .route("/problems/{name}", get(problem::describe))
        .merge(rest::router())
        .merge(api::router(&edge));
    if serve_metrics {
        router = router.route("/metrics", get(metrics));
    }
    let router = match folder {
        Some(folder) => files::under(router, &folder),
        None => router.fallback(nowhere),
    };
    router
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(edge.clone(), cors::cors))
        .layer(middleware::from_fn_with_state(edge.clone(), count))
        .with_state(edge)
}

async fn nowhere() -> Problem {
    Problem::of(&NO_SUCH_PATH)
}

/// For routes that are read only; doors of operations have their own answer.
async fn wrong_method() -> Problem {
    Problem::method_not_allowed("GET, HEAD".to_owned())
}

/// Summed and written off the shard's thread: nobody's messages wait for whoever watches.
async fn metrics(State(edge): State<Edge>) -> Response {
    let telemetry = edge.telemetry.clone();
    let text = tokio::task::spawn_blocking(move || telemetry.exposition()).await;
    let Ok(text) = text else {
        // Only a panic ends it otherwise, and that is in the log.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let kind = HeaderValue::from_static(telemetry::CONTENT_TYPE);
    ([(CONTENT_TYPE, kind)], text).into_response()
}

/// Counts every request by its route.
async fn count(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let method = if method.as_str().len() > Method::OPTIONS.as_str().len() {
        telemetry::OTHER
    } else {
        method.as_str()
    };
    let status = response.status();
    let labels = [route, method, status.as_str()];
    edge.meters.count(catalogue::NODE_HTTP_REQUESTS, &labels);
    response
}
