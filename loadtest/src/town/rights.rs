//! Who may see what, worked out from the lines: docs/import.md says what opens what.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::civil::Date;

use super::read::{Index, Line};
use super::{Group, GroupIx, Login, Profile, ProfileIx, Role, Town, channel_of};

/// A line names something that no line above it introduced.
#[derive(Debug, thiserror::Error)]
#[error("it names something that does not stand above it")]
pub(super) struct Unknown;

/// Lines taken so far.
pub(super) struct Register {
    today: Date,
    /// Unit to its parent.
    parents: HashMap<Box<str>, Option<Box<str>>>,
    municipalities: HashSet<Box<str>>,
    /// Person to login.
    subjects: HashMap<Box<str>, Vec<Box<str>>>,
    /// Person of each profile, by place.
    persons: Vec<Box<str>>,
    profiles: Vec<Profile>,
    by_id: Index,
    groups: Vec<Group>,
    groups_by_id: Index,
    /// Ids that exist but do not hold today.
    over: BTreeSet<Box<str>>,
}

impl Register {
    pub(super) fn new(today: Date) -> Self {
        Self {
            today,
            parents: HashMap::new(),
            municipalities: HashSet::new(),
            subjects: HashMap::new(),
            persons: Vec::new(),
            profiles: Vec::new(),
            by_id: Index::new(),
            groups: Vec::new(),
            groups_by_id: Index::new(),
            over: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self, line: Line) -> Result<(), Unknown> {
        match line {
            Line::Unit { code, kind, parent } => {
                if kind == "municipality" {
                    self.municipalities.insert(code.as_str().into());
                }
                self.parents.insert(code.into(), parent.map(Into::into));
            }
            Line::Person {} | Line::Inbox {} => {}
            Line::Account { subject, person } => {
                let subjects = self.subjects.entry(person.into()).or_default();
                if !subjects.iter().any(|known| **known == *subject) {
                    subjects.push(subject.into());
                }
            }
            Line::Profile {
                id,
                person,
                kind,
                span,
            }
            | Line::Grant {
                id,
                person,
                kind,
                span,
            } => {
                if span.holds(self.today) {
                    self.profile(&id, person, kind)?;
                } else {
                    self.over.insert(id.into());
                }
            }
            Line::Group { id, kind, span } => {
                if span.holds(self.today) {
                    self.group(&id, &kind)?;
                } else {
                    self.over.insert(id.into());
                }
            }
            Line::Membership {
                group,
                profile,
                kind,
                span,
            } => {
                let sees = matches!(kind.as_str(), "member" | "indirect") && span.holds(self.today);
                let group = self.known(&self.groups_by_id, &group)?;
                let profile = self.known(&self.by_id, &profile)?;
                if let (true, Some(group), Some(profile)) = (sees, group, profile) {
                    self.groups[group as usize].members.push(profile);
                    self.profiles[profile as usize].member_of.push(group);
                }
            }
            Line::Relation {
                adult,
                child,
                kind,
                custody,
                access,
                span,
            } => {
                let opens = (access || (custody && kind == "guardian")) && span.holds(self.today);
                let adult = self.known(&self.by_id, &adult)?;
                let child = self.known(&self.by_id, &child)?;
                if let (true, Some(adult), Some(child)) = (opens, adult, child) {
                    self.profiles[child as usize].adults.push(adult);
                    self.profiles[adult as usize].children.push(child);
                }
            }
        }
        Ok(())
    }

    /// The place of an id; `None` for one that is over.
    fn known(&self, index: &Index, id: &str) -> Result<Option<u32>, Unknown> {
        match index.get(id) {
            Some(place) => Ok(Some(*place)),
            None if self.over.contains(id) => Ok(None),
            None => Err(Unknown),
        }
    }

    fn profile(&mut self, id: &str, person: String, kind: String) -> Result<(), Unknown> {
        let (unit, _) = id.split_once('.').ok_or(Unknown)?;
        let place = u32::try_from(self.profiles.len()).map_err(|_| Unknown)?;
        self.by_id.insert(id.into(), place);
        self.persons.push(person.into());
        self.profiles.push(Profile {
            id: id.into(),
            kind: kind.into(),
            unit: unit.into(),
            login: None,
            takes_part: false,
            adults: Vec::new(),
            children: Vec::new(),
            member_of: Vec::new(),
        });
        Ok(())
    }

    fn group(&mut self, id: &str, kind: &str) -> Result<(), Unknown> {
        let (unit, _) = id.split_once('.').ok_or(Unknown)?;
        let place = u32::try_from(self.groups.len()).map_err(|_| Unknown)?;
        self.groups_by_id.insert(id.into(), place);
        self.groups.push(Group {
            id: id.into(),
            unit: unit.into(),
            is_class: kind == "class",
            members: Vec::new(),
            seen_by: Vec::new(),
        });
        Ok(())
    }

    pub(super) fn finish(mut self, digest: String) -> Town {
        let opened: BTreeSet<ProfileIx> = self
            .profiles
            .iter()
            .flat_map(|child| child.adults.iter().copied())
            .collect();
        for (place, profile) in (0u32..).zip(self.profiles.iter_mut()) {
            profile.takes_part = match &*profile.kind {
                "daycare_child" => false,
                "guardian" | "related_person" | "attached_person" => opened.contains(&place),
                _ => true,
            };
        }
        for group in &mut self.groups {
            let mut seen: BTreeSet<ProfileIx> = group.members.iter().copied().collect();
            for member in &group.members {
                seen.extend(&self.profiles[*member as usize].adults);
            }
            group.seen_by = seen.into_iter().collect();
        }
        let mut units: HashMap<Box<str>, Vec<ProfileIx>> = HashMap::new();
        for (place, profile) in (0u32..).zip(&self.profiles) {
            if profile.takes_part {
                for unit in self.upwards(&profile.unit) {
                    units.entry(unit).or_default().push(place);
                }
            }
        }
        let logins = self.logins();
        Town {
            logins,
            profiles: self.profiles,
            groups: self.groups,
            units,
            municipalities: self.municipalities,
            digest,
        }
    }

    /// A unit and all above it: their walls are seen from it.
    fn upwards(&self, unit: &str) -> Vec<Box<str>> {
        let mut all = vec![Box::from(unit)];
        let mut at = self.parents.get(unit).cloned().flatten();
        while let Some(parent) = at {
            at = self.parents.get(&parent).cloned().flatten();
            all.push(parent);
        }
        all
    }

    fn logins(&mut self) -> Vec<Login> {
        let mut held: HashMap<&str, Vec<ProfileIx>> = HashMap::new();
        for (place, person) in (0u32..).zip(&self.persons) {
            held.entry(person).or_default().push(place);
        }
        let mut groups_seen: HashMap<ProfileIx, Vec<GroupIx>> = HashMap::new();
        for (place, group) in (0u32..).zip(&self.groups) {
            for profile in &group.seen_by {
                groups_seen.entry(*profile).or_default().push(place);
            }
        }
        let mut named: Vec<(&str, &str)> = self
            .subjects
            .iter()
            .flat_map(|(person, subjects)| subjects.iter().map(|it| (&**it, &**person)))
            .collect();
        named.sort_unstable();
        let mut logins = Vec::with_capacity(named.len());
        let mut owners = Vec::new();
        for (subject, person) in named {
            let mine = held.get(person).cloned().unwrap_or_default();
            let place = u32::try_from(logins.len()).unwrap_or(u32::MAX);
            owners.extend(mine.iter().map(|profile| (*profile, place)));
            let role = mine
                .iter()
                .map(|profile| role_of(&self.profiles[*profile as usize].kind))
                .min();
            let mut channels = BTreeSet::new();
            for profile in &mine {
                self.channels_of(*profile, groups_seen.get(profile), &mut channels);
            }
            logins.push(Login {
                subject: subject.into(),
                role: role.unwrap_or(Role::Other),
                profiles: mine.into(),
                channels: channels.into_iter().map(Into::into).collect(),
            });
        }
        for (profile, login) in owners {
            self.profiles[profile as usize].login = Some(login);
        }
        logins
    }

    fn channels_of(
        &self,
        place: ProfileIx,
        groups: Option<&Vec<GroupIx>>,
        into: &mut BTreeSet<String>,
    ) {
        let profile = &self.profiles[place as usize];
        if &*profile.kind == "daycare_child" {
            return;
        }
        into.insert(channel_of("person", &profile.id));
        if !profile.takes_part {
            return;
        }
        for group in groups.into_iter().flatten() {
            into.insert(channel_of("group", &self.groups[*group as usize].id));
        }
        for unit in self.upwards(&profile.unit) {
            into.insert(format!("unit:{unit}"));
        }
    }
}

fn role_of(kind: &str) -> Role {
    match kind {
        "guardian" | "related_person" | "attached_person" => Role::Guardian,
        "pupil" | "daycare_child" => Role::Pupil,
        "external_actor" => Role::Other,
        _ => Role::Staff,
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use std::io::Write as _;

    const TODAY: jiff::civil::Date = jiff::civil::date(2026, 11, 27);

    fn town(lines: &str) -> super::Town {
        let mut file = tempfile::NamedTempFile::with_suffix(".jsonl").expect("a file");
        file.write_all(lines.as_bytes()).expect("written");
        read(&[file.path().to_owned()], TODAY).expect("the lines are of the format")
    }

    const LINES: &str = r#"
{"type":"unit","code":"M101","name":"Kommunen","kind":"municipality"}
{"type":"unit","code":"G1","name":"Skolen","kind":"school","parent":"M101"}
{"type":"person","id":"P1","name":"A"}
{"type":"person","id":"P2","name":"B"}
{"type":"person","id":"P3","name":"C"}
{"type":"person","id":"P4","name":"D"}
{"type":"account","subject":"child","person":"P1"}
{"type":"account","subject":"mother","person":"P2"}
{"type":"account","subject":"father","person":"P3"}
{"type":"account","subject":"teacher","person":"P4"}
{"type":"profile","id":"G1.p1","person":"P1","kind":"pupil"}
{"type":"profile","id":"G1.p2","person":"P2","kind":"guardian"}
{"type":"profile","id":"G1.p3","person":"P3","kind":"guardian"}
{"type":"profile","id":"G1.p4","person":"P4","kind":"pedagogical_staff"}
{"type":"profile","id":"G1.p5","person":"P4","kind":"leader","until":"2026-11-26"}
{"type":"group","id":"G1.g1","name":"2.A","kind":"class","main":true}
{"type":"membership","group":"G1.g1","profile":"G1.p1","kind":"member"}
{"type":"membership","group":"G1.g1","profile":"G1.p4","kind":"member"}
{"type":"relation","adult":"G1.p2","child":"G1.p1","kind":"guardian","custody":true}
{"type":"relation","adult":"G1.p3","child":"G1.p1","kind":"guardian","custody":false}
"#;

    #[test]
    fn custody_opens_and_being_a_parent_does_not() {
        let town = town(LINES);
        let channels = |subject: &str| {
            let login = town.logins.iter().find(|login| &*login.subject == subject);
            login.expect("named").channels.join(" ")
        };
        assert_eq!(
            channels("mother"),
            "group:G1/g1 person:G1/p2 unit:G1 unit:M101"
        );
        assert_eq!(channels("father"), "person:G1/p3");
        assert_eq!(
            channels("teacher"),
            "group:G1/g1 person:G1/p4 unit:G1 unit:M101"
        );
        assert_eq!(town.groups[0].seen_by.len(), 3);
        assert_eq!(town.units["M101"].len(), 3);
    }

    #[test]
    fn what_names_nothing_above_is_refused_with_its_line() {
        let mut file = tempfile::NamedTempFile::with_suffix(".jsonl").expect("a file");
        file.write_all(b"\n{\"type\":\"membership\",\"group\":\"G1.g1\",\"profile\":\"G1.p1\",\"kind\":\"member\"}\n")
            .expect("written");
        let refused = read(&[file.path().to_owned()], TODAY).expect_err("nothing stands above");
        assert!(refused.to_string().contains("line 2"), "{refused}");
    }
}
