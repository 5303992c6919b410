//! The hub against a model, with many clients, and byte by byte.

#[cfg(feature = "broken")]
mod broken;
mod bytes;
mod figures;
mod oracle;
mod positions;
mod simulator;

use std::collections::BTreeMap;
use std::sync::Arc;

use ::bytes::Bytes;
use klokke_protocol::{ChannelName, ClientInfo, Codec, Epoch, Push};

use super::*;

/// A channel's name in tests.
fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("a channel name")
}

fn conn(index: u32) -> ConnKey {
    ConnKey {
        index,
        generation: 1,
    }
}

/// A publication that says its own number.
fn publication(name: &str, offset: u64, says: u64) -> Publication {
    Publication {
        channel: channel(name),
        offset,
        epoch: if offset > 0 {
            Epoch::from("e")
        } else {
            Epoch::default()
        },
        content: Content::open(Bytes::from(format!("{{\"n\":{says}}}"))),
        info: None,
        time_ms: 0,
        delta: false,
        arrived_us: 0,
    }
}

fn positioned(wire: Wire) -> SubOptions {
    SubOptions {
        positioned: true,
        ..SubOptions::live(wire)
    }
}

fn backlog(top: u64) -> Backlog {
    Backlog {
        epoch: Epoch::from("e"),
        top,
        publications: Vec::new(),
    }
}

/// What a client reads in a frame: the server's header is taken off as a client takes it off.
fn read(wire: Wire, frame: &[u8]) -> Vec<Push> {
    let payload = match wire {
        Wire::WebSocketJson | Wire::WebSocketProtobuf => {
            let opcode = if wire == Wire::WebSocketJson {
                0x81
            } else {
                0x82
            };
            assert_eq!(frame[0], opcode, "one unfragmented frame");
            let (length, rest) = match frame[1] {
                126 => (
                    usize::from(u16::from_be_bytes([frame[2], frame[3]])),
                    &frame[4..],
                ),
                127 => panic!("a test frame of more than 64 KiB"),
                short => (usize::from(short), &frame[2..]),
            };
            assert_eq!(rest.len(), length, "the header tells the payload's length");
            rest.to_vec()
        }
        Wire::StreamJson
        | Wire::StreamProtobuf
        | Wire::Quic
        | Wire::WebTransportJson
        | Wire::WebTransportProtobuf => frame.to_vec(),
        Wire::EventStream => {
            let text = std::str::from_utf8(frame).expect("events are text");
            let events = text.split_terminator("\n\n");
            let data = events.map(|event| event.strip_prefix("data: ").expect("a data event"));
            data.collect::<Vec<_>>().join("\n").into_bytes()
        }
    };
    let replies = wire
        .codec()
        .decode_replies(&payload)
        .expect("a client can read it");
    replies
        .into_iter()
        .map(|reply| reply.push.expect("a push"))
        .collect()
}

/// A sink that keeps what was written.
#[derive(Debug, Default)]
struct Kept {
    frames: Vec<(ConnKey, Bytes, u32)>,
    lost: Vec<(ConnKey, ChannelName)>,
    inappropriate: Vec<ConnKey>,
    refusing: Vec<u32>,
    delivered: Vec<(ChannelName, Wire, Told, u32)>,
    filtered: u64,
    finished: Vec<(ChannelName, Finished)>,
}

impl Sink for Kept {
    fn write(&mut self, conn: ConnKey, frame: &Bytes, messages: u32) -> Written {
        if self.refusing.contains(&conn.index) {
            return Written::Refused;
        }
        self.frames.push((conn, frame.clone(), messages));
        Written::Accepted
    }

    fn position_lost(&mut self, conn: ConnKey, channel: &ChannelName) {
        self.lost.push((conn, channel.clone()));
    }

    fn inappropriate(&mut self, conn: ConnKey) {
        self.inappropriate.push(conn);
    }

    fn delivered(&mut self, channel: &ChannelName, wire: Wire, told: &Told, subscribers: u32) {
        self.delivered
            .push((channel.clone(), wire, *told, subscribers));
    }

    fn filtered(&mut self, _: &ChannelName, publications: u64) {
        self.filtered += publications;
    }

    fn finished(&mut self, channel: &ChannelName, items: impl Iterator<Item = Finished>) {
        let items = items.map(|it| (channel.clone(), it));
        self.finished.extend(items);
    }
}

impl Kept {
    /// All pushes of one connection that uses `wire`, in order.
    fn pushes(&self, conn: ConnKey, wire: Wire) -> Vec<Push> {
        let frames = self.frames.iter().filter(|(it, ..)| *it == conn);
        frames.flat_map(|(_, frame, _)| read(wire, frame)).collect()
    }

