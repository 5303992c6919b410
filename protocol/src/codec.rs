//! Both codecs and both framings.
//!
//! A frame holds one message or more: JSON documents one a line, Protobuf messages each led by its length. A message
//! is encoded once and may then stand in many frames; [`Codec::join`] puts encoded messages together.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    limits,
    message::{Command, Reply},
};

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Text, one document a line.
    Json,
    /// Binary, each message led by its length.
    Protobuf,
}

/// Why a frame cannot be read. Says nothing of its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame holds no message.
    #[error("the frame is empty")]
    Empty,
    /// The frame holds too many messages.
    #[error("the frame holds more than {0} messages")]
    TooMany(usize),
    /// A message's length goes beyond the frame.
    #[error("a length is wrong")]
    Length,
    /// A document is not what it should be; the place is within its line.
    #[error("malformed JSON at column {0}")]
    Json(usize),
    /// A message is not what it should be.
    #[error("malformed protobuf")]
    Protobuf,
}

/// Why a message cannot be written: its payload is not JSON and the codec is.
#[derive(Debug, thiserror::Error)]
#[error("the payload cannot be told in JSON")]
pub struct EncodeError;

impl Codec {
    /// Reads a client's frame.
    ///
    /// # Errors
    /// An empty, over-full or malformed frame.
    pub fn decode_commands(self, frame: &[u8]) -> Result<Vec<Command>, DecodeError> {
        self.decode(frame, limits::COMMANDS_PER_FRAME_MAX)
    }

    /// Reads a server's frame.
    ///
    /// # Errors
    /// An empty, over-full or malformed frame.
    pub fn decode_replies(self, frame: &[u8]) -> Result<Vec<Reply>, DecodeError> {
        self.decode(frame, limits::REPLIES_PER_FRAME_MAX)
    }

    /// Appends a reply as it stands alone in a frame.
    ///
    /// # Errors
    /// A payload that is not JSON, in the JSON codec. What was appended is taken back.
    pub fn encode_reply(self, reply: &Reply, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode(reply, out)
    }

    /// Appends a command as it stands alone in a frame.
    ///
    /// # Errors
    /// A payload that is not JSON, in the JSON codec. What was appended is taken back.
    pub fn encode_command(self, command: &Command, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode(command, out)
    }

    /// Puts encoded messages into one frame's payload.
    pub fn join<'a>(self, messages: impl IntoIterator<Item = &'a Bytes>, out: &mut BytesMut) {
        for (n, message) in messages.into_iter().enumerate() {
            if n > 0 && self == Self::Json {
                out.put_u8(b'\n');
            }
            out.extend_from_slice(message);
        }
    }

    /// What ends each message in a stream that has no frames of its own.
    pub fn stream_terminator(self) -> &'static [u8] {
        match self {
            Self::Json => b"\n",
            Self::Protobuf => b"",
        }
    }

    fn decode<M: prost::Message + Default + DeserializeOwned>(
        self,
        frame: &[u8],
        max: usize,
    ) -> Result<Vec<M>, DecodeError> {
        let messages = match self {
            Self::Json => decode_json(frame, max)?,
            Self::Protobuf => decode_protobuf(frame, max)?,
        };
        if messages.is_empty() {
            Err(DecodeError::Empty)
        } else {
            Ok(messages)
        }
    }

    fn encode<M: prost::Message + Serialize>(
        self,
        message: &M,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Json => {
                let start = out.len();
                serde_json::to_writer(out.writer(), message).map_err(|_| {
                    out.truncate(start);
                    EncodeError
                })
            }
            Self::Protobuf => {
                // A BytesMut grows as needed, so this cannot fail.
                message
                    .encode_length_delimited(out)
                    .map_err(|_| EncodeError)
            }
        }
    }
}

fn decode_json<M: DeserializeOwned>(frame: &[u8], max: usize) -> Result<Vec<M>, DecodeError> {
    let mut messages = Vec::with_capacity(1);
    let lines = frame
        .strip_suffix(b"\n")
        .unwrap_or(frame)
        .split(|byte| *byte == b'\n');
    for line in lines.filter(|_| !frame.is_empty()) {
        if messages.len() == max {
            return Err(DecodeError::TooMany(max));
        }
        let message = serde_json::from_slice(line).map_err(|e| DecodeError::Json(e.column()))?;
        messages.push(message);
    }
    Ok(messages)
}

