//! Case 1: whole messages of every length form, text and binary.

use klokke_tests::raw::{Frame, opcode};

use crate::{
    Cases,
    peer::{BAD_REQUEST, Peer},
};

/// Autobahn's payload sizes from 1.1.2 on: around both length forms.
const SIZES: &[(&str, usize)] = &[
    ("2", 125),
    ("3", 126),
    ("4", 127),
    ("5", 128),
    ("6", 65_535),
    ("7", 65_536),
];

pub(crate) fn add(cases: &mut Cases) {
    for (kind, number, code) in [
        ("text", "1.1", opcode::TEXT),
        ("binary", "1.2", opcode::BINARY),
    ] {
        cases.add(
            format!("{number}.1 empty {kind} message holds no command"),
            move |server| {
                let mut peer = Peer::new(server)?;
                peer.send(&Frame::new(code, ""))?;
                peer.expect_close(BAD_REQUEST)
            },
        );
        for &(nth, bytes) in SIZES {
            cases.add(
                format!("{number}.{nth} {kind} message of {bytes} bytes"),
                move |server| {
                    let mut peer = Peer::new(server)?;
                    let (message, text) = peer.publish_sized(bytes)?;
                    peer.send(&Frame::new(code, message))?;
                    peer.expect_echo(&text)
                },
            );
        }
        cases.add(
            format!("{number}.8 {kind} message of 65536 bytes in pieces of 997"),
            move |server| {
                let mut peer = Peer::new(server)?;
                let (message, text) = peer.publish_sized(65_536)?;
                peer.send_chopped(&Frame::new(code, message), 997)?;
                peer.expect_echo(&text)
            },
        );
    }
}
