//! A keyspace's folder: `current` names the version file, which lists the tables.

use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::{Made, OpenError, archive, damaged, take};

/// Number of the version, checksum of its file, kind of checksum.
const CURRENT_BYTES: usize = 8 + 16 + 1;
/// The one kind of checksum there is.
const XXH3: u8 = 0;

/// Checks one keyspace's folder.
pub(super) fn check(folder: &Path, made: Made) -> Result<(), OpenError> {
    let current = folder.join("current");
    let bytes = match std::fs::read(&current) {
        Ok(bytes) => bytes,
        // Its making was not finished; the engine begins anew.
        Err(error) if is_missing(&error) && made == Made::Perhaps => return Ok(()),
        Err(error) if is_missing(&error) => return Err(damaged(&current, "it is missing")),
        Err(error) => return Err(error.into()),
    };
    let Some((number, sum)) = pointer(&bytes) else {
        return Err(damaged(&current, "it cannot be decoded"));
    };
    let version = folder.join(format!("v{number}"));
    let bytes = match std::fs::read(&version) {
        Err(error) if is_missing(&error) => {
            return Err(damaged(&current, "it names a version that is not there"));
        }
        bytes => bytes?,
    };
    if xxh3_128(&bytes) != sum {
        let what = "it does not have the checksum that `current` beside it names";
        return Err(damaged(&version, what));
    }
    let tables = archive::section(&bytes, b"tables").and_then(tables);
    let Some(tables) = tables else {
        return Err(damaged(&version, "it cannot be decoded"));
    };
    let folder = folder.join("tables");
    let mut tables = tables.iter();
    tables.try_for_each(|table| archive::check(&folder.join(table.to_string())))
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn pointer(bytes: &[u8]) -> Option<(u64, u128)> {
    let mut rest = <&[u8; CURRENT_BYTES]>::try_from(bytes).ok()?.as_slice();
    let number = u64::from_le_bytes(take(&mut rest)?);
    let sum = u128::from_le_bytes(take(&mut rest)?);
    (rest == [XXH3]).then_some((number, sum))
}

/// Numbers of the tables: levels of runs of tables, each with kind of checksum, checksum and
/// sequence number.
fn tables(mut rest: &[u8]) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    let [levels] = take(&mut rest)?;
    for _ in 0..levels {
        let [runs] = take(&mut rest)?;
        for _ in 0..runs {
            for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
                numbers.push(u64::from_le_bytes(take(&mut rest)?));
                let _: [u8; 1 + 16 + 8] = take(&mut rest)?;
            }
        }
    }
    rest.is_empty().then_some(numbers)
}
