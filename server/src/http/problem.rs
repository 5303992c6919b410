//! Problem details (RFC 9457): the one shape of every failure at the REST doors.
//!
//! A problem carries the stable code and message key of the domain's table, texts people can read
//! (Danish first), and what a developer should do. It never repeats what was sent.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::OperationError;
use crate::domain::error::{self, ErrorCode};

/// Media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Seconds after which a temporary failure is worth another try.
const RETRY_AFTER_SECONDS: &str = "2";

/// A problem as sent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Details {
    /// Where this kind of problem is described; relative to the server.
    #[serde(rename = "type")]
    pub kind: String,
    /// What went wrong, in English.
    pub title: &'static str,
    /// The HTTP status.
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// For developers: what is wrong with this request, and what to do.
    pub detail: String,
    /// The stable number, the same as on the socket.
    pub code: u32,
    /// The stable key under which clients keep their own texts.
    pub key: &'static str,
    /// What people read, in Danish.
    pub message_da: &'static str,
    /// The same in English.
    pub message_en: &'static str,
    /// Whether the same request may work later.
    pub temporary: bool,
}

/// Declares the problems that arise before an operation is reached.
macro_rules! edge_errors {
    ($($(#[$doc:meta])* $name:ident = $code:literal $key:literal $status:literal $danish:literal $english:literal $remedy:literal;)+) => {
        $(
            $(#[$doc])*
            pub static $name: ErrorCode = ErrorCode {
                code: $code, key: $key, status: $status, temporary: false,
                danish: $danish, english: $english, remedy: $remedy,
            };
        )+
        /// Every row.
        pub static EDGE: &[&ErrorCode] = &[$(&$name),+];
    };
}

// Codes 480 to 499 are this room's part of the applications' range.
edge_errors! {
    /// No route has this path.
    NO_SUCH_PATH = 480 "error.no_such_path" 404
        "Adressen findes ikke." "There is no such address."
        "see /openapi.json for the addresses of this server";
    /// The path has other methods.
    METHOD_NOT_ALLOWED = 481 "error.method_not_allowed" 405
        "Det kan ikke gøres på denne adresse." "This cannot be done at this address."
        "use one of the methods in the Allow header";
    /// The caller takes no JSON.
    NOT_ACCEPTABLE = 482 "error.not_acceptable" 406
        "Svaret findes ikke i det ønskede format." "The answer is not available in that format."
        "accept application/json and application/problem+json";
    /// The body is no JSON by its content type.
    UNSUPPORTED_MEDIA_TYPE = 483 "error.unsupported_media_type" 415
        "Formatet understøttes ikke." "The format is not supported."
        "send the body as application/json";
    /// The body is larger than this door takes.
    BODY_TOO_LARGE = 484 "error.body_too_large" 413
        "Forespørgslen er for stor." "The request is too large."
        "send less at once; the limit is transport.message_size_limit_bytes";
    /// A header cannot be read.
    BAD_HEADER = 485 "error.bad_header" 400
        "Forespørgslen kunne ikke læses." "The request could not be read."
        "see /openapi.json for the form of this header";
    /// The token was refused.
    TOKEN_REFUSED = 486 "error.token_refused" 401
        "Log ind igen." "Sign in again."
        "call with a valid, unexpired token as Authorization: Bearer";
}

/// A failure on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: u32,
    key: &'static str,
    detail: String,
    danish: &'static str,
    english: &'static str,
    temporary: bool,
    allow: Option<String>,
}

impl Problem {
    /// A row of a table, with the row's own advice as detail.
    #[must_use]
    pub fn of(row: &'static ErrorCode) -> Self {
        Self {
            status: status(row.status),
            code: row.code,
            key: row.key,
            detail: row.remedy.to_owned(),
            danish: row.danish,
            english: row.english,
            temporary: row.temporary,
            allow: None,
        }
    }

    /// The same with another detail. No content in it.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// 405, naming the methods there are.
    #[must_use]
    pub fn method_not_allowed(allow: String) -> Self {
        Self {
            allow: Some(allow),
            ..Self::of(&METHOD_NOT_ALLOWED)
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> u32 {
        self.code
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// As sent.
    #[must_use]
    pub fn details(&self) -> Details {
        Details {
            kind: type_of(self.key),
            title: self.english,
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code,
            key: self.key,
            message_da: self.danish,
            message_en: self.english,
            temporary: self.temporary,
        }
    }
}

/// The address of a problem's description.
#[must_use]
pub fn type_of(key: &str) -> String {
    format!("/problems/{}", key.trim_start_matches("error."))
}

/// All problems there are: of this room and of the domain.
pub fn all() -> impl Iterator<Item = &'static ErrorCode> {
    EDGE.iter().chain(error::ALL).copied()
}

fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl From<OperationError> for Problem {
    fn from(failure: OperationError) -> Self {
        let (danish, english) = failure.texts();
        Self {
            status: status(failure.status),
            code: failure.code,
            key: failure.key,
            detail: failure.detail,
            danish,
            english,
            temporary: failure.temporary,
            allow: None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Only texts and numbers: it always encodes.
        let body = serde_json::to_vec(&self.details()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = if self.code == TOKEN_REFUSED.code {
                "Bearer realm=\"klokke\", error=\"invalid_token\""
            } else {
                "Bearer realm=\"klokke\""
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.temporary {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if let Some(allow) = self.allow
            && let Ok(allow) = HeaderValue::from_str(&allow)
        {
            headers.insert(ALLOW, allow);
        }
        response
    }
}

/// `GET /problems/{name}`: what a kind of problem means, for whoever follows its `type`.
pub(super) async fn describe(
    axum::extract::Path(name): axum::extract::Path<String>,
) -> Result<Response, Problem> {
    let key = format!("error.{name}");
    let row = all().find(|row| row.key == key);
    let row = row.ok_or_else(|| Problem::of(&NO_SUCH_PATH))?;
    let ErrorCode {
        code,
        key,
        status,
        danish,
        english,
        remedy,
        ..
    } = row;
    let text = format!(
        "{english}\n{danish}\n\nCode {code}, key {key}, HTTP status {status}.\n\
         What to do: {remedy}.\n"
    );
    Ok(text.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_makes_a_whole_problem() {
        let mut seen = 0;
        for row in all() {
            let problem = Problem::of(row);
            let details = serde_json::to_value(problem.details()).expect("encodes");
            for member in ["type", "title", "detail", "key", "message_da", "message_en"] {
                let text = details[member].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{}: {member}", row.key);
            }
            assert_eq!(details["status"], row.status);
            assert_eq!(details["code"], row.code);
            assert!((400..600).contains(&row.status), "{}", row.key);

            let response = problem.into_response();
            assert_eq!(response.status().as_u16(), row.status);
            assert_eq!(response.headers()[CONTENT_TYPE], MEDIA_TYPE);
            let challenged = response.headers().contains_key(WWW_AUTHENTICATE);
            assert_eq!(challenged, row.status == 401, "{}", row.key);
            let retried = response.headers().contains_key(RETRY_AFTER);
            assert_eq!(retried, row.temporary, "{}", row.key);
            seen += 1;
        }
        assert!(seen > EDGE.len(), "the domain's rows too");
    }

    #[test]
    fn codes_and_keys_are_unique_over_both_tables() {
        let mut rows: Vec<_> = all().map(|row| (row.code, row.key)).collect();
        let count = rows.len();
        rows.sort_unstable();
        rows.dedup_by_key(|(code, _)| *code);
        assert_eq!(rows.len(), count);
        rows.sort_unstable_by_key(|(_, key)| *key);
        rows.dedup_by_key(|(_, key)| *key);
        assert_eq!(rows.len(), count);
    }

    #[test]
    fn an_operations_failure_keeps_its_words() {
        let failure: OperationError = error::THREAD_FULL.refuse("500 messages").into();
        let details = Problem::from(failure).details();
        assert_eq!(details.kind, "/problems/thread_full");
        assert_eq!((details.status, details.code), (409, 1008));
        assert_eq!(details.detail, "500 messages");
        assert_eq!(details.message_da, "Tråden er fuld. Start en ny.");
    }
}
