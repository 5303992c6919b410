//! How the fan-out breaks its promises where [`crate::broken`] says so.

use std::cell::RefCell;

use bytes::Bytes;
use klokke_protocol::ChannelName;

use super::{ConnKey, Sink, Written};
use crate::broken::{Way, strikes};

/// A frame kept back until the next of its channel has passed it.
struct Held {
    conn: ConnKey,
    channel: ChannelName,
    frame: Bytes,
    messages: u32,
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// Writes a frame with publications to a subscriber, or does what it must not.
pub(super) fn write(
    sink: &mut impl Sink,
    conn: ConnKey,
    channel: &ChannelName,
    frame: &Bytes,
    messages: u32,
) -> Written {
    let is_next = |held: &mut Held| held.conn == conn && held.channel == *channel;
    if let Some(held) = HELD.with_borrow_mut(|held| held.take_if(is_next)) {
        let written = sink.write(conn, frame, messages);
        let _late = sink.write(conn, &held.frame, held.messages);
        return written;
    }
    if strikes(Way::Drop) {
        return Written::Accepted;
    }
    if strikes(Way::Reorder) {
        let held = Held {
            conn,
            channel: channel.clone(),
            frame: frame.clone(),
            messages,
        };
        let former = HELD.with_borrow_mut(|it| it.replace(held));
        if let Some(former) = former {
            // Nothing came that could pass it.
            let _late = sink.write(former.conn, &former.frame, former.messages);
        }
        return Written::Accepted;
    }
    if strikes(Way::Double) {
        let _first = sink.write(conn, frame, messages);
    }
    if strikes(Way::Leak)
        && let Some(stranger) = sink.stranger(conn, channel)
    {
        let _leaked = sink.write(stranger, frame, messages);
    }
    sink.write(conn, frame, messages)
}
