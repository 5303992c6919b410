//! Cases 3 and 4: reserved bits and reserved frame kinds end the connection; what came before them is answered.

use klokke_tests::raw::{Frame, opcode};

use crate::{
    Cases,
    peer::{PROTOCOL_ERROR, Peer},
};

pub(crate) fn add(cases: &mut Cases) {
    cases.add("3.1 text with reserved bits 1", |server| {
        let mut peer = Peer::new(server)?;
        let message = peer.publish(b"x");
        peer.send(&Frame::text(message).reserved(1))?;
        peer.expect_close(PROTOCOL_ERROR)
    });
    for (name, rsv, chop) in [
        (
            "3.2 good text, then text with reserved bits 2, then a ping",
            2,
            usize::MAX,
        ),
        (
            "3.3 the same with reserved bits 3, frame by frame",
            3,
            usize::MAX,
        ),
        ("3.4 the same with reserved bits 4, byte by byte", 4, 1),
    ] {
        cases.add(name, move |server| {
            let mut peer = Peer::new(server)?;
            let good = peer.publish(b"good");
            peer.send_chopped(&Frame::text(good), chop)?;
            peer.expect_echo("good")?;
            let message = peer.publish(b"bad");
            let mut bytes = Frame::text(message).reserved(rsv).masked();
            bytes.extend(Frame::new(opcode::PING, "").masked());
            if chop == 1 {
                // The server may close while the rest is still being sent.
                let _ = bytes.chunks(1).try_for_each(|byte| peer.send_bytes(byte));
            } else {
                peer.send_bytes(&bytes)?;
            }
            peer.expect_close(PROTOCOL_ERROR)
        });
    }
    for (name, rsv, kind) in [
        ("3.5 binary with reserved bits 5", 5, opcode::BINARY),
        ("3.6 ping with reserved bits 6", 6, opcode::PING),
        ("3.7 close with reserved bits 7", 7, opcode::CLOSE),
    ] {
        cases.add(name, move |server| {
            let mut peer = Peer::new(server)?;
            peer.send(&Frame::new(kind, "").reserved(rsv))?;
            peer.expect_close(PROTOCOL_ERROR)
        });
    }
    for (number, first) in [("4.1", 3_u8), ("4.2", 11)] {
        for nth in 0..5 {
            let kind = first + nth;
            let after_good = nth >= 2;
            let payload = if nth % 2 == 0 {
                ""
            } else {
                "reserved opcode payload"
            };
            cases.add(
                format!("{number}.{} reserved frame kind {kind}", nth + 1),
                move |server| {
                    let mut peer = Peer::new(server)?;
                    if after_good {
                        peer.expect_well()?;
                    }
                    peer.send(&Frame::new(kind, payload))?;
                    peer.expect_close(PROTOCOL_ERROR)
                },
            );
        }
    }
}
