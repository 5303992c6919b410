//! Case 5: messages in fragments, control frames between them, and fragments that do not fit together.

use anyhow::Result;
use klokke_tests::raw::{Frame, opcode};

use crate::{
    Cases,
    peer::{PROTOCOL_ERROR, Peer},
};

/// A text message cut into so many frames.
fn cut(message: &[u8], parts: usize) -> Vec<Frame> {
    let size = message.len().div_ceil(parts).max(1);
    let chunks: Vec<&[u8]> = message.chunks(size).collect();
    let last = chunks.len() - 1;
    chunks
        .iter()
        .enumerate()
        .map(|(nth, chunk)| {
            let kind = if nth == 0 {
                opcode::TEXT
            } else {
                opcode::CONTINUATION
            };
            let frame = Frame::new(kind, *chunk);
            if nth == last {
                frame
            } else {
                frame.unfinished()
            }
        })
        .collect()
}

fn bytes(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::masked).collect()
}

/// Sends all at once, frame by frame, or byte by byte.
#[derive(Clone, Copy)]
enum Pace {
    AtOnce,
    ByFrame,
    ByByte,
}

impl Pace {
    const ALL: [(Self, &'static str); 3] = [
        (Self::AtOnce, "at once"),
        (Self::ByFrame, "frame by frame"),
        (Self::ByByte, "byte by byte"),
    ];

    fn send(self, peer: &mut Peer, frames: &[Frame]) -> Result<()> {
        match self {
            Self::AtOnce => peer.send_bytes(&bytes(frames)),
            Self::ByFrame => frames.iter().try_for_each(|frame| peer.send(frame)),
            Self::ByByte => bytes(frames)
                .chunks(1)
                .try_for_each(|byte| peer.send_bytes(byte)),
        }
    }

    /// Sends what the server will refuse on the way, so that sending may fail.
    fn send_refused(self, peer: &mut Peer, frames: &[Frame]) {
        let _ = self.send(peer, frames);
    }
}

pub(crate) fn add(cases: &mut Cases) {
    for (name, kind) in [
        ("5.1 ping in two fragments", opcode::PING),
        ("5.2 pong in two fragments", opcode::PONG),
    ] {
        cases.add(name, move |server| {
            let mut peer = Peer::new(server)?;
            let frames = [
                Frame::new(kind, "frag").unfinished(),
                Frame::new(opcode::CONTINUATION, "ment"),
            ];
            Pace::AtOnce.send_refused(&mut peer, &frames);
            peer.expect_close(PROTOCOL_ERROR)
        });
    }
    for (nth, (pace, how)) in (3..).zip(Pace::ALL) {
        cases.add(
            format!("5.{nth} text in two fragments, {how}"),
            move |server| {
                let mut peer = Peer::new(server)?;
                let message = peer.publish(b"fragment1fragment2");
                pace.send(&mut peer, &cut(&message, 2))?;
                peer.expect_echo("fragment1fragment2")
            },
        );
    }
    for (nth, (pace, how)) in (6..).zip(Pace::ALL) {
        cases.add(
            format!("5.{nth} text in two fragments with a ping between, {how}"),
            move |server| {
                let mut peer = Peer::new(server)?;
                let message = peer.publish(b"fragment1fragment2");
                let mut frames = cut(&message, 2);
                frames.insert(1, Frame::new(opcode::PING, "ping payload"));
                pace.send(&mut peer, &frames)?;
                peer.expect_pong(b"ping payload")?;
                peer.expect_echo("fragment1fragment2")
            },
        );
    }
    orphans(cases, 9, true);
    orphans(cases, 12, false);
    misfits(cases);
    many(cases);
}

/// A continuation of nothing, finished or not, followed by a good text.
fn orphans(cases: &mut Cases, first: u32, finished: bool) {
    for (nth, (pace, how)) in (first..).zip(Pace::ALL) {
        let end = if finished { "finished" } else { "unfinished" };
        cases.add(
            format!("5.{nth} {end} continuation of nothing, then text, {how}"),
            move |server| {
                let mut peer = Peer::new(server)?;
                let orphan = Frame::new(opcode::CONTINUATION, "non-continuation payload");
                let orphan = if finished {
                    orphan
                } else {
                    orphan.unfinished()
                };
                let message = peer.publish(b"Hello, world!");
                pace.send_refused(&mut peer, &[orphan, Frame::text(message)]);
                peer.expect_close(PROTOCOL_ERROR)
            },
        );
    }
}

fn misfits(cases: &mut Cases) {
    cases.add(
        "5.15 text in two fragments, then a continuation of nothing, then text",
        |server| {
            let mut peer = Peer::new(server)?;
            let message = peer.publish(b"fragment1fragment2");
            let mut frames = cut(&message, 2);
            frames.push(Frame::new(opcode::CONTINUATION, "fragment3").unfinished());
            frames.push(Frame::text("fragment4"));
            Pace::AtOnce.send_refused(&mut peer, &frames);
            peer.expect_close(PROTOCOL_ERROR)
        },
    );
    for (name, finished) in [
        (
            "5.16 unfinished continuation of nothing, text, continuation, twice",
            false,
        ),
        (
            "5.17 finished continuation of nothing, text, continuation, twice",
            true,
        ),
    ] {
        cases.add(name, move |server| {
            let mut peer = Peer::new(server)?;
            let orphan = Frame::new(opcode::CONTINUATION, "fragment1");
            let orphan = if finished {
                orphan
            } else {
                orphan.unfinished()
            };
            let round = [
                orphan,
                Frame::text("fragment2").unfinished(),
                Frame::new(opcode::CONTINUATION, "fragment3"),
            ];
            Pace::AtOnce.send_refused(&mut peer, &[round.clone(), round].concat());
            peer.expect_close(PROTOCOL_ERROR)
        });
    }
    cases.add("5.18 text in two fragments that both say text", |server| {
        let mut peer = Peer::new(server)?;
        let frames = [
            Frame::text("fragment1").unfinished(),
            Frame::text("fragment2"),
        ];
        Pace::AtOnce.send_refused(&mut peer, &frames);
        peer.expect_close(PROTOCOL_ERROR)
    });
}

/// Five fragments with two pings among them.
fn many(cases: &mut Cases) {
    for (name, pace) in [
        (
            "5.19 text in five fragments with pings between, at once",
            Pace::AtOnce,
        ),
        (
            "5.20 text in five fragments with pings between, frame by frame",
            Pace::ByFrame,
        ),
    ] {
        cases.add(name, move |server| {
            let mut peer = Peer::new(server)?;
            let message = peer.publish(b"fragment1fragment2fragment3fragment4fragment5");
            let mut frames = cut(&message, 5);
            frames.insert(4, Frame::new(opcode::PING, "pongme 2!"));
            frames.insert(2, Frame::new(opcode::PING, "pongme 1!"));
            pace.send(&mut peer, &frames)?;
            peer.expect_pong(b"pongme 1!")?;
            peer.expect_pong(b"pongme 2!")?;
            peer.expect_echo("fragment1fragment2fragment3fragment4fragment5")
        });
    }
}
