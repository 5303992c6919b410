//! An operation on its way to the node that writes its ledger, and the answer on its way back: protobuf messages, field numbers frozen.
//!
//! What arrives comes from a node of the same cluster and is trusted: the door has verified who calls, and the load of the node asked
//! first has been looked at. Everything else is asked again where it is done: rights, dates, the state of the ledger. A field that must not
//! be passed over raises [`FORMAT`]; a node that speaks another says that it does not know it, and the operation is done where it came in.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use uuid::Uuid;

use super::dispatch::{Answer, Domain, OperationError, Request};
use super::error::{self, ErrorCode};
use super::operation::{Kind, Prepared, Target};
use super::routing::{Errand, Outcome, Way};
use super::{Caller, Door, registry};
use crate::admission::Work;
use crate::ledger::{IdempotencyKey, LedgerId};
use crate::people::{Assurance, AssuranceLevel, Scope};
use crate::telemetry::now_us;

/// The format this code speaks.
const FORMAT: u32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
struct OperationRow {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(string, tag = "2")]
    operation: String,
    #[prost(bytes = "bytes", tag = "3")]
    input: Bytes,
    #[prost(string, tag = "4")]
    idempotency: String,
    #[prost(message, optional, tag = "5")]
    caller: Option<CallerRow>,
    #[prost(uint64, tag = "6")]
    age_us: u64,
    /// The place of what it is worth among all kinds of work.
    #[prost(uint32, tag = "7")]
    work: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CallerRow {
    #[prost(string, optional, tag = "1")]
    subject: Option<String>,
    #[prost(uint32, tag = "2")]
    level: u32,
    #[prost(uint64, tag = "3")]
    authenticated_ms: u64,
    /// Held to these profiles, even when they are none.
    #[prost(bool, tag = "4")]
    is_scoped: bool,
    #[prost(string, repeated, tag = "5")]
    profiles: Vec<String>,
    #[prost(string, tag = "6")]
    door: String,
    #[prost(uint64, optional, tag = "7")]
    version: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnswerRow {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(bytes = "bytes", tag = "2")]
    output: Bytes,
    #[prost(bool, tag = "3")]
    replayed: bool,
    /// The commit's number; 0 when there is none.
    #[prost(uint64, tag = "4")]
    seq: u64,
    #[prost(message, optional, tag = "5")]
    failure: Option<FailureRow>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FailureRow {
    #[prost(uint32, tag = "1")]
    code: u32,
    #[prost(uint32, tag = "2")]
    status: u32,
    #[prost(bool, tag = "3")]
    temporary: bool,
    #[prost(string, tag = "4")]
    detail: String,
}

/// A key against doing something twice for a caller that gave none.
#[must_use]
pub fn key_of_this_node() -> String {
    format!("routed:{}", Uuid::new_v4().simple())
}

fn place_of(work: Work) -> u32 {
    let place = Work::ALL.iter().position(|it| *it == work);
    place.and_then(|it| u32::try_from(it).ok()).unwrap_or(0)
}

impl CallerRow {
    fn of(caller: &Caller) -> Self {
        let profiles = caller.scope.profiles();
        Self {
            subject: caller.subject.as_ref().map(ToString::to_string),
            level: u32::from(caller.assurance.level.to_claim()),
            authenticated_ms: caller.assurance.authenticated_ms,
            is_scoped: profiles.is_some(),
            profiles: profiles
                .unwrap_or_default()
                .iter()
                .map(ToString::to_string)
                .collect(),
            door: caller.door.as_str().to_owned(),
            version: caller.version,
        }
    }

    fn into_caller(self) -> Option<Caller> {
        let subject = self.subject.map(|it| it.parse()).transpose().ok()?;
        let door = Door::ALL
            .into_iter()
            .find(|door| door.as_str() == self.door)?;
        let level = u8::try_from(self.level).ok()?;
        let profiles = self.profiles.iter().map(|it| it.parse());
        let profiles: Vec<_> = profiles.collect::<Result<_, _>>().ok()?;
        Some(Caller {
            subject,
            assurance: Assurance {
                level: AssuranceLevel::from_claim(level),
                authenticated_ms: self.authenticated_ms,
            },
            scope: if self.is_scoped {
                Scope::only(profiles)
            } else {
                Scope::ALL
            },
            version: self.version,
            ..Caller::server(door)
        })
    }
}

impl AnswerRow {
    fn of(outcome: Result<Answer, OperationError>) -> Self {
        let empty = Self {
            format: FORMAT,
            output: Bytes::new(),
            replayed: false,
            seq: 0,
            failure: None,
        };
        match outcome {
            Ok(answer) => Self {
                output: answer.output,
                replayed: answer.replayed,
                seq: answer.commit.map_or(0, |commit| commit.seq),
                ..empty
            },
            Err(failure) => Self {
                failure: Some(FailureRow {
                    code: failure.code,
                    status: u32::from(failure.status),
                    temporary: failure.temporary,
                    detail: failure.detail,
                }),
                ..empty
            },
        }
    }
}

impl FailureRow {
    fn into_error(self) -> OperationError {
        OperationError {
            code: self.code,
            // A newer version may have errors that this one has no row of.
            key: error::by_code(self.code).map_or("error.unknown", |row| row.key),
            status: u16::try_from(self.status).unwrap_or(500),
            temporary: self.temporary,
            detail: self.detail,
        }
    }

    /// Whether it says something of the node that was asked rather than of what it was asked for.
    fn is_the_nodes(&self) -> bool {
        let rows: [&ErrorCode; 2] = [&error::OUTCOME_UNKNOWN, &error::UNAVAILABLE];
        rows.iter().any(|row| row.code == self.code)
    }
}

impl Domain {
    /// Sends a command to the node that writes its ledger. Nothing when it is to be done here, then under the key in the request.
    pub(super) async fn call_elsewhere(
        &self,
        way: &Way,
        request: &mut Request,
        work: Work,
    ) -> Option<Result<Answer, OperationError>> {
        let key = request
            .idempotency
            .get_or_insert_with(key_of_this_node)
            .clone();
        let row = OperationRow {
            format: FORMAT,
            operation: request.operation.clone(),
            input: request.input.clone(),
            idempotency: key,
            caller: Some(CallerRow::of(&request.caller)),
            age_us: now_us().saturating_sub(request.arrived_us),
            work: place_of(work),
        };
        let answered = way
            .ask(Errand::Operation, row.encode_to_vec().into())
            .await
            .ok()
            .and_then(|body| AnswerRow::decode(body).ok())
            .filter(|answer| answer.format == FORMAT);
        let Some(answer) = answered else {
            way.note(Errand::Operation, Outcome::TakenBack);
            return None;
        };
        match answer.failure {
            Some(failure) if failure.is_the_nodes() => {
                way.note(Errand::Operation, Outcome::TakenBack);
                None
            }
            Some(failure) => {
                way.note(Errand::Operation, Outcome::Refused);
                Some(Err(failure.into_error()))
            }
            None => {
                way.note(Errand::Operation, Outcome::Done);
                way.known_here(self.ledgers(), answer.seq).await;
                Some(Ok(Answer {
                    output: answer.output,
                    replayed: answer.replayed,
                    commit: None,
                }))
            }
        }
    }

    /// Does what another node was asked for, and gives the answer that it understands. Nothing when it cannot be read here: it is of
    /// another version, and then it is done where it came in.
    pub async fn run_errand(&self, errand: Bytes) -> Option<Bytes> {
        let row = OperationRow::decode(errand).ok()?;
        if row.format != FORMAT {
            return None;
        }
        let mut caller = row.caller?.into_caller()?;
        let declared = registry::find(&row.operation)?;
        if declared.declaration.kind != Kind::Command {
            return None;
        }
        caller.withheld = self.withheld();
        let name = declared.declaration.name;
        let outcome = match declared.prepare(&row.input) {
            Ok(prepared) => {
                let Target::Ledger(ledger) = prepared.target.clone() else {
                    return None;
                };
                let key = IdempotencyKey::new(&row.idempotency, name, &row.input);
                let request = Request {
                    operation: row.operation,
                    input: row.input,
                    idempotency: Some(row.idempotency),
                    caller,
                    arrived_us: now_us().saturating_sub(row.age_us).max(1),
                };
                let work = usize::try_from(row.work).ok();
                let work = work.and_then(|place| Work::ALL.get(place).copied());
                let work = work.unwrap_or(Work::Care);
                self.run_here(&ledger, &prepared, request, key, work).await
            }
            Err(refusal) => Err(refusal.into()),
        };
        Some(AnswerRow::of(outcome).encode_to_vec().into())
    }

    async fn run_here(
        &self,
        ledger: &LedgerId,
        prepared: &Prepared,
        request: Request,
        key: IdempotencyKey,
        work: Work,
    ) -> Result<Answer, OperationError> {
        let name: Arc<str> = request.operation.as_str().into();
        let answer = self
            .call_one(ledger, prepared, request, Some(key), work)
            .await?;
        // By its commit, which only this node has at hand; the call is counted where it came in.
        self.count_done(&name, &answer);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
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

        async fn ask(
            &self,
            _: &LedgerId,
            errand: Errand,
            body: Bytes,
        ) -> Result<Bytes, Unanswered> {
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
}
