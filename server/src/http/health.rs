//! `GET /health`: whether all is well, and if not, what is not.
//!
//! 200 while people can be served, degraded or not: a balancer must not take a node away that only
//! lacks something. 503 when it cannot serve.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::Edge;

/// How the node is; implemented by whoever puts the node together.
pub trait Vitals: Send + Sync + 'static {
    /// Everything that is not as it should be; empty when all is well.
    fn ailments(&self) -> Vec<Ailment>;

    /// How far its drain is, when one is under way.
    fn draining(&self) -> Option<Draining>;

    /// Begins its drain, at whose end it ends; once begun, it goes on.
    fn drain(&self);
}

/// How far a drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Draining {
    /// Connections that are still open.
    pub connections: usize,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ailment {
    /// What it concerns: `store`, `drain`, `accept`, `admission`, `cluster`, `keys`.
    pub part: &'static str,
    /// What is wrong and what follows from it, in English. No content.
    pub reason: String,
    /// Whether people can be served nevertheless.
    pub serving: bool,
}

/// How a node is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// All is well.
    Ok,
    /// People are served, but something is missing.
    Degraded,
    /// People cannot be served.
    Failing,
}

/// The answer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Health {
    /// In a word.
    pub status: Condition,
    /// What is wrong.
    pub reasons: Vec<Ailment>,
    /// How far the drain is, when one is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Draining>,
    /// Which version runs.
    pub version: &'static str,
}

pub(super) async fn health(State(edge): State<Edge>) -> Response {
    let reasons = edge.vitals.ailments();
    let (code, status) = if reasons.is_empty() {
        (StatusCode::OK, Condition::Ok)
    } else if reasons.iter().all(|ailment| ailment.serving) {
        (StatusCode::OK, Condition::Degraded)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Condition::Failing)
    };
    let version = env!("CARGO_PKG_VERSION");
    let health = Health {
        status,
        reasons,
        drain: edge.vitals.draining(),
        version,
    };
    (code, Json(health)).into_response()
}
