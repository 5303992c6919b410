//! The head of the report: the verdict, what was run, and the figures that matter.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    comparison::{Meaning, Row, compare, row},
    curve, figure,
    markup::{both, escape, filled, pair, section},
    number::{self, Unit},
    text::{self, Text},
};
use crate::outcome::{Outcome, Role, Spread, Word};

/// The verdict, why, and what broke.
pub(super) fn verdict(outcome: &Outcome) -> String {
    let (class, sign, word, why) = match outcome.verdict.word {
        Word::Held => ("held", "✓", text::HELD, text::HELD_WHY),
        Word::Broken => ("broken", "✗", text::BROKEN, text::BROKEN_WHY),
        Word::Incomplete => ("incomplete", "!", text::INCOMPLETE, text::INCOMPLETE_WHY),
    };
    let broken = outcome
        .thresholds
        .iter()
        .filter(|judged| !judged.held)
        .count();
    let violations = total(&outcome.violations.counts);
    let mut html = format!(
        "<section class=\"verdict {class}\">\n<p class=\"word\"><span class=\"sign\">{sign}</span> {}</p>\n",
        both(word)
    );
    let values = [
        ("bounds", number::number(outcome.thresholds.len() as f64, 0)),
        ("broken", number::number(broken as f64, 0)),
        ("violations", number::whole(violations)),
        (
            "checked",
            number::whole(outcome.violations.deliveries_checked),
        ),
    ];
    let values: Vec<(&str, &str)> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let _ = writeln!(html, "<p class=\"why\">{}</p>", filled(why, &values));
    if !outcome.verdict.why.is_empty() {
        let _ = writeln!(
            html,
            "<p class=\"said\">{}</p>",
            escape(&outcome.verdict.why)
        );
    }
    html.push_str(&warnings(outcome, broken, violations));
    html.push_str(&what_broke(outcome));
    html.push_str("</section>\n");
    html
}

/// All of them together; a result may come from anywhere, so it saturates.
fn total(counts: &BTreeMap<String, u64>) -> u64 {
    counts
        .values()
        .fold(0, |sum, count| sum.saturating_add(*count))
}

/// What a reader must know before believing the word.
fn warnings(outcome: &Outcome, broken: usize, violations: u64) -> String {
    let held = outcome.verdict.word == Word::Held;
    let complete = outcome.verdict.word != Word::Incomplete;
    let warned = [
        (held && (broken > 0 || violations > 0), text::CONTRADICTION),
        (held && outcome.thresholds.is_empty(), text::UNJUDGED),
        (
            complete && outcome.violations.deliveries_checked == 0,
            text::UNCHECKED,
        ),
    ];
    let warned = warned.into_iter().filter(|(when, _)| *when);
    warned
        .map(|(_, text)| format!("<p class=\"warning\">{}</p>\n", both(text)))
        .collect()
}

fn what_broke(outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    // What a run did not come to measure broke nothing.
    let complete = outcome.verdict.word != Word::Incomplete;
    let broken = outcome
        .thresholds
        .iter()
        .filter(|judged| !judged.held && (complete || judged.measured.is_some()));
    for judged in broken {
        let named = figure::Figure::named(&judged.figure);
        let measured = judged.measured.map_or_else(
            || both(text::NOT_MEASURED),
            |value| escape(&named.unit.show(value)),
        );
        lines.push(format!(
            "{}: <b>{measured}</b>, {} <code>{}</code>",
            pair(&named.da, &named.en),
            super::tables::bound(judged, named.unit),
            escape(&judged.figure)
        ));
    }
    for (kind, count) in outcome
        .violations
        .counts
        .iter()
        .filter(|(_, count)| **count > 0)
    {
        let word = figure::violation(kind).map_or_else(|| escape(kind), both);
        lines.push(format!(
            "{}: <b>{}</b> × {word}",
            both(text::VIOLATED),
            number::whole(*count)
        ));
    }
    if lines.is_empty() {
        return String::new();
    }
    let items: String = lines
        .iter()
        .map(|line| format!("<li>{line}</li>\n"))
        .collect();
    format!(
        "<h3>{}</h3>\n<ul class=\"broke\">\n{items}</ul>\n",
        both(text::WHAT_BROKE)
    )
}