    fn offsets(&self, conn: ConnKey, wire: Wire) -> Vec<u64> {
        let pushes = self.pushes(conn, wire).into_iter();
        pushes
            .filter_map(|push| push.publication)
            .map(|it| it.offset)
            .collect()
    }
}

/// Delivers everything that waits.
fn drain(hub: &mut Hub, sink: &mut impl Sink) {
    while hub.has_work() {
        hub.fan_out(0, 3, sink);
    }
}

fn client_info(client: &str, user: &str) -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        user: user.to_owned(),
        client: client.to_owned(),
        ..ClientInfo::default()
    })
}

#[test]
fn what_waited_is_one_write_and_one_encoding_for_all_of_a_class() {
    let mut hub = Hub::new();
    for index in 0..100 {
        let subscribed = hub.subscribe(
            conn(index),
            &channel("c"),
            SubOptions::live(Wire::WebSocketJson),
            0,
        );
        assert!(subscribed.is_ok());
    }
    for says in 0..10 {
        hub.publish(&Arc::new(publication("c", 0, says)), 0);
    }
    let mut sink = Kept::default();
    let done = hub.fan_out(0, 256, &mut sink);
    assert_eq!((done.writes, done.messages), (100, 1000));
    let first = sink.frames[0].1.as_ptr();
    assert!(
        sink.frames
            .iter()
            .all(|(_, frame, _)| frame.as_ptr() == first),
        "bytes are shared"
    );
}

#[test]
fn a_large_channel_does_not_hold_up_a_small_one() {
    let mut hub = Hub::new();
    for index in 0..1000 {
        let _ = hub.subscribe(
            conn(index),
            &channel("large"),
            SubOptions::live(Wire::WebSocketJson),
            0,
        );
    }
    let _ = hub.subscribe(
        conn(5000),
        &channel("small"),
        SubOptions::live(Wire::WebSocketJson),
        0,
    );
    hub.publish(&Arc::new(publication("large", 0, 1)), 0);
    hub.publish(&Arc::new(publication("small", 0, 2)), 0);
    let mut sink = Kept::default();
    hub.fan_out(0, 256, &mut sink);
    hub.fan_out(0, 256, &mut sink);
    let place = sink.frames.iter().position(|(it, ..)| *it == conn(5000));
    assert_eq!(
        place,
        Some(256),
        "its turn comes after one slice of the large one"
    );
}

#[test]
fn a_position_is_followed_and_a_gap_is_told() {
    let mut hub = Hub::new();
    let c = channel("c");
    hub.subscribe(conn(1), &c, positioned(Wire::WebSocketJson), 0)
        .expect("subscribed");
    hub.activate(conn(1), &c, backlog(5), 0).expect("active");
    let mut sink = Kept::default();
    for offset in [4, 5, 6, 7] {
        hub.publish(&Arc::new(publication("c", offset, offset)), 0);
    }
    drain(&mut hub, &mut sink);
    assert_eq!(sink.offsets(conn(1), Wire::WebSocketJson), [6, 7]);
    hub.publish(&Arc::new(publication("c", 9, 9)), 0);
    hub.publish(&Arc::new(publication("c", 10, 10)), 0);
    drain(&mut hub, &mut sink);
    assert_eq!(sink.lost, [(conn(1), c)], "told once");
    assert_eq!(
        sink.offsets(conn(1), Wire::WebSocketJson),
        [6, 7],
        "and nothing after the gap"
    );
}

#[test]
fn history_and_live_become_one_run() {
    let mut hub = Hub::new();
    let c = channel("c");
    hub.subscribe(conn(1), &c, positioned(Wire::WebSocketJson), 0)
        .expect("subscribed");
    let mut sink = Kept::default();
    for offset in [3, 4, 5] {
        hub.publish(&Arc::new(publication("c", offset, offset)), 0);
    }
    drain(&mut hub, &mut sink);
    hub.publish(&Arc::new(publication("c", 6, 6)), 0);
    let read = Backlog {
        publications: [2, 3]
            .map(|offset| Arc::new(publication("c", offset, offset)))
            .to_vec(),
        ..backlog(3)
    };
    let activation = hub.activate(conn(1), &c, read, 0).expect("active");
    let offsets: Vec<_> = activation.publications.iter().map(|it| it.offset).collect();
    assert_eq!(
        (offsets, activation.top, activation.unbroken_from),
        (vec![2, 3, 4, 5], 5, 2)
    );
    drain(&mut hub, &mut sink);
    assert_eq!(sink.offsets(conn(1), Wire::WebSocketJson), [6]);
}

