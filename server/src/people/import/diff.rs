//! What would happen in one unit: records compared one by one with what the file wants, and how that is shown. Shown are ids
//! and counts, never a name.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::plan::Override;
use crate::ledger::RecordKey;
use crate::people::day::within;
use crate::people::record::PeopleRecord;
use crate::people::{MembershipKind, ObjectId, PersonId, ProfileId, UnitCode};

/// Kinds of records, as a diff counts them, in the order they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// Units.
    Unit,
    /// Persons.
    Person,
    /// Logins.
    Account,
    /// Profiles, granted ones among them.
    Profile,
    /// Groups.
    Group,
    /// Memberships.
    Membership,
    /// Relations.
    Relation,
    /// Shared inboxes.
    Inbox,
}

impl RecordKind {
    /// All kinds, in the order they are shown.
    pub const ALL: [Self; 8] = [
        Self::Unit,
        Self::Person,
        Self::Account,
        Self::Profile,
        Self::Group,
        Self::Membership,
        Self::Relation,
        Self::Inbox,
    ];

    /// As it is written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Person => "person",
            Self::Account => "account",
            Self::Profile => "profile",
            Self::Group => "group",
            Self::Membership => "membership",
            Self::Relation => "relation",
            Self::Inbox => "inbox",
        }
    }
}

/// How many records of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// New ones.
    pub added: usize,
    /// Those that differ and stay in force.
    pub changed: usize,
    /// Those that end, or no longer open what they opened.
    pub ended: usize,
    /// Those that somebody of the unit set and the file would have otherwise; they stay.
    pub kept_local: usize,
    /// Those that stay as they are.
    pub unchanged: usize,
    /// Those that are in force today.
    pub in_force: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.added += other.added;
        self.changed += other.changed;
        self.ended += other.ended;
        self.kept_local += other.kept_local;
        self.unchanged += other.unchanged;
        self.in_force += other.in_force;
    }
}

/// What happens to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    Ended,
    Changed,
    Added,
}

/// A record as it was when the diff was made.
pub(super) type Mark = [u8; 16];

/// One record to be written.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) effect: Effect,
    /// The record to put, or the login to delete.
    pub(super) record: PeopleRecord,
    pub(super) delete: bool,
    /// What must lie there when it is written; `None`: nothing.
    pub(super) expect: Option<Mark>,
    /// For persons and logins: a profile they have here, by which they are shown.
    profile: u32,
}

/// What would happen in one unit.
#[derive(Debug, Default)]
pub struct Diff {
    /// Counts by kind.
    pub counts: BTreeMap<RecordKind, Counts>,
    /// What to write: first whatever takes a right or a name away, then the rest, kind by kind.
    pub(super) changes: Vec<Change>,
    kept: Vec<(RecordKind, String)>,
}

/// One unit's part of a diff, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitReport {
    /// The unit.
    pub unit: UnitCode,
    /// Its records by kind; kinds of which it has none are left out.
    pub records: Vec<KindReport>,
}

/// Records of one kind in one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindReport {
    /// The kind.
    pub kind: RecordKind,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
    /// Which. Persons and logins are named by a profile they have in the unit.
    pub ids: Ids,
}

/// Ids of records, by what happens to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// New ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Changed ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Ended ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<String>,
    /// Set in the unit, and kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_local: Vec<String>,
}

impl Diff {
    /// As it is shown.
    #[must_use]
    pub fn report(&self, unit: &UnitCode) -> UnitReport {
        let mut ids: BTreeMap<RecordKind, Ids> = BTreeMap::new();
        for change in &self.changes {
            let Some(kind) = kind_of(&change.record) else {
                continue;
            };
            let ids = ids.entry(kind).or_default();
            let list = match change.effect {
                Effect::Added => &mut ids.added,
                Effect::Changed => &mut ids.changed,
                Effect::Ended => &mut ids.ended,
            };
            list.push(id_of(&change.record, unit, change.profile));
        }
        for (kind, id) in &self.kept {
            ids.entry(*kind).or_default().kept_local.push(id.clone());
        }
        let records = self.counts.iter().map(|(kind, counts)| KindReport {
            kind: *kind,
            counts: *counts,
            ids: ids.remove(kind).unwrap_or_default(),
        });
        UnitReport {
            unit: unit.clone(),
            records: records.collect(),
        }
    }
}

