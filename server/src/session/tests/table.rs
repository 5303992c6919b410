//! The transition table: every state met by every input, as one reviewed picture.

use super::*;

const STATES: [&str; 6] = ["fresh", "verifying", "rejected", "open", "busy", "closed"];

fn in_state(state: &str) -> Bench {
    let mut bench = match state {
        "open" => Bench::open(),
        _ => Bench::new(settings()),
    };
    match state {
        "verifying" => {
            bench.send(r#"{"id":1,"connect":{"token":"t"}}"#);
        }
        "rejected" => {
            bench.send(r#"{"id":1,"connect":{"token":"t"}}"#);
            bench.answer(Answer::Verified(Err(TokenError::Expired)));
        }
        "busy" => {
            bench = Bench::open();
            bench.send(r#"{"id":2,"rpc":{"method":"m"}}"#);
        }
        "closed" => {
            bench.send("{}");
        }
        _ => {}
    }
    bench.said.clear();
    bench
}

/// What an input is called, and what it does.
type Row = (&'static str, fn(&mut Bench));

const INPUTS: [Row; 14] = [
    ("connect", |b| {
        b.send(r#"{"id":9,"connect":{}}"#);
    }),
    ("subscribe", |b| {
        b.send(r#"{"id":9,"subscribe":{"channel":"stream:c"}}"#);
    }),
    ("publish", |b| {
        b.send(r#"{"id":9,"publish":{"channel":"c","data":1}}"#);
    }),
    ("send", |b| {
        b.send(r#"{"send":{"data":1}}"#);
    }),
    ("pong", |b| {
        b.send("{}");
    }),
    ("garbage", |b| {
        b.send("garbage");
    }),
    ("token good", |b| {
        answered(b, Answer::Verified(Ok(Arc::new(user("u")))));
    }),
    ("token bad", |b| {
        answered(b, Answer::Verified(Err(TokenError::Revoked)));
    }),
    ("rpc result", |b| {
        answered(b, Answer::Rpc(Ok(Bytes::from_static(b"1"))));
    }),
    ("position lost", |b| {
        let channel = channel("stream:c");
        b.event(Event::PositionLost { channel });
    }),
    ("server subscribe", |b| {
        let wanted = ServerSubscription {
            channel: "c".into(),
            ..ServerSubscription::default()
        };
        b.event(Event::Subscribe(Box::new(wanted)));
    }),
    ("message", |b| {
        b.event(Event::Message(Bytes::from_static(b"1")));
    }),
    ("disconnect", |b| {
        b.event(Event::Disconnect(DisconnectCode::SHUTDOWN.into()));
    }),
    ("ten seconds", |b| {
        b.pass(10_000);
    }),
];

fn answered(bench: &mut Bench, answer: Answer) {
    if !bench.tickets().is_empty() {
        bench.answer(answer);
    }
}

fn outcome(bench: &mut Bench, before: &[String]) -> String {
    let mut out = String::new();
    let said = bench.said();
    for line in said.lines() {
        let _ = write!(out, " say {line}");
    }
    for effect in bench
        .asked
        .iter()
        .map(|effect| format!("{effect:?}"))
        .skip(before.len())
    {
        let _ = write!(out, " do {effect}");
    }
    if let Some(disconnect) = &bench.closed {
        let _ = write!(out, " close {}", disconnect.code);
    }
    if out.is_empty() { " -".to_owned() } else { out }
}

#[test]
fn transitions() {
    let mut table = String::new();
    for state in STATES {
        let _ = writeln!(table, "{state}");
        for (name, input) in INPUTS {
            let mut bench = in_state(state);
            let before: Vec<_> = bench
                .asked
                .iter()
                .map(|effect| format!("{effect:?}"))
                .collect();
            let was_closed = bench.closed.take().is_some();
            input(&mut bench);
            assert!(!was_closed || bench.closed.is_none(), "closed once");
            let _ = writeln!(table, "  {name:<17}{}", outcome(&mut bench, &before));
        }
    }
    insta::assert_snapshot!(table);
}
