//! Reading an import file: line by line, each checked by itself and against what stands above it.

use std::collections::BTreeMap;
use std::io::BufRead;

use hashbrown::HashMap;
use jiff::civil::Date;

use super::line::{Line, ProfileLine, UnitLine};
use crate::ledger::RecordKey;
use crate::people::record::{
    Account, Group, Inbox, Membership, PeopleRecord, Person, Profile, Relation, Unit,
};
use crate::people::roster::adult_kind_fits;
use crate::people::{ObjectId, PersonId, ProfileId, UnitCode, UnitKind, UserKind};

/// Longest line in bytes. A real one has some 200; a longer one is not a line of ours.
pub const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Most lines of a file: the largest municipality has some 400,000; a country comes as one file a municipality.
pub const LINES_MAX: u64 = 2_000_000;
/// Longest name in characters.
const NAME_LENGTH_MAX: usize = 200;

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A line is wrong; nothing of the file was taken.
    #[error("line {line}: {error}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        error: LineError,
    },
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Io(#[from] std::io::Error),
}

/// What is wrong with a line. Never says a name, an id or anything else that stood there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// One line more than [`LINES_MAX`].
    #[error("more than {LINES_MAX} lines")]
    TooMany,
    /// Not UTF-8.
    #[error("not UTF-8")]
    Encoding,
    /// Not a line of a known type with known fields of the right form.
    #[error("not a known type with its fields (at column {0})")]
    Form(usize),
    /// A name is empty or too long.
    #[error("a name has 1 to 200 characters")]
    Name,
    /// Said before.
    #[error("the same was said on a line above")]
    Twice,
    /// Its unit, person, profile or group does not stand above.
    #[error("it names something that does not stand above it")]
    Unknown,
    /// The unit's type does not go under its parent's.
    #[error("a unit of this type does not belong under that parent")]
    Parent,
    /// It joins things of two units.
    #[error("it joins things of different units")]
    Units,
    /// It ends before it begins.
    #[error("it ends before it begins")]
    Dates,
    /// The profiles' kinds do not go with the relation.
    #[error("the kinds of the profiles do not go with the relation")]
    Kinds,
    /// A child in daycare has a login.
    #[error("a child in daycare has no login")]
    DaycareLogin,
    /// A scope without an administrator, or the other way round.
    #[error("a scope and the kind of administrator go together")]
    Scope,
}

/// What a file wants to be true: the records of each unit it names.
#[derive(Debug, Default)]
pub struct Wanted {
    pub(super) units: BTreeMap<UnitCode, BTreeMap<RecordKey, PeopleRecord>>,
    /// How many lines were read.
    pub lines: u64,
}

/// Reads and checks a whole file. `progress` is told the number of lines every thousand lines.
///
/// # Errors
/// The first wrong line, or that the file cannot be read. Nothing has been changed then.
pub fn read(mut file: impl BufRead, mut progress: impl FnMut(u64)) -> Result<Wanted, ReadError> {
    let mut reading = Reading::default();
    let mut buffer = Vec::new();
    let mut number = 0;
    loop {
        buffer.clear();
        number += 1;
        let fault = |error| ReadError::Line {
            line: number,
            error,
        };
        let taken =
            std::io::Read::take(&mut file, LINE_BYTES_MAX + 1).read_until(b'\n', &mut buffer)?;
        if taken == 0 {
            break;
        }
        if taken as u64 > LINE_BYTES_MAX {
            return Err(fault(LineError::TooLong));
        }
        if number > LINES_MAX {
            return Err(fault(LineError::TooMany));
        }
        let text = std::str::from_utf8(&buffer)
            .map_err(|_| fault(LineError::Encoding))?
            .trim();
        if !text.is_empty() {
            let line = serde_json::from_str(text)
                .map_err(|wrong| fault(LineError::Form(wrong.column())))?;
            reading.take(line).map_err(fault)?;
        }
        if number % 1_000 == 0 {
            progress(number);
        }
    }
    Ok(reading.finish(number - 1))
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    wanted: Wanted,
    units: HashMap<UnitCode, Unit>,
    persons: HashMap<PersonId, Known>,
}

/// A person of the file, with what hangs on them.
struct Known {
    person: Person,
    accounts: Vec<Account>,
    in_daycare: bool,
}

