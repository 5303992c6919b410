//! Who works at schools, leisure centres and daycares.

use std::io;

use super::country::{Daycare, School};
use super::line::{Duty, GroupKind, Scope, UserKind};
use super::town::{More, SchoolAt, Town, UnitAt};

/// Of a thousand teachers, so many teach at a second school.
const AT_TWO_SCHOOLS: u32 = 40;
/// Of a thousand pedagogues of a leisure centre, so many are in the school's lessons too.
const IN_LESSONS_TOO: u32 = 400;
/// Of a thousand pedagogical staff, so many have children at the municipality's schools and daycares.
const WITH_CHILDREN: u32 = 200;
/// One adviser for so many pupils, as the seed's model schools have (100: 5, 425: 10, 750: 15), within these bounds.
const PUPILS_EACH_ADVISER: u32 = 45;
const ADVISERS_MAX: u32 = 15;
/// One of the technical staff for so many pupils.
const PUPILS_EACH_TECHNICIAN: u32 = 300;

/// Super users for administration still to be named: office first, then leaders, then anybody.
struct ToName {
    in_office: u64,
    in_leadership: u64,
    among_staff: u64,
}

impl ToName {
    fn of(wanted: u64, office: u64, leaders: u64) -> Self {
        let in_office = wanted.min(office);
        let in_leadership = (wanted - in_office).min(leaders);
        Self {
            in_office,
            in_leadership,
            among_staff: wanted - in_office - in_leadership,
        }
    }
}

/// Takes one of what is left, if there is one.
const fn take(left: &mut u64) -> bool {
    let some = *left > 0;
    *left -= some as u64;
    some
}

/// The duties of somebody with these two.
fn duties(is_super_user: bool, is_for_administration: bool) -> &'static [Duty] {
    match (is_super_user, is_for_administration) {
        (false, false) => &[],
        (true, false) => &[Duty::Teaching],
        (false, true) => &[Duty::Administration],
        (true, true) => &[Duty::Teaching, Duty::Administration],
    }
}

