//! Reads import files, a line at a time, and refuses what it does not know with the file and the line.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::Deserialize;

use super::Town;
use super::rights::Register;

/// Why no population could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}; make the people first: klokke-load people --out people/")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not one of an import file.
    #[error("{path}, line {line}: {what}; expected a line as docs/import.md describes it")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// There is nobody who could sign in.
    #[error("the files name no login: nobody could connect")]
    Nobody,
}

/// The lines of an import file, as far as rights depend on them.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line {
    Unit {
        code: String,
        kind: String,
        #[serde(default)]
        parent: Option<String>,
    },
    Person {},
    Account {
        subject: String,
        person: String,
    },
    Profile {
        id: String,
        person: String,
        kind: String,
        #[serde(flatten)]
        span: Span,
    },
    Group {
        id: String,
        kind: String,
        #[serde(flatten)]
        span: Span,
    },
    Membership {
        group: String,
        profile: String,
        kind: String,
        #[serde(flatten)]
        span: Span,
    },
    Relation {
        adult: String,
        child: String,
        kind: String,
        #[serde(default)]
        custody: bool,
        #[serde(default)]
        access: bool,
        #[serde(flatten)]
        span: Span,
    },
    Inbox {},
    Grant {
        id: String,
        person: String,
        kind: String,
        #[serde(flatten)]
        span: Span,
    },
}

/// From when until when; both ends included, an end left out is open.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Span {
    #[serde(default)]
    from: Option<Date>,
    #[serde(default)]
    until: Option<Date>,
}

impl Span {
    pub(super) fn holds(&self, today: Date) -> bool {
        self.from.is_none_or(|from| from <= today) && self.until.is_none_or(|until| today <= until)
    }
}

/// Reads files, or all `.jsonl` files of folders in order of name, and works out who may see what on `today`.
///
/// # Errors
/// When one cannot be read or a line is not of the format.
pub fn read(paths: &[PathBuf], today: Date) -> Result<Town, ReadError> {
    let mut register = Register::new(today);
    let mut digest = blake3::Hasher::new();
    for path in files(paths)? {
        let unreadable = |source| ReadError::Unreadable {
            path: path.clone(),
            source,
        };
        let file = File::open(&path).map_err(unreadable)?;
        for (number, line) in BufReader::with_capacity(1 << 20, file).lines().enumerate() {
            let line = line.map_err(unreadable)?;
            if line.trim().is_empty() {
                continue;
            }
            digest.update(line.as_bytes()).update(b"\n");
            let wrong = |what: String| ReadError::Line {
                path: path.clone(),
                line: number + 1,
                what,
            };
            let line: Line =
                serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
            register
                .take(line)
                .map_err(|unknown| wrong(unknown.to_string()))?;
        }
    }
    let town = register.finish(digest.finalize().to_hex().to_string());
    if town.logins.is_empty() {
        return Err(ReadError::Nobody);
    }
    Ok(town)
}

/// The files that [`read`] reads: those named, and the `.jsonl` files of folders in order of name.
///
/// # Errors
/// When a folder cannot be listed.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ReadError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |source| ReadError::Unreadable {
            path: path.clone(),
            source,
        };
        let mut found = Vec::new();
        for entry in path.read_dir().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?.path();
            if is_import_file(&entry) {
                found.push(entry);
            }
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn is_import_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "jsonl")
}

/// Ids to places.
pub(super) type Index = HashMap<Box<str>, u32>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_folders_are_counted_one_by_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["b.jsonl", "a.jsonl", "notes.txt"] {
            std::fs::write(path(name), "").expect("written");
        }
        let alone = path("notes.txt");
        let found = files(&[alone.clone(), folder.path().to_owned()]).expect("listed");
        assert_eq!(found, [alone, path("a.jsonl"), path("b.jsonl")]);
        assert!(
            files(&[path("none")]).is_ok(),
            "reading it says what is wrong"
        );
    }
}
