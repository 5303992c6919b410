//! The tables of the report: thresholds, latencies, roles, errors, violations, and every figure there is.

use std::fmt::Write as _;

use super::{
    comparison::{ALIKE_PERCENT, compare, row},
    facts::{change, sign},
    figure::{self, Figure},
    markup::{Cell, both, escape, filled, head, note, number_head, pair, section, table},
    number::{self, Unit},
    text::{self, Text},
};
use crate::outcome::{Judged, Outcome, Role, Spread};

/// Most sorts of errors shown.
const ERRORS_MAX: usize = 40;
/// Most pieces of evidence shown: enough to see what it is, and not a page of it.
const EVIDENCE_MAX: usize = 60;

/// What a figure may be, in words.
pub(super) fn bound(judged: &Judged, unit: Unit) -> String {
    let sides = [
        (text::AT_MOST, judged.at_most),
        (text::AT_LEAST, judged.at_least),
    ];
    let said: Vec<String> = sides
        .into_iter()
        .filter_map(|(word, bound)| {
            bound.map(|bound| format!("{} {}", both(word), escape(&unit.show(bound))))
        })
        .collect();
    said.join(", ")
}

/// The same as signs, for a column.
fn signed_bound(judged: &Judged, unit: Unit) -> String {
    let sides = [("≤", judged.at_most), ("≥", judged.at_least)];
    let said: Vec<String> = sides
        .into_iter()
        .filter_map(|(sign, bound)| {
            bound.map(|bound| format!("{sign} {}", escape(&unit.show(bound))))
        })
        .collect();
    said.join("<br/>")
}

fn named(name: &str, figure: &Figure) -> Cell {
    Cell::words(format!(
        "{}<br/><code>{}</code>",
        pair(&figure.da, &figure.en),
        escape(name)
    ))
}

/// Thresholds with what was measured, broken ones first.
pub(super) fn thresholds(outcome: &Outcome, earlier: Option<&Outcome>) -> String {
    if outcome.thresholds.is_empty() {
        return section("thresholds", text::THRESHOLDS, &note(text::NO_THRESHOLDS));
    }
    let mut heads = vec![
        head(text::RESULT),
        head(text::FIGURE),
        number_head(text::MEASURED),
        number_head(text::BOUND),
        Cell::words(both(text::OF_BOUND)),
    ];
    if earlier.is_some() {
        heads.extend([number_head(text::BEFORE), number_head(text::CHANGE)]);
    }
    let mut judged: Vec<&Judged> = outcome.thresholds.iter().collect();
    judged.sort_by_key(|judged| judged.held);
    let rows: Vec<Vec<Cell>> = judged
        .into_iter()
        .map(|judged| threshold(judged, earlier))
        .collect();
    section("thresholds", text::THRESHOLDS, &table(&heads, &rows))
}

fn threshold(judged: &Judged, earlier: Option<&Outcome>) -> Vec<Cell> {
    let figure = Figure::named(&judged.figure);
    let (class, sign, word) = match judged.measured {
        _ if judged.held => ("good", "✓", text::DID_HOLD),
        None => ("bad", "✗", text::NOT_MEASURED),
        Some(_) => ("bad", "✗", text::DID_NOT_HOLD),
    };
    let show = |value: Option<f64>| {
        value.map_or_else(
            || both(text::NOT_MEASURED),
            |value| escape(&figure.unit.show(value)),
        )
    };
    let mut cells = vec![
        Cell::of(
            class,
            format!("{sign} <span class=\"wide\">{}</span>", both(word)),
        ),
        named(&judged.figure, &figure),
        Cell::number(show(judged.measured)),
        Cell::number(signed_bound(judged, figure.unit)),
        Cell::of("gauge", gauge(judged)),
    ];
    if let Some(earlier) = earlier {
        let was = earlier.figures.get(&judged.figure).copied();
        cells.push(Cell::number(show(was)));
        cells.push(Cell::number(change(&row(
            &judged.figure,
            was,
            judged.measured,
        ))));
    }
    cells
}