impl Reading {
    fn take(&mut self, line: Line) -> Result<(), LineError> {
        match line {
            Line::Unit(line) => self.take_unit(line),
            Line::Person(line) => {
                check_name(&line.name)?;
                line.alias.as_deref().map_or(Ok(()), check_name)?;
                let person = Person {
                    id: line.id.clone(),
                    name: line.name,
                    alias: line.alias,
                    protected: line.protected,
                    shown_since_ms: 0,
                };
                let known = Known {
                    person,
                    accounts: Vec::new(),
                    in_daycare: false,
                };
                once(self.persons.insert(line.id, known).is_none())
            }
            Line::Account(line) => {
                let known = self
                    .persons
                    .get_mut(&line.person)
                    .ok_or(LineError::Unknown)?;
                if known.in_daycare {
                    return Err(LineError::DaycareLogin);
                }
                known.accounts.push(Account {
                    subject: line.subject,
                    person: line.person,
                });
                Ok(())
            }
            Line::Profile(line) => self.take_profile(line, false),
            Line::Grant(line) => {
                let profile = ProfileLine {
                    id: line.id,
                    person: line.person,
                    kind: line.kind,
                    scope: None,
                    title: None,
                    duties: Vec::new(),
                    home: Some(line.home),
                    from: line.from,
                    until: line.until,
                };
                self.take_profile(profile, true)
            }
            Line::Relation(line) => {
                let relation = Relation {
                    adult: line.adult,
                    child: line.child,
                    kind: line.kind,
                    custody: line.custody,
                    access: line.access,
                    ended: None,
                    from: line.from,
                    until: line.until,
                };
                self.take_relation(relation)
            }
            Line::Group(line) => {
                check_name(&line.name)?;
                check_dates(line.from, line.until)?;
                let group = Group {
                    id: line.id,
                    name: line.name,
                    kind: line.kind,
                    main: line.main,
                    from: line.from,
                    until: line.until,
                };
                self.put(&group.id.unit().clone(), PeopleRecord::Group(group))
            }
            Line::Membership(line) => {
                check_dates(line.from, line.until)?;
                let unit = line.group.unit().clone();
                self.profile(&unit, &line.profile)?;
                let group = RecordKey::from(format!("group/{}", line.group.number()));
                if !self
                    .wanted
                    .units
                    .get(&unit)
                    .is_some_and(|records| records.contains_key(&group))
                {
                    return Err(LineError::Unknown);
                }
                let (kind, from, until) = (line.kind, line.from, line.until);
                let membership = Membership {
                    group: line.group,
                    profile: line.profile,
                    kind,
                    from,
                    until,
                };
                self.put(&unit, PeopleRecord::Membership(membership))
            }
            Line::Inbox(line) => {
                check_name(&line.name)?;
                let unit = line.id.unit().clone();
                for member in &line.members {
                    self.profile(&unit, member)?;
                }
                let inbox = Inbox {
                    id: line.id,
                    name: line.name,
                    members: line.members,
                };
                self.put(&unit, PeopleRecord::Inbox(inbox))
            }
        }
    }

    fn take_unit(&mut self, line: UnitLine) -> Result<(), LineError> {
        check_name(&line.name)?;
        let parent = match &line.parent {
            Some(code) => Some(self.units.get(code).ok_or(LineError::Unknown)?),
            None => None,
        };
        if !line.kind.fits_under(parent.map(|parent| parent.kind)) {
            return Err(LineError::Parent);
        }
        let mut ancestors: Vec<UnitCode> = line.parent.iter().cloned().collect();
        ancestors.extend(
            parent
                .into_iter()
                .flat_map(|parent| parent.ancestors.iter().cloned()),
        );
        let municipality = match line.kind {
            UnitKind::Municipality => Some(line.code.clone()),
            _ => parent.and_then(|parent| parent.municipality.clone()),
        };
        let code = line.code.clone();
        let parent = line.parent;
        if let Some(above) = parent.as_ref().and_then(|code| self.units.get_mut(code)) {
            above.children.push(code.clone());
        }
        let (name, kind) = (line.name, line.kind);
        let unit = Unit {
            code: line.code,
            name,
            kind,
            parent,
            ancestors,
            municipality,
            children: Vec::new(),
        };
        self.wanted.units.entry(code.clone()).or_default();
        once(self.units.insert(code, unit).is_none())
    }

