//! Counts the table from the lines themselves, and looks whether each refers only to what stands above it.
//!
//! It knows the format and nothing of the plan: what the plan wanted and what came out meet in `check`.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::line::{AnyLine, Duty, LineType, RelationKind, Scope, UnitKind, UserKind};
use super::seen::{Marks, PersonSeen, ProfileSeen, UnitSeen};
use super::sizes::STEPS;
use super::table::{Area, Row, Table};
use super::tally::Tallies;

/// So many faults are shown; their number is counted.
const FAULTS_SHOWN: usize = 10;

/// Counts, and faults.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub(super) units: HashMap<Box<str>, UnitSeen>,
    pub(super) names: HashMap<Box<str>, u32>,
    pub(super) persons: Vec<PersonSeen>,
    logins: HashSet<Box<str>>,
    pub(super) central: HashSet<Box<str>>,
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
                let mut members = line.members.iter();
                members.try_for_each(|member| in_unit(unit, line.id, member).map(drop))
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
        // The central body stands in every file, and is one.
        self.tallies.profiles += u64::from(of != UnitKind::Central);
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
                    Duty::Teaching => marks.set(Marks::row(Row::SuperUsers, area)),
                    Duty::Administration => {
                        marks.set(Marks::row(Row::SuperUsersAdministration, area));
                    }
                    Duty::Supervision => {}
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
