//! Two-way connections made of two HTTP requests, for networks that break WebSocket: one answer
//! that never ends carries what the server says, and each `POST /emulation` carries what the
//! client says (`docs/protocol.md` section 1.2).

use std::rc::Rc;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    CACHE_CONTROL, CONTENT_TYPE, ORIGIN, PRAGMA, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use klokke_protocol::{Codec, EmulationRequest};
use prost::Message as _;

use super::body::{ReplyBody, RequestBody, RequestBodyError, StreamBody};
use super::handshake::Refusal;
use super::host::{Asked, Door, Host, Opening, Uplink};
use super::link::Link;
use super::serve::{Connection, late, refuse};

const PROTOBUF_TYPE: &str = "application/octet-stream";
const NOT_BUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
const NEVER_STORED: &str = "private, no-cache, no-store, must-revalidate, max-age=0";

/// Opens the down side of a connection.
pub(super) async fn open<H: Host>(
    request: Request<RequestBody>,
    connection: &Rc<Connection<H>>,
    door: Door,
) -> Response<ReplyBody<H>> {
    let origin = match screen(&request, connection, Asked::Connection) {
        Ok(origin) => origin,
        Err(response) => return response,
    };
    let codec = match door {
        Door::HttpStream if is_protobuf(request.headers()) => Codec::Protobuf,
        _ => Codec::Json,
    };
    let headers = request.headers().clone();
    let first = match first_frame(request, connection, door).await {
        Ok(first) => first,
        Err(refusal) => {
            return with_cors(connection.refuse(Asked::Connection, refusal), origin);
        }
    };
    let charge = match connection.charge(&headers) {
        Ok(charge) => charge,
        Err(refusal) => return with_cors(refuse(refusal), origin),
    };
    let opening = Opening {
        door,
        codec,
        peer: connection.client(&headers),
        native_ping: false,
        headers,
        since_us: connection.since_us(),
    };
    let (max, standing) = (
        connection.settings.queue_max_bytes,
        connection.host.standing(door),
    );
    let link = Rc::new(Link::to_taker(max, standing));
    if door == Door::Sse {
        // An empty line first, so that proxies pass the head on before anything happens.
        let _ = link.write(&Bytes::from_static(b"\r\n"));
    }
    let Some(id) = connection.host.open(&opening, &link) else {
        let text = "no more connections are taken";
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text);
        return with_cors(connection.refuse(Asked::Connection, refusal), origin);
    };
    let host = Rc::clone(&connection.host);
    let body = StreamBody {
        link,
        host,
        id,
        _charge: charge,
    };
    connection.host.receive(id, first);
    with_cors(stream_response(body, door, codec), origin)
}

fn stream_response<H: Host>(
    body: StreamBody<H>,
    door: Door,
    codec: Codec,
) -> Response<ReplyBody<H>> {
    let content_type = match (door, codec) {
        (Door::Sse, _) => "text/event-stream",
        (_, Codec::Protobuf) => PROTOBUF_TYPE,
        (_, Codec::Json) => "application/json",
    };
    let mut response = Response::new(ReplyBody::Stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(NOT_BUFFERED, HeaderValue::from_static("no"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(NEVER_STORED));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// Takes commands of a connection whose down side is open, here or elsewhere.
pub(super) async fn uplink<H: Host>(
    request: Request<RequestBody>,
    connection: &Rc<Connection<H>>,
) -> Response<ReplyBody<H>> {
    let origin = match screen(&request, connection, Asked::Uplink) {
        Ok(origin) => origin,
        Err(response) => return response,
    };
    if request.method() != Method::POST {
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "use POST");
        return with_cors(connection.refuse(Asked::Uplink, refusal), origin);
    }
    let protobuf = is_protobuf(request.headers());
    let max = connection.settings.frame_max_bytes;
    let outcome = match read_body(request, max).await {
        Ok(body) => pass_on(&body, protobuf, connection).await,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(()) => with_cors(empty(StatusCode::NO_CONTENT), origin),
        Err(refusal) => with_cors(connection.refuse(Asked::Uplink, refusal), origin),
    }
}

async fn pass_on<H: Host>(
    body: &Bytes,
    protobuf: bool,
    connection: &Connection<H>,
) -> Result<(), Refusal> {
    let unreadable = || Refusal::new(StatusCode::BAD_REQUEST, "not an emulation request");
    let EmulationRequest {
        node,
        session,
        data,
    } = if protobuf {
        EmulationRequest::decode(body.clone()).map_err(|_| unreadable())?
    } else {
        read_json(body).ok_or_else(unreadable)?
    };
    match connection.host.uplink(&session, &node, data).await {
        Uplink::Accepted => Ok(()),
        Uplink::UnknownNode => Err(Refusal::new(StatusCode::NOT_FOUND, "no such node")),
        Uplink::Busy => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "cannot take more now",
        )),
    }
}

