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
