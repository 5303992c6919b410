//! What each door makes of a connection: what its messages are written like, and how it ends.

use bytes::Bytes;
use klokke_protocol::Codec;

use crate::hub::Wire;
use crate::transport::{Door, close_frame};

/// How messages are written to who came by a door.
pub(super) const fn wire_of(door: Door, codec: Codec) -> Wire {
    match (door, codec) {
        (Door::WebSocket, Codec::Json) => Wire::WebSocketJson,
        (Door::WebSocket, Codec::Protobuf) => Wire::WebSocketProtobuf,
        (Door::HttpStream, Codec::Json) => Wire::StreamJson,
        (Door::HttpStream, Codec::Protobuf) => Wire::StreamProtobuf,
        (Door::Sse, _) => Wire::EventStream,
        (Door::Quic, _) => Wire::Quic,
        (Door::WebTransport, Codec::Json) => Wire::WebTransportJson,
        (Door::WebTransport, Codec::Protobuf) => Wire::WebTransportProtobuf,
    }
}

/// The other way round.
pub(super) const fn door_of(wire: Wire) -> Door {
    match wire {
        Wire::WebSocketJson | Wire::WebSocketProtobuf => Door::WebSocket,
        Wire::StreamJson | Wire::StreamProtobuf => Door::HttpStream,
        Wire::EventStream => Door::Sse,
        Wire::Quic => Door::Quic,
        Wire::WebTransportJson | Wire::WebTransportProtobuf => Door::WebTransport,
    }
}

/// The last bytes on a connection that is cut off. Emulated ones just end: what the queue would
/// have said first is lost, so a push in their own framing has no place to begin.
pub(super) fn goodbye(door: Door, code: u32, reason: &str) -> Bytes {
    match door {
        Door::WebSocket => close_frame(u16::try_from(code).unwrap_or(1011), reason),
        // Their transport ends with the code by itself.
        Door::Quic | Door::WebTransport | Door::HttpStream | Door::Sse => Bytes::new(),
    }
}