/// In JSON the commands are text inside a string.
fn read_json(body: &[u8]) -> Option<EmulationRequest> {
    let mut request: EmulationRequest = serde_json::from_slice(body).ok()?;
    let commands: String = serde_json::from_slice(&request.data).ok()?;
    request.data = commands.into();
    Some(request)
}

/// Answers what browsers ask before the request itself, and refuses foreign pages. Otherwise gives
/// the origin to name in the answer.
#[allow(clippy::result_large_err)] // The error is the answer itself, sent at once.
fn screen<H: Host>(
    request: &Request<RequestBody>,
    connection: &Connection<H>,
    asked: Asked,
) -> Result<Option<HeaderValue>, Response<ReplyBody<H>>> {
    let headers = request.headers();
    if !connection.settings.origins.allow(headers) {
        let refusal = Refusal::new(StatusCode::FORBIDDEN, "origin not allowed");
        return Err(connection.refuse(asked, refusal));
    }
    let origin = headers.get(ORIGIN).cloned();
    if request.method() != Method::OPTIONS {
        return Ok(origin);
    }
    let mut response = empty(StatusCode::NO_CONTENT);
    let allowed = response.headers_mut();
    let methods = HeaderValue::from_static("GET, POST, OPTIONS");
    allowed.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    allowed.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("300"));
    if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        allowed.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    Err(with_cors(response, origin))
}

async fn first_frame<H: Host>(
    request: Request<RequestBody>,
    connection: &Connection<H>,
    door: Door,
) -> Result<Bytes, Refusal> {
    if door == Door::Sse && request.method() == Method::GET {
        let missing = || Refusal::new(StatusCode::BAD_REQUEST, "cf_connect is missing");
        let query = request.uri().query().ok_or_else(missing)?;
        return query_value(query, "cf_connect").ok_or_else(missing);
    }
    if request.method() != Method::POST {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "use POST"));
    }
    read_body(request, connection.settings.frame_max_bytes).await
}

async fn read_body(request: Request<RequestBody>, max_bytes: usize) -> Result<Bytes, Refusal> {
    match Limited::new(request.into_body(), max_bytes).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = "body too large";
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Err(error)
            if matches!(
                error.downcast_ref::<RequestBodyError>(),
                Some(RequestBodyError::Late)
            ) =>
        {
            Err(late())
        }
        Err(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "body incomplete")),
    }
}

fn is_protobuf(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(PROTOBUF_TYPE.as_bytes()))
}

fn empty<H: Host>(status: StatusCode) -> Response<ReplyBody<H>> {
    let mut response = Response::new(ReplyBody::Whole(None));
    *response.status_mut() = status;
    response
}

fn with_cors<H: Host>(
    mut response: Response<ReplyBody<H>>,
    origin: Option<HeaderValue>,
) -> Response<ReplyBody<H>> {
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let yes = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// The first value of `name` in a query, decoded; `None` when absent or not decodable.
fn query_value(query: &str, name: &str) -> Option<Bytes> {
    let encoded = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))?;
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => decoded.push(b' '),
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                decoded.push(u8::from_str_radix(digits, 16).ok()?);
                rest = tail;
            }
            plain => decoded.push(*plain),
        }
    }
    Some(Bytes::from(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_percent_encoded_query_values() {
        let rows: [(&str, Option<&[u8]>); 6] = [
            ("cf_connect=%7B%22id%22%3A1%7D", Some(b"{\"id\":1}")),
            ("a=b&cf_connect=x+y", Some(b"x y")),
            ("cf_connect=%C3%B8", Some("ø".as_bytes())),
            ("cf_connect=%7", None),
            ("cf_connect=%zz", None),
            ("connect=1", None),
        ];
        for (query, value) in rows {
            assert_eq!(
                query_value(query, "cf_connect").as_deref(),
                value,
                "{query}"
            );
        }
    }
}