/// Compares the records of a unit, in the order of their keys, with what the file wants.
pub(super) fn compare(
    unit: &UnitCode,
    present: Vec<PeopleRecord>,
    mut wanted: BTreeMap<RecordKey, PeopleRecord>,
    today: Date,
    over: &Override,
) -> Diff {
    let profiles = profiles_by_person(present.iter().chain(wanted.values()));
    let mut comparing = Comparing {
        diff: Diff::default(),
        unit,
        profiles,
        today,
        over,
    };
    for old in present {
        let new = wanted.remove(&old.key());
        comparing.compare(old, new);
    }
    for (_, new) in wanted {
        comparing.change(Effect::Added, new, None, false);
    }
    let mut diff = comparing.diff;
    diff.changes.sort_by_key(|change| {
        let protects =
            change.effect == Effect::Changed && matches!(change.record, PeopleRecord::Person(_));
        (
            change.effect != Effect::Ended && !protects,
            kind_of(&change.record),
        )
    });
    diff
}

fn profiles_by_person<'r>(
    records: impl Iterator<Item = &'r PeopleRecord>,
) -> HashMap<PersonId, u32> {
    let mut profiles: HashMap<PersonId, u32> = HashMap::new();
    for record in records {
        if let PeopleRecord::Profile(profile) = record {
            let number = profile.id.number();
            let known = profiles.entry(profile.person.clone()).or_insert(number);
            *known = number.min(*known);
        }
    }
    profiles
}

struct Comparing<'a> {
    diff: Diff,
    unit: &'a UnitCode,
    profiles: HashMap<PersonId, u32>,
    today: Date,
    over: &'a Override,
}

impl Comparing<'_> {
    fn compare(&mut self, old: PeopleRecord, new: Option<PeopleRecord>) {
        let Some(kind) = kind_of(&old) else { return };
        let expect = Some(mark(&old));
        if in_force(&old, self.today) {
            self.counts(kind).in_force += 1;
        }
        if is_local(&old) {
            let id = id_of(&old, self.unit, 0);
            if !self.over.covers(&id) {
                return self.keep(kind, id, &old, new);
            }
            // Once gone over, it is the source's again.
            let released = new.unwrap_or_else(|| {
                let old = without_local(old.clone());
                ended(old.clone(), self.today).unwrap_or(old)
            });
            return self.put(&old, released, expect);
        }
        match new {
            Some(new) => match changed(&old, new) {
                Some(new) => self.put(&old, new, expect),
                None => self.counts(kind).unchanged += 1,
            },
            None if kind == RecordKind::Account => self.change(Effect::Ended, old, expect, true),
            None => match ended(old.clone(), self.today) {
                Some(ended) => self.put(&old, ended, expect),
                None => self.counts(kind).unchanged += 1,
            },
        }
    }

    fn keep(
        &mut self,
        kind: RecordKind,
        id: String,
        old: &PeopleRecord,
        new: Option<PeopleRecord>,
    ) {
        let otherwise = match new {
            Some(new) => !says_the_same(old, new, self.today),
            None => ended(old.clone(), self.today).is_some(),
        };
        if otherwise {
            self.counts(kind).kept_local += 1;
            self.diff.kept.push((kind, id));
        } else {
            self.counts(kind).unchanged += 1;
        }
    }

    fn put(&mut self, old: &PeopleRecord, new: PeopleRecord, expect: Option<Mark>) {
        let ends = (in_force(old, self.today) && !in_force(&new, self.today))
            || (opens(old, self.today) && !opens(&new, self.today));
        let effect = if ends { Effect::Ended } else { Effect::Changed };
        self.change(effect, new, expect, false);
    }

    fn change(&mut self, effect: Effect, record: PeopleRecord, expect: Option<Mark>, delete: bool) {
        let Some(kind) = kind_of(&record) else { return };
        let counts = self.counts(kind);
        match effect {
            Effect::Added => counts.added += 1,
            Effect::Changed => counts.changed += 1,
            Effect::Ended => counts.ended += 1,
        }
        let person = match &record {
            PeopleRecord::Person(person) => Some(&person.id),
            PeopleRecord::Account(account) => Some(&account.person),
            _ => None,
        };
        let profile = person.and_then(|person| self.profiles.get(person)).copied();
        self.diff.changes.push(Change {
            effect,
            record,
            delete,
            expect,
            profile: profile.unwrap_or(0),
        });
    }

    fn counts(&mut self, kind: RecordKind) -> &mut Counts {
        self.diff.counts.entry(kind).or_default()
    }
}

