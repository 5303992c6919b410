//! The verifier for JSON Web Tokens.

use std::sync::Arc;

use async_trait::async_trait;
use jsonwebtoken::AlgorithmFamily;
use regex::Regex;

use super::claims::{RawClaims, Validity};
use super::header::Unverified;
use super::jwks::{Freshness, KeySet};
use super::verdict::{TokenHash, Verdicts};
use super::{
    ConnectionToken, Flaw, KeyRing, Revocations, SubscriptionToken, TokenError, TokenVerifier,
    UnixMillis,
};
use crate::telemetry::{Count, Meters, catalogue};

/// What claims must say beside being signed. Empty rules accept any audience and issuer.
#[derive(Debug, Clone, Default)]
pub struct ClaimRules {
    audience: Option<String>,
    audience_pattern: Option<Regex>,
    issuer: Option<String>,
    issuer_pattern: Option<Regex>,
    user_claim: Option<String>,
    leeway_ms: u64,
}

/// Why rules were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Not a regular expression.
    #[error("not a regular expression: {0}")]
    Pattern(#[from] regex::Error),
}

impl ClaimRules {
    /// `aud` must hold this value.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// One value of `aud` must match this regular expression.
    ///
    /// # Errors
    /// [`SettingsError::Pattern`].
    pub fn audience_pattern(mut self, pattern: &str) -> Result<Self, SettingsError> {
        self.audience_pattern = Some(Regex::new(pattern)?);
        Ok(self)
    }

    /// `iss` must be this value.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// `iss` must match this regular expression.
    ///
    /// # Errors
    /// [`SettingsError::Pattern`].
    pub fn issuer_pattern(mut self, pattern: &str) -> Result<Self, SettingsError> {
        self.issuer_pattern = Some(Regex::new(pattern)?);
        Ok(self)
    }

    /// The claim that holds the user's id, in place of `sub`.
    #[must_use]
    pub fn user_claim(mut self, claim: impl Into<String>) -> Self {
        self.user_claim = Some(claim.into());
        self
    }

    /// How far the issuer's clock may be from ours, in milliseconds.
    #[must_use]
    pub fn leeway_ms(mut self, leeway_ms: u64) -> Self {
        self.leeway_ms = leeway_ms;
        self
    }

    fn check(&self, validity: &Validity, now: UnixMillis) -> Result<(), TokenError> {
        let past = |moment: UnixMillis| now >= moment.saturating_add(self.leeway_ms);
        let ahead = |moment: UnixMillis| moment > now.saturating_add(self.leeway_ms);
        if validity.expires.is_some_and(past) || validity.not_before.is_some_and(ahead) {
            return Err(TokenError::Expired);
        }
        if let Some(wanted) = &self.audience
            && !validity.audience.contains(wanted)
        {
            return Err(Flaw::Audience.into());
        }
        if let Some(pattern) = &self.audience_pattern
            && !validity.audience.iter().any(|aud| pattern.is_match(aud))
        {
            return Err(Flaw::Audience.into());
        }
        let issuer = validity.issuer.as_deref();
        if self.issuer.is_some() && issuer != self.issuer.as_deref() {
            return Err(Flaw::Issuer.into());
        }
        if let Some(pattern) = &self.issuer_pattern
            && !issuer.is_some_and(|issuer| pattern.is_match(issuer))
        {
            return Err(Flaw::Issuer.into());
        }
        Ok(())
    }
}

/// Claims together with what decides whether they count now.
struct Judged<T> {
    validity: Validity,
    claims: Arc<T>,
}

/// Verifies JSON Web Tokens with keys of its own, with those of a key set, or both.
pub struct JwtVerifier {
    keys: KeyRing,
    key_set: Option<Arc<KeySet>>,
    rules: ClaimRules,
    revocations: Arc<Revocations>,
    connections: Verdicts<Judged<ConnectionToken>>,
    subscriptions: Verdicts<Judged<SubscriptionToken>>,
    checked: Count,
    remembered: Count,
}

impl JwtVerifier {
    /// A verifier. With no keys and no key set it refuses every token.
    #[must_use]
    pub fn new(
        keys: KeyRing,
        key_set: Option<Arc<KeySet>>,
        rules: ClaimRules,
        revocations: Arc<Revocations>,
    ) -> Self {
        Self {
            keys,
            key_set,
            rules,
            revocations,
            connections: Verdicts::default(),
            subscriptions: Verdicts::default(),
            checked: Count::default(),
            remembered: Count::default(),
        }
    }

