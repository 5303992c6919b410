//! From what was gathered to figures, and from figures to a verdict. Pure.

use std::collections::BTreeMap;

use super::gather::{Gathered, Second, spread};
use crate::outcome::{Bottleneck, Judged, Role as RoleFigures, Spread, Verdict, Word};
use crate::scenario::{Action, Scenario, Stage, Threshold};
use crate::town::Role;

/// Above this part of a core, an agent is itself what limits.
const AGENT_BUSY: f64 = 0.9;
/// Above this part of the machine's cores, the machine is what limits.
const MACHINE_BUSY: f64 = 0.95;
/// An agent that begins things this late does not keep the scenario's time.
const LATE_MS: f64 = 100.0;

/// When everybody had to come back, and from when that is counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Return {
    /// The second it began: the loss of the server, or the largest rush.
    pub(super) from_s: u64,
    /// The last second that counts.
    pub(super) until_s: u64,
    /// Whether it is held against the plan of each second, as after a loss, or against all who came in the end, as in a rush.
    pub(super) by_plan: bool,
}

/// Latencies by kind, as the result has them.
pub(super) fn latencies(gathered: &Gathered) -> BTreeMap<String, Spread> {
    let mut all = BTreeMap::new();
    let mut add = |name: String, which: &dyn Fn(&str) -> bool| {
        let found = spread(&gathered.joined(which));
        if found.count > 0 {
            all.insert(name, found);
        }
    };
    add("connect".into(), &|name| name.ends_with(".connect"));
    add("reconnect".into(), &|name| name == "reconnect");
    add("screen".into(), &|name| name == "screen");
    add("delivery.all".into(), &|name| name.starts_with("delivery."));
    add("ack.all".into(), &|name| {
        name.starts_with("ack.") && name != "ack.browse"
    });
    for action in Action::ALL {
        for family in ["delivery", "ack"] {
            let name = format!("{family}.{}", action.name());
            add(name.clone(), &|it| it == name);
        }
    }
    all
}

/// What became of each role.
pub(super) fn roles(
    gathered: &Gathered,
    taking_part: [u64; 4],
    back: Option<Return>,
) -> BTreeMap<String, RoleFigures> {
    let of = |role: Role| {
        let nth = role as usize;
        let name = role.name();
        let total = |what: &str| {
            gathered
                .totals
                .get(&format!("{name}.{what}"))
                .map(spread)
                .unwrap_or_default()
        };
        let reached =
            |part: f64| back.and_then(|back| reached_s(&gathered.seconds, nth, back, part));
        let figures = RoleFigures {
            taking_part: taking_part[nth],
            online_max: gathered
                .seconds
                .values()
                .map(|second| second.online[nth])
                .max()
                .unwrap_or(0),
            told_to_wait: gathered.waits[nth],
            connect: total("connect"),
            back_50_s: reached(0.5),
            back_95_s: reached(0.95),
            back_100_s: reached(1.0),
            ack: total("ack"),
        };
        (name.to_owned(), figures)
    };
    Role::ALL
        .into_iter()
        .filter(|role| taking_part[*role as usize] > 0)
        .map(of)
        .collect()
}

/// Seconds from the beginning of a return until this part of a role was there and stayed.
fn reached_s(seconds: &BTreeMap<u64, Second>, role: usize, back: Return, part: f64) -> Option<f64> {
    let window = || seconds.range(back.from_s..=back.until_s);
    let most = window().map(|(_, second)| second.planned[role]).max()?;
    let enough = |second: &Second| {
        let wanted = if back.by_plan {
            second.planned[role]
        } else {
            most
        };
        second.online[role] as f64 >= wanted as f64 * part
    };
    let (last, end) = window().next_back()?;
    if most == 0 || !enough(end) {
        return None;
    }
    // Counted in whole seconds, from the last one in which it was not yet so.
    let last_short = window()
        .rev()
        .find(|(_, second)| !enough(second))
        .map(|(at, _)| *at);
    let reached = last_short.map_or(back.from_s, |at| (at + 1).min(*last));
    Some(reached.saturating_sub(back.from_s) as f64)
}

