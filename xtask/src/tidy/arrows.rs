//! Which room may name which: the arrows of ARCHITECTURE.md, read off the `use` lines.
//!
//! The compiler cannot check this inside one crate. A room that is not in the table is a complaint of its own, so a new
//! room must take its place among the others before it is used.

use super::{Complaint, Source};

/// A room of the server and the rooms it may name.
struct Room {
    name: &'static str,
    may_name: &'static [&'static str],
}

/// `admission`, `config` and `telemetry` are leaves that every room may name, and so is what breaks them for a test; a port
/// with its adapters is one room.
const LEAVES: &[&str] = &["admission", "config", "telemetry", "broken"];

/// The order of the house, from the inside out.
const ROOMS: &[Room] = &[
    Room {
        name: "config",
        may_name: &[],
    },
    Room {
        name: "telemetry",
        may_name: &[],
    },
    Room {
        name: "broken",
        may_name: &[],
    },
    Room {
        name: "admission",
        may_name: &[],
    },
    Room {
        name: "auth",
        may_name: &[],
    },
    Room {
        name: "hub",
        may_name: &[],
    },
    Room {
        name: "session",
        may_name: &["auth", "hub"],
    },
    Room {
        name: "store",
        may_name: &["ledger"],
    },
    Room {
        name: "ledger",
        may_name: &["hub", "session", "store"],
    },
    Room {
        name: "bus",
        may_name: &["ledger", "store"],
    },
    Room {
        name: "people",
        may_name: &["ledger", "hub", "session", "store"],
    },
    Room {
        name: "domain",
        may_name: &["people", "ledger", "hub", "session", "store"],
    },
    Room {
        name: "transport",
        may_name: &["hub"],
    },
    Room {
        name: "runtime",
        may_name: &[
            "auth",
            "bus",
            "transport",
            "domain",
            "people",
            "ledger",
            "hub",
            "session",
            "store",
        ],
    },
    Room {
        name: "http",
        may_name: &["auth", "domain", "people", "ledger", "hub", "session"],
    },
];

/// The composition root and what lies outside of it may name everything; so may the simulation, which is another root.
const OUTSIDE: &[&str] = &["app", "main", "lib", "sim"];

/// Complains about every arrow that points the wrong way.
pub(crate) fn check(source: &Source) -> Vec<Complaint> {
    let Some(inside) = source.path.strip_prefix("server/src/") else {
        return Vec::new();
    };
    let room = inside
        .split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs");
    if OUTSIDE.contains(&room) {
        return Vec::new();
    }
    let Some(rules) = ROOMS.iter().find(|known| known.name == room) else {
        return vec![Complaint::new(
            &source.path,
            0,
            format!(
                "the room `{room}` has no place in the arrows yet: give it one in xtask/src/tidy/arrows.rs and in ARCHITECTURE.md"
            ),
        )];
    };
    let mut complaints = Vec::new();
    for (line, named) in named_rooms(&source.text) {
        let known = ROOMS.iter().any(|other| other.name == named);
        let allowed = named == room
            || LEAVES.contains(&named.as_str())
            || rules.may_name.contains(&named.as_str());
        let outward = OUTSIDE.contains(&named.as_str());
        if outward || (known && !allowed) {
            complaints.push(Complaint::new(
                &source.path,
                line,
                format!("`{room}` names `{named}`: this arrow points the wrong way (see ARCHITECTURE.md)"),
            ));
        }
    }
    complaints
}

/// Every room that code names as `crate::room`, singly or in one braced list, with the line.
fn named_rooms(text: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        // Documentation may point anywhere; only code makes an arrow.
        if text[line_start..at].contains("//") {
            continue;
        }
        let line = text[..at].matches('\n').count() + 1;
        let after = &text[at + "crate::".len()..];
        match after.strip_prefix('{') {
            Some(list) => named.extend(heads_of(list).into_iter().map(|head| (line, head))),
            None => named.push((line, word(after))),
        }
    }
    named
}

/// The first words of a braced `use` list, nested braces left out.
fn heads_of(list: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut heads = vec![String::new()];
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(String::new()),
            _ if depth == 0 => {
                if let Some(head) = heads.last_mut() {
                    head.push(c);
                }
            }
            _ => {}
        }
    }
    heads
        .iter()
        .map(|head| word(head.trim()))
        .filter(|head| !head.is_empty())
        .collect()
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::source, ROOMS, check};

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check(&source(path, text))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn arrows_inward_are_fine() {
        let text = "use crate::people::Roster;\nuse crate::{\n    ledger::{Commit, View},\n    telemetry::count,\n};\n";
        assert_eq!(
            complaints("server/src/domain/a.rs", text),
            Vec::<String>::new()
        );
    }

    #[test]
    fn arrows_outward_are_found_in_every_spelling() {
        for text in [
            "use crate::domain::Operation;\n",
            "use crate::{\n    ledger::{Commit, View},\n    domain::Operation,\n};\n",
            "fn f() { crate::domain::call(); }\n",
            "pub use crate::app::App;\n",
        ] {
            assert_eq!(
                complaints("server/src/people/a.rs", text).len(),
                1,
                "{text}"
            );
        }
    }

    #[test]
    fn documentation_makes_no_arrow() {
        assert!(complaints("server/src/hub/a.rs", "//! See [`crate::domain`].\n").is_empty());
    }

    #[test]
    fn a_new_room_must_take_its_place() {
        let found = complaints("server/src/attic/mod.rs", "//! Old things.\n");
        assert!(found[0].contains("no place in the arrows"), "{found:?}");
    }

    #[test]
    fn the_table_has_no_ring() {
        // Each room may name only rooms that stand before it, but for the store's port and the ledger's types.
        for (at, room) in ROOMS.iter().enumerate() {
            for named in room.may_name {
                let position = ROOMS.iter().position(|other| other.name == *named);
                let inward = position.is_some_and(|position| position < at);
                assert!(
                    inward || (room.name == "store" && *named == "ledger"),
                    "{} -> {named}",
                    room.name
                );
            }
        }
    }
}
