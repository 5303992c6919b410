//! The list of all operations. One line an operation; every door serves what stands here.

use std::sync::LazyLock;

use hashbrown::HashMap;

use super::Declared;
use super::{notifications, posts, sessions, threads, units};

static OPERATIONS: &[Declared] = &[
    Declared::of::<threads::Create>(),
    Declared::of::<threads::List>(),
    Declared::of::<threads::Get>(),
    Declared::of::<threads::Mute>(),
    Declared::of::<threads::Mark>(),
    Declared::of::<threads::Read>(),
    Declared::of::<threads::AddParticipants>(),
    Declared::of::<threads::Leave>(),
    Declared::of::<threads::SetSensitivity>(),
    Declared::of::<threads::Send>(),
    Declared::of::<threads::Reply>(),
    Declared::of::<threads::Edit>(),
    Declared::of::<threads::Withdraw>(),
    Declared::of::<threads::MessageList>(),
    Declared::of::<posts::Publish>(),
    Declared::of::<posts::Get>(),
    Declared::of::<posts::Edit>(),
    Declared::of::<posts::Withdraw>(),
    Declared::of::<posts::Comment>(),
    Declared::of::<posts::See>(),
    Declared::of::<posts::NoteSeen>(),
    Declared::of::<posts::List>(),
    Declared::of::<posts::PublishDue>(),
    Declared::of::<notifications::Create>(),
    Declared::of::<notifications::List>(),
    Declared::of::<notifications::Dismiss>(),
    Declared::of::<units::AddMember>(),
    Declared::of::<units::RemoveMember>(),
    Declared::of::<units::EndRelation>(),
    Declared::of::<units::SetInbox>(),
    Declared::of::<units::Block>(),
    Declared::of::<units::Unblock>(),
    Declared::of::<units::InheritBlock>(),
    Declared::of::<sessions::Start>(),
    Declared::of::<sessions::StepUp>(),
    Declared::of::<sessions::BadgeGet>(),
    Declared::of::<sessions::BadgeRecount>(),
    Declared::of::<sessions::AccessList>(),
    Declared::of::<sessions::AccessOfPerson>(),
    Declared::of::<sessions::Watch>(),
];

/// Every operation, by area.
#[must_use]
pub fn all() -> &'static [Declared] {
    OPERATIONS
}

static BY_NAME: LazyLock<HashMap<&'static str, &'static Declared>> = LazyLock::new(|| {
    OPERATIONS
        .iter()
        .map(|declared| (declared.declaration.name, declared))
        .collect()
});

/// The operation of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Declared> {
    BY_NAME.get(name).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::Kind;

    #[test]
    fn names_and_doors_are_unique_and_well_formed() {
        let (mut names, mut doors) = (BTreeSet::new(), BTreeSet::new());
        for declaration in OPERATIONS.iter().map(|declared| &declared.declaration) {
            let name = declaration.name;
            assert!(names.insert(name), "{name} stands twice");
            let allowed = |c: char| c.is_ascii_lowercase() || c == '.' || c == '_';
            assert!(name.contains('.') && name.chars().all(allowed), "{name}");
            assert!(declaration.summary.ends_with('.'), "{name}");
            if let Some(rest) = declaration.rest {
                assert!(
                    doors.insert(format!("{:?} {}", rest.method, rest.path)),
                    "{name}: door stands twice"
                );
                assert!(rest.path.starts_with("/v1/"), "{name}");
            }
            assert!(
                declaration.kind != Kind::Internal || declaration.rest.is_none(),
                "{name} has a public door"
            );
        }
    }

    #[test]
    fn every_path_parameter_is_a_field_of_the_input() {
        let mut generator = schemars::SchemaGenerator::default();
        for declared in OPERATIONS {
            let _ = (declared.input)(&mut generator);
        }
        for declared in OPERATIONS {
            let Some(rest) = declared.declaration.rest else {
                continue;
            };
            let reference = (declared.input)(&mut generator);
            let name = reference
                .get("$ref")
                .and_then(|to| to.as_str())
                .and_then(|to| to.rsplit('/').next());
            let schema = name
                .and_then(|name| generator.definitions().get(name))
                .expect("inputs are named types");
            for parameter in rest
                .path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            {
                assert!(
                    schema["properties"].get(parameter).is_some(),
                    "{}: {parameter}",
                    declared.declaration.name
                );
            }
        }
    }

    #[test]
    fn the_list_reads_as_reviewed() {
        let line = |declared: &Declared| {
            let d = &declared.declaration;
            let door = d.rest.map_or(String::new(), |rest| {
                format!(" {:?} {}", rest.method, rest.path)
            });
            format!("{} {:?}{door} {:?}", d.name, d.kind, d.rights)
        };
        insta::assert_snapshot!(OPERATIONS.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
}