/// What figures are made from, besides what was gathered.
#[derive(Default)]
pub(super) struct Ends {
    /// The second in which the last stage ended; `None` while it runs.
    pub(super) at_s: Option<u64>,
    /// The second of the first event.
    pub(super) disturbed_s: Option<u64>,
    /// The longest that it took after an event until everything was as before.
    pub(super) normal_s: Option<f64>,
    /// People who wanted to come and never were let in.
    pub(super) never_in: u64,
    /// Deliveries that had to be.
    pub(super) expected: u64,
    pub(super) unanswered: u64,
    pub(super) unchecked: u64,
}

/// All figures by name.
pub(super) fn figures(
    gathered: &Gathered,
    latencies: &BTreeMap<String, Spread>,
    roles: &BTreeMap<String, RoleFigures>,
    ends: &Ends,
) -> BTreeMap<String, f64> {
    let mut figures = BTreeMap::new();
    let mut set = |name: &str, value: f64| {
        figures.insert(name.to_owned(), value);
    };
    for (name, spread) in latencies {
        each(spread, |which, value| {
            set(&format!("{name}.{which}"), value);
        });
    }
    for (name, role) in roles {
        each(&role.connect, |which, value| {
            set(&format!("{name}.connect.{which}"), value);
        });
        each(&role.ack, |which, value| {
            set(&format!("{name}.ack.{which}"), value);
        });
        set(&format!("{name}.told_to_wait"), role.told_to_wait as f64);
        for (which, value) in [
            ("back_50_s", role.back_50_s),
            ("back_95_s", role.back_95_s),
            ("back_100_s", role.back_100_s),
        ] {
            if let Some(value) = value {
                set(&format!("{name}.{which}"), value);
            }
        }
    }
    if let Some(behind_ms) = staff_behind_others(roles) {
        set("staff.behind_others_ms", behind_ms);
    }
    let errors: u64 = gathered.errors.values().sum();
    let begun = gathered.due + gathered.connects;
    set("violations", gathered.violations_total() as f64);
    set("errors", errors as f64);
    set(
        "errors_share",
        if begun > 0 {
            errors as f64 / begun as f64
        } else {
            0.0
        },
    );
    let others = gathered
        .errors
        .iter()
        .filter(|(name, _)| !is_reconnect(name));
    let others: u64 = others.map(|(_, count)| count).sum();
    set("errors_but_reconnects", others as f64);
    set("deliveries", gathered.deliveries as f64);
    set("skipped", gathered.skipped as f64);
    set("unanswered", ends.unanswered as f64);
    set("unchecked", ends.unchecked as f64);
    set("never_in", ends.never_in as f64);
    set("expected", ends.expected as f64);
    let online = |second: &Second| second.online.iter().sum::<u64>();
    set(
        "online_max",
        gathered.seconds.values().map(online).max().unwrap_or(0) as f64,
    );
    // What comes after the last stage is the tester's own: the roll call brings everybody back.
    let until_s = ends.at_s.unwrap_or(u64::MAX);
    if let Some(normal_s) = ends.normal_s {
        set("normal_s", normal_s);
    }
    let played = gathered.seconds.range(..=until_s).rev();
    let mut played = played.map(|(_, second)| second);
    if let Some(last) = played.find(|it| it.planned.iter().sum::<u64>() > 0) {
        set(
            "online_share_end",
            online(last) as f64 / last.planned.iter().sum::<u64>() as f64,
        );
    }
    let grown: u64 = gathered
        .resident_bytes
        .values()
        .map(|(first, most)| most.saturating_sub(*first))
        .sum();
    let people = gathered.seconds.values().map(online).max().unwrap_or(0);
    if people > 0 {
        set("agents.bytes_per_person", grown as f64 / people as f64);
    }
    let cores = gathered
        .seconds
        .values()
        .map(|second| second.agents_us as f64 / 1e6);
    set("agents.cores_max", cores.fold(0.0, f64::max));
    if let Some(late) = gathered.totals.get("agents.late") {
        set("agents.late_p99_ms", spread(late).p99_ms);
    }
    server_figures(gathered, until_s, &mut set);
    figures
}

