//! What has been read of an import file so far, and whether the next line fits onto it.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use jiff::civil::Date;

use super::fault::LineError;
use super::line::{AccountLine, Line, MembershipLine, PersonLine, ProfileLine, UnitLine};
use super::read::{MEMBERS_MAX, NAME_LENGTH_MAX, Wanted};
use crate::ledger::RecordKey;
use crate::people::record::{
    Account, Group, Inbox, Membership, PeopleRecord, Person, Profile, Relation, Unit,
};
use crate::people::rights;
use crate::people::roster::adult_kind_fits;
use crate::people::{GroupId, ObjectId, PersonId, ProfileId, UnitCode, UnitKind, UserKind};

/// What has been read so far.
#[derive(Default)]
pub(super) struct Reading {
    wanted: Wanted,
    units: HashMap<UnitCode, Unit>,
    persons: HashMap<PersonId, Known>,
}

/// A person of the file, with what hangs on them.
struct Known {
    person: Person,
    accounts: Vec<Account>,
    in_daycare: bool,
    /// Profiles so far.
    profiles: u32,
}

impl Reading {
    /// Takes one line in, if it fits onto those above.
    pub(super) fn take(&mut self, line: Line, number: u64) -> Result<(), LineError> {
        match line {
            Line::Unit(line) => self.take_unit(line),
            Line::Person(line) => self.take_person(line),
            Line::Account(line) => self.take_account(line, number),
            Line::Profile(line) => self.take_profile(line, false),
            Line::Grant(line) => {
                let profile = ProfileLine {
                    id: line.id,
                    person: line.person,
                    kind: line.kind,
                    scope: None,
                    title: None,
                    duties: Vec::new(),
                    home: Some(line.home),
                    from: line.from,
                    until: line.until,
                };
                self.take_profile(profile, true)
            }
            Line::Relation(line) => self.take_relation(Relation {
                adult: line.adult,
                child: line.child,
                kind: line.kind,
                custody: line.custody,
                access: line.access,
                ended: None,
                from: line.from,
                until: line.until,
                local: None,
            }),
            Line::Group(line) => {
                check_name("name", &line.name)?;
                check_dates(line.from, line.until)?;
                let group = Group {
                    id: line.id,
                    name: line.name,
                    kind: line.kind,
                    main: line.main,
                    from: line.from,
                    until: line.until,
                };
                self.put("id", &group.id.unit().clone(), PeopleRecord::Group(group))
            }
            Line::Membership(line) => self.take_membership(&line),
            Line::Inbox(line) => {
                check_name("name", &line.name)?;
                if line.members.len() > MEMBERS_MAX {
                    return Err(LineError::Members);
                }
                let unit = line.id.unit().clone();
                for member in &line.members {
                    self.profile("members", &unit, member)?;
                }
                let inbox = Inbox {
                    id: line.id,
                    name: line.name,
                    members: line.members,
                    local: None,
                };
                self.put("id", &unit, PeopleRecord::Inbox(inbox))
            }
        }
    }

    fn take_unit(&mut self, line: UnitLine) -> Result<(), LineError> {
        check_name("name", &line.name)?;
        let parent = match &line.parent {
            Some(code) => Some(self.units.get(code).ok_or(LineError::Unknown("parent"))?),
            None => None,
        };
        if !line.kind.fits_under(parent.map(|parent| parent.kind)) {
            return Err(LineError::Parent);
        }
        let mut ancestors: Vec<UnitCode> = line.parent.iter().cloned().collect();
        ancestors.extend(
            parent
                .into_iter()
                .flat_map(|parent| parent.ancestors.iter().cloned()),
        );
        let municipality = match line.kind {
            UnitKind::Municipality => Some(line.code.clone()),
            _ => parent.and_then(|parent| parent.municipality.clone()),
        };
        let code = line.code.clone();
        let parent = line.parent;
        if let Some(above) = parent.as_ref().and_then(|code| self.units.get_mut(code)) {
            above.children.push(code.clone());
        }
        let (name, kind) = (line.name, line.kind);
        let unit = Unit {
            code: line.code,
            name,
            kind,
            parent,
            ancestors,
            municipality,
            children: Vec::new(),
        };
        self.wanted.units.entry(code.clone()).or_default();
        once(self.units.insert(code, unit).is_none())
    }

