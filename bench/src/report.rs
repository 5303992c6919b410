//! The figures of one run: as a table, as JSON and as a picture, always beside each other.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

/// The measured product's own name, and the limit's.
const OURS: &str = "klokke";
const LIMIT: &str = "limit";

/// One figure for everyone it was measured for.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    unit: &'static str,
    klokke: Option<f64>,
    limit: Option<f64>,
    peers: BTreeMap<String, f64>,
}

/// All figures, in the order they were measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds what was measured of one server under a figure's name, and says so to whoever waits.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, server: &str, value: f64) {
        eprintln!("    {name}: {} {unit}", short(value));
        let at = self
            .rows
            .iter()
            .position(|row| row.name == name)
            .unwrap_or_else(|| {
                let peers = BTreeMap::new();
                self.rows.push(Row {
                    name: name.to_owned(),
                    unit,
                    klokke: None,
                    limit: None,
                    peers,
                });
                self.rows.len() - 1
            });
        let row = &mut self.rows[at];
        match server {
            OURS => row.klokke = Some(value),
            LIMIT => row.limit = Some(value),
            peer => {
                row.peers.insert(peer.to_owned(), value);
            }
        }
    }

    /// Prints the table, and writes the other forms where they are wanted.
    pub(crate) fn show(&self, json: Option<&Path>, picture: Option<&Path>) -> Result<()> {
        println!("\n{}", self.table());
        if let Some(path) = json {
            std::fs::write(path, self.json()?)
                .with_context(|| format!("write {}", path.display()))?;
        }
        if let Some(path) = picture {
            std::fs::write(path, self.picture())
                .with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    /// An array of `{name, unit, klokke, limit, peers}`.
    fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.rows)?)
    }

    /// Whether every figure is there for Klokke and for at least one other.
    pub(crate) fn must_be_complete(&self) -> Result<()> {
        ensure!(!self.rows.is_empty(), "nothing was measured");
        for row in &self.rows {
            let compared = row.limit.is_some() || !row.peers.is_empty();
            let measured = row.everyone().iter().all(|(_, value)| value.is_finite());
            ensure!(
                row.klokke.is_some() && compared && measured,
                "{} is not complete",
                row.name
            );
        }
        Ok(())
    }

    /// A table for people. In brackets, how many times Klokke's figure the other's is.
    fn table(&self) -> String {
        let peers = self.peers();
        let mut out = format!("{:<32} {:>13} {:>12} {:>20}", "figure", "unit", OURS, LIMIT);
        for peer in &peers {
            write!(out, " {peer:>20}").ok();
        }
        out.push('\n');
        for row in &self.rows {
            let ours = row.klokke.map_or_else(|| "-".to_owned(), short);
            write!(
                out,
                "{:<32} {:>13} {ours:>12} {:>20}",
                row.name,
                row.unit,
                row.beside(row.limit)
            )
            .ok();
            for peer in &peers {
                write!(out, " {:>20}", row.beside(row.peers.get(peer).copied())).ok();
            }
            out.push('\n');
        }
        out
    }

    fn peers(&self) -> Vec<String> {
        let mut peers: Vec<String> = self
            .rows
            .iter()
            .flat_map(|row| row.peers.keys().cloned())
            .collect();
        peers.sort();
        peers.dedup();
        peers
    }

    /// Bars of each figure side by side, as SVG. Each figure has its own linear scale that begins at zero.
    fn picture(&self) -> String {
        const BAR: usize = 16;
        const GAP: usize = 26;
        const LEFT: f64 = 330.0;
        const WIDE: f64 = 420.0;
        let mut body = String::new();
        let mut y = 50;
        for row in &self.rows {
            let all = row.everyone();
            let most = all
                .iter()
                .map(|(_, value)| *value)
                .fold(f64::MIN_POSITIVE, f64::max);
            writeln!(
                body,
                r#"<text x="16" y="{}" font-weight="bold">{} ({})</text>"#,
                y + BAR - 4,
                row.name,
                row.unit
            )
            .ok();
            for (name, value) in all {
                let colour = match name {
                    OURS => "#0b6e4f",
                    LIMIT => "#9aa5b1",
                    _ => "#c2572b",
                };
                let width = (value / most * WIDE).max(1.0);
                writeln!(
                    body,
                    r#"<rect x="{LEFT}" y="{y}" width="{width:.1}" height="{}" fill="{colour}"/><text x="{:.1}" y="{}">{name} {}</text>"#,
                    BAR - 3,
                    LEFT + width + 6.0,
                    y + BAR - 5,
                    short(value)
                )
                .ok();
                y += BAR;
            }
            y += GAP - BAR;
        }
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="980" height="{}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#ffffff"/><text x="16" y="26" font-size="16">Klokke beside the limit and its peers, one run on one machine; each figure has its own scale from zero</text>
{body}</svg>
"##,
            y + 10
        )
    }
}

impl Row {
    fn beside(&self, value: Option<f64>) -> String {
        match (value, self.klokke) {
            (Some(value), Some(ours)) if ours > 0.0 => {
                format!("{} ({:.2}×)", short(value), value / ours)
            }
            (Some(value), _) => short(value),
            (None, _) => "-".to_owned(),
        }
    }

    fn everyone(&self) -> Vec<(&str, f64)> {
        let ours = self.klokke.map(|value| (OURS, value));
        let limit = self.limit.map(|value| (LIMIT, value));
        let peers = self
            .peers
            .iter()
            .map(|(name, value)| (name.as_str(), *value));
        ours.into_iter().chain(limit).chain(peers).collect()
    }
}

fn short(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stands_beside_its_limit_and_peers() {
        let mut report = Report::default();
        report.add("connect", "µs CPU", OURS, 50.0);
        report.add("connect", "µs CPU", LIMIT, 25.0);
        report.add("connect", "µs CPU", "centrifuge_go", 300.0);
        assert!(report.table().contains("300 (6.00×)"), "{}", report.table());
        let json: serde_json::Value =
            serde_json::from_str(&report.json().expect("plain numbers")).expect("JSON");
        let expected = serde_json::json!([{"name": "connect", "unit": "µs CPU", "klokke": 50.0, "limit": 25.0,
            "peers": {"centrifuge_go": 300.0}}]);
        assert_eq!(json, expected);
        report.must_be_complete().expect("all is there");
        assert!(report.picture().contains("centrifuge_go 300"));
    }

    #[test]
    fn a_figure_that_stands_alone_is_not_complete() {
        assert!(Report::default().must_be_complete().is_err());
        let mut report = Report::default();
        report.add("connect", "µs CPU", OURS, 50.0);
        assert!(report.must_be_complete().is_err());
        report.add("idle", "bytes", "nats", 50.0);
        assert!(report.must_be_complete().is_err());
    }
}
