//! Decoded commits, so that reading a list does not decode its commits again and again.

use std::sync::{Mutex, PoisonError};

use crate::ledger::{Cache, LedgerId, SealedCommit};

/// Decoded commits kept (up to twice this).
const COMMITS_CACHED: usize = 512;

/// Larger commits are not kept: 1,024 of this size are 64 MiB.
const CACHED_BYTES_MAX: usize = 64 << 10;

/// Decoded commits by ledger and sequence number.
pub(super) struct CommitCache(Mutex<Cache<(LedgerId, u64), SealedCommit>>);

impl CommitCache {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Cache::new(COMMITS_CACHED)))
    }

    pub(super) fn find(&self, key: &(LedgerId, u64)) -> Option<SealedCommit> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
    }

    pub(super) fn keep(&self, key: (LedgerId, u64), sealed: &SealedCommit) {
        if sealed.row.len() <= CACHED_BYTES_MAX {
            let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            cache.insert(key, sealed.clone());
        }
    }
}
