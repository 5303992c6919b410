//! A journal: batches of entries, each entry with a head that says how long key and value are.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use super::take;

/// First bytes of the entries.
const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// What follows them: count and number of a batch; checksum and mark of its end; a keyspace.
const START_BYTES: u64 = 4 + 8;
const END_BYTES: u64 = 8 + 4;
const CLEAR_BYTES: u64 = 8;
/// Kind of value, compression, keyspace, lengths of key, value, and value as stored.
const ITEM_HEAD_BYTES: usize = 1 + 1 + 8 + 2 + 4 + 4;

/// A byte of LZ4 stands for at most so many.
const LZ4_RATIO_MAX: u64 = 255;
/// Lengths that may be asked for whatever the file has.
const ALWAYS_FINE: u64 = 1 << 20;

/// Cuts a journal before an entry that claims more than can be there, if it has one. The engine
/// stops at such an entry too and cuts the file back to the last whole batch, but only after it
/// asked for as much memory as the entry claims. What was lost by it, the witness says.
pub(super) fn bound(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let Some(at) = impossible(&mut BufReader::new(file), length)? else {
        return Ok(());
    };
    tracing::warn!(path = %path.display(), at, "a journal is damaged and is read up to there");
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(at)?;
    file.sync_all()
}

/// Where the first entry begins that claims more than there is. Whatever else cannot be decoded
/// ends the search: there the engine stops without asking for memory.
fn impossible(reader: &mut BufReader<File>, length: u64) -> io::Result<Option<u64>> {
    let mut at = 0;
    while let Some(tag) = reader.fill_buf()?.first().copied() {
        reader.consume(1);
        let bytes = match tag {
            START => skip(reader, START_BYTES)?,
            END => skip(reader, END_BYTES)?,
            CLEAR => skip(reader, CLEAR_BYTES)?,
            ITEM => {
                let mut head = [0; ITEM_HEAD_BYTES];
                match reader.read_exact(&mut head) {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    read => read?,
                }
                let Some(item) = Item::of(&head) else {
                    return Ok(None);
                };
                let before = at + 1 + ITEM_HEAD_BYTES as u64;
                if item.claims_more_than(length.saturating_sub(before)) {
                    return Ok(Some(at));
                }
                ITEM_HEAD_BYTES as u64 + skip(reader, item.key + item.stored)?
            }
            _ => return Ok(None),
        };
        at += 1 + bytes;
    }
    Ok(None)
}

fn skip(reader: &mut BufReader<File>, bytes: u64) -> io::Result<u64> {
    reader.seek_relative(i64::try_from(bytes).unwrap_or(i64::MAX))?;
    Ok(bytes)
}

struct Item {
    compressed: bool,
    key: u64,
    value: u64,
    stored: u64,
}

impl Item {
    fn of(head: &[u8; ITEM_HEAD_BYTES]) -> Option<Self> {
        let mut rest = head.as_slice();
        let [_kind, compression] = take(&mut rest)?;
        let _keyspace: [u8; 8] = take(&mut rest)?;
        Some(Self {
            compressed: compression != 0,
            key: u64::from(u16::from_le_bytes(take(&mut rest)?)),
            value: u64::from(u32::from_le_bytes(take(&mut rest)?)),
            stored: u64::from(u32::from_le_bytes(take(&mut rest)?)),
        })
    }

    fn claims_more_than(&self, left: u64) -> bool {
        let stored = self.stored > ALWAYS_FINE && self.key + self.stored > left;
        let most = self.stored.saturating_mul(LZ4_RATIO_MAX);
        let value = self.compressed && self.value > ALWAYS_FINE && self.value > most;
        stored || value
    }
}
