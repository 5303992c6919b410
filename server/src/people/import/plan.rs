//! The plan of an import: the diff of a file against the ledgers, unit by unit, with a digest that stands for exactly this change
//! of exactly these people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::diff::{Counts, Diff, Effect, RecordKind, UnitReport, compare, mark};
use super::read::Wanted;
use crate::ledger::{CallError, IndexKey, LedgerId, Ledgers};
use crate::people::record::{Account, PeopleRecord, account_index};
use crate::people::{Roster, UnitCode};

/// A file that ends more than this part of a kind of records in a unit is refused: a source that sends half a school has a
/// fault more often than a reason. One in ten is more than leaves a school in the summer between two imports.
pub const ENDED_PERCENT_MAX: u8 = 10;
/// So many may always end where there are at least twice as many, or a small unit could never lose a family.
const ENDS_ALWAYS: usize = 20;
/// So many may end anywhere.
const ENDS_ANYWHERE: usize = 5;
/// Look-ups of logins under way at once.
const LOOKUPS: usize = 64;
/// Places of one login read at once; a person has a handful.
const PLACES: usize = 256;

/// Which records set in a unit the file goes over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Override {
    /// None: they are kept.
    #[default]
    Nothing,
    /// Those with these ids, as a diff shows them (`G10001.p1/G10001.p2`).
    These(BTreeSet<String>),
    /// All of them.
    All,
}

impl Override {
    /// From ids; the word `all` stands for all of them.
    pub fn of(ids: impl IntoIterator<Item = String>) -> Self {
        let ids: BTreeSet<String> = ids.into_iter().collect();
        match ids {
            ids if ids.contains("all") => Self::All,
            ids if ids.is_empty() => Self::Nothing,
            ids => Self::These(ids),
        }
    }

    pub(super) fn covers(&self, id: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::These(ids) => ids.contains(id),
            Self::All => true,
        }
    }
}

/// What a plan is known by: equal only if the same people would change in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanDigest([u8; 16]);

impl fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is no plan's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a plan is named by 32 hexadecimal digits")]
pub struct NoDigest;

impl FromStr for PlanDigest {
    type Err = NoDigest;
    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let mut digest = [0; 16];
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoDigest);
        }
        for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| NoDigest)?;
        }
        Ok(Self(digest))
    }
}

/// What would happen, unit by unit.
#[derive(Debug)]
pub struct Plan {
    /// By unit.
    pub units: BTreeMap<UnitCode, Diff>,
    /// The units with how many stand above each, those above before those below.
    pub(super) order: Vec<(usize, UnitCode)>,
    /// What it is known by.
    pub digest: PlanDigest,
    /// Lines of the file.
    pub lines: u64,
}

/// A unit that would lose too much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MassEnd {
    /// The unit.
    pub unit: UnitCode,
    /// Of what kind.
    pub kind: RecordKind,
    /// How many would end.
    pub ended: usize,
    /// How many are in force.
    pub in_force: usize,
}

/// What a plan says besides its units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The plan's digest.
    pub plan: String,
    /// Lines of the file.
    pub lines: u64,
    /// Units of the file.
    pub units: usize,
    /// Records to be written.
    pub records: usize,
    /// Units that would lose too much.
    pub mass_end: Vec<MassEnd>,
}

/// Why no plan could be made, or why it may not be applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A ledger cannot be read.
    #[error("unit {0} cannot be read")]
    Ledger(UnitCode, #[source] CallError),
    /// Where logins are in use cannot be read.
    #[error("it cannot be looked up where logins are in use")]
    Index(#[source] CallError),
    /// A login that another person has in a unit that is not in the file.
    #[error("line {line}: the login belongs to another person in unit {unit}")]
    LoginTaken {
        /// The line.
        line: u64,
        /// The unit.
        unit: String,
    },
    /// It would end too much of a unit.
    #[error(
        "unit {} would lose {} of {} records of kind {}; allow a mass end if that is meant",
        .0.unit, .0.ended, .0.in_force, .0.kind.as_str()
    )]
    MassEnd(MassEnd),
}

impl Plan {
    /// Units and kinds that would lose more than this part.
    #[must_use]
    pub fn mass_ends(&self, percent_max: u8) -> Vec<MassEnd> {
        let mut found = Vec::new();
        for (unit, diff) in &self.units {
            for (
                kind,
                Counts {
                    ended, in_force, ..
                },
            ) in &diff.counts
            {
                let few = ENDS_ALWAYS.min(in_force / 2).max(ENDS_ANYWHERE);
                let allowed = (in_force * usize::from(percent_max) / 100).max(few);
                if *ended > allowed {
                    found.push(MassEnd {
                        unit: unit.clone(),
                        kind: *kind,
                        ended: *ended,
                        in_force: *in_force,
                    });
                }
            }
        }
        found
    }

    /// Refuses a plan that ends a large part of a unit.
    ///
    /// # Errors
    /// The first unit and kind that would lose too much.
    pub fn check_ends(&self, percent_max: u8) -> Result<(), PlanError> {
        let first = self.mass_ends(percent_max).into_iter().next();
        first.map_or(Ok(()), |end| Err(PlanError::MassEnd(end)))
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.units.values().all(|diff| diff.changes.is_empty())
    }

    /// Records to be written.
    #[must_use]
    pub fn records(&self) -> usize {
        self.units.values().map(|diff| diff.changes.len()).sum()
    }

