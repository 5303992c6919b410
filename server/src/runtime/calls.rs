//! Operations called over a socket: RPC in, a reply out, and a newer login judged for the session that shows it.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use klokke_protocol::{ErrorCode, ErrorReply};
use serde::Deserialize;

use super::shard::Shard;
use crate::auth::{ConnectionToken, TokenError};
use crate::domain::sessions::StepUp;
use crate::domain::{self, Caller, OperationError, error};
use crate::hub::ConnKey;
use crate::ledger::Refusal;
use crate::people::{Assurance, AssuranceLevel, SubjectId};
use crate::session::{Answer, SteppedUp, Ticket};

impl Shard {
    pub(super) fn rpc(self: &Rc<Self>, key: ConnKey, ticket: Ticket, method: &str, data: Bytes) {
        let Some(caller) = self.caller(key) else {
            let denied = ErrorReply::from(ErrorCode::UNAUTHORIZED);
            return self.answer(key, ticket, Answer::Rpc(Err(denied)));
        };
        let (input, idempotency) = without_key(data);
        let request = domain::Request {
            operation: method.to_owned(),
            input,
            idempotency,
            caller,
            arrived_us: self.asked_us(key),
        };
        let domain = self.services.domain.clone();
        let call = async move { domain.call(request).await };
        self.ask(call, move |shard, outcome| {
            let outcome = outcome
                .map(|done| done.output)
                .map_err(|error| reply_of(&error));
            shard.answer(key, ticket, Answer::Rpc(outcome));
        });
    }

    /// `session.step_up`: the connection is what changes, so no ledger is asked.
    pub(super) fn step_up(self: &Rc<Self>, key: ConnKey, ticket: Ticket, data: Bytes) {
        let Some((subject, present)) = self.who(key) else {
            let denied = ErrorReply::from(ErrorCode::UNAUTHORIZED);
            return self.answer(key, ticket, Answer::SteppedUp(Err(denied)));
        };
        let (input, _) = without_key(data);
        let token = match StepUp::token(&input) {
            Ok(token) => token,
            Err(refusal) => {
                let refused = Err(reply_of(&refusal.into()));
                return self.answer(key, ticket, Answer::SteppedUp(refused));
            }
        };
        let verifier = Arc::clone(&self.services.tokens);
        let now = self.now_ms();
        let verdict = async move { verifier.connection(&token, now).await };
        self.ask(verdict, move |shard, verdict| {
            shard.core.borrow().tally.verified(verdict.as_ref().err());
            let now_ms = shard.now_ms();
            let outcome = judged(&subject, present, verdict, now_ms);
            let outcome = outcome.map_err(|refusal| reply_of(&refusal.into()));
            match outcome {
                Ok(raised) => shard.raise(key, ticket, subject, raised),
                Err(error) => shard.answer(key, ticket, Answer::SteppedUp(Err(error))),
            }
        });
    }

    /// Writes down that the session hears what is sensitive in full from now on, and then raises it.
    fn raise(self: &Rc<Self>, key: ConnKey, ticket: Ticket, subject: SubjectId, raised: SteppedUp) {
        let units = {
            let mut core = self.core.borrow_mut();
            let person = core.connections.person_mut(key);
            person.map(|person| person.units()).unwrap_or_default()
        };
        let domain = self.services.domain.clone();
        let newer = assurance_of(&raised.token);
        let watched = async move {
            let watched = domain.watch(&units, &subject, newer).await;
            watched.map(|until_ms| (units, until_ms))
        };
        self.ask(watched, move |shard, watched| {
            let outcome = match watched {
                Ok((units, until_ms)) => {
                    shard.watched(key, &units, until_ms);
                    Ok(raised)
                }
                Err(fault) => Err(reply_of(&fault)),
            };
            shard.answer(key, ticket, Answer::SteppedUp(outcome));
        });
    }

    /// A connection's person as a caller of operations.
    fn caller(&self, key: ConnKey) -> Option<Caller> {
        let core = self.core.borrow();
        let person = core.connections.find(key)?.person.as_deref()?;
        let (subject, assurance) = (person.subject.clone(), person.assurance());
        let caller = Caller::person(subject, assurance, domain::Door::Rpc);
        Some(caller.within(person.scope.clone()))
    }

    /// Who a connection is in the domain, and how sure we are of it.
    fn who(&self, key: ConnKey) -> Option<(SubjectId, Assurance)> {
        let core = self.core.borrow();
        let person = core.connections.find(key)?.person.as_deref()?;
        Some((person.subject.clone(), person.assurance()))
    }
}

