//! Position checks: a loss that nothing later would show.

use super::*;

#[test]
fn a_quiet_channel_is_checked_and_who_lags_is_told() {
    let mut hub = Hub::new();
    let (followed, live) = (channel("followed"), channel("live"));
    hub.subscribe(conn(1), &followed, positioned(Wire::WebSocketJson), 0)
        .expect("subscribed");
    hub.subscribe(conn(2), &live, SubOptions::live(Wire::WebSocketJson), 0)
        .expect("subscribed");
    hub.activate(conn(1), &followed, backlog(4), 0)
        .expect("active");
    let mut check = PositionCheck::default();
    assert!(
        check.poll(&mut hub, 39_999, 40_000, 64).is_empty(),
        "too early"
    );
    assert_eq!(
        check.poll(&mut hub, 40_000, 40_000, 64),
        [channel("followed")]
    );
    assert!(
        check.poll(&mut hub, 40_001, 40_000, 64).is_empty(),
        "asked once"
    );
    assert!(hub.handle_top(&followed, &Epoch::from("e"), 4).is_empty());
    assert_eq!(hub.handle_top(&followed, &Epoch::from("e"), 5), [conn(1)]);
    assert!(
        hub.handle_top(&followed, &Epoch::from("e"), 5).is_empty(),
        "told once"
    );
}

#[test]
fn another_epoch_voids_positions() {
    let mut hub = Hub::new();
    let c = channel("c");
    hub.subscribe(conn(1), &c, positioned(Wire::WebSocketJson), 0)
        .expect("subscribed");
    hub.activate(conn(1), &c, backlog(4), 0).expect("active");
    assert_eq!(hub.handle_top(&c, &Epoch::from("new"), 4), [conn(1)]);

    let mut hub = Hub::new();
    hub.subscribe(conn(1), &c, positioned(Wire::WebSocketJson), 0)
        .expect("subscribed");
    hub.activate(conn(1), &c, backlog(4), 0).expect("active");
    let mut other = publication("c", 5, 5);
    other.epoch = Epoch::from("new");
    hub.publish(&Arc::new(other), 0);
    let mut sink = Kept::default();
    drain(&mut hub, &mut sink);
    assert_eq!(sink.lost, [(conn(1), c)]);
    assert!(sink.frames.is_empty());
}
