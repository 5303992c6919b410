//! Who of an agent's people can do what: found once, drawn from again and again.

use super::user::User;
use crate::chance::Chance;
use crate::control::Target;
use crate::scenario::Action;
use crate::town::{GroupIx, ProfileIx, Town};

/// Draws before giving up on finding somebody who is online.
const DRAWS: usize = 64;

/// Most recipients of a thread (docs/protocol.md, limits); a large leisure centre has more and is reached by posts.
const RECIPIENTS_MAX: usize = 400;

/// Somebody who can do something: the person, as which profile, and to whom.
#[derive(Debug, Clone, Copy)]
struct Part {
    user: u32,
    by: ProfileIx,
    to: Target,
}

/// All parts, by action.
pub(super) struct Cast {
    parts: [Vec<Part>; Action::ALL.len()],
}

impl Cast {
    /// Goes through the agent's people.
    pub(super) fn new(users: &[User], town: &Town) -> Self {
        let mut cast = Self {
            parts: Default::default(),
        };
        for (nth, user) in (0u32..).zip(users) {
            for by in &town.logins[user.login as usize].profiles {
                let profile = &town.profiles[*by as usize];
                if !profile.takes_part {
                    continue;
                }
                match &*profile.kind {
                    "pedagogical_staff" => cast.staff(nth, *by, user.strong, town),
                    "guardian" => cast.guardian(nth, *by, town),
                    "municipal_administration" if is_municipality(town, *by) => {
                        cast.add(Action::Notice, nth, *by, Target::UnitOf(*by));
                    }
                    _ => {}
                }
            }
        }
        cast
    }

    fn staff(&mut self, user: u32, by: ProfileIx, strong: bool, town: &Town) {
        for group in &town.profiles[by as usize].member_of {
            let found = &town.groups[*group as usize];
            let children = found.members.iter().filter(|it| has_adults(town, **it));
            for child in children {
                let with = |with_sender| Target::Adults {
                    child: *child,
                    with_sender,
                };
                self.add(Action::CheckIn, user, by, with(false));
                if strong {
                    self.add(Action::Sensitive, user, by, with(true));
                }
            }
            if found.is_class && found.seen_by.len() > 1 {
                self.add(Action::ClassPost, user, by, Target::Wall(*group));
                if found.seen_by.len() <= RECIPIENTS_MAX {
                    self.add(Action::Message, user, by, Target::ThreadOf(*group));
                }
            }
        }
    }

    fn guardian(&mut self, user: u32, by: ProfileIx, town: &Town) {
        for group in groups_of_children(town, by) {
            let members = town.groups[group as usize].members.iter();
            let staff = members.filter(|it| {
                let profile = &town.profiles[**it as usize];
                &*profile.kind == "pedagogical_staff" && profile.login.is_some()
            });
            if let Some(one) = staff.min() {
                self.add(Action::Direct, user, by, Target::One(*one));
            }
        }
    }

    fn add(&mut self, action: Action, user: u32, by: ProfileIx, to: Target) {
        self.parts[action as usize].push(Part { user, by, to });
    }

    /// Somebody online who can do it: the person, as which profile, to whom.
    pub(super) fn draw(
        &self,
        action: Action,
        chance: &mut Chance,
        users: &[User],
    ) -> Option<(u32, ProfileIx, Target)> {
        let parts = &self.parts[action as usize];
        (0..DRAWS).find_map(|_| {
            let part = parts.get(chance.place(parts.len()))?;
            let user = &users[part.user as usize];
            (user.wanted && !user.barred).then_some((part.user, part.by, part.to))
        })
    }
}

fn has_adults(town: &Town, child: ProfileIx) -> bool {
    let adults = &town.profiles[child as usize].adults;
    adults
        .iter()
        .any(|it| town.profiles[*it as usize].takes_part)
}

/// Town-hall profiles exist in institutions too; the notice goes to the whole municipality.
fn is_municipality(town: &Town, profile: ProfileIx) -> bool {
    town.municipalities
        .contains(&town.profiles[profile as usize].unit)
}

fn groups_of_children(town: &Town, adult: ProfileIx) -> impl Iterator<Item = GroupIx> + '_ {
    town.profiles[adult as usize]
        .children
        .iter()
        .flat_map(|child| town.profiles[*child as usize].member_of.iter().copied())
}
