//! An invented municipality in the seed's proportions, the same for the same number, as lines of an import file.
//!
//! Four schools, a leisure centre and five daycares after the implementation plan's model sizes: families with children in several
//! of them, parents apart, protected names, super users, a town hall, external actors. No name is anybody's: all are
//! put together from syllables. Class 2.A of the first school is always there, with 1 teacher, 2 more staff, 24 children
//! and 42 guardians, and the logins of [`CAST`] to try it with.

mod families;
mod names;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use families::Families;
use names::{Chance, person_name};

use super::import::{
    AccountLine, GrantLine, GroupLine, InboxLine, Line, MembershipLine, PersonLine, ProfileLine,
    RelationLine, UnitLine,
};
use super::{
    AdministratorScope, Duty, GroupId, GroupKind, InboxId, MembershipKind, ObjectId, PersonId,
    ProfileId, SubjectId, UnitCode, UnitKind, UserKind,
};

/// Logins of class 2.A and around it that are always there: subject, and who it is.
pub const CAST: [(&str, &str); 9] = [
    ("teacher", "teacher of 2.A"),
    ("pedagogue", "pedagogue of 2.A"),
    ("leader", "leader of the school"),
    (
        "office",
        "administrative employee, looks after the shared inbox",
    ),
    ("parent-1", "guardian of the first child of 2.A"),
    ("parent-2", "the other guardian of the same child"),
    ("pupil", "that child"),
    ("parent-other", "guardian in another class"),
    ("town-hall", "consultant of the municipality"),
];

/// The school of class 2.A.
pub const CLASS_SCHOOL: &str = "G10001";
/// The municipality.
pub const MUNICIPALITY: &str = "M101";

/// Sizes of a school after the seed's models: small, average (twice), large.
struct SchoolSize {
    code: &'static str,
    name: &'static str,
    staff: u32,
    pupils: u32,
    advisers: u32,
    external: u32,
    leaders: u32,
    administrative: u32,
    super_users: u32,
}

const SCHOOLS: [SchoolSize; 4] = [
    SchoolSize {
        code: CLASS_SCHOOL,
        name: "Bakkeskolen",
        staff: 40,
        pupils: 425,
        advisers: 10,
        external: 10,
        leaders: 3,
        administrative: 1,
        super_users: 2,
    },
    SchoolSize {
        code: "G10002",
        name: "Lundeskolen",
        staff: 15,
        pupils: 100,
        advisers: 5,
        external: 3,
        leaders: 2,
        administrative: 1,
        super_users: 1,
    },
    SchoolSize {
        code: "G10003",
        name: "Fjordskolen",
        staff: 40,
        pupils: 425,
        advisers: 10,
        external: 10,
        leaders: 2,
        administrative: 1,
        super_users: 2,
    },
    SchoolSize {
        code: "G10004",
        name: "Enghaveskolen",
        staff: 85,
        pupils: 750,
        advisers: 15,
        external: 18,
        leaders: 4,
        administrative: 2,
        super_users: 3,
    },
];

/// Daycares of an average municipality: 2300 children, 460 staff and 35 leaders in 27.
const DAYCARES: [(&str, &str, UnitKind); 5] = [
    ("G20001", "Mælkevejen", UnitKind::Daycare),
    ("G20002", "Solstrålen", UnitKind::Daycare),
    ("G20003", "Æblehaven", UnitKind::Daycare),
    ("G20004", "Tusindfryd", UnitKind::Daycare),
    ("G20005", "Dagplejen Nord", UnitKind::FamilyDayCare),
];
const DAYCARE_CHILDREN: u32 = 85;
const DAYCARE_STAFF: u32 = 17;
/// The leisure centre of the first school: its youngest classes are there too.
const LEISURE_CENTRE: &str = "G30001";
/// Children of a class; the fixture of the real product has 24.
const CLASS_SIZE: u32 = 24;

