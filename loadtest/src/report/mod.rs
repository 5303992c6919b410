//! The report of a run, for people.

use crate::outcome::Outcome;

/// One self-contained page.
#[must_use]
pub fn html(outcome: &Outcome, _earlier: Option<&Outcome>) -> String {
    format!("<!doctype html><title>{}</title>", outcome.scenario.name)
}
