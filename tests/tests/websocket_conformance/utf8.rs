//! Case 6: text is UTF-8 and nothing else, found out as soon as it is known.
//!
//! Valid text must come back byte for byte. U+0000 and other control characters are valid UTF-8 but may not stand in JSON;
//! there the case asks that the refusal is the protocol's and not the frame's.

use anyhow::Result;
use klokke_tests::raw::{Frame, opcode};

use crate::{
    Cases,
    peer::{BAD_REQUEST, NOT_UTF8, Peer},
};

/// Greek letters and then some bytes that a case is about.
const KOSME: &str = "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}";

pub(crate) fn add(cases: &mut Cases) {
    empty(cases);
    valid_in_pieces(cases);
    invalid_in_pieces(cases);
    fail_fast(cases);
    for (nth, text) in (1..).zip([
        "\u{3ba}",
        "\u{3ba}\u{1f79}",
        "\u{3ba}\u{1f79}\u{3c3}",
        "\u{3ba}\u{1f79}\u{3c3}\u{3bc}",
        KOSME,
    ]) {
        valid(
            cases,
            format!("6.5.{nth} {} Greek letters", text.chars().count()),
            text.as_bytes(),
        );
    }
    truncated(cases);
    sequences(cases);
    boundaries(cases);
    continuations(cases);
    overlong(cases);
    surrogates(cases);
    noncharacters(cases);
}

fn valid(cases: &mut Cases, name: String, text: &[u8]) {
    let text = text.to_vec();
    cases.add(name, move |server| expect_valid(server, &text));
}

fn expect_valid(server: &klokke_tests::server::Server, text: &[u8]) -> Result<()> {
    let mut peer = Peer::new(server)?;
    let message = peer.publish(text);
    peer.send(&Frame::text(message))?;
    let text = std::str::from_utf8(text)?;
    if text.chars().any(|c| c < ' ') {
        peer.expect_close(BAD_REQUEST)
    } else {
        peer.expect_echo(text)
    }
}

fn invalid(cases: &mut Cases, name: String, bytes: &[u8]) {
    let bytes = bytes.to_vec();
    cases.add(name, move |server| {
        let mut peer = Peer::new(server)?;
        let message = peer.publish(&bytes);
        peer.send(&Frame::text(message))?;
        peer.expect_close(NOT_UTF8)
    });
}

fn empty(cases: &mut Cases) {
    cases.add("6.1.1 empty text", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::text(""))?;
        peer.expect_close(BAD_REQUEST)
    });
    cases.add("6.1.2 text in three empty fragments", |server| {
        let mut peer = Peer::new(server)?;
        peer.send(&Frame::text("").unfinished())?;
        peer.send(&Frame::new(opcode::CONTINUATION, "").unfinished())?;
        peer.send(&Frame::new(opcode::CONTINUATION, ""))?;
        peer.expect_close(BAD_REQUEST)
    });
    cases.add(
        "6.1.3 text in three fragments, the outer ones empty",
        |server| {
            let mut peer = Peer::new(server)?;
            let message = peer.publish(b"middle frame payload");
            peer.send(&Frame::text("").unfinished())?;
            peer.send(&Frame::new(opcode::CONTINUATION, message).unfinished())?;
            peer.send(&Frame::new(opcode::CONTINUATION, ""))?;
            peer.expect_echo("middle frame payload")
        },
    );
}

/// What 6.2 sends.
const HELLO: &str = "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!";

fn valid_in_pieces(cases: &mut Cases) {
    valid(
        cases,
        "6.2.1 valid text in one frame".to_owned(),
        HELLO.as_bytes(),
    );
    cases.add(
        "6.2.2 valid text in two fragments, cut between characters",
        |server| {
            let mut peer = Peer::new(server)?;
            let message = peer.publish(HELLO.as_bytes());
            let at = message
                .windows(2)
                .position(|two| two == "\u{df}".as_bytes())
                .unwrap_or(0);
            peer.send(&Frame::text(&message[..at]).unfinished())?;
            peer.send(&Frame::new(opcode::CONTINUATION, &message[at..]))?;
            peer.expect_echo(HELLO)
        },
    );
    for (name, text) in [
        ("6.2.3 valid text in fragments of one byte", HELLO),
        ("6.2.4 Greek letters in fragments of one byte", KOSME),
    ] {
        cases.add(name, move |server| {
            let mut peer = Peer::new(server)?;
            let message = peer.publish(text.as_bytes());
            peer.send_bytes(&byte_fragments(&message))?;
            peer.expect_echo(text)
        });
    }
}

fn byte_fragments(message: &[u8]) -> Vec<u8> {
    let last = message.len() - 1;
    let fragment = |(nth, byte): (usize, &u8)| {
        let kind = if nth == 0 {
            opcode::TEXT
        } else {
            opcode::CONTINUATION
        };
        let frame = Frame::new(kind, vec![*byte]);
        if nth == last {
            frame.masked()
        } else {
            frame.unfinished().masked()
        }
    };
    message.iter().enumerate().flat_map(fragment).collect()
}

