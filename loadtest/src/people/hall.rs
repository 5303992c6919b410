//! The town hall: who works there, where they look in, and who comes from the neighbours; and the central body.

use std::io;

use super::line::{Code, Duty, GroupKind, Line, PersonId, Profile, Scope, UserKind};
use super::names::NameOf;
use super::town::{Access, CENTRAL, More, Named, PERSONS_EACH, TOWN_HALL, Town, UnitAt};

/// Administrators of the central body.
const CENTRAL_ADMINISTRATORS: u32 = 2;
/// The central body's persons are numbered below those of the first municipality.
const CENTRAL_PERSONS: u32 = 900 * PERSONS_EACH;
/// Consultants who look in at one institution, beside the heads.
const CONSULTANTS_EACH: usize = 3;

const SCHOOL_TITLES: [&str; 3] = ["skolechef", "projektleder", "skolekonsulent"];
const DAYCARE_TITLES: [&str; 2] = ["dagtilbudschef", "dagtilbudskonsulent"];

impl Town<'_> {
    /// The central body's administrators, the same in every file.
    pub(super) fn central(&mut self) -> io::Result<()> {
        for nth in 1..=CENTRAL_ADMINISTRATORS {
            let person = PersonId(CENTRAL_PERSONS + nth);
            self.introduce(NameOf::alone(person), Named::Openly, Access::Login)?;
            self.put(&Line::Profile(Profile {
                id: CENTRAL.object('p', nth),
                person,
                kind: UserKind::SystemAdministrator,
                scope: Some(Scope::Central),
                title: None,
                duties: &[],
                home: None,
            }))?;
        }
        Ok(())
    }

    /// Heads and consultants, each with a profile in the institutions where they look in: rights are decided there. One of
    /// each area is the municipality's administrator for it.
    pub(super) fn town_hall(&mut self) -> io::Result<()> {
        let group = self.group(TOWN_HALL, "Forvaltningen", GroupKind::Municipal)?;
        let in_schools: Vec<UnitAt> = self.schools.iter().map(|at| at.school).collect();
        let count = self.plan.town_hall.school;
        self.area(group, count, &SCHOOL_TITLES, &in_schools)?;
        let in_daycares = self.daycares.clone();
        let count = self.plan.town_hall.daycare;
        self.area(group, count, &DAYCARE_TITLES, &in_daycares)
    }

    fn area(
        &mut self,
        group: u32,
        count: u64,
        titles: &[&str],
        institutions: &[UnitAt],
    ) -> io::Result<()> {
        let home = Some(self.plan.code);
        let (Some(last), Ok(count)) = (titles.last(), usize::try_from(count)) else {
            return Ok(());
        };
        // The project leader for schools, the consultant for daycares; the head where there is nobody else.
        let administrator = 1.min(count.saturating_sub(1));
        let heads = titles.len() - 1;
        let consultants = count.saturating_sub(heads);
        for nth in 0..count {
            let person = self.employee()?;
            let title = Some(*titles.get(nth).unwrap_or(last));
            let duties: &[Duty] = match nth == administrator {
                true => &[Duty::Supervision],
                false => &[],
            };
            let kind = UserKind::MunicipalAdministration;
            let more = More {
                title,
                duties,
                ..More::default()
            };
            let own = self.profile_with(TOWN_HALL, person, kind, more)?;
            self.member(TOWN_HALL, group, own)?;
            let more = More {
                title,
                home,
                ..More::default()
            };
            for (place, at) in institutions.iter().enumerate() {
                if nth < heads || looks_in(nth - heads, place, consultants) {
                    self.profile_with(*at, person, kind, more)?;
                }
            }
            if nth == administrator {
                self.administrator(person, institutions)?;
            }
        }
        Ok(())
    }

    fn administrator(&mut self, person: PersonId, institutions: &[UnitAt]) -> io::Result<()> {
        let kind = UserKind::SystemAdministrator;
        let scope = Some(Scope::Municipality);
        let more = More {
            scope,
            ..More::default()
        };
        self.profile_with(TOWN_HALL, person, kind, more)?;
        let more = More {
            home: Some(self.plan.code),
            ..more
        };
        for at in institutions {
            self.profile_with(*at, person, kind, more)?;
        }
        Ok(())
    }

    /// A consultant of the neighbouring municipality who may take part at the first school.
    pub(super) fn outsiders(&mut self) -> io::Result<()> {
        let (Some(neighbour), Some(school)) = (self.neighbour, self.schools.first().copied())
        else {
            return Ok(());
        };
        let person = consultant_of(neighbour.code, neighbour.town_hall.school);
        // In one stream they stand above already, at home.
        if !self.is_one_stream() {
            self.introduce(NameOf::alone(person), Named::Openly, Access::Login)?;
        }
        let number = self.next_profile(school.school);
        self.put(&Line::Grant {
            id: self.profile_id(school.school, number),
            person,
            kind: UserKind::MunicipalAdministration,
            home: neighbour.code,
        })
    }
}

/// Whether a consultant looks in at the institution at a place: a few of them at each, all of them somewhere.
const fn looks_in(consultant: usize, place: usize, consultants: usize) -> bool {
    (consultant + consultants - place % consultants) % consultants < CONSULTANTS_EACH
}

/// The last of the first three of the town hall, whose numbers are the municipality's first.
fn consultant_of(municipality: Code, in_schools: u64) -> PersonId {
    let nth = u32::try_from(in_schools.min(3)).unwrap_or(1);
    PersonId(municipality.number * PERSONS_EACH + nth)
}
