//! Counts the table from the lines themselves, and looks whether each refers only to what stands above it.
//!
//! It knows the format and nothing of the plan: what the plan wanted and what came out meet in `check`.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::line::{AnyLine, Duty, LineType, RelationKind, Scope, UnitKind, UserKind};
use super::seen::{Marks, PersonSeen, ProfileSeen, UnitSeen};
use super::sizes::{self, STEPS};
use super::table::{Area, Row, Table};

/// So many faults are shown; their number is counted.
const FAULTS_SHOWN: usize = 10;

/// What was counted besides the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tallies {
    pub(super) persons: u64,
    pub(super) logins: u64,
    pub(super) protected: u64,
    /// Persons who are staff, town hall or external actors in the table, and parents in it too.
    pub(super) staff_and_parent: u64,
    /// Persons with more than one profile.
    pub(super) several_profiles: u64,
    /// Children with a profile in a leisure centre.
    pub(super) in_leisure_centre: u64,
    /// Persons that no row of the table has: technical staff, related and attached persons, and the central body's.
    pub(super) technical_staff: u64,
    pub(super) related_persons: u64,
    pub(super) attached_persons: u64,
    pub(super) central_administrators: u64,
    /// Teachers with a second profile as advisers; they are in the table as teachers.
    pub(super) advisers: u64,
    /// Relations of guardians to children, by unit; those without custody, and of these those given access.
    pub(super) guardian_relations: u64,
    pub(super) without_custody: u64,
    pub(super) given_access: u64,
    /// Classes of folkeskoler, and pupils in them.
    pub(super) classes: u64,
    pub(super) in_classes: u64,
    pub(super) profiles: u64,
    pub(super) relations: u64,
    pub(super) memberships: u64,
    pub(super) leisure_centres: u64,
    pub(super) special_schools: u64,
}

/// Counts, and faults.
#[derive(Debug, Default)]
pub(super) struct Audit {
    units: HashMap<Box<str>, UnitSeen>,
    names: HashMap<Box<str>, u32>,
    persons: Vec<PersonSeen>,
    logins: HashSet<Box<str>>,
    central: HashSet<Box<str>>,
    line: u64,
    pub(super) table: Table,
    pub(super) tallies: Tallies,
    /// Municipalities by number of folkeskoler: one, 3 to 27, 33 to 63, any other.
    pub(super) by_schools: [u64; 4],
    /// Folkeskoler by step of size.
    pub(super) by_size: [u64; STEPS.len()],
    pub(super) faults: u64,
    pub(super) shown: Vec<String>,
}

type Found<T = ()> = Result<T, &'static str>;

impl Audit {
    /// A new file: what stood in another is not above its lines.
    pub(super) fn begin_file(&mut self) {
        self.settle();
        self.units.clear();
        self.names.clear();
        self.persons.clear();
        self.logins.clear();
    }

