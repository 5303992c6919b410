//! Applying a plan: commits of bounded size, units side by side but those above before those below, endings first within each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::diff::{Change, Diff, mark};
use super::plan::Plan;
use crate::ledger::{Actor, Call, CallError, Job, LedgerId, Ledgers, RecordKey, Refusal, View};
use crate::people::record::PeopleRecord;
use crate::people::{Roster, UnitCode, stage};

/// Records of one commit. Some 200 KB, well below what a ledger commits at once, and short enough for others to be served between.
const RECORDS_AT_ONCE: usize = 500;
/// Units written at once, so that they share flushes of the store: some 1.6 MB under way, and a shard that serves half of
/// them has about 30 ms of work, in parts between which it serves others.
const UNITS_AT_ONCE: usize = 8;
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
/// When a ledger refuses or cannot be reached; what is under way in other units is finished first, nothing else is begun,
/// and the import is then to be run again.
pub async fn apply(
    ledgers: &Ledgers<Roster>,
    plan: Plan,
    actor: Actor,
    progress: impl FnMut(Progress),
) -> Result<usize, ApplyError> {
    let total = plan.records();
    let Plan { units, order, .. } = plan;
    let mut units: BTreeMap<UnitCode, Diff> = units;
    let applying = Applying {
        ledgers,
        actor,
        state: RefCell::new(State {
            done: 0,
            total,
            failed: None,
            progress,
        }),
    };
    // A unit hands its stops down to those below when it takes them on, so these come when it is done.
    for level in order.chunk_by(|(one, _), (next, _)| one == next) {
        let level = level.iter().filter_map(|(_, code)| {
            let diff = units.remove(code)?;
            Some(applying.unit(code, diff.changes))
        });
        let mut under_way = stream::iter(level).buffer_unordered(UNITS_AT_ONCE);
        while let Some(()) = under_way.next().await {}
    }
    let state = applying.state.into_inner();
    state.failed.map_or(Ok(state.done), |(unit, source)| {
        Err(ApplyError {
            unit,
            done: state.done,
            total,
            source,
        })
    })
}

/// A plan being applied.
struct Applying<'a, P> {
    ledgers: &'a Ledgers<Roster>,
    actor: Actor,
    state: RefCell<State<P>>,
}

/// How far all units are together.
struct State<P> {
    done: usize,
    total: usize,
    failed: Option<(UnitCode, CallError)>,
    progress: P,
}

impl<P: FnMut(Progress)> Applying<'_, P> {
    /// Writes the changes of a unit, part after part, until one fails here or elsewhere.
    async fn unit(&self, unit: &UnitCode, mut changes: Vec<Change>) {
        while !changes.is_empty() && self.state.borrow().failed.is_none() {
            let size = changes.len().min(RECORDS_AT_ONCE);
            let part: Arc<[Change]> = changes.drain(..size).collect();
            let written = match LedgerId::parse(unit.as_str()) {
                Ok(ledger) => write(self.ledgers, &ledger, &self.actor, &part).await,
                Err(error) => Err(error.into()),
            };
            let mut state = self.state.borrow_mut();
            match written {
                Ok(()) => {
                    state.done += size;
                    let (done, total) = (state.done, state.total);
                    (state.progress)(Progress {
                        unit: unit.clone(),
                        done,
                        total,
                    });
                }
                Err(error) => {
                    state.failed.get_or_insert_with(|| (unit.clone(), error));
                }
            }
        }
    }
}

/// Writes one part, waiting for a ledger that has much to do.
async fn write(
    ledgers: &Ledgers<Roster>,
    ledger: &LedgerId,
    actor: &Actor,
    part: &Arc<[Change]>,
) -> Result<(), CallError> {
    for _ in 0..ATTEMPTS {
        let call = Call::new("people.import", actor.clone(), Part(Arc::clone(part)));
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
struct Part(Arc<[Change]>);

#[async_trait(?Send)]
impl Job<Roster> for Part {
    async fn run(&mut self, view: &mut View<'_, Roster>) -> Result<Bytes, Refusal> {
        let keys: Vec<RecordKey> = self.0.iter().map(|change| change.record.key()).collect();
        view.prefetch(&keys).await?;
        for (change, key) in self.0.iter().zip(keys) {
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
