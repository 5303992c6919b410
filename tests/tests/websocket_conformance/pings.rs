//! Case 2: pings are answered with their payload, unasked pongs are ignored.

use klokke_tests::raw::{Frame, opcode};

use crate::{
    Cases,
    peer::{PROTOCOL_ERROR, Peer},
};

pub(crate) fn add(cases: &mut Cases) {
    let payloads: [(&str, Vec<u8>); 4] = [
        ("2.1 ping without payload", Vec::new()),
        ("2.2 ping with text", b"Hello, world!".to_vec()),
        (
            "2.3 ping with bytes that are no text",
            vec![0x00, 0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0x00, 0xFF],
        ),
        ("2.4 ping with the longest payload", vec![0xFE; 125]),
    ];
    for (name, payload) in payloads {
        cases.add(name, move |server| {
            let mut peer = Peer::new(server)?;
            peer.send(&Frame::new(opcode::PING, payload.clone()))?;
            peer.expect_pong(&payload)?;
            peer.expect_well()
        });
    }
    cases.add("2.5 ping with a payload that is too long", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::new(opcode::PING, vec![0xFE; 126]))?;
        peer.expect_close(PROTOCOL_ERROR)
    });
    cases.add(
        "2.6 ping with the longest payload, byte by byte",
        |server| {
            let mut peer = Peer::new(server)?;
            peer.send_chopped(&Frame::new(opcode::PING, vec![0xFE; 125]), 1)?;
            peer.expect_pong(&[0xFE; 125])
        },
    );
    cases.add("2.7 pong without payload that nobody asked for", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::new(opcode::PONG, ""))?;
        peer.expect_well()
    });
    cases.add("2.8 pong with payload that nobody asked for", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::new(opcode::PONG, "unsolicited pong payload"))?;
        peer.expect_well()
    });
    cases.add("2.9 pong that nobody asked for, then a ping", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::new(opcode::PONG, "unsolicited pong payload"))?;
        peer.send(&Frame::new(opcode::PING, "ping payload"))?;
        peer.expect_pong(b"ping payload")
    });
    for (name, piece) in [
        ("2.10 ten pings", usize::MAX),
        ("2.11 ten pings, byte by byte", 1),
    ] {
        cases.add(name, move |server| {
            let mut peer = Peer::new(server)?;
            for nth in 0..10 {
                peer.send_chopped(&Frame::new(opcode::PING, format!("payload-{nth}")), piece)?;
            }
            for nth in 0..10 {
                peer.expect_pong(format!("payload-{nth}").as_bytes())?;
            }
            peer.expect_well()
        });
    }
}