#[test]
fn a_hole_between_history_and_live_is_refused() {
    let mut hub = Hub::new();
    let c = channel("c");
    hub.subscribe(conn(1), &c, positioned(Wire::WebSocketJson), 0)
        .expect("subscribed");
    hub.publish(&Arc::new(publication("c", 5, 5)), 0);
    drain(&mut hub, &mut Kept::default());
    assert_eq!(
        hub.activate(conn(1), &c, backlog(3), 0),
        Err(ActivateError::Insufficient)
    );
}

#[test]
fn too_much_while_reading_is_refused_not_kept() {
    let mut hub = Hub::new();
    let c = channel("c");
    hub.subscribe(conn(1), &c, positioned(Wire::WebSocketJson), 0)
        .expect("subscribed");
    for offset in 1..=2000 {
        hub.publish(&Arc::new(publication("c", offset, offset)), 0);
    }
    drain(&mut hub, &mut Kept::default());
    assert_eq!(
        hub.activate(conn(1), &c, backlog(0), 0),
        Err(ActivateError::Insufficient)
    );
}

#[test]
fn held_subscriptions_get_everything_after_their_release_and_nothing_before() {
    let mut hub = Hub::new();
    let (stream, live) = (channel("stream"), channel("live"));
    let held = |options: SubOptions| SubOptions {
        held: true,
        ..options
    };
    hub.subscribe(conn(1), &stream, held(positioned(Wire::StreamJson)), 0)
        .expect("subscribed");
    hub.subscribe(conn(1), &live, held(SubOptions::live(Wire::StreamJson)), 0)
        .expect("subscribed");
    hub.activate(conn(1), &stream, backlog(0), 0)
        .expect("active");
    let mut sink = Kept::default();
    hub.publish(&Arc::new(publication("stream", 1, 1)), 0);
    hub.publish(&Arc::new(publication("live", 0, 2)), 0);
    drain(&mut hub, &mut sink);
    assert!(
        sink.frames.is_empty(),
        "the connect reply is not written yet"
    );
    hub.publish(&Arc::new(publication("stream", 2, 3)), 0);
    hub.release(conn(1));
    drain(&mut hub, &mut sink);
    assert_eq!(sink.offsets(conn(1), Wire::StreamJson), [1, 0, 2]);
}

#[test]
fn a_subscription_is_released_by_its_own_attempt_and_leaves_silently_before() {
    let mut hub = Hub::new();
    let c = channel("news:a");
    let held = || SubOptions {
        held: true,
        announce: true,
        info: Some(client_info("x", "anna")),
        ..SubOptions::live(Wire::WebSocketJson)
    };
    let first = hub.subscribe(conn(1), &c, held(), 0).expect("subscribed");
    let left = hub.unsubscribe(conn(1), &c).expect("it was there");
    assert!(left.announce.is_none(), "nobody was told that it came");
    let second = hub.subscribe(conn(1), &c, held(), 0).expect("subscribed");
    let mut sink = Kept::default();
    hub.publish(&Arc::new(publication("news:a", 0, 1)), 0);
    hub.release_one(conn(1), &c, first);
    drain(&mut hub, &mut sink);
    assert!(sink.frames.is_empty(), "that was another one's");
    hub.release_one(conn(1), &c, second);
    drain(&mut hub, &mut sink);
    assert_eq!(sink.offsets(conn(1), Wire::WebSocketJson), [0]);
    let left = hub.unsubscribe(conn(1), &c).expect("it was there");
    assert!(left.announce.is_some());
}

#[test]
fn a_narrowed_lens_holds_for_what_already_waits() {
    let mut hub = Hub::new();
    let c = channel("unit:G1");
    hub.subscribe(conn(1), &c, SubOptions::live(Wire::WebSocketJson), 0)
        .expect("subscribed");
    let mut sensitive = publication("unit:G1", 0, 1);
    sensitive.content.bare = Some(Bytes::from_static(b"{\"bare\":true}"));
    hub.publish(&Arc::new(sensitive), 0);
    hub.set_lens(
        conn(1),
        &c,
        Lens {
            full_until_ms: 0,
            ..Lens::OPEN
        },
    );
    let mut sink = Kept::default();
    drain(&mut hub, &mut sink);
    let pushes = sink.pushes(conn(1), Wire::WebSocketJson);
    let data = pushes[0].publication.as_ref().map(|it| it.data.clone());
    assert_eq!(data.as_deref(), Some(&b"{\"bare\":true}"[..]));
}