    /// Takes one line.
    pub(super) fn take(&mut self, line: &[u8]) {
        self.line += 1;
        let fault = match serde_json::from_slice::<AnyLine<'_>>(line) {
            Ok(line) => self.look(&line).err(),
            Err(_) => Some("not a line of the format"),
        };
        if let Some(fault) = fault {
            self.faults += 1;
            if self.shown.len() < FAULTS_SHOWN {
                self.shown.push(format!("line {}: {fault}", self.line));
            }
        }
    }

    /// All lines were taken.
    pub(super) fn finish(&mut self) {
        self.settle();
        self.table.add_up();
    }

    fn look(&mut self, line: &AnyLine<'_>) -> Found {
        match line.of {
            LineType::Unit => self.unit(line),
            LineType::Person => {
                let place = u32::try_from(self.persons.len()).unwrap_or(u32::MAX);
                let mut person = PersonSeen::default();
                if line.protected {
                    person.marks.set(Marks::PROTECTED);
                }
                self.persons.push(person);
                once(self.names.insert(line.id.into(), place).is_none())
            }
            LineType::Account => {
                let new = self.logins.insert(line.subject.into());
                let person = self.person(line.person)?;
                let marks = &mut self.persons[person as usize].marks;
                marks.set(Marks::LOGIN);
                match marks.has(Marks::IN_DAYCARE) {
                    true => Err("a child in daycare has a login"),
                    false => once(new),
                }
            }
            LineType::Profile | LineType::Grant => self.profile(line),
            LineType::Group => {
                let (unit, number) = self.inside(line.id, ".g")?;
                once(unit.groups.insert(number, line.main).is_none())
            }
            LineType::Membership => {
                let (unit, group) = self.inside(line.group, ".g")?;
                let is_main = *unit
                    .groups
                    .get(&group)
                    .ok_or("its group does not stand above")?;
                let (profile, seen) = in_unit(unit, line.group, line.profile)?;
                if is_main && is_child(seen.kind) {
                    unit.in_classes += 1;
                }
                let new = unit.memberships.insert((group, profile));
                self.tallies.memberships += 1;
                once(new)
            }
            LineType::Relation => self.relation(line),
            LineType::Inbox => {
                let (unit, _) = self.inside(line.id, ".i")?;
                let members = line.members.iter();
                members
                    .map(|member| in_unit(unit, line.id, member).map(drop))
                    .collect()
            }
        }
    }

    fn unit(&mut self, line: &AnyLine<'_>) -> Found {
        let kind: UnitKind = word(line.kind)?;
        if kind == UnitKind::Municipality {
            self.settle();
        }
        let parent = match line.parent {
            "" => None,
            parent => Some(
                self.units
                    .get(parent)
                    .ok_or("its parent does not stand above")?
                    .kind,
            ),
        };
        let fits = match (kind, parent) {
            (UnitKind::Central, None)
            | (UnitKind::Municipality, None | Some(UnitKind::Central)) => true,
            (UnitKind::Central | UnitKind::Municipality, _) => false,
            (
                UnitKind::LeisureCentre | UnitKind::Club,
                Some(UnitKind::School | UnitKind::SpecialSchool),
            ) => true,
            (_, parent) => parent == Some(UnitKind::Municipality),
        };
        if !fits {
            return Err("it does not belong under its parent");
        }
        once(
            self.units
                .insert(line.code.into(), UnitSeen::new(kind))
                .is_none(),
        )
    }

    fn person(&self, id: &str) -> Found<u32> {
        self.names
            .get(id)
            .copied()
            .ok_or("its person does not stand above")
    }

    /// The unit an id is in, and its number there.
    fn inside(&mut self, id: &str, letter: &str) -> Found<(&mut UnitSeen, u32)> {
        let (unit, number) = split(id, letter)?;
        let unit = self
            .units
            .get_mut(unit)
            .ok_or("its unit does not stand above")?;
        Ok((unit, number))
    }

    fn profile(&mut self, line: &AnyLine<'_>) -> Found {
        let kind: UserKind = word(line.kind)?;
        let place = self.person(line.person)?;
        let is_grant = line.of == LineType::Grant;
        if !is_grant && !line.home.is_empty() && !self.units.contains_key(line.home) {
            return Err("its home does not stand above");
        }
        let (unit, number) = self.inside(line.id, ".p")?;
        let seen = ProfileSeen {
            person: place,
            kind,
        };
        once(unit.profiles.insert(number, seen).is_none())?;
        let (area, of, is_institution) = (unit.area(), unit.kind, unit.area().is_some());
        if is_child(kind) && unit.counts() {
            unit.children += 1;
        }
        let is_administrator = kind == UserKind::SystemAdministrator;
        if is_administrator != line.scope.is_some() {
            return Err("administrators, and nobody else, have a scope");
        }
        let of_municipality = line.scope == Some(Scope::Municipality);
        let visits = kind == UserKind::MunicipalAdministration || of_municipality;
        if line.home.is_empty() && (kind == UserKind::ExternalActor || (visits && is_institution)) {
            return Err("somebody from outside has no home");
        }
        self.tallies.profiles += 1;
        let marks = &mut self.persons[place as usize].marks;
        if is_grant {
            return Ok(());
        }
        if marks.has(Marks::OWN) {
            marks.set(Marks::SEVERAL_PROFILES);
        }
        marks.set(Marks::OWN);
        for mark in marks_of(kind, of, of_municipality, area) {
            marks.set(mark);
        }
        if let Some(area) = area {
            for duty in &line.duties {
                match duty {
                    Duty::SuperUser => marks.set(Marks::row(Row::SuperUsers, area)),
                    Duty::SuperUserAdministration => {
                        marks.set(Marks::row(Row::SuperUsersAdministration, area));
                    }
                    Duty::SuperUserSupervisor => {}
                }
            }
        }
        match marks.has(Marks::IN_DAYCARE) && marks.has(Marks::LOGIN) {
            true => Err("a child in daycare has a login"),
            false => Ok(()),
        }
    }

    fn relation(&mut self, line: &AnyLine<'_>) -> Found {
        let kind: RelationKind = word(line.kind)?;
        let (unit, adult) = self.inside(line.adult, ".p")?;
        let (_, adult_seen) = in_unit(unit, line.adult, line.adult)?;
        let (child, child_seen) = in_unit(unit, line.adult, line.child)?;
        once(unit.relations.insert((adult, child)))?;
        if adult_seen.kind != kind.adult() || !is_child(child_seen.kind) {
            return Err("the kinds of the profiles do not go with the relation");
        }
        if adult_seen.person == child_seen.person {
            return Err("a person is their own parent");
        }
        self.tallies.relations += 1;
        if kind == RelationKind::Guardian {
            self.tallies.guardian_relations += 1;
            self.tallies.without_custody += u64::from(!line.custody);
            self.tallies.given_access += u64::from(!line.custody && line.access);
            let area = match child_seen.kind {
                UserKind::DaycareChild => Area::Daycare,
                _ => Area::School,
            };
            let marks = &mut self.persons[adult_seen.person as usize].marks;
            marks.set(Marks::row(Row::Parents, area));
        }
        Ok(())
    }

    /// A municipality is over: what was seen of it becomes counts. In one stream its persons still stand above what follows.
    fn settle(&mut self) {
        for (id, place) in &self.names {
            let marks = &mut self.persons[*place as usize].marks;
            if marks.has(Marks::CENTRAL) && self.central.insert(id.clone()) {
                self.tallies.central_administrators += 1;
            }
            if marks.has(Marks::OWN) && !marks.has(Marks::COUNTED) && !marks.has(Marks::CENTRAL) {
                count(*marks, &mut self.table, &mut self.tallies);
                marks.set(Marks::COUNTED);
            }
        }
        let (mut schools, mut any, mut daycares) = (0, false, false);
        for unit in self.units.values_mut().filter(|unit| unit.area().is_some()) {
            match unit.kind {
                UnitKind::School => {
                    schools += 1;
                    let pupils = u32::try_from(unit.children).unwrap_or(u32::MAX);
                    self.by_size[sizes::step_of(pupils)] += 1;
                    self.tallies.classes +=
                        unit.groups.values().filter(|main| **main).count() as u64;
                    self.tallies.in_classes += unit.in_classes;
                }
                UnitKind::SpecialSchool => self.tallies.special_schools += 1,
                UnitKind::LeisureCentre => self.tallies.leisure_centres += 1,
                _ => {}
            }
            if let (Some(area), true) = (unit.area(), unit.counts()) {
                *self.table[Row::Institutions].cell(area) += 1;
                any |= area == Area::School;
                daycares |= area == Area::Daycare;
            }
        }
        self.units.retain(|_, unit| unit.area().is_none());
        self.table[Row::Municipalities].school += u64::from(any);
        self.table[Row::Municipalities].daycare += u64::from(daycares);
        if schools > 0 {
            let (low, high) = sizes::MIDDLE;
            let [.., least] = sizes::LARGEST;
            let [most, ..] = sizes::LARGEST;
            let place = match schools {
                1 => 0,
                n if (low..=high).contains(&n) => 1,
                n if (least..=most).contains(&n) => 2,
                _ => 3,
            };
            self.by_schools[place] += 1;
        }
        // Nobody beyond the town hall is spoken of again.
        let persons = &mut self.persons;
        self.names.retain(|_, place| {
            let marks = persons[*place as usize].marks;
            marks.has(Marks::AT_HALL) || marks.has(Marks::CENTRAL)
        });
    }
}

