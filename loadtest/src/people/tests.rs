//! The population as a whole: the table, what hangs on what, and the proportions that are written down.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::audit::Audit;
use super::check::Report;
use super::country::{Country, Municipality};
use super::mix::{AT_SCHOOL, IN_DAYCARE, Mix};
use super::sink::{Sink, Target, Written, folder};
use super::table::{Cells, Row, Scale, Table};
use super::write;

fn scale(text: &str) -> Scale {
    text.parse().expect("a scale")
}

fn counted(seed: u64, at: &str) -> (Audit, Written, String) {
    let country = Country::plan(seed, scale(at));
    let sink = Sink::new(Target::Nowhere, Some(Audit::default()));
    let (written, digest, audit) = write(&country, sink, |_| {}).expect("nowhere takes everything");
    (audit.expect("it was asked for"), written, digest)
}

/// The whole of what goes into one stream.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stream(seed: u64, at: &str) -> (String, Audit) {
    let memory = Memory::default();
    let sink = Sink::new(
        Target::Stream(Box::new(memory.clone())),
        Some(Audit::default()),
    );
    let (_, _, audit) =
        write(&Country::plan(seed, scale(at)), sink, |_| {}).expect("memory takes it");
    let bytes = std::mem::take(&mut *memory.0.lock().expect("one thread"));
    let text = String::from_utf8(bytes).expect("lines are UTF-8");
    (text, audit.expect("it was asked for"))
}

/// What a plan adds up to, for what it says itself.
fn planned(country: &Country) -> Table {
    let mut table = Table::default();
    let mut add = |row: Row, school: u64, daycare: u64| {
        table[row].school += school;
        table[row].daycare += daycare;
    };
    for municipality in &country.municipalities {
        let has_daycare = !municipality.daycares.is_empty();
        add(Row::Municipalities, 1, has_daycare.into());
        add(Row::Administrators, 1, has_daycare.into());
        let (hall, users) = (municipality.town_hall, municipality.super_users);
        add(Row::TownHall, hall.school, hall.daycare);
        add(Row::SuperUsersAdministration, users.school, users.daycare);
        add(
            Row::Parents,
            municipality.guardians.school,
            municipality.guardians.daycare,
        );
        for school in &municipality.schools {
            let centre = school.leisure_centre.as_ref();
            let centre = centre.map_or(0, |centre| centre.staff);
            add(Row::Institutions, 1, 0);
            add(Row::SuperUsers, 2, 0);
            add(Row::Leaders, school.leaders.into(), 0);
            add(Row::AdministrativeStaff, school.office.into(), 0);
            add(Row::PedagogicalStaff, (school.staff + centre).into(), 0);
            add(Row::ExternalActors, school.external.into(), 0);
            add(Row::Children, school.pupils.into(), 0);
        }
        for daycare in &municipality.daycares {
            add(Row::Institutions, 0, 1);
            add(Row::SuperUsers, 0, daycare.has_super_user.into());
            add(Row::Leaders, 0, daycare.leaders.into());
            add(Row::AdministrativeStaff, 0, daycare.office.into());
            add(Row::PedagogicalStaff, 0, daycare.staff.into());
            add(Row::Children, 0, daycare.children.into());
        }
    }
    table.add_up();
    table
}

#[test]
fn the_plan_of_the_country_is_the_seeds_table_to_the_digit() {
    for seed in [0, 1, 2026, u64::MAX] {
        let country = Country::plan(seed, Scale::WHOLE);
        assert_eq!(planned(&country), Table::seed(), "seed {seed}");
        for municipality in &country.municipalities {
            let (pupils, children) = (municipality.pupils(), municipality.children());
            // Families are formed by municipality; none may be one that cannot be.
            let number = |n: u64| u32::try_from(n).expect("a municipality");
            let guardians = municipality.guardians;
            assert!(Mix::of(number(pupils), number(guardians.school), AT_SCHOOL).is_some());
            let alone = children - children / 3;
            let daycare = Mix::of(number(alone), number(guardians.daycare), IN_DAYCARE);
            assert!(children == 0 || daycare.is_some(), "{}", municipality.code);
            for school in &municipality.schools {
                assert!(school.leaders > 0 && school.staff > 2, "{}", school.code);
            }
        }
    }
}

