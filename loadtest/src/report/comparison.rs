//! Two results side by side: what changed by how much, whether that is better, and whether they may be compared at all.

use std::{collections::BTreeSet, fmt::Write as _};

use serde::Serialize;

use super::figure::{Better, Figure};
use crate::outcome::{Outcome, Word};

/// Per cent below which two runs of the same thing differ anyway.
pub const ALIKE_PERCENT: f64 = 5.0;

/// What a change means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// It went the way it should.
    Better,
    /// It went the other way.
    Worse,
    /// Less than [`ALIKE_PERCENT`].
    Same,
    /// It changed, and neither way is better.
    Other,
    /// One of the two was not measured.
    Unknown,
}

/// One figure of both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub figure: String,
    /// Of the earlier result.
    pub earlier: Option<f64>,
    /// Of this one.
    pub now: Option<f64>,
    /// Difference in per cent of the earlier; absent where that was zero or one of them was not measured.
    pub percent: Option<f64>,
    /// What it means.
    pub meaning: Meaning,
}

/// Two results compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// In what the runs differ that has nothing to do with the server, e.g. `scenario: steady / first-monday`.
    pub not_alike: Vec<String>,
    /// Every figure of either.
    pub rows: Vec<Row>,
}

/// Compares one figure.
#[must_use]
pub fn row(figure: &str, earlier: Option<f64>, now: Option<f64>) -> Row {
    let (percent, meaning) = match (earlier, now) {
        (Some(earlier), Some(now)) if earlier.is_finite() && now.is_finite() => {
            judge(Figure::named(figure).better, earlier, now)
        }
        _ => (None, Meaning::Unknown),
    };
    Row {
        figure: figure.to_owned(),
        earlier,
        now,
        percent,
        meaning,
    }
}

fn judge(better: Better, earlier: f64, now: f64) -> (Option<f64>, Meaning) {
    let percent = (earlier != 0.0).then(|| (now - earlier) / earlier.abs() * 100.0);
    let alike = percent.map_or(now == earlier, |percent| percent.abs() < ALIKE_PERCENT);
    let meaning = match better {
        _ if alike => Meaning::Same,
        Better::Neither => Meaning::Other,
        Better::Lower if now < earlier => Meaning::Better,
        Better::Higher if now > earlier => Meaning::Better,
        Better::Lower | Better::Higher => Meaning::Worse,
    };
    (percent.or((now == earlier).then_some(0.0)), meaning)
}

/// Compares two results.
#[must_use]
pub fn compare(earlier: &Outcome, now: &Outcome) -> Comparison {
    let names: BTreeSet<&String> = earlier.figures.keys().chain(now.figures.keys()).collect();
    Comparison {
        not_alike: not_alike(earlier, now),
        rows: names
            .into_iter()
            .map(|name| {
                row(
                    name,
                    earlier.figures.get(name).copied(),
                    now.figures.get(name).copied(),
                )
            })
            .collect(),
    }
}

fn not_alike(earlier: &Outcome, now: &Outcome) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            differences.push(format!("{what}: {a} / {b}"));
        }
    };
    differ(
        "scenario",
        earlier.scenario.name.clone(),
        now.scenario.name.clone(),
    );
    differ(
        "speed",
        earlier.scenario.speed.to_string(),
        now.scenario.speed.to_string(),
    );
    differ(
        "protocol",
        earlier.scenario.codec.clone(),
        now.scenario.codec.clone(),
    );
    differ(
        "logins taking part",
        earlier.people.taking_part.to_string(),
        now.people.taking_part.to_string(),
    );
    differ(
        "cores",
        earlier.machine.cores.to_string(),
        now.machine.cores.to_string(),
    );
    differ(
        "agents",
        earlier.machine.agents.to_string(),
        now.machine.agents.to_string(),
    );
    differ(
        "server on the tester's machine",
        earlier.machine.shared_with_server.to_string(),
        now.machine.shared_with_server.to_string(),
    );
    // What could not be carried out has figures of another stretch of the morning.
    let whole = |outcome: &Outcome| outcome.verdict.word != Word::Incomplete;
    differ(
        "carried out",
        whole(earlier).to_string(),
        whole(now).to_string(),
    );
    differences
}

fn word(outcome: &Outcome) -> String {
    format!("{:?}", outcome.verdict.word).to_lowercase()
}

