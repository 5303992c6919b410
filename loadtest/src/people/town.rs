//! One municipality being written: its units with their counters, and how a person, profile or group becomes lines.

use std::io;

use super::children::Roll;
use super::country::Municipality;
use super::families::Families;
use super::line::{
    Code, Duty, GroupKind, Line, Login, MembershipKind, ObjectId, PersonId, Profile, Scope,
    UnitKind, UserKind,
};
use super::names::{self, NameOf};
use super::sink::Sink;
use crate::chance::Chance;

/// The body over all municipalities; every file begins with it.
pub(super) const CENTRAL: Code = Code::new('C', 1);
/// Numbers of persons that one municipality has for itself.
pub(super) const PERSONS_EACH: u32 = 1_000_000;

/// A unit, with the last numbers given in it.
struct Unit {
    code: Code,
    profiles: u32,
    groups: u32,
}

/// A unit of the municipality, by its place among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnitAt(usize);

/// The municipality itself.
pub(super) const TOWN_HALL: UnitAt = UnitAt(0);

/// Where a school is, and its leisure centre.
#[derive(Debug, Clone, Copy)]
pub(super) struct SchoolAt {
    pub(super) school: UnitAt,
    pub(super) leisure_centre: Option<UnitAt>,
}

/// What a profile has beside its kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct More<'a> {
    pub(super) scope: Option<Scope>,
    pub(super) title: Option<&'a str>,
    pub(super) duties: &'a [Duty],
    pub(super) home: Option<Code>,
}

/// How somebody is called who may not be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Openly,
    /// Protected; the word stands before a number: "Elev 4711".
    Protected(&'static str),
}

/// Whether somebody signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Login,
    None,
}

/// The municipality being written.
pub(super) struct Town<'a> {
    pub(super) seed: u64,
    pub(super) plan: &'a Municipality,
    pub(super) neighbour: Option<&'a Municipality>,
    pub(super) chance: Chance,
    out: &'a mut Sink,
    persons: u32,
    units: Vec<Unit>,
    pub(super) schools: Vec<SchoolAt>,
    pub(super) daycares: Vec<UnitAt>,
    /// Pedagogical staff by unit: who looks after its classes and rooms.
    pub(super) staff: Vec<Vec<u32>>,
    /// Staff who have children here.
    pub(super) staff_parents: Vec<PersonId>,
    name: String,
    alias: String,
}

/// Writes a municipality; its neighbour is the one before it, if there is one.
pub(super) fn write(
    seed: u64,
    plan: &Municipality,
    neighbour: Option<&Municipality>,
    out: &mut Sink,
) -> io::Result<()> {
    let purpose = plan.place as u64 + 1;
    let mut town = Town {
        seed,
        plan,
        neighbour,
        chance: Chance::stream(seed, purpose),
        out,
        persons: plan.code.number * PERSONS_EACH,
        units: Vec::new(),
        schools: Vec::new(),
        daycares: Vec::new(),
        staff: Vec::new(),
        staff_parents: Vec::new(),
        name: String::new(),
        alias: String::new(),
    };
    town.begin()?;
    town.town_hall()?;
    town.institutions_staff()?;
    let mut roll = Roll::call(&mut town);
    let families = Families::settle(&mut town, &mut roll.children);
    roll.write(&mut town, &families)?;
    families.write(&mut town, &roll.children)?;
    town.outsiders()
}

