//! What a run gave: the one JSON result that is kept, compared with earlier ones, and drawn as a report.
//!
//! Figures are named once here and in [`figures`](Outcome::figures): thresholds, the report and comparisons use the same names.
//! Times are milliseconds since the action was *due* unless the name says otherwise; `*_s` are seconds since the run began.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

/// Version of the format below; raised when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// Evidence kept of each kind of violation: enough to see a pattern.
pub const EVIDENCE_MAX: usize = 20;

/// Longest latency told apart, in microseconds: ten minutes.
pub const LATENCY_MAX_US: u64 = 600_000_000;

/// One run, whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Version of the load tester.
    pub tester: String,
    /// What was replayed.
    pub scenario: Replayed,
    /// Against what.
    pub target: Target,
    /// With whom.
    pub people: People,
    /// On what the tester ran.
    pub machine: Machine,
    /// When it began, RFC 3339 in UTC.
    pub began: String,
    /// How long it lasted, in seconds.
    pub lasted_s: f64,
    /// How it ended.
    pub verdict: Verdict,
    /// All figures by name, e.g. `delivery.message.p99_ms`; what was not measured is not there.
    pub figures: BTreeMap<String, f64>,
    /// The scenario's thresholds, each judged.
    pub thresholds: Vec<Judged>,
    /// Latencies by kind: `connect`, `reconnect`, `ack.<action>`, `delivery.<action>`, `screen`.
    pub latencies: BTreeMap<String, Spread>,
    /// What became of each role: `staff`, `guardian`, `pupil`, `other`.
    pub roles: BTreeMap<String, Role>,
    /// What must never be.
    pub violations: Violations,
    /// Errors by name, e.g. `message 1012` (action and code) or `connect 111`.
    pub errors: BTreeMap<String, u64>,
    /// Stages of the scenario, in order.
    pub stages: Vec<Stretch>,
    /// What happened once: a server killed, everybody back.
    pub events: Vec<Event>,
    /// The curve, a point a second.
    pub curve: Vec<Point>,
    /// Who reached its limit first.
    pub bottleneck: Bottleneck,
}

/// Largest file that is read: a whole day at a point a second is about 100 MB.
const BYTES_MAX: u64 = 512 << 20;

/// What is read first, since a newer format may have changed the meaning of the rest.
#[derive(Deserialize)]
struct Head {
    format: u32,
    #[serde(default)]
    tester: String,
}

impl Outcome {
    /// Reads a result that was kept.
    ///
    /// # Errors
    /// When it cannot be read, is no result, or is of a newer format; the sentence says what to do.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let cannot_read = || format!("cannot read the result {shown}");
        let mut text = String::new();
        let file = File::open(path).with_context(cannot_read)?;
        let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
        ensure!(
            text.len() as u64 <= BYTES_MAX,
            "{shown} is larger than {} MiB, which no result is",
            BYTES_MAX >> 20
        );
        read.with_context(cannot_read)?;
        let no_result =
            || format!("{shown} is no result: give the JSON file that `klokke-load run` wrote");
        let head: Head = serde_json::from_str(&text).with_context(no_result)?;
        if head.format > FORMAT {
            let tester = head.tester.chars().filter(|it| !it.is_control()).take(40);
            bail!(
                "{shown} is in format {}, written by klokke-load {}; this one reads formats up to {FORMAT}: use that version or a newer one",
                head.format,
                tester.collect::<String>()
            );
        }
        serde_json::from_str(&text).with_context(no_result)
    }
}

/// The scenario as it was run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// Its file's name without the ending.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What it stands for.
    pub about: String,
    /// How many times faster than written it ran: durations are divided, rates multiplied.
    pub speed: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// Protocol of the connections: `json`, `protobuf` or `mixed`.
    pub codec: String,
}

/// The server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its address, without credentials.
    pub url: String,
    /// The version it told at connect.
    pub version: String,
}

/// The population used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct People {
    /// Logins in the files.
    pub logins: u64,
    /// Logins that took part.
    pub taking_part: u64,
    /// The part of the country's logins that the files hold; rates were scaled by it.
    pub share_of_country: f64,
}

/// Where the tester ran.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores.
    pub cores: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Agents (processes).
    pub agents: u32,
    /// Whether the server ran on the same machine.
    pub shared_with_server: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The word.
    pub word: Word,
    /// One sentence for people: why.
    pub why: String,
}

/// The word of a verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Every threshold held and nothing was violated.
    Held,
    /// A threshold or a promise was broken.
    Broken,
    /// The run could not be carried out to its end; what there is was kept, and nothing is judged to hold.
    #[default]
    Incomplete,
}

/// A threshold and what was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Name of the figure.
    pub figure: String,
    /// Most it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Least it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// What was measured; absent when it was not, and then it did not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    /// Whether it held.
    pub held: bool,
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 90 %.
    pub p90_ms: f64,
    /// 95 %.
    pub p95_ms: f64,
    /// 99 %.
    pub p99_ms: f64,
    /// 99.9 %.
    pub p999_ms: f64,
    /// Longest.
    pub max_ms: f64,
}

