//! A byte stream without frames of its own, cut into whole messages: documents each ended by a newline, or Protobuf
//! messages each led by its length. So commands come over QUIC and WebTransport.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::Codec;

/// The most bytes a length takes, which is of 32 bits.
const LENGTH_MAX_BYTES: usize = 5;

/// Why a stream cannot be cut any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// A message is longer than is taken.
    #[error("a message is too long")]
    TooLong,
    /// What leads a message is no length.
    #[error("a length is wrong")]
    Length,
}

/// Keeps what has come of a message until the rest comes, and nothing between messages.
#[derive(Debug)]
pub struct Cutter {
    codec: Codec,
    message_max_bytes: usize,
    begun: BytesMut,
    /// How much of it was looked through for an end, which a message that trickles in would else be each time.
    looked: usize,
}

impl Cutter {
    /// One that stands between two messages, of at most so many bytes each.
    #[must_use]
    pub fn new(codec: Codec, message_max_bytes: usize) -> Self {
        Self {
            codec,
            message_max_bytes,
            begun: BytesMut::new(),
            looked: 0,
        }
    }

    /// Takes what came and gives the whole messages that are there now, as one frame of the [`Codec`].
    ///
    /// # Errors
    /// [`CutError`]; the stream is of no use after it.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Bytes>, CutError> {
        if self.begun.is_empty() {
            // Nearly always messages come whole, and nothing is kept.
            let whole = self.whole(bytes, 0)?;
            self.keep(&bytes[whole..])?;
            return Ok((whole > 0).then(|| Bytes::copy_from_slice(&bytes[..whole])));
        }
        self.begun.extend_from_slice(bytes);
        let whole = self.whole(&self.begun, self.looked)?;
        if whole == 0 {
            self.looked = self.begun.len();
            self.check(self.begun.len())?;
            return Ok(None);
        }
        let frame = self.begun.split_to(whole).freeze();
        let rest = std::mem::take(&mut self.begun);
        self.keep(&rest)?;
        Ok(Some(frame))
    }

    /// Whether a message has begun and not ended.
    #[must_use]
    pub fn is_within(&self) -> bool {
        !self.begun.is_empty()
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), CutError> {
        self.check(rest.len())?;
        self.begun.extend_from_slice(rest);
        self.looked = rest.len();
        Ok(())
    }

    fn check(&self, length: usize) -> Result<(), CutError> {
        let around = match self.codec {
            Codec::Json => 0,
            Codec::Protobuf => LENGTH_MAX_BYTES,
        };
        if length > self.message_max_bytes + around {
            return Err(CutError::TooLong);
        }
        Ok(())
    }

    /// Length of the whole messages at the beginning; there is no end before `looked`.
    fn whole(&self, bytes: &[u8], looked: usize) -> Result<usize, CutError> {
        match self.codec {
            Codec::Json => self.whole_lines(bytes, looked),
            Codec::Protobuf => self.whole_messages(bytes),
        }
    }

    fn whole_lines(&self, bytes: &[u8], looked: usize) -> Result<usize, CutError> {
        let mut whole = 0;
        for end in memchr::memchr_iter(b'\n', &bytes[looked..]) {
            let end = looked + end;
            self.check(end - whole)?;
            whole = end + 1;
        }
        Ok(whole)
    }

    fn whole_messages(&self, bytes: &[u8]) -> Result<usize, CutError> {
        let mut whole = 0;
        while let Some((header, length)) = length(&bytes[whole..])? {
            if length > self.message_max_bytes {
                return Err(CutError::TooLong);
            }
            let end = whole + header + length;
            if bytes.len() < end {
                break;
            }
            whole = end;
        }
        Ok(whole)
    }
}

/// The length that leads a message, and how many bytes it takes; nothing while it is not whole.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, CutError> {
    let leads = &bytes[..bytes.len().min(LENGTH_MAX_BYTES)];
    let Some(last) = leads.iter().position(|byte| byte & 0x80 == 0) else {
        return if leads.len() < LENGTH_MAX_BYTES {
            Ok(None)
        } else {
            Err(CutError::Length)
        };
    };
    let mut header = &leads[..=last];
    let value = prost::decode_length_delimiter(&mut header).map_err(|_| CutError::Length)?;
    debug_assert!(!header.has_remaining(), "all of it is the length");
    Ok(Some((last + 1, value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 200;

    fn messages(codec: Codec) -> impl Strategy<Value = Vec<Vec<u8>>> {
        let bytes = move || match codec {
            // No newline: a document has none outside strings, and none within.
            Codec::Json => prop::collection::vec(32_u8..127, 0..MAX).boxed(),
            Codec::Protobuf => prop::collection::vec(any::<u8>(), 0..MAX).boxed(),
        };
        prop::collection::vec(bytes(), 0..8)
    }

    fn stream(codec: Codec, messages: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            if codec == Codec::Protobuf {
                prost::encode_length_delimiter(message.len(), &mut out).expect("a vector grows");
            }
            out.extend_from_slice(message);
            out.extend_from_slice(codec.stream_terminator());
        }
        out
    }

    fn check(codec: Codec, messages: &[Vec<u8>], cuts: &[usize]) {
        let stream = stream(codec, messages);
        let mut cutter = Cutter::new(codec, MAX);
        let (mut seen, mut rest) = (Vec::new(), &stream[..]);
        for cut in cuts.iter().copied().chain([usize::MAX]) {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            if let Some(frame) = cutter.take(now).expect("within the limits") {
                seen.extend_from_slice(&frame);
            }
        }
        assert_eq!(seen, stream);
        assert!(!cutter.is_within());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_wherever_lines_are_cut(messages in messages(Codec::Json), cuts in prop::collection::vec(0_usize..90, 0..40)) {
            check(Codec::Json, &messages, &cuts);
        }

        #[test]
        fn nothing_is_lost_wherever_messages_are_cut(messages in messages(Codec::Protobuf), cuts in prop::collection::vec(0_usize..90, 0..40)) {
            check(Codec::Protobuf, &messages, &cuts);
        }

        #[test]
        fn whatever_comes_no_more_is_kept_than_one_message(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..30), json in any::<bool>()) {
            let codec = if json { Codec::Json } else { Codec::Protobuf };
            let mut cutter = Cutter::new(codec, MAX);
            for piece in pieces {
                if cutter.take(&piece).is_err() {
                    break;
                }
                prop_assert!(cutter.begun.len() <= MAX + LENGTH_MAX_BYTES);
            }
        }
    }

    #[test]
    fn too_long_is_refused_before_it_has_come() {
        let mut cutter = Cutter::new(Codec::Protobuf, MAX);
        assert_eq!(
            cutter.take(&[0xff, 0x01]),
            Err(CutError::TooLong),
            "255 are announced"
        );
        let mut cutter = Cutter::new(Codec::Json, MAX);
        assert_eq!(cutter.take(&[b'x'; MAX]), Ok(None));
        assert_eq!(cutter.take(b"x"), Err(CutError::TooLong));
        let mut cutter = Cutter::new(Codec::Json, MAX);
        let line = [&[b'x'; MAX + 1][..], b"\n"].concat();
        assert_eq!(cutter.take(&line), Err(CutError::TooLong));
    }

    #[test]
    fn no_length_is_refused() {
        let mut cutter = Cutter::new(Codec::Protobuf, MAX);
        assert_eq!(cutter.take(&[0x80; 4]), Ok(None));
        assert_eq!(cutter.take(&[0x80]), Err(CutError::Length));
    }
}
