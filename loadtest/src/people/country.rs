//! The plan of the country: every institution with how many of whom, and what each municipality has, adding up to the
//! table. A few thousand numbers; the people come later, one municipality at a time.

use super::apportion::{apportion, small};
use super::line::Code;
use super::names;
use super::shape::Shape;
use super::table::{Cells, Row, Scale, Table, Wanted};
use crate::chance::Chance;

/// The first municipality's number. Real municipality codes end at 860.
const FIRST_MUNICIPALITY: u32 = 901;
/// Institutions are numbered through the country.
const FIRST_INSTITUTION: u32 = 10_001;
/// A school with fewer pupils has no leisure centre of its own.
const LEISURE_CENTRE_FROM: u32 = 40;

/// A school.
#[derive(Debug)]
pub(super) struct School {
    pub(super) code: Code,
    pub(super) is_special: bool,
    pub(super) pupils: u32,
    pub(super) leaders: u32,
    pub(super) office: u32,
    pub(super) staff: u32,
    pub(super) external: u32,
    pub(super) leisure_centre: Option<LeisureCentre>,
}

/// A school's leisure centre.
#[derive(Debug)]
pub(super) struct LeisureCentre {
    pub(super) code: Code,
    pub(super) staff: u32,
}

/// A daycare.
#[derive(Debug)]
pub(super) struct Daycare {
    pub(super) code: Code,
    /// Family day care: children up to two, four with each.
    pub(super) is_family: bool,
    pub(super) children: u32,
    pub(super) leaders: u32,
    pub(super) office: u32,
    pub(super) staff: u32,
    pub(super) has_super_user: bool,
}

/// A municipality.
#[derive(Debug)]
pub(super) struct Municipality {
    pub(super) place: usize,
    pub(super) code: Code,
    pub(super) name: String,
    pub(super) schools: Vec<School>,
    pub(super) daycares: Vec<Daycare>,
    /// Town hall staff.
    pub(super) town_hall: Cells,
    /// Super users for administration.
    pub(super) super_users: Cells,
    /// Guardians of pupils, and guardians of daycare children who have no child at school.
    pub(super) guardians: Cells,
}

/// The country.
#[derive(Debug)]
pub(super) struct Country {
    pub(super) seed: u64,
    pub(super) municipalities: Vec<Municipality>,
    pub(super) wanted: Table,
}

/// The purpose of the plan's stream of chance; municipalities have 1 to 98.
const PLAN: u64 = 0;

impl Country {
    /// Plans the country of a seed number.
    pub(super) fn plan(seed: u64, scale: Scale) -> Self {
        let mut chance = Chance::stream(seed, PLAN);
        let wanted = Wanted::at(scale);
        let shape = Shape::at(scale, &wanted, &mut chance);
        let mut country = Self {
            seed,
            municipalities: found(&mut chance, &shape),
            wanted: wanted.table,
        };
        country.staff_schools();
        country.staff_daycares();
        country.share_out(scale);
        country
    }

    fn staff_schools(&mut self) {
        let wanted = &self.wanted;
        let (leaders, office) = (wanted[Row::Leaders], wanted[Row::AdministrativeStaff]);
        let (staff, external) = (wanted[Row::PedagogicalStaff], wanted[Row::ExternalActors]);
        let mut schools: Vec<&mut School> = self
            .municipalities
            .iter_mut()
            .flat_map(|municipality| &mut municipality.schools)
            .collect();
        let size = |school: &School| u64::from(school.pupils);
        share(
            &mut schools,
            leaders.school,
            1,
            |s| size(s) * if s.is_special { 3 } else { 1 },
            |s| &mut s.leaders,
        );
        share(
            &mut schools,
            office.school,
            0,
            |s| size(s) * if s.is_special { 2 } else { 1 },
            |s| &mut s.office,
        );
        share(
            &mut schools,
            external.school,
            0,
            |s| size(s) + 40,
            |s| &mut s.external,
        );
        // Pedagogical staff of the school and of its leisure centre, in thousandths of a pupil (docs/population.md).
        let mut weights = Vec::new();
        let mut minimums = Vec::new();
        for school in &schools {
            weights.push(size(school) * if school.is_special { 600 } else { 125 });
            minimums.push(3);
            weights.push(if school.leisure_centre.is_some() {
                size(school) * 34
            } else {
                0
            });
            minimums.push(school.leisure_centre.is_some().into());
        }
        let shares = apportion(staff.school, &weights, &minimums);
        for (school, share) in schools.iter_mut().zip(shares.chunks(2)) {
            school.staff = small(share[0]);
            match &mut school.leisure_centre {
                Some(centre) => centre.staff = small(share[1]),
                // Remainders go to whoever has weight, so this is nought but for a country of nobody.
                None => school.staff += small(share[1]),
            }
        }
    }

    fn staff_daycares(&mut self) {
        let wanted = &self.wanted;
        let (leaders, office) = (wanted[Row::Leaders], wanted[Row::AdministrativeStaff]);
        let staff = wanted[Row::PedagogicalStaff];
        let mut daycares: Vec<&mut Daycare> = self
            .municipalities
            .iter_mut()
            .flat_map(|municipality| &mut municipality.daycares)
            .collect();
        let size = |daycare: &Daycare| u64::from(daycare.children);
        share(&mut daycares, leaders.daycare, 1, size, |d| &mut d.leaders);
        share(&mut daycares, office.daycare, 0, size, |d| &mut d.office);
        share(&mut daycares, staff.daycare, 2, size, |d| &mut d.staff);
        // One super user for two daycares.
        for (nth, daycare) in daycares.iter_mut().enumerate() {
            daycare.has_super_user = nth % 2 == 1;
        }
    }