/// Whether a newer login raises the session of this person.
fn judged(
    subject: &SubjectId,
    present: Assurance,
    verdict: Result<Arc<ConnectionToken>, TokenError>,
    now_ms: u64,
) -> Result<SteppedUp, Refusal> {
    let token = match verdict {
        Ok(token) if token.subject == subject.as_str() => token,
        Err(TokenError::Unavailable) => return Err(error::UNAVAILABLE.refuse("")),
        Ok(_) | Err(_) => return Err(error::STEP_UP_REFUSED.refuse("")),
    };
    let output = StepUp::raise(present, assurance_of(&token), now_ms)?;
    Ok(SteppedUp { token, output })
}

fn assurance_of(token: &ConnectionToken) -> Assurance {
    Assurance {
        level: AssuranceLevel::from_claim(token.level),
        authenticated_ms: token.authenticated_at.unwrap_or(0),
    }
}

/// The error of a failed call as the protocol tells it. That no operation has this name is a thing the protocol has a
/// code of its own for, which SDKs know.
fn reply_of(failure: &OperationError) -> ErrorReply {
    if failure.code == error::UNKNOWN_OPERATION.code {
        return ErrorCode::METHOD_NOT_FOUND.into();
    }
    ErrorReply {
        code: failure.code,
        message: failure.key.to_owned(),
        temporary: failure.temporary,
    }
}

/// The name under which an RPC's input carries the caller's key against doing it twice.
const KEY_FIELD: &str = "idempotency_key";

/// An operation's input without the caller's key, and the key. What is no object, or holds no key,
/// goes on as it came.
fn without_key(data: Bytes) -> (Bytes, Option<String>) {
    #[derive(Deserialize)]
    struct Keyed {
        #[serde(default)]
        idempotency_key: Option<String>,
    }
    let mentioned = data
        .windows(KEY_FIELD.len())
        .any(|it| it == KEY_FIELD.as_bytes());
    if !mentioned {
        return (data, None);
    }
    let Ok(Keyed {
        idempotency_key: Some(key),
    }) = serde_json::from_slice(&data)
    else {
        return (data, None);
    };
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&data);
    let Ok(mut object) = object else {
        return (data, None);
    };
    object.remove(KEY_FIELD);
    let input = serde_json::Value::Object(object).to_string();
    (Bytes::from(input), Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_taken_out_of_an_operations_input() {
        let rows = [
            (r#"{"a":1}"#, r#"{"a":1}"#, None),
            (r#"{"a":1,"idempotency_key":"k"}"#, r#"{"a":1}"#, Some("k")),
            (
                r#"{"a":"idempotency_key"}"#,
                r#"{"a":"idempotency_key"}"#,
                None,
            ),
            (r#"["idempotency_key"]"#, r#"["idempotency_key"]"#, None),
            ("", "", None),
        ];
        for (data, input, key) in rows {
            let (seen, found) = without_key(Bytes::from(data));
            assert_eq!(
                (&*seen, found.as_deref()),
                (input.as_bytes(), key),
                "{data}"
            );
        }
    }

    #[test]
    fn the_protocol_has_its_own_code_for_a_method_that_is_not_there() {
        let told = |row: &error::ErrorCode| reply_of(&row.refuse("").into());
        let unknown = told(&error::UNKNOWN_OPERATION);
        assert_eq!(unknown, ErrorReply::from(ErrorCode::METHOD_NOT_FOUND));
        for row in error::ALL.iter().filter(|row| row.code != 405) {
            let ErrorReply {
                code,
                message,
                temporary,
            } = told(row);
            assert_eq!(
                (code, &*message, temporary),
                (row.code, row.key, row.temporary)
            );
        }
    }

    #[test]
    fn a_newer_login_is_of_the_same_person_and_verified() {
        let subject: SubjectId = "anna".parse().expect("a subject");
        let now_ms = 10_000_000;
        let token = |subject: &str| {
            Ok(Arc::new(ConnectionToken {
                subject: subject.to_owned(),
                level: 3,
                authenticated_at: Some(now_ms),
                ..ConnectionToken::default()
            }))
        };
        let judge = |verdict| judged(&subject, Assurance::default(), verdict, now_ms);
        assert!(judge(token("anna")).is_ok());
        let rows = [
            (token("berit"), &error::STEP_UP_REFUSED),
            (Err(TokenError::Expired), &error::STEP_UP_REFUSED),
            (Err(TokenError::Revoked), &error::STEP_UP_REFUSED),
            (Err(TokenError::Unavailable), &error::UNAVAILABLE),
        ];
        for (verdict, row) in rows {
            let refused = judge(verdict).expect_err(row.key);
            assert_eq!(refused.code, row.code);
        }
    }
}