fn count(marks: Marks, table: &mut Table, tallies: &mut Tallies) {
    let in_row = |row: Row| {
        marks.has(Marks::row(row, Area::School)) || marks.has(Marks::row(row, Area::Daycare))
    };
    tallies.persons += 1;
    for (mark, tally) in [
        (Marks::LOGIN, &mut tallies.logins),
        (Marks::PROTECTED, &mut tallies.protected),
        (Marks::LEISURE, &mut tallies.in_leisure_centre),
        (Marks::SEVERAL_PROFILES, &mut tallies.several_profiles),
        (Marks::TECHNICAL, &mut tallies.technical_staff),
        (Marks::RELATED, &mut tallies.related_persons),
        (Marks::ATTACHED, &mut tallies.attached_persons),
        (Marks::ADVISER, &mut tallies.advisers),
    ] {
        *tally += u64::from(marks.has(mark));
    }
    let works = [
        Row::Leaders,
        Row::AdministrativeStaff,
        Row::TownHall,
        Row::PedagogicalStaff,
        Row::ExternalActors,
    ];
    if in_row(Row::Parents) && works.into_iter().any(in_row) {
        tallies.staff_and_parent += 1;
    }
    for row in Row::ALL.into_iter().skip(3) {
        for area in [Area::School, Area::Daycare] {
            let counts = match (row, area) {
                // Whose child is at school is counted there.
                (Row::Parents, Area::Daycare) => !marks.has(Marks::row(row, Area::School)),
                (Row::TownHall, _) => marks.has(Marks::AT_HALL),
                _ => true,
            };
            if counts && marks.has(Marks::row(row, area)) {
                *table[row].cell(area) += 1;
            }
        }
    }
}