impl Town<'_> {
    /// The units, those above before those below.
    fn begin(&mut self) -> io::Result<()> {
        if self.out.begin(self.plan.code)? {
            self.out.put(&Line::Unit {
                code: CENTRAL,
                name: "Fælles for alle kommuner",
                kind: UnitKind::Central,
                parent: None,
            })?;
            self.central()?;
        }
        let plan = self.plan;
        let municipality = plan.code;
        self.unit(municipality, &plan.name, UnitKind::Municipality, CENTRAL)?;
        for school in &plan.schools {
            let (ending, kind) = match school.is_special {
                true => ("skolen, specialskole", UnitKind::SpecialSchool),
                false => ("skolen", UnitKind::School),
            };
            let name = names::institution(&mut self.chance, ending);
            let at = self.unit(school.code, &name, kind, municipality)?;
            let leisure_centre = match &school.leisure_centre {
                Some(centre) => {
                    let name = format!("{name}s SFO");
                    Some(self.unit(centre.code, &name, UnitKind::LeisureCentre, school.code)?)
                }
                None => None,
            };
            self.schools.push(SchoolAt {
                school: at,
                leisure_centre,
            });
        }
        for daycare in &plan.daycares {
            let (ending, kind) = match daycare.is_family {
                true => (" dagpleje", UnitKind::FamilyDayCare),
                false => (" børnehus", UnitKind::Daycare),
            };
            let name = names::institution(&mut self.chance, ending);
            let at = self.unit(daycare.code, &name, kind, municipality)?;
            self.daycares.push(at);
        }
        Ok(())
    }

    fn unit(&mut self, code: Code, name: &str, kind: UnitKind, parent: Code) -> io::Result<UnitAt> {
        self.out.put(&Line::Unit {
            code,
            name,
            kind,
            parent: Some(parent),
        })?;
        self.units.push(Unit {
            code,
            profiles: 0,
            groups: 0,
        });
        self.staff.push(Vec::new());
        Ok(UnitAt(self.units.len() - 1))
    }

    /// The next person's number.
    pub(super) const fn number(&mut self) -> PersonId {
        self.persons += 1;
        PersonId(self.persons)
    }

    /// A new person with a login and a name of their own; three in a thousand are protected.
    pub(super) fn employee(&mut self) -> io::Result<PersonId> {
        let person = self.number();
        let named = match self.chance.per_mille(3) {
            true => Named::Protected("Medarbejder"),
            false => Named::Openly,
        };
        self.introduce(NameOf::alone(person), named, Access::Login)?;
        Ok(person)
    }

    /// The lines of a person.
    pub(super) fn introduce(&mut self, of: NameOf, named: Named, access: Access) -> io::Result<()> {
        let person = of.person;
        of.write(self.seed, &mut self.name);
        let alias = match named {
            Named::Openly => None,
            Named::Protected(word) => {
                use std::fmt::Write as _;
                self.alias.clear();
                let number = self.chance.between(1_000, 9_999);
                write!(self.alias, "{word} {number}").map_err(io::Error::other)?;
                Some(self.alias.as_str())
            }
        };
        self.out.put(&Line::Person {
            id: person,
            name: &self.name,
            alias,
            protected: alias.is_some(),
        })?;
        if access == Access::Login {
            self.out.put(&Line::Account {
                subject: Login(person),
                person,
            })?;
        }
        Ok(())
    }

    /// A profile of a kind; its number in the unit.
    pub(super) fn profile(
        &mut self,
        at: UnitAt,
        person: PersonId,
        kind: UserKind,
    ) -> io::Result<u32> {
        self.profile_with(at, person, kind, More::default())
    }

    pub(super) fn profile_with(
        &mut self,
        at: UnitAt,
        person: PersonId,
        kind: UserKind,
        more: More<'_>,
    ) -> io::Result<u32> {
        let number = self.next_profile(at);
        self.out.put(&Line::Profile(Profile {
            id: self.profile_id(at, number),
            person,
            kind,
            scope: more.scope,
            title: more.title,
            duties: more.duties,
            home: more.home,
        }))?;
        Ok(number)
    }

    pub(super) fn next_profile(&mut self, at: UnitAt) -> u32 {
        let unit = &mut self.units[at.0];
        unit.profiles += 1;
        unit.profiles
    }

    pub(super) fn profile_id(&self, at: UnitAt, number: u32) -> ObjectId {
        self.units[at.0].code.object('p', number)
    }

    /// A group of a unit; its number there.
    pub(super) fn group(&mut self, at: UnitAt, name: &str, kind: GroupKind) -> io::Result<u32> {
        let unit = &mut self.units[at.0];
        unit.groups += 1;
        let number = unit.groups;
        self.out.put(&Line::Group {
            id: unit.code.object('g', number),
            name,
            kind,
            main: kind == GroupKind::Class,
        })?;
        Ok(number)
    }

    pub(super) fn member(&mut self, at: UnitAt, group: u32, profile: u32) -> io::Result<()> {
        let code = self.units[at.0].code;
        self.out.put(&Line::Membership {
            group: code.object('g', group),
            profile: code.object('p', profile),
            kind: MembershipKind::Member,
        })
    }

    /// A shared inbox of a unit, the only one it has.
    pub(super) fn inbox(&mut self, at: UnitAt, name: &str, members: &[u32]) -> io::Result<()> {
        let code = self.units[at.0].code;
        let members: Vec<ObjectId> = members.iter().map(|n| code.object('p', *n)).collect();
        self.out.put(&Line::Inbox {
            id: code.object('i', 1),
            name,
            members: &members,
        })
    }

    /// Staff of a unit, by profile.
    pub(super) fn staff_of(&mut self, at: UnitAt) -> &mut Vec<u32> {
        &mut self.staff[at.0]
    }

    /// Any other line.
    pub(super) fn put(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.out.put(line)
    }

    /// Whether all municipalities go into one stream, in which nothing is said twice.
    pub(super) const fn is_one_stream(&self) -> bool {
        self.out.is_one_stream()
    }
}