/// What a record is at a moment, to tell whether it is still the same.
pub(super) fn mark(record: &PeopleRecord) -> Mark {
    let mut mark = [0; 16];
    mark.copy_from_slice(&blake3::hash(&record.to_json()).as_bytes()[..16]);
    mark
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

/// How a record is named in reports. The ids of persons and logins can tell who somebody is, so they are named by a profile.
fn id_of(record: &PeopleRecord, unit: &UnitCode, profile: u32) -> String {
    match record {
        PeopleRecord::Unit(unit) => unit.code.to_string(),
        PeopleRecord::Person(_) | PeopleRecord::Account(_) if profile == 0 => {
            format!("{unit} (no profile)")
        }
        PeopleRecord::Person(_) | PeopleRecord::Account(_) => {
            ProfileId::new(unit.clone(), profile).to_string()
        }
        PeopleRecord::Profile(profile) => profile.id.to_string(),
        PeopleRecord::Relation(relation) => format!("{}/{}", relation.adult, relation.child),
        PeopleRecord::Group(group) => group.id.to_string(),
        PeopleRecord::Membership(member) => format!("{}/{}", member.group, member.profile),
        PeopleRecord::Block(_) => String::new(),
        PeopleRecord::Inbox(inbox) => inbox.id.to_string(),
    }
}

const fn is_local(record: &PeopleRecord) -> bool {
    match record {
        PeopleRecord::Relation(record) => record.local.is_some(),
        PeopleRecord::Membership(record) => record.local.is_some(),
        PeopleRecord::Inbox(record) => record.local.is_some(),
        _ => false,
    }
}

fn without_local(mut record: PeopleRecord) -> PeopleRecord {
    match &mut record {
        PeopleRecord::Relation(record) => record.local = None,
        PeopleRecord::Membership(record) => record.local = None,
        PeopleRecord::Inbox(record) => record.local = None,
        _ => {}
    }
    record
}

/// Whether the source has come to say what was set in the unit. That one of them counts from an earlier day makes no difference
/// once both have begun.
fn says_the_same(old: &PeopleRecord, new: PeopleRecord, today: Date) -> bool {
    let bare = |record: PeopleRecord| {
        let mut record = without_local(record);
        let from = match &mut record {
            PeopleRecord::Relation(record) => &mut record.from,
            PeopleRecord::Membership(record) => &mut record.from,
            _ => return record,
        };
        *from = from.filter(|from| *from > today);
        record
    };
    (is_over(old, today) && is_over(&new, today)) || bare(old.clone()) == bare(new)
}

/// Whether a relation or membership opens nothing from a day on, whatever the days to come.
fn is_over(record: &PeopleRecord, day: Date) -> bool {
    match record {
        PeopleRecord::Relation(record) => {
            record.until.is_some_and(|until| until < day)
                || record.ended.is_some_and(|ended| ended <= day)
        }
        PeopleRecord::Membership(record) => {
            record.until.is_some_and(|until| until < day) || !record.kind.sees()
        }
        _ => false,
    }
}

/// Whether the record holds on a day.
fn in_force(record: &PeopleRecord, day: Date) -> bool {
    match record {
        PeopleRecord::Profile(profile) => profile.holds(day),
        PeopleRecord::Relation(relation) => {
            within(day, relation.from, relation.until)
                && relation.ended.is_none_or(|ended| day < ended)
        }
        PeopleRecord::Group(group) => within(day, group.from, group.until),
        PeopleRecord::Membership(member) => within(day, member.from, member.until),
        _ => true,
    }
}

/// Whether the record opens something to somebody on a day.
fn opens(record: &PeopleRecord, day: Date) -> bool {
    match record {
        PeopleRecord::Relation(relation) => relation.opens(day),
        PeopleRecord::Membership(member) => member.sees(day),
        _ => in_force(record, day),
    }
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
    if is_over(&record, today) && matches!(record, PeopleRecord::Relation(_)) {
        return None;
    }
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
