//! What tokens say: raw claims as they stand in JSON, and the typed form the server uses.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Flaw, UnixMillis};

/// Most channels one connection token may name; the connection could not hold more anyway.
const SUBSCRIPTIONS_MAX: usize = 1024;
/// Most institution profiles one token may name. A substitute teacher in many schools has dozens.
const PROFILES_MAX: usize = 256;

/// The verified claims of a connection token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionToken {
    /// `sub` (or the configured user claim); empty for an anonymous user.
    pub subject: String,
    /// When the connection must have been refreshed; `None` means never.
    pub expires_at: Option<UnixMillis>,
    /// `jti`.
    pub id: Option<String>,
    /// `iat`.
    pub issued_at: Option<UnixMillis>,
    /// `info` or `b64info`: shown to others as `conn_info`.
    pub info: Option<Bytes>,
    /// `channels` and `subs`: server-side subscriptions.
    pub subscriptions: BTreeMap<String, TokenSubscription>,
    /// `meta`: for back ends only, never shown to a client. JSON.
    pub meta: Option<Bytes>,
    /// `profiles`: the institution profiles this sign-in may act as; empty means all of the
    /// subject's.
    pub profiles: Vec<String>,
    /// `loa`: the assurance level, 0 when the token says nothing (1 to 4 otherwise; NSIS Low,
    /// Substantial and High are 2, 3 and 4).
    pub level: u8,
    /// `auth_time`: when the person last authenticated.
    pub authenticated_at: Option<UnixMillis>,
}

/// One server-side subscription a connection token asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenSubscription {
    /// Shown to others as `chan_info`.
    pub info: Option<Bytes>,
    /// Handed to the client in the subscribe result.
    pub data: Option<Bytes>,
    /// Options that replace the namespace's.
    pub overrides: Overrides,
}

/// The verified claims of a subscription token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriptionToken {
    /// `sub`: must equal the connection's subject.
    pub subject: String,
    /// `channel`: must equal the channel asked for.
    pub channel: String,
    /// `client`: must equal the connection's id when present.
    pub client: Option<String>,
    /// When the subscription must have been refreshed; `None` means never.
    pub expires_at: Option<UnixMillis>,
    /// `jti`.
    pub id: Option<String>,
    /// `iat`.
    pub issued_at: Option<UnixMillis>,
    /// Info, data and options of the subscription.
    pub subscription: TokenSubscription,
}

/// Namespace options a token replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// Keep presence.
    pub presence: Option<Override>,
    /// Send join and leave.
    pub join_leave: Option<Override>,
    /// Send join and leave whether asked for or not.
    pub force_push_join_leave: Option<Override>,
    /// Make the subscription recoverable.
    pub force_recovery: Option<Override>,
    /// Track the position.
    pub force_positioning: Option<Override>,
}

/// The `{"value": true}` of an override.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Override {
    /// The value that replaces the namespace's.
    #[serde(default)]
    pub value: bool,
}

/// The claims that decide whether a token counts at all.
pub(super) struct Validity {
    pub(super) expires: Option<UnixMillis>,
    pub(super) not_before: Option<UnixMillis>,
    pub(super) issued: Option<UnixMillis>,
    pub(super) id: Option<String>,
    pub(super) subject: String,
    pub(super) audience: Vec<String>,
    pub(super) issuer: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum LevelClaim {
    Number(u8),
    Name(String),
}

/// Claims as written. Times are JSON numbers of seconds and may have a fraction (RFC 7519).
#[derive(Deserialize)]
pub(super) struct RawClaims {
    #[serde(default)]
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
    expire_at: Option<f64>,
    jti: Option<String>,
    aud: Option<OneOrMany>,
    iss: Option<String>,
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    data: Option<Box<RawValue>>,
    b64data: Option<String>,
    #[serde(default)]
    r#override: Overrides,
    channels: Option<Vec<String>>,
    subs: Option<BTreeMap<String, RawSubscription>>,
    meta: Option<Box<RawValue>>,
    channel: Option<String>,
    client: Option<String>,
    profiles: Option<Vec<String>>,
    loa: Option<LevelClaim>,
    auth_time: Option<f64>,
    /// Nobody can have authenticated later than this.
    #[serde(skip)]
    latest: Option<UnixMillis>,
}

#[derive(Deserialize)]
struct RawSubscription {
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    data: Option<Box<RawValue>>,
    b64data: Option<String>,
    #[serde(default)]
    r#override: Overrides,
}

impl RawClaims {
    /// Reads claims; `user_claim` names the claim that holds the subject when it is not `sub`.
    pub(super) fn parse(json: &[u8], user_claim: Option<&str>) -> Result<Self, Flaw> {
        let mut claims: Self = serde_json::from_slice(json).map_err(|_| Flaw::Claims)?;
        if let Some(name) = user_claim {
            let all: BTreeMap<String, Box<RawValue>> =
                serde_json::from_slice(json).map_err(|_| Flaw::Claims)?;
            let value = all.get(name).ok_or(Flaw::Claims)?;
            claims.sub = Some(serde_json::from_str(value.get()).map_err(|_| Flaw::Claims)?);
        }
        Ok(claims)
    }