    fn take_person(&mut self, line: PersonLine) -> Result<(), LineError> {
        check_name("name", &line.name)?;
        check_optional("alias", line.alias.as_deref())?;
        let person = Person {
            id: line.id.clone(),
            name: line.name,
            alias: line.alias,
            protected: line.protected,
            shown_since_ms: 0,
        };
        let known = Known {
            person,
            accounts: Vec::new(),
            in_daycare: false,
            profiles: 0,
        };
        once(self.persons.insert(line.id, known).is_none())
    }

    fn take_account(&mut self, line: AccountLine, number: u64) -> Result<(), LineError> {
        let known = self
            .persons
            .get_mut(&line.person)
            .ok_or(LineError::Unknown("person"))?;
        if known.in_daycare {
            return Err(LineError::DaycareLogin);
        }
        // Whoever signs in with a login is one person; two would read each other's letters.
        match self.wanted.logins.entry(line.subject.clone()) {
            Entry::Occupied(_) if known.accounts.iter().any(|own| own.subject == line.subject) => {
                return Err(LineError::Twice);
            }
            Entry::Occupied(other) => return Err(LineError::LoginTaken((*other.get()).into())),
            Entry::Vacant(free) => free.insert(u32::try_from(number).unwrap_or(u32::MAX)),
        };
        known.accounts.push(Account {
            subject: line.subject,
            person: known.person.id.clone(),
        });
        Ok(())
    }

    fn take_profile(&mut self, line: ProfileLine, granted: bool) -> Result<(), LineError> {
        check_dates(line.from, line.until)?;
        check_optional("title", line.title.as_deref())?;
        if (line.kind == UserKind::SystemAdministrator) != line.scope.is_some() {
            return Err(LineError::Scope);
        }
        let unit = line.id.unit();
        let above = self.units.get(unit).ok_or(LineError::Unknown("id"))?;
        let home = match &line.home {
            Some(home) => Some(self.units.get(home)),
            None => None,
        };
        if home == Some(None) && !granted {
            return Err(LineError::Unknown("home"));
        }
        let home_municipality = home.flatten().and_then(|home| home.municipality.clone());
        let known = self
            .persons
            .get_mut(&line.person)
            .ok_or(LineError::Unknown("person"))?;
        known.profiles += 1;
        known.in_daycare |= line.kind == UserKind::DaycareChild;
        if line.kind == UserKind::DaycareChild && !known.accounts.is_empty() {
            return Err(LineError::DaycareLogin);
        }
        // Ids share their texts with what stands above: a file has each of them several times.
        let profile = Profile {
            id: ProfileId::new(above.code.clone(), line.id.number()),
            person: known.person.id.clone(),
            kind: line.kind,
            scope: line.scope,
            title: line.title,
            duties: line.duties,
            home: line.home,
            home_municipality,
            granted,
            from: line.from,
            until: line.until,
        };
        if profile.home.is_none() && rights::comes_from_outside(above, &profile) {
            return Err(LineError::Home);
        }
        self.put("id", line.id.unit(), PeopleRecord::Profile(profile))
    }

    fn take_relation(&mut self, mut relation: Relation) -> Result<(), LineError> {
        check_dates(relation.from, relation.until)?;
        let unit = relation.adult.unit().clone();
        let adult = self.profile("adult", &unit, &relation.adult)?;
        let child = self.profile("child", &unit, &relation.child)?;
        let is_child = matches!(child.kind, UserKind::Pupil | UserKind::DaycareChild);
        if !is_child || !adult_kind_fits(relation.kind, adult) {
            return Err(LineError::Kinds);
        }
        (relation.adult, relation.child) = (adult.id.clone(), child.id.clone());
        self.put("adult", &unit, PeopleRecord::Relation(relation))
    }

