//! The types a setting can have: how each is read from TOML and from plain text, and written.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::Value;

/// A type that can be configured.
pub trait Setting: Sized {
    /// What to write, for a mistake's text: `a number from 0 to 255`.
    fn expects() -> String;
    /// From a value of the file; `None` when it is not one of this type.
    fn from_value(value: &Value) -> Option<Self>;
    /// From plain text of the environment or the command line.
    fn from_text(text: &str) -> Option<Self> {
        Self::from_value(&Value::String(text.to_owned()))
    }
    /// As the file would say it; secrets redacted.
    fn to_toml(&self) -> String;
}

/// A text in TOML, quoted.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

impl Setting for bool {
    fn expects() -> String {
        "true or false".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn to_toml(&self) -> String {
        self.to_string()
    }
}

macro_rules! number_settings {
    ($($number:ty),*) => { $(
        impl Setting for $number {
            fn expects() -> String {
                format!("a whole number from {} to {}", <$number>::MIN, <$number>::MAX)
            }
            fn from_value(value: &Value) -> Option<Self> {
                <$number>::try_from(value.as_integer()?).ok()
            }
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn to_toml(&self) -> String {
                self.to_string()
            }
        }
    )* };
}
number_settings!(u8, u16, u32);

impl Setting for usize {
    fn expects() -> String {
        "a whole number, 0 or more".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        Self::try_from(value.as_integer()?).ok()
    }
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    fn expects() -> String {
        "a text".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
    fn to_toml(&self) -> String {
        quoted(self)
    }
}

/// Lists: `["a", "b"]` in the file, `a b` or `a,b` as plain text.
impl<T: Setting> Setting for Vec<T> {
    fn expects() -> String {
        format!("a list, each item {}", T::expects())
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::from_value).collect()
    }
    fn from_text(text: &str) -> Option<Self> {
        text.split([' ', ','])
            .filter(|item| !item.is_empty())
            .map(T::from_text)
            .collect()
    }
    fn to_toml(&self) -> String {
        let items: Vec<String> = self.iter().map(Setting::to_toml).collect();
        format!("[{}]", items.join(", "))
    }
}

/// What may be left out: an empty text means none.
impl Setting for Option<SocketAddr> {
    fn expects() -> String {
        "an address with port, such as \"0.0.0.0:8000\", or \"\" for none".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        }
    }
    fn to_toml(&self) -> String {
        quoted(&self.map(|address| address.to_string()).unwrap_or_default())
    }
}

/// What may be left out: an empty text means none.
impl Setting for Option<PathBuf> {
    fn expects() -> String {
        "a path, or \"\" for none".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        let text = value.as_str()?;
        Some((!text.is_empty()).then(|| PathBuf::from(text)))
    }
    fn to_toml(&self) -> String {
        let path = self.as_deref().unwrap_or(std::path::Path::new(""));
        quoted(&path.to_string_lossy())
    }
}

/// What may be left out: an empty text means none.
impl Setting for Option<jiff::Timestamp> {
    fn expects() -> String {
        "a moment such as \"2026-08-10T00:00:00Z\", or \"\" for none".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        }
    }
    fn to_toml(&self) -> String {
        quoted(&self.map(|moment| moment.to_string()).unwrap_or_default())
    }
}

/// A length of time: `500ms`, `25s`, `10m`, `720h`, `30d`; `0s` is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Period(Duration);

impl Period {
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Whole milliseconds, as the machines count.
    #[must_use]
    pub fn as_ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// The duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Deref for Period {
    type Target = Duration;
    fn deref(&self) -> &Duration {
        &self.0
    }
}

/// Units of a [`Period`] in milliseconds, largest first.
const PERIOD_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.as_ms();
        if ms == 0 {
            return f.write_str("0s");
        }
        let fits = |unit: &&(&str, u64)| ms.is_multiple_of(unit.1);
        let (unit, length) = PERIOD_UNITS.iter().find(fits).unwrap_or(&PERIOD_UNITS[4]);
        write!(f, "{}{unit}", ms / length)
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Setting for Period {
    fn expects() -> String {
        "a duration such as \"500ms\", \"25s\", \"10m\", \"720h\" or \"30d\"".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        let text = value.as_str()?;
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let (_, length) = PERIOD_UNITS.iter().find(|(name, _)| *name == unit)?;
        let ms = number.parse::<u64>().ok()?.checked_mul(*length)?;
        Some(Self(Duration::from_millis(ms)))
    }
    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// Addresses with the same beginning: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is one of them. IPv4 written as IPv6 is IPv4.
    #[must_use]
    pub fn holds(self, address: IpAddr) -> bool {
        let (ours, bits) = number(self.address);
        let (theirs, width) = number(address.to_canonical());
        let differ = u32::from(bits - self.bits);
        bits == width && ours.checked_shr(differ) == theirs.checked_shr(differ)
    }
}

/// An address as a number, and how many bits that has.
fn number(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

impl FromStr for Network {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let (_, width) = number(address);
        let bits = bits.map_or(Ok(width), str::parse).map_err(|_| ())?;
        let fits = bits <= width && address == address.to_canonical();
        fits.then_some(Self { address, bits }).ok_or(())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Setting for Network {
    fn expects() -> String {
        "an address or a network such as \"10.0.0.0/8\"".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A text that is never shown. Written as it is, or as `file:PATH` of a file that holds it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "none"
        } else {
            "redacted"
        })
    }
}

/// What is shown in place of a secret.
pub(super) const REDACTED: &str = "redacted";

impl Setting for Secret {
    fn expects() -> String {
        "a text, or \"file:PATH\" of a readable file that holds it and is not empty".to_owned()
    }
    fn from_value(value: &Value) -> Option<Self> {
        let text = value.as_str()?;
        let Some(path) = text.strip_prefix("file:") else {
            return Some(Self(text.to_owned()));
        };
        let secret = std::fs::read_to_string(path).ok()?;
        let secret = secret.trim_end_matches(['\r', '\n']);
        // Whoever names a file means a secret; an empty one would silently stand for none.
        (!secret.is_empty()).then(|| Self(secret.to_owned()))
    }
    fn to_toml(&self) -> String {
        quoted(if self.0.is_empty() { "" } else { REDACTED })
    }
}

/// Declares a setting that is one of a few words.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident = $word:literal ),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[$variant_doc])* $variant ),* }
        impl $crate::config::Setting for $name {
            fn expects() -> String {
                format!("one of {}", [$(concat!("\"", $word, "\"")),*].join(", "))
            }
            fn from_value(value: &toml::Value) -> Option<Self> {
                match value.as_str()? {
                    $( $word => Some(Self::$variant), )*
                    _ => None,
                }
            }
            fn to_toml(&self) -> String {
                match self { $( Self::$variant => concat!("\"", $word, "\"").to_owned() ),* }
            }
        }
    };
}
pub(super) use choice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_begins_alike() {
        let rows = [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
            ("::1", "::1", true),
        ];
        for (network, address, held) in rows {
            let network: Network = network.parse().expect("a network");
            let address = address.parse().expect("an address");
            assert_eq!(network.holds(address), held, "{network} {address}");
        }
        for wrong in [
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "x",
            "",
            "10.0.0.0/",
            "::ffff:10.0.0.0/104",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
