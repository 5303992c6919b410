//! Applying a plan: commits of bounded size, unit by unit, those above before those below, endings first.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::diff::{Change, mark};
use super::plan::Plan;
use crate::ledger::{Actor, Call, CallError, Job, LedgerId, Ledgers, Refusal, View};
use crate::people::record::PeopleRecord;
use crate::people::{Roster, UnitCode, stage};

/// Records of one commit. Some 200 KB, well below what a ledger commits at once, and short enough for others to be served between.
const RECORDS_AT_ONCE: usize = 500;
/// How long a busy ledger is given between two attempts, and how many it is given. A ledger works off a full mailbox in 50 ms.
const PATIENCE: Duration = Duration::from_millis(50);
const ATTEMPTS: usize = 200;

/// How far an import has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The unit at work.
    pub unit: UnitCode,
    /// Records of all units that are durable.
    pub done: usize,
    /// Records of all units.
    pub total: usize,
}

/// Why an import stopped. What was applied before stays; running the file again goes on from there.
#[derive(Debug, thiserror::Error)]
#[error(
    "unit {unit} could not be changed after {done} of {total} records; run the same file again"
)]
pub struct ApplyError {
    /// The unit.
    pub unit: UnitCode,
    /// Records that are durable.
    pub done: usize,
    /// Records in all.
    pub total: usize,
    /// Why.
    #[source]
    pub source: CallError,
}

/// Applies a plan. Give it to [`Plan::check_ends`] first. Every record is written only over what the plan saw there.
///
/// # Errors
/// When a ledger refuses or cannot be reached; the import is then to be run again.
pub async fn apply(
    ledgers: &Ledgers<Roster>,
    mut plan: Plan,
    actor: Actor,
    mut progress: impl FnMut(Progress),
) -> Result<usize, ApplyError> {
    let total = plan.records();
    let mut done = 0;
    for unit in plan.order {
        let failed = |done, source: CallError| ApplyError {
            unit: unit.clone(),
            done,
            total,
            source,
        };
        let Some(mut diff) = plan.units.remove(&unit) else {
            continue;
        };
        let ledger = LedgerId::parse(unit.as_str()).map_err(|error| failed(done, error.into()))?;
        while !diff.changes.is_empty() {
            let size = diff.changes.len().min(RECORDS_AT_ONCE);
            let part: Vec<Change> = diff.changes.drain(..size).collect();
            write(ledgers, &ledger, &actor, part)
                .await
                .map_err(|error| failed(done, error))?;
            done += size;
            progress(Progress {
                unit: unit.clone(),
                done,
                total,
            });
        }
    }
    Ok(done)
}

/// Writes one part, waiting for a ledger that has much to do.
async fn write(
    ledgers: &Ledgers<Roster>,
    ledger: &LedgerId,
    actor: &Actor,
    part: Vec<Change>,
) -> Result<(), CallError> {
    for _ in 0..ATTEMPTS {
        let call = Call::new("people.import", actor.clone(), Part(part.clone()));
        match ledgers.call(ledger, call).await {
            Ok(_) => return Ok(()),
            // Nothing changed.
            Err(CallError::Busy | CallError::Contended) => tokio::time::sleep(PATIENCE).await,
            Err(error) => return Err(error),
        }
    }
    Err(CallError::Busy)
}

/// Some records of a plan, written together if each is still what the plan saw.
struct Part(Vec<Change>);

#[async_trait(?Send)]
impl Job<Roster> for Part {
    async fn run(&mut self, view: &mut View<'_, Roster>) -> Result<Bytes, Refusal> {
        for change in &self.0 {
            let key = change.record.key();
            let present = view.get_raw(&key).await?;
            let present = present.and_then(|value| PeopleRecord::from_json(&key, &value));
            let present = match present {
                None => None,
                Some(Ok(record)) => Some(mark(&record)),
                Some(Err(_)) => return Err(changed_since()),
            };
            if present != change.expect {
                return Err(changed_since());
            }
            if change.delete {
                view.delete(&key).await?;
            } else {
                stage(view, change.record.clone()).await?;
            }
        }
        Ok(Bytes::new())
    }
}

fn changed_since() -> Refusal {
    let code = klokke_protocol::ErrorCode::BAD_REQUEST.number();
    Refusal::temporary(
        code,
        "import.changed_since",
        "somebody changed a record since it was shown",
    )
}