    /// The same, counted here.
    #[must_use]
    pub fn counted(mut self, meters: &Meters) -> Self {
        self.checked = meters.counter(catalogue::TOKEN_VERDICTS, &["checked"]);
        self.remembered = meters.counter(catalogue::TOKEN_VERDICTS, &["remembered"]);
        self
    }

    /// Whether there is anything to verify a token with, now or once it was fetched.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty() || self.key_set.is_some()
    }

    fn generation(&self) -> u64 {
        self.key_set.as_ref().map_or(0, |set| set.generation())
    }

    async fn verify<T>(
        &self,
        token: &str,
        now: UnixMillis,
        verdicts: &Verdicts<Judged<T>>,
        read: fn(RawClaims) -> Result<T, Flaw>,
    ) -> Result<Arc<T>, TokenError> {
        let unverified = Unverified::parse(token)?;
        // Computing an HMAC costs about what looking up its verdict does.
        let remember = unverified.algorithm.family() != AlgorithmFamily::Hmac;
        let hash: TokenHash = if remember {
            *blake3::hash(token.as_bytes()).as_bytes()
        } else {
            TokenHash::default()
        };
        let generation = self.generation();
        if remember && let Some(judged) = verdicts.find(&hash, generation, now) {
            self.remembered.add(1);
            return self.judge(&judged, now);
        }
        self.checked.add(1);
        let valid_until = self.signature(&unverified, now).await?;
        let user_claim = self.rules.user_claim.as_deref();
        let mut raw = RawClaims::parse(&unverified.claims_json()?, user_claim)?;
        raw.read_at(now, self.rules.leeway_ms)?;
        let judged = Arc::new(Judged {
            validity: raw.validity()?,
            claims: Arc::new(read(raw)?),
        });
        if remember {
            verdicts.keep(hash, Arc::clone(&judged), valid_until, generation);
        }
        self.judge(&judged, now)
    }

    /// Everything that may differ from one use of a token to the next.
    fn judge<T>(&self, judged: &Judged<T>, now: UnixMillis) -> Result<Arc<T>, TokenError> {
        let validity = &judged.validity;
        self.rules.check(validity, now)?;
        let id = validity.id.as_deref();
        if self
            .revocations
            .covers(id, &validity.subject, validity.issued)
        {
            return Err(TokenError::Revoked);
        }
        Ok(Arc::clone(&judged.claims))
    }

    /// Checks the signature; says until when the key is trusted.
    async fn signature(
        &self,
        token: &Unverified<'_>,
        now: UnixMillis,
    ) -> Result<UnixMillis, TokenError> {
        let own = self.keys.verify(token, now);
        let Some(key_set) = &self.key_set else {
            return Ok(own?);
        };
        let is_secret = token.algorithm.family() == AlgorithmFamily::Hmac;
        if is_secret && self.keys.is_empty() && !key_set.was_had() {
            // No set holds a secret, but as long as there is no key at all nothing is wrong by one.
            key_set.seek(None).await;
            if !key_set.was_had() {
                return Err(TokenError::Unavailable);
            }
        }
        if own.is_ok() || is_secret {
            return Ok(own?);
        }
        match key_set.ring().verify(token, now) {
            Err(Flaw::UnknownKey) => {}
            known => return Ok(known?),
        }
        let freshness = key_set.seek(token.key_id.as_deref()).await;
        match (key_set.ring().verify(token, now), freshness) {
            (Err(Flaw::UnknownKey), Freshness::Stale) => Err(TokenError::Unavailable),
            (verdict, _) => Ok(verdict?),
        }
    }
}

#[async_trait]
impl TokenVerifier for JwtVerifier {
    async fn connection(
        &self,
        token: &str,
        now: UnixMillis,
    ) -> Result<Arc<ConnectionToken>, TokenError> {
        self.verify(token, now, &self.connections, RawClaims::into_connection)
            .await
    }

    async fn subscription(
        &self,
        token: &str,
        now: UnixMillis,
    ) -> Result<Arc<SubscriptionToken>, TokenError> {
        let read = RawClaims::into_subscription;
        self.verify(token, now, &self.subscriptions, read).await
    }
}
