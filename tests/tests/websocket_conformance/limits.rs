//! Cases 9 and 10: large messages where there is room for them, in frames and pieces of all sizes, and what is too large.

use klokke_tests::raw::{Frame, opcode};

use crate::{
    Cases,
    peer::{Peer, TOO_BIG},
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

pub(crate) fn add(cases: &mut Cases) {
    whole(cases);
    in_fragments(cases);
    in_pieces(cases);
    round_trips(cases);
    too_large(cases);
    automatic_fragments(cases);
}

fn kinds() -> [(&'static str, u8); 2] {
    [("text", opcode::TEXT), ("binary", opcode::BINARY)]
}

fn whole(cases: &mut Cases) {
    let sizes = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
    for (number, (kind, code)) in (1..).zip(kinds()) {
        for (nth, bytes) in (1..).zip(sizes) {
            let name = format!(
                "9.{number}.{nth} {kind} of {} KiB in one frame",
                bytes / KIB
            );
            cases.add_roomy(name, move |server| {
                let mut peer = Peer::new(server)?;
                let (message, text) = peer.publish_sized(bytes)?;
                peer.send(&Frame::new(code, message))?;
                peer.expect_echo(&text)
            });
        }
    }
}

fn in_fragments(cases: &mut Cases) {
    let sizes = [
        64,
        256,
        KIB,
        4 * KIB,
        16 * KIB,
        64 * KIB,
        256 * KIB,
        MIB,
        4 * MIB,
    ];
    for (number, (kind, code)) in (3..).zip(kinds()) {
        for (nth, size) in (1..).zip(sizes) {
            let name = format!("9.{number}.{nth} {kind} of 4096 KiB in fragments of {size} bytes");
            cases.add_roomy(name, move |server| {
                let mut peer = Peer::new(server)?;
                let (message, text) = peer.publish_sized(4 * MIB)?;
                send_in_fragments(&mut peer, &message, code, size)?;
                peer.expect_echo(&text)
            });
        }
    }
}

fn send_in_fragments(peer: &mut Peer, message: &[u8], code: u8, size: usize) -> anyhow::Result<()> {
    let last = (message.len() - 1) / size;
    for (nth, chunk) in message.chunks(size).enumerate() {
        let frame = Frame::new(if nth == 0 { code } else { opcode::CONTINUATION }, chunk);
        peer.send(&if nth == last {
            frame
        } else {
            frame.unfinished()
        })?;
    }
    Ok(())
}

fn in_pieces(cases: &mut Cases) {
    for (number, (kind, code)) in (5..).zip(kinds()) {
        for (nth, piece) in (1..).zip([64, 128, 256, 512, KIB, 2 * KIB]) {
            let name = format!("9.{number}.{nth} {kind} of 1024 KiB in pieces of {piece} bytes");
            cases.add_roomy(name, move |server| {
                let mut peer = Peer::new(server)?;
                let (message, text) = peer.publish_sized(MIB)?;
                peer.send_chopped(&Frame::new(code, message), piece)?;
                peer.expect_echo(&text)
            });
        }
    }
}

fn round_trips(cases: &mut Cases) {
    const ROUNDS: usize = 1000;
    // Autobahn's smallest sizes are smaller than a command can be.
    for (number, (kind, code)) in (7..).zip(kinds()) {
        for (nth, bytes) in (1..).zip([128, 192, 256, KIB, 4 * KIB, 16 * KIB]) {
            let name = format!(
                "9.{number}.{nth} {ROUNDS} {kind} messages of {bytes} bytes, there and back"
            );
            cases.add(name, move |server| {
                let mut peer = Peer::new(server)?;
                for _ in 0..ROUNDS {
                    let (message, text) = peer.publish_sized(bytes)?;
                    peer.send(&Frame::new(code, message))?;
                    peer.expect_echo(&text)?;
                }
                Ok(())
            });
        }
    }
}

fn too_large(cases: &mut Cases) {
    cases.add("9.9.1 a message one byte over the limit", |server| {
        let mut peer = Peer::new(server)?;
        let (message, _) = peer.publish_sized(64 * KIB + 1)?;
        // The server may close while the rest is still being sent.
        let _ = peer.send(&Frame::text(message));
        peer.expect_close(TOO_BIG)
    });
    cases.add(
        "9.9.2 fragments that are over the limit together",
        |server| {
            let mut peer = Peer::new(server)?;
            let (message, _) = peer.publish_sized(64 * KIB + 1)?;
            let _ = send_in_fragments(&mut peer, &message, opcode::TEXT, 16 * KIB);
            peer.expect_close(TOO_BIG)
        },
    );
    cases.add("9.9.3 a frame that says it is 2^62 bytes long", |server| {
        let mut peer = Peer::new(server)?;
        let mut head = vec![0x81, 0xFF];
        head.extend_from_slice(&(1_u64 << 62).to_be_bytes());
        head.extend_from_slice(&[0; 4]);
        peer.send_bytes(&head)?;
        peer.expect_close_of(&[TOO_BIG, crate::peer::PROTOCOL_ERROR])
    });
    cases.add("9.9.4 a frame that is not masked", |server| {
        let mut peer = Peer::new(server)?;
        let message = peer.publish(b"bare");
        peer.send_bytes(&Frame::text(message).unmasked())?;
        peer.expect_close(crate::peer::PROTOCOL_ERROR)
    });
}

fn automatic_fragments(cases: &mut Cases) {
    cases.add(
        "10.1.1 text of 65536 bytes in fragments of 1300",
        |server| {
            let mut peer = Peer::new(server)?;
            let (message, text) = peer.publish_sized(64 * KIB)?;
            send_in_fragments(&mut peer, &message, opcode::TEXT, 1300)?;
            peer.expect_echo(&text)
        },
    );
}
