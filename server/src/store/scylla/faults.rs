//! Faults for tests: what a network and a dying node do to requests.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;
use tokio::sync::oneshot;

use super::session::Swapped;
use crate::store::StoreError;

/// What happens to the next lightweight transaction.
#[derive(Debug)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is lost itself.
    RequestLost,
    /// It is held up and done when told so, long after its client has given up.
    Late(oneshot::Receiver<()>, oneshot::Sender<bool>),
}

/// Faults to come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    swaps: Mutex<VecDeque<Fault>>,
    /// How many writes succeed yet, and how many fail then.
    writes: Mutex<(u32, u32)>,
}

impl Faults {
    /// The next lightweight transactions fare so.
    pub(super) fn swaps(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut swaps = self.swaps.lock().unwrap_or_else(PoisonError::into_inner);
        swaps.extend(faults);
    }

    /// Of the next writes of derived rows so many succeed, and then so many fail.
    pub(super) fn fail_writes_after(&self, succeed: u32, fail: u32) {
        *self.writes.lock().unwrap_or_else(PoisonError::into_inner) = (succeed, fail);
    }

    pub(super) fn on_write(&self) -> Result<(), StoreError> {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *writes {
            (0, 0) => Ok(()),
            (0, fail) => {
                *fail -= 1;
                Err(StoreError::Unavailable("injected".into()))
            }
            (succeed, _) => {
                *succeed -= 1;
                Ok(())
            }
        }
    }

    pub(super) async fn on_swap(
        &self,
        session: &std::sync::Arc<Session>,
        statement: &PreparedStatement,
        values: &[Option<CqlValue>],
    ) -> Option<Swapped> {
        let next = {
            let mut swaps = self.swaps.lock().unwrap_or_else(PoisonError::into_inner);
            swaps.pop_front().unwrap_or(Fault::None)
        };
        let lost = || Some(Swapped::Unclear("injected".into()));
        match next {
            Fault::None => None,
            Fault::RequestLost => lost(),
            Fault::AnswerLost => {
                let answer = session.execute_unpaged(statement, values).await;
                answer.expect("the transaction itself succeeds");
                lost()
            }
            Fault::Late(go, done) => {
                let (session, statement) = (std::sync::Arc::clone(session), statement.clone());
                let values = values.to_vec();
                tokio::spawn(async move {
                    go.await.expect("told to go on");
                    let answer = session.execute_unpaged(&statement, &values).await;
                    let rows = answer.expect("an answer").into_rows_result().expect("rows");
                    let applied = matches!(super::session::was_applied(&rows), Swapped::Done);
                    done.send(applied).expect("the test waits");
                });
                lost()
            }
        }
    }
}
