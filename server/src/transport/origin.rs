//! From which web pages a browser may connect.
//!
//! With no list, a page may connect to the host it came from. Requests without an `Origin` come
//! from apps and other programs and pass: the check protects people with browsers, tokens protect
//! everything.

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

/// Most patterns of one list; each connect looks at them all.
const PATTERNS_MAX: usize = 256;

/// The list of allowed origins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    patterns: Vec<String>,
}

/// Why a pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Neither `*` nor `scheme://host[:port]` with `*` somewhere in the host.
    #[error("`{0}` is not an origin (expected scheme://host[:port], `*` allowed in it)")]
    Malformed(String),
    /// More than 256 patterns.
    #[error("too many origins, at most {PATTERNS_MAX}")]
    TooMany,
}

impl Origins {
    /// A list of `scheme://host[:port]`, where `*` stands for any characters but `/`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(patterns: impl IntoIterator<Item = String>) -> Result<Self, PatternError> {
        let mut list = Vec::new();
        for pattern in patterns {
            let pattern = pattern.to_ascii_lowercase();
            let shaped = pattern.split_once("://").is_some_and(|(scheme, host)| {
                !scheme.is_empty() && !host.is_empty() && !host.contains('/')
            });
            if pattern != "*" && !shaped {
                return Err(PatternError::Malformed(pattern));
            }
            list.push(pattern);
        }
        if list.len() > PATTERNS_MAX {
            return Err(PatternError::TooMany);
        }
        Ok(Self { patterns: list })
    }

    /// Whether a request with these header fields may connect.
    #[must_use]
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else {
            return true;
        };
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let origin = origin.to_ascii_lowercase();
        if self.patterns.is_empty() {
            let host = headers.get(HOST).and_then(|host| host.to_str().ok());
            let page = origin.split_once("://").map(|(_, host)| host);
            return matches!((page, host), (Some(page), Some(host)) if page.eq_ignore_ascii_case(host));
        }
        self.patterns
            .iter()
            .any(|pattern| matches(pattern, &origin))
    }
}

/// `*` stands for any characters but `/`. Linear: the leftmost fit of each part is enough.
fn matches(pattern: &str, text: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    let mut parts = tail.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest
                .strip_suffix(part)
                .is_some_and(|between| !between.contains('/'));
        }
        match rest.find(part) {
            Some(at) if !rest[..at].contains('/') => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], origin: Option<&str>, host: &str) -> bool {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned());
        let origins = Origins::new(patterns).expect("patterns are shaped");
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().expect("ASCII"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().expect("ASCII"));
        }
        origins.allow(&headers)
    }

    #[test]
    fn without_a_list_only_the_same_host() {
        let rows = [
            (None, true),
            (Some("https://klokke.dk"), true),
            (Some("https://KLOKKE.dk"), true),
            (Some("https://klokke.dk:8443"), false),
            (Some("https://evil.dk"), false),
            (Some("null"), false),
        ];
        for (origin, allowed) in rows {
            assert_eq!(check(&[], origin, "klokke.dk"), allowed, "{origin:?}");
        }
    }

    #[test]
    fn a_list_replaces_the_rule() {
        let list = ["https://*.skole.dk", "http://localhost:*"];
        let rows = [
            ("https://a.skole.dk", true),
            ("https://a.b.skole.dk", true),
            ("https://skole.dk", false),
            ("http://a.skole.dk", false),
            ("https://a.skole.dk.evil.dk", false),
            ("https://evil.dk/.skole.dk", false),
            ("http://localhost:5173", true),
            ("https://klokke.dk", false),
        ];
        for (origin, allowed) in rows {
            assert_eq!(check(&list, Some(origin), "klokke.dk"), allowed, "{origin}");
        }
        assert!(check(&["*"], Some("null"), "klokke.dk"));
    }

    #[test]
    fn refuses_what_is_no_origin() {
        for pattern in ["klokke.dk", "https://", "https://a/b", ""] {
            assert!(Origins::new([pattern.to_owned()]).is_err(), "{pattern}");
        }
    }
}
