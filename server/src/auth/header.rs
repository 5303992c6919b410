//! The three parts of a compact JSON Web Token, split and its header read; nothing verified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Flaw, TOKEN_MAX_BYTES};

/// A token taken apart. Everything in here is what the sender says, not yet true.
pub(super) struct Unverified<'a> {
    /// The algorithm the header names; `none` and unknown names never get here.
    pub(super) algorithm: Algorithm,
    /// The key the header names.
    pub(super) key_id: Option<String>,
    /// Header and claims as signed.
    pub(super) message: &'a [u8],
    /// The claims, base64url.
    pub(super) claims: &'a str,
    /// The signature, base64url.
    pub(super) signature: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515 section 4.1.11). We understand none.
    crit: Option<IgnoredAny>,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, Flaw> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(Flaw::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Flaw::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Flaw::Malformed)?;
        if claims.contains('.') {
            return Err(Flaw::Malformed);
        }
        let header = URL_SAFE_NO_PAD
            .decode(header)
            .map_err(|_| Flaw::Malformed)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| Flaw::Malformed)?;
        if header.crit.is_some() {
            return Err(Flaw::Malformed);
        }
        Ok(Self {
            algorithm: header.alg.parse().map_err(|_| Flaw::Algorithm)?,
            key_id: header.kid,
            message: message.as_bytes(),
            claims,
            signature,
        })
    }

    /// The claims' JSON bytes.
    pub(super) fn claims_json(&self) -> Result<Vec<u8>, Flaw> {
        URL_SAFE_NO_PAD
            .decode(self.claims)
            .map_err(|_| Flaw::Malformed)
    }
}
