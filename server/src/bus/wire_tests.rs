//! What nodes of other versions tell: stored examples of each version are read, what a newer one adds is passed over, another format is
//! refused.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use uuid::Uuid;

use super::asks::{Question, Refused};
use super::members::NodeId;
use super::parts::Part;
use super::wire::{self, Answer, Asked, Heard, Hello, Message, Outcome, Position, Undecodable};
use crate::ledger::testing::{as_example, examples};
use crate::ledger::{Actor, Commit, CommitHash, Entry, Epoch, LedgerId, SealedCommit};

/// Written by the version that the file is named by. Never changed: a version that tells more brings a file of its own.
const STORED: [&str; 1] = [include_str!("fixtures/bus-1.txt")];

const FROM: NodeId = NodeId::new(Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8888));
const TO: NodeId = NodeId::new(Uuid::from_u128(0x9999_aaaa_bbbb_cccc_dddd_eeee_ffff_0000));

fn ledger() -> LedgerId {
    LedgerId::parse("G10001").expect("valid")
}

fn commit() -> SealedCommit {
    let channel = klokke_protocol::ChannelName::parse("unit:G10001").expect("valid");
    let content = crate::ledger::Content {
        full: Bytes::from_static(b"{\"text\":\"hej\"}"),
        ..Default::default()
    };
    SealedCommit::seal(Commit {
        ledger: ledger(),
        seq: 7,
        epoch: Epoch::from("abcdefgh"),
        time_ms: 1_800_000_000_000,
        id: Uuid::from_u128(0x0123_4567_89ab_7def_8123_4567_89ab_cdef),
        actor: Actor {
            subject: "u1".into(),
            profile: None,
            door: "rpc".into(),
        },
        operation: "message.send".into(),
        idempotency: None,
        outcome: Bytes::from_static(b"{}"),
        records: Vec::new(),
        entries: vec![Arc::new(Entry {
            channels: vec![(channel, 3)],
            content,
        })],
        outbox: Vec::new(),
        prev_hash: CommitHash([9; 32]),
    })
}

fn hello() -> Hello {
    Hello {
        name: "klokke-1".into(),
        version: "0.1.0".into(),
        settings: 0x0102_0304_0506_0708,
        now_ms: 1_800_000_000_000,
        leaving: true,
        gone: false,
    }
}

fn question() -> Question {
    Question {
        kind: 16,
        body: Bytes::from_static(b"what"),
    }
}

/// Everything that is told today: its name, how it is written, and what it says.
fn today() -> Vec<(&'static str, Bytes, Heard)> {
    let asked = Asked {
        number: 5,
        until_ms: 1_800_000_002_000,
        question: question(),
    };
    let answer = |outcome| Answer { number: 5, outcome };
    let part = || {
        answer(Outcome::Part(Part {
            nth: 1,
            count: 2,
            body: Bytes::from_static(b"half"),
        }))
    };
    let refused = || {
        answer(Outcome::Refused(Refused {
            code: 108,
            text: "not available".to_owned(),
        }))
    };
    let positions = vec![Position {
        ledger: ledger(),
        seq: 7,
    }];
    let all = |message| Heard {
        from: FROM,
        to: None,
        message,
    };
    let one = |message| Heard {
        to: Some(TO),
        ..all(message)
    };
    let commits = Message::Commits(ledger(), vec![commit()]);
    vec![
        (
            "commits",
            wire::commits(FROM, &ledger(), &[commit()]),
            all(commits),
        ),
        (
            "positions",
            wire::positions(FROM, [(&ledger(), 7)]),
            all(Message::Positions(positions)),
        ),
        (
            "hello",
            wire::hello(FROM, &hello()),
            all(Message::Hello(hello())),
        ),
        (
            "asked",
            wire::asked(FROM, TO, &asked),
            one(Message::Asked(asked.clone())),
        ),
        (
            "part",
            wire::answer(FROM, TO, part()),
            one(Message::Answer(part())),
        ),
        (
            "refused",
            wire::answer(FROM, TO, refused()),
            one(Message::Answer(refused())),
        ),
        (
            "busy",
            wire::answer(FROM, TO, answer(Outcome::Busy)),
            one(Message::Answer(answer(Outcome::Busy))),
        ),
        (
            "too_large",
            wire::answer(FROM, TO, answer(Outcome::TooLarge)),
            one(Message::Answer(answer(Outcome::TooLarge))),
        ),
        (
            "told",
            wire::told(FROM, &question()),
            all(Message::Told(question())),
        ),
    ]
}

#[test]
fn examples_of_every_version_are_read() {
    for text in STORED {
        let stored = examples(text);
        let names: Vec<_> = stored.iter().map(|(name, _)| *name).collect();
        for (name, bytes) in stored {
            let (_, _, expected) = today()
                .into_iter()
                .find(|(known, ..)| *known == name)
                .expect("what an older version tells is known");
            let read = wire::decode(bytes).expect("read");
            assert_eq!(format!("{read:?}"), format!("{expected:?}"), "{name}");
        }
        assert!(names.len() >= 9, "an example of each kind: {names:?}");
    }
}

#[test]
fn what_a_newer_version_adds_is_passed_over() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct NewerHello {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(bool, tag = "5")]
        leaving: bool,
        #[prost(string, tag = "99")]
        mood: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct Newer {
        #[prost(uint32, tag = "1")]
        format: u32,
        #[prost(bytes = "vec", tag = "2")]
        from: Vec<u8>,
        #[prost(message, optional, tag = "5")]
        hello: Option<NewerHello>,
        #[prost(string, optional, tag = "60")]
        another_kind: Option<String>,
    }
    let newer = Newer {
        format: wire::FORMAT,
        from: FROM.to_bytes().to_vec(),
        hello: Some(NewerHello {
            name: "klokke-2".to_owned(),
            leaving: true,
            mood: "glad".to_owned(),
        }),
        another_kind: Some("beside".to_owned()),
    };
    let heard = wire::decode(newer.encode_to_vec().into()).expect("read");
    let Message::Hello(hello) = heard.message else {
        panic!("{heard:?}");
    };
    assert_eq!((&*hello.name, hello.leaving), ("klokke-2", true));
    let unheard_of = Newer {
        hello: None,
        ..newer.clone()
    };
    let heard = wire::decode(unheard_of.encode_to_vec().into()).expect("read");
    assert!(matches!(heard.message, Message::Unknown), "{heard:?}");
    let other = Newer {
        format: wire::FORMAT + 1,
        ..newer
    };
    let refused = wire::decode(other.encode_to_vec().into()).map(|_| ());
    assert_eq!(refused, Err(Undecodable::Format(wire::FORMAT + 1)));
}

/// `cargo test -p klokke --lib print_examples -- --ignored --nocapture`: the lines of a file for this version.
#[test]
#[ignore = "prints; checks nothing"]
fn print_examples_of_the_bus() {
    for (name, bytes, _) in today() {
        println!("{}", as_example(name, &bytes));
    }
}
