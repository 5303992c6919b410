//! Tokens: who a connection says it is, and whether that is true today.
//!
//! The rest of the server names only the port [`TokenVerifier`] and the claims it returns; the
//! one adapter here, [`JwtVerifier`], reads JSON Web Tokens as `docs/protocol.md` section 7 says.
//! This room knows nothing of channels' options, of people or of sockets: it says what a token
//! claims, and somebody else decides what that is worth.
//!
//! Nouns: *claims* ([`ConnectionToken`], [`SubscriptionToken`]), *key ring* ([`KeyRing`]),
//! *key set* ([`jwks::KeySet`], keys fetched from an identity provider), *revocation*
//! ([`Revocations`]). No error of this room carries any text of a token.

mod claims;
mod header;
pub mod jwks;
mod jwt;
mod keys;
pub mod mint;
mod revocation;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Arc;

use async_trait::async_trait;

pub use claims::{ConnectionToken, Override, Overrides, SubscriptionToken, TokenSubscription};
pub use jwt::{ClaimRules, JwtVerifier, SettingsError};
pub use keys::{KeyError, KeyMaterial, KeyRing, RING_MAX_KEYS, VerificationKey};
pub use revocation::{REVOCATIONS_MAX, Revocation, RevocationError, Revocations};

/// Milliseconds since the Unix epoch, as every clock of the server counts.
pub type UnixMillis = u64;

/// Longest token looked at, in bytes. Real ones with some dozen profiles stay below 4 KiB; a
/// longer one is only a way to make us hash and decode for nothing.
pub const TOKEN_MAX_BYTES: usize = 16 * 1024;

/// Verifies tokens.
///
/// Promises: an `Ok` means the signature fits a key that is valid at `now`, every time claim
/// holds at `now`, audience and issuer are ours and the token is not revoked. A future that needs
/// no key fetched is ready at the first poll, so that a caller may run it in place.
#[async_trait]
pub trait TokenVerifier: Send + Sync + 'static {
    /// Verifies the token of a `connect` or `refresh` command.
    ///
    /// # Errors
    /// [`TokenError`]; its text never holds anything of the token.
    async fn connection(
        &self,
        token: &str,
        now: UnixMillis,
    ) -> Result<Arc<ConnectionToken>, TokenError>;

    /// Verifies the token of a `subscribe` or `sub_refresh` command. That channel, subject and
    /// client equal those of the connection is for the caller to compare.
    ///
    /// # Errors
    /// [`TokenError`]; its text never holds anything of the token.
    async fn subscription(
        &self,
        token: &str,
        now: UnixMillis,
    ) -> Result<Arc<SubscriptionToken>, TokenError>;
}

/// Why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// `exp` is past or `nbf` is ahead: the client should fetch a new one (reply error 109).
    #[error("token expired or not yet valid")]
    Expired,
    /// The token cannot be what it claims; a retry with it is useless.
    #[error("token invalid: {0}")]
    Invalid(Flaw),
    /// The token or all tokens of its subject issued before some moment were revoked.
    #[error("token revoked")]
    Revoked,
    /// The keys needed to judge it cannot be had just now; the same token may pass later.
    #[error("verification keys unavailable")]
    Unavailable,
}

impl TokenError {
    /// The verdict's name in metrics.
    #[must_use]
    pub const fn outcome(error: Option<&Self>) -> &'static str {
        match error {
            None => "accepted",
            Some(Self::Expired) => "expired",
            Some(Self::Revoked) => "revoked",
            Some(Self::Unavailable) => "unavailable",
            Some(Self::Invalid(_)) => "invalid",
        }
    }
}

/// What is wrong with an invalid token, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// Not three base64url parts, or longer than [`TOKEN_MAX_BYTES`].
    #[error("malformed")]
    Malformed,
    /// `alg` is `none`, unknown, or not one of the algorithms of any of our keys.
    #[error("algorithm not accepted")]
    Algorithm,
    /// No key has the token's `kid`, or no key is of its algorithm's family.
    #[error("no such key")]
    UnknownKey,
    /// The signature does not fit.
    #[error("signature mismatch")]
    Signature,
    /// The claims are not the JSON we expect.
    #[error("claims malformed")]
    Claims,
    /// `aud` is not ours.
    #[error("audience mismatch")]
    Audience,
    /// `iss` is not ours.
    #[error("issuer mismatch")]
    Issuer,
    /// A subscription token where a connection token belongs, or the reverse.
    #[error("wrong kind of token")]
    Kind,
}

impl From<Flaw> for TokenError {
    fn from(flaw: Flaw) -> Self {
        Self::Invalid(flaw)
    }
}
