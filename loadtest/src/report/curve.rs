//! The curve of the morning: which charts there are, from which figures, and the strip of stages and events above them.

use std::fmt::Write as _;

use super::{
    chart::{Axis, Chart, Frame, Line, Shape},
    markup::{both, filled, note, pair, section},
    number,
    scale::{Scale, time_ticks},
    series::{Fold, Grid},
    strip,
    text::{self, Text},
};
use crate::outcome::{Outcome, Point, ServerPoint, Spread};

/// Most stages that are shown; more bands cannot be told apart.
pub(super) const STAGES_MAX: usize = 40;
/// Most events that are shown: there are so many letters.
pub(super) const EVENTS_MAX: usize = 26;

/// Draws the whole part.
pub(super) fn draw(outcome: &Outcome, earlier: Option<&Outcome>) -> String {
    let outcome = &bridged(outcome);
    let earlier = earlier.map(bridged);
    let earlier = earlier.as_ref();
    if outcome.curve.is_empty() {
        return section(
            "curve",
            text::CURVE,
            &format!("{}{}", note(text::NO_CURVE), strip::lists(outcome)),
        );
    }
    let frame = frame(outcome, earlier);
    let each = if frame.grid.width > 1.0 {
        filled(
            text::EACH_POINT,
            &[("n", &number::lasted(frame.grid.width))],
        )
    } else {
        both(text::EACH_POINT_ONE)
    };
    let faint = if earlier.is_some() {
        note(text::FAINT)
    } else {
        String::new()
    };
    let mut body = format!(
        "{}<p class=\"note\">{each}</p>\n{}{faint}",
        note(text::CURVE_ABOUT),
        note(text::GAPS)
    );
    let _ = writeln!(
        body,
        "<div class=\"charts\" data-span=\"{}\" data-width=\"{}\" data-columns=\"{}\">",
        frame.grid.span, frame.grid.width, frame.grid.columns
    );
    body.push_str(&strip::draw(outcome, &frame));
    for chart in charts(outcome, earlier, frame.grid) {
        body.push_str(&chart.draw(&frame));
    }
    body.push_str("</div>\n");
    body.push_str(&strip::lists(outcome));
    section("curve", text::CURVE, &body)
}

fn length(outcome: &Outcome) -> f64 {
    let last = outcome
        .curve
        .iter()
        .map(|point| point.at_s)
        .fold(0.0, f64::max);
    last.max(outcome.lasted_s)
}

fn frame(outcome: &Outcome, earlier: Option<&Outcome>) -> Frame {
    let grid = Grid::over(earlier.map_or(0.0, length).max(length(outcome)));
    // A result may come from anywhere: a time that is no number stands at the beginning.
    let part = |at: f64| {
        if at.is_nan() {
            0.0
        } else {
            (at / grid.span).clamp(0.0, 1.0)
        }
    };
    let stages = outcome.stages.iter().take(STAGES_MAX);
    let events = outcome.events.iter().take(EVENTS_MAX);
    Frame {
        grid,
        times: time_ticks(grid.span),
        bands: stages
            .map(|stage| (part(stage.from_s), part(stage.to_s.max(stage.from_s))))
            .collect(),
        marks: events.map(|event| part(event.at_s)).collect(),
        gaps: gaps(outcome, grid),
    }
}

/// Where the server could not be asked, though the run went on. A run that never could is not one long gap: its charts say so.
fn gaps(outcome: &Outcome, grid: Grid) -> Vec<(f64, f64)> {
    if outcome.curve.iter().all(|point| point.server.is_none()) {
        return Vec::new();
    }
    let went_on = grid.fold(&outcome.curve, Fold::Sum, |_| Some(1.0));
    let asked = grid.fold(&outcome.curve, Fold::Mean, |point| {
        point.server.map(|_| 1.0)
    });
    let end = length(outcome) / grid.span;
    let half = grid.width / grid.span / 2.0;
    let mut gaps: Vec<(f64, f64)> = Vec::new();
    for (column, (value, went_on)) in asked.iter().zip(&went_on).enumerate() {
        let (from, to) = (
            grid.place(column) - half,
            (grid.place(column) + half).min(end),
        );
        if value.is_some() || went_on.is_none() || from >= end {
            continue;
        }
        match gaps.last_mut() {
            Some(last) if (last.1 - from).abs() < 1e-9 => last.1 = to,
            _ => gaps.push((from, to)),
        }
    }
    gaps
}