/// Whether an error is of somebody who was sent away to come back, or of what it took them to.
fn is_reconnect(error: &str) -> bool {
    let sent_away = error.strip_prefix("disconnect ");
    let sent_away = sent_away.and_then(|code| code.parse::<u16>().ok());
    sent_away.is_some_and(|code| (3000..3500).contains(&code))
        || error.starts_with("connect ")
        || error.ends_with(" while offline")
        || error.ends_with(" lost")
}

fn server_figures(gathered: &Gathered, until_s: u64, set: &mut impl FnMut(&str, f64)) {
    let points: Vec<_> = gathered
        .seconds
        .range(..=until_s)
        .filter_map(|(_, second)| second.server)
        .collect();
    let Some(first) = points.first() else {
        return;
    };
    let cores = points.iter().map(|point| point.cores);
    set("server.cores_max", cores.clone().fold(0.0, f64::max));
    set(
        "server.cores_mean",
        cores.sum::<f64>() / points.len() as f64,
    );
    let most = points
        .iter()
        .map(|point| point.resident_bytes)
        .max()
        .unwrap_or(0);
    set("server.resident_bytes_max", most as f64);
    // With all connections open, less what it had with the fewest; the same server process throughout is assumed.
    let fullest = points
        .iter()
        .max_by_key(|point| point.connections)
        .unwrap_or(first);
    if fullest.connections > first.connections {
        let more = fullest.resident_bytes.saturating_sub(first.resident_bytes) as f64;
        set(
            "server.bytes_per_connection",
            more / (fullest.connections - first.connections) as f64,
        );
    }
}

fn each(spread: &Spread, mut set: impl FnMut(&str, f64)) {
    if spread.count == 0 {
        return;
    }
    set("p50_ms", spread.p50_ms);
    set("p90_ms", spread.p90_ms);
    set("p95_ms", spread.p95_ms);
    set("p99_ms", spread.p99_ms);
    set("p999_ms", spread.p999_ms);
    set("max_ms", spread.max_ms);
}

/// Every threshold against what was measured; that nothing was violated, everybody was let in and could be checked,
/// everything was answered, and something was said, is always one.
pub(super) fn judge(scenario: &Scenario, figures: &BTreeMap<String, f64>) -> Vec<Judged> {
    let none = Threshold {
        at_most: Some(0.0),
        ..Threshold::default()
    };
    let some = Threshold {
        at_least: Some(1.0),
        ..Threshold::default()
    };
    let mut always = vec![
        ("violations", none),
        ("unchecked", none),
        ("never_in", none),
        ("unanswered", none),
    ];
    // A run in which nothing was said shows nothing.
    let says = |stage: &Stage| stage.rates.values().any(|rate| *rate > 0.0);
    if scenario.stages.iter().any(says) {
        always.push(("expected", some));
    }
    let written = scenario
        .thresholds
        .iter()
        .map(|(name, threshold)| (name.as_str(), *threshold));
    let mut all: BTreeMap<&str, Threshold> = written.collect();
    for (name, threshold) in always {
        all.entry(name).or_insert(threshold);
    }
    all.into_iter()
        .map(|(name, threshold)| one(name, threshold, figures.get(name).copied()))
        .collect()
}

/// One threshold. What was not measured did not hold.
pub(super) fn one(figure: &str, threshold: Threshold, measured: Option<f64>) -> Judged {
    let held = measured.is_some_and(|value| {
        threshold.at_most.is_none_or(|most| value <= most)
            && threshold.at_least.is_none_or(|least| value >= least)
    });
    Judged {
        figure: figure.to_owned(),
        at_most: threshold.at_most,
        at_least: threshold.at_least,
        measured,
        held,
    }
}

