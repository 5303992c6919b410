//! `POST /api/drain`: sends everybody on this node to the others and ends it, as SIGTERM does (docs/operating.md). Answers at once;
//! how far it is says `/health`, which goes on to answer until the end.

use axum::extract::State;
use axum::response::Response;

use super::{methods, reply};
use crate::http::Edge;
use crate::http::health::Draining;

/// Begins the drain.
pub(super) async fn drain(State(edge): State<Edge>) -> Response {
    edge.vitals.drain();
    let draining = edge
        .vitals
        .draining()
        .unwrap_or(Draining { connections: 0 });
    match methods::encoded(&draining) {
        Ok(result) => reply::result(&result),
        Err(failure) => reply::failure(failure, edge.api.error_mode),
    }
}