impl Town<'_> {
    /// The staff of all institutions.
    pub(super) fn institutions_staff(&mut self) -> io::Result<()> {
        let plan = self.plan;
        let sum = |of: fn(&School) -> u32| plan.schools.iter().map(|s| u64::from(of(s))).sum();
        let mut to_name = ToName::of(
            plan.super_users.school,
            sum(|s| s.office),
            sum(|s| s.leaders),
        );
        let mut teachers = Vec::new();
        for (school, at) in plan.schools.iter().zip(self.schools.clone()) {
            self.school_staff(school, at, &mut to_name, &mut teachers)?;
        }
        self.second_schools(&teachers)?;
        let sum = |of: fn(&Daycare) -> u32| plan.daycares.iter().map(|d| u64::from(of(d))).sum();
        let mut to_name = ToName::of(
            plan.super_users.daycare,
            sum(|d| d.office),
            sum(|d| d.leaders),
        );
        for (daycare, at) in plan.daycares.iter().zip(self.daycares.clone()) {
            self.daycare_staff(daycare, at, &mut to_name)?;
        }
        Ok(())
    }

    fn school_staff(
        &mut self,
        school: &School,
        at: SchoolAt,
        to_name: &mut ToName,
        teachers: &mut Vec<(usize, super::line::PersonId)>,
    ) -> io::Result<()> {
        let unit = at.school;
        let mut everyone =
            self.leaders_and_office(unit, school.leaders, school.office, "skoleleder", to_name)?;
        if let Some(centre) = at.leisure_centre {
            self.leisure_centre_staff(school, unit, centre)?;
        }
        let nth_school = self.schools.iter().position(|other| other.school == unit);
        for nth in 0..school.staff {
            let person = self.employee()?;
            let is_teacher = nth % 10 < 7;
            let named = duties(nth < 2, take(&mut to_name.among_staff));
            let more = More {
                title: Some(if is_teacher { "lærer" } else { "pædagog" }),
                duties: named,
                ..More::default()
            };
            let own = self.profile_with(unit, person, UserKind::PedagogicalStaff, more)?;
            self.staff_of(unit).push(own);
            if nth < advisers(school.pupils) {
                self.profile(unit, person, UserKind::Adviser)?;
            }
            if self.chance.per_mille(WITH_CHILDREN) {
                self.staff_parents.push(person);
            }
            if is_teacher && self.chance.per_mille(AT_TWO_SCHOOLS) {
                teachers.push((nth_school.unwrap_or(0), person));
            }
        }
        for _ in 0..1.max(school.pupils / PUPILS_EACH_TECHNICIAN) {
            let person = self.employee()?;
            let more = More {
                title: Some("teknisk serviceleder"),
                ..More::default()
            };
            everyone.push(self.profile_with(unit, person, UserKind::TechnicalStaff, more)?);
        }
        for _ in 0..school.external {
            let person = self.employee()?;
            // Clubs and music schools have no unit of their own: the municipality is where they come from.
            let more = More {
                home: Some(self.plan.code),
                ..More::default()
            };
            self.profile_with(unit, person, UserKind::ExternalActor, more)?;
        }
        everyone.extend(self.staff_of(unit).iter().copied());
        self.staff_group(unit, &everyone)
    }

    /// Leaders and office, with the shared inbox they look after; their profiles. One of them is the institution's administrator.
    fn leaders_and_office(
        &mut self,
        unit: UnitAt,
        leaders: u32,
        office: u32,
        title: &str,
        to_name: &mut ToName,
    ) -> io::Result<Vec<u32>> {
        let mut persons = Vec::new();
        for _ in 0..office {
            let person = self.employee()?;
            let more = More {
                title: Some("sekretær"),
                duties: duties(false, take(&mut to_name.in_office)),
                ..More::default()
            };
            persons.push((
                person,
                self.profile_with(unit, person, UserKind::AdministrativeStaff, more)?,
            ));
        }
        for nth in 0..leaders {
            let person = self.employee()?;
            let more = More {
                title: Some(if nth == 0 { title } else { "afdelingsleder" }),
                duties: duties(false, take(&mut to_name.in_leadership)),
                ..More::default()
            };
            persons.push((
                person,
                self.profile_with(unit, person, UserKind::Leader, more)?,
            ));
        }
        let profiles: Vec<u32> = persons.iter().map(|(_, profile)| *profile).collect();
        if let Some((person, _)) = persons.first() {
            let more = More {
                scope: Some(Scope::Institution),
                ..More::default()
            };
            self.profile_with(unit, *person, UserKind::SystemAdministrator, more)?;
            self.inbox(unit, "Kontoret", &profiles)?;
        }
        Ok(profiles)
    }

    /// The leisure centre's pedagogues; some of them are in lessons too, with a second profile in the school.
    fn leisure_centre_staff(
        &mut self,
        school: &School,
        unit: UnitAt,
        centre: UnitAt,
    ) -> io::Result<()> {
        let staff = school
            .leisure_centre
            .as_ref()
            .map_or(0, |centre| centre.staff);
        for _ in 0..staff {
            let person = self.employee()?;
            let more = More {
                title: Some("pædagog"),
                ..More::default()
            };
            let own = self.profile_with(centre, person, UserKind::PedagogicalStaff, more)?;
            self.staff_of(centre).push(own);
            if self.chance.per_mille(IN_LESSONS_TOO) {
                let there = self.profile_with(unit, person, UserKind::PedagogicalStaff, more)?;
                self.staff_of(unit).push(there);
            }
            if self.chance.per_mille(WITH_CHILDREN) {
                self.staff_parents.push(person);
            }
        }
        let everyone = self.staff_of(centre).clone();
        self.staff_group(centre, &everyone)
    }

    /// Teachers who teach at the next school too.
    fn second_schools(&mut self, teachers: &[(usize, super::line::PersonId)]) -> io::Result<()> {
        if self.schools.len() < 2 {
            return Ok(());
        }
        for (school, person) in teachers {
            let there = self.schools[(school + 1) % self.schools.len()].school;
            let more = More {
                title: Some("lærer"),
                ..More::default()
            };
            let profile = self.profile_with(there, *person, UserKind::PedagogicalStaff, more)?;
            self.staff_of(there).push(profile);
        }
        Ok(())
    }

    fn daycare_staff(
        &mut self,
        daycare: &Daycare,
        unit: UnitAt,
        to_name: &mut ToName,
    ) -> io::Result<()> {
        let mut everyone = self.leaders_and_office(
            unit,
            daycare.leaders,
            daycare.office,
            "daglig leder",
            to_name,
        )?;
        for nth in 0..daycare.staff {
            let person = self.employee()?;
            let title = match (daycare.is_family, nth % 10 < 6) {
                (true, _) => "dagplejer",
                (false, true) => "pædagog",
                (false, false) => "pædagogmedhjælper",
            };
            let more = More {
                title: Some(title),
                duties: duties(
                    nth == 0 && daycare.has_super_user,
                    take(&mut to_name.among_staff),
                ),
                ..More::default()
            };
            let own = self.profile_with(unit, person, UserKind::PedagogicalStaff, more)?;
            self.staff_of(unit).push(own);
            if self.chance.per_mille(WITH_CHILDREN) {
                self.staff_parents.push(person);
            }
        }
        // Every second house has somebody for kitchen and repairs.
        if self.chance.per_mille(500) {
            let person = self.employee()?;
            let more = More {
                title: Some("køkkenassistent"),
                ..More::default()
            };
            everyone.push(self.profile_with(unit, person, UserKind::TechnicalStaff, more)?);
        }
        everyone.extend(self.staff_of(unit).iter().copied());
        self.staff_group(unit, &everyone)
    }

    fn staff_group(&mut self, unit: UnitAt, members: &[u32]) -> io::Result<()> {
        let group = self.group(unit, "Personale", GroupKind::Institutional)?;
        members
            .iter()
            .try_for_each(|member| self.member(unit, group, *member))
    }
}

/// Advisers of a school: teachers with a second profile.
fn advisers(pupils: u32) -> u32 {
    (pupils / PUPILS_EACH_ADVISER).clamp(1, ADVISERS_MAX)
}
