//! What the preflight must find, and what it must let pass.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::damage::harm::folder;
use super::super::{FjallStore, OpenError, Options};
use super::{Made, archive, check, journal};
use crate::store::Store;
use crate::store::chain::{Chain, put};

const COMMITS: u64 = 20;

/// A store with commits in tables and more in the journal.
async fn store() -> tempfile::TempDir {
    let made = folder();
    let mut chain = Chain::new("G1");
    for half in 0..2 {
        let store = open(made.path()).expect("opens");
        for _ in 0..COMMITS / 2 {
            let text = "\"a message of usual size\"";
            let batch = chain.batch(|_, commit| commit.records.push(put("note", text, &[], &[])));
            store.commit(batch).await.expect("commits");
        }
        if half == 0 {
            store.close().await.expect("closes");
        }
    }
    made
}

fn open(folder: &Path) -> Result<FjallStore, OpenError> {
    FjallStore::open(folder, &Options::default())
}

fn flip(path: &Path, at: usize, bit: u8) {
    let mut bytes = fs::read(path).expect("read");
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).expect("written");
}

/// Files below a folder of which the path ends in something that `is` likes.
fn files(folder: &Path, is: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("read") {
            let path = entry.expect("read").path();
            if path.is_dir() {
                folders.push(path);
            } else if is(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn is_current(path: &Path) -> bool {
    path.ends_with("current")
}

/// The version files that count; older ones may lie beside them.
fn versions(folder: &Path) -> Vec<PathBuf> {
    let current = files(folder, is_current);
    let version = |current: &PathBuf| {
        let bytes = fs::read(current).expect("read");
        let number = bytes.first_chunk().expect("a number");
        current.with_file_name(format!("v{}", u64::from_le_bytes(*number)))
    };
    current.iter().map(version).collect()
}

fn is_table(path: &Path) -> bool {
    path.parent()
        .is_some_and(|folder| folder.ends_with("tables"))
}

fn names(error: Option<OpenError>, wanted: &Path) -> bool {
    match error {
        Some(OpenError::DamagedFile { file, .. }) => file == wanted,
        _ => false,
    }
}

/// Where a section begins.
fn place(bytes: &[u8], name: &[u8]) -> usize {
    let section = archive::section(bytes, name).expect("there");
    section.as_ptr().addr() - bytes.as_ptr().addr()
}

// The count of an empty map is four bytes of zeros. With the highest bit set, the engine asks for
// room for two thousand million entries: that ended the process.
#[tokio::test]
async fn a_count_in_a_version_file_is_not_believed() {
    let folder = store().await;
    for version in versions(folder.path()) {
        let whole = fs::read(&version).expect("read");
        let at = place(&whole, b"blob_gc_stats") + 3;
        for bit in [5, 6, 7] {
            flip(&version, at, bit);
            assert!(names(open(folder.path()).err(), &version), "bit {bit}");
            flip(&version, at, bit);
        }
    }
    open(folder.path()).expect("opens when it is whole again");
}

// The same in a table's contents, whose length stands before what the checksum covers is read.
#[tokio::test]
async fn a_count_in_a_table_is_not_believed() {
    let folder = store().await;
    let table = files(folder.path(), is_table).pop().expect("a table");
    let whole = fs::read(&table).expect("read");
    let mark = whole.windows(4).rposition(|four| four == b"TOC!");
    let at = mark.expect("contents") + 4 + 3;
    flip(&table, at, 7);
    assert!(names(open(folder.path()).err(), &table));
    flip(&table, at, 7);
    open(folder.path()).expect("opens when it is whole again");
}

#[tokio::test]
async fn a_length_in_a_journal_is_not_believed() {
    let folder = store().await;
    let journals = files(folder.path(), |path| {
        path.extension().is_some_and(|it| it == "jnl")
    });
    let journal = journals.last().expect("a journal");
    let whole = fs::read(journal).expect("read");
    journal::bound(journal).expect("read");
    assert_eq!(
        fs::read(journal).expect("read"),
        whole,
        "a whole one is not cut"
    );
    // The first batch begins with its head of 13 bytes, then comes an item: 1 byte that says so,
    // kind, compression and keyspace (10), the key's length (2), and the value's lengths.
    let (item, length) = (13, 13 + 1 + 10 + 2);
    assert_eq!(whole[item], 2);
    flip(journal, length + 4 + 3, 7);
    check(&folder.path().join("data"), Made::Wholly).expect("not refused");
    assert_eq!(fs::metadata(journal).expect("there").len(), item as u64);
    let store = open(folder.path()).expect("opens");
    let damage = store.damage();
    assert_eq!(damage.len(), 1, "the loss is named: {damage:?}");
    assert_eq!(&*damage[0].ledger, "G1");
}

#[tokio::test]
async fn every_bit_of_the_bookkeeping_counts() {
    let folder = store().await;
    let data = folder.path().join("data");
    for file in [versions(&data), files(&data, is_current)].concat() {
        let whole = fs::read(&file).expect("read");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&file, &bytes).expect("written");
            let found = check(&data, Made::Wholly);
            assert!(found.is_err(), "byte {at} of {}", file.display());
            fs::write(&file, &whole[..at]).expect("written");
            let found = check(&data, Made::Wholly);
            assert!(found.is_err(), "{} cut to {at}", file.display());
        }
        fs::write(&file, &whole).expect("written");
    }
    check(&data, Made::Wholly).expect("whole again");
}

#[tokio::test]
async fn a_keyspace_without_its_pointer_is_not_thrown_away() {
    let folder = store().await;
    for current in files(folder.path(), is_current) {
        let whole = fs::read(&current).expect("read");
        fs::remove_file(&current).expect("removed");
        assert!(names(open(folder.path()).err(), &current));
        fs::write(&current, &whole).expect("written");
    }
    let store = open(folder.path()).expect("opens");
    assert_eq!(store.damage(), []);
}

#[tokio::test]
async fn a_table_that_is_missing_or_short_is_named() {
    let folder = store().await;
    let table = files(folder.path(), is_table).pop().expect("a table");
    let whole = fs::read(&table).expect("read");
    for bytes in [Some(&whole[..whole.len() - 1]), Some(&[]), None] {
        match bytes {
            Some(bytes) => fs::write(&table, bytes).expect("written"),
            None => fs::remove_file(&table).expect("removed"),
        }
        assert!(names(open(folder.path()).err(), &table));
    }
    fs::write(&table, &whole).expect("written");
    open(folder.path()).expect("opens when it is whole again");
}

#[tokio::test]
async fn what_a_kill_may_leave_behind_is_no_damage() {
    let folder = store().await;
    let data = folder.path().join("data");
    for table in files(&data, is_table) {
        fs::write(table.with_file_name("999999"), b"half a table").expect("written");
    }
    for version in versions(&data) {
        fs::write(version.with_file_name("v999999"), b"half a version").expect("written");
        fs::write(version.with_file_name(".tmpx1y2z3"), b"half a pointer").expect("written");
    }
    let store = open(folder.path()).expect("opens");
    assert_eq!(store.damage(), []);
}

#[tokio::test]
async fn a_store_in_use_is_not_looked_at() {
    let folder = store().await;
    let running = open(folder.path()).expect("opens");
    let version = versions(folder.path()).pop().expect("a version");
    flip(&version, 0, 0);
    assert!(matches!(open(folder.path()), Err(OpenError::Locked)));
    flip(&version, 0, 0);
    drop(running);
    open(folder.path()).expect("opens");
}
