//! An answer in parts: what is larger than a message goes as several, in any order, and is put together again.

use bytes::{Bytes, BytesMut};

/// Most bytes of one part; with what stands around it, it is below the largest message.
pub(super) const PART_BYTES: usize = 500 * 1024;

/// Most bytes of one answer: the presence of a hundred thousand people takes some ten megabytes.
pub const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Most bytes of parts that wait for the rest of their answers, of all questions together: answers of several nodes come at once.
pub(super) const JOINING_BYTES_MAX: usize = 4 * ANSWER_BYTES_MAX;

const PARTS_MAX: usize = ANSWER_BYTES_MAX.div_ceil(PART_BYTES);

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Which, from 0.
    pub(super) nth: u32,
    /// Of how many.
    pub(super) count: u32,
    pub(super) body: Bytes,
}

impl Part {
    /// All parts of an answer; nothing when it is too large.
    pub(super) fn all_of(mut whole: Bytes) -> Option<Vec<Self>> {
        if whole.len() > ANSWER_BYTES_MAX {
            return None;
        }
        let count = u32::try_from(whole.len().div_ceil(PART_BYTES).max(1)).ok()?;
        let part = |nth| {
            let body = whole.split_to(whole.len().min(PART_BYTES));
            Self { nth, count, body }
        };
        Some((0..count).map(part).collect())
    }
}

/// Parts that belong to no answer, or to one that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unjoinable;

/// Puts one answer together.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    parts: Vec<Option<Bytes>>,
    bytes: usize,
}

impl Joiner {
    /// What it holds.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a part; the whole, if that was the last one missing.
    pub(super) fn join(&mut self, part: Part) -> Result<Option<Bytes>, Unjoinable> {
        let count = usize::try_from(part.count).map_err(|_| Unjoinable)?;
        if self.parts.is_empty() && (1..=PARTS_MAX).contains(&count) {
            self.parts.resize(count, None);
        }
        if self.parts.len() != count {
            return Err(Unjoinable);
        }
        let place = usize::try_from(part.nth).ok();
        let place = place
            .and_then(|nth| self.parts.get_mut(nth))
            .ok_or(Unjoinable)?;
        if place.is_some() {
            return Ok(None); // It came twice.
        }
        self.bytes += part.body.len();
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(Unjoinable);
        }
        *place = Some(part.body);
        if self.parts.iter().any(Option::is_none) {
            return Ok(None);
        }
        let mut whole = BytesMut::with_capacity(self.bytes);
        self.parts
            .iter()
            .flatten()
            .for_each(|part| whole.extend_from_slice(part));
        Ok(Some(whole.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large() -> Bytes {
        let bytes = (0..251).cycle().take(2 * PART_BYTES + 7);
        bytes.collect::<Vec<_>>().into()
    }

    #[test]
    fn parts_in_any_order_and_twice_are_the_whole_again() {
        for whole in [Bytes::new(), Bytes::from_static(b"short"), large()] {
            let mut parts = Part::all_of(whole.clone()).expect("it is no larger than allowed");
            parts.reverse();
            let last = parts.pop().expect("there is one");
            let mut joiner = Joiner::default();
            for part in parts.into_iter().flat_map(|part| [part.clone(), part]) {
                assert_eq!(joiner.join(part), Ok(None));
            }
            assert_eq!(joiner.join(last), Ok(Some(whole)));
        }
    }

    #[test]
    fn what_is_no_part_or_too_much_is_refused() {
        assert_eq!(Part::all_of(vec![0; ANSWER_BYTES_MAX + 1].into()), None);
        let part = |nth, count| Part {
            nth,
            count,
            body: Bytes::from_static(b"x"),
        };
        for bad in [part(0, 0), part(1, 1), part(0, u32::MAX)] {
            assert_eq!(Joiner::default().join(bad), Err(Unjoinable));
        }
        let mut joiner = Joiner::default();
        assert_eq!(joiner.join(part(0, 2)), Ok(None));
        assert_eq!(
            joiner.join(part(1, 3)),
            Err(Unjoinable),
            "of another answer"
        );
        let huge = Part {
            body: vec![0; ANSWER_BYTES_MAX].into(),
            ..part(1, 2)
        };
        assert_eq!(joiner.join(huge), Err(Unjoinable));
    }
}