/// Greek letters, a surrogate that UTF-8 forbids, and more text.
fn spoiled() -> Vec<u8> {
    [KOSME.as_bytes(), &[0xED, 0xA0, 0x80], b"edited"].concat()
}

fn invalid_in_pieces(cases: &mut Cases) {
    invalid(
        cases,
        "6.3.1 invalid text in one frame".to_owned(),
        &spoiled(),
    );
    cases.add("6.3.2 invalid text in fragments of one byte", |server| {
        let mut peer = Peer::new(server)?;
        let message = peer.publish(&spoiled());
        // The server may close while the rest is still being sent.
        let _ = peer.send_bytes(&byte_fragments(&message));
        peer.expect_close(NOT_UTF8)
    });
}

/// The message is never finished: the server must not wait for its end.
fn fail_fast(cases: &mut Cases) {
    for (name, spoiling) in [
        (
            "6.4.1 fail fast: a character above U+10FFFF in the second of three fragments",
            vec![0xF4, 0x90, 0x80, 0x80],
        ),
        (
            "6.4.2 fail fast: only the first two bytes of it",
            vec![0xF4, 0x90],
        ),
    ] {
        cases.add(name, move |server| {
            let mut peer = Peer::new(server)?;
            peer.send(&Frame::text(KOSME).unfinished())?;
            peer.expect_silence()?;
            peer.send(&Frame::new(opcode::CONTINUATION, spoiling.clone()).unfinished())?;
            peer.expect_close(NOT_UTF8)
        });
    }
    for (name, spoiling) in [
        (
            "6.4.3 fail fast: the same in the first fragment",
            vec![0xF4, 0x90, 0x80, 0x80],
        ),
        (
            "6.4.4 fail fast: its first two bytes in the first fragment",
            vec![0xF4, 0x90],
        ),
    ] {
        cases.add(name, move |server| {
            let mut peer = Peer::new(server)?;
            let first = [KOSME.as_bytes(), &spoiling].concat();
            peer.send(&Frame::text(first).unfinished())?;
            peer.expect_close(NOT_UTF8)
        });
    }
}

fn truncated(cases: &mut Cases) {
    let bytes = KOSME.as_bytes();
    for nth in 1..=bytes.len() {
        let name = format!("6.6.{nth} the first {nth} bytes of Greek letters");
        if std::str::from_utf8(&bytes[..nth]).is_ok() {
            valid(cases, name, &bytes[..nth]);
        } else {
            invalid(cases, name, &bytes[..nth]);
        }
    }
}

fn sequences(cases: &mut Cases) {
    for (nth, text) in (1..).zip(["\0", "\u{80}", "\u{800}", "\u{10000}"]) {
        valid(
            cases,
            format!("6.7.{nth} the first character of {nth} bytes"),
            text.as_bytes(),
        );
    }
    invalid(
        cases,
        "6.8.1 the first sequence of five bytes".to_owned(),
        &[0xF8, 0x88, 0x80, 0x80, 0x80],
    );
    invalid(
        cases,
        "6.8.2 the first sequence of six bytes".to_owned(),
        &[0xFC, 0x84, 0x80, 0x80, 0x80, 0x80],
    );
    for (nth, text) in (1..).zip(["\u{7f}", "\u{7ff}", "\u{ffff}", "\u{10ffff}"]) {
        valid(
            cases,
            format!("6.9.{nth} the last character of {nth} bytes"),
            text.as_bytes(),
        );
    }
    for (nth, bytes) in (1..).zip([
        &[0xF7, 0xBF, 0xBF, 0xBF][..],
        &[0xFB, 0xBF, 0xBF, 0xBF, 0xBF],
        &[0xFD, 0xBF, 0xBF, 0xBF, 0xBF, 0xBF],
    ]) {
        invalid(
            cases,
            format!("6.10.{nth} the last sequence of {} bytes", bytes.len()),
            bytes,
        );
    }
}

fn boundaries(cases: &mut Cases) {
    for (nth, text) in (1..).zip(["\u{d7ff}", "\u{e000}", "\u{fffd}", "\u{10ffff}"]) {
        valid(
            cases,
            format!("6.11.{nth} a character beside a boundary"),
            text.as_bytes(),
        );
    }
    invalid(
        cases,
        "6.11.5 the first code point above all characters".to_owned(),
        &[0xF4, 0x90, 0x80, 0x80],
    );
}

