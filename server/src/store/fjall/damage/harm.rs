//! The files of a store in memory, what is done to them, and how they come back on disk.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rand::Rng;
use rand::rngs::StdRng;

/// Names within the store's folder, and bytes.
pub(super) type Files = Vec<(PathBuf, Vec<u8>)>;

/// Where the rounds take place: in memory where that can be, because nothing has to last.
pub(in super::super) fn folder() -> tempfile::TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory.or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// The files of a store, journals without the zeros they are filled up with.
pub(super) fn snapshot(path: &Path) -> io::Result<Files> {
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let mut bytes = fs::read(entry.path())?;
            if entry.path().extension().is_some_and(|ext| ext == "jnl") {
                let end = bytes.iter().rposition(|b| *b != 0);
                bytes.truncate(end.map_or(0, |last| last + 1));
            }
            let name = entry.path().strip_prefix(path).expect("inside").to_owned();
            files.push((name, bytes));
        }
    }
    files.sort();
    Ok(files)
}

/// Writes the files into a folder.
pub(super) fn restore(path: &Path, files: &Files) -> io::Result<()> {
    for (name, bytes) in files {
        let target = path.join(name);
        fs::create_dir_all(target.parent().expect("a folder"))?;
        fs::write(target, bytes)?;
    }
    Ok(())
}

/// Flips a bit or cuts a file; says what it did.
pub(super) fn harm(files: &mut Files, random: &mut StdRng) -> String {
    loop {
        let file = pick(files, random);
        let (name, bytes) = &mut files[file];
        if bytes.is_empty() {
            continue;
        }
        let at = random.random_range(0..bytes.len());
        if random.random_bool(0.25) {
            bytes.truncate(at);
            return format!("cut {} to {at} bytes", name.display());
        }
        let bit = random.random_range(0..8);
        bytes[at] ^= 1 << bit;
        return format!("flip bit {bit} of byte {at} of {}", name.display());
    }
}

/// A file is hit as often as it is large, but small ones are not left out.
fn pick(files: &Files, random: &mut StdRng) -> usize {
    if random.random_bool(0.5) {
        return random.random_range(0..files.len());
    }
    let whole = files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    let mut at = random.random_range(0..whole.max(1));
    let hit = files.iter().position(|(_, bytes)| {
        let here = at < bytes.len();
        at = at.saturating_sub(bytes.len());
        here
    });
    hit.unwrap_or(0)
}
