//! The sample is the same for the same number, sound, and of the promised size.

use super::{CLASS_SCHOOL, lines, write};
use crate::people::import::{Line, read};
use crate::people::{GroupKind, RelationKind, UserKind};

fn file(seed: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write(seed, &mut out).expect("memory can be written");
    out
}

#[test]
fn the_same_number_gives_the_same_town() {
    assert_eq!(file(7), file(7));
    assert_ne!(file(7), file(8));
}

#[test]
fn every_town_passes_the_import() {
    for seed in [0, 1, 2026] {
        read(file(seed).as_slice(), |_| {}).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    }
}

#[test]
fn the_town_has_the_seeds_proportions() {
    let lines = lines(1);
    let count = |wanted: fn(&Line) -> bool| lines.iter().filter(|line| wanted(line)).count();
    let kind = |kind: UserKind| {
        lines
            .iter()
            .filter(|line| matches!(line, Line::Profile(p) if p.kind == kind))
            .count()
    };
    assert_eq!(count(|line| matches!(line, Line::Unit(_))), 12);
    let pupils = 425 + 100 + 425 + 750;
    assert_eq!(kind(UserKind::DaycareChild), 5 * 85);
    assert!(
        kind(UserKind::Pupil) >= pupils,
        "those of the leisure centre twice"
    );
    let persons = count(|line| matches!(line, Line::Person(_)));
    assert!((4_500..7_000).contains(&persons), "{persons}");
    assert!(count(|line| matches!(line, Line::Person(p) if p.protected)) > 10);
    assert!(
        count(
            |line| matches!(line, Line::Relation(r) if r.kind == RelationKind::Guardian && !r.custody)
        ) > 10
    );
    for kind_wanted in UserKind::ALL {
        assert!(kind(kind_wanted) > 0, "{kind_wanted:?}");
    }
}

#[test]
fn class_2a_has_three_staff_24_children_and_42_guardians() {
    let lines = lines(1);
    let class = lines.iter().find_map(|line| match line {
        Line::Group(group)
            if group.name == "2.A" && group.id.to_string().starts_with(CLASS_SCHOOL) =>
        {
            Some(group)
        }
        _ => None,
    });
    let class = &class.expect("the class").id;
    let members: Vec<_> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Membership(membership) if membership.group == *class => Some(&membership.profile),
            _ => None,
        })
        .collect();
    let titles = |title: &str| {
        let has = |line: &&Line| matches!(line, Line::Profile(p) if members.contains(&&p.id) && p.title.as_deref() == Some(title));
        lines.iter().filter(has).count()
    };
    assert_eq!(
        (members.len(), titles("lærer"), titles("pædagog")),
        (27, 1, 2)
    );
    let guardians: std::collections::BTreeSet<_> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Relation(relation) if members.contains(&&relation.child) => Some(&relation.adult),
            _ => None,
        })
        .collect();
    assert_eq!(guardians.len(), 42);
}

#[test]
fn the_staff_of_a_school_have_a_group_of_their_own() {
    let lines = lines(1);
    let staff = lines.iter().filter_map(|line| match line {
        Line::Group(group) if group.kind == GroupKind::Institutional => Some(&group.id),
        _ => None,
    });
    for group in staff {
        let kinds = lines.iter().filter_map(|line| match line {
            Line::Membership(membership) if membership.group == *group => {
                lines.iter().find_map(|line| match line {
                    Line::Profile(profile) if profile.id == membership.profile => {
                        Some(profile.kind)
                    }
                    _ => None,
                })
            }
            _ => None,
        });
        let kinds: Vec<_> = kinds.collect();
        for wanted in [
            UserKind::PedagogicalStaff,
            UserKind::Leader,
            UserKind::AdministrativeStaff,
        ] {
            assert!(kinds.contains(&wanted), "{group}: {wanted:?}");
        }
        assert!(kinds.len() < 400, "one thread reaches them all");
    }
}
