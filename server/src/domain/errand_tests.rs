//! What is sent elsewhere is answered as here, happens once, and is read by every later version.

use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::domain::routing::{Elsewhere, Routing, Unanswered};
use crate::domain::testing::{World, g, p};
use crate::ledger::testing::{as_example, examples, run_local};

/// The other node: the same ledgers, as a shared store has them. It may fall silent after it did what it was asked for.
struct There {
    domain: Domain,
    is_silent: bool,
    noted: Arc<Mutex<Vec<Outcome>>>,
}

#[async_trait]
impl Elsewhere for There {
    fn is_preferred(&self, _: &LedgerId) -> bool {
        true
    }

    async fn ask(&self, _: &LedgerId, errand: Errand, body: Bytes) -> Result<Bytes, Unanswered> {
        assert_eq!(errand, Errand::Operation);
        let answer = self.domain.run_errand(body).await.ok_or(Unanswered);
        if self.is_silent {
            Err(Unanswered)
        } else {
            answer
        }
    }

    fn note(&self, _: &LedgerId, _: Errand, outcome: Outcome) {
        self.noted.lock().expect("one test").push(outcome);
    }
}

impl World {
    /// The world as seen from a node that writes none of its ledgers.
    fn seen_from_afar(&mut self, is_silent: bool) -> Arc<Mutex<Vec<Outcome>>> {
        let noted = Arc::<Mutex<Vec<Outcome>>>::default();
        let there = There {
            domain: self.domain.clone().routed(Routing::default()),
            is_silent,
            noted: Arc::clone(&noted),
        };
        self.domain = self.domain.clone().routed(Routing::to(there));
        noted
    }
}

fn letter(who: u32) -> serde_json::Value {
    json!({ "profile": p(who), "subject": "Tur", "text": "Husk madpakke", "recipients": [{ "group": g(1) }] })
}

#[test]
fn what_is_sent_elsewhere_is_answered_as_here() {
    run_local(async {
        let mut world = World::new().await;
        let noted = world.seen_from_afar(false);
        let create = "thread.create";
        let first = world.call_with_key(1, create, letter(1), Some("k")).await;
        let first = first.expect("sent");
        assert!(!first.replayed);
        let again = world.call_with_key(1, create, letter(1), Some("k")).await;
        let again = again.expect("answered again");
        assert_eq!((again.output, again.replayed), (first.output, true));
        let refused = [
            // Somebody else's profile; the same key with another input; an input that does not fit.
            (1, letter(2), None, &error::PROFILE_NOT_YOURS),
            (1, letter(2), Some("k"), &error::IDEMPOTENCY_CONFLICT),
            (1, json!({ "profile": 7 }), None, &error::INVALID_INPUT),
        ];
        for (who, input, key, row) in refused {
            let there = world.call_with_key(who, create, input.clone(), key).await;
            let there = there.expect_err(row.key);
            assert_eq!(there.code, row.code);
            let routed = world.domain.clone();
            world.domain = routed.clone().routed(Routing::default());
            let here = world.call_with_key(who, create, input, key).await;
            assert_eq!(there, here.expect_err(row.key), "the same, whole");
            world.domain = routed;
        }
        let threads = world.ok(1, "thread.list", json!({ "profile": p(1) })).await;
        assert_eq!(threads["threads"].as_array().map(Vec::len), Some(1));
        use Outcome::{Done, Refused};
        let noted = noted.lock().expect("one test").clone();
        // What does not fit its schema goes nowhere.
        assert_eq!(noted, [Done, Done, Refused, Refused]);
    });
}

#[test]
fn what_got_no_answer_is_done_once() {
    run_local(async {
        let mut world = World::new().await;
        let noted = world.seen_from_afar(true);
        let sent = world
            .call_with_key(1, "thread.create", letter(1), None)
            .await;
        assert!(!sent.expect("done here, for all that is known").replayed);
        assert_eq!(*noted.lock().expect("one test"), [Outcome::TakenBack]);
        let threads = world.ok(1, "thread.list", json!({ "profile": p(1) })).await;
        assert_eq!(threads["threads"].as_array().map(Vec::len), Some(1));
    });
}

/// Written by the version that the file is named by. Never changed: a version that sends more brings a file of its own.
const STORED: [&str; 1] = [include_str!("fixtures/errand-1.txt")];

