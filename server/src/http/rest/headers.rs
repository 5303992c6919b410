//! The headers REST doors read and write.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::domain::{NoRetryKey, RetryKey};
use crate::http::problem::{BAD_HEADER, NOT_ACCEPTABLE, Problem, UNSUPPORTED_MEDIA_TYPE};

/// The caller's key against doing something twice.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says that it had been done before under the same key.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The bearer token, if one was sent.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}

/// The idempotency key: visible ASCII, in quotes or not. A quote that opens has to close.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let bad = |fault: NoRetryKey| Problem::of(&BAD_HEADER).with_detail(fault.to_string());
    let key = value.to_str().map_err(|_| bad(NoRetryKey))?;
    let unquoted = match key.strip_prefix('"') {
        Some(opened) => opened.strip_suffix('"').ok_or_else(|| bad(NoRetryKey))?,
        None => key,
    };
    let key = RetryKey::parse(unquoted).map_err(bad)?;
    Ok(Some(key.as_str().to_owned()))
}

/// The version that `If-Match` names: a number in quotes, what follows a `-` in it aside. `*`, like
/// a header that says nothing, is any.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("?").trim();
    if text.is_empty() || text == "*" {
        return Ok(None);
    }
    let version = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .and_then(|text| text.split('-').next())
        .and_then(|text| text.parse().ok());
    let detail = "If-Match must be * or one entity tag as an ETag header gave it, such as \"7\"";
    let bad = || Problem::of(&BAD_HEADER).with_detail(detail);
    version.map(Some).ok_or_else(bad)
}

/// The entity tag of an output: the version of what it shows, for `If-Match`, and a digest of all
/// of it, because what one reader sees (unread, withheld) changes without the thing's version.
pub(super) fn etag(output: &[u8], version_at: Option<&str>) -> Option<HeaderValue> {
    let version = version_at.and_then(|place| {
        let output: Value = serde_json::from_slice(output).ok()?;
        output.pointer(place)?.as_u64()
    });
    let version = version.map(|it| it.to_string()).unwrap_or_default();
    let digest = blake3::hash(output).to_hex();
    let tag = format!("\"{version}-{}\"", &digest.as_str()[..TAG_DIGITS]);
    HeaderValue::from_str(&tag).ok()
}

/// Digits of the digest in a tag. 64 bits: two answers for one caller never meet by chance.
const TAG_DIGITS: usize = 16;

/// Whether the caller holds this already.
pub(super) fn is_held(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let Some(held) = headers
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let etag = etag.to_str().unwrap_or_default();
    held.split(',')
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == "*" || one == etag)
}

/// Refuses who takes no JSON.
pub(super) fn check_accept(headers: &HeaderMap) -> Result<(), Problem> {
    let mut asked = headers.get_all(ACCEPT).iter().peekable();
    if asked.peek().is_none() {
        return Ok(());
    }
    let takes_json = asked
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            let mut parts = range.split(';');
            let kind = parts.next().unwrap_or_default().trim();
            let known = ["*/*", "application/*", "application/json"];
            let refused = parts.any(|part| matches!(part.trim(), "q=0" | "q=0.0" | "q=0.00"));
            !refused && known.iter().any(|known| known.eq_ignore_ascii_case(kind))
        });
    takes_json
        .then_some(())
        .ok_or_else(|| Problem::of(&NOT_ACCEPTABLE))
}

/// Refuses a body that is not JSON by its content type.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if kind.trim().eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Problem::of(&UNSUPPORTED_MEDIA_TYPE))
    }
}

/// The address of the next page: the same with another cursor.
pub(super) fn next_link(path: &str, query: Option<&str>, output: &[u8]) -> Option<HeaderValue> {
    let output: Value = serde_json::from_slice(output).ok()?;
    let cursor = output.get("cursor")?.as_str()?;
    let mut next: Vec<&str> = query
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("cursor="))
        .collect();
    // A cursor is made of characters that need no escape in a query.
    let cursor = format!("cursor={cursor}");
    next.push(&cursor);
    HeaderValue::from_str(&format!("<{path}?{}>; rel=\"next\"", next.join("&"))).ok()
}

