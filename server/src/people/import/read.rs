//! Reading an import file: line by line, bounded in every direction, each line parsed and given to [`Reading`].

use std::collections::BTreeMap;
use std::io::BufRead;

use hashbrown::HashMap;

use super::fault::{LineError, ReadError};
use super::gather::Reading;
use super::parse::parse;
use crate::ledger::RecordKey;
use crate::people::record::PeopleRecord;
use crate::people::{SubjectId, UnitCode};

/// Longest line in bytes. A real one has some 200; a longer one is not a line of ours.
pub const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Most lines of a file: the largest municipality has some 400,000; a country comes as one file a municipality.
pub const LINES_MAX: u64 = 2_000_000;
/// Largest file: [`LINES_MAX`] real lines. What is read is held in memory until it is compared.
pub const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Longest name or title in characters.
pub(super) const NAME_LENGTH_MAX: usize = 200;
/// Most profiles that look after one inbox; they are among the recipients of every thread to it.
pub(super) const MEMBERS_MAX: usize = 50;

/// What a file wants to be true: the records of each unit it names.
#[derive(Debug, Default)]
pub struct Wanted {
    pub(super) units: BTreeMap<UnitCode, BTreeMap<RecordKey, PeopleRecord>>,
    /// The line of each login, for what only the ledgers know of it.
    pub(super) logins: HashMap<SubjectId, u32>,
    /// How many lines were read.
    pub lines: u64,
}

/// Reads and checks a whole file. `progress` is told the number of lines every thousand lines.
///
/// # Errors
/// The first wrong line, or that the file cannot be read. Nothing has been changed then.
pub fn read(mut file: impl BufRead, mut progress: impl FnMut(u64)) -> Result<Wanted, ReadError> {
    let mut reading = Reading::default();
    let mut buffer = Vec::new();
    let (mut number, mut bytes) = (0, 0);
    loop {
        buffer.clear();
        number += 1;
        let fault = |error| ReadError::Line {
            line: number,
            error,
        };
        let taken =
            std::io::Read::take(&mut file, LINE_BYTES_MAX + 1).read_until(b'\n', &mut buffer)?;
        if taken == 0 {
            break;
        }
        bytes += taken as u64;
        if taken as u64 > LINE_BYTES_MAX {
            return Err(fault(LineError::TooLong));
        }
        if number > LINES_MAX {
            return Err(fault(LineError::TooMany));
        }
        if bytes > FILE_BYTES_MAX {
            return Err(ReadError::TooLarge);
        }
        let text = std::str::from_utf8(&buffer).map_err(|_| fault(LineError::Encoding))?;
        // Some sources begin a file with a byte order mark.
        let text = text
            .strip_prefix('\u{feff}')
            .filter(|_| number == 1)
            .unwrap_or(text)
            .trim();
        if !text.is_empty() {
            reading
                .take(parse(text).map_err(fault)?, number)
                .map_err(fault)?;
        }
        if number % 1_000 == 0 {
            progress(number);
        }
    }
    reading.finish(number - 1).ok_or(ReadError::Empty)
}
