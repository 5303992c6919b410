//! Children with their school or daycare, class or room, and age; families come afterwards.

use std::io;

use super::country::{Daycare, School};
use super::families::Families;
use super::line::{GroupKind, PersonId, UserKind};
use super::names::NameOf;
use super::town::{Access, Named, Town, UnitAt};
use crate::chance::Chance;

/// Children of a class; the seed's fixture of a class has 24.
const CLASS_SIZE: u32 = 24;
/// Children of a group in a special school.
const SPECIAL_CLASS_SIZE: u32 = 8;
/// Children of a room, up to two years and from three on, and with one family day carer.
const NURSERY_SIZE: u32 = 12;
const KINDERGARTEN_SIZE: u32 = 22;
const FAMILY_SIZE: u32 = 4;
/// Levels of a school, 0 to 9; one with few pupils ends with level 6.
const LEVELS: u32 = 10;
const LEVELS_SMALL: u32 = 7;
const SMALL_SCHOOL: u32 = 100;
/// Age in level 0.
const SCHOOL_AGE: u32 = 6;
/// Levels 0 to 3 go to the leisure centre, of a thousand so many.
const LEISURE_LEVEL_MAX: u32 = 3;
const LEISURE: u32 = 780;
/// Staff of a class or room, as in the fixture.
const STAFF_EACH: usize = 3;

const COLOURS: [&str; 8] = [
    "Rød", "Blå", "Gul", "Grøn", "Orange", "Lilla", "Hvid", "Brun",
];

/// A child.
#[derive(Debug)]
pub(super) struct Child {
    /// Its place among the classes.
    class: u32,
    pub(super) unit: UnitAt,
    pub(super) leisure_centre: Option<UnitAt>,
    pub(super) age: u32,
    /// Whose families it is of: those of one folkeskole and the daycares near it.
    pub(super) district: u32,
    pub(super) family: u32,
    pub(super) person: PersonId,
    /// Its profiles, once they are written.
    pub(super) profile: u32,
    pub(super) leisure_profile: u32,
}

/// A class, room, or group of a special school.
#[derive(Debug)]
struct Class {
    unit: UnitAt,
    name: String,
    staff: usize,
}

/// All children of a municipality, class by class.
#[derive(Debug, Default)]
pub(super) struct Roll {
    classes: Vec<Class>,
    pub(super) children: Vec<Child>,
}

impl Child {
    pub(super) const fn is_pupil(&self) -> bool {
        self.age >= SCHOOL_AGE
    }
}

/// How many classes of about a size.
fn classes(children: u32, size: u32) -> u32 {
    ((children + size / 2) / size).max(1)
}

impl Roll {
    /// Gives every place of the municipality to a child.
    pub(super) fn call(town: &mut Town<'_>) -> Self {
        let mut roll = Self::default();
        let plan = town.plan;
        let districts = plan
            .schools
            .iter()
            .filter(|school| !school.is_special)
            .count();
        let districts = u32::try_from(districts).unwrap_or(1);
        for ((school, at), nth) in plan.schools.iter().zip(&town.schools).zip(0..) {
            let before = roll.children.len();
            if school.is_special {
                roll.special_school(school, at.school);
            } else {
                roll.school(school, at.school, &mut town.chance);
            }
            for child in &mut roll.children[before..] {
                // Pupils of a special school come from everywhere.
                child.district = match school.is_special {
                    true => town.chance.below(districts),
                    false => nth,
                };
                let level = child.age - SCHOOL_AGE;
                if level <= LEISURE_LEVEL_MAX && town.chance.per_mille(LEISURE) {
                    child.leisure_centre = at.leisure_centre;
                }
            }
        }
        let daycares = u32::try_from(plan.daycares.len()).unwrap_or(1);
        for ((daycare, at), nth) in plan.daycares.iter().zip(&town.daycares).zip(0..) {
            let before = roll.children.len();
            roll.daycare(daycare, *at);
            for child in &mut roll.children[before..] {
                child.district = nth * districts / daycares;
            }
        }
        roll
    }

    fn school(&mut self, school: &School, unit: UnitAt, chance: &mut Chance) {
        let count = classes(school.pupils, CLASS_SIZE);
        let levels = match school.pupils {
            0..=SMALL_SCHOOL => LEVELS_SMALL,
            _ => LEVELS,
        };
        // Which years have two classes where others have one differs from school to school.
        let shift = chance.below(1000);
        let (mut level_before, mut letter) = (levels, b'A');
        for nth in 0..count {
            let size = part(school.pupils, nth, count);
            let first = if count < levels {
                nth * levels / count
            } else {
                (nth * 1000 + shift) * levels / (count * 1000)
            };
            let last = match count < levels {
                true => (nth + 1) * levels / count - 1,
                false => first,
            };
            letter = if first == level_before {
                letter + 1
            } else {
                b'A'
            };
            level_before = first;
            let name = match first == last {
                true => format!("{first}.{}", char::from(letter)),
                false => format!("{first}.-{last}."),
            };
            self.class(
                unit,
                name,
                size,
                (first + SCHOOL_AGE, last + SCHOOL_AGE),
                STAFF_EACH,
            );
        }
    }