/// The server is asked about once a second, so a second may pass between two askings without one. A lone one is not a gap: it has
/// what was told in the second before.
fn bridged(outcome: &Outcome) -> Outcome {
    let mut bridged = outcome.clone();
    let told = |at: usize| outcome.curve.get(at).map(|point| point.server.is_some());
    for at in 1..outcome.curve.len() {
        // The last second may end before its answer came.
        if told(at) == Some(false) && told(at - 1) == Some(true) && told(at + 1) != Some(false) {
            let before = &outcome.curve[at - 1];
            let point = &mut bridged.curve[at];
            point.server = before.server;
            point.machine_busy = point.machine_busy.or(before.machine_busy);
        }
    }
    bridged
}

/// Which of a point's latencies.
type Kind = fn(&Point) -> &Spread;

/// Makes lines of one run and, faint, the same of an earlier one.
struct Pen<'a> {
    outcome: &'a Outcome,
    earlier: Option<&'a Outcome>,
    grid: Grid,
}

impl Pen<'_> {
    fn line(
        &self,
        (text, colour, shape): (Text, &'static str, Shape),
        fold: Fold,
        value: impl Fn(&Point, &Outcome) -> Option<f64>,
    ) -> Line {
        let of = |outcome: &Outcome| {
            self.grid
                .fold(&outcome.curve, fold, |point| value(point, outcome))
        };
        Line {
            text,
            colour,
            shape,
            values: of(self.outcome),
            // What was planned is of no interest twice.
            earlier: self
                .earlier
                .filter(|_| shape != Shape::Dashed)
                .map(of)
                .unwrap_or_default(),
        }
    }

    fn rate(&self, look: (Text, &'static str, Shape), value: impl Fn(&Point) -> u64) -> Line {
        self.line(look, Fold::Mean, |point, _| Some(value(point) as f64))
    }

    fn spread(
        &self,
        spread: Kind,
        value: fn(&Spread) -> f64,
        text: Text,
        colour: &'static str,
    ) -> Line {
        self.line(
            (text, colour, Shape::Line),
            Fold::WorstOfMeasured,
            |point, _| {
                Some(spread(point))
                    .filter(|spread| spread.count > 0)
                    .map(value)
            },
        )
    }

    fn latency(&self, spread: Kind) -> Vec<Line> {
        vec![
            self.spread(spread, |spread| spread.max_ms, text::LONGEST, "faint"),
            self.spread(spread, |spread| spread.p99_ms, text::MOST, "c"),
            self.spread(spread, |spread| spread.p95_ms, text::MANY, "b"),
            self.spread(spread, |spread| spread.p50_ms, text::HALF, "a"),
        ]
    }
}

fn charts(outcome: &Outcome, earlier: Option<&Outcome>, grid: Grid) -> Vec<Chart> {
    let pen = Pen {
        outcome,
        earlier,
        grid,
    };
    let mut charts = flow(&pen);
    charts.extend(latencies(&pen));
    charts.extend(trouble(&pen));
    charts.extend(machine(&pen));
    charts
}

/// How much there was of everything.
fn flow(pen: &Pen<'_>) -> Vec<Chart> {
    let chart = |title, unit: (Text, &'static str), lines| Chart {
        title,
        unit: (both(unit.0), unit.1),
        axis: Axis::Zero,
        note: None,
        quiet: None,
        lines,
    };
    let per_second = (text::PER_SECOND_UNIT, "/s");
    vec![
        chart(
            text::PRESENT,
            (text::COUNT_UNIT, ""),
            vec![
                pen.rate((text::ONLINE, "a", Shape::Area), |point| point.online),
                pen.rate((text::OF_STAFF, "b", Shape::Line), |point| {
                    point.online_staff
                }),
                pen.rate((text::PLANNED, "plan", Shape::Dashed), |point| {
                    point.planned
                }),
            ],
        ),
        chart(
            text::ARRIVALS,
            per_second,
            vec![
                pen.rate((text::GRANTED, "a", Shape::Area), |point| point.connects),
                pen.rate((text::TOLD_TO_WAIT, "b", Shape::Line), |point| {
                    point.told_to_wait
                }),
            ],
        ),
        chart(
            text::DELIVERIES,
            per_second,
            vec![pen.rate((text::DELIVERED, "a", Shape::Area), |point| {
                point.deliveries
            })],
        ),
        chart(
            text::SENT,
            per_second,
            vec![
                pen.rate((text::ACKED, "a", Shape::Area), |point| point.acked),
                pen.rate((text::DUE, "plan", Shape::Dashed), |point| point.due),
            ],
        ),
    ]
}

/// How long everything took: all on the same decades, so that they can be held against each other.
fn latencies(pen: &Pen<'_>) -> Vec<Chart> {
    let kinds: [(Text, Kind); 3] = [
        (text::DELIVERY_TIME, |point| &point.delivery),
        (text::ACK_TIME, |point| &point.ack),
        (text::CONNECT_TIME, |point| &point.connect),
    ];
    let drawn: Vec<(Text, Vec<Line>)> = kinds
        .into_iter()
        .map(|(title, spread)| (title, pen.latency(spread)))
        .collect();
    let scale = decades(drawn.iter().flat_map(|(_, lines)| lines));
    let chart = |title, scale, lines| Chart {
        title,
        unit: (both(text::LOGARITHMIC), ""),
        axis: Axis::Decades(scale),
        note: None,
        quiet: None,
        lines,
    };
    drawn
        .into_iter()
        .map(|(title, lines)| chart(title, scale, lines))
        .collect()
}

fn decades<'a>(lines: impl Iterator<Item = &'a Line>) -> Scale {
    Scale::log(
        lines
            .flat_map(|line| line.values.iter().chain(&line.earlier))
            .filter_map(|value| *value),
    )
}

