//! The report: one self-contained page from one result, and two results held against each other.
//!
//! It reads [`Outcome`] and nothing else. Its page asks for nothing from anywhere, and can be read without its script, which only
//! shows values under the pointer.

mod chart;
pub mod comparison;
mod curve;
mod facts;
mod figure;
mod markup;
mod number;
mod scale;
mod series;
mod strip;
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod tiles;
mod verbs;

use std::fmt::Write as _;

pub use verbs::{CompareArguments, ReportArguments, run_compare, run_report};

#[cfg(test)]
pub(crate) use tests::fixture;

use crate::outcome::Outcome;
use markup::{both, escape, section};

/// Draws the page; with an earlier result, each figure stands beside that one's.
#[must_use]
pub fn html(outcome: &Outcome, earlier: Option<&Outcome>) -> String {
    let title = if outcome.scenario.title.is_empty() {
        &outcome.scenario.name
    } else {
        &outcome.scenario.title
    };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"da\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>\n\
         <title>Klokke – {} – {}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        escape(text::TITLE.da),
        escape(title),
        include_str!("page.css"),
    );
    let _ = writeln!(
        page,
        "<header><p class=\"what\">Klokke · {}</p>\n<h1>{}</h1></header>",
        both(text::TITLE),
        escape(title)
    );
    page.push_str(&facts::verdict(outcome));
    page.push_str(&tiles::figures(outcome, earlier));
    page.push_str(&facts::run(outcome, earlier));
    page.push_str(&tables::thresholds(outcome, earlier));
    page.push_str(&curve::draw(outcome, earlier));
    page.push_str(&tables::roles(outcome, earlier));
    page.push_str(&tables::latencies(outcome, earlier));
    page.push_str(&tables::violations(outcome));
    page.push_str(&tables::errors(outcome, earlier));
    page.push_str(&bottleneck(outcome));
    page.push_str(&how());
    page.push_str(&tables::all_figures(outcome, earlier));
    let _ = write!(
        page,
        "</main>\n<script>\n{}</script>\n</body>\n</html>\n",
        include_str!("page.js")
    );
    page
}

fn bottleneck(outcome: &Outcome) -> String {
    let who = match outcome.bottleneck.who.as_str() {
        "server" => text::BY_SERVER,
        "tester" => text::BY_TESTER,
        "machine" => text::BY_MACHINE,
        "none" if outcome.curve.iter().any(|point| point.server.is_some()) => text::BY_NONE,
        _ => text::BY_UNKNOWN,
    };
    let why = if outcome.bottleneck.why.is_empty() {
        String::new()
    } else {
        format!(
            "<p class=\"said\">{}</p>\n",
            escape(&outcome.bottleneck.why)
        )
    };
    section(
        "bottleneck",
        text::BOTTLENECK,
        &format!("<p>{}</p>\n{why}", both(who)),
    )
}

fn how() -> String {
    let said = [
        text::HOW_DUE,
        text::HOW_DELIVERY,
        text::HOW_ACK,
        text::HOW_CONNECT,
        text::HOW_SERVER,
        text::HOW_PERCENTILES,
        text::HOW_PEOPLE,
        text::GROUND,
    ];
    let items: String = said
        .into_iter()
        .map(|text| format!("<li>{}</li>\n", both(text)))
        .collect();
    section(
        "how",
        text::HOW,
        &format!("<ul class=\"said-so\">\n{items}</ul>\n"),
    )
}
