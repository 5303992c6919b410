//! The adults of a family: guardians, some of whom are the municipality's staff, custody, and whoever else stands near a child.

use std::io;

use super::children::Child;
use super::families::{Families, Family};
use super::line::{Line, PersonId, RelationKind};
use super::names::NameOf;
use super::town::{Access, Named, Town, UnitAt};

/// Of a thousand second guardians so many have no custody; of the other guardian of protected families more.
const WITHOUT_CUSTODY: u32 = 50;
const WITHOUT_CUSTODY_PROTECTED: u32 = 600;
/// Of a thousand without custody, so many were given access.
const GIVEN_ACCESS: u32 = 500;
/// Of a thousand families, so many have a related person on the platform (a grandparent, a parent's partner), and so many an
/// officially attached one; most related persons were given access.
const WITH_RELATED: u32 = 20;
const RELATED_ACCESS: u32 = 800;
const WITH_ATTACHED: u32 = 5;
/// Of a thousand second guardians, so many share the children's last name.
const SHARED_NAME: u32 = 600;

impl Families {
    /// Writes the adults and what they are to the children.
    pub(super) fn write(&self, town: &mut Town<'_>, children: &[Child]) -> io::Result<()> {
        let mut left: usize = self.0.iter().map(|family| family.guardians).sum();
        for (number, family) in (0..).zip(&self.0) {
            let name = self.name(town, number);
            for nth in 0..family.guardians {
                let (person, custody) = family.guardian(town, nth, name, left)?;
                left -= 1;
                let given = !custody && !family.is_protected && town.chance.per_mille(GIVEN_ACCESS);
                let adult = Adult {
                    person,
                    kind: RelationKind::Guardian,
                    custody,
                    access: given,
                };
                let own = family.children.iter().enumerate();
                let own = own.filter(|(place, _)| family.is_of(nth, *place));
                adult.relate(town, own.map(|(_, child)| &children[*child as usize]))?;
            }
            for (per_mille, kind, access) in [
                (WITH_RELATED, RelationKind::Related, RELATED_ACCESS),
                (WITH_ATTACHED, RelationKind::Attached, 1000),
            ] {
                if town.chance.per_mille(per_mille) {
                    let person = town.number();
                    town.introduce(NameOf::alone(person), Named::Openly, Access::Login)?;
                    let adult = Adult {
                        person,
                        kind,
                        custody: false,
                        access: town.chance.per_mille(access),
                    };
                    adult.relate(
                        town,
                        family
                            .children
                            .iter()
                            .map(|child| &children[*child as usize]),
                    )?;
                }
            }
        }
        Ok(())
    }
}

impl Family {
    /// The `nth` guardian, new or one of the staff, and whether they have custody.
    fn guardian(
        &self,
        town: &mut Town<'_>,
        nth: usize,
        family_name: u32,
        left: usize,
    ) -> io::Result<(PersonId, bool)> {
        let without = match self.is_protected {
            true => WITHOUT_CUSTODY_PROTECTED,
            false => WITHOUT_CUSTODY,
        };
        let custody = nth == 0 || !town.chance.per_mille(without);
        // Staff with children are spread over all families alike.
        let staff = town.staff_parents.len();
        let draw = town
            .chance
            .below(u32::try_from(left.max(1)).unwrap_or(u32::MAX));
        if (draw as usize) < staff
            && let Some(person) = town.staff_parents.pop()
        {
            return Ok((person, custody));
        }
        let person = town.number();
        let shares_name = nth == 0 || (nth == 1 && town.chance.per_mille(SHARED_NAME));
        let name = match shares_name {
            true => NameOf {
                person,
                family: family_name,
            },
            false => NameOf::alone(person),
        };
        let named = match self.is_protected && nth == 0 {
            true => Named::Protected("Forælder"),
            false => Named::Openly,
        };
        town.introduce(name, named, Access::Login)?;
        Ok((person, custody))
    }
}

/// An adult of a family.
struct Adult {
    person: PersonId,
    kind: RelationKind,
    custody: bool,
    access: bool,
}

impl Adult {
    /// Relates the adult to children, with one profile a unit for all children there.
    fn relate<'c>(
        &self,
        town: &mut Town<'_>,
        children: impl Iterator<Item = &'c Child>,
    ) -> io::Result<()> {
        let mut profiles: Vec<(UnitAt, u32)> = Vec::with_capacity(4);
        for child in children {
            let leisure = child.leisure_centre.map(|at| (at, child.leisure_profile));
            for (at, profile) in [(child.unit, child.profile)].into_iter().chain(leisure) {
                let own = match profiles.iter().find(|(unit, _)| *unit == at) {
                    Some((_, own)) => *own,
                    None => {
                        let own = town.profile(at, self.person, self.kind.adult())?;
                        profiles.push((at, own));
                        own
                    }
                };
                town.put(&Line::Relation {
                    adult: town.profile_id(at, own),
                    child: town.profile_id(at, profile),
                    kind: self.kind,
                    custody: self.custody,
                    access: self.access,
                })?;
            }
        }
        Ok(())
    }
}
