//! The head of the report: the verdict, what was run, and the figures that matter.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    comparison::{Meaning, Row, compare},
    figure,
    markup::{both, escape, filled, pair, section},
    number::{self, Unit},
    text::{self, Text},
};
use crate::outcome::{Outcome, Word};

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
pub(super) fn total(counts: &BTreeMap<String, u64>) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::{super::comparison::row, *};
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
