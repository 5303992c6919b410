//! Where things are: the paths of the workspace, known in one place.

use std::path::{Path, PathBuf};

/// The checkout that this program was built from.
pub(crate) struct House {
    root: PathBuf,
}

impl House {
    /// The folder above this crate's own.
    pub(crate) fn find() -> Self {
        let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            root: crate_folder.parent().unwrap_or(crate_folder).to_owned(),
        }
    }

    /// The workspace's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the workspace.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// Cargo's target folder, wherever it was moved to.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), |folder| self.root.join(folder))
    }

    /// What the set-up of foreign tools keeps between runs.
    pub(crate) fn foreign(&self) -> PathBuf {
        self.target().join("foreign")
    }
}