/// What was run, on what, with whom.
pub(super) fn run(outcome: &Outcome, earlier: Option<&Outcome>) -> String {
    let mut list = String::new();
    let mut put = |title: Text, value: String| {
        if !value.is_empty() {
            let _ = writeln!(list, "<div><dt>{}</dt><dd>{value}</dd></div>", both(title));
        }
    };
    let scenario = &outcome.scenario;
    let with_code = |text: &str, code: &str| {
        if text.is_empty() && code.is_empty() {
            String::new()
        } else {
            format!("{} <code>{}</code>", escape(text), escape(code))
        }
    };
    put(text::SCENARIO, with_code(&scenario.title, &scenario.name));
    put(text::ABOUT, escape(&scenario.about));
    put(
        text::TARGET,
        with_code(&outcome.target.version, &outcome.target.url),
    );
    put(text::BEGAN, escape(&outcome.began));
    put(text::LASTED, number::lasted(outcome.lasted_s));
    put(
        text::SPEED,
        if scenario.speed == 0.0 {
            String::new()
        } else if scenario.speed == 1.0 {
            both(text::AS_WRITTEN)
        } else {
            filled(
                text::SPEED_VALUE,
                &[("n", &number::measured(scenario.speed))],
            )
        },
    );
    put(
        text::PEOPLE,
        filled(
            text::PEOPLE_VALUE,
            &[
                ("part", &number::whole(outcome.people.taking_part)),
                ("all", &number::whole(outcome.people.logins)),
                ("share", &Unit::Part.show(outcome.people.share_of_country)),
            ],
        ),
    );
    let machine = &outcome.machine;
    let values = [
        ("cores", number::whole(u64::from(machine.cores))),
        ("memory", number::bytes(machine.memory_bytes as f64)),
        ("agents", number::whole(u64::from(machine.agents))),
    ];
    let values: Vec<(&str, &str)> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let shared = if machine.shared_with_server {
        text::SHARED
    } else {
        text::OWN
    };
    put(
        text::MACHINE,
        format!(
            "{}<br/>{}",
            filled(text::MACHINE_VALUE, &values),
            both(shared)
        ),
    );
    put(
        text::SEED,
        format!(
            "<code>{}</code>, {}",
            scenario.seed,
            escape(&scenario.codec)
        ),
    );
    put(
        text::TESTER,
        format!("klokke-load {}", escape(&outcome.tester)),
    );
    if let Some(earlier) = earlier {
        put(text::EARLIER, against(earlier, outcome));
    }
    section("run", text::RUN, &format!("<dl>\n{list}</dl>\n"))
}

fn against(earlier: &Outcome, outcome: &Outcome) -> String {
    let word = match earlier.verdict.word {
        Word::Held => text::HELD,
        Word::Broken => text::BROKEN,
        Word::Incomplete => text::INCOMPLETE,
    };
    let mut html = format!(
        "{} {}, {}: {}",
        escape(&earlier.scenario.title),
        escape(&earlier.began),
        escape(&earlier.target.version),
        both(word)
    );
    let differences = compare(earlier, outcome).not_alike;
    if !differences.is_empty() {
        let items: String = differences
            .iter()
            .map(|difference| format!("<li>{}</li>", escape(difference)))
            .collect();
        let _ = write!(
            html,
            "<p class=\"warning\">{}</p><ul>{items}</ul>",
            both(text::NOT_ALIKE)
        );
    }
    html
}

/// Finds the worst of several: its name and its value.
type Worst = fn(&Outcome) -> Option<(String, f64)>;

/// One large figure.
struct Tile {
    title: Text,
    unit: Unit,
    value: fn(&Outcome) -> Option<f64>,
    /// The name by which a change of it is judged.
    judged_as: &'static str,
    /// Which of several it is the worst of.
    worst_of: Option<Worst>,
}