    fn take_membership(&mut self, line: &MembershipLine) -> Result<(), LineError> {
        check_dates(line.from, line.until)?;
        let unit = line.group.unit().clone();
        let profile = self.profile("profile", &unit, &line.profile)?.id.clone();
        let group = RecordKey::from(format!("group/{}", line.group.number()));
        let records = self.wanted.units.get(&unit);
        if !records.is_some_and(|records| records.contains_key(&group)) {
            return Err(LineError::Unknown("group"));
        }
        let membership = Membership {
            group: GroupId::new(profile.unit().clone(), line.group.number()),
            profile,
            kind: line.kind,
            from: line.from,
            until: line.until,
            local: None,
        };
        self.put("group", &unit, PeopleRecord::Membership(membership))
    }

    fn profile(
        &self,
        field: &'static str,
        unit: &UnitCode,
        id: &ProfileId,
    ) -> Result<&Profile, LineError> {
        if id.unit() != unit {
            return Err(LineError::Units);
        }
        let records = self.wanted.units.get(unit);
        let key = RecordKey::from(format!("profile/{}", id.number()));
        match records.and_then(|records| records.get(&key)) {
            Some(PeopleRecord::Profile(profile)) => Ok(profile),
            _ => Err(LineError::Unknown(field)),
        }
    }

    fn put(
        &mut self,
        field: &'static str,
        unit: &UnitCode,
        record: PeopleRecord,
    ) -> Result<(), LineError> {
        let records = self.wanted.units.get_mut(unit);
        let records = records.ok_or(LineError::Unknown(field))?;
        once(records.insert(record.key(), record).is_none())
    }

    /// Gives each unit its own record, and the persons and logins of its profiles. `None` when there is no unit.
    pub(super) fn finish(mut self, lines: u64) -> Option<Wanted> {
        for (code, records) in &mut self.wanted.units {
            let profiles = records.values().filter_map(|record| match record {
                PeopleRecord::Profile(profile) => Some(profile.person.clone()),
                _ => None,
            });
            for person in profiles.collect::<Vec<_>>() {
                let Entry::Occupied(mut known) = self.persons.entry(person) else {
                    continue;
                };
                known.get_mut().profiles -= 1;
                // Most have one profile: nothing is held twice for them.
                let (person, accounts) = if known.get().profiles == 0 {
                    let known = known.remove();
                    (known.person, known.accounts)
                } else {
                    (known.get().person.clone(), known.get().accounts.clone())
                };
                let accounts = accounts.into_iter().map(PeopleRecord::Account);
                let people = std::iter::once(PeopleRecord::Person(person)).chain(accounts);
                records.extend(people.map(|record| (record.key(), record)));
            }
            if let Some(unit) = self.units.get_mut(code) {
                // In the order they are compared in, whatever the order of the lines.
                unit.children.sort_unstable();
                let unit = PeopleRecord::Unit(unit.clone());
                records.insert(unit.key(), unit);
            }
        }
        self.wanted.lines = lines;
        (!self.wanted.units.is_empty()).then_some(self.wanted)
    }
}

const fn once(first: bool) -> Result<(), LineError> {
    if first { Ok(()) } else { Err(LineError::Twice) }
}

fn check_name(field: &'static str, name: &str) -> Result<(), LineError> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > NAME_LENGTH_MAX || name.chars().any(char::is_control) {
        Err(LineError::Name(field))
    } else {
        Ok(())
    }
}

fn check_optional(field: &'static str, name: Option<&str>) -> Result<(), LineError> {
    name.map_or(Ok(()), |name| check_name(field, name))
}

fn check_dates(from: Option<Date>, until: Option<Date>) -> Result<(), LineError> {
    match (from, until) {
        (Some(from), Some(until)) if until < from => Err(LineError::Dates),
        _ => Ok(()),
    }
}
