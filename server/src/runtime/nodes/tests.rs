//! What nodes tell and ask each other comes as it was sent, and what is no such message is refused.

use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{ChannelName, ClientInfo, Disconnect, Epoch, StreamPosition, Unsubscribe};

use super::{direct, rows};
use crate::auth::{Override, Overrides};
use crate::hub::{self, Announcement, Movement, PresenceTally, Publication};
use crate::runtime::mailbox::{ConnectionInfo, Directive, Listing, Target};
use crate::session::{Event, ServerSubscription};

fn channel() -> ChannelName {
    ChannelName::parse("open:hall").expect("valid")
}

fn info() -> ClientInfo {
    ClientInfo {
        user: "anna".to_owned(),
        client: "c1".to_owned(),
        conn_info: Bytes::from_static(b"{}"),
        chan_info: Bytes::from_static(b"[1]"),
    }
}

fn target() -> Target {
    Target {
        user: "anna".to_owned(),
        client: "c".to_owned(),
        session: "s".to_owned(),
        spared: vec!["a".to_owned(), "b".to_owned()],
    }
}

#[test]
fn what_is_asked_comes_as_it_was_sent() {
    assert_eq!(
        rows::read_channel(rows::channel(&channel())),
        Some(channel())
    );
    let sent = Listing {
        target: target(),
        after: "x".to_owned(),
        limit: 7,
    };
    let listing = rows::read_listing(rows::listing(&sent)).expect("read");
    assert_eq!((&*listing.after, listing.limit), ("x", 7));
    assert_eq!(
        format!("{:?}", listing.target),
        format!("{:?}", sent.target)
    );
    let frame = Bytes::from_static(b"{\"id\":1}");
    let uplink = rows::read_uplink(rows::uplink("0000s", frame.clone()));
    assert_eq!(uplink, Some(("0000s".to_owned(), frame)));
}

#[test]
fn what_is_answered_comes_as_it_was_sent() {
    let present = vec![info(), ClientInfo::default()];
    assert_eq!(rows::read_presence(rows::presence(&present)), Some(present));
    let tally = PresenceTally::of(3, ["anna".to_owned(), "bo".to_owned()]);
    assert_eq!(rows::read_tally(rows::tally(&tally)), Some(tally));
    let all = vec![(channel(), 4)];
    let sent = rows::channels(all.iter().map(|(name, count)| (name, *count)));
    assert_eq!(rows::read_channels(sent), Some(all));
    let all = vec![ConnectionInfo {
        client: "c".to_owned(),
        user: "u".to_owned(),
        transport: "sse".into(),
        protocol: "json".into(),
        channels: vec!["open:hall".to_owned()],
        queued_bytes: 9,
    }];
    assert_eq!(
        rows::read_connections(rows::connections(all.clone())),
        Some(all)
    );
}

#[test]
fn what_is_told_comes_as_it_was_sent() {
    let sent = Publication {
        channel: channel(),
        offset: 0,
        epoch: Epoch::default(),
        content: hub::Content {
            tags: [("k".to_owned(), "v".to_owned())].into(),
            ..hub::Content::open(Bytes::from_static(b"1"))
        },
        info: Some(Arc::new(info())),
        time_ms: 0,
        delta: true,
        arrived_us: 1,
    };
    let mut heard = rows::read_publication(rows::publication(&sent)).expect("read");
    heard.arrived_us = 1;
    assert_eq!(format!("{heard:?}"), format!("{sent:?}"));
    for movement in [Movement::Join, Movement::Leave] {
        let sent = Announcement {
            channel: channel(),
            movement,
            info: Arc::new(info()),
        };
        let heard = rows::read_movement(rows::movement(&sent)).expect("read");
        assert_eq!(format!("{heard:?}"), format!("{sent:?}"));
    }
}

#[test]
fn what_a_back_end_lets_happen_comes_as_it_was_sent() {
    let subscription = ServerSubscription {
        channel: "open:hall".into(),
        info: Some(Bytes::new()),
        data: Some(Bytes::from_static(b"1")),
        expires_at_ms: Some(5),
        recover_since: Some(StreamPosition {
            offset: 0,
            epoch: "e".to_owned(),
        }),
        overrides: Overrides {
            presence: Some(Override { value: false }),
            join_leave: Some(Override { value: true }),
            force_positioning: Some(Override { value: true }),
            ..Overrides::default()
        },
    };
    let unsubscribe = |channel| Event::Unsubscribe {
        channel,
        unsubscribe: Unsubscribe {
            code: 2_000,
            reason: "r".to_owned(),
        },
    };
    let refresh = |expires_at_ms, info| Event::Refresh {
        expires_at_ms,
        info,
    };
    for event in [
        Event::Subscribe(Box::new(subscription)),
        Event::Subscribe(Box::default()),
        unsubscribe(None),
        unsubscribe(Some(channel())),
        Event::Disconnect(Disconnect {
            code: 4_500,
            reason: "r".to_owned(),
            ..Disconnect::default()
        }),
        refresh(None, None),
        refresh(Some(7), Some(Bytes::new())),
    ] {
        let sent = Directive {
            target: target(),
            event,
        };
        let heard = direct::read(direct::write(&sent).expect("a back end's")).expect("read");
        let all = |it: &Directive| format!("{:?} {:?}", it.target, it.event);
        assert_eq!(all(&heard), all(&sent));
    }
    let sent = Directive {
        target: target(),
        event: Event::Message(Bytes::new()),
    };
    assert!(direct::write(&sent).is_none(), "no back end asks for it");
}