/// How much of the bound was used, as a bar from zero that ends at twice the bound. Only where there is one bound above zero.
fn gauge(judged: &Judged) -> String {
    let (Some(measured), Some(bound), None) = (judged.measured, judged.at_most, judged.at_least)
    else {
        return String::new();
    };
    if bound <= 0.0 || measured < 0.0 {
        return String::new();
    }
    let part = measured / bound;
    let over = if part > 1.0 { " over" } else { "" };
    format!(
        "<span class=\"bar\"><i class=\"{over}\" style=\"width:{:.1}%\"></i></span> {}",
        part.min(2.0) * 50.0,
        escape(&Unit::Part.show((part * 1000.0).round() / 1000.0))
    )
}

/// Takes one percentile.
type Percentile = fn(&Spread) -> f64;

/// Percentiles that the tables show.
const PERCENTILES: [(&str, Percentile); 6] = [
    ("50 %", |spread| spread.p50_ms),
    ("90 %", |spread| spread.p90_ms),
    ("95 %", |spread| spread.p95_ms),
    ("99 %", |spread| spread.p99_ms),
    ("99,9 %", |spread| spread.p999_ms),
    ("", |spread| spread.max_ms),
];

/// Latencies by kind.
pub(super) fn latencies(outcome: &Outcome, earlier: Option<&Outcome>) -> String {
    if outcome.latencies.is_empty() {
        return section("latencies", text::LATENCIES, &note(text::NO_LATENCIES));
    }
    let mut heads = vec![head(text::KIND), number_head(text::HOW_MANY)];
    heads.extend(PERCENTILES.iter().map(|(name, _)| {
        Cell::number(if name.is_empty() {
            both(text::LONGEST)
        } else {
            escape(name)
        })
    }));
    let rows: Vec<Vec<Cell>> = outcome
        .latencies
        .iter()
        .map(|(kind, spread)| {
            let was = earlier.and_then(|earlier| earlier.latencies.get(kind));
            let mut cells = vec![
                named(kind, &Figure::named(kind)),
                Cell::number(number::whole(spread.count)),
            ];
            cells.extend(
                PERCENTILES
                    .iter()
                    .map(|(_, value)| Cell::number(spread_cell(spread, was, *value))),
            );
            cells
        })
        .collect();
    section(
        "latencies",
        text::LATENCIES,
        &format!("{}{}", note(text::LATENCIES_NOTE), table(&heads, &rows)),
    )
}

/// A percentile, and under it how it changed.
fn spread_cell(spread: &Spread, was: Option<&Spread>, value: Percentile) -> String {
    if spread.count == 0 {
        return "–".to_owned();
    }
    let mut html = number::measured(value(spread));
    if let Some(was) = was.filter(|was| was.count > 0) {
        let row = row("latency_ms", Some(value(was)), Some(value(spread)));
        if let Some(percent) = row.percent {
            let class = match row.meaning {
                super::comparison::Meaning::Better => "better",
                super::comparison::Meaning::Worse => "worse",
                _ => "same",
            };
            let _ = write!(
                html,
                "<br/><small class=\"change {class}\">{}{} %</small>",
                sign(percent),
                number::number(percent, 0)
            );
        }
    }
    html
}

/// Roles, staff first: who got in, how soon, and whether what they sent worked.
pub(super) fn roles(outcome: &Outcome, earlier: Option<&Outcome>) -> String {
    if outcome.roles.is_empty() {
        return section("roles", text::ROLES, &note(text::NO_ROLES));
    }
    let under = |title: Text, part: &str| Cell::number(format!("{}<br/>{part}", both(title)));
    let heads = [
        head(text::ROLE),
        number_head(text::TAKING_PART),
        number_head(text::ROLE_ONLINE),
        number_head(text::ROLE_WAITED),
        under(text::ROLE_CONNECT, "50 %"),
        under(text::ROLE_CONNECT, "99 %"),
        under(text::ROLE_BACK, "50 %"),
        under(text::ROLE_BACK, "95 %"),
        under(text::ROLE_BACK, "100 %"),
        under(text::ROLE_ACK, "50 %"),
        under(text::ROLE_ACK, "99 %"),
    ];
    let known = ["staff", "guardian", "pupil", "other"];
    let place = |name: &str| {
        known
            .iter()
            .position(|known| *known == name)
            .unwrap_or(known.len())
    };
    let mut roles: Vec<(&String, &Role)> = outcome.roles.iter().collect();
    roles.sort_by_key(|(name, _)| place(name));
    let rows: Vec<Vec<Cell>> = roles
        .into_iter()
        .map(|(name, role)| {
            role_row(
                name,
                role,
                earlier.and_then(|earlier| earlier.roles.get(name)),
            )
        })
        .collect();
    section(
        "roles",
        text::ROLES,
        &format!("{}{}", note(text::ROLES_NOTE), table(&heads, &rows)),
    )
}