#[test]
fn the_country_has_the_seeds_schools() {
    let country = Country::plan(1, Scale::WHOLE);
    let folkeskoler = |municipality: &super::country::Municipality| {
        municipality
            .schools
            .iter()
            .filter(|s| !s.is_special)
            .count()
    };
    let mut by_count = BTreeMap::new();
    for municipality in &country.municipalities {
        let step = match folkeskoler(municipality) {
            1 => "1",
            3..=27 => "3-27",
            33..=63 => "33-63",
            _ => "other",
        };
        *by_count.entry(step).or_insert(0) += 1;
    }
    assert_eq!(
        by_count,
        BTreeMap::from([("1", 4), ("3-27", 88), ("33-63", 6)])
    );
    // "The seed's four smallest": islands, small in people too.
    let islands = country
        .municipalities
        .iter()
        .filter(|m| m.schools.len() == 1);
    assert!(islands.clone().all(|island| island.pupils() <= 100));
    assert_eq!(islands.count(), 4);
}

#[test]
fn every_scale_is_what_it_says_counted_from_its_lines() {
    for (seed, at) in [(1, "1/60"), (7, "1/100"), (2026, "1/200")] {
        let (audit, written, digest) = counted(seed, at);
        let shown = audit.shown.clone();
        let report = Report::of(seed, scale(at), audit, written, digest);
        let mut text = Vec::new();
        report.text(&mut text).expect("memory takes it");
        let text = String::from_utf8(text).expect("text");
        assert!(report.is_equal(), "{shown:?}\n{text}");
        assert!(!text.contains("differs"), "{text}");
    }
}

#[test]
fn the_same_number_gives_the_same_bytes() {
    let digest = |seed| counted(seed, "1/200").2;
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
    assert_eq!(stream(3, "1/200").0, stream(3, "1/200").0);
}

#[test]
fn files_and_stream_have_the_same_people() {
    let place = std::env::temp_dir().join(format!("klokke-people-{}", std::process::id()));
    let sink = Sink::new(folder(&place).expect("a folder"), Some(Audit::default()));
    let (written, _, files) =
        write(&Country::plan(5, scale("1/200")), sink, |_| {}).expect("files");
    let files = files.expect("it was asked for");
    let mut names: Vec<_> = std::fs::read_dir(&place)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    let bytes = names
        .iter()
        .map(|path| path.metadata().expect("a file").len());
    assert_eq!((names.len(), bytes.sum::<u64>()), (98, written.bytes));
    // A file stands for itself: taken alone it refers to nothing outside.
    let mut alone = Audit::default();
    let last = std::fs::read(names.last().expect("98")).expect("a file");
    alone.begin_file();
    for line in last.split_inclusive(|byte| *byte == b'\n') {
        alone.take(line);
    }
    alone.finish();
    assert_eq!(
        (alone.faults, alone.table[Row::Municipalities]),
        (0, Cells::of(1, 1))
    );
    std::fs::remove_dir_all(&place).expect("it was made here");
    let (_, one) = stream(5, "1/200");
    assert_eq!((files.table, files.tallies), (one.table, one.tallies));
}

#[test]
fn a_line_out_of_place_is_found() {
    let (sound, audit) = stream(1, "1/200");
    assert_eq!((audit.faults, audit.shown), (0, Vec::new()));
    let find = |lines: &[&str], word: &str| {
        let place = lines.iter().position(|line| line.contains(word));
        place.unwrap_or_else(|| panic!("no line with {word}"))
    };
    let faults = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = sound.lines().map(|line| format!("{line}\n")).collect();
        change(&mut lines);
        let mut audit = Audit::default();
        audit.begin_file();
        lines.iter().for_each(|line| audit.take(line.as_bytes()));
        audit.finish();
        audit.faults
    };
    let lines: Vec<&str> = sound.lines().collect();
    assert_eq!(faults(&|_| {}), 0);
    let cases: [(&str, &str, &str); 6] = [
        ("\"type\":\"person\"", "\"id\":\"P", "\"id\":\"Q"),
        ("\"type\":\"profile\"", "\"person\":\"P", "\"person\":\"Q"),
        (
            "\"kind\":\"external_actor\"",
            "\"home\":\"M",
            "\"home\":\"N",
        ),
        (
            "\"type\":\"relation\"",
            "\"kind\":\"guardian\"",
            "\"kind\":\"related\"",
        ),
        ("\"type\":\"membership\"", ".g", ".g9"),
        (
            "\"type\":\"unit\",\"code\":\"D",
            "\"parent\":\"M",
            "\"parent\":\"S",
        ),
    ];
    for (word, from, to) in cases {
        let place = find(&lines, word);
        let broken = faults(&|lines| lines[place] = lines[place].replacen(from, to, 1));
        assert!(broken > 0, "{word}: {from} to {to}");
    }
    for word in [
        "\"type\":\"relation\"",
        "\"type\":\"group\"",
        "\"type\":\"account\"",
    ] {
        let place = find(&lines, word);
        let twice = faults(&|lines| lines.insert(place, lines[place].clone()));
        assert!(twice > 0, "{word} twice");
    }
    // A relation before its child's profile.
    let place = find(&lines, "\"type\":\"relation\"");
    assert!(faults(&|lines| lines.swap(0, place)) > 0);
}

