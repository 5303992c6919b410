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

/// What keys begin with that a node made.
const MADE: &str = "routed:";

/// A key against doing something twice for a caller that gave none.
#[must_use]
pub fn key_of_this_node() -> String {
    format!("{MADE}{}", Uuid::new_v4().simple())
}

/// Whether a node made this key.
#[must_use]
pub fn is_key_of_a_node(key: &str) -> bool {
    key.strip_prefix(MADE)
        .is_some_and(|id| Uuid::try_parse(id).is_ok())
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
                way.note(Errand::Operation, Outcome::Unable);
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
#[path = "errand_tests.rs"]
mod tests;
