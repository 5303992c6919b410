//! Tokens as a login service would sign them, valid, expired or foreign.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The secret of `tests/real-parts.toml`.
pub const SECRET: &str = "a secret that only the tests know";

/// A connection token of a user, valid for an hour.
#[must_use]
pub fn of(user: &str) -> String {
    signed(&json!({"sub": user, "exp": now() + 3600}))
}

/// A subscription token of a user for one channel, valid for an hour.
#[must_use]
pub fn for_channel(user: &str, channel: &str) -> String {
    signed(&json!({"sub": user, "channel": channel, "exp": now() + 3600}))
}

/// Any claims, signed with the tests' secret.
#[must_use]
pub fn signed(claims: &Value) -> String {
    signed_with(claims, SECRET)
}

/// Any claims, signed with any secret.
///
/// # Panics
/// Never on claims that are JSON.
#[must_use]
pub fn signed_with(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).expect("JSON claims can be signed")
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
