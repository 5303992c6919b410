//! The figures that matter, large.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    comparison::row,
    curve::Each,
    facts::{change, total},
    markup::{both, escape, section},
    number::Unit,
    text::{self, Text},
};
use crate::outcome::{Outcome, Role, Spread};

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
        if let Some((kind, slowest)) = tile.worst_of.and_then(|worst| worst(outcome)) {
            let _ = write!(
                tiles,
                "<p class=\"sub\">{} {}<br/><code>{}</code></p>",
                both(text::SLOWEST_OF),
                escape(&tile.unit.show(slowest)),
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

fn most(outcome: &Outcome, value: impl Fn(&crate::outcome::Point) -> Option<f64>) -> Option<f64> {
    outcome.curve.iter().filter_map(value).reduce(f64::max)
}

/// The slowest of the latencies whose names begin so, by 99 %, of those that `all` joins: looking is not writing.
fn slowest(latencies: &BTreeMap<String, Spread>, beginning: &str) -> Option<(String, f64)> {
    latencies
        .iter()
        .filter(|(_, spread)| spread.count > 0)
        .filter_map(|(kind, spread)| Some((kind.strip_prefix(beginning)?, spread.p99_ms)))
        .filter(|(kind, _)| !["all", "browse"].contains(kind))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(kind, p99_ms)| (kind.to_owned(), p99_ms))
}

fn p99(outcome: &Outcome, kind: &str) -> Option<f64> {
    let spread = outcome.latencies.get(kind)?;
    (spread.count > 0).then_some(spread.p99_ms)
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
        value: |outcome| p99(outcome, "delivery.all"),
        judged_as: "delivery.all.p99_ms",
        worst_of: Some(slowest_delivery),
    },
    Tile {
        title: text::SLOWEST_ACK,
        unit: Unit::Millis,
        value: |outcome| p99(outcome, "ack.all"),
        judged_as: "ack.all.p99_ms",
        worst_of: Some(slowest_ack),
    },
    Tile {
        title: text::SLOWEST_CONNECT,
        unit: Unit::Millis,
        value: |outcome| p99(outcome, "connect"),
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
        judged_as: "staff.back_95_s",
        worst_of: None,
    },
    Tile {
        title: text::GUARDIANS_BACK,
        unit: Unit::Seconds,
        value: |outcome| back(outcome, "guardian"),
        judged_as: "guardian.back_95_s",
        worst_of: None,
    },
    Tile {
        title: text::CORES_MOST,
        unit: Unit::Cores,
        value: |outcome| most(outcome, |point| point.server.map(|server| server.cores)),
        judged_as: "server.cores_max",
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
        judged_as: "server.resident_bytes_max",
        worst_of: None,
    },
    Tile {
        title: text::PER_CONNECTION,
        unit: Unit::Bytes,
        value: |outcome| {
            let servers = outcome.curve.iter().filter_map(|point| point.server);
            let fullest = servers.max_by_key(|server| server.connections)?;
            Each::of(outcome)?.at(&fullest)
        },
        judged_as: "server.bytes_per_connection",
        worst_of: None,
    },
];