fn decode_protobuf<M: prost::Message + Default>(
    mut frame: &[u8],
    max: usize,
) -> Result<Vec<M>, DecodeError> {
    let mut messages = Vec::with_capacity(1);
    while frame.has_remaining() {
        if messages.len() == max {
            return Err(DecodeError::TooMany(max));
        }
        let length = prost::decode_length_delimiter(&mut frame).map_err(|_| DecodeError::Length)?;
        if length > frame.len() {
            return Err(DecodeError::Length);
        }
        let (message, rest) = frame.split_at(length);
        messages.push(M::decode(message).map_err(|_| DecodeError::Protobuf)?);
        frame = rest;
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ConnectRequest, PublishResult, Request, SubscribeRequest};

    fn encoded(codec: Codec, reply: &Reply) -> Bytes {
        let mut out = BytesMut::new();
        codec.encode_reply(reply, &mut out).expect("encodable");
        out.freeze()
    }

    #[test]
    fn known_bytes() {
        let connect = Codec::Protobuf
            .decode_commands(&[4, 8, 1, 0x22, 0])
            .expect("a connect");
        let expected = Command {
            id: 1,
            connect: Some(ConnectRequest::default()),
            ..Command::default()
        };
        assert_eq!(connect, [expected]);
        assert_eq!(encoded(Codec::Protobuf, &Reply::ping()), [0].as_slice());
        assert_eq!(encoded(Codec::Json, &Reply::ping()), "{}");
        let published = Reply {
            id: 3,
            publish: Some(PublishResult {}),
            ..Reply::default()
        };
        assert_eq!(encoded(Codec::Json, &published), r#"{"id":3,"publish":{}}"#);
        assert_eq!(
            encoded(Codec::Protobuf, &published),
            [4, 8, 3, 0x42, 0].as_slice()
        );
    }

    #[test]
    fn payloads_are_embedded_as_they_stand() {
        let text = r#"{"id":2,"publish":{"channel":"c","data":{"å": 1.50}}}"#;
        let commands = Codec::Json
            .decode_commands(text.as_bytes())
            .expect("a publish");
        let (_, Request::Publish(publish)) = commands[0].clone().into_request() else {
            panic!("no publish")
        };
        assert_eq!(publish.data, r#"{"å": 1.50}"#);
        let mut out = BytesMut::new();
        Codec::Json
            .encode_command(&commands[0], &mut out)
            .expect("encodable");
        assert_eq!(out, text);
    }

    #[test]
    fn null_is_the_default_except_in_a_payload() {
        let text = br#"{"id":1,"connect":{"token":null,"subs":null,"name":null,"data":null}}"#;
        let commands = Codec::Json.decode_commands(text).expect("a connect");
        let connect = ConnectRequest {
            data: Bytes::from_static(b"null"),
            ..ConnectRequest::default()
        };
        assert_eq!(commands[0].connect, Some(connect));
    }

    #[test]
    fn a_payload_that_is_no_json_is_refused_and_leaves_nothing() {
        let result = crate::message::RpcResult {
            data: Bytes::from_static(b"\xff\x00"),
        };
        let mut out = BytesMut::from("before");
        let reply = Reply {
            id: 1,
            rpc: Some(result),
            ..Reply::default()
        };
        assert!(Codec::Json.encode_reply(&reply, &mut out).is_err());
        assert_eq!(out, "before");
        assert!(Codec::Protobuf.encode_reply(&reply, &mut out).is_ok());
    }

    #[test]
    fn a_document_never_holds_a_raw_newline() {
        let result = crate::message::RpcResult {
            data: Bytes::from_static(b"{\n \"a\": \"x\\ny\"\r\n}"),
        };
        let reply = Reply {
            id: 1,
            rpc: Some(result),
            ..Reply::default()
        };
        assert_eq!(
            encoded(Codec::Json, &reply),
            r#"{"id":1,"rpc":{"data":{ "a": "x\ny"}}}"#
        );
    }

    #[test]
    fn frames_hold_many_messages_and_tell_bad_ones() {
        let two = b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"c\"}}\n";
        let commands = Codec::Json.decode_commands(two).expect("two commands");
        let subscribe = SubscribeRequest {
            channel: "c".to_owned(),
            ..Default::default()
        };
        assert_eq!(commands[1].subscribe, Some(subscribe));
        assert!(matches!(
            Codec::Json.decode_commands(b""),
            Err(DecodeError::Empty)
        ));
        assert!(matches!(
            Codec::Protobuf.decode_commands(b""),
            Err(DecodeError::Empty)
        ));
        assert!(matches!(
            Codec::Json.decode_commands(b"{}\n\n{}"),
            Err(DecodeError::Json(_))
        ));
        assert!(matches!(
            Codec::Json.decode_commands(b"\xff"),
            Err(DecodeError::Json(_))
        ));
        assert!(matches!(
            Codec::Protobuf.decode_commands(&[9, 8]),
            Err(DecodeError::Length)
        ));
        let many = b"{}\n".repeat(limits::COMMANDS_PER_FRAME_MAX + 1);
        assert!(Codec::Json.decode_replies(&many).is_ok());
        assert!(matches!(
            Codec::Json.decode_commands(&many),
            Err(DecodeError::TooMany(limits::COMMANDS_PER_FRAME_MAX))
        ));
    }
}
