//! Where in a client's stream of WebSocket frames we are: in the middle of something, or between two messages.
//!
//! Between messages a reader has nothing to remember, so an idle connection needs none. This follows the frames'
//! lengths alone; whether they are right is tungstenite's to say (RFC 6455 section 5.2).

/// Longest header of a client's frame: two bytes, eight of length, four of mask.
const HEADER_MAX_BYTES: usize = 14;
const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const OPCODE_CLOSE: u8 = 0x8;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// A place in the stream; the beginning is between messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Boundary {
    /// Payload bytes of the present frame that are still to come.
    payload_left: u64,
    header: [u8; HEADER_MAX_BYTES],
    /// Bytes of the present frame's header that have come.
    header_bytes: u8,
    /// A fragment came whose message goes on.
    in_message: bool,
    /// The client said that nothing follows.
    is_closed: bool,
}

impl Boundary {
    /// Whether the last message is whole and nothing of the next has come.
    pub(super) fn is_between_messages(&self) -> bool {
        self.payload_left == 0 && self.header_bytes == 0 && !self.in_message && !self.is_closed
    }

    /// Goes on over what has come.
    pub(super) fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let here = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
                let here = here.min(bytes.len());
                self.payload_left -= here as u64;
                bytes = &bytes[here..];
                continue;
            }
            self.header[usize::from(self.header_bytes)] = bytes[0];
            self.header_bytes += 1;
            bytes = &bytes[1..];
            if let Some(length) = self.whole_header() {
                self.payload_left = length;
                self.header_bytes = 0;
                self.enter_frame(self.header[0]);
            }
        }
    }

    /// The payload's length, once the header is whole.
    fn whole_header(&self) -> Option<u64> {
        let have = usize::from(self.header_bytes);
        if have < 2 {
            return None;
        }
        let length_bytes = match self.header[1] & LENGTH {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_bytes = if self.header[1] & MASKED == 0 { 0 } else { 4 };
        if have < 2 + length_bytes + mask_bytes {
            return None;
        }
        let long = &self.header[2..2 + length_bytes];
        Some(match length_bytes {
            0 => u64::from(self.header[1] & LENGTH),
            _ => long.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        })
    }

    fn enter_frame(&mut self, first: u8) {
        match first & OPCODE {
            OPCODE_CLOSE => self.is_closed = true,
            // Control frames may stand between the fragments of a message.
            0x9..=0xf => {}
            _ => self.in_message = first & FINAL == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(first: u8, masked: bool, length: usize) -> Vec<u8> {
        let mask_bit = if masked { MASKED } else { 0 };
        let mut frame = vec![first];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length @ 0..=125), _) => frame.push(mask_bit | length),
            (_, Ok(length)) => {
                frame.push(mask_bit | 126);
                frame.extend(length.to_be_bytes());
            }
            _ => {
                frame.push(mask_bit | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        let mask = if masked { 4 } else { 0 };
        frame.resize(frame.len() + mask + length, 0x81);
        frame
    }

    fn after(bytes: &[u8]) -> Boundary {
        let mut boundary = Boundary::default();
        boundary.advance(bytes);
        boundary
    }

    #[test]
    fn is_between_messages_after_whole_messages_only() {
        let whole = frame(0x81, true, 300);
        assert!(after(&[]).is_between_messages());
        assert!(after(&whole).is_between_messages());
        assert!(after(&frame(0x8a, true, 0)).is_between_messages());
        for cut in 1..whole.len() {
            assert!(!after(&whole[..cut]).is_between_messages(), "cut at {cut}");
        }
        let rows: [(&[(u8, usize)], bool); 5] = [
            (&[(0x01, 5)], false),
            (&[(0x01, 5), (0x89, 3)], false),
            (&[(0x01, 5), (0x00, 5), (0x80, 5)], true),
            (&[(0x02, 0), (0x80, 0)], true),
            (&[(0x81, 5), (0x88, 2)], false),
        ];
        for (frames, between) in rows {
            let bytes: Vec<u8> = frames
                .iter()
                .flat_map(|(first, length)| frame(*first, true, *length))
                .collect();
            assert_eq!(after(&bytes).is_between_messages(), between, "{frames:?}");
        }
    }

    proptest! {
        /// However the stream is cut into reads, the place is the same.
        #[test]
        fn cuts_do_not_matter(
            frames in prop::collection::vec((any::<u8>(), any::<bool>(), prop_oneof![0..130usize, 65_530..65_540usize]), 0..6),
            cuts in prop::collection::vec(1..5_000usize, 1..40),
        ) {
            let bytes: Vec<u8> = frames
                .iter()
                .flat_map(|(first, masked, length)| frame(*first, *masked, *length))
                .collect();
            let mut boundary = Boundary::default();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                boundary.advance(now);
                rest = later;
            }
            prop_assert_eq!(boundary, after(&bytes));
            prop_assert_eq!(boundary.header_bytes, 0);
            prop_assert_eq!(boundary.payload_left, 0);
        }
    }
}
