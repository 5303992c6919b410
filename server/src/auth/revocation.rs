//! Tokens taken back before they expire: single ones by `jti`, or all of a subject's issued
//! before some moment. Held in memory, bounded, fed from a file and by the server API.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use serde::Deserialize;

use super::UnixMillis;

/// Most entries held. An entry is about 100 bytes, so a full list is about 10 MiB; whoever
/// needs more should rotate the key.
pub const REVOCATIONS_MAX: usize = 100_000;

/// One revocation. In a file: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Revocation {
    /// The token with this `jti`.
    Token {
        /// The token's `jti`.
        jti: String,
        /// Unix seconds after which the token has expired anyway and the entry may go; absent
        /// means it stays.
        until: Option<u64>,
    },
    /// All tokens of this subject issued before a moment. Tokens without `iat` count as old.
    Subject {
        /// The subject.
        sub: String,
        /// Unix seconds.
        not_before: u64,
    },
}

/// Why a revocation was not taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// The list is full of entries that still matter.
    #[error("revocation list is full ({REVOCATIONS_MAX} entries)")]
    Full,
    /// A line of the file is not a revocation. Nothing of the file was taken.
    #[error("line {line} is not a revocation")]
    Malformed {
        /// Line number, from 1.
        line: usize,
    },
}

/// The list.
#[derive(Debug, Default)]
pub struct Revocations {
    lists: RwLock<Lists>,
    /// Lets the usual case, nobody revoked, cost one load.
    any: AtomicBool,
}

#[derive(Debug, Default, Clone)]
struct Lists {
    tokens: HashMap<String, UnixMillis>,
    subjects: HashMap<String, UnixMillis>,
}

impl Lists {
    fn len(&self) -> usize {
        self.tokens.len() + self.subjects.len()
    }

    fn add(&mut self, revocation: Revocation, now: UnixMillis) -> Result<(), RevocationError> {
        if self.len() >= REVOCATIONS_MAX {
            self.tokens.retain(|_, until| *until > now);
            if self.len() >= REVOCATIONS_MAX {
                return Err(RevocationError::Full);
            }
        }
        match revocation {
            Revocation::Token { jti, until } => {
                let until = until.map_or(UnixMillis::MAX, |seconds| seconds.saturating_mul(1000));
                self.tokens.insert(jti, until);
            }
            Revocation::Subject { sub, not_before } => {
                let moment = not_before.saturating_mul(1000);
                let known = self.subjects.entry(sub).or_default();
                *known = moment.max(*known);
            }
        }
        Ok(())
    }
}

impl Revocations {
    /// Adds one.
    ///
    /// # Errors
    /// [`RevocationError::Full`].
    pub fn add(&self, revocation: Revocation, now: UnixMillis) -> Result<(), RevocationError> {
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        lists.add(revocation, now)?;
        self.any.store(true, Ordering::Release);
        Ok(())
    }

    /// Adds all of a file's lines, or none. Empty lines are skipped.
    ///
    /// # Errors
    /// [`RevocationError`], with the number of the first bad line.
    pub fn load(&self, text: &str, now: UnixMillis) -> Result<usize, RevocationError> {
        let mut added = 0;
        let mut lists = self
            .lists
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let revocation = serde_json::from_str(line)
                .map_err(|_| RevocationError::Malformed { line: index + 1 })?;
            lists.add(revocation, now)?;
            added += 1;
        }
        let any = lists.len() > 0;
        *self.lists.write().unwrap_or_else(PoisonError::into_inner) = lists;
        self.any.store(any, Ordering::Release);
        Ok(added)
    }

    /// Whether a token with these claims is revoked.
    #[must_use]
    pub fn covers(&self, id: Option<&str>, subject: &str, issued_at: Option<UnixMillis>) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        let token = id.is_some_and(|id| lists.tokens.contains_key(id));
        let subject = lists
            .subjects
            .get(subject)
            .is_some_and(|not_before| issued_at.is_none_or(|issued| issued < *not_before));
        token || subject
    }
}
