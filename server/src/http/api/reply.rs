//! Answers of the server API.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use klokke_protocol::ErrorCode;
use serde::Serialize;
use serde_json::value::RawValue;

/// How errors are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorMode {
    /// Status 200, `{"error":{..}}`.
    Body,
    /// The status says it, the body is the error.
    Transport,
}

impl ErrorMode {
    /// What the request asks for, else what is configured.
    pub(super) fn of(headers: &HeaderMap, configured: Self) -> Self {
        match headers
            .get("x-centrifugo-error-mode")
            .map(HeaderValue::as_bytes)
        {
            Some(b"transport") => Self::Transport,
            _ => configured,
        }
    }
}

/// Why a call of the server API failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    code: u32,
    message: String,
}

impl Failure {
    /// A failure of the protocol's table.
    #[must_use]
    pub fn of(code: ErrorCode) -> Self {
        Self {
            code: code.number(),
            message: code.text().to_owned(),
        }
    }

    /// The request makes no sense, and why. No content in it.
    #[must_use]
    pub fn bad_request(why: &str) -> Self {
        Self {
            code: ErrorCode::BAD_REQUEST.number(),
            message: format!("{}: {why}", ErrorCode::BAD_REQUEST.text()),
        }
    }

    /// A failure of the operations' table.
    #[must_use]
    pub fn of_operation(row: &crate::domain::error::ErrorCode) -> Self {
        Self {
            code: row.code,
            message: row.key.to_owned(),
        }
    }

    /// Any failure of an operation, by its own code.
    #[must_use]
    pub fn new(code: u32, message: String) -> Self {
        Self { code, message }
    }

    /// Something is wrong here.
    #[must_use]
    pub fn internal() -> Self {
        Self::of(ErrorCode::INTERNAL)
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> u32 {
        self.code
    }

    fn status(&self) -> StatusCode {
        match self.code {
            102 | 104 | 108 => StatusCode::NOT_FOUND,
            103 => StatusCode::FORBIDDEN,
            107 => StatusCode::BAD_REQUEST,
            111 => StatusCode::TOO_MANY_REQUESTS,
            112 => StatusCode::RANGE_NOT_SATISFIABLE,
            113 => StatusCode::CONFLICT,
            // Those of operations say it themselves.
            code => crate::domain::error::by_code(code)
                .and_then(|row| StatusCode::from_u16(row.status).ok())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::of(code)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome<'a> {
    Result(&'a RawValue),
    Error(Failure),
}

/// A body of JSON.
pub(super) fn json(body: Vec<u8>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind)], Body::from(body)).into_response()
}

/// `{"result": ...}`
pub(super) fn result(result: &RawValue) -> Response {
    encoded(&Outcome::Result(result))
}

/// The result as it is.
pub(super) fn bare(result: &RawValue) -> Response {
    json(result.get().as_bytes().to_vec())
}

/// A failure, as the mode wants it.
pub(super) fn failure(failure: Failure, mode: ErrorMode) -> Response {
    match mode {
        ErrorMode::Body => encoded(&Outcome::Error(failure)),
        ErrorMode::Transport => {
            let mut response = encoded(&failure);
            *response.status_mut() = failure.status();
            response
        }
    }
}

/// One line of a legacy answer.
pub(super) fn line(outcome: &Result<Box<RawValue>, Failure>) -> String {
    let line = match outcome {
        Ok(result) => serde_json::to_string(&Outcome::Result(result)),
        Err(failure) => serde_json::to_string(&Outcome::Error(failure.clone())),
    };
    // Texts, numbers and JSON that was JSON: it always encodes.
    line.unwrap_or_default()
}

fn encoded(body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => json(body),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