/// What went wrong; violations by themselves, so that a single one is seen beside any number of errors.
fn trouble(pen: &Pen<'_>) -> [Chart; 2] {
    let violations = (text::VIOLATIONS_LINE, "alert", Shape::Bars);
    let chart = |title, unit, quiet, line| Chart {
        title,
        unit,
        axis: Axis::Zero,
        note: None,
        quiet: Some(quiet),
        lines: vec![line],
    };
    [
        chart(
            text::TROUBLE,
            (both(text::PER_SECOND_UNIT), "/s"),
            text::NO_TROUBLE,
            pen.rate((text::ERRORS_LINE, "b", Shape::Bars), |point| point.errors),
        ),
        chart(
            text::VIOLATIONS_CHART,
            (both(text::COUNT_UNIT), ""),
            // What is missing is known only when everybody has been asked: then it is on no second of the curve.
            if pen
                .outcome
                .violations
                .counts
                .values()
                .all(|count| *count == 0)
            {
                text::NO_VIOLATIONS_CHART
            } else {
                text::AT_THE_END_ONLY
            },
            pen.line(violations, Fold::Sum, |point, _| {
                Some(point.violations as f64)
            }),
        ),
    ]
}

/// What it cost.
fn machine(pen: &Pen<'_>) -> Vec<Chart> {
    let server = |value: fn(&ServerPoint) -> f64| {
        move |point: &Point, _: &Outcome| point.server.as_ref().map(value)
    };
    let cores = vec![
        pen.line(
            (text::SERVER, "a", Shape::Area),
            Fold::Mean,
            server(|server| server.cores),
        ),
        pen.line((text::AGENTS, "b", Shape::Line), Fold::Mean, |point, _| {
            Some(point.agents_cores)
        }),
        pen.line(
            (text::WHOLE_MACHINE, "plan", Shape::Dashed),
            Fold::Mean,
            |point, outcome| {
                point
                    .machine_busy
                    .map(|busy| busy * f64::from(outcome.machine.cores))
            },
        ),
    ];
    let memory = pen.line(
        (text::RESIDENT, "a", Shape::Area),
        Fold::Worst,
        server(|server| server.resident_bytes as f64),
    );
    let per_connection = |outcome: &Outcome| {
        let each = Each::of(outcome);
        pen.grid
            .fold(&outcome.curve, Fold::WorstOfMeasured, |point| {
                each.as_ref()?.at(point.server.as_ref()?)
            })
    };
    let each = Line {
        text: text::RESIDENT,
        colour: "a",
        shape: Shape::Line,
        values: per_connection(pen.outcome),
        earlier: pen.earlier.map(per_connection).unwrap_or_default(),
    };
    // Where nothing was due, nothing was late.
    let late = pen.line(
        (text::LATE_LINE, "b", Shape::Line),
        Fold::WorstOfMeasured,
        |point, _| Some(point.agents_late_p99_ms).filter(|late| *late > 0.0),
    );
    vec![
        Chart {
            title: text::CORES,
            unit: (both(text::CORES_UNIT), ""),
            axis: Axis::ZeroTo(f64::from(pen.outcome.machine.cores)),
            note: None,
            quiet: None,
            lines: cores,
        },
        in_bytes(text::MEMORY, None, memory),
        in_bytes(text::EACH, Some(text::EACH_NOTE), each),
        Chart {
            title: text::LATE,
            unit: (both(text::LOGARITHMIC), ""),
            axis: Axis::Decades(decades([&late].into_iter())),
            note: None,
            quiet: None,
            lines: vec![late],
        },
    ]
}

