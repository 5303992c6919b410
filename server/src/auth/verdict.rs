//! Verdicts already given: a token seen again need not have its signature computed again.
//!
//! Only the signature and the reading of the claims are remembered. Time claims, audience and
//! revocation are judged anew at each use, and a change of keys forgets everything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::UnixMillis;

/// Verdicts in one of the two halves. A verdict is about 1 KiB, so the cache stays below 16 MiB.
const HALF_MAX: usize = 8 * 1024;

/// A token's hash. The token itself is not kept.
pub(super) type TokenHash = [u8; 32];

/// A remembered verdict.
#[derive(Clone)]
struct Verdict<T> {
    claims: Arc<T>,
    key_valid_until: UnixMillis,
    generation: u64,
}

/// Verdicts by token hash, in two halves: when the young half is full, the old one is dropped
/// and the young one becomes old. What is used moves to the young half.
pub(super) struct Verdicts<T> {
    halves: Mutex<Halves<T>>,
}

struct Halves<T> {
    young: HashMap<TokenHash, Verdict<T>>,
    old: HashMap<TokenHash, Verdict<T>>,
}

impl<T> Default for Verdicts<T> {
    fn default() -> Self {
        Self {
            halves: Mutex::new(Halves {
                young: HashMap::new(),
                old: HashMap::new(),
            }),
        }
    }
}

impl<T> Verdicts<T> {
    /// What was found for this token with the keys of `generation`.
    pub(super) fn find(
        &self,
        hash: &TokenHash,
        generation: u64,
        now: UnixMillis,
    ) -> Option<Arc<T>> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = halves.old.remove(hash) {
            halves.insert(*hash, verdict);
        }
        let verdict = halves.young.get(hash)?;
        (verdict.generation == generation && now < verdict.key_valid_until)
            .then(|| Arc::clone(&verdict.claims))
    }

    /// Remembers a verdict.
    pub(super) fn keep(
        &self,
        hash: TokenHash,
        claims: Arc<T>,
        key_valid_until: UnixMillis,
        generation: u64,
    ) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.insert(
            hash,
            Verdict {
                claims,
                key_valid_until,
                generation,
            },
        );
    }
}

impl<T> Halves<T> {
    fn insert(&mut self, hash: TokenHash, verdict: Verdict<T>) {
        if self.young.len() >= HALF_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, verdict);
    }
}
