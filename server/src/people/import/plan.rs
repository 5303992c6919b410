//! The diff of a file against the ledgers: what would be added, changed and ended in each unit.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::read::Wanted;
use crate::ledger::{CallError, LedgerId, Ledgers, RecordKey};
use crate::people::record::PeopleRecord;
use crate::people::{MembershipKind, Roster, UnitCode};

/// A file that ends more than this part of a kind of records in a unit is refused: a source that sends half a school has a
/// fault more often than a reason. One in ten is more than leaves a school in the summer between two imports.
const REMOVALS_PER_HUNDRED_MAX: usize = 10;
/// So many may always end, or a small unit could never lose a family.
const REMOVALS_ALWAYS: usize = 20;

/// Kinds of records, as a diff counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// Units.
    Unit,
    /// Persons.
    Person,
    /// Logins.
    Account,
    /// Profiles, granted ones among them.
    Profile,
    /// Relations.
    Relation,
    /// Groups.
    Group,
    /// Memberships.
    Membership,
    /// Shared inboxes.
    Inbox,
}

/// How many records of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// New ones.
    pub added: usize,
    /// Those that differ.
    pub changed: usize,
    /// Those that end.
    pub ended: usize,
    /// Those that stay as they are.
    pub unchanged: usize,
}

/// What would happen in one unit.
#[derive(Debug, Default)]
pub struct Diff {
    /// Counts by kind.
    pub counts: BTreeMap<RecordKind, Counts>,
    /// Records to put, endings first: who loses a right loses it before anybody gains one.
    pub(super) put: Vec<PeopleRecord>,
    /// Logins to delete.
    pub(super) delete: Vec<RecordKey>,
}

impl RecordKind {
    /// All kinds, in the order they are shown.
    pub const ALL: [Self; 8] = [
        Self::Unit,
        Self::Person,
        Self::Account,
        Self::Profile,
        Self::Relation,
        Self::Group,
        Self::Membership,
        Self::Inbox,
    ];
}

/// What would happen, unit by unit.
#[derive(Debug, Default)]
pub struct Plan {
    /// By unit.
    pub units: BTreeMap<UnitCode, Diff>,
}

/// Why no plan could be made, or why it may not be applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A ledger cannot be read.
    #[error("unit {0} cannot be read")]
    Ledger(UnitCode, #[source] CallError),
    /// It would end too much of a unit.
    #[error(
        "unit {unit} would lose {ended} of {present} records of kind {kind:?}; allow removals if that is meant"
    )]
    Removals {
        /// The unit.
        unit: UnitCode,
        /// Of what kind.
        kind: RecordKind,
        /// How many would end.
        ended: usize,
        /// How many there are.
        present: usize,
    },
}

