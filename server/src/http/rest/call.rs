//! One request at a REST door: read it, call the operation, answer.

use axum::RequestExt;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LINK};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde_json::{Map, Value};

use super::door::{Door, QueryType};
use super::headers;
use crate::auth::TokenError;
use crate::domain::error::{INVALID_INPUT, NOT_SIGNED_IN, UNAVAILABLE};
use crate::domain::{self, Answer, Caller};
use crate::http::Edge;
use crate::http::problem::{BODY_TOO_LARGE, Problem, TOKEN_REFUSED};
use crate::people::{Assurance, AssuranceLevel, Scope};
use crate::telemetry::{catalogue, now_us};

/// Serves one request.
pub(super) async fn serve(edge: &Edge, door: &Door, mut request: Request) -> Response {
    let path = request.extract_parts::<RawPathParams>().await;
    let (parts, body) = request.into_parts();
    let request = match path {
        Ok(path) => read(edge, door, &parts.headers, &parts.uri, &path, body).await,
        Err(_) => Err(invalid("the path is not UTF-8")),
    };
    let request = match request {
        Ok(request) => request,
        Err(problem) => {
            edge.refused(reason(&problem));
            return problem.into_response();
        }
    };
    match edge.domain.call(request).await {
        Ok(answer) => respond(door, &parts.headers, &parts.uri, answer),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// The reason under which a problem is counted that came before the operation.
fn reason(problem: &Problem) -> &'static str {
    match problem.status().as_u16() {
        401 => "unauthorised",
        406 | 415 => "media_type",
        413 => "too_large",
        503 => "unavailable",
        _ => "malformed",
    }
}

/// What the request asks of the operation.
async fn read(
    edge: &Edge,
    door: &Door,
    headers: &HeaderMap,
    uri: &Uri,
    path: &RawPathParams,
    body: Body,
) -> Result<domain::Request, Problem> {
    let arrived_us = now_us();
    let mut caller = caller(edge, headers).await?;
    headers::check_accept(headers)?;
    let mut idempotency = None;
    if door.is_command() {
        idempotency = headers::idempotency_key(headers)?;
        caller.version = headers::if_match(headers)?;
    }
    let body = to_bytes(body, edge.limits.rest_body_bytes)
        .await
        .map_err(|_| Problem::of(&BODY_TOO_LARGE))?;
    if door.has_body() && !body.is_empty() {
        headers::check_content_type(headers)?;
    }
    let input = input(door, path, uri.query().unwrap_or_default(), &body)?;
    Ok(domain::Request {
        operation: door.declaration.name.to_owned(),
        input: serde_json::to_vec(&input)
            .map_err(|_| invalid("the input cannot be written as JSON"))?
            .into(),
        idempotency,
        caller,
        arrived_us,
    })
}

/// Who calls, by their token.
async fn caller(edge: &Edge, headers: &HeaderMap) -> Result<Caller, Problem> {
    let token = headers::bearer(headers).ok_or_else(|| Problem::of(&NOT_SIGNED_IN))?;
    let now = edge.clock.now_ms();
    let claims = edge.verifier.connection(token, now).await;
    let outcome = TokenError::outcome(claims.as_ref().err());
    edge.meters.count(catalogue::TOKENS_VERIFIED, &[outcome]);
    let claims = claims.map_err(|error| match error {
        TokenError::Unavailable => Problem::of(&UNAVAILABLE),
        other => Problem::of(&TOKEN_REFUSED).with_detail(other.to_string()),
    })?;
    let subject = claims.subject.parse().map_err(|_| {
        Problem::of(&TOKEN_REFUSED).with_detail("the token's subject is no login of this server")
    })?;
    let assurance = Assurance {
        level: AssuranceLevel::from_claim(claims.level),
        authenticated_ms: claims.authenticated_at.unwrap_or(0),
    };
    let scope = Scope::from_claim(&claims.profiles);
    Ok(Caller::person(subject, assurance, domain::Door::Rest).within(scope))
}

/// The operation's input: body or query, and the path over it.
fn input(
    door: &Door,
    path: &RawPathParams,
    query: &str,
    body: &Bytes,
) -> Result<Map<String, Value>, Problem> {
    let mut input = if door.has_body() {
        if !query.is_empty() {
            return Err(invalid("this address takes no query parameters"));
        }
        from_body(door, body)?
    } else {
        if !body.is_empty() {
            return Err(invalid("this address takes no body"));
        }
        from_query(door, query)?
    };
    for (name, value) in path {
        if input.contains_key(name) {
            return Err(invalid("a name of the path stands in the body too"));
        }
        input.insert(name.to_owned(), Value::String(value.to_owned()));
    }
    Ok(input)
}

fn from_body(door: &Door, body: &Bytes) -> Result<Map<String, Value>, Problem> {
    if body.is_empty() && door.body_optional {
        return Ok(Map::new());
    }
    // The text of a serde error can quote the input, so only its place is passed on.
    let read: Result<Map<String, Value>, _> = serde_json::from_slice(body);
    let mut input = read.map_err(|fault| {
        let (line, column) = (fault.line(), fault.column());
        invalid(&format!(
            "the body is no JSON object, at line {line} column {column}"
        ))
    })?;
    input.values_mut().for_each(whole_numbers);
    Ok(input)
}

/// Largest whole number that every one below it can be told from as a float: 2^53.
const FLOAT_WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Writes `30.0` as `30`: JSON Schema, and so our description, calls both an integer.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        Value::Number(number) if number.is_f64() => {
            let whole = number
                .as_f64()
                .filter(|float| float.fract() == 0.0 && float.abs() <= FLOAT_WHOLE_MAX);
            if let Some(whole) = whole.and_then(|float| format!("{float:.0}").parse::<i64>().ok()) {
                *value = whole.into();
            }
        }
        _ => {}
    }
}

