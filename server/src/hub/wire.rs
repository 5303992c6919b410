//! The bytes around messages: what a connection's transport puts between and before them.
//!
//! Frames from a server to a WebSocket client are not masked, so header and payload are the same for
//! every subscriber and one buffer serves them all.

use bytes::{BufMut, Bytes, BytesMut};
use klokke_protocol::Codec;

/// How messages are written to one connection: the codec and what surrounds each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Wire {
    /// JSON documents joined by newlines in one text frame.
    WebSocketJson,
    /// Length-delimited Protobuf messages in one binary frame.
    WebSocketProtobuf,
    /// HTTP-stream: JSON documents, each followed by a newline.
    StreamJson,
    /// HTTP-stream: length-delimited Protobuf messages.
    StreamProtobuf,
    /// Server-sent events: one `data:` event per JSON document.
    EventStream,
    /// A native app's QUIC stream: length-delimited Protobuf messages.
    Quic,
    /// WebTransport: JSON documents, each followed by a newline.
    WebTransportJson,
    /// WebTransport: length-delimited Protobuf messages.
    WebTransportProtobuf,
}

/// First byte of an unfragmented WebSocket text frame.
const FIN_TEXT: u8 = 0x81;
/// First byte of an unfragmented WebSocket binary frame.
const FIN_BINARY: u8 = 0x82;
/// Longest WebSocket header of an unmasked frame.
const HEADER_MAX_BYTES: usize = 10;
/// Longest that framing adds to one message: `data: ` and two newlines.
const AROUND_MAX_BYTES: usize = 8;

impl Wire {
    /// The codec of the messages.
    #[must_use]
    pub const fn codec(self) -> Codec {
        match self {
            Self::WebSocketJson | Self::StreamJson | Self::EventStream | Self::WebTransportJson => {
                Codec::Json
            }
            Self::WebSocketProtobuf
            | Self::StreamProtobuf
            | Self::Quic
            | Self::WebTransportProtobuf => Codec::Protobuf,
        }
    }

    /// Whether the end of a connection is announced by a message. A stream has no place for a code and what it means; a WebSocket's
    /// closing has.
    #[must_use]
    pub const fn announces_close(self) -> bool {
        !matches!(self, Self::WebSocketJson | Self::WebSocketProtobuf)
    }

    /// Puts messages, each as [`Codec::encode_reply`] wrote it, into one frame of this transport. No
    /// message gives no bytes.
    #[must_use]
    pub fn frame<M: AsRef<[u8]>>(self, messages: &[M]) -> Bytes {
        if messages.is_empty() {
            return Bytes::new();
        }
        let payload: usize = messages
            .iter()
            .map(|m| m.as_ref().len() + AROUND_MAX_BYTES)
            .sum();
        let mut out = BytesMut::with_capacity(HEADER_MAX_BYTES + payload);
        match self {
            Self::WebSocketJson => {
                let length = messages.iter().map(|m| m.as_ref().len()).sum::<usize>();
                put_header(&mut out, FIN_TEXT, length + messages.len() - 1);
                for (n, message) in messages.iter().enumerate() {
                    if n > 0 {
                        out.put_u8(b'\n');
                    }
                    out.put_slice(message.as_ref());
                }
            }
            Self::WebSocketProtobuf => {
                let length = messages.iter().map(|m| m.as_ref().len()).sum();
                put_header(&mut out, FIN_BINARY, length);
                put_all(&mut out, messages);
            }
            Self::StreamJson | Self::WebTransportJson => {
                for message in messages {
                    out.put_slice(message.as_ref());
                    out.put_u8(b'\n');
                }
            }
            Self::StreamProtobuf | Self::Quic | Self::WebTransportProtobuf => {
                put_all(&mut out, messages);
            }
            Self::EventStream => {
                for message in messages {
                    out.put_slice(b"data: ");
                    out.put_slice(message.as_ref());
                    out.put_slice(b"\n\n");
                }
            }
        }
        out.freeze()
    }
}

fn put_header(out: &mut BytesMut, first: u8, length: usize) {
    out.put_u8(first);
    if let Ok(short) = u8::try_from(length)
        && short < 126
    {
        out.put_u8(short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.put_u8(126);
        out.put_u16(medium);
    } else {
        out.put_u8(127);
        out.put_u64(length as u64);
    }
}

/// Protobuf messages carry their length already, see [`Codec::encode_reply`].
fn put_all<M: AsRef<[u8]>>(out: &mut BytesMut, messages: &[M]) {
    for message in messages {
        out.put_slice(message.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(wire: Wire, messages: &[&str]) -> Vec<u8> {
        wire.frame(messages).to_vec()
    }

    #[test]
    fn each_transport_surrounds_messages_its_own_way() {
        assert_eq!(framed(Wire::WebSocketJson, &["{}"]), b"\x81\x02{}");
        assert_eq!(
            framed(Wire::WebSocketJson, &["{}", "[]"]),
            b"\x81\x05{}\n[]"
        );
        let delimited = b"\x82\x05\x01a\x02bc";
        assert_eq!(
            framed(Wire::WebSocketProtobuf, &["\x01a", "\x02bc"]),
            delimited
        );
        assert_eq!(framed(Wire::StreamJson, &["{}", "[]"]), b"{}\n[]\n");
        assert_eq!(framed(Wire::StreamProtobuf, &["\x01a", "\0"]), b"\x01a\x00");
        assert_eq!(framed(Wire::Quic, &["\x01a", "\0"]), b"\x01a\x00");
        assert_eq!(framed(Wire::WebTransportJson, &["{}", "[]"]), b"{}\n[]\n");
        let events = b"data: {}\n\ndata: []\n\n";
        assert_eq!(framed(Wire::EventStream, &["{}", "[]"]), events);
    }

    #[test]
    fn nothing_to_say_is_no_frame() {
        assert!(framed(Wire::WebSocketJson, &[]).is_empty());
    }

    #[test]
    fn lengths_change_form_at_their_borders() {
        for (length, header) in [
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let message = "x".repeat(length);
            let frame = framed(Wire::WebSocketJson, &[&message]);
            assert_eq!(&frame[..header.len()], header, "{length}");
            assert_eq!(frame.len(), header.len() + length);
        }
    }
}
