//! The whole page, made from results as runs give them.

pub(crate) mod fixture;
mod guide;
mod well_formed;

use super::html;
use crate::outcome::Outcome;

/// Every page there is a fixture for, by name.
fn pages() -> Vec<(&'static str, String)> {
    let (monday, earlier) = (fixture::first_monday(), fixture::earlier());
    vec![
        ("first-monday", html(&monday, None)),
        ("compared", html(&monday, Some(&earlier))),
        ("broken", html(&fixture::broken(), Some(&earlier))),
        ("incomplete", html(&fixture::incomplete(), None)),
        ("empty", html(&fixture::empty(), None)),
        ("hostile", html(&hostile(), Some(&hostile()))),
    ]
}

/// A result whose every text tries to become markup, and whose numbers are what arithmetic can give.
fn hostile() -> Outcome {
    let evil = "</code></script><script src=\"https://evil.example/x.js\">'&\u{0}\u{202e}";
    let mut text = serde_json::to_value(fixture::broken()).expect("plain data");
    poison(&mut text, evil);
    let mut outcome: Outcome = serde_json::from_value(text).expect("the shape is as it was");
    outcome.verdict = fixture::broken().verdict;
    outcome.verdict.why = evil.to_owned();
    for map in [&mut outcome.errors, &mut outcome.violations.counts] {
        map.insert(evil.to_owned(), u64::MAX);
    }
    outcome.figures.insert(evil.to_owned(), f64::NAN);
    outcome
        .latencies
        .insert(evil.to_owned(), Default::default());
    outcome.roles.insert(evil.to_owned(), Default::default());
    outcome.curve[3].at_s = f64::NAN;
    outcome.curve[4].at_s = -1e300;
    outcome.curve[5].delivery.p99_ms = f64::INFINITY;
    outcome.curve[6].agents_cores = -1.0;
    outcome.stages[0].from_s = 1e300;
    outcome.stages[1].to_s = f64::NEG_INFINITY;
    outcome.events[0].at_s = f64::NAN;
    outcome.lasted_s = f64::INFINITY;
    outcome
}

/// Puts the text in the place of every other one, except of the verdict's word.
fn poison(value: &mut serde_json::Value, evil: &str) {
    match value {
        serde_json::Value::String(text) if text != "broken" => evil.clone_into(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| poison(item, evil)),
        serde_json::Value::Object(fields) => {
            fields.values_mut().for_each(|field| poison(field, evil));
        }
        _ => {}
    }
}

/// With `KLOKKE_PAGES=FOLDER` the pages are kept, to be looked at, and two results to try the verbs on.
#[test]
fn every_page_is_well_formed() {
    let folder = std::env::var_os("KLOKKE_PAGES").map(std::path::PathBuf::from);
    if let Some(folder) = &folder {
        for (name, outcome) in [
            ("now", fixture::first_monday()),
            ("earlier", fixture::earlier()),
        ] {
            let text = serde_json::to_vec(&outcome).expect("plain data");
            std::fs::write(folder.join(format!("{name}.json")), text)
                .expect("the folder can be written to");
        }
    }
    for (name, page) in pages() {
        if let Some(folder) = &folder {
            std::fs::write(folder.join(format!("{name}.html")), &page)
                .expect("the folder can be written to");
        }
        if let Err(complaint) = well_formed::check(&page) {
            panic!("{name}: {complaint}");
        }
    }
}

#[test]
fn no_page_asks_for_anything_from_anywhere() {
    for (name, page) in pages() {
        for found in well_formed::elements(&page) {
            assert!(
                ![
                    "link", "img", "iframe", "object", "embed", "image", "use", "base", "form", "a"
                ]
                .contains(&found.name.as_str()),
                "{name}: <{}>",
                found.name
            );
            for attribute in &found.attributes {
                assert!(
                    ![
                        "src",
                        "href",
                        "xlink:href",
                        "action",
                        "srcset",
                        "data",
                        "background",
                        "onload"
                    ]
                    .contains(&attribute.0.as_str()),
                    "{name}: {attribute:?}"
                );
            }
            assert_eq!(
                found.name == "script",
                found.name == "script" && found.attributes.is_empty(),
                "{name}"
            );
        }
        let style = page
            .split("<style>")
            .nth(1)
            .and_then(|rest| rest.split("</style>").next())
            .expect("a style");
        assert!(
            !style.contains("url(") && !style.contains("@import"),
            "{name}"
        );
        assert_eq!(page.matches("<script>").count(), 1, "{name}");
        assert!(page.contains("default-src 'none'"), "{name}");
    }
}

#[test]
fn no_number_is_written_as_programs_write_it() {
    for (name, page) in pages() {
        for text in well_formed::texts(&page) {
            for word in ["NaN", "inf", "1e3"] {
                assert!(
                    !text
                        .split_whitespace()
                        .any(|part| part == word || part.starts_with("Some(")),
                    "{name}: {text}"
                );
            }
        }
        for found in well_formed::elements(&page) {
            let drawn = found
                .attributes
                .iter()
                .filter(|(key, _)| key == "style" || key == "d");
            for (_, value) in drawn {
                assert!(
                    !value.contains("NaN") && !value.contains("inf"),
                    "{name}: {value}"
                );
            }
        }
    }
}

#[test]
fn a_page_says_what_a_reader_must_know() {
    let page = html(&fixture::first_monday(), None);
    for said in [
        "Holdt",
        "8 af 8 grænser holdt, og 116.630 leveringer blev kontrolleret uden brud.",
        "Første mandag efter sommerferien",
        "18.000 af 29.733 logins deltog",
        "coordinated omission",
        "Hvert punkt er 5 s",
        "serveren dræbt og startet igen",
        "Maskinen, som de delte, nåede sin grænse først.",
        "logaritmisk",
        "12.870",
    ] {
        assert!(page.contains(said), "{said}");
    }
    let page = html(&fixture::broken(), Some(&fixture::earlier()));
    for said in [
        "Brød",
        "vist til den forkerte",
        "offset 17 was followed by 19",
        "Hvad der brød",
        "&lt;77e0…&gt;",
        "Sammenlignet med",
        "værre",
    ] {
        assert!(page.contains(said), "{said}");
    }
    let page = html(&fixture::incomplete(), None);
    for said in [
        "Ufuldstændig",
        "agent 2 ended after 11 s",
        "ikke målt",
        "Hvert punkt er ét sekund",
    ] {
        assert!(page.contains(said), "{said}");
    }
    assert!(html(&fixture::empty(), None).contains("Der er ingen målepunkter at tegne."));
}

#[test]
fn the_killed_server_is_a_gap_in_its_charts_and_not_a_line_at_zero() {
    let page = html(&fixture::first_monday(), None);
    let gap = format!(
        "class=\"gap\" style=\"left:{:.2}%",
        fixture::KILLED.0 / 2100.0 * 100.0
    );
    assert!(page.contains(&gap), "no {gap}");
    let memory = page
        .split("aria-label=\"Serverens hukommelse")
        .nth(1)
        .expect("its chart");
    let line = memory
        .split("class=\"line a\" d=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a line");
    assert_eq!(
        line.matches('M').count(),
        2,
        "the line is lifted once: {line}"
    );
}
