//! Applying a plan: commits of bounded size, unit by unit, endings first.

use super::plan::Plan;
use crate::ledger::{Actor, Call, CallError, LedgerId, Ledgers};
use crate::people::{ChangePeople, Roster, UnitCode};

/// Records of one commit. Some 200 KB, well below what a ledger commits at once, and short enough for others to be served between.
const RECORDS_AT_ONCE: usize = 500;

/// How far an import has come.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Applies a plan. Give it to [`Plan::check_removals`] first.
///
/// # Errors
/// When a ledger refuses or cannot be reached; the import is then to be run again.
pub async fn apply(
    ledgers: &Ledgers<Roster>,
    plan: Plan,
    actor: Actor,
    mut progress: impl FnMut(Progress),
) -> Result<usize, ApplyError> {
    let total = plan
        .units
        .values()
        .map(|diff| diff.put.len() + diff.delete.len())
        .sum();
    let mut done = 0;
    for (unit, mut diff) in plan.units {
        let failed = |done, source: CallError| ApplyError {
            unit: unit.clone(),
            done,
            total,
            source,
        };
        let ledger = LedgerId::parse(unit.as_str()).map_err(|error| failed(done, error.into()))?;
        while !diff.put.is_empty() || !diff.delete.is_empty() {
            let delete: Vec<_> = diff
                .delete
                .drain(..diff.delete.len().min(RECORDS_AT_ONCE))
                .collect();
            let put: Vec<_> = diff
                .put
                .drain(..diff.put.len().min(RECORDS_AT_ONCE))
                .collect();
            let size = delete.len() + put.len();
            let call = Call::new("people.import", actor.clone(), ChangePeople { put, delete });
            ledgers
                .call(&ledger, call)
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
