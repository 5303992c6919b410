//! Stages and events: the strip above the charts, and the lists below them.

use std::fmt::Write as _;

use super::{
    chart::{Frame, time_labels},
    curve::STAGES_MAX,
    figure,
    markup::{both, escape, filled},
    number,
    text::{self, Text},
};
use crate::outcome::{Event, Outcome};

/// How far flags must stand from each other, as a part of the width, not to cover each other on a phone.
const FLAG_WIDTH: f64 = 0.07;

/// Stages by number and name, events by letter, and the time axis, above all charts.
pub(super) fn draw(outcome: &Outcome, frame: &Frame) -> String {
    let lanes = lanes(&frame.marks);
    let rows = lanes.iter().max().map_or(0, |most| most + 1);
    let mut html = String::from("<div class=\"strip\"><div class=\"stages\">");
    for (index, (stage, (from, to))) in outcome.stages.iter().zip(&frame.bands).enumerate() {
        let odd = if index % 2 == 1 { " odd" } else { "" };
        let name = escape(&stage.name);
        let _ = write!(
            html,
            "<div class=\"stage{odd}\" style=\"left:{:.2}%;width:{:.2}%\" title=\"{name}\"><b>{}</b> {name}</div>",
            from * 100.0,
            (to - from) * 100.0,
            index + 1
        );
    }
    let _ = write!(
        html,
        "</div>\n<div class=\"flags\" style=\"height:{}rem\">",
        (rows as f64) * 1.25
    );
    for ((mark, lane), (letter, event)) in frame
        .marks
        .iter()
        .zip(&lanes)
        .zip(letters().zip(&outcome.events))
    {
        let _ = write!(
            html,
            "<span class=\"flag\" style=\"left:{:.2}%;top:{}rem\" title=\"{}\">{letter}</span>",
            mark * 100.0,
            (*lane as f64) * 1.25,
            escape(&event.what)
        );
    }
    html.push_str("</div>\n");
    time_labels(frame, &mut html);
    html.push_str("</div>\n");
    html
}

fn letters() -> impl Iterator<Item = char> {
    'A'..='Z'
}

/// For each flag the row in which it stands free of those before it.
fn lanes(marks: &[f64]) -> Vec<usize> {
    let mut placed: Vec<(f64, usize)> = Vec::new();
    for mark in marks {
        let taken = |lane: usize| {
            placed
                .iter()
                .any(|(other, at)| *at == lane && (other - mark).abs() < FLAG_WIDTH)
        };
        let lane = (0..marks.len()).find(|lane| !taken(*lane)).unwrap_or(0);
        placed.push((*mark, lane));
    }
    placed.into_iter().map(|(_, lane)| lane).collect()
}

/// Stages and events with their times, in words.
pub(super) fn lists(outcome: &Outcome) -> String {
    let mut html = String::new();
    let mut list = |title: Text, lines: Vec<String>, all: usize| {
        if lines.is_empty() {
            return;
        }
        let _ = write!(html, "<div><h3>{}</h3><ol class=\"plain\">", both(title));
        for line in &lines {
            let _ = write!(html, "<li>{line}</li>");
        }
        if all > lines.len() {
            let more = number::number((all - lines.len()) as f64, 0);
            let _ = write!(
                html,
                "<li>{}</li>",
                filled(text::MORE_STAGES, &[("n", &more)])
            );
        }
        html.push_str("</ol></div>\n");
    };
    let stages = outcome
        .stages
        .iter()
        .take(STAGES_MAX)
        .enumerate()
        .map(|(index, stage)| {
            format!(
                "<b class=\"number\">{}</b> {} <span class=\"when\">{}–{}</span>",
                index + 1,
                escape(&stage.name),
                number::moment(stage.from_s),
                number::moment(stage.to_s)
            )
        });
    list(text::STAGES, stages.collect(), outcome.stages.len());
    let events = letters().zip(&outcome.events).map(|(letter, event)| {
        format!(
            "<b class=\"flag\">{letter}</b> {} <span class=\"when\">{}</span>{}",
            figure::event(&event.what).map_or_else(|| escape(&event.what), both),
            number::moment(event.at_s),
            normal(event)
        )
    });
    list(text::EVENTS, events.collect(), outcome.events.len());
    if html.is_empty() {
        html
    } else {
        format!("<div class=\"lists\">{html}</div>\n")
    }
}

/// How long it took until everything was as before.
fn normal(event: &Event) -> String {
    let told = match event.normal_s {
        Some(seconds) => filled(text::NORMAL_AFTER, &[("n", &number::number(seconds, 0))]),
        None if event.disturbs => both(text::NOT_NORMAL),
        None => return String::new(),
    };
    format!(" <span class=\"when\">{told}</span>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_to_the_servers_says_how_long_it_was_felt() {
        let mut event = Event::default();
        assert_eq!(normal(&event), "");
        event.disturbs = true;
        assert!(normal(&event).contains("not as before in time"));
        event.normal_s = Some(12.0);
        assert!(normal(&event).contains("as before after 12 s"));
    }

    #[test]
    fn flags_that_stand_close_get_rows_of_their_own() {
        assert_eq!(lanes(&[0.1, 0.5, 0.9]), [0, 0, 0]);
        assert_eq!(lanes(&[0.50, 0.51, 0.52, 0.9]), [0, 1, 2, 0]);
        assert_eq!(lanes(&[]), [0_usize; 0]);
    }
}
