//! The plan of the country: every institution with how many of whom, and what each municipality has, adding up to the
//! table. A few thousand numbers; the people come later, one municipality at a time.

use super::apportion::apportion;
use super::chance::Chance;
use super::line::Code;
use super::names;
use super::sizes;
use super::table::{
    Cells, DAYCARES, MUNICIPALITIES, Row, SPECIAL_SCHOOLS, Scale, Table, WITH_DAYCARE, Wanted,
};

/// The first municipality's number. Real municipality codes end at 860.
const FIRST_MUNICIPALITY: u32 = 901;
/// Institutions are numbered through the country.
const FIRST_INSTITUTION: u32 = 10_001;
/// A school with fewer pupils has no leisure centre of its own.
const LEISURE_CENTRE_FROM: u32 = 40;

/// Smallest institutions at a scale; the whole country's are as its sizes say.
const SCHOOL_MIN: u64 = 16;
const SPECIAL_SCHOOL_MIN: u64 = 6;
const DAYCARE_MIN: u64 = 6;

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

/// Sizes of one kind of institution, by municipality.
type Sizes = Vec<Vec<u32>>;

impl Country {
    /// Plans the country of a seed number.
    pub(super) fn plan(seed: u64, scale: Scale) -> Self {
        let mut chance = Chance::stream(seed, PLAN);
        let wanted = Wanted::at(scale);
        let children = wanted.table[Row::Children];
        let (schools, special) = whole_schools(&mut chance);
        let daycares = whole_daycares(&mut chance, &schools);
        let (schools, special, daycares) = if scale.is_whole() {
            (schools, special, daycares)
        } else {
            let whole = Table::seed()[Row::Children];
            let in_special: u64 = special.iter().flatten().copied().map(u64::from).sum();
            let in_special = in_special * children.school / whole.school;
            (
                shrink(
                    &schools,
                    wanted.folkeskoler,
                    children.school - in_special,
                    SCHOOL_MIN,
                ),
                shrink(
                    &special,
                    wanted.special_schools,
                    in_special,
                    SPECIAL_SCHOOL_MIN,
                ),
                shrink(&daycares, wanted.daycares, children.daycare, DAYCARE_MIN),
            )
        };
        let mut country = Self {
            seed,
            municipalities: found(&mut chance, &schools, &special, &daycares),
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

/// A count of one institution; they are thousands at most.
fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
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

/// Sizes of the whole country's schools by municipality: folkeskoler, and special schools.
fn whole_schools(chance: &mut Chance) -> (Sizes, Sizes) {
    let counts = sizes::folkeskoler(chance);
    // An island with one school sends its children elsewhere for a special one.
    let weights: Vec<u64> = counts
        .iter()
        .map(|count| if *count == 1 { 0 } else { (*count).into() })
        .collect();
    let special_counts = apportion(SPECIAL_SCHOOLS, &weights, &[0; MUNICIPALITIES]);
    let mut special = sizes::special_schools(chance, SPECIAL_SCHOOLS);
    let in_special: u64 = special.iter().copied().map(u64::from).sum();
    let total = Table::seed()[Row::Children].school;
    let mut schools = sizes::schools(chance, total - in_special);
    // The only school of an island is a small one: the small ones stand first.
    let mut smallest = schools.drain(..sizes::SMALLEST).collect::<Vec<_>>();
    chance.shuffle(&mut schools);
    let mut take = |count: u32| match count {
        1 => smallest.pop().into_iter().collect(),
        count => schools.split_off(schools.len() - count as usize),
    };
    let schools = counts.iter().map(|count| take(*count)).collect();
    let special = special_counts
        .iter()
        .map(|count| special.split_off(special.len() - small(*count) as usize))
        .collect();
    (schools, special)
}

/// Sizes of the whole country's daycares by municipality. Six municipalities have none on the platform.
fn whole_daycares(chance: &mut Chance, schools: &Sizes) -> Sizes {
    let pupils: Vec<u64> = schools
        .iter()
        .map(|schools| schools.iter().copied().map(u64::from).sum())
        .collect();
    // Any but the largest: there is no telling which.
    let mut without: Vec<usize> = (0..schools.len())
        .filter(|place| schools[*place].len() <= sizes::MIDDLE.1 as usize)
        .collect();
    chance.shuffle(&mut without);
    without.truncate(MUNICIPALITIES - WITH_DAYCARE);
    let has = |place: usize| !without.contains(&place);
    let weights: Vec<u64> = (0..schools.len())
        .map(|place| if has(place) { pupils[place] } else { 0 })
        .collect();
    let minimums: Vec<u64> = (0..schools.len()).map(|place| has(place).into()).collect();
    let counts = apportion(DAYCARES, &weights, &minimums);
    // Between 30 and 180 places before they are fitted to the total; the mean is 86.
    let mut draw = || u64::from(30 + chance.below(76) + chance.below(76).min(chance.below(76)));
    let draws: Vec<u64> = (0..DAYCARES).map(|_| draw()).collect();
    let total = Table::seed()[Row::Children].daycare;
    let children = apportion(total, &draws, &vec![0; draws.len()]);
    let mut children = children.into_iter().map(small);
    counts
        .iter()
        .map(|count| children.by_ref().take(small(*count) as usize).collect())
        .collect()
}

/// Fewer and smaller institutions of one kind: every municipality that had one keeps one (but for special schools, whose
/// `count` may be less than their municipalities), and the children of each are in proportion.
fn shrink(whole: &Sizes, count: u64, children: u64, least: u64) -> Sizes {
    let sum = |sizes: &[u32]| sizes.iter().copied().map(u64::from).sum::<u64>();
    let counts: Vec<u64> = whole.iter().map(|sizes| sizes.len() as u64).collect();
    let own = whole.iter().filter(|sizes| !sizes.is_empty()).count() as u64;
    let keeps = |sizes: &Vec<u32>| u64::from(own <= count && !sizes.is_empty());
    let minimums: Vec<u64> = whole.iter().map(keeps).collect();
    let kept = apportion(count, &counts, &minimums);
    // From each municipality small and large ones alike.
    let pick = |(sizes, kept): (&Vec<u32>, &u64)| {
        let mut sorted = sizes.clone();
        sorted.sort_unstable();
        let kept = small(*kept) as usize;
        let at = |nth: usize| sorted[(2 * nth + 1) * sorted.len() / (2 * kept)];
        (0..kept).map(at).collect::<Vec<u32>>()
    };
    let picked: Sizes = whole.iter().zip(&kept).map(pick).collect();
    // What is left of a municipality stands for all of it.
    let weigh = |(sizes, picked): (&Vec<u32>, &Vec<u32>)| {
        let (whole, left) = (sum(sizes), sum(picked).max(1));
        let weight = |size: &u32| u64::from(*size) * whole * 16 / left;
        picked.iter().map(weight).collect::<Vec<_>>()
    };
    let weights: Vec<u64> = whole.iter().zip(&picked).flat_map(weigh).collect();
    let shares = apportion(children, &weights, &vec![least; weights.len()]);
    let mut shares = shares.into_iter().map(small);
    picked
        .iter()
        .map(|picked| shares.by_ref().take(picked.len()).collect())
        .collect()
}

/// Gives the institutions their codes and kinds.
fn found(
    chance: &mut Chance,
    schools: &Sizes,
    special: &Sizes,
    daycares: &Sizes,
) -> Vec<Municipality> {
    let mut numbers = [FIRST_INSTITUTION; 4];
    let mut code = |letter: char, kind: usize| {
        let code = Code::new(letter, numbers[kind]);
        numbers[kind] += 1;
        code
    };
    let mut all = Vec::with_capacity(schools.len());
    for place in 0..schools.len() {
        let mut own = Vec::new();
        for (pupils, is_special) in schools[place]
            .iter()
            .map(|pupils| (*pupils, false))
            .chain(special[place].iter().map(|pupils| (*pupils, true)))
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
        let family = daycares[place].len() > 3 && chance.below(3) > 0;
        let own_daycares = daycares[place]
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
