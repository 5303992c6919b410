//! Fossil delta: a new text told as pieces of an old one (the format of the Fossil version control system).
//!
//! `<length of the new text>\n`, then commands: `<count>@<offset>,` copies from the old text, `<count>:<bytes>` brings
//! new bytes, and `<checksum>;` ends it. Numbers are in base 64 with the digits `0-9A-Z_a-z~`.
//!
//! Pieces begin and end between characters, never within one: in the JSON codec a delta travels as a string, and
//! `å` and `ø` share their first byte.

use std::collections::HashMap;

/// Length of the pieces looked for in the old text; shorter ones are not worth a copy command.
const BLOCK_BYTES: usize = 16;

/// Occurrences of one piece that are tried; bounds the work for texts that repeat themselves.
const CANDIDATES_MAX: usize = 8;

/// Longest text a delta may make: a bound for bytes that come from outside.
const TARGET_BYTES_MAX: usize = 16 << 20;

const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/// Why a delta cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// It is not in the format.
    #[error("malformed delta")]
    Malformed,
    /// It copies from beyond the old text or makes more than it says.
    #[error("delta goes beyond its texts")]
    OutOfBounds,
    /// What it makes is not what it was made from.
    #[error("delta has a wrong checksum")]
    Checksum,
}

/// The delta from `old` to `new`, or `None` where it would not be smaller than `new`.
pub fn create(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let mut delta = Vec::with_capacity(new.len() / 2);
    put_number(&mut delta, new.len());
    delta.push(b'\n');
    let index = index_blocks(old);
    let mut pending = 0;
    let mut at = 0;
    while at + BLOCK_BYTES <= new.len() {
        let found = index
            .get(&new[at..at + BLOCK_BYTES])
            .and_then(|places| longest_match(old, new, places, at, pending))
            .and_then(|copy| copy.of_whole_characters(new))
            // In bytes that are no text, what is left may end before this block.
            .filter(|copy| copy.new + copy.length > at);
        match found {
            Some(copy) => {
                put_literal(&mut delta, &new[pending..copy.new]);
                put_number(&mut delta, copy.length);
                delta.push(b'@');
                put_number(&mut delta, copy.old);
                delta.push(b',');
                at = copy.new + copy.length;
                pending = at;
            }
            None => at += 1,
        }
        if delta.len() >= new.len() {
            return None;
        }
    }
    put_literal(&mut delta, &new[pending..]);
    put_number(&mut delta, checksum(new) as usize);
    delta.push(b';');
    (delta.len() < new.len()).then_some(delta)
}

/// The new text, made from the old one and a delta.
///
/// # Errors
/// A malformed delta, one that reaches beyond its texts, or one that was made from another old text.
pub fn apply(old: &[u8], delta: &[u8]) -> Result<Vec<u8>, DeltaError> {
    let mut reader = Reader { bytes: delta };
    let length = reader.number(b'\n')?;
    if length > TARGET_BYTES_MAX {
        return Err(DeltaError::OutOfBounds);
    }
    let mut new = Vec::with_capacity(length);
    loop {
        let (count, command) = reader.number_and_command()?;
        match command {
            b'@' => {
                let offset = reader.number(b',')?;
                let end = offset.checked_add(count).ok_or(DeltaError::OutOfBounds)?;
                new.extend_from_slice(old.get(offset..end).ok_or(DeltaError::OutOfBounds)?);
            }
            b':' => new.extend_from_slice(reader.take(count)?),
            b';' if new.len() != length => return Err(DeltaError::OutOfBounds),
            b';' if checksum(&new) as usize != count => return Err(DeltaError::Checksum),
            b';' => return Ok(new),
            _ => return Err(DeltaError::Malformed),
        }
        if new.len() > length {
            return Err(DeltaError::OutOfBounds);
        }
    }
}

/// A piece that stands in both texts.
struct Copy {
    old: usize,
    new: usize,
    length: usize,
}

impl Copy {
    /// The same piece without the characters it holds only a part of; `None` where nothing is left.
    fn of_whole_characters(self, new: &[u8]) -> Option<Self> {
        let is_within = |at: usize| new.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
        let end = self.new + self.length;
        let first = (self.new..end).find(|&at| !is_within(at))?;
        let last = (first..=end).rev().find(|&at| !is_within(at))?;
        (last > first).then_some(Self {
            old: self.old + (first - self.new),
            new: first,
            length: last - first,
        })
    }
}

/// The places of each aligned block of the old text.
fn index_blocks(old: &[u8]) -> HashMap<&[u8], Vec<usize>> {
    let mut index: HashMap<&[u8], Vec<usize>> = HashMap::with_capacity(old.len() / BLOCK_BYTES);
    for (n, block) in old.chunks_exact(BLOCK_BYTES).enumerate() {
        let places = index.entry(block).or_default();
        if places.len() < CANDIDATES_MAX {
            places.push(n * BLOCK_BYTES);
        }
    }
    index
}