/// A table for the terminal: code's language and plain numbers, since it is read by eye and by scripts.
#[must_use]
pub fn table(earlier: &Outcome, now: &Outcome) -> String {
    let comparison = compare(earlier, now);
    let mut text = String::new();
    for (name, outcome) in [("A", earlier), ("B", now)] {
        let _ = writeln!(
            text,
            "{name}  {}  {}  {}  {}",
            printable(&outcome.scenario.name),
            printable(&outcome.began),
            printable(&outcome.target.version),
            word(outcome)
        );
    }
    if !comparison.not_alike.is_empty() {
        text.push_str(
            "\nThe runs are not alike; a difference may be due to this and not to the server:\n",
        );
        for difference in &comparison.not_alike {
            let _ = writeln!(text, "  {}", printable(difference));
        }
    }
    let shown: Vec<[String; 5]> = comparison.rows.iter().map(cells).collect();
    let heads = ["figure", "A", "B", "change", ""].map(str::to_owned);
    let widths: [usize; 4] = std::array::from_fn(|column| {
        let cells = shown.iter().chain([&heads]);
        cells
            .map(|cells| cells[column].chars().count())
            .max()
            .unwrap_or(0)
    });
    text.push('\n');
    for cells in [&heads].into_iter().chain(&shown) {
        let line = format!(
            "{:<a$}  {:>b$}  {:>c$}  {:>d$}  {}",
            cells[0],
            cells[1],
            cells[2],
            cells[3],
            cells[4],
            a = widths[0],
            b = widths[1],
            c = widths[2],
            d = widths[3]
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn cells(row: &Row) -> [String; 5] {
    let whole = [row.earlier, row.now]
        .into_iter()
        .flatten()
        .all(|value| value.fract() == 0.0);
    let decimals = if whole { 0 } else { 3 };
    let value = |value: Option<f64>| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
    };
    let change = match (row.percent, row.earlier, row.now) {
        (Some(percent), _, _) if percent.abs() < 0.05 => "0.0 %".to_owned(),
        (Some(percent), _, _) => format!("{percent:+.1} %"),
        (None, Some(earlier), Some(now)) => format!("{:+}", now - earlier),
        _ => "-".to_owned(),
    };
    let meaning = match row.meaning {
        Meaning::Better => "better",
        Meaning::Worse => "worse",
        Meaning::Same => "same",
        Meaning::Other => "",
        Meaning::Unknown => "not measured in both",
    };
    [
        printable(&row.figure),
        value(row.earlier),
        value(row.now),
        change,
        meaning.to_owned(),
    ]
}

/// A result may come from anywhere: nothing in it may steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_judged_by_what_the_figure_is() {
        use Meaning::{Better, Other, Same, Unknown, Worse};
        for (figure, earlier, now, percent, meaning) in [
            (
                "delivery.message.p99_ms",
                Some(200.0),
                Some(150.0),
                Some(-25.0),
                Better,
            ),
            (
                "delivery.message.p99_ms",
                Some(200.0),
                Some(300.0),
                Some(50.0),
                Worse,
            ),
            (
                "delivery.message.p99_ms",
                Some(200.0),
                Some(204.0),
                Some(2.0),
                Same,
            ),
            (
                "deliveries_per_second",
                Some(100.0),
                Some(150.0),
                Some(50.0),
                Better,
            ),
            ("people", Some(100.0), Some(150.0), Some(50.0), Other),
            ("violations.missing", Some(0.0), Some(1.0), None, Worse),
            ("violations.missing", Some(0.0), Some(0.0), Some(0.0), Same),
            ("violations.missing", None, Some(0.0), None, Unknown),
        ] {
            let row = row(figure, earlier, now);
            assert_eq!(
                (row.percent, row.meaning),
                (percent, meaning),
                "{figure} {earlier:?} {now:?}"
            );
        }
    }

    #[test]
    fn runs_of_different_things_are_said_to_be() {
        let mut earlier = Outcome::default();
        let mut now = Outcome::default();
        assert!(compare(&earlier, &now).not_alike.is_empty());
        earlier.scenario.name = "steady".to_owned();
        now.scenario.name = "first-monday".to_owned();
        now.machine.cores = 8;
        assert_eq!(
            compare(&earlier, &now).not_alike,
            ["scenario: steady / first-monday", "cores: 0 / 8"]
        );
    }

    #[test]
    fn the_table_has_every_figure_of_either_and_steers_no_terminal() {
        let mut earlier = Outcome::default();
        let mut now = Outcome::default();
        earlier
            .figures
            .insert("ack.message.p99_ms".to_owned(), 12.5);
        now.figures.insert("ack.message.p99_ms".to_owned(), 25.0);
        now.figures.insert("errors".to_owned(), 3.0);
        now.scenario.name = "\u{1b}[31mred".to_owned();
        let text = table(&earlier, &now);
        assert!(
            text.contains("ack.message.p99_ms  12.500  25.000  +100.0 %  worse"),
            "{text}"
        );
        assert!(
            text.contains("errors                   -       3         -  not measured in both"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
        let json = serde_json::to_value(compare(&earlier, &now)).expect("plain data");
        assert_eq!(json["rows"][0]["meaning"], "worse");
    }
}
