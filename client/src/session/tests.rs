//! The machine against a server that is a list of frames: no socket, and time is a number.

use serde_json::{Value, json};

use super::*;

mod hearing;

const CHANCE: f64 = 1.0;

struct Pair {
    session: Session,
    now: Duration,
}

impl Pair {
    fn new() -> Self {
        let mut session = Session::new(Config::new("ws://unused"));
        session.connect();
        Self {
            session,
            now: Duration::ZERO,
        }
    }

    fn connected() -> Self {
        let mut pair = Self::new();
        pair.session.handle_opened(pair.now);
        pair.outputs();
        pair.answer(
            json!({"id": 1, "connect": {"client": "c1", "version": "1", "ping": 25, "pong": true}}),
        );
        pair.outputs();
        pair
    }

    #[allow(clippy::needless_pass_by_value)] // Reads better at the many calls.
    fn answer(&mut self, frame: Value) {
        self.session
            .handle_frame(frame.to_string().as_bytes(), self.now, CHANCE);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.session.handle_timeout(self.now, CHANCE);
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    /// The commands sent since the last look.
    fn sent(&mut self) -> Vec<Value> {
        let frames = self
            .outputs()
            .into_iter()
            .filter_map(|output| match output {
                Output::Send(frame) => Some(frame),
                _ => None,
            });
        let text: Vec<String> = frames
            .map(|frame| String::from_utf8(frame.to_vec()).expect("JSON is text"))
            .collect();
        let lines = text.iter().flat_map(|frame| frame.lines());
        lines
            .map(|line| serde_json::from_str(line).expect("a command"))
            .collect()
    }

    fn events(&mut self) -> Vec<Event> {
        let outputs = self.outputs().into_iter();
        outputs
            .filter_map(|output| match output {
                Output::Event(event) => Some(event),
                _ => None,
            })
            .collect()
    }
}

fn payloads(events: &[Event]) -> Vec<String> {
    let data = events.iter().filter_map(|event| match event {
        Event::Publication { publication, .. } => Some(&publication.data),
        _ => None,
    });
    data.map(|data| String::from_utf8_lossy(data).into_owned())
        .collect()
}

#[test]
fn connects_and_answers_pings() {
    let mut pair = Pair::new();
    assert!(pair.outputs().contains(&Output::Open));
    pair.session.handle_opened(pair.now);
    let sent = pair.sent();
    assert_eq!(sent[0]["id"], 1);
    assert!(sent[0]["connect"].is_object());
    pair.answer(json!({"id": 1, "connect": {"client": "c1", "ping": 25, "pong": true}}));
    assert_eq!(
        pair.events(),
        [Event::Connected {
            client: "c1".to_owned()
        }]
    );
    pair.answer(json!({}));
    assert_eq!(pair.sent(), [json!({})]);
}

#[test]
fn a_silent_server_is_left_and_come_back_to() {
    let mut pair = Pair::connected();
    pair.pass(36);
    let outputs = pair.outputs();
    assert!(outputs.contains(&Output::Close));
    let reason = "no ping".to_owned();
    assert!(outputs.contains(&Output::Event(Event::Connecting { code: 2, reason })));
    pair.pass(1);
    assert!(pair.outputs().contains(&Output::Open));
}

#[test]
fn what_was_missed_is_asked_for_and_told_once() {
    let mut pair = Pair::connected();
    pair.session.subscribe("news", pair.now);
    assert_eq!(pair.sent()[0]["subscribe"], json!({"channel": "news"}));
    pair.answer(json!({"id": 2, "subscribe": {"recoverable": true, "positioned": true, "epoch": "e", "offset": 4}}));
    pair.answer(json!({"push": {"channel": "news", "pub": {"data": 5, "offset": 5}}}));
    pair.answer(json!({"push": {"channel": "news", "pub": {"data": 5, "offset": 5}}}));
    assert_eq!(payloads(&pair.events()), ["5"], "the second is the same");

    pair.session.handle_closed(1006, "", pair.now, CHANCE);
    pair.pass(1);
    pair.session.handle_opened(pair.now);
    pair.outputs();
    pair.answer(json!({"id": 3, "connect": {"client": "c2"}}));
    let sent = pair.sent();
    assert_eq!(
        sent[0]["subscribe"],
        json!({"channel": "news", "recover": true, "epoch": "e", "offset": 5})
    );
    pair.answer(json!({"id": 4, "subscribe": {"recoverable": true, "epoch": "e", "offset": 5, "recovered": true,
        "was_recovering": true, "publications": [{"data": 6, "offset": 6}, {"data": 7, "offset": 7}]}}));
    let events = pair.events();
    assert_eq!(payloads(&events), ["6", "7"]);
    assert!(matches!(
        events[0],
        Event::Subscribed {
            recovered: true,
            was_recovering: true,
            ..
        }
    ));
}

#[test]
fn codes_say_whether_to_come_back() {
    for (code, back) in [
        (3001, true),
        (3008, true),
        (3501, false),
        (3503, false),
        (4100, true),
        (4501, false),
        (1009, false),
    ] {
        let mut pair = Pair::connected();
        pair.session.handle_closed(code, "", pair.now, CHANCE);
        let gone = pair
            .events()
            .iter()
            .any(|event| matches!(event, Event::Disconnected { .. }));
        assert_eq!(!gone, back, "{code}");
        assert_eq!(pair.session.next_deadline().is_some(), back, "{code}");
    }
}

#[test]
fn an_ended_subscription_comes_back_only_where_its_code_says_so() {
    for (code, back) in [
        (2000, false),
        (2499, false),
        (2500, true),
        (2501, true),
        (2502, true),
    ] {
        let mut pair = Pair::connected();
        pair.session.subscribe("news", pair.now);
        pair.outputs();
        pair.answer(json!({"id": 2, "subscribe": {}}));
        pair.answer(json!({"push": {"channel": "news", "unsubscribe": {"code": code}}}));
        assert_eq!(!pair.sent().is_empty(), back, "{code}");
    }
}

#[test]
fn temporary_refusals_are_tried_again_and_others_are_final() {
    for (code, temporary, again) in [(100, true, true), (103, false, false), (111, true, true)] {
        let mut pair = Pair::connected();
        pair.session.subscribe("news", pair.now);
        pair.outputs();
        pair.answer(
            json!({"id": 2, "error": {"code": code, "message": "", "temporary": temporary}}),
        );
        let ended = pair
            .events()
            .iter()
            .any(|event| matches!(event, Event::Unsubscribed { .. }));
        assert_eq!(ended, !again, "{code}");
        pair.pass(1);
        assert_eq!(!pair.sent().is_empty(), again, "{code}");
    }
}

#[test]
fn an_expired_token_is_asked_for_and_used() {
    let mut pair = Pair::new();
    pair.session.handle_opened(pair.now);
    pair.outputs();
    pair.answer(json!({"id": 1, "error": {"code": 109, "message": "token expired"}}));
    assert!(pair.events().contains(&Event::TokenNeeded));
    pair.session.set_token("newer", pair.now);
    assert!(pair.outputs().contains(&Output::Open));
    pair.session.handle_opened(pair.now);
    assert_eq!(pair.sent()[0]["connect"]["token"], "newer");
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let mut pair = Pair::new();
    pair.session.handle_opened(pair.now);
    pair.outputs();
    pair.answer(json!({"id": 1, "connect": {"client": "c", "expires": true, "ttl": 100}}));
    pair.outputs();
    pair.pass(89);
    assert_eq!(pair.events(), []);
    pair.pass(2);
    assert_eq!(pair.events(), [Event::TokenNeeded]);
    pair.session.set_token("newer", pair.now);
    assert_eq!(pair.sent()[0]["refresh"], json!({"token": "newer"}));
}

#[test]
fn every_call_ends_once() {
    let mut pair = Pair::connected();
    let answered = pair
        .session
        .rpc("thread.list", Bytes::from_static(b"{}"), pair.now);
    let refused = pair
        .session
        .publish("news", Bytes::from_static(b"1"), pair.now);
    let not_json = pair
        .session
        .publish("news", Bytes::from_static(b"\xff"), pair.now);
    let late = pair.session.presence("news", pair.now);
    pair.answer(json!({"id": 2, "rpc": {"data": {"threads": []}}}));
    pair.answer(json!({"id": 3, "error": {"code": 103, "message": "permission denied"}}));
    pair.pass(6);
    let lost = pair.session.presence_stats("news", pair.now);
    pair.session.handle_closed(1006, "", pair.now, CHANCE);
    let mut ends = HashMap::new();
    for output in pair.outputs() {
        if let Output::Answered(ticket, result) = output {
            assert!(ends.insert(ticket, result).is_none(), "answered twice");
        }
    }
    assert!(matches!(ends[&answered], Ok(Answer::Rpc(_))));
    assert!(matches!(&ends[&refused], Err(Refusal::Server(error)) if error.code == 103));
    assert_eq!(ends[&not_json], Err(Refusal::NotJson));
    assert_eq!(ends[&late], Err(Refusal::Timeout));
    assert_eq!(ends[&lost], Err(Refusal::ConnectionLost));
}

#[test]
fn server_side_subscriptions_are_followed() {
    let mut pair = Pair::new();
    pair.session.handle_opened(pair.now);
    pair.outputs();
    let sub = json!({"recoverable": true, "epoch": "e", "offset": 1, "positioned": true});
    pair.answer(json!({"id": 1, "connect": {"client": "c", "subs": {"a": sub, "b": sub}}}));
    pair.answer(json!({"push": {"channel": "a", "pub": {"data": 1, "offset": 2}}}));
    pair.answer(json!({"push": {"channel": "c", "subscribe": {"recoverable": true, "epoch": "e", "offset": 9}}}));
    pair.answer(json!({"push": {"channel": "b", "unsubscribe": {"code": 2000}}}));
    assert_eq!(payloads(&pair.events()), ["1"]);
    pair.session.handle_closed(3012, "", pair.now, CHANCE);
    pair.pass(1);
    pair.session.handle_opened(pair.now);
    let subs = pair.sent()[0]["connect"]["subs"].clone();
    assert_eq!(subs["a"]["offset"], 2);
    assert_eq!(subs["c"]["offset"], 9);
    assert_eq!(subs.as_object().map(serde_json::Map::len), Some(2));
}

#[test]
fn deltas_are_applied_and_a_broken_one_begins_anew() {
    let mut pair = Pair::connected();
    pair.session.subscribe_with("news", "", true, pair.now);
    assert_eq!(pair.sent()[0]["subscribe"]["delta"], "fossil");
    pair.answer(json!({"id": 2, "subscribe": {"delta": true, "recoverable": true, "epoch": "e"}}));
    let old = r#"{"children":["p1","p2","p3","p4","p5"],"place":"library","by":"a teacher of the class"}"#;
    let new = old.replace("library", "playground");
    let delta = klokke_protocol::delta::create(old.as_bytes(), new.as_bytes()).expect("smaller");
    let delta = String::from_utf8(delta).expect("text");
    pair.answer(json!({"push": {"channel": "news", "pub": {"data": old, "offset": 1}}}));
    pair.answer(
        json!({"push": {"channel": "news", "pub": {"data": delta, "offset": 2, "delta": true}}}),
    );
    assert_eq!(payloads(&pair.events()), [old, &new]);
    pair.answer(
        json!({"push": {"channel": "news", "pub": {"data": delta, "offset": 3, "delta": true}}}),
    );
    let sent = pair.sent();
    assert!(sent[0]["unsubscribe"].is_object());
    assert_eq!(
        sent[1]["subscribe"]["offset"], 2,
        "asks again for what it could not read"
    );
}

/// A subscription that is made again asks from where it was: what still comes of the one before is in the answer too.
#[test]
fn what_comes_of_an_ended_subscription_is_not_told_twice() {
    let mut pair = Pair::connected();
    pair.session.subscribe_with("news", "", true, pair.now);
    pair.outputs();
    pair.answer(json!({"id": 2, "subscribe": {"delta": true, "recoverable": true, "epoch": "e", "offset": 1}}));
    let delta = json!({"data": "no delta of anything", "offset": 2, "delta": true});
    pair.answer(json!({"push": {"channel": "news", "pub": delta}}));
    let sent = pair.sent();
    assert_eq!(sent[1]["subscribe"]["offset"], 1, "begins again");
    pair.answer(json!({"push": {"channel": "news", "pub": delta}}));
    pair.answer(json!({"push": {"channel": "news", "pub": {"data": "3", "offset": 3}}}));
    assert_eq!(pair.outputs(), [], "it has begun again already");
    pair.answer(json!({"id": 3, "unsubscribe": {}}));
    pair.answer(json!({"id": 4, "subscribe": {"delta": true, "recoverable": true, "epoch": "e", "offset": 1, "recovered": true,
        "was_recovering": true, "publications": [{"data": "2", "offset": 2}, {"data": "3", "offset": 3}]}}));
    pair.answer(json!({"push": {"channel": "news", "pub": {"data": "4", "offset": 4}}}));
    assert_eq!(payloads(&pair.events()), ["2", "3", "4"]);
}

#[test]
fn an_end_that_was_on_its_way_does_not_end_what_was_asked_for_since() {
    let mut pair = Pair::connected();
    pair.session.subscribe("news", pair.now);
    pair.outputs();
    pair.answer(json!({"id": 2, "subscribe": {}}));
    pair.session.unsubscribe("news", pair.now);
    pair.session.subscribe("news", pair.now);
    assert_eq!(pair.sent().len(), 2);
    pair.answer(json!({"push": {"channel": "news", "unsubscribe": {"code": 2500}}}));
    assert_eq!(pair.outputs(), [], "it is asked for once");
}
