//! Gives every child a family: siblings over classes, schools and daycares, and one to three guardians. Who these are comes in `adults`.

use super::children::Child;
use super::mix::{AT_SCHOOL, Habits, IN_DAYCARE, Mix};
use super::town::{PERSONS_EACH, Town};
use crate::chance::Chance;

/// Of a thousand families, so many live with name protection: the children and one guardian.
const PROTECTED: u32 = 14;
/// Of a thousand children, so many have their siblings in another district.
const ELSEWHERE: u32 = 30;
/// Siblings are seldom of one age: so many children are looked at for one of another.
const LOOK_AHEAD: usize = 8;
/// Children of one family in daycare beside those at school, and how many families are asked before one gets more.
const SMALL_SIBLINGS_MAX: usize = 2;
const FAMILIES_ASKED: usize = 8;

/// A family.
#[derive(Debug, Default)]
pub(super) struct Family {
    /// Places of its children, those at school first.
    pub(super) children: Vec<u32>,
    pub(super) is_protected: bool,
    pub(super) guardians: usize,
    district: u32,
}

/// All families of a municipality.
#[derive(Debug, Default)]
pub(super) struct Families(pub(super) Vec<Family>);

impl Families {
    /// Puts the children of the municipality into families with exactly as many guardians as it is to have.
    pub(super) fn settle(town: &mut Town<'_>, children: &mut [Child]) -> Self {
        let chance = &mut town.chance;
        let mut families = Self::default();
        let places = |is_pupil: bool| {
            let which = (0u32..).zip(children.iter());
            let which = which.filter(move |(_, child)| child.is_pupil() == is_pupil);
            which.map(|(place, _)| place).collect::<Vec<u32>>()
        };
        let (mut pupils, mut small) = (places(true), places(false));
        by_district(&mut pupils, children, chance);
        by_district(&mut small, children, chance);
        // One in three in daycare has a sibling at school, "og dermed ingen forældre" of its own in the table.
        let (with_pupils, alone): (Vec<_>, Vec<_>) = small
            .into_iter()
            .enumerate()
            .partition(|(nth, _)| nth % 3 == 2);
        let rest = |list: Vec<(usize, u32)>| list.into_iter().map(|(_, place)| place).collect();
        let (with_pupils, alone): (Vec<u32>, Vec<u32>) = (rest(with_pupils), rest(alone));
        let wanted = town.plan.guardians;
        families.form(&pupils, children, wanted.school, AT_SCHOOL, chance);
        families.join(&with_pupils, children, chance);
        families.form(&alone, children, wanted.daycare, IN_DAYCARE, chance);
        for (number, family) in (0..).zip(&mut families.0) {
            family.is_protected = chance.per_mille(PROTECTED);
            for child in &family.children {
                children[*child as usize].family = number;
            }
        }
        families
    }

    /// Forms families from children who stand in the order of their districts.
    fn form(
        &mut self,
        places: &[u32],
        children: &[Child],
        guardians: u64,
        habits: Habits,
        chance: &mut Chance,
    ) {
        let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let Some(mix) = Mix::of(count(places.len() as u64), count(guardians), habits) else {
            // The table is missed then, and the check says so.
            return self.0.extend(
                places
                    .iter()
                    .map(|place| Family::of(vec![*place], children)),
            );
        };
        let mut sizes = Vec::new();
        for (size, families) in (1..).zip(mix.sizes) {
            sizes.extend(std::iter::repeat_n(size, families as usize));
        }
        chance.shuffle(&mut sizes);
        let first = self.0.len();
        let mut places = places.to_vec();
        let mut at = 0;
        for size in sizes {
            for nth in 1..size {
                prefer_other_age(&mut places, at, at + nth, children);
            }
            self.0
                .push(Family::of(places[at..at + size].to_vec(), children));
            at += size;
        }
        let several = |place: &usize| self.0[*place].children.len() > 1;
        let (mut several, mut rest): (Vec<usize>, Vec<usize>) =
            (first..self.0.len()).partition(several);
        chance.shuffle(&mut several);
        for place in several.drain(..mix.three as usize) {
            self.0[place].guardians = 3;
        }
        rest.extend(several);
        chance.shuffle(&mut rest);
        for place in rest.drain(..mix.one as usize) {
            self.0[place].guardians = 1;
        }
    }

    /// Joins children in daycare to families of their district that have a child at school.
    fn join(&mut self, places: &[u32], children: &[Child], chance: &mut Chance) {
        let mut near: Vec<Vec<usize>> = Vec::new();
        for (place, family) in self.0.iter().enumerate() {
            let district = family.district as usize;
            if near.len() <= district {
                near.resize_with(district + 1, Vec::new);
            }
            near[district].push(place);
        }
        let all: Vec<usize> = (0..self.0.len()).collect();
        for child in places {
            let district = children[*child as usize].district as usize;
            let near = near
                .get(district)
                .filter(|near| !near.is_empty())
                .unwrap_or(&all);
            let mut asked = 0;
            while let Some(place) =
                near.get(chance.below(u32::try_from(near.len()).unwrap_or(0)) as usize)
            {
                asked += 1;
                let family = &mut self.0[*place];
                let small = family
                    .children
                    .iter()
                    .filter(|it| !children[**it as usize].is_pupil());
                if small.count() < SMALL_SIBLINGS_MAX || asked == FAMILIES_ASKED {
                    family.children.push(*child);
                    break;
                }
            }
        }
    }

    /// The family of a child.
    pub(super) fn of(&self, child: &Child) -> &Family {
        &self.0[child.family as usize]
    }

    /// What the last name of a family is drawn from.
    #[expect(
        clippy::unused_self,
        reason = "a family's name is asked of the families"
    )]
    pub(super) const fn name(&self, town: &Town<'_>, family: u32) -> u32 {
        town.plan.code.number * PERSONS_EACH + family
    }
}

impl Family {
    fn of(places: Vec<u32>, children: &[Child]) -> Self {
        let first = places.first().map(|place| &children[*place as usize]);
        Self {
            is_protected: false,
            guardians: 2,
            district: first.map_or(0, |child| child.district),
            children: places,
        }
    }

    /// Whether the `nth` guardian is one of the child at a place. Half-siblings share the first one; their other
    /// parents have every second child.
    pub(super) const fn is_of(&self, nth: usize, place: usize) -> bool {
        self.guardians < 3 || nth == 0 || place.is_multiple_of(2) == (nth == 1)
    }
}

/// Shuffles children, then orders them by district, but for the few whose siblings live elsewhere.
fn by_district(places: &mut [u32], children: &[Child], chance: &mut Chance) {
    chance.shuffle(places);
    places.sort_by_key(|place| children[*place as usize].district);
    let count = u32::try_from(places.len()).unwrap_or(u32::MAX);
    for place in 0..places.len() {
        if chance.per_mille(ELSEWHERE) {
            places.swap(place, chance.below(count) as usize);
        }
    }
}

/// Puts at `next` a child of another age than the one at `first`, if there is one near.
fn prefer_other_age(places: &mut [u32], first: usize, next: usize, children: &[Child]) {
    let age = |place: usize| children[places[place] as usize].age;
    let last = places.len().min(next + LOOK_AHEAD);
    if let Some(other) = (next..last).find(|other| age(*other) != age(first)) {
        places.swap(next, other);
    }
}