/// The headers a browser's script may read.
pub(crate) const EXPOSED: &str = "etag, link, idempotency-replayed";

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn tokens_are_found_whatever_the_case_of_the_scheme() {
        let check = |value| bearer(&with(AUTHORIZATION, value)).map(str::to_owned);
        assert_eq!(check("Bearer a.b.c"), Some("a.b.c".to_owned()));
        assert_eq!(check("bearer  a"), Some("a".to_owned()));
        for bad in ["Basic a", "Bearer", "Bearer ", "a.b.c"] {
            assert_eq!(check(bad), None, "{bad}");
        }
    }

    #[test]
    fn keys_against_doing_it_twice_are_the_same_in_quotes() {
        let check = |value| {
            let key = idempotency_key(&with(IDEMPOTENCY_KEY, value));
            key.map_err(|problem| problem.code())
        };
        for good in ["k-1", "\"k-1\""] {
            assert_eq!(check(good), Ok(Some("k-1".to_owned())), "{good}");
        }
        for bad in ["", "a b", "\"", "\"\"", "\"k"] {
            assert_eq!(check(bad), Err(BAD_HEADER.code), "{bad}");
        }
    }

    #[test]
    fn versions_are_read_strictly() {
        let check = |value| if_match(&with(IF_MATCH, value)).map_err(|problem| problem.code());
        assert_eq!(check("\"7\""), Ok(Some(7)));
        assert_eq!(check("\"7-0123456789abcdef\""), Ok(Some(7)));
        assert_eq!(check("*"), Ok(None));
        assert_eq!(check(""), Ok(None));
        for bad in ["7", "W/\"7\"", "\"x\"", "\"1\", \"2\"", "\"-abc\""] {
            assert_eq!(check(bad), Err(BAD_HEADER.code), "{bad}");
        }
    }

    #[test]
    fn json_must_be_acceptable() {
        let check = |value| check_accept(&with(ACCEPT, value)).is_ok();
        for good in [
            "*/*",
            "application/json",
            "text/html, application/json;q=0.9",
            "application/*",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in ["text/html", "application/json;q=0", "application/xml"] {
            assert!(!check(bad), "{bad}");
        }
        assert!(check_accept(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn the_next_page_keeps_everything_but_the_cursor() {
        let check = |query, output: &str| {
            next_link("/v1/x", query, output.as_bytes())
                .map(|link| link.to_str().unwrap_or_default().to_owned())
        };
        assert_eq!(
            check(Some("limit=5&cursor=a"), r#"{"cursor":"b/1"}"#).as_deref(),
            Some("</v1/x?limit=5&cursor=b/1>; rel=\"next\"")
        );
        assert_eq!(check(None, "{}"), None);
    }

    #[test]
    fn a_tag_tells_the_version_and_every_difference() {
        let tag = |output: &str| {
            let tag = etag(output.as_bytes(), Some("/thread/version")).expect("a tag");
            tag.to_str().unwrap_or_default().to_owned()
        };
        let one = tag(r#"{"thread":{"version":7,"unread":1}}"#);
        let read = tag(r#"{"thread":{"version":7,"unread":0}}"#);
        assert!(one.starts_with("\"7-") && read.starts_with("\"7-"));
        assert_ne!(one, read, "what is unread is part of the answer");
        assert!(tag("{}").starts_with("\"-"), "no version to name");
    }

    #[test]
    fn what_is_held_is_recognised() {
        let tag = HeaderValue::from_static("\"7-a\"");
        for held in ["\"7-a\"", "W/\"7-a\"", "\"6\", \"7-a\"", "*"] {
            assert!(is_held(&with(IF_NONE_MATCH, held), &tag), "{held}");
        }
        assert!(!is_held(&with(IF_NONE_MATCH, "\"7-b\""), &tag));
    }
}