fn from_query(door: &Door, query: &str) -> Result<Map<String, Value>, Problem> {
    let mut input = Map::new();
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(query).map_err(|_| invalid("the query cannot be read"))?;
    for (name, text) in pairs {
        let known = door.query_fields.iter().find(|(known, _)| *known == name);
        let (_, kind) = known.ok_or_else(|| invalid("the query has an unknown parameter"))?;
        if *kind == QueryType::List {
            let list = input
                .entry(name)
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(items) = list {
                items.push(Value::String(text));
            }
            continue;
        }
        let value = match kind {
            QueryType::Integer => text.parse::<i64>().map(Value::from).ok(),
            QueryType::Boolean => text.parse::<bool>().map(Value::from).ok(),
            QueryType::Text | QueryType::List => Some(Value::String(text)),
        };
        let value = value.ok_or_else(|| invalid("a query parameter is not of its type"))?;
        if input.insert(name, value).is_some() {
            return Err(invalid("a query parameter stands twice"));
        }
    }
    Ok(input)
}

fn invalid(detail: &str) -> Problem {
    Problem::of(&INVALID_INPUT).with_detail(detail)
}

fn respond(door: &Door, asked: &HeaderMap, uri: &Uri, answer: Answer) -> Response {
    let etag = headers::etag(&answer.output, door.version_at.as_deref());
    let etag = etag.filter(|_| !door.is_command() || door.version_at.is_some());
    if let Some(etag) = &etag
        && !door.is_command()
        && headers::is_held(asked, etag)
    {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().insert(ETAG, etag.clone());
        return response;
    }
    let link = door
        .paged
        .then(|| headers::next_link(uri.path(), uri.query(), &answer.output))
        .flatten();
    let mut response = Response::new(Body::from(answer.output));
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // What somebody may see changes with their relations: nothing between may keep it.
    out.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Some(etag) = etag {
        out.insert(ETAG, etag);
    }
    if let Some(link) = link {
        out.insert(LINK, link);
    }
    if answer.replayed {
        let replayed = HeaderValue::from_static("true");
        out.insert(headers::IDEMPOTENCY_REPLAYED, replayed);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_json_schema_calls_an_integer_is_one() {
        let mut value = json!({ "a": [30.0, -2.0, 1.5, 1e300, 7], "b": { "c": 0.0 } });
        whole_numbers(&mut value);
        let text = value.to_string();
        assert_eq!(text, r#"{"a":[30,-2,1.5,1e+300,7],"b":{"c":0}}"#);
    }
}