/// Everything that is sent today.
fn today() -> Vec<(&'static str, Bytes, String)> {
    let caller = Caller {
        scope: Scope::only(vec![p(1)]),
        version: Some(3),
        assurance: Assurance {
            level: AssuranceLevel::Substantial,
            authenticated_ms: 1_800_000_000_000,
        },
        ..Caller::person(
            "s1".parse().expect("a subject"),
            Assurance::default(),
            Door::Rest,
        )
    };
    let operation = OperationRow {
        format: FORMAT,
        operation: "message.send".to_owned(),
        input: Bytes::from_static(b"{}"),
        idempotency: "k".to_owned(),
        caller: Some(CallerRow::of(&caller)),
        age_us: 250,
        work: place_of(Work::Messages),
    };
    let answered = AnswerRow {
        format: FORMAT,
        output: Bytes::from_static(b"{\"id\":\"G10001.m1\"}"),
        replayed: true,
        seq: 7,
        failure: None,
    };
    let refused = AnswerRow::of(Err(error::STEP_UP_REQUIRED.refuse("why").into()));
    let row = |it: &dyn std::fmt::Debug| format!("{it:?}");
    vec![
        (
            "operation",
            operation.encode_to_vec().into(),
            row(&operation),
        ),
        ("answered", answered.encode_to_vec().into(), row(&answered)),
        ("refused", refused.encode_to_vec().into(), row(&refused)),
    ]
}

#[test]
fn examples_of_every_version_are_read() {
    for text in STORED {
        let stored = examples(text);
        assert_eq!(stored.len(), 3);
        for (name, bytes) in stored {
            let read = match name {
                "operation" => OperationRow::decode(bytes).map(|it| format!("{it:?}")),
                _ => AnswerRow::decode(bytes).map(|it| format!("{it:?}")),
            };
            let (.., expected) = today()
                .into_iter()
                .find(|(known, ..)| *known == name)
                .expect("what an older version sends is known");
            assert_eq!(read.expect("read"), expected, "{name}");
        }
    }
}

/// As the bus's: the lines of a file for this version.
#[test]
#[ignore = "prints; checks nothing"]
fn print_examples_of_errands() {
    for (name, bytes, _) in today() {
        println!("{}", as_example(name, &bytes));
    }
}

#[test]
fn a_caller_arrives_as_the_door_made_it() {
    let profile = |n| p(n);
    let assurance = Assurance {
        level: AssuranceLevel::Substantial,
        authenticated_ms: 7,
    };
    for door in Door::ALL {
        for scope in [
            Scope::ALL,
            Scope::only(Vec::new()),
            Scope::only(vec![profile(1), profile(2)]),
        ] {
            for subject in [None, Some("anna".parse().expect("a subject"))] {
                let caller = Caller {
                    subject,
                    assurance,
                    scope: scope.clone(),
                    version: Some(3),
                    ..Caller::server(door)
                };
                let bytes = CallerRow::of(&caller).encode_to_vec();
                let row = CallerRow::decode(&*bytes).expect("readable");
                let there = row.into_caller().expect("whole");
                assert_eq!(format!("{caller:?}"), format!("{there:?}"));
            }
        }
    }
    let strange = CallerRow {
        door: "window".to_owned(),
        ..CallerRow::of(&Caller::server(Door::Server))
    };
    assert!(strange.into_caller().is_none());
}

#[test]
fn what_is_of_another_version_is_not_done() {
    run_local(async {
        let world = World::new().await;
        let caller = Caller::person(
            "s1".parse().expect("a subject"),
            Assurance::default(),
            Door::Rpc,
        );
        let row = OperationRow {
            format: FORMAT,
            operation: "thread.create".to_owned(),
            input: letter(1).to_string().into(),
            idempotency: "k".to_owned(),
            caller: Some(CallerRow::of(&caller)),
            age_us: 0,
            work: 99,
        };
        let rows = [
            OperationRow {
                format: FORMAT + 1,
                ..row.clone()
            },
            OperationRow {
                operation: "thread.unheard_of".to_owned(),
                ..row.clone()
            },
            // Queries and what only the server itself does are not asked for.
            OperationRow {
                operation: "thread.list".to_owned(),
                ..row.clone()
            },
            OperationRow {
                operation: "access.watch".to_owned(),
                ..row.clone()
            },
            OperationRow {
                caller: None,
                ..row.clone()
            },
        ];
        for strange in rows {
            let done = world
                .domain
                .run_errand(strange.encode_to_vec().into())
                .await;
            assert!(done.is_none(), "{}", strange.operation);
        }
        assert!(
            world
                .domain
                .run_errand(Bytes::from_static(b"\xff"))
                .await
                .is_none()
        );
        // A field of a newer version is passed over.
        let mut newer = row.encode_to_vec();
        newer.extend([0xf8, 0x07, 0x01]);
        assert!(world.domain.run_errand(newer.into()).await.is_some());
    });
}