impl Plan {
    /// Refuses a plan that ends a large part of a unit.
    ///
    /// # Errors
    /// The first unit and kind that would lose too much.
    pub fn check_removals(&self) -> Result<(), PlanError> {
        for (unit, diff) in &self.units {
            for (kind, counts) in &diff.counts {
                let present = counts.ended + counts.changed + counts.unchanged;
                let allowed = (present * REMOVALS_PER_HUNDRED_MAX / 100).max(REMOVALS_ALWAYS);
                if counts.ended > allowed {
                    let (unit, kind, ended) = (unit.clone(), *kind, counts.ended);
                    return Err(PlanError::Removals {
                        unit,
                        kind,
                        ended,
                        present,
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.units
            .values()
            .all(|diff| diff.put.is_empty() && diff.delete.is_empty())
    }

    /// All counts of a kind over all units.
    #[must_use]
    pub fn total(&self, kind: RecordKind) -> Counts {
        let counts = self
            .units
            .values()
            .filter_map(|diff| diff.counts.get(&kind));
        counts.fold(Counts::default(), |sum, counts| Counts {
            added: sum.added + counts.added,
            changed: sum.changed + counts.changed,
            ended: sum.ended + counts.ended,
            unchanged: sum.unchanged + counts.unchanged,
        })
    }
}

/// Compares what a file wants with what is. Changes nothing.
///
/// # Errors
/// When a unit's ledger cannot be read.
pub async fn plan(
    ledgers: &Ledgers<Roster>,
    wanted: Wanted,
    today: Date,
) -> Result<Plan, PlanError> {
    let mut plan = Plan::default();
    for (code, records) in wanted.units {
        let failed = |error: CallError| PlanError::Ledger(code.clone(), error);
        let ledger = LedgerId::parse(code.as_str()).map_err(|error| failed(error.into()))?;
        let present = ledgers
            .inspect(&ledger, Roster::records)
            .await
            .map_err(failed)?;
        plan.units.insert(code, compare(present, records, today));
    }
    Ok(plan)
}

fn compare(
    present: Vec<PeopleRecord>,
    mut wanted: BTreeMap<RecordKey, PeopleRecord>,
    today: Date,
) -> Diff {
    let mut diff = Diff::default();
    for old in present {
        let Some(kind) = kind_of(&old) else { continue };
        let counts = diff.counts.entry(kind).or_default();
        match wanted.remove(&old.key()) {
            Some(new) => match changed(&old, new) {
                Some(new) => {
                    counts.changed += 1;
                    diff.put.push(new);
                }
                None => counts.unchanged += 1,
            },
            None => match &old {
                PeopleRecord::Account(_) => {
                    counts.ended += 1;
                    diff.delete.push(old.key());
                }
                _ => {
                    if let Some(ended) = ended(old, today) {
                        counts.ended += 1;
                        diff.put.insert(0, ended);
                    }
                }
            },
        }
    }
    for (_, new) in wanted {
        if let Some(kind) = kind_of(&new) {
            diff.counts.entry(kind).or_default().added += 1;
            diff.put.push(new);
        }
    }
    diff
}

const fn kind_of(record: &PeopleRecord) -> Option<RecordKind> {
    Some(match record {
        PeopleRecord::Unit(_) => RecordKind::Unit,
        PeopleRecord::Person(_) => RecordKind::Person,
        PeopleRecord::Account(_) => RecordKind::Account,
        PeopleRecord::Profile(_) => RecordKind::Profile,
        PeopleRecord::Relation(_) => RecordKind::Relation,
        PeopleRecord::Group(_) => RecordKind::Group,
        PeopleRecord::Membership(_) => RecordKind::Membership,
        PeopleRecord::Inbox(_) => RecordKind::Inbox,
        // Set in Klokke, not in the source.
        PeopleRecord::Block(_) => return None,
    })
}

/// The new record if it differs from the old one in what the source says.
fn changed(old: &PeopleRecord, mut new: PeopleRecord) -> Option<PeopleRecord> {
    match (&mut new, old) {
        (PeopleRecord::Person(new), PeopleRecord::Person(old)) => {
            new.shown_since_ms = old.shown_since_ms;
        }
        (PeopleRecord::Unit(new), PeopleRecord::Unit(old)) => {
            // A file may bring some of a municipality's units only; the others stay its children.
            new.children.extend(old.children.iter().cloned());
            new.children.sort_unstable();
            new.children.dedup();
        }
        _ => {}
    }
    (new != *old).then_some(new)
}

/// The record with an end before today, unless it has ended already or is kept.
fn ended(mut record: PeopleRecord, today: Date) -> Option<PeopleRecord> {
    let until = match &mut record {
        PeopleRecord::Profile(profile) => &mut profile.until,
        PeopleRecord::Relation(relation) => &mut relation.until,
        PeopleRecord::Group(group) => &mut group.until,
        PeopleRecord::Membership(membership) => {
            membership.kind = MembershipKind::Removed;
            &mut membership.until
        }
        // Persons stay for the trail, units are closed by hand, inboxes may be local.
        _ => return None,
    };
    if until.is_some_and(|until| until < today) {
        return None;
    }
    *until = Some(today.yesterday().unwrap_or(today));
    Some(record)
}
