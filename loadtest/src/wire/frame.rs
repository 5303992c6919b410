//! WebSocket frames of a client (RFC 6455, section 5): those of the server are read in place, own ones are masked.

/// Longest message taken from a server. A first screen or a recovery is some hundred kilobytes; what is far beyond is a fault.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text or binary, or the continuation of one.
    Data {
        /// Whether the message ends here.
        is_last: bool,
    },
    /// Close, with its code when there is one.
    Close(Option<u16>),
    /// Ping; to be answered with the same payload.
    Ping,
    /// Pong.
    Pong,
}

/// A frame that lies whole at the beginning of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// What it carries.
    pub payload: &'a [u8],
    /// Bytes it took, header included.
    pub length: usize,
}

/// A server broke the rules of framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server broke WebSocket framing")]
pub struct Broken;

/// The frame at the beginning of `bytes`; `None` when it has not come whole yet.
///
/// # Errors
/// When it is no frame that a server may send, or longer than [`MESSAGE_BYTES_MAX`].
pub fn first(bytes: &[u8]) -> Result<Option<Frame<'_>>, Broken> {
    let [head, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if head & 0x70 != 0 || second & 0x80 != 0 {
        return Err(Broken);
    }
    let (length, header) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(it) => (usize::from(u16::from_be_bytes(*it)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(it) => (
                usize::try_from(u64::from_be_bytes(*it)).map_err(|_| Broken)?,
                10,
            ),
            None => return Ok(None),
        },
        short => (usize::from(short), 2),
    };
    if length > MESSAGE_BYTES_MAX {
        return Err(Broken);
    }
    let Some(payload) = bytes.get(header..header + length) else {
        return Ok(None);
    };
    let is_last = head & 0x80 != 0;
    let kind = match head & 0x0f {
        0..=2 => Kind::Data { is_last },
        8 => Kind::Close(payload.first_chunk::<2>().map(|it| u16::from_be_bytes(*it))),
        9 => Kind::Ping,
        10 => Kind::Pong,
        _ => return Err(Broken),
    };
    Ok(Some(Frame {
        kind,
        payload,
        length: header + length,
    }))
}

/// Opcode of text.
pub const TEXT: u8 = 1;
/// Opcode of binary.
pub const BINARY: u8 = 2;
/// Opcode of a close.
pub const CLOSE: u8 = 8;
/// Opcode of a pong.
pub const PONG: u8 = 10;

/// Appends a client's frame. The mask is zero: every server must take it, and it costs nothing to apply.
pub fn write(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | u8::try_from(short).unwrap_or_default()),
        middle @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(middle).unwrap_or_default().to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_is_found_however_it_is_cut(length in 0usize..70_000, cut in 0usize..70_010) {
            let mut bytes = vec![0x81];
            let payload = vec![7u8; length];
            match length {
                0..=125 => bytes.push(u8::try_from(length).expect("short")),
                126..=0xffff => {
                    bytes.push(126);
                    bytes.extend(u16::try_from(length).expect("middle").to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend((length as u64).to_be_bytes());
                }
            }
            bytes.extend(&payload);
            let cut = cut.min(bytes.len());
            let found = first(&bytes[..cut]).expect("sound");
            prop_assert_eq!(found.is_some(), cut == bytes.len());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = first(&bytes);
        }
    }
}
