//! `cargo xtask tidy`: the house rules that no compiler checks.
//!
//! Each rule reads files as text and returns complaints with the place; it must be cheap and have no opinion on style that
//! rustfmt or clippy could have instead.

mod arrows;
mod length;
mod pages;
mod prints;
mod purpose;
mod settings;
mod way_out;
mod wire;

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::house::House;

/// One source file, read once for all rules.
pub(crate) struct Source {
    /// Its path inside the workspace, with forward slashes.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

/// A broken rule and where.
pub(crate) struct Complaint {
    path: String,
    line: usize,
    says: String,
}

impl Complaint {
    /// A complaint about a line, counted from one; zero speaks of the whole file.
    pub(crate) fn new(path: &str, line: usize, says: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            says: says.into(),
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.path, self.says)
        } else {
            write!(f, "{}:{}: {}", self.path, self.line, self.says)
        }
    }
}

/// The crates whose Rust sources are checked.
const CRATES: &[&str] = &[
    "protocol", "server", "client", "loadtest", "tests", "bench", "xtask",
];

/// Checks all rules; an error names how many are broken.
pub(crate) fn run(house: &House) -> Result<()> {
    let complaints = check(house)?;
    for complaint in &complaints {
        println!("{complaint}");
    }
    if !complaints.is_empty() {
        bail!("{} house rules are broken", complaints.len());
    }
    println!("tidy: every house rule holds");
    Ok(())
}

fn check(house: &House) -> Result<Vec<Complaint>> {
    let sources = sources(house)?;
    let mut complaints = Vec::new();
    for source in &sources {
        complaints.extend(purpose::check(source));
        complaints.extend(length::check(source));
        complaints.extend(arrows::check(source));
        complaints.extend(prints::check(source));
        complaints.extend(way_out::check(source));
    }
    complaints.extend(wire::check(house, &sources)?);
    complaints.extend(pages::check(house, &sources)?);
    complaints.extend(settings::check(&sources)?);
    Ok(complaints)
}

fn sources(house: &House) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for name in CRATES {
        let folder = house.path(name);
        if folder.is_dir() {
            collect(house.root(), &folder, &mut sources)?;
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && name != "node_modules" {
                collect(root, &path, sources)?;
            }
        } else if name.ends_with(".rs") {
            sources.push(Source {
                path: path
                    .strip_prefix(root)
                    .unwrap_or(&path)
                    .to_string_lossy()
                    .replace('\\', "/"),
                text: fs::read_to_string(&path)
                    .with_context(|| format!("read {}", path.display()))?,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}
