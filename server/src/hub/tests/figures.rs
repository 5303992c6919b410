//! What the hub reports for the figures is what was delivered.

use klokke_protocol::{FilterNode, TagFilter};

use super::*;
use crate::telemetry::Stopwatch;

#[test]
fn every_delivery_is_reported_with_its_kind_and_bytes() {
    let watch = Stopwatch::default();
    let mut hub = Hub::timed(&watch);
    let c = channel("news:a");
    for (index, wire) in [
        (1, Wire::WebSocketJson),
        (2, Wire::WebSocketJson),
        (3, Wire::EventStream),
        (4, Wire::WebSocketJson),
    ] {
        let options = SubOptions {
            join_leave: true,
            ..SubOptions::live(wire)
        };
        hub.subscribe(conn(index), &c, options, 0)
            .expect("subscribed");
    }
    watch.tell(10);
    let called = Publication {
        arrived_us: 7,
        ..publication("news:a", 0, 1)
    };
    hub.publish(&Arc::new(called), 0);
    watch.tell(25);
    hub.announce(
        &Arc::new(Announcement {
            channel: c.clone(),
            movement: Movement::Join,
            info: client_info("x", "anna"),
        }),
        0,
    );
    let mut sink = Kept {
        refusing: vec![4],
        ..Kept::default()
    };
    let mut encodings = 0;
    while hub.has_work() {
        encodings += hub.fan_out(0, 3, &mut sink).encodings;
    }
    assert_eq!(encodings, 2, "one codec, two items");
    let mut by_wire = BTreeMap::new();
    for (channel, wire, told, subscribers) in &sink.delivered {
        assert_eq!(*channel, c);
        assert_eq!((told.publications, told.joins, told.leaves), (1, 1, 0));
        assert_eq!(told.withheld, 0);
        *by_wire.entry(format!("{wire:?}")).or_insert(0) += subscribers;
        let frame = sink.frames.iter().find(|(it, ..)| it.index == 1);
        let (_, frame, _) = frame.expect("a frame");
        // Two bytes of header (or four) and the newline between the two.
        let payload = told.publication_bytes + told.join_bytes;
        let around = frame.len() as u64 - payload;
        assert!((3..=5).contains(&around), "{around} bytes around");
    }
    let expected = [("EventStream", 1), ("WebSocketJson", 2)];
    assert!(by_wire.iter().map(|(wire, n)| (&**wire, *n)).eq(expected));
    let finished = [(Kind::Publication, 10, 7), (Kind::Join, 25, 0)];
    let finished = finished.map(|(kind, came_us, arrived_us)| {
        let finished = Finished {
            kind,
            came_us,
            arrived_us,
        };
        (c.clone(), finished)
    });
    assert_eq!(sink.finished, finished);
}

#[test]
fn those_in_presence_are_counted_as_long_as_they_stay() {
    let mut hub = Hub::new();
    let shown = |wire| SubOptions {
        presence: true,
        info: Some(client_info("x", "anna")),
        ..SubOptions::live(wire)
    };
    let (a, b) = (channel("news:a"), channel("news:b"));
    for (index, name) in [(1, &a), (1, &b), (2, &a)] {
        let options = shown(Wire::WebSocketJson);
        hub.subscribe(conn(index), name, options, 0)
            .expect("subscribed");
    }
    let plain = SubOptions::live(Wire::WebSocketJson);
    hub.subscribe(conn(3), &a, plain, 0).expect("subscribed");
    assert_eq!((hub.presence_count(), hub.subscription_count()), (3, 4));
    hub.unsubscribe(conn(2), &a);
    assert_eq!(hub.presence_count(), 2);
    hub.remove(conn(1));
    hub.remove(conn(3));
    assert_eq!((hub.presence_count(), hub.subscription_count()), (0, 0));
}

#[test]
fn what_filters_and_levels_keep_back_is_reported() {
    let mut hub = Hub::new();
    let c = channel("news:a");
    let wants = FilterNode {
        cmp: "eq".to_owned(),
        key: "kind".to_owned(),
        val: "sport".to_owned(),
        ..FilterNode::default()
    };
    let filter = TagFilter::new(&wants).expect("a filter");
    let filtered = SubOptions {
        filter: Some(Box::new(filter)),
        ..SubOptions::live(Wire::WebSocketJson)
    };
    hub.subscribe(conn(1), &c, filtered, 0).expect("subscribed");
    let below = SubOptions {
        lens: Lens {
            full_until_ms: 0,
            ..Lens::OPEN
        },
        ..SubOptions::live(Wire::WebSocketJson)
    };
    hub.subscribe(conn(2), &c, below, 0).expect("subscribed");
    let mut sensitive = publication("news:a", 0, 1);
    sensitive.content.bare = Some(Bytes::from_static(b"{\"bare\":true}"));
    hub.publish(&Arc::new(sensitive), 0);
    let mut sink = Kept::default();
    drain(&mut hub, &mut sink);
    assert_eq!(sink.filtered, 1);
    let delivered = sink.delivered.iter();
    let withheld: u32 = delivered
        .map(|(_, _, told, subscribers)| told.withheld * subscribers)
        .sum();
    assert_eq!((sink.frames.len(), withheld), (1, 1));
}
