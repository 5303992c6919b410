//! Which ledger something belongs to. Knows the reserved channel namespaces and nothing else of
//! the domain.

use std::fmt;
use std::sync::Arc;

use super::ChannelName;

/// Namespaces whose channels live in the ledger of the unit named after the colon
/// (`person:G10001/p17`, `group:G10001/g3`, `unit:G10001`). Clients never name these.
pub const DOMAIN_NAMESPACES: [&str; 3] = ["person", "group", "unit"];

/// Into how many ledgers the channels of one generic namespace are spread. A ledger is written by
/// one actor, so this bounds how many cores one namespace can use; it is part of the stored
/// names and cannot change without moving data.
pub const NAMESPACE_BUCKETS: u32 = 16;

/// Longest ledger name in bytes: row keys carry the length in one byte.
pub const LEDGER_ID_BYTES_MAX: usize = 128;

/// The name of a ledger: a unit's code (`G10001`), or `~NAMESPACE.BUCKET` for the durable history
/// of a generic namespace. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LedgerId(Arc<str>);

/// Why a text is no ledger name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerIdError {
    /// Empty, or longer than [`LEDGER_ID_BYTES_MAX`].
    #[error("a ledger name has 1 to {LEDGER_ID_BYTES_MAX} bytes")]
    Length,
    /// A character other than ASCII letters, digits, `.`, `-`, `_` and a leading `~`.
    #[error("a ledger name has ASCII letters, digits, '.', '-', '_' and at most a leading '~'")]
    Character,
}

impl LedgerId {
    /// Reads a ledger name.
    ///
    /// # Errors
    /// When the length or a character is not allowed.
    pub fn parse(text: &str) -> Result<Self, LedgerIdError> {
        if text.is_empty() || text.len() > LEDGER_ID_BYTES_MAX {
            return Err(LedgerIdError::Length);
        }
        let rest = text.strip_prefix('~').unwrap_or(text);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if !rest.bytes().all(allowed) {
            return Err(LedgerIdError::Character);
        }
        Ok(Self(text.into()))
    }

    /// The ledger that holds a channel: the unit named in a domain channel, or the bucket of a
    /// generic namespace. Which that is, is told by the whole name and by nothing that can be
    /// configured: the text before the first `:` without a leading `$`, or none where a ledger
    /// cannot be called so.
    ///
    /// # Errors
    /// When the unit of a domain channel is no ledger name.
    pub fn of_channel(channel: &ChannelName) -> Result<Self, LedgerIdError> {
        let (namespace, rest) = (channel.namespace(), channel.local());
        if DOMAIN_NAMESPACES.contains(&namespace) {
            let unit = rest.split_once('/').map_or(rest, |(unit, _)| unit);
            if unit.starts_with('~') {
                return Err(LedgerIdError::Character);
            }
            return Self::parse(unit);
        }
        let bucket = crc32c::crc32c(channel.as_str().as_bytes()) % NAMESPACE_BUCKETS;
        Self::parse(&format!("~{namespace}.{bucket}"))
            .or_else(|_| Self::parse(&format!("~.{bucket}")))
    }

    /// Whether a channel is one of this ledger's.
    #[must_use]
    pub fn holds(&self, channel: &ChannelName) -> bool {
        Self::of_channel(channel).is_ok_and(|ledger| ledger == *self)
    }

    /// The ledger an object id such as `G10001.t5` belongs to: everything before the last dot.
    ///
    /// # Errors
    /// When there is no dot, or the part before it is no ledger name.
    pub fn of_object(id: &str) -> Result<Self, LedgerIdError> {
        let (unit, _) = id.rsplit_once('.').ok_or(LedgerIdError::Character)?;
        Self::parse(unit)
    }

    /// The namespace whose history this ledger holds, or `None` for a unit's ledger.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        let (namespace, _) = self.0.strip_prefix('~')?.rsplit_once('.')?;
        Some(namespace)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A stable spread over shards and tables.
    #[must_use]
    pub fn hash32(&self) -> u32 {
        crc32c::crc32c(self.0.as_bytes())
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(channel: &str) -> Option<String> {
        let channel = ChannelName::parse(channel).expect("a valid channel");
        LedgerId::of_channel(&channel).ok().map(|l| l.to_string())
    }

    #[test]
    fn a_channel_routes_to_its_ledger() {
        assert_eq!(of("unit:G10001").as_deref(), Some("G10001"));
        assert_eq!(of("person:G10001/p17").as_deref(), Some("G10001"));
        assert_eq!(of("group:K101/g3").as_deref(), Some("K101"));
        assert_eq!(
            of("unit:~chat.1"),
            None,
            "a domain channel cannot reach a namespace ledger"
        );
        assert!(of("chat:room").is_some_and(|l| l.starts_with("~chat.")));
        assert!(of("room").is_some_and(|l| l.starts_with("~.")));
        assert!(of("$chat:room").is_some_and(|l| l.starts_with("~chat.")));
        assert_eq!(of("$unit:G10001").as_deref(), Some("G10001"));
        for odd in ["chat/a b:c", "!chat:room", "ø:x", &format!("{:x>130}:", "")] {
            assert!(of(odd).is_some_and(|l| l.starts_with("~.")), "{odd}");
        }
    }

    #[test]
    fn the_bucket_of_a_channel_never_moves() {
        // These names are on disk; a change here would lose every channel's history.
        assert_eq!(of("chat:index").as_deref(), Some("~chat.13"));
    }

    #[test]
    fn ids_and_names_are_checked() {
        assert_eq!(
            LedgerId::of_object("G10001.t5").map(|l| l.to_string()),
            Ok("G10001".into())
        );
        assert!(LedgerId::of_object("nodot").is_err());
        assert_eq!(LedgerId::parse(""), Err(LedgerIdError::Length));
        assert_eq!(LedgerId::parse("a/b"), Err(LedgerIdError::Character));
        assert_eq!(LedgerId::parse("a~"), Err(LedgerIdError::Character));
        let ns = LedgerId::parse("~a.b.3").expect("valid");
        assert_eq!(ns.namespace(), Some("a.b"));
        assert_eq!(LedgerId::parse("G1").expect("valid").namespace(), None);
    }
}