/// The large figures, those of the verdict first.
pub(super) fn figures(outcome: &Outcome, earlier: Option<&Outcome>) -> String {
    let mut tiles = String::new();
    for tile in TILES {
        let Some(value) = (tile.value)(outcome) else {
            continue;
        };
        let alert = tile.judged_as == "violations" && value > 0.0;
        let _ = write!(
            tiles,
            "<div class=\"tile{}\"><p class=\"label\">{}</p><p class=\"big\">{}</p>",
            if alert { " alert" } else { "" },
            both(tile.title),
            escape(&tile.unit.show(value))
        );
        if let Some((kind, _)) = tile.worst_of.and_then(|worst| worst(outcome)) {
            let _ = write!(
                tiles,
                "<p class=\"sub\">{} <code>{}</code></p>",
                both(text::SLOWEST_OF),
                escape(&kind)
            );
        }
        if let Some(was) = earlier.and_then(|earlier| (tile.value)(earlier)) {
            let change = change(&row(tile.judged_as, Some(was), Some(value)));
            let _ = write!(
                tiles,
                "<p class=\"sub\">{} {} {change}</p>",
                both(text::WAS),
                escape(&tile.unit.show(was))
            );
        }
        tiles.push_str("</div>\n");
    }
    section(
        "figures",
        text::FIGURES,
        &format!("<div class=\"tiles\">\n{tiles}</div>\n"),
    )
}

/// The change of one figure, coloured by what it means; the sign says it too.
pub(super) fn change(row: &Row) -> String {
    let (Some(earlier), Some(now)) = (row.earlier, row.now) else {
        return "–".to_owned();
    };
    let amount = match row.percent {
        Some(percent) if percent.abs() >= 1000.0 => {
            format!("{} ×", number::measured(now / earlier))
        }
        Some(percent) => format!("{}{} %", sign(percent), number::number(percent, 1)),
        None => format!("{}{}", sign(now - earlier), number::measured(now - earlier)),
    };
    let (class, word) = match row.meaning {
        Meaning::Better => ("better", text::BETTER),
        Meaning::Worse => ("worse", text::WORSE),
        Meaning::Same => ("same", text::SAME),
        Meaning::Other | Meaning::Unknown => ("same", text::OTHER),
    };
    format!(
        "<span class=\"change {class}\">{amount} {}</span>",
        both(word)
    )
}

/// A plus where a number would have no sign; zero has none.
pub(super) fn sign(value: f64) -> &'static str {
    if value > 0.0 { "+" } else { "" }
}

fn most(outcome: &Outcome, value: impl Fn(&crate::outcome::Point) -> Option<f64>) -> Option<f64> {
    outcome.curve.iter().filter_map(value).reduce(f64::max)
}

