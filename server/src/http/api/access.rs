//! Who may use the server API.

use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::reply::ErrorMode;

/// Keys, and how the API answers.
#[derive(Clone)]
pub struct Access {
    /// Digests of the keys: comparing them takes the same time wherever they differ.
    keys: Vec<blake3::Hash>,
    /// Whether no key is needed.
    insecure: bool,
    /// How errors are reported when the request does not say.
    pub(super) error_mode: ErrorMode,
    /// How long a call may take.
    pub(super) timeout: Duration,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("keys", &self.keys.len())
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Open to whoever has one of these keys; to nobody when there are none.
    #[must_use]
    pub fn with_keys<'k>(keys: impl IntoIterator<Item = &'k str>, timeout: Duration) -> Self {
        let keys = keys.into_iter().filter(|key| !key.is_empty());
        Self {
            keys: keys.map(|key| blake3::hash(key.as_bytes())).collect(),
            insecure: false,
            error_mode: ErrorMode::Body,
            timeout,
        }
    }

    /// The same, open to everybody.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// The same, reporting errors by HTTP status.
    #[must_use]
    pub fn with_transport_errors(mut self) -> Self {
        self.error_mode = ErrorMode::Transport;
        self
    }

    /// Whether a request with these headers and this query is let in.
    pub(super) fn admits(&self, headers: &HeaderMap, query: Option<&str>) -> bool {
        if self.insecure {
            return true;
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = header(AUTHORIZATION.as_str()).and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("apikey").then_some(key.trim())
        });
        if let Some(key) = header("x-api-key").or(authorization) {
            return self.knows(key);
        }
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(query.unwrap_or_default()).unwrap_or_default();
        let key = pairs.iter().find(|(name, _)| name == "api_key");
        key.is_some_and(|(_, key)| self.knows(key))
    }

    fn knows(&self, key: &str) -> bool {
        let digest = blake3::hash(key.as_bytes());
        // All are compared, so that the time tells nothing.
        let matches = self.keys.iter().filter(|known| **known == digest).count();
        !key.is_empty() && matches > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn a_key_opens_by_each_of_three_ways_and_nothing_else_does() {
        let access = Access::with_keys(["k1", "k2", ""], Duration::from_secs(1));
        let header = |name: &'static str, value: &'static str| {
            let name = HeaderName::from_static(name);
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            access.admits(&headers, None)
        };
        assert!(header("x-api-key", "k1"));
        assert!(header("x-api-key", "k2"));
        assert!(header("authorization", "apikey k1"));
        assert!(header("authorization", "ApiKey k2"));
        assert!(!header("authorization", "Bearer k1"));
        assert!(!header("x-api-key", "k3"));
        assert!(!header("x-api-key", ""));
        let query = |query| access.admits(&HeaderMap::new(), Some(query));
        assert!(query("a=b&api_key=k1"));
        assert!(!query("api_key="));
        assert!(!query("api_key=k"));
        assert!(!access.admits(&HeaderMap::new(), None));
    }

    #[test]
    fn without_a_key_it_is_closed_unless_said_otherwise() {
        let closed = Access::with_keys([], Duration::from_secs(1));
        assert!(!closed.admits(&HeaderMap::new(), None));
        assert!(closed.insecure().admits(&HeaderMap::new(), None));
    }
}
