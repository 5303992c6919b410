//! The REST doors under `/v1`: every operation that declares one, served from its declaration.
//!
//! Nothing here names an operation. A request becomes the operation's input (path, query and body
//! together), a bearer token becomes the caller, and what comes back becomes a response or a
//! [`Problem`]. What all doors share:
//!
//! - `Authorization: Bearer <JWT>`, the same tokens as sockets use.
//! - `Idempotency-Key` on commands: the same key never does it twice; `Idempotency-Replayed: true`
//!   says it had been done before.
//! - `ETag` on queries, and on commands that return a thing with a version; `If-Match` refuses
//!   with 412 when that thing moved on; `If-None-Match` on queries saves the body (304).
//! - `Link: <...>; rel="next"` where a list goes on.

mod call;
mod door;
mod headers;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, any, on};
use http::header::ALLOW;
use http::{HeaderValue, Method as HttpMethod, StatusCode};

pub(super) use door::Door;
pub(super) use headers::EXPOSED;
pub use headers::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED};

use super::Edge;
use super::problem::Problem;
use crate::domain::{Method, registry};

/// All doors, by path.
pub(super) fn doors() -> BTreeMap<&'static str, Vec<Arc<Door>>> {
    let mut paths: BTreeMap<&'static str, Vec<Arc<Door>>> = BTreeMap::new();
    for declared in registry::all() {
        if let Some(door) = Door::of(declared) {
            paths.entry(door.path).or_default().push(Arc::new(door));
        }
    }
    paths
}

/// The routes of all doors.
pub(super) fn router() -> Router<Edge> {
    let mut router = Router::new();
    for (path, doors) in doors() {
        router = router.route(path, methods(&doors));
    }
    router
}

fn methods(doors: &[Arc<Door>]) -> MethodRouter<Edge> {
    let allow = allowed(doors);
    let refused = allow.clone();
    let mut methods = any(move |method: HttpMethod| {
        std::future::ready(if method == HttpMethod::OPTIONS {
            options(&allow)
        } else {
            Problem::method_not_allowed(refused.clone()).into_response()
        })
    });
    for door in doors {
        let (filter, door) = (filter(door.method), Arc::clone(door));
        let serve = move |State(edge): State<Edge>, request: axum::extract::Request| {
            let door = Arc::clone(&door);
            async move { call::serve(&edge, &door, request).await }
        };
        methods = methods.merge(on(filter, serve));
    }
    methods
}

fn filter(method: Method) -> MethodFilter {
    match method {
        // axum's GET filter serves HEAD too.
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    }
}

fn allowed(doors: &[Arc<Door>]) -> String {
    let mut methods: Vec<&str> = doors.iter().map(|door| door.method_name()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.join(", ")
}

fn options(allow: &str) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}