/// What connections cost in memory: what the server uses beyond what it was first seen with, over the connections it has beyond
/// those. Told once there are enough of them for that to mean anything.
pub(super) struct Each {
    first: ServerPoint,
    enough: u64,
}

impl Each {
    /// For a run; `None` where the server was never asked.
    pub(super) fn of(outcome: &Outcome) -> Option<Self> {
        let mut servers = outcome.curve.iter().filter_map(|point| point.server);
        let first = servers.next()?;
        let most = servers.map(|server| server.connections).max()?;
        Some(Self {
            first,
            enough: (most.saturating_sub(first.connections) / 10).max(1),
        })
    }

    /// At one moment.
    pub(super) fn at(&self, server: &ServerPoint) -> Option<f64> {
        let more = server.connections.saturating_sub(self.first.connections);
        let bytes = server
            .resident_bytes
            .checked_sub(self.first.resident_bytes)?;
        (more >= self.enough).then(|| bytes as f64 / more as f64)
    }
}

fn in_bytes(title: Text, about: Option<Text>, mut line: Line) -> Chart {
    let most = line
        .values
        .iter()
        .chain(&line.earlier)
        .filter_map(|value| *value)
        .fold(0.0, f64::max);
    let (name, size) = number::byte_unit(most);
    for value in line.values.iter_mut().chain(&mut line.earlier).flatten() {
        *value /= size;
    }
    Chart {
        title,
        unit: (pair(name, name), name),
        axis: Axis::Zero,
        note: about,
        quiet: None,
        lines: vec![line],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(server: &[bool]) -> Outcome {
        let point = |(index, asked): (usize, &bool)| Point {
            at_s: (index + 1) as f64,
            server: asked.then_some(ServerPoint {
                cores: 1.0,
                resident_bytes: 1000,
                connections: 10,
            }),
            ..Point::default()
        };
        Outcome {
            curve: server.iter().enumerate().map(point).collect(),
            ..Outcome::default()
        }
    }

    #[test]
    fn where_the_server_could_not_be_asked_is_a_gap_up_to_the_end_of_the_run() {
        let outcome = asked(&[
            true, true, false, false, true, false, true, true, true, true,
        ]);
        let found = gaps(&outcome, Grid::over(20.0));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert_eq!(
            found.len(),
            2,
            "{found:?}: nothing is a gap after the end of the run"
        );
        assert!(
            close(found[0].0, 0.1) && close(found[0].1, 0.2),
            "{found:?}"
        );
        assert!(
            close(found[1].0, 0.25) && close(found[1].1, 0.3),
            "{found:?}"
        );
        assert!(
            gaps(&asked(&[false, false]), Grid::over(2.0)).is_empty(),
            "never asked is not a gap"
        );
    }

    #[test]
    fn a_lone_second_without_an_answer_is_no_gap_and_two_are() {
        let bridged = bridged(&asked(&[
            false, true, false, true, false, false, true, false,
        ]));
        let told: Vec<bool> = bridged
            .curve
            .iter()
            .map(|point| point.server.is_some())
            .collect();
        assert_eq!(told, [false, true, true, true, false, false, true, true]);
    }

    #[test]
    fn where_the_run_told_nothing_the_server_is_not_said_to_be_silent() {
        let mut outcome = asked(&[true, true, true, true]);
        outcome.curve.drain(1..3);
        assert!(gaps(&outcome, Grid::over(4.0)).is_empty());
    }

    #[test]
    fn memory_per_connection_is_beyond_the_first_and_not_told_before_there_are_enough() {
        let mut outcome = asked(&[true, true]);
        let point = |resident_bytes, connections| ServerPoint {
            cores: 0.0,
            resident_bytes,
            connections,
        };
        outcome.curve[0].server = Some(point(1000, 10));
        outcome.curve[1].server = Some(point(4000, 40));
        let each = Each::of(&outcome).expect("it was asked");
        for (bytes, connections, told) in [
            (4000, 40, Some(100.0)),
            (1300, 13, Some(100.0)),
            (1200, 12, None),
            (1200, 5, None),
            (900, 40, None),
        ] {
            assert_eq!(
                each.at(&point(bytes, connections)),
                told,
                "{bytes} {connections}"
            );
        }
        assert!(Each::of(&Outcome::default()).is_none());
    }
}
