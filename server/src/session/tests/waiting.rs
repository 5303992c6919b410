//! What waits behind a command that takes its time: bounded, and never left waiting for good.

use super::*;

#[test]
fn too_much_behind_a_slow_command() {
    let mut bench = Bench::open();
    bench.send(r#"{"id":2,"rpc":{"method":"slow"}}"#);
    assert!(bench.session.wants_frames());
    let frame = format!(r#"{{"id":3,"rpc":{{"method":"{}"}}}}"#, "x".repeat(60_000));
    bench.send(&frame).send(&frame);
    assert!(
        !bench.session.wants_frames(),
        "the driver should stop reading"
    );
    for _ in 0..3 {
        bench.send(&frame);
    }
    assert_eq!(bench.close_code(), Some(3013));
}

#[test]
fn what_may_wait_follows_the_configured_frame_size() {
    let roomy = Settings {
        frame_max_bytes: 1 << 20,
        ..settings()
    };
    let mut bench = Bench::open_with(roomy);
    bench.send(r#"{"id":2,"rpc":{"method":"slow"}}"#);
    let frame = format!(r#"{{"id":3,"rpc":{{"method":"{}"}}}}"#, "x".repeat(900_000));
    bench.send(&frame);
    assert!(bench.session.wants_frames());
    bench.send(&frame);
    assert!(!bench.session.wants_frames());
    assert_eq!(bench.close_code(), None);
}

#[test]
fn empty_frames_behind_a_slow_command_are_bounded_too() {
    let mut bench = Bench::open();
    bench.send(r#"{"id":2,"rpc":{"method":"slow"}}"#);
    for waiting in 0..4096 {
        assert_eq!(bench.session.wants_frames(), waiting < 512);
        bench.send("");
    }
    assert_eq!(bench.close_code(), None);
    bench.send("");
    assert_eq!(bench.close_code(), Some(3013));
}

#[test]
fn a_subscription_ended_while_it_is_made_is_refused_and_the_connection_goes_on() {
    let mut bench = Bench::open();
    bench.send(r#"{"id":2,"subscribe":{"channel":"stream:c"}}"#);
    bench.event(Event::Unsubscribe {
        channel: Some(channel("stream:c")),
        unsubscribe: klokke_protocol::UnsubscribeCode::SERVER.into(),
    });
    bench.said();
    bench.answer(Answer::Subscribed(Err(SubscribeFailure::Ended)));
    let refused = r#"{"id":2,"error":{"code":103,"message":"permission denied"}}"#;
    assert_eq!(bench.said(), refused);
    bench.send(r#"{"id":3,"unsubscribe":{"channel":"stream:c"}}"#);
    assert_eq!(bench.said(), r#"{"id":3,"unsubscribe":{}}"#);
}
