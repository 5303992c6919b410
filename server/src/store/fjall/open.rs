//! How the embedded store is opened, and why it may not be.

use std::path::PathBuf;
use std::sync::Arc;

use crate::telemetry::Meters;

/// How the embedded store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Block cache in bytes.
    pub cache_bytes: u64,
    /// Threads that write tables and merge them.
    pub worker_threads: usize,
    /// Whether a store is made where there is none.
    pub make: bool,
    /// A checkpoint after so many acknowledged batches: what a start after a crash must check,
    /// some 20 µs each.
    pub checkpoint_batches: u64,
    /// Where is counted.
    pub meters: Meters,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            worker_threads: 2,
            make: true,
            checkpoint_batches: 200_000,
            meters: Meters::default(),
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store is in use by another process, which must be stopped first")]
    Locked,
    /// There is none, and none was to be made.
    #[error("there is no store in this folder")]
    Missing,
    /// Written in another format than the one this program knows.
    #[error(
        "the store has format {found}, and this version of klokke knows format {known}: run the version that wrote it, or a newer one"
    )]
    Format {
        /// What its marker says.
        found: u32,
        /// What this program reads and writes.
        known: u32,
    },
    /// A file is not as it was written, and without it nothing can be read safely.
    #[error("the file {} is damaged: {what}; restore the whole folder from a backup", file.display())]
    DamagedFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Damaged so that not even single ledgers can be told apart.
    #[error("the store is damaged: {0}; restore the whole folder from a backup")]
    Damaged(Arc<str>),
    /// The files cannot be read or made.
    #[error("the store's files cannot be opened")]
    Io(#[from] std::io::Error),
}

impl OpenError {
    /// Whether what is stored is not what was written, so that only a backup helps.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::DamagedFile { .. } | Self::Damaged(_))
    }
}