/// Writes the municipality as JSON Lines; the same `seed` gives the same bytes.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(seed: u64, mut out: impl Write) -> io::Result<()> {
    for line in lines(seed) {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// The municipality as lines, in an order in which each names only what stands above it.
#[must_use]
pub fn lines(seed: u64) -> Vec<Line> {
    let mut town = Town::new(seed);
    town.units();
    town.town_hall();
    for school in &SCHOOLS {
        town.school(school);
    }
    for (nth, (code, _, _)) in DAYCARES.iter().enumerate() {
        town.daycare(code, nth);
    }
    Families::settle(&mut town);
    town.outsiders();
    town.finish()
}

/// A child looking for a family: where they are enrolled, as profile and person.
struct Child {
    person: PersonId,
    profiles: Vec<ProfileId>,
    /// The district: the school whose families it shares.
    district: usize,
    /// One of the 24 of class 2.A, by place.
    in_class: Option<u32>,
}

/// The municipality in the making; lines are kept apart by type and joined at the end.
struct Town {
    chance: Chance,
    persons: u32,
    numbers: std::collections::BTreeMap<UnitCode, (u32, u32)>,
    head: Vec<Line>,
    accounts: Vec<Line>,
    profiles: Vec<Line>,
    groups: Vec<Line>,
    tail: Vec<Line>,
    children: Vec<Child>,
    town_hall: Vec<PersonId>,
    administrator: Option<PersonId>,
}

pub(super) fn code(text: &str) -> UnitCode {
    text.parse()
        .expect("codes of the sample are constants covered by its test")
}

impl Town {
    fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            persons: 0,
            numbers: std::collections::BTreeMap::new(),
            head: Vec::new(),
            accounts: Vec::new(),
            profiles: Vec::new(),
            groups: Vec::new(),
            tail: Vec::new(),
            children: Vec::new(),
            town_hall: Vec::new(),
            administrator: None,
        }
    }

    fn finish(self) -> Vec<Line> {
        let parts = [
            self.head,
            self.accounts,
            self.profiles,
            self.groups,
            self.tail,
        ];
        parts.into_iter().flatten().collect()
    }

    fn units(&mut self) {
        let mut unit = |code_text: &str, name: &str, kind, parent: Option<&str>| {
            let line = UnitLine {
                code: code(code_text),
                name: name.to_owned(),
                kind,
                parent: parent.map(code),
            };
            self.head.push(Line::Unit(line));
        };
        unit("C1", "Fælles for alle kommuner", UnitKind::Central, None);
        unit(
            MUNICIPALITY,
            "Lillebæk Kommune",
            UnitKind::Municipality,
            Some("C1"),
        );
        for school in &SCHOOLS {
            unit(
                school.code,
                school.name,
                UnitKind::School,
                Some(MUNICIPALITY),
            );
        }
        unit(
            LEISURE_CENTRE,
            "Bakkeskolens SFO",
            UnitKind::LeisureCentre,
            Some(CLASS_SCHOOL),
        );
        for (code_text, name, kind) in DAYCARES {
            unit(code_text, name, kind, Some(MUNICIPALITY));
        }
    }

    /// A new person, with a login unless they are too young; one in a hundred has a protected name.
    fn person(&mut self, subject: Option<&str>, has_login: bool) -> PersonId {
        self.persons += 1;
        let id: PersonId = format!("P{:06}", self.persons)
            .parse()
            .expect("the form is constant");
        let name = person_name(&mut self.chance);
        let protected = subject.is_none() && self.chance.one_in(100);
        let alias = protected.then(|| format!("Beskyttet {}", self.persons));
        self.head.push(Line::Person(PersonLine {
            id: id.clone(),
            name,
            alias,
            protected,
        }));
        if has_login {
            let subject =
                subject.map_or_else(|| format!("u{:06}", self.persons), ToOwned::to_owned);
            let subject: SubjectId = subject.parse().expect("the form is constant");
            self.accounts.push(Line::Account(AccountLine {
                subject,
                person: id.clone(),
            }));
        }
        id
    }

    fn next_profile(&mut self, unit: &UnitCode) -> ProfileId {
        let numbers = self.numbers.entry(unit.clone()).or_default();
        numbers.0 += 1;
        ProfileId::new(unit.clone(), numbers.0)
    }

    fn profile(&mut self, unit: &UnitCode, person: &PersonId, kind: UserKind) -> ProfileId {
        self.profile_with(unit, person, kind, |_| {})
    }

    fn profile_with(
        &mut self,
        unit: &UnitCode,
        person: &PersonId,
        kind: UserKind,
        more: impl FnOnce(&mut ProfileLine),
    ) -> ProfileId {
        let id = self.next_profile(unit);
        let mut line = ProfileLine {
            id: id.clone(),
            person: person.clone(),
            kind,
            scope: None,
            title: None,
            duties: Vec::new(),
            home: None,
            from: None,
            until: None,
        };
        more(&mut line);
        self.profiles.push(Line::Profile(line));
        id
    }

    fn group(&mut self, unit: &UnitCode, name: String, kind: GroupKind) -> GroupId {
        let numbers = self.numbers.entry(unit.clone()).or_default();
        numbers.1 += 1;
        let id = GroupId::new(unit.clone(), numbers.1);
        let main = kind == GroupKind::Class;
        self.groups.push(Line::Group(GroupLine {
            id: id.clone(),
            name,
            kind,
            main,
            from: None,
            until: None,
        }));
        id
    }

    fn member(&mut self, group: &GroupId, profile: &ProfileId) {
        let (group, profile) = (group.clone(), profile.clone());
        let line = MembershipLine {
            group,
            profile,
            kind: MembershipKind::Member,
            from: None,
            until: None,
        };
        self.tail.push(Line::Membership(line));
    }

    fn relation(&mut self, line: RelationLine) {
        self.tail.push(Line::Relation(line));
    }

    /// Head of schools, head of daycares, project leader and two consultants, and the municipality's administrator.
    fn town_hall(&mut self) {
        let municipality = code(MUNICIPALITY);
        let titles = [
            "skolechef",
            "dagtilbudschef",
            "projektleder",
            "skolekonsulent",
            "dagtilbudskonsulent",
        ];
        for title in titles {
            let person = self.person((title == "skolekonsulent").then_some("town-hall"), true);
            self.profile_with(
                &municipality,
                &person,
                UserKind::MunicipalAdministration,
                |line| {
                    line.title = Some(title.to_owned());
                },
            );
            self.town_hall.push(person);
        }
        let administrator = self.person(None, true);
        self.profile_with(
            &municipality,
            &administrator,
            UserKind::SystemAdministrator,
            |line| {
                line.scope = Some(AdministratorScope::Municipality);
            },
        );
        self.administrator = Some(administrator);
        let central = self.person(None, true);
        self.profile_with(
            &code("C1"),
            &central,
            UserKind::SystemAdministrator,
            |line| {
                line.scope = Some(AdministratorScope::Central);
            },
        );
    }

    /// The town hall has a profile in each institution: rights are decided there, from what that unit knows.
    fn visitors(&mut self, unit: &UnitCode) {
        for person in self.town_hall.clone() {
            self.profile_with(unit, &person, UserKind::MunicipalAdministration, |line| {
                line.home = Some(code(MUNICIPALITY));
            });
        }
        if let Some(person) = self.administrator.clone() {
            self.profile_with(unit, &person, UserKind::SystemAdministrator, |line| {
                line.home = Some(code(MUNICIPALITY));
                line.scope = Some(AdministratorScope::Municipality);
            });
        }
    }

    fn school(&mut self, size: &SchoolSize) {
        let unit = code(size.code);
        let is_first = size.code == CLASS_SCHOOL;
        let cast = |subject: &'static str, nth: u32| (is_first && nth == 0).then_some(subject);
        let mut staff: Vec<_> = (0..size.staff)
            .map(|nth| {
                let subject =
                    cast("teacher", nth).or_else(|| (is_first && nth == 1).then_some("pedagogue"));
                let person = self.person(subject, true);
                self.profile_with(&unit, &person, UserKind::PedagogicalStaff, |line| {
                    line.title = Some(if nth % 3 == 0 { "lærer" } else { "pædagog" }.to_owned());
                    if nth < size.super_users {
                        line.duties.push(Duty::SuperUser);
                    }
                })
            })
            .collect();
        let leaders: Vec<_> = (0..size.leaders)
            .map(|nth| {
                let person = self.person(cast("leader", nth), true);
                self.profile(&unit, &person, UserKind::Leader)
            })
            .collect();
        let office = self.office(&unit, size.administrative, is_first);
        for (count, kind) in [
            (size.advisers, UserKind::Adviser),
            (size.external, UserKind::ExternalActor),
            (2, UserKind::TechnicalStaff),
        ] {
            for _ in 0..count {
                let person = self.person(None, true);
                self.profile_with(&unit, &person, kind, |line| {
                    // Clubs and music schools have no unit of their own: the municipality is where they come from.
                    line.home = (kind == UserKind::ExternalActor).then(|| code(MUNICIPALITY));
                });
            }
        }
        self.visitors(&unit);
        self.classes(&unit, size.pupils, &staff);
        staff.extend(leaders.into_iter().chain(office));
        let everyone = self.group(&unit, "Personale".to_owned(), GroupKind::Institutional);
        for member in &staff {
            self.member(&everyone, member);
        }
    }

    /// The secretary is also the school's administrator: one person, two profiles.
    fn office(&mut self, unit: &UnitCode, count: u32, is_first: bool) -> Vec<ProfileId> {
        let mut members = Vec::new();
        for nth in 0..count {
            let person = self.person((is_first && nth == 0).then_some("office"), true);
            members.push(
                self.profile_with(unit, &person, UserKind::AdministrativeStaff, |line| {
                    line.duties.push(Duty::SuperUserAdministration);
                }),
            );
            if nth == 0 {
                self.profile_with(unit, &person, UserKind::SystemAdministrator, |line| {
                    line.scope = Some(AdministratorScope::Institution);
                });
            }
        }
        let inbox = InboxLine {
            id: InboxId::new(unit.clone(), 1),
            name: "Kontoret".to_owned(),
            members: members.clone(),
        };
        self.tail.push(Line::Inbox(inbox));
        members
    }

    fn classes(&mut self, unit: &UnitCode, pupils: u32, staff: &[ProfileId]) {
        let district = SCHOOLS
            .iter()
            .position(|school| school.code == unit.as_str())
            .unwrap_or(0);
        let count = pupils.div_ceil(CLASS_SIZE);
        for nth in 0..count {
            // The first class of the first school is 2.A; the others follow in order of year.
            let is_cast = unit.as_str() == CLASS_SCHOOL && nth == 0;
            let name = if is_cast {
                "2.A".to_owned()
            } else {
                class_name(nth, count)
            };
            let group = self.group(unit, name, GroupKind::Class);
            let first = nth as usize * 3 % staff.len();
            // 2.A has its own three staff; every class has one teacher among three.
            for member in (0..3).map(|k| &staff[(first + k) % staff.len()]) {
                self.member(&group, member);
            }
            let size = CLASS_SIZE.min(pupils - nth * CLASS_SIZE);
            for place in 0..size {
                let person = self.person((is_cast && place == 0).then_some("pupil"), true);
                let profile = self.profile(unit, &person, UserKind::Pupil);
                self.member(&group, &profile);
                let in_class = is_cast.then_some(place);
                let mut profiles = vec![profile];
                // The youngest of the first school are in its leisure centre too.
                if district == 0 && !is_cast && nth <= 4 {
                    profiles.push(self.profile(&code(LEISURE_CENTRE), &person, UserKind::Pupil));
                }
                self.children.push(Child {
                    person,
                    profiles,
                    district,
                    in_class,
                });
            }
        }
    }

    fn daycare(&mut self, code_text: &str, nth: usize) {
        let unit = code(code_text);
        let mut staff = Vec::new();
        for k in 0..DAYCARE_STAFF {
            let person = self.person(None, true);
            // One super user for two daycares.
            let is_super = k == 0 && nth.is_multiple_of(2);
            staff.push(
                self.profile_with(&unit, &person, UserKind::PedagogicalStaff, |line| {
                    line.title = Some("pædagog".to_owned());
                    line.duties.extend(is_super.then_some(Duty::SuperUser));
                }),
            );
        }
        let leader = self.person(None, true);
        self.profile(&unit, &leader, UserKind::Leader);
        self.visitors(&unit);
        let rooms = ["Rød stue", "Blå stue", "Gul stue", "Grøn stue"];
        for (room, name) in (0u32..).zip(rooms) {
            let group = self.group(&unit, name.to_owned(), GroupKind::Class);
            for member in staff.iter().skip(room as usize).step_by(4) {
                self.member(&group, member);
            }
            let from = DAYCARE_CHILDREN * room / 4;
            let to = DAYCARE_CHILDREN * (room + 1) / 4;
            for _ in from..to {
                let person = self.person(None, false);
                let profile = self.profile(&unit, &person, UserKind::DaycareChild);
                self.member(&group, &profile);
                let district = nth % SCHOOLS.len();
                self.children.push(Child {
                    person,
                    profiles: vec![profile],
                    district,
                    in_class: None,
                });
            }
        }
    }

    /// A consultant of a neighbouring municipality who may take part at the first school.
    fn outsiders(&mut self) {
        let person = self.person(None, true);
        let unit = code(CLASS_SCHOOL);
        let id = self.next_profile(&unit);
        let home = code("M202");
        let kind = UserKind::MunicipalAdministration;
        self.profiles.push(Line::Grant(GrantLine {
            id,
            person,
            kind,
            home,
            from: None,
            until: None,
        }));
    }
}

/// Classes in order of year: 0.A, 0.B, 1.A …
fn class_name(nth: u32, count: u32) -> String {
    let years = 10;
    let parallel = count.div_ceil(years).max(1);
    let letter = char::from(b'A' + u8::try_from(nth % parallel).unwrap_or(0));
    // 2.A of the first school is taken by the cast; its namesake is called 2.X.
    let year = nth / parallel;
    if year == 2 && letter == 'A' {
        "2.X".to_owned()
    } else {
        format!("{year}.{letter}")
    }
}
