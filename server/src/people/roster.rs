//! The roster of a unit: everything about people that a decision needs, resident while the ledger is loaded.
//!
//! Built from records alone, moved on by commits alone, so every node that applied the same commits
//! decides the same.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::{HashMap, HashSet};
use jiff::civil::Date;

use super::entitle::Word;
use super::record::{
    self, Block, Group, Inbox, Membership, PeopleRecord, Person, Profile, Relation, Unit,
};
use super::{
    GroupId, InboxId, ObjectId, PersonId, ProfileId, RelationKind, SubjectId, UnitCode, UserKind,
};
use crate::ledger::{Commit, Damage, LedgerId, RecordKey, State};

/// Something that open sessions must hear of, with the commit that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// What a login may see in the unit may have changed: this is what it sees from this commit on. It goes ahead of
    /// the commit's own entries, so rights and content stand in one order.
    Entitlements {
        /// The login.
        subject: SubjectId,
        /// What its profiles open, on the commit's day and the next.
        word: Word,
    },
}

/// Who is who in one unit.
#[derive(Debug, Default)]
pub struct Roster {
    unit: Option<Unit>,
    persons: HashMap<PersonId, Person>,
    accounts: HashMap<SubjectId, PersonId>,
    subjects_of: HashMap<PersonId, BTreeSet<SubjectId>>,
    profiles: BTreeMap<u32, Profile>,
    profiles_of: HashMap<PersonId, BTreeSet<u32>>,
    relations: BTreeMap<(u32, u32), Relation>,
    adults_of: BTreeSet<(u32, u32)>,
    groups: BTreeMap<u32, Group>,
    memberships: BTreeMap<(u32, u32), Membership>,
    groups_of: BTreeSet<(u32, u32)>,
    blocks: BTreeMap<RecordKey, Block>,
    inboxes: BTreeMap<u32, Inbox>,
    /// When a shown name last changed; older content has its names renewed on the way out.
    names_since_ms: u64,
}

impl Roster {
    /// The unit, once its record exists.
    #[must_use]
    pub const fn unit(&self) -> Option<&Unit> {
        self.unit.as_ref()
    }

    /// A person of the unit.
    #[must_use]
    pub fn person(&self, id: &PersonId) -> Option<&Person> {
        self.persons.get(id)
    }

    /// The person who signs in with a subject.
    #[must_use]
    pub fn person_of(&self, subject: &SubjectId) -> Option<&Person> {
        self.persons.get(self.accounts.get(subject)?)
    }

    /// All persons of the unit, in no order.
    pub fn persons(&self) -> impl Iterator<Item = &Person> {
        self.persons.values()
    }