    fn take_profile(&mut self, line: ProfileLine, granted: bool) -> Result<(), LineError> {
        check_dates(line.from, line.until)?;
        if (line.kind == UserKind::SystemAdministrator) != line.scope.is_some() {
            return Err(LineError::Scope);
        }
        let home_municipality = match &line.home {
            Some(home) => self
                .units
                .get(home)
                .and_then(|unit| unit.municipality.clone()),
            None => None,
        };
        let known_home = line
            .home
            .as_ref()
            .is_none_or(|home| self.units.contains_key(home));
        if !known_home && !granted {
            return Err(LineError::Unknown);
        }
        let known = self
            .persons
            .get_mut(&line.person)
            .ok_or(LineError::Unknown)?;
        known.in_daycare |= line.kind == UserKind::DaycareChild;
        if line.kind == UserKind::DaycareChild && !known.accounts.is_empty() {
            return Err(LineError::DaycareLogin);
        }
        let unit = line.id.unit().clone();
        let profile = Profile {
            id: line.id,
            person: line.person,
            kind: line.kind,
            scope: line.scope,
            title: line.title,
            duties: line.duties,
            home: line.home,
            home_municipality,
            granted,
            from: line.from,
            until: line.until,
        };
        self.put(&unit, PeopleRecord::Profile(profile))
    }

    fn take_relation(&mut self, relation: Relation) -> Result<(), LineError> {
        check_dates(relation.from, relation.until)?;
        let unit = relation.adult.unit().clone();
        let adult = self.profile(&unit, &relation.adult)?;
        let child = self.profile(&unit, &relation.child)?;
        let is_child = matches!(child.kind, UserKind::Pupil | UserKind::DaycareChild);
        if !is_child || !adult_kind_fits(relation.kind, adult) {
            return Err(LineError::Kinds);
        }
        self.put(&unit, PeopleRecord::Relation(relation))
    }

    fn profile(&self, unit: &UnitCode, id: &ProfileId) -> Result<&Profile, LineError> {
        if id.unit() != unit {
            return Err(LineError::Units);
        }
        let records = self.wanted.units.get(unit).ok_or(LineError::Unknown)?;
        match records.get(&RecordKey::from(format!("profile/{}", id.number()))) {
            Some(PeopleRecord::Profile(profile)) => Ok(profile),
            _ => Err(LineError::Unknown),
        }
    }

    fn put(&mut self, unit: &UnitCode, record: PeopleRecord) -> Result<(), LineError> {
        let records = self.wanted.units.get_mut(unit).ok_or(LineError::Unknown)?;
        once(records.insert(record.key(), record).is_none())
    }

    /// Gives each unit its own record, and the persons and logins of its profiles.
    fn finish(mut self, lines: u64) -> Wanted {
        for (code, records) in &mut self.wanted.units {
            let profiles = records.values().filter_map(|record| match record {
                PeopleRecord::Profile(profile) => Some(&profile.person),
                _ => None,
            });
            let people: Vec<_> = profiles
                .filter_map(|person| self.persons.get(person))
                .collect();
            for known in people {
                let person = PeopleRecord::Person(known.person.clone());
                records.insert(person.key(), person);
                for account in &known.accounts {
                    let account = PeopleRecord::Account(account.clone());
                    records.insert(account.key(), account);
                }
            }
            if let Some(unit) = self.units.get(code) {
                let unit = PeopleRecord::Unit(unit.clone());
                records.insert(unit.key(), unit);
            }
        }
        self.wanted.lines = lines;
        self.wanted
    }
}

const fn once(first: bool) -> Result<(), LineError> {
    if first { Ok(()) } else { Err(LineError::Twice) }
}

fn check_name(name: &str) -> Result<(), LineError> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > NAME_LENGTH_MAX {
        Err(LineError::Name)
    } else {
        Ok(())
    }
}

fn check_dates(from: Option<Date>, until: Option<Date>) -> Result<(), LineError> {
    match (from, until) {
        (Some(from), Some(until)) if until < from => Err(LineError::Dates),
        _ => Ok(()),
    }
}
