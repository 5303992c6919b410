//! The server's address, taken apart.

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Host.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Whether it speaks TLS.
    pub(crate) is_tls: bool,
    /// Path of the WebSocket door.
    pub(crate) path: String,
}

/// The path of the WebSocket door when none is given.
const PATH: &str = "/connection/websocket";

/// An address that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum AddressError {
    /// Another scheme.
    #[error("the server's address must begin with ws:// or wss://, as in ws://127.0.0.1:8000")]
    Scheme,
    /// No host, or a port that is none.
    #[error("the server's address needs a host and may have a port, as in ws://127.0.0.1:8000")]
    Authority,
}

/// Takes `ws://host[:port][/path]`, or the same with `wss`, apart.
///
/// # Errors
/// When it is none.
pub(crate) fn parse(url: &str) -> Result<Address, AddressError> {
    let (is_tls, rest) = match (url.strip_prefix("wss://"), url.strip_prefix("ws://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(AddressError::Scheme),
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| AddressError::Authority)?),
        None => (authority, if is_tls { 443 } else { 80 }),
    };
    if host.is_empty() {
        return Err(AddressError::Authority);
    }
    let path = if matches!(path, "" | "/") { PATH } else { path };
    Ok(Address {
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        is_tls,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parsed = parse("ws://127.0.0.1:8000").expect("sound");
        assert_eq!(
            (parsed.host.as_str(), parsed.port, parsed.path.as_str()),
            ("127.0.0.1", 8000, PATH)
        );
        assert_eq!(parse("ws://[::1]:9/x").expect("sound").host, "::1");
        let secure = parse("wss://klokke.example").expect("sound");
        assert_eq!((secure.is_tls, secure.port), (true, 443));
        assert_eq!(parse("http://a"), Err(AddressError::Scheme));
        assert_eq!(parse("ws://:80"), Err(AddressError::Authority));
        assert_eq!(parse("ws://a:b"), Err(AddressError::Authority));
    }
}
