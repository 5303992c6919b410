//! Verification keys: what each may verify, and until when.
//!
//! A key is bound to its algorithms when it is made, never by what a token's header says. That
//! is what makes "sign with the public key as if it were a secret" fail.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

use super::header::Unverified;
use super::{Flaw, UnixMillis};

const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Most keys of one ring. Every key that fits a token without `kid` is tried, so this bounds
/// what one hostile token costs.
pub const RING_MAX_KEYS: usize = 32;

/// A key as an operator writes it.
#[derive(Clone)]
#[non_exhaustive]
pub enum KeyMaterial {
    /// A shared secret for HS256, HS384 and HS512.
    Hmac(Vec<u8>),
    /// An RSA public key in PEM, for RS* and PS*.
    RsaPem(String),
    /// An ECDSA public key in PEM on P-256 (ES256) or P-384 (ES384).
    EcPem(String),
    /// An Ed25519 public key in PEM, for EdDSA.
    EdPem(String),
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Hmac(redacted)",
            Self::RsaPem(_) => "RsaPem",
            Self::EcPem(_) => "EcPem",
            Self::EdPem(_) => "EdPem",
        })
    }
}

/// Why a key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a public key of the kind named.
    #[error("not a readable public key of this kind")]
    Unreadable,
    /// An empty secret verifies everybody's empty signature.
    #[error("secret is empty")]
    Empty,
    /// A curve we do not verify.
    #[error("curve not supported, use P-256 or P-384")]
    Curve,
    /// More than [`RING_MAX_KEYS`].
    #[error("too many keys, at most {RING_MAX_KEYS}")]
    TooMany,
}

/// One key, with the algorithms it may verify and the moment it stops being trusted.
#[derive(Clone)]
pub struct VerificationKey {
    id: Option<String>,
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
    valid_until: Option<UnixMillis>,
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .field("valid_until", &self.valid_until)
            .finish_non_exhaustive()
    }
}

impl VerificationKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`KeyError`] when it is not a key of the kind named.
    pub fn new(material: &KeyMaterial) -> Result<Self, KeyError> {
        let (key, algorithms) = match material {
            KeyMaterial::Hmac(secret) if secret.is_empty() => return Err(KeyError::Empty),
            KeyMaterial::Hmac(secret) => (DecodingKey::from_secret(secret), HMAC.to_vec()),
            KeyMaterial::RsaPem(pem) => (
                read(DecodingKey::from_rsa_pem(pem.as_bytes()))?,
                RSA.to_vec(),
            ),
            KeyMaterial::EcPem(pem) => {
                let key = read(DecodingKey::from_ec_pem(pem.as_bytes()))?;
                let algorithm = curve_of(key.as_bytes())?;
                (key, vec![algorithm])
            }
            KeyMaterial::EdPem(pem) => (
                read(DecodingKey::from_ed_pem(pem.as_bytes()))?,
                vec![Algorithm::EdDSA],
            ),
        };
        Ok(Self {
            id: None,
            key,
            algorithms,
            valid_until: None,
        })
    }

    /// The same key, asked only for tokens with this `kid` (or none).
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The same key, trusted until `moment` only: the previous key of a rotation.
    #[must_use]
    pub fn with_valid_until(mut self, moment: UnixMillis) -> Self {
        self.valid_until = Some(moment);
        self
    }

    /// A key from a key set, or `None` for one that must not verify tokens here: encryption
    /// keys, unknown curves, and secrets (a secret in a published set is no secret).
    pub(super) fn from_jwk(jwk: &Jwk) -> Option<Self> {
        if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
            return None;
        }
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA.to_vec(),
            AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            AlgorithmParameters::OctetKeyPair(_) | AlgorithmParameters::OctetKey(_) => return None,
        };
        if let Some(declared) = jwk.common.key_algorithm {
            algorithms.retain(|algorithm| declares(declared, *algorithm));
        }
        if algorithms.is_empty() {
            return None;
        }
        Some(Self {
            id: jwk.common.key_id.clone(),
            key: DecodingKey::from_jwk(jwk).ok()?,
            algorithms,
            valid_until: None,
        })
    }

    /// The `kid` of this key.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Until when a verdict of this key may be believed.
    pub(super) fn valid_until(&self) -> UnixMillis {
        self.valid_until.unwrap_or(UnixMillis::MAX)
    }

    fn fits(&self, token: &Unverified<'_>, now: UnixMillis) -> bool {
        let named = match (&self.id, &token.key_id) {
            (Some(own), Some(wanted)) => own == wanted,
            _ => true,
        };
        named && now < self.valid_until() && self.algorithms.contains(&token.algorithm)
    }

    fn verifies(&self, token: &Unverified<'_>) -> bool {
        jsonwebtoken::crypto::verify(token.signature, token.message, &self.key, token.algorithm)
            .unwrap_or(false)
    }
}

fn read(key: jsonwebtoken::errors::Result<DecodingKey>) -> Result<DecodingKey, KeyError> {
    key.map_err(|_| KeyError::Unreadable)
}

/// An uncompressed point is one byte and two coordinates.
fn curve_of(point: &[u8]) -> Result<Algorithm, KeyError> {
    match point.len() {
        65 => Ok(Algorithm::ES256),
        97 => Ok(Algorithm::ES384),
        _ => Err(KeyError::Curve),
    }
}

fn declares(declared: KeyAlgorithm, algorithm: Algorithm) -> bool {
    declared
        .to_string()
        .parse::<Algorithm>()
        .is_ok_and(|declared| declared == algorithm)
}

/// The keys of one issuer, in the order they are tried.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: Vec<VerificationKey>,
}

impl KeyRing {
    /// A ring of `keys`.
    ///
    /// # Errors
    /// [`KeyError::TooMany`].
    pub fn new(keys: Vec<VerificationKey>) -> Result<Self, KeyError> {
        if keys.len() > RING_MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        Ok(Self { keys })
    }

    /// Whether no key is here at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a key with this `kid` is here.
    pub(super) fn holds(&self, key_id: &str) -> bool {
        self.keys.iter().any(|key| key.id() == Some(key_id))
    }

    /// Checks the signature; on success says until when the verdict holds.
    pub(super) fn verify(
        &self,
        token: &Unverified<'_>,
        now: UnixMillis,
    ) -> Result<UnixMillis, Flaw> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.fits(token, now))
            .peekable();
        if fitting.peek().is_none() {
            let known = self
                .keys
                .iter()
                .any(|key| key.algorithms.contains(&token.algorithm));
            return Err(if known || self.is_empty() {
                Flaw::UnknownKey
            } else {
                Flaw::Algorithm
            });
        }
        fitting
            .find(|key| key.verifies(token))
            .map(VerificationKey::valid_until)
            .ok_or(Flaw::Signature)
    }
}