    /// What is counted by municipality.
    fn share_out(&mut self, scale: Scale) {
        let (town_hall, super_users) = (
            self.wanted[Row::TownHall],
            self.wanted[Row::SuperUsersAdministration],
        );
        let guardians = self.wanted[Row::Parents];
        // A head of schools, a project leader and a consultant; a head of daycares and a consultant.
        let (in_schools, in_daycares) = if scale.is_whole() { (3, 2) } else { (1, 1) };
        let mut all: Vec<&mut Municipality> = self.municipalities.iter_mut().collect();
        share_cell(
            &mut all,
            town_hall.school,
            in_schools,
            Municipality::pupils,
            |m| &mut m.town_hall.school,
        );
        share_cell(
            &mut all,
            super_users.school,
            1,
            |_| 1,
            |m| &mut m.super_users.school,
        );
        share_cell(&mut all, guardians.school, 0, Municipality::pupils, |m| {
            &mut m.guardians.school
        });
        all.retain(|municipality| !municipality.daycares.is_empty());
        share_cell(
            &mut all,
            town_hall.daycare,
            in_daycares,
            Municipality::children,
            |m| &mut m.town_hall.daycare,
        );
        share_cell(
            &mut all,
            super_users.daycare,
            1,
            |_| 1,
            |m| &mut m.super_users.daycare,
        );
        share_cell(
            &mut all,
            guardians.daycare,
            0,
            Municipality::children,
            |m| &mut m.guardians.daycare,
        );
    }
}

impl Municipality {
    /// Pupils of all its schools.
    pub(super) fn pupils(&self) -> u64 {
        self.schools
            .iter()
            .map(|school| u64::from(school.pupils))
            .sum()
    }

    /// Children of all its daycares.
    pub(super) fn children(&self) -> u64 {
        self.daycares
            .iter()
            .map(|daycare| u64::from(daycare.children))
            .sum()
    }
}

fn share<T>(
    items: &mut [&mut T],
    total: u64,
    minimum: u64,
    weight: impl Fn(&T) -> u64,
    place: impl Fn(&mut T) -> &mut u32,
) {
    let weights: Vec<u64> = items.iter().map(|item| weight(item)).collect();
    let shares = apportion(total, &weights, &vec![minimum; items.len()]);
    for (item, share) in items.iter_mut().zip(shares) {
        *place(item) = small(share);
    }
}

fn share_cell<T>(
    items: &mut [&mut T],
    total: u64,
    minimum: u64,
    weight: impl Fn(&T) -> u64,
    place: impl Fn(&mut T) -> &mut u64,
) {
    let weights: Vec<u64> = items.iter().map(|item| weight(item)).collect();
    let shares = apportion(total, &weights, &vec![minimum; items.len()]);
    for (item, share) in items.iter_mut().zip(shares) {
        *place(item) = share;
    }
}

/// Gives the institutions their codes and kinds.
fn found(chance: &mut Chance, shape: &Shape) -> Vec<Municipality> {
    let mut numbers = [FIRST_INSTITUTION; 4];
    let mut code = |letter: char, kind: usize| {
        let code = Code::new(letter, numbers[kind]);
        numbers[kind] += 1;
        code
    };
    let mut all = Vec::with_capacity(shape.schools.len());
    for place in 0..shape.schools.len() {
        let mut own = Vec::new();
        for (pupils, is_special) in shape.schools[place]
            .iter()
            .map(|pupils| (*pupils, false))
            .chain(
                shape.special_schools[place]
                    .iter()
                    .map(|pupils| (*pupils, true)),
            )
        {
            let has_centre = !is_special && pupils >= LEISURE_CENTRE_FROM;
            own.push(School {
                code: if is_special {
                    code('T', 1)
                } else {
                    code('S', 0)
                },
                is_special,
                pupils,
                leaders: 0,
                office: 0,
                staff: 0,
                external: 0,
                leisure_centre: has_centre.then(|| LeisureCentre {
                    code: code('L', 2),
                    staff: 0,
                }),
            });
        }
        // Two municipalities in three have family day care, as one institution.
        let family = shape.daycares[place].len() > 3 && chance.below(3) > 0;
        let own_daycares = shape.daycares[place]
            .iter()
            .enumerate()
            .map(|(nth, children)| Daycare {
                code: code('D', 3),
                is_family: family && nth == 0,
                children: *children,
                leaders: 0,
                office: 0,
                staff: 0,
                has_super_user: false,
            });
        let own_daycares = own_daycares.collect();
        all.push(Municipality {
            place,
            code: Code::new('M', FIRST_MUNICIPALITY + small(place as u64)),
            name: names::municipality(place),
            schools: own,
            daycares: own_daycares,
            town_hall: Cells::default(),
            super_users: Cells::default(),
            guardians: Cells::default(),
        });
    }
    all
}
