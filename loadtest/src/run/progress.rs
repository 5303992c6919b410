//! What the person at the terminal sees: a few lines kept up to date, or plain lines where there is no terminal.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Result;

use super::gather::{Gathered, spread};
use crate::outcome::{Outcome, Word};

/// Seconds between lines where there is no terminal.
const LINE_EVERY_S: u64 = 10;

/// A sentence on standard error.
pub(super) fn note(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "klokke-load: {sentence}"); // Nobody may be reading.
}

/// Keeps the view up to date.
pub(super) struct Progress {
    is_terminal: bool,
    drawn: usize,
    last_s: Option<u64>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            drawn: 0,
            last_s: None,
        }
    }

    /// Shows the latest second.
    pub(super) fn show(&mut self, gathered: &Gathered, agents: usize, stage: &str, ends_s: u64) {
        let Some((at, second)) = gathered.latest(agents) else {
            return;
        };
        if self.last_s == Some(at) || (!self.is_terminal && at % LINE_EVERY_S != 0) {
            return;
        }
        self.last_s = Some(at);
        let point = second.point(at);
        let delivery = spread(&gathered.joined(|name| name.starts_with("delivery.")));
        let server = gathered.server.map_or_else(
            || "server silent".to_owned(),
            |it| {
                format!(
                    "server {:.2} cores {} MiB",
                    it.cores,
                    it.resident_bytes >> 20
                )
            },
        );
        let violations = gathered.violations_total();
        let lines = [
            format!("{at:>5} / {ends_s} s  {stage}"),
            format!(
                "online {} of {}  (staff {})   connects {}/s  told to wait {}/s",
                point.online, point.planned, point.online_staff, point.connects, point.told_to_wait
            ),
            format!(
                "sent {}/s  acked {}/s  delivered {}/s  now p99 {:.0} ms, so far p50 {:.0} p99 {:.0} ms",
                point.due,
                point.acked,
                point.deliveries,
                point.delivery.p99_ms,
                delivery.p50_ms,
                delivery.p99_ms
            ),
            format!(
                "{server}  agents {:.2} cores   errors {}   violations {violations}",
                point.agents_cores,
                gathered.errors.values().sum::<u64>()
            ),
        ];
        let mut out = std::io::stderr().lock();
        let shown = if self.is_terminal {
            let up = if self.drawn > 0 {
                format!("\x1b[{}A", self.drawn)
            } else {
                String::new()
            };
            self.drawn = lines.len();
            write!(
                out,
                "{up}{}",
                lines.map(|line| format!("\x1b[2K{line}\n")).concat()
            )
        } else {
            writeln!(out, "{}", lines.join(" | "))
        };
        let _ = shown; // Nobody may be reading.
    }
}

/// The last word, on standard output.
pub(super) fn verdict(outcome: &Outcome, json: &Path) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let word = match outcome.verdict.word {
        Word::Held => "HELD",
        Word::Broken => "BROKEN",
        Word::Incomplete => "INCOMPLETE",
    };
    writeln!(out, "\n{word}: {}", outcome.verdict.why)?;
    for judged in &outcome.thresholds {
        let mark = if judged.held { "ok " } else { "NO " };
        let measured = judged
            .measured
            .map_or_else(|| "not measured".to_owned(), |it| format!("{it:.3}"));
        let most = judged.at_most.map(|it| format!("at most {it}"));
        let least = judged.at_least.map(|it| format!("at least {it}"));
        let bound: Vec<String> = most.into_iter().chain(least).collect();
        writeln!(
            out,
            "  {mark} {:<34} {measured:>14}   {}",
            judged.figure,
            bound.join(", ")
        )?;
    }
    for (kind, count) in &outcome.violations.counts {
        writeln!(out, "  violation {kind}: {count}")?;
    }
    for one in outcome.violations.evidence.iter().take(10) {
        writeln!(
            out,
            "    {} {} {}: {}",
            one.kind, one.login, one.channel, one.what
        )?;
    }
    for (name, count) in &outcome.errors {
        writeln!(out, "  error {name}: {count}")?;
    }
    writeln!(out, "  {}", outcome.bottleneck.why)?;
    writeln!(
        out,
        "  result {}\n  report {}",
        json.display(),
        json.with_extension("html").display()
    )?;
    Ok(())
}