    fn special_school(&mut self, school: &School, unit: UnitAt) {
        let count = classes(school.pupils, SPECIAL_CLASS_SIZE);
        for nth in 0..count {
            let size = part(school.pupils, nth, count);
            let (first, last) = (nth * LEVELS / count, (nth + 1) * LEVELS / count);
            let ages = (
                first + SCHOOL_AGE,
                last.clamp(first + 1, LEVELS) - 1 + SCHOOL_AGE,
            );
            self.class(unit, format!("Gruppe {}", nth + 1), size, ages, STAFF_EACH);
        }
    }

    fn daycare(&mut self, daycare: &Daycare, unit: UnitAt) {
        if daycare.is_family {
            let count = classes(daycare.children, FAMILY_SIZE);
            for nth in 0..count {
                let size = part(daycare.children, nth, count);
                self.class(unit, format!("Dagpleje {}", nth + 1), size, (0, 2), 1);
            }
            return;
        }
        let youngest = daycare.children / 2;
        for (word, children, size, ages) in [
            ("Vuggestue", youngest, NURSERY_SIZE, (0, 2)),
            (
                "Børnehave",
                daycare.children - youngest,
                KINDERGARTEN_SIZE,
                (3, 5),
            ),
        ] {
            let count = classes(children, size);
            for nth in 0..count {
                let colour = COLOURS[nth as usize % COLOURS.len()];
                let name = match nth as usize / COLOURS.len() {
                    0 => format!("{word} {colour}"),
                    again => format!("{word} {colour} {}", again + 1),
                };
                self.class(unit, name, part(children, nth, count), ages, STAFF_EACH);
            }
        }
    }

    fn class(&mut self, unit: UnitAt, name: String, size: u32, ages: (u32, u32), staff: usize) {
        let class = u32::try_from(self.classes.len()).unwrap_or(u32::MAX);
        self.classes.push(Class { unit, name, staff });
        for nth in 0..size {
            let age = ages.0 + nth * (ages.1 - ages.0 + 1) / size;
            self.children.push(Child {
                class,
                unit,
                leisure_centre: None,
                age,
                district: 0,
                family: 0,
                person: PersonId(0),
                profile: 0,
                leisure_profile: 0,
            });
        }
    }

    /// Writes classes, children and their staff.
    pub(super) fn write(&mut self, town: &mut Town<'_>, families: &Families) -> io::Result<()> {
        let (mut class_now, mut group) = (u32::MAX, 0);
        // The leisure centre's group of a year; children come year by year.
        let mut leisure: Option<(UnitAt, u32, u32)> = None;
        let mut classes_here = (None, 0);
        for child in &mut self.children {
            if child.class != class_now {
                class_now = child.class;
                let class = &self.classes[class_now as usize];
                if classes_here.0 != Some(class.unit) {
                    classes_here = (Some(class.unit), 0);
                }
                group = class.open(town, classes_here.1)?;
                classes_here.1 += class.staff;
            }
            child.write(town, families)?;
            town.member(child.unit, group, child.profile)?;
            if let Some(centre) = child.leisure_centre {
                let group = match leisure {
                    Some((at, age, group)) if (at, age) == (centre, child.age) => group,
                    _ => leisure_group(town, centre, child.age - SCHOOL_AGE)?,
                };
                leisure = Some((centre, child.age, group));
                town.member(centre, group, child.leisure_profile)?;
            }
        }
        Ok(())
    }
}

impl Class {
    /// Writes the class with its staff, who are the next ones of the unit from the `nth` on.
    fn open(&self, town: &mut Town<'_>, nth: usize) -> io::Result<u32> {
        let group = town.group(self.unit, &self.name, GroupKind::Class)?;
        let staff = town.staff_of(self.unit);
        let next = |k: usize| staff[(nth + k) % staff.len()];
        let some: Vec<u32> = (0..self.staff.min(staff.len())).map(next).collect();
        for profile in some {
            town.member(self.unit, group, profile)?;
        }
        Ok(group)
    }
}

/// A leisure centre's group of a level, with its part of the staff: all of them together would be more than one thread
/// reaches.
fn leisure_group(town: &mut Town<'_>, centre: UnitAt, level: u32) -> io::Result<u32> {
    let group = town.group(centre, &format!("SFO {level}. klasse"), GroupKind::Class)?;
    let parts = LEISURE_LEVEL_MAX as usize + 1;
    let staff = town.staff_of(centre).clone();
    let step = if staff.len() < parts { 1 } else { parts };
    let first = if step == 1 { 0 } else { level as usize };
    for profile in staff.iter().skip(first).step_by(step) {
        town.member(centre, group, *profile)?;
    }
    Ok(group)
}

/// The `nth` of `count` nearly equal parts.
const fn part(whole: u32, nth: u32, count: u32) -> u32 {
    whole * (nth + 1) / count - whole * nth / count
}

impl Child {
    fn write(&mut self, town: &mut Town<'_>, families: &Families) -> io::Result<()> {
        let family = families.of(self);
        self.person = town.number();
        let name = NameOf {
            person: self.person,
            family: families.name(town, self.family),
        };
        let (word, access, kind) = match self.is_pupil() {
            true => ("Elev", Access::Login, UserKind::Pupil),
            // A child in daycare never signs in.
            false => ("Barn", Access::None, UserKind::DaycareChild),
        };
        let named = match family.is_protected {
            true => Named::Protected(word),
            false => Named::Openly,
        };
        town.introduce(name, named, access)?;
        self.profile = town.profile(self.unit, self.person, kind)?;
        if let Some(centre) = self.leisure_centre {
            self.leisure_profile = town.profile(centre, self.person, kind)?;
        }
        Ok(())
    }
}
