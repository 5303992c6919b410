//! Gives every child a family: siblings over school and daycare, one or two parents, parents apart, grandparents.

use std::collections::BTreeMap;

use super::{Child, SCHOOLS, Town};
use crate::people::import::RelationLine;
use crate::people::{ObjectId, PersonId, ProfileId, RelationKind, UnitCode};

/// Children of class 2.A with two guardians; the other six have one: 42 guardians in all.
const CLASS_WITH_TWO: u32 = 18;

pub(super) struct Families;

/// An adult with the profiles they have got so far, one a unit.
struct Adult {
    person: PersonId,
    kind: RelationKind,
    custody: bool,
    access: bool,
    profiles: BTreeMap<UnitCode, ProfileId>,
}

impl Families {
    /// Settles all children of the town.
    pub(super) fn settle(town: &mut Town) {
        let children = std::mem::take(&mut town.children);
        let (class, rest): (Vec<_>, Vec<_>) = children
            .into_iter()
            .partition(|child| child.in_class.is_some());
        for child in class {
            class_family(town, &child);
        }
        for district in 0..SCHOOLS.len() {
            let mut near: Vec<&Child> = rest
                .iter()
                .filter(|child| child.district == district)
                .collect();
            town.chance.shuffle(&mut near);
            let mut near = near.into_iter();
            let mut is_first = district == 0;
            while let Some(child) = near.next() {
                // Half of the pupils have a sibling in school or daycare.
                let siblings = match town.chance.below(100) {
                    0..=59 => 0,
                    60..=92 => 1,
                    _ => 2,
                };
                let mut family = vec![child];
                family.extend(near.by_ref().take(siblings));
                let cast = is_first.then_some("parent-other");
                is_first = false;
                settle_family(town, &family, cast);
            }
        }
    }
}

fn class_family(town: &mut Town, child: &Child) {
    let place = child.in_class.unwrap_or(0);
    let parents = if place < CLASS_WITH_TWO { 2 } else { 1 };
    for nth in 0..parents {
        let subject = match (place, nth) {
            (0, 0) => Some("parent-1"),
            (0, 1) => Some("parent-2"),
            _ => None,
        };
        let mut parent = adult(town, RelationKind::Guardian, subject);
        relate(town, &mut parent, child);
    }
}

fn settle_family(town: &mut Town, family: &[&Child], cast: Option<&str>) {
    let mut adults = vec![adult(town, RelationKind::Guardian, cast)];
    if town.chance.percent(92) {
        let mut second = adult(town, RelationKind::Guardian, None);
        // One in twenty does not have custody; half of those were given access.
        if town.chance.percent(5) {
            second.custody = false;
            second.access = town.chance.percent(50);
        }
        adults.push(second);
    }
    if town.chance.percent(2) {
        adults.push(adult(town, RelationKind::Related, None));
    }
    if town.chance.one_in(200) {
        adults.push(adult(town, RelationKind::Attached, None));
    }
    for adult in &mut adults {
        for child in family {
            relate(town, adult, child);
        }
    }
}

fn adult(town: &mut Town, kind: RelationKind, subject: Option<&str>) -> Adult {
    let person = town.person(subject, true);
    let is_guardian = kind == RelationKind::Guardian;
    Adult {
        person,
        kind,
        custody: is_guardian,
        access: !is_guardian,
        profiles: BTreeMap::new(),
    }
}

/// Relates an adult to a child in each unit where the child is; one profile a unit serves all siblings there.
fn relate(town: &mut Town, adult: &mut Adult, child: &Child) {
    debug_assert_ne!(adult.person, child.person, "nobody is their own parent");
    for profile in &child.profiles {
        let unit = profile.unit();
        let own = match adult.profiles.get(unit) {
            Some(own) => own.clone(),
            None => {
                let own = town.profile(unit, &adult.person, adult.kind.adult());
                adult.profiles.insert(unit.clone(), own.clone());
                own
            }
        };
        town.relation(RelationLine {
            adult: own,
            child: profile.clone(),
            kind: adult.kind,
            custody: adult.custody,
            access: adult.access,
            from: None,
            until: None,
        });
    }
}