/// The verdict; `broken_off` says why the run did not come to its end, `aborted` which threshold ended it,
/// `seen` which promise had been broken by then.
pub(super) fn verdict(
    judged: &[Judged],
    broken_off: Option<&str>,
    aborted: Option<&str>,
    seen: Option<&str>,
) -> Verdict {
    if let (Some(why), Some(seen)) = (broken_off, seen) {
        return Verdict {
            word: Word::Broken,
            why: format!("{seen}; and it did not come to its end: {why}"),
        };
    }
    if let Some(why) = aborted {
        return Verdict {
            word: Word::Broken,
            why: why.to_owned(),
        };
    }
    if let Some(why) = broken_off {
        return Verdict {
            word: Word::Incomplete,
            why: why.to_owned(),
        };
    }
    let broken: Vec<String> = judged.iter().filter(|it| !it.held).map(sentence).collect();
    if broken.is_empty() {
        return Verdict {
            word: Word::Held,
            why: format!(
                "all {} thresholds held, and nothing was lost, doubled, out of order or shown to the wrong person",
                judged.len()
            ),
        };
    }
    Verdict {
        word: Word::Broken,
        why: broken.join("; "),
    }
}

fn sentence(judged: &Judged) -> String {
    let bound = match (judged.at_most, judged.at_least) {
        (Some(most), _) => format!("at most {most}"),
        (None, Some(least)) => format!("at least {least}"),
        (None, None) => "a bound".to_owned(),
    };
    match judged.measured {
        Some(value) => format!("{} is {} and may be {bound}", judged.figure, rounded(value)),
        None => format!("{} was not measured and may be {bound}", judged.figure),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Who reached its limit first, by the busiest seconds.
pub(super) fn bottleneck(gathered: &Gathered, cores: u32, shared: bool) -> Bottleneck {
    let seconds: Vec<&Second> = gathered.seconds.values().collect();
    let mut busiest: Vec<&&Second> = seconds.iter().filter(|it| it.server.is_some()).collect();
    busiest.sort_by(|a, b| work(b).total_cmp(&work(a)));
    busiest.truncate((seconds.len() / 20).max(5));
    let count = busiest.len().max(1) as f64;
    let mean =
        |of: &dyn Fn(&Second) -> f64| busiest.iter().map(|second| of(second)).sum::<f64>() / count;
    let server = mean(&|second| second.server.map_or(0.0, |point| point.cores));
    let agents = mean(&|second| second.agents_us as f64 / 1e6);
    let agent = mean(&|second| second.agents_cores_max);
    let machine = mean(&|second| second.machine_busy.unwrap_or(0.0));
    let late = gathered
        .totals
        .get("agents.late")
        .map(spread)
        .unwrap_or_default()
        .p99_ms;
    let figures = format!(
        "in the busiest seconds the server used {server:.2} cores, the agents {agents:.2} of this machine's {cores}, \
         which was {:.0} % busy; agents began what was due {late:.1} ms late (99 %)",
        machine * 100.0
    );
    let (who, what) = if busiest.is_empty() {
        (
            "none",
            "the server was not asked for its figures, so this cannot be said",
        )
    } else if agent > AGENT_BUSY || late > LATE_MS {
        (
            "tester",
            "the tester itself was at its limit: its latencies are worse than the server's",
        )
    } else if shared && machine > MACHINE_BUSY {
        (
            "machine",
            "server and tester together used the whole machine: neither can be judged beyond it",
        )
    } else if server > 0.9 * f64::from(cores) {
        ("server", "the server was at its limit")
    } else {
        ("none", "nobody was at their limit")
    };
    Bottleneck {
        who: who.to_owned(),
        why: format!("{what}: {figures}"),
    }
}

/// How much later than guardians staff were let in, where both came; 0 when sooner. Staff must never wait behind the others
/// (domain.md 9.2).
fn staff_behind_others(roles: &BTreeMap<String, RoleFigures>) -> Option<f64> {
    let p95_ms = |role: Role| {
        let connect = &roles.get(role.name())?.connect;
        (connect.count > 0).then_some(connect.p95_ms)
    };
    Some((p95_ms(Role::Staff)? - p95_ms(Role::Guardian)?).max(0.0))
}

/// How much a second held, for finding the busiest.
fn work(second: &Second) -> f64 {
    second.server.map_or(0.0, |point| point.cores) + second.agents_us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(thresholds: &str) -> Scenario {
        let text = format!(
            "title = \"t\"\nabout = \"a\"\n[[stage]]\nname = \"s\"\nlasts = \"1s\"\n[thresholds]\n{thresholds}"
        );
        Scenario::parse(std::path::Path::new("t"), &text).expect("sound")
    }

    fn sound() -> BTreeMap<String, f64> {
        let names = ["violations", "unchecked", "never_in", "unanswered"];
        names.map(|name| (name.to_owned(), 0.0)).into()
    }

    #[test]
    fn staff_behind_others_are_told_of() {
        let came = |p95_ms| RoleFigures {
            connect: Spread {
                count: 1,
                p95_ms,
                ..Spread::default()
            },
            ..RoleFigures::default()
        };
        let behind = |staff, guardian| {
            let roles = [("staff", came(staff)), ("guardian", came(guardian))];
            staff_behind_others(&roles.map(|(name, role)| (name.to_owned(), role)).into())
        };
        assert_eq!(behind(5.0, 900.0), Some(0.0));
        assert_eq!(behind(900.0, 5.0), Some(895.0));
        assert_eq!(staff_behind_others(&BTreeMap::new()), None);
    }

    #[test]
    fn a_run_in_which_nothing_was_said_does_not_hold() {
        let text = "title = \"t\"\nabout = \"a\"\n[[stage]]\nname = \"s\"\nlasts = \"1s\"\nrates = { message = 1 }\n";
        let scenario = Scenario::parse(std::path::Path::new("t"), text).expect("sound");
        let mut figures = sound();
        figures.insert("expected".to_owned(), 0.0);
        let judged = judge(&scenario, &figures);
        assert_eq!(verdict(&judged, None, None, None).word, Word::Broken);
    }

    #[test]
    fn a_promise_broken_before_the_end_is_not_hidden_by_it() {
        let verdict = verdict(&[], Some("an agent died"), None, Some("leaked: 1"));
        assert_eq!(verdict.word, Word::Broken);
        assert!(verdict.why.contains("leaked") && verdict.why.contains("died"));
    }

    #[test]
    fn what_was_not_measured_did_not_hold() {
        let scenario = scenario("\"connect.p99_ms\" = { at_most = 10.0 }");
        let mut figures = sound();
        let judged = judge(&scenario, &figures);
        assert_eq!(judged.iter().filter(|it| !it.held).count(), 1);
        assert_eq!(verdict(&judged, None, None, None).word, Word::Broken);
        figures.insert("connect.p99_ms".to_owned(), 9.0);
        assert_eq!(
            verdict(&judge(&scenario, &figures), None, None, None).word,
            Word::Held
        );
        assert_eq!(
            verdict(
                &judge(&scenario, &figures),
                Some("an agent died"),
                None,
                None
            )
            .word,
            Word::Incomplete
        );
    }

    #[test]
    fn a_violation_breaks_any_scenario() {
        let mut figures = sound();
        figures.insert("violations".to_owned(), 1.0);
        assert_eq!(
            verdict(&judge(&scenario(""), &figures), None, None, None).word,
            Word::Broken
        );
    }

    #[test]
    fn who_is_sent_away_and_comes_back_is_no_error_beyond_a_reconnect() {
        for one in [
            "disconnect 3001",
            "connect timed out",
            "browse while offline",
            "screen lost",
        ] {
            assert!(is_reconnect(one), "{one}");
        }
        for other in [
            "disconnect 3501",
            "message 1101",
            "disconnect 1006",
            "check_in refused",
        ] {
            assert!(!is_reconnect(other), "{other}");
        }
    }

    #[test]
    fn a_return_is_counted_until_it_stays() {
        let mut seconds = BTreeMap::new();
        for (at, online) in [
            (10, 100),
            (11, 0),
            (12, 40),
            (13, 96),
            (14, 94),
            (15, 96),
            (16, 100),
        ] {
            let second = Second {
                planned: [100, 0, 0, 0],
                online: [online, 0, 0, 0],
                ..Second::default()
            };
            seconds.insert(at, second);
        }
        let back = Return {
            from_s: 11,
            until_s: 16,
            by_plan: true,
        };
        assert_eq!(reached_s(&seconds, 0, back, 0.5), Some(2.0));
        assert_eq!(reached_s(&seconds, 0, back, 0.95), Some(4.0));
        assert_eq!(reached_s(&seconds, 0, back, 1.0), Some(5.0));
        assert_eq!(reached_s(&seconds, 1, back, 1.0), None);
    }
}