fn role_row(name: &str, role: &Role, was: Option<&Role>) -> Vec<Cell> {
    let spread = |of: fn(&Role) -> &Spread, value: Percentile| {
        Cell::number(spread_cell(of(role), was.map(of), value))
    };
    let seconds = |of: fn(&Role) -> Option<f64>| {
        let mut html = of(role).map_or_else(|| "–".to_owned(), number::measured);
        if let (Some(now), Some(was)) = (of(role), was.and_then(of)) {
            let row = row("back_s", Some(was), Some(now));
            if let Some(percent) = row.percent {
                let _ = write!(
                    html,
                    "<br/><small>{}{} %</small>",
                    sign(percent),
                    number::number(percent, 0)
                );
            }
        }
        Cell::number(html)
    };
    vec![
        Cell::words(figure::role(name).map_or_else(|| escape(name), both)),
        Cell::number(number::whole(role.taking_part)),
        Cell::number(number::whole(role.online_max)),
        Cell::number(number::whole(role.told_to_wait)),
        spread(|role| &role.connect, |spread| spread.p50_ms),
        spread(|role| &role.connect, |spread| spread.p99_ms),
        seconds(|role| role.back_50_s),
        seconds(|role| role.back_95_s),
        seconds(|role| role.back_100_s),
        spread(|role| &role.ack, |spread| spread.p50_ms),
        spread(|role| &role.ack, |spread| spread.p99_ms),
    ]
}

/// Errors, most frequent first.
pub(super) fn errors(outcome: &Outcome, earlier: Option<&Outcome>) -> String {
    let mut errors: Vec<(&String, u64)> = outcome
        .errors
        .iter()
        .map(|(name, count)| (name, *count))
        .collect();
    if errors.is_empty() {
        return section("errors", text::ERRORS_TABLE, &note(text::NO_ERRORS));
    }
    errors.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut heads = vec![head(text::ERROR), number_head(text::HOW_MANY)];
    if earlier.is_some() {
        heads.push(number_head(text::BEFORE));
    }
    let rows: Vec<Vec<Cell>> = errors
        .iter()
        .take(ERRORS_MAX)
        .map(|(name, count)| {
            let mut cells = vec![
                Cell::words(format!("<code>{}</code>", escape(name))),
                Cell::number(number::whole(*count)),
            ];
            if let Some(earlier) = earlier {
                cells.push(Cell::number(number::whole(
                    earlier.errors.get(*name).copied().unwrap_or(0),
                )));
            }
            cells
        })
        .collect();
    let mut body = table(&heads, &rows);
    body.push_str(&more(text::MORE_ERRORS, errors.len(), ERRORS_MAX));
    section("errors", text::ERRORS_TABLE, &body)
}

fn more(text: Text, all: usize, shown: usize) -> String {
    if all <= shown {
        return String::new();
    }
    let more = number::number((all - shown) as f64, 0);
    format!("<p class=\"note\">{}</p>\n", filled(text, &[("n", &more)]))
}

/// What the checker found, with evidence.
pub(super) fn violations(outcome: &Outcome) -> String {
    let found = &outcome.violations;
    let about = filled(
        text::VIOLATIONS_ABOUT,
        &[
            ("checked", &number::whole(found.deliveries_checked)),
            ("expected", &number::whole(found.deliveries_expected)),
        ],
    );
    let mut body = format!("<p class=\"note\">{about}</p>\n");
    let kind = |kind: &str| figure::violation(kind).map_or_else(|| escape(kind), both);
    let counts: Vec<Vec<Cell>> = found
        .counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| {
            vec![
                Cell::of("bad", kind(name)),
                Cell::number(number::whole(*count)),
            ]
        })
        .collect();
    if counts.is_empty() {
        let looked = found.deliveries_checked > 0;
        body.push_str(&note(if looked {
            text::NO_VIOLATIONS
        } else {
            text::UNCHECKED
        }));
    } else {
        body.push_str(&table(
            &[head(text::KIND), number_head(text::HOW_MANY)],
            &counts,
        ));
    }
    if !found.evidence.is_empty() {
        let heads = [
            head(text::KIND),
            number_head(text::NOTICED),
            head(text::LOGIN),
            head(text::CHANNEL),
            head(text::EVIDENCE),
        ];
        let rows: Vec<Vec<Cell>> = found
            .evidence
            .iter()
            .take(EVIDENCE_MAX)
            .map(|evidence| {
                vec![
                    Cell::words(kind(&evidence.kind)),
                    Cell::number(if evidence.at_s > 0.0 {
                        number::moment(evidence.at_s)
                    } else {
                        both(text::AT_THE_END)
                    }),
                    Cell::words(format!("<code>{}</code>", escape(&evidence.login))),
                    Cell::words(format!("<code>{}</code>", escape(&evidence.channel))),
                    Cell::of("long", escape(&evidence.what)),
                ]
            })
            .collect();
        body.push_str(&table(&heads, &rows));
        body.push_str(&more(
            text::MORE_EVIDENCE,
            found.evidence.len(),
            EVIDENCE_MAX,
        ));
    }
    section("violations", text::VIOLATIONS, &body)
}