/// What a profile says of its person.
fn marks_of(
    kind: UserKind,
    unit: UnitKind,
    of_municipality: bool,
    area: Option<Area>,
) -> impl Iterator<Item = Marks> {
    let row = match kind {
        UserKind::PedagogicalStaff => Some(Row::PedagogicalStaff),
        UserKind::Pupil | UserKind::DaycareChild => Some(Row::Children),
        UserKind::ExternalActor => Some(Row::ExternalActors),
        UserKind::MunicipalAdministration => Some(Row::TownHall),
        UserKind::Leader => Some(Row::Leaders),
        UserKind::AdministrativeStaff => Some(Row::AdministrativeStaff),
        UserKind::SystemAdministrator if of_municipality => Some(Row::Administrators),
        _ => None,
    };
    let other = match (kind, unit) {
        (UserKind::MunicipalAdministration, UnitKind::Municipality) => Some(Marks::AT_HALL),
        (UserKind::SystemAdministrator, UnitKind::Central) => Some(Marks::CENTRAL),
        (UserKind::Pupil, UnitKind::LeisureCentre) => Some(Marks::LEISURE),
        (UserKind::DaycareChild, _) => Some(Marks::IN_DAYCARE),
        (UserKind::TechnicalStaff, _) => Some(Marks::TECHNICAL),
        (UserKind::RelatedPerson, _) => Some(Marks::RELATED),
        (UserKind::AttachedPerson, _) => Some(Marks::ATTACHED),
        (UserKind::Adviser, _) => Some(Marks::ADVISER),
        _ => None,
    };
    let row = row.zip(area).map(|(row, area)| Marks::row(row, area));
    row.into_iter().chain(other)
}

const fn is_child(kind: UserKind) -> bool {
    matches!(kind, UserKind::Pupil | UserKind::DaycareChild)
}

const fn once(first: bool) -> Found {
    if first {
        Ok(())
    } else {
        Err("the same was said on a line above")
    }
}

fn split<'a>(id: &'a str, letter: &str) -> Found<(&'a str, u32)> {
    let parts = id.split_once(letter);
    let parts = parts.and_then(|(unit, number)| Some((unit, number.parse().ok()?)));
    parts.ok_or("an id of another form")
}

/// A profile that must be in the unit of another id.
fn in_unit(unit: &UnitSeen, id: &str, profile: &str) -> Found<(u32, ProfileSeen)> {
    let (code, number) = split(profile, ".p")?;
    if id.split_once('.').is_none_or(|(own, _)| own != code) {
        return Err("it joins things of different units");
    }
    let seen = unit.profiles.get(&number).copied();
    Ok((number, seen.ok_or("its profile does not stand above")?))
}

fn word<'a, T: Deserialize<'a>>(text: &'a str) -> Found<T> {
    let text = serde::de::value::BorrowedStrDeserializer::<serde::de::value::Error>::new(text);
    T::deserialize(text).map_err(|_| "a word that the format does not have")
}