/// The slowest of the latencies whose names begin so, by 99 %.
fn slowest(latencies: &BTreeMap<String, Spread>, beginning: &str) -> Option<(String, f64)> {
    latencies
        .iter()
        .filter(|(kind, spread)| kind.starts_with(beginning) && spread.count > 0)
        .map(|(kind, spread)| (kind[beginning.len()..].to_owned(), spread.p99_ms))
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

fn slowest_delivery(outcome: &Outcome) -> Option<(String, f64)> {
    slowest(&outcome.latencies, "delivery.")
}

fn slowest_ack(outcome: &Outcome) -> Option<(String, f64)> {
    slowest(&outcome.latencies, "ack.")
}

fn back(outcome: &Outcome, role: &str) -> Option<f64> {
    outcome
        .roles
        .get(role)
        .and_then(|role: &Role| role.back_95_s)
}

const TILES: &[Tile] = &[
    Tile {
        title: text::VIOLATED,
        unit: Unit::Count,
        value: |outcome| {
            // None found among none looked at is no figure.
            let found = total(&outcome.violations.counts);
            (found > 0 || outcome.violations.deliveries_checked > 0).then_some(found as f64)
        },
        judged_as: "violations",
        worst_of: None,
    },
    Tile {
        title: text::CHECKED,
        unit: Unit::Count,
        value: |outcome| Some(outcome.violations.deliveries_checked as f64),
        judged_as: "deliveries_checked",
        worst_of: None,
    },
    Tile {
        title: text::ERRORS,
        unit: Unit::Count,
        value: |outcome| Some(total(&outcome.errors) as f64),
        judged_as: "errors",
        worst_of: None,
    },
    Tile {
        title: text::MOST_ONLINE,
        unit: Unit::Count,
        value: |outcome| most(outcome, |point| Some(point.online as f64)),
        judged_as: "online_max",
        worst_of: None,
    },
    Tile {
        title: text::SLOWEST_DELIVERY,
        unit: Unit::Millis,
        value: |outcome| slowest_delivery(outcome).map(|(_, value)| value),
        judged_as: "delivery.p99_ms",
        worst_of: Some(slowest_delivery),
    },
    Tile {
        title: text::SLOWEST_ACK,
        unit: Unit::Millis,
        value: |outcome| slowest_ack(outcome).map(|(_, value)| value),
        judged_as: "ack.p99_ms",
        worst_of: Some(slowest_ack),
    },
    Tile {
        title: text::SLOWEST_CONNECT,
        unit: Unit::Millis,
        value: |outcome| {
            outcome
                .latencies
                .get("connect")
                .filter(|spread| spread.count > 0)
                .map(|spread| spread.p99_ms)
        },
        judged_as: "connect.p99_ms",
        worst_of: None,
    },
    Tile {
        title: text::MOST_DELIVERIES,
        unit: Unit::PerSecond,
        value: |outcome| most(outcome, |point| Some(point.deliveries as f64)),
        judged_as: "deliveries_per_second",
        worst_of: None,
    },
    Tile {
        title: text::STAFF_BACK,
        unit: Unit::Seconds,
        value: |outcome| back(outcome, "staff"),
        judged_as: "roles.staff.back_95_s",
        worst_of: None,
    },
    Tile {
        title: text::GUARDIANS_BACK,
        unit: Unit::Seconds,
        value: |outcome| back(outcome, "guardian"),
        judged_as: "roles.guardian.back_95_s",
        worst_of: None,
    },
    Tile {
        title: text::CORES_MOST,
        unit: Unit::Cores,
        value: |outcome| most(outcome, |point| point.server.map(|server| server.cores)),
        judged_as: "server.max_cores",
        worst_of: None,
    },
    Tile {
        title: text::MEMORY_MOST,
        unit: Unit::Bytes,
        value: |outcome| {
            most(outcome, |point| {
                point.server.map(|server| server.resident_bytes as f64)
            })
        },
        judged_as: "server.resident_bytes",
        worst_of: None,
    },
    Tile {
        title: text::PER_CONNECTION,
        unit: Unit::Bytes,
        value: |outcome| {
            let fullest = outcome
                .curve
                .iter()
                .filter_map(|point| point.server)
                .max_by_key(|server| server.connections)?;
            curve::per_connection(&fullest, outcome)
        },
        judged_as: "server.bytes_per_connection",
        worst_of: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Judged;

    #[test]
    fn a_word_that_its_figures_contradict_is_not_passed_on_in_silence() {
        let mut outcome = Outcome::default();
        outcome.verdict.word = Word::Held;
        outcome.violations.deliveries_checked = 10;
        outcome.thresholds.push(Judged {
            figure: "errors".to_owned(),
            at_most: Some(0.0),
            measured: Some(0.0),
            held: true,
            ..Judged::default()
        });
        assert!(!verdict(&outcome).contains("warning"));
        outcome.violations.counts.insert("leaked".to_owned(), 1);
        assert!(verdict(&outcome).contains(text::CONTRADICTION.da));
        outcome.violations.counts.clear();
        outcome.violations.deliveries_checked = 0;
        assert!(verdict(&outcome).contains(text::UNCHECKED.da));
        outcome.thresholds.clear();
        assert!(verdict(&outcome).contains(text::UNJUDGED.en));
    }

    #[test]
    fn what_broke_is_said_with_what_was_measured() {
        let mut outcome = Outcome::default();
        outcome.verdict.word = Word::Broken;
        outcome.thresholds.push(Judged {
            figure: "delivery.message.p99_ms".to_owned(),
            at_most: Some(500.0),
            measured: Some(1812.4),
            ..Judged::default()
        });
        outcome.thresholds.push(Judged {
            figure: "ack.p99_ms".to_owned(),
            at_most: Some(500.0),
            ..Judged::default()
        });
        let html = verdict(&outcome);
        assert!(
            html.contains("1.812 ms") && html.contains("500 ms"),
            "{html}"
        );
        assert!(html.contains(text::NOT_MEASURED.da), "{html}");
    }

    #[test]
    fn changes_have_a_sign_and_a_word() {
        for (earlier, now, shown) in [
            (200.0, 150.0, "−25,0 %"),
            (200.0, 300.0, "+50,0 %"),
            (0.0, 3.0, "+3"),
            (1.0, 30.0, "30 ×"),
        ] {
            let html = change(&row("errors", Some(earlier), Some(now)));
            assert!(html.contains(shown), "{html}");
        }
        assert_eq!(change(&row("errors", None, Some(1.0))), "–");
    }
}
