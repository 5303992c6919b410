//! The bytes themselves: what the hub writes is what a client of the protocol reads.

use klokke_protocol::delta;

use super::*;

fn one_frame(wire: Wire, publications: &[Publication]) -> Bytes {
    let mut hub = Hub::new();
    hub.subscribe(conn(1), &channel("c"), SubOptions::live(wire), 0)
        .expect("subscribed");
    for publication in publications {
        hub.publish(&Arc::new(publication.clone()), 0);
    }
    let mut sink = Kept::default();
    drain(&mut hub, &mut sink);
    assert_eq!(sink.frames.len(), 1, "joined in one write");
    sink.frames[0].1.clone()
}

#[test]
fn golden_frames() {
    let two = [publication("c", 6, 1), publication("c", 7, 2)];
    let first = r#"{"push":{"channel":"c","pub":{"data":{"n":1},"offset":6}}}"#;
    let second = r#"{"push":{"channel":"c","pub":{"data":{"n":2},"offset":7}}}"#;
    let joined = format!("{first}\n{second}");
    let length = u8::try_from(joined.len()).expect("a short frame");
    let expected = [&[0x81, length], joined.as_bytes()].concat();
    assert_eq!(one_frame(Wire::WebSocketJson, &two), expected);
    let stream = format!("{first}\n{second}\n");
    assert_eq!(one_frame(Wire::StreamJson, &two), stream.as_bytes());
    let events = format!("data: {first}\n\ndata: {second}\n\n");
    assert_eq!(one_frame(Wire::EventStream, &two), events.as_bytes());
    let expected = [
        &b"\x82\x26"[..],
        b"\x12\x22\x10\x12\x01c\x22\x0b\x22\x07{\"n\":1}\x30\x06",
        b"\x12\x22\x10\x12\x01c\x22\x0b\x22\x07{\"n\":2}\x30\x07",
    ]
    .concat();
    assert_eq!(one_frame(Wire::WebSocketProtobuf, &two), expected);
}

#[test]
fn every_wire_reads_back_the_same() {
    let publications: Vec<_> = (1..=64).map(|n| publication("c", n, n)).collect();
    for wire in [
        Wire::WebSocketJson,
        Wire::WebSocketProtobuf,
        Wire::StreamJson,
        Wire::StreamProtobuf,
        Wire::EventStream,
    ] {
        let pushes = read(wire, &one_frame(wire, &publications));
        let said: Vec<_> = pushes
            .into_iter()
            .map(|push| push.publication.map(|it| (it.offset, it.data)))
            .collect();
        let expected: Vec<_> = publications
            .iter()
            .map(|it| Some((it.offset, it.content.full.clone())))
            .collect();
        assert_eq!(said, expected, "{wire:?}");
    }
}

/// A reader with deltas, as SDKs have one: applies each to the payload before.
fn rebuild(wire: Wire, pushes: Vec<Push>) -> (Vec<Vec<u8>>, usize) {
    let mut previous: Vec<u8> = Vec::new();
    let (mut texts, mut deltas) = (Vec::new(), 0);
    for publication in pushes.into_iter().filter_map(|push| push.publication) {
        let data = match wire.codec() {
            Codec::Protobuf => publication.data.to_vec(),
            Codec::Json => {
                let text: String =
                    serde_json::from_slice(&publication.data).expect("a JSON string");
                text.into_bytes()
            }
        };
        previous = if publication.delta {
            deltas += 1;
            delta::apply(&previous, &data).expect("a delta against the payload before")
        } else {
            data
        };
        texts.push(previous.clone());
    }
    (texts, deltas)
}

#[test]
fn deltas_rebuild_what_was_published_across_batches() {
    let long = "the quick brown fox jumps over the lazy dog ".repeat(8);
    for wire in [Wire::WebSocketJson, Wire::WebSocketProtobuf] {
        let mut hub = Hub::new();
        let options = SubOptions {
            delta: true,
            ..SubOptions::live(wire)
        };
        hub.subscribe(conn(1), &channel("c"), options, 0)
            .expect("subscribed");
        let mut sink = Kept::default();
        let mut expected = Vec::new();
        for batch in 0..3 {
            for n in 0..3 {
                let mut it = publication("c", 0, 0);
                let text = format!("{{\"text\":\"{long}{batch}.{n}\"}}");
                it.content.full = Bytes::from(text.clone());
                it.delta = true;
                expected.push(text.into_bytes());
                hub.publish(&Arc::new(it), 0);
            }
            drain(&mut hub, &mut sink);
        }
        let (texts, deltas) = rebuild(wire, sink.pushes(conn(1), wire));
        assert_eq!(texts, expected, "{wire:?}");
        assert_eq!(deltas, 8, "all but the first are deltas");
    }
}

#[test]
fn a_delta_never_builds_on_what_the_reader_did_not_get() {
    let long = "the quick brown fox jumps over the lazy dog ".repeat(8);
    let mut hub = Hub::new();
    let options = SubOptions {
        delta: true,
        lens: Lens {
            audience: Audience(1),
            full_until_ms: 0,
        },
        ..SubOptions::live(Wire::WebSocketJson)
    };
    hub.subscribe(conn(1), &channel("c"), options, 0)
        .expect("subscribed");
    let mut sink = Kept::default();
    let mut expected = Vec::new();
    for n in 0..20 {
        let mut it = publication("c", 0, 0);
        let text = format!("{{\"text\":\"{long}{n}\"}}");
        it.content.full = Bytes::from(text.clone());
        it.delta = true;
        match n % 5 {
            1 => it.content.audience = Audience(2),
            3 => {
                it.content.bare = Some(Bytes::from_static(b"{}"));
                expected.push(b"{}".to_vec());
            }
            _ => expected.push(text.into_bytes()),
        }
        hub.publish(&Arc::new(it), 0);
        if n % 3 == 0 {
            drain(&mut hub, &mut sink);
        }
    }
    drain(&mut hub, &mut sink);
    let (texts, deltas) = rebuild(
        Wire::WebSocketJson,
        sink.pushes(conn(1), Wire::WebSocketJson),
    );
    assert_eq!(texts, expected);
    assert!(
        deltas > 0,
        "where both neighbours are seen there are deltas"
    );
}