    /// All logins of the unit, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = (&SubjectId, &PersonId)> {
        self.accounts.iter()
    }

    /// The logins of a person.
    pub fn subjects(&self, person: &PersonId) -> impl Iterator<Item = &SubjectId> {
        self.subjects_of.get(person).into_iter().flatten()
    }

    /// A profile, whatever its dates.
    #[must_use]
    pub fn profile(&self, id: &ProfileId) -> Option<&Profile> {
        self.profiles
            .get(&id.number())
            .filter(|profile| profile.id == *id)
    }

    /// All profiles by number, whatever their dates.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.values()
    }

    /// The profiles of a login, whatever their dates.
    pub fn profiles_of(&self, subject: &SubjectId) -> impl Iterator<Item = &Profile> {
        let person = self.accounts.get(subject);
        let numbers = person.and_then(|person| self.profiles_of.get(person));
        numbers
            .into_iter()
            .flatten()
            .filter_map(|number| self.profiles.get(number))
    }

    /// The profile `id` if it belongs to `subject` and holds on `day`.
    #[must_use]
    pub fn own_profile(&self, subject: &SubjectId, id: &ProfileId, day: Date) -> Option<&Profile> {
        let profile = self.profile(id)?;
        let owns = self
            .accounts
            .get(subject)
            .is_some_and(|person| *person == profile.person);
        (owns && profile.holds(day)).then_some(profile)
    }

    /// The name that may be shown for a profile.
    #[must_use]
    pub fn shown_name(&self, id: &ProfileId) -> Option<&str> {
        self.profile(id)
            .and_then(|profile| self.persons.get(&profile.person))
            .map(Person::shown_name)
    }

    /// When a shown name last changed, in milliseconds since 1970.
    #[must_use]
    pub const fn names_since_ms(&self) -> u64 {
        self.names_since_ms
    }

    /// A relation, whatever its dates.
    #[must_use]
    pub fn relation(&self, adult: &ProfileId, child: &ProfileId) -> Option<&Relation> {
        self.relations.get(&(adult.number(), child.number()))
    }

    /// All relations, whatever their dates.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }

    /// The relations of an adult's profile, whatever their dates.
    pub fn relations_of_adult(&self, adult: &ProfileId) -> impl Iterator<Item = &Relation> {
        let n = adult.number();
        self.relations
            .range((n, 0)..=(n, u32::MAX))
            .map(|(_, relation)| relation)
    }

    /// The relations of a child's profile, whatever their dates.
    pub fn relations_of_child(&self, child: &ProfileId) -> impl Iterator<Item = &Relation> {
        let n = child.number();
        let pairs = self.adults_of.range((n, 0)..=(n, u32::MAX));
        pairs.filter_map(|(child, adult)| self.relations.get(&(*adult, *child)))
    }

    /// A group, whatever its dates.
    #[must_use]
    pub fn group(&self, id: &GroupId) -> Option<&Group> {
        self.groups
            .get(&id.number())
            .filter(|group| group.id == *id)
    }

    /// All groups by number.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// All memberships, whatever their dates.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.memberships.values()
    }

    /// A membership, whatever its dates.
    #[must_use]
    pub fn membership(&self, group: &GroupId, profile: &ProfileId) -> Option<&Membership> {
        self.memberships.get(&(group.number(), profile.number()))
    }

    /// The memberships of a profile, whatever their dates.
    pub fn memberships_of(&self, profile: &ProfileId) -> impl Iterator<Item = &Membership> {
        let n = profile.number();
        let pairs = self.groups_of.range((n, 0)..=(n, u32::MAX));
        pairs.filter_map(|(profile, group)| self.memberships.get(&(*group, *profile)))
    }

    /// The memberships of a group, whatever their dates.
    pub fn members_of(&self, group: &GroupId) -> impl Iterator<Item = &Membership> {
        let n = group.number();
        self.memberships
            .range((n, 0)..=(n, u32::MAX))
            .map(|(_, membership)| membership)
    }

    /// A shared inbox.
    #[must_use]
    pub fn inbox(&self, id: &InboxId) -> Option<&Inbox> {
        self.inboxes
            .get(&id.number())
            .filter(|inbox| inbox.id == *id)
    }

    /// All shared inboxes by number.
    pub fn inboxes(&self) -> impl Iterator<Item = &Inbox> {
        self.inboxes.values()
    }

    /// Whether profiles of a kind may not write here, by this unit's word or one above it.
    #[must_use]
    pub fn is_blocked(&self, kind: UserKind) -> bool {
        self.blocks.values().any(|block| block.kind == kind)
    }

    /// All stops on writing.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.values()
    }

    /// Whether a profile takes part in the life of the unit on `day`: it holds, it is a user at all, and somebody who is here
    /// for a child has at least one relation that opens the unit.
    #[must_use]
    pub fn takes_part(&self, profile: &Profile, day: Date) -> bool {
        let for_a_child = matches!(
            profile.kind,
            UserKind::Guardian | UserKind::RelatedPerson | UserKind::AttachedPerson
        );
        let opened = || {
            let mut relations = self
                .relations_of_adult(&profile.id)
                .filter(|relation| relation.opens(day));
            relations.any(|relation| {
                self.profile(&relation.child)
                    .is_some_and(|child| child.holds(day))
            })
        };
        profile.holds(day) && profile.kind != UserKind::DaycareChild && (!for_a_child || opened())
    }

    /// The groups that a profile sees on `day`, by membership or through a child.
    #[must_use]
    pub fn groups_seen(&self, profile: &Profile, day: Date) -> BTreeSet<GroupId> {
        let mut members = vec![&profile.id];
        let open = self
            .relations_of_adult(&profile.id)
            .filter(|relation| relation.opens(day));
        let children = open.filter_map(|relation| self.profile(&relation.child));
        members.extend(
            children
                .filter(|child| child.holds(day))
                .map(|child| &child.id),
        );
        let memberships = members
            .into_iter()
            .flat_map(|member| self.memberships_of(member));
        let groups = memberships
            .filter(|membership| membership.sees(day))
            .map(|membership| &membership.group);
        let open = groups.filter_map(|id| self.group(id));
        open.filter(|group| super::day::within(day, group.from, group.until))
            .map(|group| group.id.clone())
            .collect()
    }

    /// The profiles that see a group on `day`: its members, and the adults to whom a relation with a member opens it.
    #[must_use]
    pub fn sees_group(&self, group: &GroupId, day: Date) -> BTreeSet<u32> {
        let mut seen = BTreeSet::new();
        if !self
            .group(group)
            .is_some_and(|group| super::day::within(day, group.from, group.until))
        {
            return seen;
        }
        for membership in self
            .members_of(group)
            .filter(|membership| membership.sees(day))
        {
            if !self
                .profile(&membership.profile)
                .is_some_and(|profile| profile.holds(day))
            {
                continue;
            }
            seen.insert(membership.profile.number());
            for relation in self
                .relations_of_child(&membership.profile)
                .filter(|relation| relation.opens(day))
            {
                if self
                    .profile(&relation.adult)
                    .is_some_and(|adult| adult.holds(day))
                {
                    seen.insert(relation.adult.number());
                }
            }
        }
        seen
    }

    /// All records, each as it is stored.
    #[must_use]
    pub fn records(&self) -> Vec<PeopleRecord> {
        let accounts = self
            .accounts
            .iter()
            .map(|(subject, person)| record::Account {
                subject: subject.clone(),
                person: person.clone(),
            });
        let mut all: Vec<PeopleRecord> =
            self.unit.iter().cloned().map(PeopleRecord::Unit).collect();
        all.extend(self.persons.values().cloned().map(PeopleRecord::Person));
        all.extend(accounts.map(PeopleRecord::Account));
        all.extend(self.profiles.values().cloned().map(PeopleRecord::Profile));
        all.extend(self.relations.values().cloned().map(PeopleRecord::Relation));
        all.extend(self.groups.values().cloned().map(PeopleRecord::Group));
        all.extend(
            self.memberships
                .values()
                .cloned()
                .map(PeopleRecord::Membership),
        );
        all.extend(self.blocks.values().cloned().map(PeopleRecord::Block));
        all.extend(self.inboxes.values().cloned().map(PeopleRecord::Inbox));
        all
    }

    /// Puts a record in, as at load.
    pub fn put(&mut self, record: PeopleRecord) {
        match record {
            PeopleRecord::Unit(unit) => self.unit = Some(unit),
            PeopleRecord::Person(person) => {
                self.names_since_ms = self.names_since_ms.max(person.shown_since_ms);
                self.persons.insert(person.id.clone(), person);
            }
            PeopleRecord::Account(account) => {
                self.remove_account(&account.subject);
                self.subjects_of
                    .entry(account.person.clone())
                    .or_default()
                    .insert(account.subject.clone());
                self.accounts.insert(account.subject, account.person);
            }
            PeopleRecord::Profile(profile) => {
                let number = profile.id.number();
                self.remove_profile(number);
                self.profiles_of
                    .entry(profile.person.clone())
                    .or_default()
                    .insert(number);
                self.profiles.insert(number, profile);
            }
            PeopleRecord::Relation(relation) => {
                let (adult, child) = (relation.adult.number(), relation.child.number());
                self.adults_of.insert((child, adult));
                self.relations.insert((adult, child), relation);
            }
            PeopleRecord::Group(group) => {
                self.groups.insert(group.id.number(), group);
            }
            PeopleRecord::Membership(membership) => {
                let (group, profile) = (membership.group.number(), membership.profile.number());
                self.groups_of.insert((profile, group));
                self.memberships.insert((group, profile), membership);
            }
            PeopleRecord::Block(block) => {
                self.blocks
                    .insert(PeopleRecord::Block(block.clone()).key(), block);
            }
            PeopleRecord::Inbox(inbox) => {
                self.inboxes.insert(inbox.id.number(), inbox);
            }
        }
    }

    fn remove_account(&mut self, subject: &SubjectId) {
        if let Some(person) = self.accounts.remove(subject)
            && let Some(subjects) = self.subjects_of.get_mut(&person)
        {
            subjects.remove(subject);
        }
    }

    fn remove_profile(&mut self, number: u32) {
        if let Some(profile) = self.profiles.remove(&number)
            && let Some(numbers) = self.profiles_of.get_mut(&profile.person)
        {
            numbers.remove(&number);
        }
    }

    /// Takes a deleted record out. Only logins, blocks and inboxes are ever deleted; the rest ends by its dates and stays as a trail.
    fn remove(&mut self, key: &RecordKey) {
        let Some((prefix, rest)) = key.as_str().split_once('/') else {
            return;
        };
        match prefix {
            "account" => {
                if let Ok(subject) = rest.parse() {
                    self.remove_account(&subject);
                }
            }
            "block" => {
                self.blocks.remove(key);
            }
            "inbox" => {
                if let Ok(number) = rest.parse() {
                    self.inboxes.remove(&number);
                }
            }
            _ => {}
        }
    }

    /// The logins whose entitlements a change of the record under `key` can touch, by the state as it is now. Asked
    /// before and after the change, so that both who gains and who loses is found.
    fn touched(&self, key: &RecordKey, out: &mut HashSet<SubjectId>) {
        let mut parts = key.as_str().split('/');
        let prefix = parts.next().unwrap_or_default();
        let first = parts.next().unwrap_or_default();
        let number = first.parse::<u32>().ok();
        let second = parts.next().and_then(|part| part.parse::<u32>().ok());
        match (prefix, number, second) {
            ("unit", ..) => out.extend(self.accounts.keys().cloned()),
            ("account", ..) => out.extend(first.parse::<SubjectId>().ok()),
            ("profile", Some(profile), _) | ("member", _, Some(profile)) => {
                self.touch_around(profile, out);
            }
            ("relation", Some(adult), _) => self.touch_profile(adult, out),
            ("group", Some(group), _) => {
                let members = self.memberships.range((group, 0)..=(group, u32::MAX));
                members.for_each(|((_, profile), _)| self.touch_around(*profile, out));
            }
            _ => {}
        }
    }

    fn touch_profile(&self, number: u32, out: &mut HashSet<SubjectId>) {
        if let Some(profile) = self.profiles.get(&number) {
            out.extend(self.subjects(&profile.person).cloned());
        }
    }

    /// The logins of a profile and of every adult related to it.
    fn touch_around(&self, number: u32, out: &mut HashSet<SubjectId>) {
        self.touch_profile(number, out);
        let adults = self.adults_of.range((number, 0)..=(number, u32::MAX));
        adults.for_each(|(_, adult)| self.touch_profile(*adult, out));
    }
}