/// Every figure by its name, beside the earlier one's.
pub(super) fn all_figures(outcome: &Outcome, earlier: Option<&Outcome>) -> String {
    if outcome.figures.is_empty() && earlier.is_none_or(|earlier| earlier.figures.is_empty()) {
        return String::new();
    }
    let show = |name: &str, value: Option<f64>| {
        Cell::number(value.map_or_else(
            || "–".to_owned(),
            |value| escape(&Figure::named(name).unit.show(value)),
        ))
    };
    let Some(earlier) = earlier else {
        let rows: Vec<Vec<Cell>> = outcome
            .figures
            .iter()
            .map(|(name, value)| {
                vec![
                    Cell::words(format!("<code>{}</code>", escape(name))),
                    show(name, Some(*value)),
                ]
            })
            .collect();
        return section(
            "all",
            text::ALL_FIGURES,
            &table(&[head(text::FIGURE), number_head(text::MEASURED)], &rows),
        );
    };
    let heads = [
        head(text::FIGURE),
        number_head(text::BEFORE),
        number_head(text::NOW),
        number_head(text::CHANGE),
    ];
    let rows: Vec<Vec<Cell>> = compare(earlier, outcome)
        .rows
        .iter()
        .map(|row| {
            vec![
                Cell::words(format!("<code>{}</code>", escape(&row.figure))),
                show(&row.figure, row.earlier),
                show(&row.figure, row.now),
                Cell::number(change(row)),
            ]
        })
        .collect();
    let alike = filled(text::SAME_NOTE, &[("n", &number::measured(ALIKE_PERCENT))]);
    section(
        "all",
        text::ALL_FIGURES,
        &format!("<p class=\"note\">{alike}</p>\n{}", table(&heads, &rows)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_ends_at_twice_its_bound_and_only_stands_where_it_means_something() {
        let judged = |at_most, at_least, measured| Judged {
            at_most,
            at_least,
            measured,
            ..Judged::default()
        };
        assert!(gauge(&judged(Some(500.0), None, Some(250.0))).contains("width:25.0%"));
        let over = gauge(&judged(Some(500.0), None, Some(5000.0)));
        assert!(
            over.contains("width:100.0%") && over.contains("over") && over.contains("1.000 %"),
            "{over}"
        );
        for nothing in [
            judged(Some(0.0), None, Some(1.0)),
            judged(None, Some(5.0), Some(1.0)),
            judged(Some(5.0), None, None),
        ] {
            assert_eq!(gauge(&nothing), "");
        }
    }

    #[test]
    fn staff_stand_first_and_unknown_roles_last() {
        let mut outcome = Outcome::default();
        for name in ["guardian", "aliens", "staff"] {
            outcome.roles.insert(name.to_owned(), Role::default());
        }
        let html = roles(&outcome, None);
        let at = |what: &str| html.find(what).expect(what);
        assert!(at("Personale") < at("Forældre") && at("Forældre") < at("aliens"));
    }

    #[test]
    fn long_lists_are_cut_and_say_so() {
        let mut outcome = Outcome::default();
        for number in 0..50_u64 {
            outcome.errors.insert(format!("message {number}"), number);
        }
        let html = errors(&outcome, None);
        assert!(html.contains("message 49</code>") && !html.contains("message 9</code>"));
        assert!(html.contains("og 10 andre slags"));
    }
}
