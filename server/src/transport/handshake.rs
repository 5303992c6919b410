//! The WebSocket handshake as a function: a request's head in, an answer's head out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use klokke_protocol::Codec;
use tungstenite::handshake::derive_accept_key;

use super::host::Reason;
use super::origin::Origins;

const JSON: &str = "centrifuge-json";
const PROTOBUF: &str = "centrifuge-protobuf";

/// An accepted handshake.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) codec: Codec,
    pub(super) native_ping: bool,
    pub(super) headers: HeaderMap,
}

/// A refused one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: &'static str,
    pub(super) header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: &'static str) -> Self {
        Self {
            status,
            text,
            header: None,
        }
    }

    /// Under which reason it is counted.
    pub(super) const fn reason(&self) -> Reason {
        match self.status {
            StatusCode::FORBIDDEN => Reason::Origin,
            StatusCode::PAYLOAD_TOO_LARGE => Reason::TooLarge,
            StatusCode::REQUEST_TIMEOUT => Reason::Timeout,
            StatusCode::SERVICE_UNAVAILABLE => Reason::NoRoom,
            _ => Reason::Malformed,
        }
    }
}

/// Checks a request for a WebSocket (RFC 6455 section 4.2).
pub(super) fn negotiate(request: &Parts, origins: &Origins) -> Result<Agreement, Refusal> {
    let headers = &request.headers;
    if request.method != Method::GET {
        let text = "a WebSocket handshake is a GET request";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    if !lists(headers, &UPGRADE, "websocket") || !lists(headers, &CONNECTION, "upgrade") {
        let text = "this address speaks WebSocket";
        let header = (UPGRADE, HeaderValue::from_static("websocket"));
        return Err(Refusal {
            header: Some(header),
            ..Refusal::new(StatusCode::UPGRADE_REQUIRED, text)
        });
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .map(HeaderValue::as_bytes)
        != Some(b"13")
    {
        let header = (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(Refusal {
            header: Some(header),
            ..Refusal::new(StatusCode::UPGRADE_REQUIRED, "WebSocket version must be 13")
        });
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| is_nonce(key));
    let Some(key) = key else {
        let text = "Sec-WebSocket-Key must be 16 bytes in base64";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    };
    if !origins.allow(headers) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "origin not allowed"));
    }
    Ok(agree(request, key))
}

fn agree(request: &Parts, key: &HeaderValue) -> Agreement {
    let query = request.uri.query().unwrap_or_default();
    let asks = |pair: &str| query.split('&').any(|part| part == pair);
    let protocol = [PROTOBUF, JSON]
        .into_iter()
        .find(|name| lists(&request.headers, &SEC_WEBSOCKET_PROTOCOL, name));
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = derive_accept_key(key.as_bytes());
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(name) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    let protobuf =
        protocol == Some(PROTOBUF) || asks("format=protobuf") || asks("cf_protocol=protobuf");
    Agreement {
        codec: if protobuf {
            Codec::Protobuf
        } else {
            Codec::Json
        },
        native_ping: asks("cf_ws_frame_ping_pong=true"),
        headers,
    }
}

/// Whether a comma-separated header field names `token`.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

fn is_nonce(key: &HeaderValue) -> bool {
    STANDARD
        .decode(key.as_bytes())
        .is_ok_and(|nonce| nonce.len() == 16)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(uri: &str, change: &[(&'static str, Option<&'static str>)]) -> Parts {
        let mut request = Request::builder().uri(uri).body(()).expect("a URI");
        let headers = request.headers_mut();
        let fields = [
            ("host", Some("klokke.dk")),
            ("connection", Some("keep-alive, Upgrade")),
            ("upgrade", Some("WebSocket")),
            ("sec-websocket-version", Some("13")),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ==")),
        ];
        for (name, value) in fields.iter().chain(change) {
            match value {
                Some(value) => headers.insert(*name, HeaderValue::from_static(value)),
                None => headers.remove(*name),
            };
        }
        request.into_parts().0
    }

    #[test]
    fn accepts_and_answers_the_sample_of_the_rfc() {
        let agreement = negotiate(&parts("/", &[]), &Origins::default()).expect("valid");
        let accept = &agreement.headers[SEC_WEBSOCKET_ACCEPT];
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!agreement.headers.contains_key(SEC_WEBSOCKET_PROTOCOL));
        assert_eq!(agreement.codec, Codec::Json);
        assert!(!agreement.native_ping);
    }

    #[test]
    fn the_codec_is_asked_for_in_any_of_four_ways() {
        use Codec::{Json, Protobuf};
        let protocol = |value| [("sec-websocket-protocol", Some(value))];
        let rows = [
            ("/", protocol("centrifuge-json"), Json, Some(JSON)),
            (
                "/",
                protocol("centrifuge-protobuf"),
                Protobuf,
                Some(PROTOBUF),
            ),
            (
                "/",
                protocol("x, centrifuge-protobuf"),
                Protobuf,
                Some(PROTOBUF),
            ),
            ("/", protocol("graphql-ws"), Json, None),
            ("/?format=protobuf", protocol("x"), Protobuf, None),
            ("/?a=b&cf_protocol=protobuf", protocol("x"), Protobuf, None),
            ("/?cf_protocol_version=v2", protocol("x"), Json, None),
        ];
        for (uri, change, codec, echoed) in rows {
            let agreement = negotiate(&parts(uri, &change), &Origins::default()).expect("valid");
            assert_eq!(agreement.codec, codec, "{uri} {change:?}");
            let answered = agreement.headers.get(SEC_WEBSOCKET_PROTOCOL);
            assert_eq!(
                answered.map(HeaderValue::as_bytes),
                echoed.map(str::as_bytes)
            );
        }
        let native = parts("/?cf_ws_frame_ping_pong=true", &[]);
        let agreement = negotiate(&native, &Origins::default()).expect("valid");
        assert!(agreement.native_ping);
    }

    #[test]
    fn refuses_what_is_no_handshake() {
        let rows = [
            (("upgrade", None), 426),
            (("upgrade", Some("h2c")), 426),
            (("connection", Some("close")), 426),
            (("sec-websocket-version", Some("8")), 426),
            (("sec-websocket-key", None), 400),
            (("sec-websocket-key", Some("c2hvcnQ=")), 400),
            (("origin", Some("https://evil.dk")), 403),
        ];
        for (change, status) in rows {
            let refusal = negotiate(&parts("/", &[change]), &Origins::default());
            let status_seen = refusal.expect_err("must be refused").status;
            assert_eq!(status_seen.as_u16(), status, "{change:?}");
        }
    }
}