#[test]
fn join_and_leave_reach_those_who_want_them_also_the_one_who_joins() {
    let mut hub = Hub::new();
    let c = channel("room");
    let options = SubOptions {
        join_leave: true,
        ..SubOptions::live(Wire::WebSocketJson)
    };
    let joiner = SubOptions {
        info: Some(client_info("one", "u")),
        presence: true,
        announce: true,
        ..options.clone()
    };
    hub.subscribe(conn(1), &c, joiner, 0).expect("subscribed");
    hub.subscribe(conn(2), &c, options, 0).expect("subscribed");
    hub.subscribe(conn(3), &c, SubOptions::live(Wire::WebSocketJson), 0)
        .expect("subscribed");
    let mut sink = Kept::default();
    let announcement = |movement| {
        Arc::new(Announcement {
            channel: c.clone(),
            movement,
            info: client_info("one", "u"),
        })
    };
    hub.announce(&announcement(Movement::Join), 0);
    drain(&mut hub, &mut sink);
    assert_eq!(hub.presence(&c), [client_info("one", "u")]);
    let gone = hub.unsubscribe(conn(1), &c).expect("was subscribed");
    assert_eq!(gone.announce, Some(client_info("one", "u")));
    assert!(hub.presence(&c).is_empty());
    hub.announce(&announcement(Movement::Leave), 0);
    drain(&mut hub, &mut sink);
    let seen = |index| {
        let pushes = sink.pushes(conn(index), Wire::WebSocketJson).into_iter();
        pushes
            .map(|push| (push.join.is_some(), push.leave.is_some()))
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(1), [(true, false)]);
    assert_eq!(seen(2), [(true, false), (false, true)]);
    assert_eq!(seen(3), []);
}

#[test]
fn a_user_on_two_shards_counts_once() {
    let c = channel("room");
    let mut tally = PresenceTally::default();
    for (shard, client) in ["one", "two"].into_iter().enumerate() {
        let mut hub = Hub::new();
        let options = SubOptions {
            info: Some(client_info(client, "same")),
            presence: true,
            ..SubOptions::live(Wire::WebSocketJson)
        };
        let key = conn(u32::try_from(shard).expect("two shards"));
        hub.subscribe(key, &c, options, 0).expect("subscribed");
        tally.merge(hub.presence_tally(&c));
    }
    assert_eq!((tally.clients(), tally.users()), (2, 1));
}

#[test]
fn a_filter_passes_only_matching_tags_and_offsets_go_on() {
    let mut hub = Hub::new();
    let c = channel("c");
    let node = klokke_protocol::FilterNode {
        key: "kind".to_owned(),
        cmp: "eq".to_owned(),
        val: "a".to_owned(),
        ..Default::default()
    };
    let filter = klokke_protocol::TagFilter::new(&node).expect("a good filter");
    let options = SubOptions {
        filter: Some(Box::new(filter)),
        ..positioned(Wire::WebSocketJson)
    };
    hub.subscribe(conn(1), &c, options, 0).expect("subscribed");
    hub.activate(conn(1), &c, backlog(0), 0).expect("active");
    let mut sink = Kept::default();
    for (offset, kind) in [(1, "a"), (2, "b"), (3, "a")] {
        let mut it = publication("c", offset, offset);
        it.content.tags = BTreeMap::from([("kind".to_owned(), kind.to_owned())]);
        hub.publish(&Arc::new(it), 0);
        drain(&mut hub, &mut sink);
    }
    assert_eq!(sink.offsets(conn(1), Wire::WebSocketJson), [1, 3]);
    assert_eq!(hub.position(conn(1), &c), Some(3));
    assert!(sink.lost.is_empty());
}

#[test]
fn binary_for_a_json_client_is_reported_and_others_get_it() {
    let mut hub = Hub::new();
    let c = channel("c");
    hub.subscribe(conn(1), &c, SubOptions::live(Wire::WebSocketJson), 0)
        .expect("subscribed");
    hub.subscribe(conn(2), &c, SubOptions::live(Wire::WebSocketProtobuf), 0)
        .expect("subscribed");
    let mut binary = publication("c", 0, 0);
    binary.content.full = Bytes::from_static(&[0xff, 0]);
    hub.publish(&Arc::new(binary), 0);
    let mut sink = Kept::default();
    drain(&mut hub, &mut sink);
    assert_eq!(sink.inappropriate, [conn(1)]);
    assert_eq!(sink.pushes(conn(2), Wire::WebSocketProtobuf).len(), 1);
}