#[test]
fn nobody_is_their_own_parent() {
    let file = r#"{"type":"unit","code":"M1","name":"Kommune","kind":"municipality"}
{"type":"unit","code":"S1","name":"Skole","kind":"school","parent":"M1"}
{"type":"person","id":"P1","name":"En"}
{"type":"profile","id":"S1.p1","person":"P1","kind":"pupil"}
{"type":"profile","id":"S1.p2","person":"P1","kind":"guardian"}
{"type":"relation","adult":"S1.p2","child":"S1.p1","kind":"guardian","custody":true}
"#;
    let mut audit = Audit::default();
    file.lines().for_each(|line| audit.take(line.as_bytes()));
    assert_eq!(audit.shown, ["line 6: a person is their own parent"]);
}

#[test]
fn proportions_are_those_of_the_page() {
    let (audit, ..) = counted(1, "1/40");
    let tallies = &audit.tallies;
    let children = audit.table[Row::Children];
    let parents = audit.table[Row::Parents].total();
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a fortieth of a country"
    )]
    let share = |part: u64, whole: u64| part as f64 / whole as f64;
    let bounds = [
        (
            "protected",
            share(tallies.protected, tallies.persons),
            0.008,
            0.012,
        ),
        (
            "class size",
            share(tallies.in_classes, tallies.classes),
            22.5,
            25.5,
        ),
        (
            "without custody",
            share(tallies.without_custody, tallies.guardian_relations),
            0.018,
            0.034,
        ),
        (
            "of these with access",
            share(tallies.given_access, tallies.without_custody),
            0.30,
            0.55,
        ),
        (
            "in a leisure centre",
            share(tallies.in_leisure_centre, children.school),
            0.28,
            0.36,
        ),
        (
            "staff among parents",
            share(tallies.staff_and_parent, parents),
            0.023,
            0.033,
        ),
        (
            "related persons",
            share(tallies.related_persons, parents),
            0.007,
            0.013,
        ),
        (
            "attached persons",
            share(tallies.attached_persons, parents),
            0.0015,
            0.0035,
        ),
        (
            "guardians a child, by unit",
            share(
                tallies.guardian_relations,
                tallies.in_leisure_centre + children.total(),
            ),
            1.9,
            2.05,
        ),
    ];
    for (name, share, low, high) in bounds {
        assert!((low..=high).contains(&share), "{name}: {share}");
    }
}

#[test]
fn persons_are_the_rows_less_roles_and_doubles_and_more_the_rest() {
    let (audit, ..) = counted(4, "1/60");
    let (table, tallies) = (&audit.table, &audit.tallies);
    let roles = [
        Row::Administrators,
        Row::SuperUsers,
        Row::SuperUsersAdministration,
    ];
    let roles: u64 = roles.into_iter().map(|row| table[row].total()).sum();
    let outside = tallies.technical_staff + tallies.related_persons + tallies.attached_persons;
    assert_eq!(
        tallies.persons,
        table[Row::Actors].total() - roles - tallies.staff_and_parent + outside
    );
    assert_eq!(
        tallies.logins,
        tallies.persons - table[Row::Children].daycare,
        "everybody signs in but children in daycare"
    );
}

#[test]
fn one_thread_reaches_any_group_even_of_a_large_school() {
    // A thread has at most 400 recipients (docs/errors.md), and children bring their guardians: about two each, less siblings.
    let country = Country::plan(1, Scale::WHOLE);
    let largest = |m: &&Municipality| m.schools.iter().map(|s| s.pupils).max();
    let few = country
        .municipalities
        .iter()
        .filter(|m| m.schools.len() < 10);
    let municipality = few.max_by_key(largest).expect("98");
    assert!(largest(&municipality) > Some(700), "a large school");
    let memory = Memory::default();
    let mut sink = Sink::new(Target::Stream(Box::new(memory.clone())), None);
    super::town::write(1, municipality, None, &mut sink).expect("memory takes it");
    sink.finish().expect("memory takes it");
    let text = memory.0.lock().expect("one thread");
    let mut members: BTreeMap<String, u32> = BTreeMap::new();
    for line in text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line: serde_json::Value = serde_json::from_slice(line).expect("JSON");
        if line["type"] == "membership" {
            *members.entry(line["group"].to_string()).or_default() += 1;
        }
    }
    let largest = members.values().max().copied();
    assert!(largest.is_some_and(|largest| largest < 160), "{largest:?}");
}