#[test]
fn what_is_no_message_is_refused() {
    let bad = || Bytes::from_static(b"\xff\xff");
    assert_eq!(rows::read_channel(bad()), None);
    assert_eq!(
        rows::read_channel(Bytes::new()),
        None,
        "no channel has no name"
    );
    assert_eq!(rows::read_presence(bad()), None);
    assert_eq!(rows::read_tally(bad()), None);
    assert_eq!(rows::read_channels(bad()), None);
    assert_eq!(rows::read_connections(bad()), None);
    assert_eq!(rows::read_uplink(bad()), None);
    assert!(rows::read_listing(bad()).is_none());
    assert!(rows::read_publication(bad()).is_none());
    assert!(rows::read_movement(bad()).is_none());
    assert!(direct::read(bad()).is_none());
    assert!(direct::read(Bytes::new()).is_none(), "of a newer version");
}

/// What was read, written again.
type Reread = fn(Bytes) -> Option<Bytes>;

/// A message of each kind, and how it is read and written again.
fn messages() -> Vec<(&'static str, Bytes, Reread)> {
    let directive = |event| Directive {
        target: target(),
        event,
    };
    let direct = |event| direct::write(&directive(event)).expect("a back end's");
    let directed: fn(Bytes) -> Option<Bytes> = |body| direct::write(&direct::read(body)?);
    let listing = Listing {
        target: target(),
        after: "x".to_owned(),
        limit: 7,
    };
    let connection = ConnectionInfo {
        client: "c".to_owned(),
        user: "u".to_owned(),
        transport: "sse".into(),
        protocol: "json".into(),
        channels: vec!["open:hall".to_owned()],
        queued_bytes: 9,
    };
    let publication = Publication {
        channel: channel(),
        offset: 0,
        epoch: Epoch::default(),
        content: hub::Content {
            tags: [("k".to_owned(), "v".to_owned())].into(),
            ..hub::Content::open(Bytes::from_static(b"1"))
        },
        info: Some(Arc::new(info())),
        time_ms: 0,
        delta: true,
        arrived_us: 1,
    };
    let movement = Announcement {
        channel: channel(),
        movement: Movement::Leave,
        info: Arc::new(info()),
    };
    let subscription = ServerSubscription {
        channel: "open:hall".into(),
        info: Some(Bytes::from_static(b"2")),
        data: Some(Bytes::from_static(b"1")),
        expires_at_ms: Some(5),
        recover_since: Some(StreamPosition {
            offset: 3,
            epoch: "e".to_owned(),
        }),
        overrides: Overrides {
            presence: Some(Override { value: false }),
            force_recovery: Some(Override { value: true }),
            ..Overrides::default()
        },
    };
    let all = [(channel(), 4)];
    vec![
        ("channel", rows::channel(&channel()), |body| {
            Some(rows::channel(&rows::read_channel(body)?))
        }),
        ("presence", rows::presence(&[info()]), |body| {
            Some(rows::presence(&rows::read_presence(body)?))
        }),
        (
            "tally",
            rows::tally(&PresenceTally::of(3, ["anna".to_owned()])),
            |body| Some(rows::tally(&rows::read_tally(body)?)),
        ),
        (
            "channels",
            rows::channels(all.iter().map(|(name, count)| (name, *count))),
            |body| {
                let all = rows::read_channels(body)?;
                Some(rows::channels(
                    all.iter().map(|(name, count)| (name, *count)),
                ))
            },
        ),
        ("listing", rows::listing(&listing), |body| {
            Some(rows::listing(&rows::read_listing(body)?))
        }),
        ("connections", rows::connections(vec![connection]), |body| {
            Some(rows::connections(rows::read_connections(body)?))
        }),
        (
            "uplink",
            rows::uplink("0000s", Bytes::from_static(b"{}")),
            |body| {
                let (session, frame) = rows::read_uplink(body)?;
                Some(rows::uplink(&session, frame))
            },
        ),
        ("publication", rows::publication(&publication), |body| {
            Some(rows::publication(&rows::read_publication(body)?))
        }),
        ("movement", rows::movement(&movement), |body| {
            Some(rows::movement(&rows::read_movement(body)?))
        }),
        (
            "subscribe",
            direct(Event::Subscribe(Box::new(subscription))),
            directed,
        ),
        (
            "unsubscribe",
            direct(Event::Unsubscribe {
                channel: Some(channel()),
                unsubscribe: Unsubscribe {
                    code: 2_000,
                    reason: "r".to_owned(),
                },
            }),
            directed,
        ),
        (
            "disconnect",
            direct(Event::Disconnect(Disconnect {
                code: 4_500,
                reason: "r".to_owned(),
                ..Disconnect::default()
            })),
            directed,
        ),
        (
            "refresh",
            direct(Event::Refresh {
                expires_at_ms: Some(7),
                info: Some(Bytes::from_static(b"{}")),
            }),
            directed,
        ),
    ]
}

#[test]
fn a_node_of_another_version_is_understood() {
    let examples = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/runtime/nodes/examples.txt"
    );
    let stored = std::fs::read_to_string(examples).expect("it is there");
    let hex = |bytes: &Bytes| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let mut found = String::new();
    for (name, message, again) in messages() {
        found += &format!("{name} {}\n", hex(&message));
        // A field that a newer version adds is passed over.
        let newer: Bytes = [&message[..], &[0xc0, 0x3e, 0x01]].concat().into();
        assert_eq!(again(newer), Some(message), "{name}");
    }
    // What stands there is what version 0.1 sends and reads: lines are added, and never changed.
    assert_eq!(found, stored);
}
