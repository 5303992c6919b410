//! Reading a result that was kept: what is not one, or is from a newer tester, is told with what to do.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::outcome::{FORMAT, Outcome};

/// Largest file that is read: a whole day at a point a second is about 100 MB.
const BYTES_MAX: u64 = 512 << 20;

/// Why a file is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is too large.
    #[error("{} is larger than {} MiB, which no result is", path.display(), BYTES_MAX >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{} is not a result: give the JSON file that `klokke-load run` wrote", path.display())]
    NotAResult {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// A newer tester wrote it.
    #[error(
        "{} is in format {format}, written by klokke-load {tester}; this one reads formats up to {FORMAT}: use that version or a newer one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// Its writer.
        tester: String,
    },
}

/// What is read first, since the rest may have changed its meaning.
#[derive(Deserialize)]
struct Head {
    format: u32,
    #[serde(default)]
    tester: String,
}

/// Reads a result.
///
/// # Errors
/// When there is none in the file, or one that this version does not know.
pub fn read(path: &Path) -> Result<Outcome, Unreadable> {
    let io = |source| Unreadable::Io {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let read = File::open(path)
        .map_err(io)?
        .take(BYTES_MAX + 1)
        .read_to_string(&mut text);
    if text.len() as u64 > BYTES_MAX {
        return Err(Unreadable::TooLarge {
            path: path.to_owned(),
        });
    }
    read.map_err(io)?;
    let not_a_result = |source| Unreadable::NotAResult {
        path: path.to_owned(),
        source,
    };
    let head: Head = serde_json::from_str(&text).map_err(not_a_result)?;
    if head.format > FORMAT {
        let tester = head
            .tester
            .chars()
            .filter(|character| !character.is_control())
            .take(40)
            .collect();
        return Err(Unreadable::Newer {
            path: path.to_owned(),
            format: head.format,
            tester,
        });
    }
    serde_json::from_str(&text).map_err(not_a_result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &[u8]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("result.json");
        std::fs::write(&path, text).expect("written");
        let error = read(&path).expect_err("it is no result");
        format!("{:#}", anyhow::Error::from(error))
    }

    #[test]
    fn what_is_no_result_is_told_with_what_to_do() {
        for (text, says) in [
            (
                &b"{"[..],
                "is not a result: give the JSON file that `klokke-load run` wrote: EOF while parsing",
            ),
            (
                b"{\"type\":\"unit\"}",
                "is not a result: give the JSON file that `klokke-load run` wrote: missing field `format`",
            ),
            (b"{\"format\":1}", "missing field `tester`"),
            (
                b"{\"format\":2,\"tester\":\"0.9.0\",\"verdict\":7}",
                "is in format 2, written by klokke-load 0.9.0; this one reads formats up to 1",
            ),
            (b"\xff\xfe", "cannot read"),
            (b"", "is not a result"),
        ] {
            let error = error_of(text);
            assert!(error.contains(says), "{error}");
        }
        let missing = read(Path::new("no/such/result.json")).expect_err("there is none");
        assert!(
            missing
                .to_string()
                .contains("cannot read no/such/result.json")
        );
    }

    #[test]
    fn what_was_written_is_read_back_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("result.json");
        let outcome = super::super::tests::fixture::first_monday();
        std::fs::write(&path, serde_json::to_vec(&outcome).expect("plain data")).expect("written");
        let again = read(&path).expect("a result");
        assert_eq!(again.curve.len(), outcome.curve.len());
        assert_eq!(again.curve[7].deliveries, outcome.curve[7].deliveries);
        assert_eq!(
            (
                again.verdict,
                again.events,
                again.errors,
                again.stages,
                again.violations
            ),
            (
                outcome.verdict,
                outcome.events,
                outcome.errors,
                outcome.stages,
                outcome.violations
            )
        );
    }
}