/// What became of a role.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Logins of it that took part.
    pub taking_part: u64,
    /// Most that were online at once.
    pub online_max: u64,
    /// Connects refused for the moment (temporary errors).
    pub told_to_wait: u64,
    /// Connect latency, from when it was due until it was granted, waits and retries included.
    pub connect: Spread,
    /// Seconds from the beginning of the largest rush (or the loss of the server) until half of them were (back) online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_50_s: Option<f64>,
    /// The same for 95 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_95_s: Option<f64>,
    /// The same for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_100_s: Option<f64>,
    /// Latency of what they sent, until acknowledged.
    pub ack: Spread,
}

/// What the checker found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Violations {
    /// How many deliveries were checked.
    pub deliveries_checked: u64,
    /// How many expected deliveries were looked for by person.
    pub deliveries_expected: u64,
    /// Counts by kind: `missing`, `doubled`, `out_of_order`, `leaked`, `foreign_channel`, `missing_channel`,
    /// `sensitive_in_full`, `unknown_sender`.
    pub counts: BTreeMap<String, u64>,
    /// The first ones of each kind.
    pub evidence: Vec<Evidence>,
}

/// One violation. No names: who is a login of the invented population.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Kind, as in the counts.
    pub kind: String,
    /// When it was noticed, in seconds since the run began.
    pub at_s: f64,
    /// The login.
    pub login: String,
    /// The channel, when there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub channel: String,
    /// What was expected and what came.
    pub what: String,
}

/// A stage, in seconds since the run began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// Its name.
    pub name: String,
    /// Beginning.
    pub from_s: f64,
    /// End.
    pub to_s: f64,
}

/// Something that happened once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at_s: f64,
    /// What.
    pub what: String,
    /// Whether it was done to the servers, by the scenario.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disturbs: bool,
    /// Seconds from then until everything was as before, if it was before the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normal_s: Option<f64>,
}

/// One second of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its end.
    pub at_s: f64,
    /// How many should have been online by the scenario.
    pub planned: u64,
    /// How many were.
    pub online: u64,
    /// How many of those were staff.
    pub online_staff: u64,
    /// Connects granted.
    pub connects: u64,
    /// Connects refused for the moment.
    pub told_to_wait: u64,
    /// Actions that were due.
    pub due: u64,
    /// Actions acknowledged.
    pub acked: u64,
    /// Publications delivered.
    pub deliveries: u64,
    /// Errors.
    pub errors: u64,
    /// Violations noticed.
    pub violations: u64,
    /// Delivery latency of this second.
    pub delivery: Spread,
    /// Acknowledgement latency of this second.
    pub ack: Spread,
    /// Connect latency of this second.
    pub connect: Spread,
    /// CPU the agents used, in cores.
    pub agents_cores: f64,
    /// How late the agents were in starting what was due, 99 %.
    pub agents_late_p99_ms: f64,
    /// The server as it told itself; absent when it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerPoint>,
    /// Part of the machine's cores in use, 0 to 1; absent where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_busy: Option<f64>,
}

/// What the server told in `/metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerPoint {
    /// CPU used since the point before, in cores.
    pub cores: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Connections it counts.
    pub connections: u64,
}

/// Who reached its limit first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bottleneck {
    /// `server`, `tester`, `machine` or `none`.
    pub who: String,
    /// One sentence: by which figures.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &[u8]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("result.json");
        std::fs::write(&path, text).expect("written");
        let error = Outcome::read(&path).expect_err("it is no result");
        format!("{error:#}")
    }

    #[test]
    fn what_is_no_result_is_told_with_what_to_do() {
        for (text, says) in [
            (
                &b"{"[..],
                "is no result: give the JSON file that `klokke-load run` wrote: EOF while parsing",
            ),
            (
                b"{\"type\":\"unit\"}",
                "is no result: give the JSON file that `klokke-load run` wrote: missing field `format`",
            ),
            (b"{\"format\":1}", "missing field `tester`"),
            (
                b"{\"format\":2,\"tester\":\"0.9.0\",\"verdict\":7}",
                "is in format 2, written by klokke-load 0.9.0; this one reads formats up to 1",
            ),
            (b"\xff\xfe", "cannot read"),
            (b"", "is no result"),
        ] {
            let error = error_of(text);
            assert!(error.contains(says), "{error}");
        }
        let missing = Outcome::read(Path::new("no/such/result.json")).expect_err("there is none");
        assert!(
            missing
                .to_string()
                .contains("cannot read the result no/such/result.json")
        );
    }

    #[test]
    fn what_was_written_is_read_back_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("result.json");
        let outcome = crate::report::fixture::first_monday();
        std::fs::write(&path, serde_json::to_vec(&outcome).expect("plain data")).expect("written");
        let again = Outcome::read(&path).expect("a result");
        assert_eq!(again.curve.len(), outcome.curve.len());
        assert_eq!(again.curve[7].deliveries, outcome.curve[7].deliveries);
        assert_eq!(
            (
                again.verdict,
                again.events,
                again.errors,
                again.stages,
                again.violations
            ),
            (
                outcome.verdict,
                outcome.events,
                outcome.errors,
                outcome.stages,
                outcome.violations
            )
        );
    }
}
