//! What a municipality adds to the counts once all its lines are seen.

use serde::Serialize;

use super::audit::Audit;
use super::line::UnitKind;
use super::seen::Marks;
use super::sizes;
use super::table::{Area, Row, Table};

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

impl Audit {
    /// A municipality is over: what was seen of it becomes counts. In one stream its persons still stand above what follows.
    pub(super) fn settle(&mut self) {
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