    /// Read at `now` by a clock that may be `leeway` behind the issuer's. Nobody authenticated later than that,
    /// nor later than the token was issued: a time that lies ahead would open sensitive content for ever.
    pub(super) fn read_at(&mut self, now: UnixMillis, leeway: UnixMillis) -> Result<(), Flaw> {
        let issued = time(self.iat)?.unwrap_or(UnixMillis::MAX);
        self.latest = Some(now.min(issued).saturating_add(leeway));
        Ok(())
    }

    pub(super) fn validity(&mut self) -> Result<Validity, Flaw> {
        Ok(Validity {
            expires: time(self.exp)?,
            not_before: time(self.nbf)?,
            issued: time(self.iat)?,
            id: self.jti.clone(),
            subject: self.sub.clone().unwrap_or_default(),
            audience: match self.aud.take() {
                None => Vec::new(),
                Some(OneOrMany::One(one)) => vec![one],
                Some(OneOrMany::Many(many)) => many,
            },
            issuer: self.iss.take(),
        })
    }

    /// `expire_at` replaces `exp` for the life of the connection; 0 means it never expires.
    fn lifetime(&self) -> Result<Option<UnixMillis>, Flaw> {
        match self.expire_at {
            None => time(self.exp),
            Some(0.0) => Ok(None),
            some => time(some),
        }
    }

    pub(super) fn into_connection(self) -> Result<ConnectionToken, Flaw> {
        if self.channel.is_some() {
            return Err(Flaw::Kind);
        }
        let expires_at = self.lifetime()?;
        let mut subscriptions = BTreeMap::new();
        for channel in self.channels.unwrap_or_default() {
            subscriptions.insert(channel, TokenSubscription::default());
        }
        for (channel, raw) in self.subs.unwrap_or_default() {
            subscriptions.insert(channel, raw.into_typed()?);
        }
        let profiles = self.profiles.unwrap_or_default();
        if subscriptions.len() > SUBSCRIPTIONS_MAX || profiles.len() > PROFILES_MAX {
            return Err(Flaw::Claims);
        }
        Ok(ConnectionToken {
            subject: self.sub.unwrap_or_default(),
            expires_at,
            id: self.jti,
            issued_at: time(self.iat)?,
            info: bytes_of(self.info, self.b64info)?,
            subscriptions,
            meta: self.meta.map(raw_bytes),
            profiles,
            level: self.loa.map_or(Ok(0), level)?,
            authenticated_at: time(self.auth_time)?
                .map(|at| at.min(self.latest.unwrap_or(UnixMillis::MAX))),
        })
    }

    pub(super) fn into_subscription(self) -> Result<SubscriptionToken, Flaw> {
        let expires_at = self.lifetime()?;
        let channel = self.channel.filter(|channel| !channel.is_empty());
        Ok(SubscriptionToken {
            subject: self.sub.unwrap_or_default(),
            channel: channel.ok_or(Flaw::Kind)?,
            client: self.client.filter(|client| !client.is_empty()),
            expires_at,
            id: self.jti,
            issued_at: time(self.iat)?,
            subscription: TokenSubscription {
                info: bytes_of(self.info, self.b64info)?,
                data: bytes_of(self.data, self.b64data)?,
                overrides: self.r#override,
            },
        })
    }
}

impl RawSubscription {
    fn into_typed(self) -> Result<TokenSubscription, Flaw> {
        Ok(TokenSubscription {
            info: bytes_of(self.info, self.b64info)?,
            data: bytes_of(self.data, self.b64data)?,
            overrides: self.r#override,
        })
    }
}

fn raw_bytes(raw: Box<RawValue>) -> Bytes {
    let text: Box<str> = raw.into();
    Bytes::from(text.into_string())
}

/// `b64…` wins over its plain sibling: whoever writes it means bytes.
fn bytes_of(raw: Option<Box<RawValue>>, encoded: Option<String>) -> Result<Option<Bytes>, Flaw> {
    match encoded.filter(|encoded| !encoded.is_empty()) {
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded).map_err(|_| Flaw::Claims)?;
            Ok(Some(Bytes::from(bytes)))
        }
        None => Ok(raw.map(raw_bytes).filter(|json| json != "null")),
    }
}

/// Seconds since 1970 to milliseconds. Refuses what is no moment: NaN, negative, beyond the
/// year 9999.
fn time(seconds: Option<f64>) -> Result<Option<UnixMillis>, Flaw> {
    const LAST_SECOND: f64 = 253_402_300_799.0;
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    if !(0.0..=LAST_SECOND).contains(&seconds) {
        return Err(Flaw::Claims);
    }
    // In range by the check above, so nothing is cut off but the part below a millisecond.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let millis = (seconds * 1000.0) as UnixMillis;
    Ok(Some(millis))
}

/// A number, a number in a string, or an NSIS name, bare or as the last part of its URI.
fn level(claim: LevelClaim) -> Result<u8, Flaw> {
    let level = match claim {
        LevelClaim::Number(number) => number,
        LevelClaim::Name(name) => {
            let name = name.rsplit('/').next().unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "low" => 2,
                "substantial" => 3,
                "high" => 4,
                digits => digits.parse().map_err(|_| Flaw::Claims)?,
            }
        }
    };
    if level > 4 {
        return Err(Flaw::Claims);
    }
    Ok(level)
}
