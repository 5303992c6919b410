//! Finds publications in what a server sent without decoding them: channel, offset and data by their outline.
//!
//! The outline is that of a push with a publication whose fields stand in the usual order. Whatever looks otherwise is handed on
//! to the codec, so a server that writes differently is read more slowly, never wrongly.

use klokke_protocol::{Codec, Reply};

/// One of the messages in a frame.
#[derive(Debug)]
pub enum Item<'a> {
    /// A publication.
    Publication {
        /// Its channel.
        channel: &'a str,
        /// Its offset; 0 outside histories.
        offset: u64,
        /// Its data.
        data: &'a [u8],
    },
    /// The server's ping.
    Ping,
    /// Anything else.
    Reply(Box<Reply>),
}

/// A message that is none of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server sent what is no message of the protocol")]
pub struct Undecodable;

/// Calls `each` for every message in a frame's payload.
///
/// # Errors
/// When one cannot be decoded; those before it were handed over.
pub fn each_item<'a>(
    codec: Codec,
    payload: &'a [u8],
    mut each: impl FnMut(Item<'a>),
) -> Result<(), Undecodable> {
    match codec {
        Codec::Json => {
            for line in payload
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                match json(line) {
                    Some(item) => each(item),
                    None => decoded(codec, line, &mut each)?,
                }
            }
        }
        Codec::Protobuf => {
            let mut rest = payload;
            while !rest.is_empty() {
                let (length, after) = varint(rest).ok_or(Undecodable)?;
                let length = usize::try_from(length).map_err(|_| Undecodable)?;
                let message = after.get(..length).ok_or(Undecodable)?;
                let whole = &rest[..rest.len() - after.len() + length];
                match protobuf(message) {
                    Some(item) => each(item),
                    None => decoded(codec, whole, &mut each)?,
                }
                rest = &after[length..];
            }
        }
    }
    Ok(())
}

fn decoded<'a>(
    codec: Codec,
    bytes: &[u8],
    each: &mut impl FnMut(Item<'a>),
) -> Result<(), Undecodable> {
    for reply in codec.decode_replies(bytes).map_err(|_| Undecodable)? {
        let item = Item::Reply(Box::new(reply));
        each(item);
    }
    Ok(())
}

const CHANNEL: &[u8] = b"{\"push\":{\"channel\":\"";
const DATA: &[u8] = b"\",\"pub\":{\"data\":";
const OFFSET: &[u8] = b",\"offset\":";

fn json(line: &[u8]) -> Option<Item<'_>> {
    if line == b"{}" {
        return Some(Item::Ping);
    }
    let rest = line.strip_prefix(CHANNEL)?;
    let end = memchr::memchr2(b'"', b'\\', rest)?;
    let channel = std::str::from_utf8(&rest[..end]).ok()?;
    let rest = rest[end..].strip_prefix(DATA)?;
    // The offset stands behind the data; a text inside it would have its quotes escaped.
    let at = memchr::memmem::rfind(rest, OFFSET)?;
    let digits = &rest[at + OFFSET.len()..];
    let length = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    let offset = std::str::from_utf8(&digits[..length]).ok()?.parse().ok()?;
    Some(Item::Publication {
        channel,
        offset,
        data: &rest[..at],
    })
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(place).ok()? * 7)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[place + 1..]));
        }
    }
    None
}

/// Field number and what a length-delimited field holds; other kinds of fields as numbers.
enum Field<'a> {
    Bytes(u64, &'a [u8]),
    Number(u64, u64),
}

fn field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (key, rest) = varint(bytes)?;
    match key & 7 {
        0 => {
            let (value, rest) = varint(rest)?;
            Some((Field::Number(key >> 3, value), rest))
        }
        2 => {
            let (length, rest) = varint(rest)?;
            let length = usize::try_from(length).ok()?;
            Some((
                Field::Bytes(key >> 3, rest.get(..length)?),
                rest.get(length..)?,
            ))
        }
        _ => None,
    }
}

/// Fields of the protocol's description: `Reply.push` is 4, `Push.channel` 2, `Push.pub` 4, `Publication.data` 4, `.offset` 6.
fn protobuf(message: &[u8]) -> Option<Item<'_>> {
    if message.is_empty() {
        return Some(Item::Ping);
    }
    let (Field::Bytes(4, push), rest) = field(message)? else {
        return None;
    };
    if !rest.is_empty() {
        return None;
    }
    let (Field::Bytes(2, channel), rest) = field(push)? else {
        return None;
    };
    let (Field::Bytes(4, mut publication), rest) = field(rest)? else {
        return None;
    };
    if !rest.is_empty() {
        return None;
    }
    let (mut data, mut offset) = (None, 0);
    while !publication.is_empty() {
        let (found, rest) = field(publication)?;
        match found {
            Field::Bytes(4, bytes) => data = Some(bytes),
            Field::Number(6, number) => offset = number,
            Field::Bytes(..) | Field::Number(..) => {}
        }
        publication = rest;
    }
    Some(Item::Publication {
        channel: std::str::from_utf8(channel).ok()?,
        offset,
        data: data?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use klokke_protocol::{Publication, Push};
    use proptest::prelude::*;

    fn seen(codec: Codec, frame: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        let read = each_item(codec, frame, |item| {
            all.push(match item {
                Item::Publication {
                    channel,
                    offset,
                    data,
                } => {
                    format!("{channel} {offset} {}", String::from_utf8_lossy(data))
                }
                Item::Ping => "ping".to_owned(),
                Item::Reply(reply) => format!("reply {}", reply.id),
            });
        });
        assert_eq!(read, Ok(()));
        all
    }

    fn publication(channel: &str, offset: u64, data: &str) -> Reply {
        Reply::push(Push {
            channel: channel.to_owned(),
            publication: Some(Publication {
                data: Bytes::from(data.to_owned()),
                offset,
                time: 1_795_756_104_443,
                ..Publication::default()
            }),
            ..Push::default()
        })
    }

    proptest! {
        #[test]
        fn both_codecs_show_the_same(offset in 1u64.., text in "[a-zæøå ,:{}\\\\\"]{0,40}") {
            let data = serde_json::json!({ "text": text, "more": {"offset": 3} }).to_string();
            for codec in [Codec::Json, Codec::Protobuf] {
                let mut one = BytesMut::new();
                codec.encode_reply(&publication("group:G1/g1", offset, &data), &mut one).expect("encodes");
                let one = one.freeze();
                let mut ping = BytesMut::new();
                codec.encode_reply(&Reply::ping(), &mut ping).expect("encodes");
                let mut frame = BytesMut::new();
                codec.join([&one, &ping.freeze(), &one], &mut frame);
                let wanted = format!("group:G1/g1 {offset} {data}");
                prop_assert_eq!(seen(codec, &frame), vec![wanted.clone(), "ping".to_owned(), wanted]);
            }
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for codec in [Codec::Json, Codec::Protobuf] {
                let _ = each_item(codec, &bytes, |_| {});
            }
        }
    }
}