    /// All counts of a kind over all units.
    #[must_use]
    pub fn total(&self, kind: RecordKind) -> Counts {
        let mut sum = Counts::default();
        let all = self.units.values();
        all.filter_map(|diff| diff.counts.get(&kind))
            .for_each(|counts| sum += *counts);
        sum
    }

    /// The units as they are shown, one at a time.
    pub fn reports(&self) -> impl Iterator<Item = UnitReport> {
        self.units.iter().map(|(unit, diff)| diff.report(unit))
    }

    /// What is shown last.
    #[must_use]
    pub fn summary(&self, percent_max: u8) -> Summary {
        Summary {
            plan: self.digest.to_string(),
            lines: self.lines,
            units: self.units.len(),
            records: self.records(),
            mass_end: self.mass_ends(percent_max),
        }
    }
}

/// Compares what a file wants with what is. Changes nothing.
///
/// # Errors
/// When a unit's ledger cannot be read, or a login is another person's elsewhere.
pub async fn plan(
    ledgers: &Ledgers<Roster>,
    wanted: Wanted,
    today: Date,
    over: &Override,
) -> Result<Plan, PlanError> {
    let mut hasher = blake3::Hasher::new();
    let mut order: Vec<(usize, UnitCode)> = Vec::new();
    let mut units = BTreeMap::new();
    let lines = wanted.lines;
    for (code, records) in wanted.units {
        let failed = |error: CallError| PlanError::Ledger(code.clone(), error);
        let ledger = LedgerId::parse(code.as_str()).map_err(|error| failed(error.into()))?;
        let mut present = ledgers
            .inspect(&ledger, Roster::records)
            .await
            .map_err(failed)?;
        present.sort_by_cached_key(PeopleRecord::key);
        hasher.update(code.as_str().as_bytes());
        present.iter().for_each(|record| {
            hasher.update(&mark(record));
        });
        order.push((depth(records.values()), code.clone()));
        let diff = compare(&code, present, records, today, over);
        for change in &diff.changes {
            hasher.update(&[change.effect as u8, u8::from(change.delete)]);
            hasher.update(&mark(&change.record));
        }
        units.insert(code, diff);
    }
    check_logins(ledgers, &units, &wanted.logins).await?;
    order.sort();
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    Ok(Plan {
        units,
        order,
        digest: PlanDigest(digest),
        lines,
    })
}

/// How many units stand above.
fn depth<'r>(mut records: impl Iterator<Item = &'r PeopleRecord>) -> usize {
    records
        .find_map(|record| match record {
            PeopleRecord::Unit(unit) => Some(unit.ancestors.len()),
            _ => None,
        })
        .unwrap_or(0)
}

/// Refuses a login that is new here and another person's in a unit that the file does not name. Inside the file's units
/// the file decides, and it was checked when it was read.
async fn check_logins(
    ledgers: &Ledgers<Roster>,
    units: &BTreeMap<UnitCode, Diff>,
    lines: &hashbrown::HashMap<crate::people::SubjectId, u32>,
) -> Result<(), PlanError> {
    let changes = units.values().flat_map(|diff| &diff.changes);
    let new = changes.filter_map(|change| match &change.record {
        PeopleRecord::Account(account) if change.effect != Effect::Ended => Some(account),
        _ => None,
    });
    // A person with profiles in several units has the same login in each; one look is enough.
    let mut seen = hashbrown::HashSet::new();
    let new = new.filter(|account| seen.insert(&account.subject));
    let lookups = new.map(|account| async move {
        let elsewhere = other_person(ledgers, units, account).await?;
        let line = lines.get(&account.subject).copied().unwrap_or(0).into();
        Ok(elsewhere.map(|unit| PlanError::LoginTaken { line, unit }))
    });
    let taken: Vec<PlanError> = stream::iter(lookups)
        .buffer_unordered(LOOKUPS)
        .try_filter_map(|taken| async move { Ok(taken) })
        .try_collect()
        .await?;
    let first = taken.into_iter().min_by_key(|taken| match taken {
        PlanError::LoginTaken { line, .. } => *line,
        _ => 0,
    });
    first.map_or(Ok(()), Err)
}

/// The unit outside the file in which a login is another person's.
async fn other_person(
    ledgers: &Ledgers<Roster>,
    units: &BTreeMap<UnitCode, Diff>,
    account: &Account,
) -> Result<Option<String>, PlanError> {
    let index = IndexKey::new(&account_index(&account.subject));
    let mut after = None;
    loop {
        let found = ledgers.lookup(&index, after.as_ref(), PLACES).await;
        let found = found.map_err(PlanError::Index)?;
        let Some(last) = found.last().cloned() else {
            return Ok(None);
        };
        for (ledger, key) in found {
            let in_file = ledger.as_str().parse::<UnitCode>();
            if in_file.is_ok_and(|code| units.contains_key(&code)) {
                continue;
            }
            let record = ledgers.store().get(&ledger, &key).await;
            let record = record.map_err(|error| PlanError::Index(error.into()))?;
            let held = record.and_then(|record| PeopleRecord::from_json(&key, &record.value));
            match held {
                Some(Ok(PeopleRecord::Account(held))) if held.person == account.person => {}
                None => {}
                // A record that cannot be read may be anybody's.
                Some(_) => return Ok(Some(ledger.as_str().to_owned())),
            }
        }
        after = Some(last);
    }
}