impl State for Roster {
    type Change = Change;
    const RESIDENT: &'static [&'static str] = record::RESIDENT;

    fn new(_: &LedgerId) -> Self {
        Self::default()
    }

    fn load(&mut self, key: &RecordKey, value: &[u8]) -> Result<(), Damage> {
        match PeopleRecord::from_json(key, value) {
            Some(Ok(record)) if record.key() == *key => {
                self.put(record);
                Ok(())
            }
            Some(Ok(_)) => Err(Damage {
                reason: "a record of people lies under another's key",
            }),
            Some(Err(_)) => Err(Damage {
                reason: "a record of people does not decode",
            }),
            None => Err(Damage {
                reason: "a resident record is of no known kind",
            }),
        }
    }

    fn apply(&mut self, commit: &Commit) -> Vec<Change> {
        let mut touched = HashSet::new();
        for change in &commit.records {
            let Some(value) = &change.value else {
                self.touched(&change.key, &mut touched);
                self.remove(&change.key);
                continue;
            };
            if let Some(Ok(record)) = PeopleRecord::from_json(&change.key, value) {
                self.touched(&change.key, &mut touched);
                self.put(record);
                self.touched(&change.key, &mut touched);
            }
        }
        let today = super::day::day_at(commit.time_ms);
        let mut touched: Vec<_> = touched.into_iter().collect();
        touched.sort();
        let changes = touched.into_iter().map(|subject| Change::Entitlements {
            word: Word::of(self, &subject, today),
            subject,
        });
        changes.collect()
    }

    fn renewed(&self, before: &Self, now_ms: u64) -> Vec<Change> {
        let today = super::day::day_at(now_ms);
        let all: BTreeSet<_> = self.accounts.keys().chain(before.accounts.keys()).collect();
        let changes = all.into_iter().map(|subject| Change::Entitlements {
            word: Word::of(self, subject, today),
            subject: subject.clone(),
        });
        changes.collect()
    }

    fn resident_bytes(&self) -> usize {
        /// Ids and names of some twenty letters, each an allocation of its own.
        const TEXT: usize = 48;
        /// What a set of one or two takes: a tree's node of its own.
        const SET: usize = 208;
        /// An entry of a map or tree with its share of empty places.
        const fn entry<K, V>() -> usize {
            (size_of::<K>() + size_of::<V>()) * 3 / 2
        }
        let persons = self.persons.len() * (entry::<PersonId, Person>() + 3 * TEXT);
        let accounts = self.accounts.len() * (entry::<SubjectId, PersonId>() + 2 * TEXT);
        let profiles = self.profiles.len() * (entry::<u32, Profile>() + 2 * TEXT);
        let by_person = (self.subjects_of.len() + self.profiles_of.len())
            * (entry::<PersonId, BTreeSet<SubjectId>>() + SET + TEXT);
        let relations = self.relations.len() * entry::<(u32, u32), Relation>()
            + self.adults_of.len() * entry::<(u32, u32), ()>();
        let groups = self.groups.len() * (entry::<u32, Group>() + TEXT);
        let members = self.memberships.len() * entry::<(u32, u32), Membership>()
            + self.groups_of.len() * entry::<(u32, u32), ()>();
        persons + accounts + profiles + by_person + relations + groups + members
    }
}

/// The kind of profile an adult with such a relation has; the import checks it.
#[must_use]
pub(crate) fn adult_kind_fits(kind: RelationKind, adult: &Profile) -> bool {
    kind.adult() == adult.kind
}

/// The channels of the unit as the ledger names them.
pub(crate) mod channel {
    use super::{GroupId, ObjectId, ProfileId, UnitCode};
    use crate::ledger::ChannelName;

    fn name(text: &str) -> ChannelName {
        // Unit codes and numbers are short ASCII, far below the limit of a channel name.
        ChannelName::parse(text).expect("channel names made from ids are always valid")
    }

    /// The personal channel of a profile.
    pub(crate) fn person(id: &ProfileId) -> ChannelName {
        name(&format!("person:{}/p{}", id.unit(), id.number()))
    }

    /// The channel of a group.
    pub(crate) fn group(id: &GroupId) -> ChannelName {
        name(&format!("group:{}/g{}", id.unit(), id.number()))
    }

    /// The channel of a unit.
    pub(crate) fn unit(code: &UnitCode) -> ChannelName {
        name(&format!("unit:{code}"))
    }
}
