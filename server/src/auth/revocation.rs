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
    lists: RwLock<Both>,
    /// Lets the usual case, nobody revoked, cost one load.
    any: AtomicBool,
}

/// What stands in the file now, and what was added since the start.
#[derive(Debug, Default)]
struct Both {
    of_file: Lists,
    added: Lists,
}

#[derive(Debug, Default)]
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

impl Lists {
    fn cover(&self, id: Option<&str>, subject: &str, issued_at: Option<UnixMillis>) -> bool {
        let is_before = |moment: &UnixMillis| issued_at.is_none_or(|issued| issued < *moment);
        id.is_some_and(|id| self.tokens.contains_key(id))
            || self.subjects.get(subject).is_some_and(is_before)
    }
}

impl Revocations {
    /// Adds one, for as long as the server runs.
    ///
    /// # Errors
    /// [`RevocationError::Full`].
    pub fn add(&self, revocation: Revocation, now: UnixMillis) -> Result<(), RevocationError> {
        self.change(|lists| lists.added.add(revocation, now))
    }

    /// Takes a file's lines in place of those of the last one: a line that is gone is revoked no more. All or
    /// none. Empty lines are skipped.
    ///
    /// # Errors
    /// [`RevocationError`], with the number of the first bad line; then the former ones stay.
    pub fn load(&self, text: &str, now: UnixMillis) -> Result<usize, RevocationError> {
        let mut read = Lists::default();
        let mut count = 0;
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let revocation = serde_json::from_str(line)
                .map_err(|_| RevocationError::Malformed { line: index + 1 })?;
            read.add(revocation, now)?;
            count += 1;
        }
        self.change(|lists| lists.of_file = read);
        Ok(count)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Both) -> T) -> T {
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut lists);
        let any = lists.of_file.len() + lists.added.len() > 0;
        self.any.store(any, Ordering::Release);
        changed
    }

    /// Whether a token with these claims is revoked.
    #[must_use]
    pub fn covers(&self, id: Option<&str>, subject: &str, issued_at: Option<UnixMillis>) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        [&lists.of_file, &lists.added]
            .iter()
            .any(|lists| lists.cover(id, subject, issued_at))
    }
}