/// Grows each match both ways, backwards no further than what is not told yet, and takes the longest.
fn longest_match(
    old: &[u8],
    new: &[u8],
    places: &[usize],
    at: usize,
    pending: usize,
) -> Option<Copy> {
    let grown = places.iter().map(|&place| {
        let forward = old[place..]
            .iter()
            .zip(&new[at..])
            .take_while(|(old, new)| old == new)
            .count();
        let before = old[..place].iter().rev().zip(new[pending..at].iter().rev());
        let backward = before.take_while(|(old, new)| old == new).count();
        Copy {
            old: place - backward,
            new: at - backward,
            length: forward + backward,
        }
    });
    grown.max_by_key(|copy| copy.length)
}

fn put_literal(delta: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_number(delta, bytes.len());
        delta.push(b':');
        delta.extend_from_slice(bytes);
    }
}

fn put_number(delta: &mut Vec<u8>, mut number: usize) {
    let start = delta.len();
    loop {
        delta.push(DIGITS[number & 63]);
        number >>= 6;
        if number == 0 {
            break;
        }
    }
    delta[start..].reverse();
}

/// The sum of the text's big-endian 32-bit words, the last one padded with zeros.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.chunks(4).fold(0, |sum: u32, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum.wrapping_add(u32::from_be_bytes(word))
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DeltaError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or(DeltaError::OutOfBounds)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn number(&mut self, end: u8) -> Result<usize, DeltaError> {
        match self.number_and_command()? {
            (number, command) if command == end => Ok(number),
            _ => Err(DeltaError::Malformed),
        }
    }

    fn number_and_command(&mut self) -> Result<(usize, u8), DeltaError> {
        let mut number: usize = 0;
        loop {
            let (&byte, rest) = self.bytes.split_first().ok_or(DeltaError::Malformed)?;
            self.bytes = rest;
            match DIGITS.iter().position(|digit| *digit == byte) {
                // Six digits hold 36 bits: no length or checksum needs more.
                Some(_) if number >> 36 != 0 => return Err(DeltaError::OutOfBounds),
                Some(digit) => number = number << 6 | digit,
                None => return Ok((number, byte)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_change_is_a_small_delta() {
        let old =
            br#"{"child":"G10001.p17","status":"present","place":"the library","since":"07:55","by":"G10001.p3"}"#;
        let new = br#"{"child":"G10001.p17","status":"present","place":"the playground","since":"07:55","by":"G10001.p3"}"#;
        let delta = create(old, new).expect("smaller");
        assert!(
            delta.len() < new.len() / 2,
            "{}",
            String::from_utf8_lossy(&delta)
        );
        assert_eq!(apply(old, &delta).as_deref(), Ok(new.as_slice()));
    }

    #[test]
    fn nothing_in_common_is_no_delta() {
        assert_eq!(create(b"aaaaaaaaaaaaaaaaaaaaaaaa", b"0123456789"), None);
        assert_eq!(create(b"", b""), None);
    }

    #[test]
    fn a_delta_of_text_is_text() {
        let old = "Lærke er på legepladsen, og hun bliver hentet af sin bedstefar klokken ø";
        let new = "Lærke er på legepladsen, og hun bliver hentet af sin bedstefar klokken å";
        let delta = create(old.as_bytes(), new.as_bytes()).expect("smaller");
        let text = std::str::from_utf8(&delta).expect("whole characters");
        assert!(text.contains('å'), "{text}");
        assert_eq!(apply(old.as_bytes(), &delta).as_deref(), Ok(new.as_bytes()));
    }

    #[test]
    fn another_old_text_is_found_out() {
        let old = b"the quick brown fox jumps over the lazy dog, twice";
        let delta = create(old, &[old.as_slice(), b" more"].concat()).expect("smaller");
        let other = old.to_ascii_uppercase();
        assert_eq!(apply(&other, &delta), Err(DeltaError::Checksum));
    }

    proptest! {
        #[test]
        fn a_delta_makes_the_new_text_again(
            start in proptest::collection::vec(0_u8..4, 0..200),
            middle in proptest::collection::vec(any::<u8>(), 0..40),
            other in proptest::collection::vec(any::<u8>(), 0..40),
            end in proptest::collection::vec(0_u8..4, 0..200),
        ) {
            let old = [start.as_slice(), &middle, &end].concat();
            let new = [end.as_slice(), &other, &start, &end].concat();
            if let Some(delta) = create(&old, &new) {
                prop_assert!(delta.len() < new.len());
                prop_assert_eq!(apply(&old, &delta), Ok(new));
            }
        }

        #[test]
        fn a_delta_between_texts_is_a_text(
            start in "[æøå😀a]{0,40}", middle in "[æøå😀a]{0,4}", other in "[æøå😀a]{0,4}", end in "[æøå😀a]{0,40}",
        ) {
            let old = format!("{start}{middle}{end}");
            let new = format!("{start}{other}{end}");
            if let Some(delta) = create(old.as_bytes(), new.as_bytes()) {
                prop_assert!(std::str::from_utf8(&delta).is_ok());
                prop_assert_eq!(apply(old.as_bytes(), &delta), Ok(new.into_bytes()));
            }
        }

        #[test]
        fn hostile_deltas_end_in_an_error(old in "[a-z]{0,40}", delta in "[0-9A-Z_a-z~@:,;\n]{0,60}") {
            let _ = apply(old.as_bytes(), delta.as_bytes());
        }
    }
}
