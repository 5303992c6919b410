//! The server API (docs/protocol.md, section 8): how back ends publish, and look at and steer
//! connections. The same requests and answers as other servers of this protocol have.
//!
//! - `POST /api/{method}` with JSON; `POST /api` with `{"method","params"}`, many by line, for
//!   older clients.
//! - Key: `X-API-Key`, `Authorization: apikey KEY` or `?api_key=KEY`.
//! - `POST /api/import` with JSON Lines: master data, shown first (`import`, docs/import.md).
//! - `POST /api/drain`: the node sends everybody away and ends (`drain`).
//! - A failure has status 200 and `{"error":{"code","message"}}`, or with
//!   `X-Centrifugo-Error-Mode: transport` an HTTP status and `{"code","message"}`.
//!
//! [`Realtime`] is the port to the running node. Publishing skips the permissions of channels, since
//! whoever has the key is trusted; channels of the domain stay closed even to it.

mod access;
mod drain;
mod glob;
mod import;
mod methods;
mod port;
mod publish;
mod reply;
mod suppression;

use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

pub use access::Access;
pub(super) use import::Importing;
pub use port::{
    ConnectionInfo, NodeInfo, NodeMetrics, NodeProcess, Outgoing, Range, Realtime, Who,
};
pub use reply::Failure;
pub(super) use suppression::Suppression;

use super::Edge;
use crate::telemetry::catalogue;
use reply::ErrorMode;

/// Most commands in one batch or one body: what a back end sends at once, and no more than keeps
/// an answer within seconds.
const COMMANDS_MAX: usize = 1_000;

/// The routes of the server API.
pub(super) fn router(edge: &Edge) -> Router<Edge> {
    Router::new()
        .route("/api", post(legacy))
        .route("/api/import", post(import::import))
        .route("/api/drain", post(drain::drain))
        .route("/api/{method}", post(one))
        .layer(middleware::from_fn_with_state(edge.clone(), guard))
}

/// Lets in who has a key.
async fn guard(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    if edge.api.admits(request.headers(), request.uri().query()) {
        return next.run(request).await;
    }
    edge.refused("unauthorised");
    StatusCode::UNAUTHORIZED.into_response()
}

/// `POST /api/{method}`.
async fn one(
    State(edge): State<Edge>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mode = ErrorMode::of(&headers, edge.api.error_mode);
    let params = match read(&edge, body).await {
        Ok(params) => params,
        Err(response) => return response,
    };
    if !methods::exists(&method) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match run(&edge, &method, &params).await {
        Ok(result) if method == "batch" => reply::bare(&result),
        Ok(result) => reply::result(&result),
        Err(failure) => reply::failure(failure, mode),
    }
}

/// `POST /api`: commands with their method inside, one a line.
async fn legacy(State(edge): State<Edge>, body: Body) -> Response {
    #[derive(Deserialize)]
    struct Command<'a> {
        method: &'a str,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    let Ok(body) = to_bytes(body, edge.limits.api_body_bytes).await else {
        return too_large(&edge);
    };
    let commands: Result<Vec<Command<'_>>, _> = serde_json::Deserializer::from_slice(&body)
        .into_iter()
        .collect();
    let Ok(commands) = commands else {
        return bad_request(&edge);
    };
    if commands.is_empty() || commands.len() > COMMANDS_MAX {
        return bad_request(&edge);
    }
    let mut lines = Vec::new();
    for command in commands {
        let params = command.params.map_or("{}", RawValue::get);
        let outcome = run(&edge, command.method, params.as_bytes()).await;
        lines.push(reply::line(&outcome));
    }
    reply::json(lines.join("\n").into_bytes())
}

async fn read(edge: &Edge, body: Body) -> Result<Vec<u8>, Response> {
    let body = to_bytes(body, edge.limits.api_body_bytes).await;
    let body = body.map_err(|_| too_large(edge))?;
    if body.is_empty() {
        return Ok(b"{}".to_vec());
    }
    // An object, or the body cannot be decoded whatever the method.
    let object: Result<serde_json::Map<String, serde_json::Value>, _> =
        serde_json::from_slice(&body);
    object.map(|_| body.to_vec()).map_err(|_| bad_request(edge))
}

fn too_large(edge: &Edge) -> Response {
    edge.refused("too_large");
    StatusCode::PAYLOAD_TOO_LARGE.into_response()
}

fn bad_request(edge: &Edge) -> Response {
    edge.refused("malformed");
    (StatusCode::BAD_REQUEST, "Bad Request").into_response()
}

/// Runs one method, measured and bounded in time.
async fn run(edge: &Edge, method: &str, params: &[u8]) -> Result<Box<RawValue>, Failure> {
    let started = Instant::now();
    let done = tokio::time::timeout(edge.api.timeout, methods::run(edge, method, params)).await;
    let outcome = done.unwrap_or_else(|_| Err(Failure::internal()));
    let label = if methods::exists(method) {
        method
    } else {
        "unknown"
    };
    let spread = edge
        .meters
        .histogram(catalogue::API_COMMAND_SECONDS, &["http", label]);
    spread.observe_duration(started.elapsed());
    if let Err(failure) = &outcome {
        let code = failure.code().to_string();
        let labels = ["http", label, &code];
        edge.meters.count(catalogue::API_COMMAND_ERRORS, &labels);
    }
    outcome
}