fn continuations(cases: &mut Cases) {
    invalid(
        cases,
        "6.12.1 the first continuation byte alone".to_owned(),
        &[0x80],
    );
    invalid(
        cases,
        "6.12.2 the last continuation byte alone".to_owned(),
        &[0xBF],
    );
    for count in 2..=7_usize {
        let bytes: Vec<u8> = [0x80, 0xBF].into_iter().cycle().take(count).collect();
        invalid(
            cases,
            format!("6.12.{} {count} continuation bytes", count + 1),
            &bytes,
        );
    }
    for (nth, (from, to)) in (1..).zip([
        (0xC0_u8, 0xDF_u8),
        (0xE0, 0xEF),
        (0xF0, 0xF7),
        (0xF8, 0xFB),
        (0xFC, 0xFD),
    ]) {
        let bytes: Vec<u8> = (from..=to).flat_map(|start| [start, b' ']).collect();
        invalid(
            cases,
            format!("6.13.{nth} lonely start bytes {from:02x} to {to:02x}"),
            &bytes,
        );
    }
    for (nth, bytes) in (1..).zip(MISSING_LAST) {
        invalid(
            cases,
            format!("6.14.{nth} a sequence without its last byte"),
            bytes,
        );
    }
    invalid(
        cases,
        "6.15.1 all of those in a row".to_owned(),
        &MISSING_LAST.concat(),
    );
    for (nth, bytes) in (1..).zip([&[0xFE][..], &[0xFF], &[0xFE, 0xFE, 0xFF, 0xFF]]) {
        invalid(cases, format!("6.16.{nth} bytes that never occur"), bytes);
    }
}

const MISSING_LAST: &[&[u8]] = &[
    &[0xC0],
    &[0xE0, 0x80],
    &[0xF0, 0x80, 0x80],
    &[0xF8, 0x80, 0x80, 0x80],
    &[0xFC, 0x80, 0x80, 0x80, 0x80],
    &[0xDF],
    &[0xEF, 0xBF],
    &[0xF7, 0xBF, 0xBF],
    &[0xFB, 0xBF, 0xBF, 0xBF],
    &[0xFD, 0xBF, 0xBF, 0xBF, 0xBF],
];

fn overlong(cases: &mut Cases) {
    let slashes: [&[u8]; 5] = [
        &[0xC0, 0xAF],
        &[0xE0, 0x80, 0xAF],
        &[0xF0, 0x80, 0x80, 0xAF],
        &[0xF8, 0x80, 0x80, 0x80, 0xAF],
        &[0xFC, 0x80, 0x80, 0x80, 0x80, 0xAF],
    ];
    let largest: [&[u8]; 5] = [
        &[0xC1, 0xBF],
        &[0xE0, 0x9F, 0xBF],
        &[0xF0, 0x8F, 0xBF, 0xBF],
        &[0xF8, 0x87, 0xBF, 0xBF, 0xBF],
        &[0xFC, 0x83, 0xBF, 0xBF, 0xBF, 0xBF],
    ];
    let nothings: [&[u8]; 5] = [
        &[0xC0, 0x80],
        &[0xE0, 0x80, 0x80],
        &[0xF0, 0x80, 0x80, 0x80],
        &[0xF8, 0x80, 0x80, 0x80, 0x80],
        &[0xFC, 0x80, 0x80, 0x80, 0x80, 0x80],
    ];
    for (number, what, rows) in [
        ("6.17", "slash", slashes),
        ("6.18", "largest overlong", largest),
        ("6.19", "NUL", nothings),
    ] {
        for (nth, bytes) in (1..).zip(rows) {
            invalid(
                cases,
                format!("{number}.{nth} {what} in {} bytes", bytes.len()),
                bytes,
            );
        }
    }
}

fn surrogates(cases: &mut Cases) {
    let single: [u16; 7] = [0xD800, 0xDB7F, 0xDB80, 0xDBFF, 0xDC00, 0xDF80, 0xDFFF];
    for (nth, unit) in (1..).zip(single) {
        invalid(
            cases,
            format!("6.20.{nth} single surrogate {unit:x}"),
            &surrogate(unit),
        );
    }
    let pairs: [(u16, u16); 8] = [
        (0xD800, 0xDC00),
        (0xD800, 0xDFFF),
        (0xDB7F, 0xDC00),
        (0xDB7F, 0xDFFF),
        (0xDB80, 0xDC00),
        (0xDB80, 0xDFFF),
        (0xDBFF, 0xDC00),
        (0xDBFF, 0xDFFF),
    ];
    for (nth, (high, low)) in (1..).zip(pairs) {
        let bytes = [surrogate(high), surrogate(low)].concat();
        invalid(
            cases,
            format!("6.21.{nth} surrogate pair {high:x} {low:x}"),
            &bytes,
        );
    }
}

/// The three bytes that would be this surrogate, were it allowed.
fn surrogate(unit: u16) -> Vec<u8> {
    let low_six = |shift: u16| 0x80 | u8::try_from((unit >> shift) & 0x3F).unwrap_or_default();
    vec![0xED, low_six(6), low_six(0)]
}

/// Code points that are no characters are valid all the same.
fn noncharacters(cases: &mut Cases) {
    let points =
        (0..=16_u32).flat_map(|plane| [plane * 0x1_0000 + 0xFFFE, plane * 0x1_0000 + 0xFFFF]);
    for (nth, c) in (1..).zip(points.filter_map(char::from_u32)) {
        let text = c.to_string();
        valid(
            cases,
            format!("6.22.{nth} U+{:X}, which is no character", u32::from(c)),
            text.as_bytes(),
        );
    }
    for (nth, c) in (1..).zip('\u{fff9}'..='\u{ffff}') {
        let text = c.to_string();
        valid(
            cases,
            format!("6.23.{nth} U+{:X}, a special", u32::from(c)),
            text.as_bytes(),
        );
    }
}
