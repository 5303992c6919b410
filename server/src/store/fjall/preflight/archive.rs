//! The frame of version files and tables: sections, then a table of contents, then a trailer that
//! has the checksum and the place of the contents.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::{OpenError, damaged, take};

/// `SFA!`, version, kind of checksum, checksum, place of the contents, their length.
const TRAILER_BYTES: usize = 4 + 1 + 1 + 16 + 8 + 8;
/// Version 1, checksums by XXH3.
const TRAILER_HEAD: &[u8] = b"SFA!\x01\x00";
const CONTENTS_HEAD: &[u8] = b"TOC!";

/// Contents longer than this are none: there are a dozen sections with short names.
const CONTENTS_BYTES_MAX: u64 = 64 << 10;

/// Checks the frame of a file: that its contents are those which were written.
pub(super) fn check(path: &Path) -> Result<(), OpenError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(path, "it is missing"));
        }
        file => file?,
    };
    let length = file.metadata()?.len();
    let Some(end) = length.checked_sub(TRAILER_BYTES as u64) else {
        return Err(damaged(path, "it is cut short"));
    };
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact_at(&mut trailer, end)?;
    let Some((sum, start)) = trailer_of(&trailer).filter(|(_, start)| *start <= end) else {
        return Err(damaged(path, "it does not end as such a file does"));
    };
    if end - start > CONTENTS_BYTES_MAX {
        return Err(damaged(path, "its table of contents is not where it says"));
    }
    let mut contents = vec![0; usize::try_from(end - start).unwrap_or_default()];
    file.read_exact_at(&mut contents, start)?;
    if xxh3_128(&contents) != sum || !contents.starts_with(CONTENTS_HEAD) {
        return Err(damaged(path, "its table of contents is not as written"));
    }
    Ok(())
}

/// A section of a whole file that is known to be as written; `None` when it has none of that name.
pub(super) fn section<'a>(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let end = bytes.len().checked_sub(TRAILER_BYTES)?;
    let (before, trailer) = bytes.split_at_checked(end)?;
    let (_, start) = trailer_of(trailer)?;
    let contents = before.get(usize::try_from(start).ok()?..)?;
    let mut rest = contents.strip_prefix(CONTENTS_HEAD)?;
    for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
        let start = usize::try_from(u64::from_le_bytes(take(&mut rest)?)).ok()?;
        let length = usize::try_from(u64::from_le_bytes(take(&mut rest)?)).ok()?;
        let name_length = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let (found, after) = rest.split_at_checked(name_length)?;
        if found == name {
            return before.get(start..)?.get(..length);
        }
        rest = after;
    }
    None
}

/// The contents' checksum and place.
fn trailer_of(bytes: &[u8]) -> Option<(u128, u64)> {
    let mut rest = bytes.strip_prefix(TRAILER_HEAD)?;
    let sum = u128::from_le_bytes(take(&mut rest)?);
    Some((sum, u64::from_le_bytes(take(&mut rest)?)))
}
