//! How large every institution is, by municipality: the whole country's, and what is left of it at a scale.

use super::apportion::{apportion, small};
use super::sizes;
use super::table::{
    DAYCARES, MUNICIPALITIES, Row, SPECIAL_SCHOOLS, Scale, Table, WITH_DAYCARE, Wanted,
};
use crate::chance::Chance;

/// Smallest institutions at a scale; the whole country's are as its sizes say.
const SCHOOL_MIN: u64 = 16;
const SPECIAL_SCHOOL_MIN: u64 = 6;
const DAYCARE_MIN: u64 = 6;

/// Sizes of one kind of institution, by municipality.
type Sizes = Vec<Vec<u32>>;

/// Sizes of all institutions.
pub(super) struct Shape {
    pub(super) schools: Sizes,
    pub(super) special_schools: Sizes,
    pub(super) daycares: Sizes,
}

impl Shape {
    /// The country at a scale.
    pub(super) fn at(scale: Scale, wanted: &Wanted, chance: &mut Chance) -> Self {
        let (schools, special_schools) = whole_schools(chance);
        let daycares = whole_daycares(chance, &schools);
        if scale.is_whole() {
            return Self {
                schools,
                special_schools,
                daycares,
            };
        }
        let (whole, children) = (Table::seed()[Row::Children], wanted.table[Row::Children]);
        let in_special: u64 = special_schools
            .iter()
            .flatten()
            .copied()
            .map(u64::from)
            .sum();
        let in_special = in_special * children.school / whole.school;
        let in_schools = children.school - in_special;
        Self {
            schools: shrink(&schools, wanted.folkeskoler, in_schools, SCHOOL_MIN),
            special_schools: shrink(
                &special_schools,
                wanted.special_schools,
                in_special,
                SPECIAL_SCHOOL_MIN,
            ),
            daycares: shrink(&daycares, wanted.daycares, children.daycare, DAYCARE_MIN),
        }
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
