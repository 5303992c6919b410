//! Making tokens: for `klokke token`, for development and for tests. The server itself never
//! signs anything.

use std::collections::BTreeMap;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::Value;

/// Claims to sign. Times are Unix seconds; what is `None` or empty is left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Claims {
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// When the token stops being accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// When it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    /// Its own id, for revocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// For whom it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Assurance level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loa: Option<u8>,
    /// When the person authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
    /// Institution profiles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// Shown to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Value>,
    /// Server-side subscriptions without options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// The channel of a subscription token; makes it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The connection a subscription token is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Any other claims.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The key cannot be read, or is not of the algorithm's kind.
    #[error("signing key does not fit the algorithm")]
    Key(#[source] jsonwebtoken::errors::Error),
}

/// A key to sign with.
pub struct SigningKey {
    key: EncodingKey,
    algorithm: Algorithm,
    id: Option<String>,
}

impl SigningKey {
    /// A shared secret, signing HS256.
    #[must_use]
    pub fn hmac(secret: &[u8]) -> Self {
        Self {
            key: EncodingKey::from_secret(secret),
            algorithm: Algorithm::HS256,
            id: None,
        }
    }

    /// A private key in PEM (PKCS#8) for an RSA, ECDSA or Ed25519 algorithm.
    ///
    /// # Errors
    /// [`MintError::Key`].
    pub fn pem(algorithm: Algorithm, pem: &str) -> Result<Self, MintError> {
        use Algorithm as A;
        let pem = pem.as_bytes();
        let key = match algorithm {
            A::HS256 | A::HS384 | A::HS512 => Ok(EncodingKey::from_secret(pem)),
            A::ES256 | A::ES384 => EncodingKey::from_ec_pem(pem),
            A::EdDSA => EncodingKey::from_ed_pem(pem),
            A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512 => {
                EncodingKey::from_rsa_pem(pem)
            }
        };
        Ok(Self {
            key: key.map_err(MintError::Key)?,
            algorithm,
            id: None,
        })
    }

    /// The same key, signing with another algorithm of its family.
    #[must_use]
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The same key, named in each token's header.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Signs.
    ///
    /// # Errors
    /// [`MintError::Key`].
    pub fn mint(&self, claims: &Claims) -> Result<String, MintError> {
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&self.id);
        jsonwebtoken::encode(&header, claims, &self.key).map_err(MintError::Key)
    }
}
