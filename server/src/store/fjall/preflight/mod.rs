//! The preflight: what of the storage engine's own bookkeeping is checked before the engine reads it.
//!
//! # Why the engine's own checks are not enough
//!
//! Read in fjall 3.1, lsm-tree 3.1 and sfa 1.0. Data, indexes and filters lie in blocks with
//! checksums over head and body, so damage there is an error when it is read. But three kinds of
//! counts are believed before, or without, any check, and memory is asked for by them:
//!
//! - a tree's version file (which tables make up a keyspace): `current` holds its checksum, which
//!   is not compared (`version/recovery.rs` says so itself), and its sections have none;
//! - the table of contents at the end of each table: its length is used before its checksum;
//! - lengths of keys and values in a journal, used before the batch's checksum.
//!
//! One flipped bit there asks for gigabytes. Failing to get them ends the process, without a word
//! about which file it was; no `catch_unwind` helps. Also, a keyspace folder without `current` is
//! taken for an unfinished one and removed, with the data in it.
//!
//! # What is done about it
//!
//! - `tree`: in every keyspace folder `current` must be there and name a version file with the
//!   checksum it holds, and every table listed there must exist.
//! - `archive`: each of those tables must end in a table of contents that has its checksum.
//! - `journal`: an entry that claims more bytes than the file has left is where the engine would
//!   stop reading and cut the file; it is cut there before the engine asks for the memory.
//!
//! What does not hold in a tree is [`OpenError::DamagedFile`], and nothing of the folder has been changed.
//!
//! # Why not checksums of our own in a file beside it
//!
//! These files change whenever tables are flushed or merged, so a second file would be behind at
//! some moments, and a kill there would be a false alarm. Here nothing is written and only the
//! engine's own order is relied upon: a version file is flushed before `current` is renamed onto
//! the old one, a table before the version that lists it. So at every moment the files on disk
//! pass, and what is found is damage. Tables and version files that `current` does not lead to
//! may be torn; nobody reads them, and they are not looked at.
//!
//! The cost is two small reads for each table, and each journal's entry heads.

mod archive;
mod journal;
#[cfg(test)]
mod tests;
mod tree;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::OpenError;

/// How long another process that is just ending is waited for.
const LOCK_TRIES: usize = 3;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Whether all of the store must be there, or a start that made it may have ended too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Wholly,
    Perhaps,
}

/// Checks the folder of the database, if there is one, under the engine's own lock.
pub(super) fn check(data: &Path, made: Made) -> Result<(), OpenError> {
    if !data.join("version").try_exists()? {
        return match made {
            Made::Wholly => Err(damaged(&data.join("version"), "it is missing")),
            Made::Perhaps => Ok(()),
        };
    }
    let _held = lock(&data.join("lock"))?;
    for name in entries(&data.join("keyspaces"))? {
        tree::check(&data.join("keyspaces").join(name), made)?;
    }
    for name in entries(data)? {
        if Path::new(&name).extension().is_some_and(|it| it == "jnl") {
            journal::bound(&data.join(name))?;
        }
    }
    Ok(())
}

/// Names in a folder, in order, so that of several damaged files always the same one is named.
fn entries(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Takes the lock that the engine takes, so that nothing changes while it is looked at.
fn lock(path: &Path) -> Result<File, OpenError> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(path, "it is missing"));
        }
        file => file?,
    };
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Err(OpenError::Locked)
}

fn damaged(file: &Path, what: &'static str) -> OpenError {
    let file = file.to_owned();
    OpenError::DamagedFile { file, what }
}

/// Takes a fixed number of bytes off the front.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}
