//! The mark in everything that is said: which action it was, when it was due, and for whom it is.
//!
//! It is what makes the checker sure: whoever receives it knows at once whether it should have, how late it is, and at the end
//! whether everything came.

use std::fmt::Write as _;

/// Begins every mark; needs no escaping in JSON.
const BEGIN: &[u8] = b"klt1|";

/// Whom something is for, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    /// Everybody who sees a group, and who wrote it.
    Group(&'a str),
    /// The adults of a child.
    AdultsOf(&'a str),
    /// One profile, and who wrote it.
    Profile(&'a str),
    /// Everybody of a unit and of the units below.
    Unit(&'a str),
}

/// A mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark<'a> {
    /// The run.
    pub run: u32,
    /// The action.
    pub action: u64,
    /// When it was due, in microseconds since the run began.
    pub due_us: u64,
    /// Whether it is sensitive.
    pub sensitive: bool,
    /// Whom it is for.
    pub to: To<'a>,
}

impl Mark<'_> {
    /// Appends it to a text.
    pub fn write(&self, out: &mut String) {
        let (code, id) = match self.to {
            To::Group(id) => ('g', id),
            To::AdultsOf(id) => ('a', id),
            To::Profile(id) => ('p', id),
            To::Unit(id) => ('u', id),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "klt1|{:x}|{:x}|{:x}|{}|{code}{id}|",
            self.run,
            self.action,
            self.due_us,
            u8::from(self.sensitive)
        );
    }
}

/// The first mark in `bytes`; `None` when there is none, or one that is cut or mangled.
#[must_use]
pub fn find(bytes: &[u8]) -> Option<Mark<'_>> {
    let at = memchr::memmem::find(bytes, BEGIN)? + BEGIN.len();
    let rest = bytes.get(at..)?;
    let (run, rest) = number(rest)?;
    let (action, rest) = number(rest)?;
    let (due_us, rest) = number(rest)?;
    let (sensitive, rest) = number(rest)?;
    let end = memchr::memchr(b'|', rest)?;
    let to = std::str::from_utf8(&rest[..end]).ok()?;
    let id = to.get(1..)?;
    let to = match to.as_bytes().first()? {
        b'g' => To::Group(id),
        b'a' => To::AdultsOf(id),
        b'p' => To::Profile(id),
        b'u' => To::Unit(id),
        _ => return None,
    };
    Some(Mark {
        run: u32::try_from(run).ok()?,
        action,
        due_us,
        sensitive: sensitive == 1,
        to,
    })
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (place, byte) in bytes.iter().take(17).enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'|' if place > 0 => return Some((value, &bytes[place + 1..])),
            _ => return None,
        };
        value = value.checked_mul(16)? | u64::from(digit);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_found(run: u32, action: u64, due_us: u64, sensitive: bool, before in "[a-z{\":]{0,20}") {
            let mark = Mark { run, action, due_us, sensitive, to: To::Group("G10001.g12") };
            let mut text = before;
            mark.write(&mut text);
            text.push_str("god morgen\"}");
            prop_assert_eq!(find(text.as_bytes()), Some(mark));
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in "klt1\\|[0-9a-g|]{0,60}") {
            let _ = find(bytes.as_bytes());
        }
    }
}
