//! Case 7: the closing handshake, its codes and its reasons.

use klokke_tests::raw::{Frame, opcode};

use crate::{
    Cases,
    peer::{NOT_UTF8, PROTOCOL_ERROR, Peer},
};

const NORMAL: u16 = 1000;

pub(crate) fn add(cases: &mut Cases) {
    order(cases);
    payloads(cases);
    codes(cases);
}

fn order(cases: &mut Cases) {
    cases.add("7.1.1 a message, then a normal close", |server| {
        let mut peer = Peer::new(server)?;
        peer.expect_well()?;
        peer.send(&Frame::close(NORMAL, ""))?;
        peer.expect_close(NORMAL)
    });
    cases.add("7.1.2 two close frames get one answer", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::close(NORMAL, ""))?;
        // It may be gone before the second one is written.
        let _ = peer.send(&Frame::close(NORMAL, ""));
        peer.expect_close(NORMAL)
    });
    cases.add(
        "7.1.3 a ping after the close frame gets no answer",
        |server| {
            let mut peer = Peer::new(server)?;
            peer.send(&Frame::close(NORMAL, ""))?;
            let _ = peer.send(&Frame::new(opcode::PING, "too late"));
            peer.expect_close(NORMAL)
        },
    );
    cases.add(
        "7.1.4 a text after the close frame gets no answer",
        |server| {
            let mut peer = Peer::new(server)?;
            let message = peer.publish(b"too late");
            peer.send(&Frame::close(NORMAL, ""))?;
            let _ = peer.send(&Frame::text(message));
            peer.expect_close(NORMAL)
        },
    );
    cases.add("7.1.5 a close frame between two fragments", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::text("fragment1").unfinished())?;
        peer.send(&Frame::close(NORMAL, ""))?;
        let _ = peer.send(&Frame::new(opcode::CONTINUATION, "fragment2"));
        peer.expect_close(NORMAL)
    });
    cases.add_roomy(
        "7.1.6 a message of 256 KiB, a close frame, and a ping",
        |server| {
            let mut peer = Peer::new(server)?;
            let (message, text) = peer.publish_sized(256 * 1024)?;
            peer.send(&Frame::text(message))?;
            peer.expect_echo(&text)?;
            peer.send(&Frame::close(NORMAL, ""))?;
            let _ = peer.send(&Frame::new(opcode::PING, "too late"));
            peer.expect_close(NORMAL)
        },
    );
}

fn payloads(cases: &mut Cases) {
    cases.add("7.3.1 close without payload", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::new(opcode::CLOSE, ""))?;
        // The answer may repeat the emptiness or name a normal end.
        let answer = peer.close_frame()?;
        anyhow::ensure!(
            answer.payload.is_empty() || answer.close_code() == Some(NORMAL),
            "answered {answer:?}"
        );
        peer.expect_end()
    });
    cases.add("7.3.2 close with half a code", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::new(opcode::CLOSE, vec![3]))?;
        peer.expect_close(PROTOCOL_ERROR)
    });
    for (name, reason) in [
        ("7.3.3 close with a code", String::new()),
        (
            "7.3.4 close with a code and a reason",
            "Hello World!".to_owned(),
        ),
        ("7.3.5 close with the longest reason", "*".repeat(123)),
    ] {
        cases.add(name, move |server| {
            let mut peer = Peer::new(server)?;
            peer.send(&Frame::close(NORMAL, &reason))?;
            peer.expect_close(NORMAL)
        });
    }
    cases.add("7.3.6 close with a reason that is too long", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::close(NORMAL, "*".repeat(124)))?;
        peer.expect_close(PROTOCOL_ERROR)
    });
    cases.add("7.5.1 close with a reason that is not UTF-8", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::close(NORMAL, [0xCE, 0xBA, 0xED, 0xA0, 0x80]))?;
        peer.expect_close_of(&[NOT_UTF8, PROTOCOL_ERROR])
    });
}

fn codes(cases: &mut Cases) {
    let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ];
    for (nth, code) in (1..).zip(valid) {
        cases.add(format!("7.7.{nth} close with code {code}"), move |server| {
            let mut peer = Peer::new(server)?;
            peer.send(&Frame::close(code, ""))?;
            peer.expect_close_of(&[code, NORMAL])
        });
    }
    let invalid = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
    for (nth, code) in (1..).zip(invalid) {
        cases.add(
            format!("7.9.{nth} close with code {code}, which nobody may send"),
            move |server| {
                let mut peer = Peer::new(server)?;
                peer.send(&Frame::close(code, ""))?;
                peer.expect_close(PROTOCOL_ERROR)
            },
        );
    }
    for (nth, code) in (1..).zip([5000, 65_535]) {
        cases.add(
            format!("7.13.{nth} close with code {code}, which no standard knows"),
            move |server| {
                let mut peer = Peer::new(server)?;
                peer.send(&Frame::close(code, ""))?;
                peer.expect_close_of(&[code, PROTOCOL_ERROR, NORMAL])
            },
        );
    }
}
