//! Results as runs give them, made by arithmetic: a first Monday with a killed server, a broken one, one that stopped early, none.

use std::collections::BTreeMap;

use crate::outcome::{
    Bottleneck, Event, Evidence, FORMAT, Judged, Machine, Outcome, People, Point, Replayed, Role,
    ServerPoint, Spread, Stretch, Target, Verdict, Violations, Word,
};

/// When the server is killed, and when it answers again, in seconds.
pub(crate) const KILLED: (f64, f64) = (1300.0, 1309.0);
const SECONDS: u32 = 2100;
const LOGINS: f64 = 18_000.0;

/// Numbers that look drawn but are the same every time.
struct Draw(u64);

impl Draw {
    fn part(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1_u64 << 24) as f64
    }

    /// Around a value, by a fifth to both sides.
    fn around(&mut self, value: f64) -> f64 {
        value * (0.8 + 0.4 * self.part())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "made from small numbers")]
fn count(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

fn spread(draw: &mut Draw, count: u64, p50: f64) -> Spread {
    if count == 0 {
        return Spread::default();
    }
    let p50 = draw.around(p50);
    let p99 = draw.around(p50 * 5.0);
    Spread {
        count,
        p50_ms: p50,
        p90_ms: p50 * 1.9,
        p95_ms: p50 * 2.6,
        p99_ms: p99.max(p50 * 3.0),
        p999_ms: p99.max(p50 * 3.0) * 2.0,
        max_ms: draw.around(p99.max(p50 * 3.0) * 3.0),
    }
}

/// The part that is online: a ramp that is steepest at two thirds of half an hour.
fn planned(at: f64) -> f64 {
    LOGINS / (1.0 + (-(at - 1080.0) / 190.0).exp())
}

fn point(at: f64, slowness: f64, draw: &mut Draw) -> Point {
    let dead = at > KILLED.0 && at <= KILLED.1;
    let since = at - KILLED.1;
    let back = if dead {
        0.0
    } else if since < 0.0 {
        1.0
    } else {
        1.0 - (-since / 14.0).exp()
    };
    let staff_back = if dead {
        0.0
    } else if since < 0.0 {
        1.0
    } else {
        1.0 - (-since / 4.0).exp()
    };
    let storm = if !dead && (0.0..90.0).contains(&since) {
        (-since / 14.0).exp()
    } else {
        0.0
    };
    let rush = planned(at) - planned(at - 1.0);
    let online = planned(at) * back;
    let staff = planned(at) * 0.09 * staff_back;
    let due = 2.83 * planned(at) / LOGINS * 3.0 + 1.0;
    let acked = if dead { 0.0 } else { due };
    let deliveries = acked * 28.0 * back;
    let load = (deliveries / 260.0 + rush / 80.0 + storm * 1.4).min(1.75);
    let slow = slowness * (1.0 + load + storm * 40.0);
    let messages = count(draw.around(deliveries));
    let connects = count(draw.around(rush * back + storm * planned(at) / 14.0));
    Point {
        at_s: at,
        planned: count(planned(at)),
        online: count(online),
        online_staff: count(staff),
        connects,
        told_to_wait: count(storm * 900.0),
        due: count(draw.around(due)),
        acked: count(draw.around(acked)),
        deliveries: messages,
        errors: count(if dead {
            planned(at) / 40.0
        } else {
            storm * 3.0
        }),
        violations: 0,
        delivery: spread(draw, messages, 1.6 * slow),
        ack: spread(draw, count(acked), 2.1 * slow),
        connect: spread(draw, connects, 3.5 * slow * (1.0 + storm * 30.0)),
        agents_cores: 0.12 + load * 0.3,
        agents_late_p99_ms: draw.around(0.6 + load),
        server: (!dead).then(|| ServerPoint {
            cores: draw.around(0.05 + load * 0.55),
            resident_bytes: count(61e6 + online * 2900.0 + if since > 0.0 { 4e6 } else { 0.0 }),
            connections: count(online),
        }),
        machine_busy: Some(((0.2 + load * 0.9) / 2.0).min(1.0)),
    }
}

fn curve(slowness: f64, seed: u64) -> Vec<Point> {
    let mut draw = Draw(seed);
    (1..=SECONDS)
        .map(|second| point(f64::from(second), slowness, &mut draw))
        .collect()
}

fn figures(outcome: &mut Outcome) {
    let mut figures = BTreeMap::new();
    for (kind, spread) in &outcome.latencies {
        figures.insert(format!("{kind}.p50_ms"), spread.p50_ms);
        figures.insert(format!("{kind}.p99_ms"), spread.p99_ms);
    }
    for (name, role) in &outcome.roles {
        figures.extend(
            role.back_95_s
                .map(|back| (format!("{name}.back_95_s"), back)),
        );
    }
    figures.insert(
        "errors".to_owned(),
        outcome.errors.values().sum::<u64>() as f64,
    );
    figures.insert(
        "violations".to_owned(),
        outcome.violations.counts.values().sum::<u64>() as f64,
    );
    let servers = || outcome.curve.iter().filter_map(|point| point.server);
    figures.insert(
        "server.cores_max".to_owned(),
        servers().map(|server| server.cores).fold(0.0, f64::max),
    );
    let memory = servers()
        .map(|server| server.resident_bytes)
        .max()
        .unwrap_or(0);
    figures.insert("server.resident_bytes_max".to_owned(), memory as f64);
    outcome.figures = figures;
}

fn judge(outcome: &mut Outcome, bounds: &[(&str, f64)]) {
    outcome.thresholds = bounds
        .iter()
        .map(|(figure, at_most)| {
            let measured = outcome.figures.get(*figure).copied();
            Judged {
                figure: (*figure).to_owned(),
                at_most: Some(*at_most),
                at_least: None,
                measured,
                held: measured.is_some_and(|measured| measured <= *at_most),
            }
        })
        .collect();
}

fn role(taking_part: u64, connect: Spread, ack: Spread, back: Option<(f64, f64, f64)>) -> Role {
    Role {
        taking_part,
        online_max: taking_part - taking_part / 90,
        told_to_wait: taking_part / 3,
        connect,
        back_50_s: back.map(|back| back.0),
        back_95_s: back.map(|back| back.1),
        back_100_s: back.map(|back| back.2),
        ack,
    }
}

fn stages(names: &[(&str, f64, f64)]) -> Vec<Stretch> {
    let stretch = |(name, from_s, to_s): &(&str, f64, f64)| Stretch {
        name: (*name).to_owned(),
        from_s: *from_s,
        to_s: *to_s,
    };
    names.iter().map(stretch).collect()
}

fn event(at_s: f64, what: &str) -> Event {
    Event {
        at_s,
        what: what.to_owned(),
        ..Event::default()
    }
}

/// A run of 35 minutes that held, though its server was killed in the middle.
pub(crate) fn first_monday() -> Outcome {
    monday(1.0, 17)
}

/// The same on an earlier day: slower, with less memory.
pub(crate) fn earlier() -> Outcome {
    let mut outcome = monday(1.7, 91);
    outcome.began = "2026-11-12T06:02:11Z".to_owned();
    outcome.target.version = "0.0.9".to_owned();
    for point in &mut outcome.curve {
        if let Some(server) = &mut point.server {
            server.resident_bytes = server.resident_bytes * 4 / 5;
        }
    }
    figures(&mut outcome);
    outcome
}

fn monday(slowness: f64, seed: u64) -> Outcome {
    let mut draw = Draw(seed);
    let mut latency = |count, p50: f64| spread(&mut draw, count, p50 * slowness);
    let kinds = [
        ("connect", 31_822, 9.0),
        ("reconnect", 13_611, 1180.0),
        ("screen", 45_433, 6.4),
        ("ack.message", 3518, 3.1),
        ("ack.check_in", 2088, 2.9),
        ("ack.class_post", 310, 4.4),
        ("ack.all", 5916, 3.1),
        ("delivery.message", 98_504, 2.6),
        ("delivery.check_in", 4176, 2.2),
        ("delivery.class_post", 13_950, 7.9),
        ("delivery.all", 116_630, 2.9),
    ];
    let latencies: BTreeMap<String, Spread> = kinds
        .into_iter()
        .map(|(kind, count, p50)| (kind.to_owned(), latency(count, p50)))
        .collect();
    let roles = [
        (
            "guardian",
            role(
                12_040,
                latency(12_040, 14.0),
                latency(1400, 3.3),
                Some((11.2, 41.0, 88.4)),
            ),
        ),
        (
            "staff",
            role(
                1655,
                latency(1655, 8.0),
                latency(4100, 2.8),
                Some((3.4, 11.9, 16.0)),
            ),
        ),
        (
            "pupil",
            role(
                4210,
                latency(4210, 15.0),
                latency(400, 3.5),
                Some((11.9, 42.3, 89.0)),
            ),
        ),
        ("other", role(95, latency(95, 15.0), latency(16, 3.5), None)),
    ];
    let mut outcome = Outcome {
        format: FORMAT,
        tester: "0.1.0".to_owned(),
        scenario: Replayed {
            name: "first-monday".to_owned(),
            title: "Første mandag efter sommerferien".to_owned(),
            about: "07:25 to 08:00 on the first Monday of the school year: everybody connects before the bell, children are checked in at 217,186 an hour nationwide, messages come at 170 a second, and every class gets a post.".to_owned(),
            speed: 1.0,
            seed: 20_260_810,
            codec: "mixed".to_owned(),
        },
        target: Target { url: "ws://127.0.0.1:8000/connection/websocket".to_owned(), version: "0.1.0".to_owned() },
        people: People { logins: 29_733, taking_part: 18_000, share_of_country: 1.0 / 60.0 },
        machine: Machine { cores: 2, memory_bytes: 24 << 30, agents: 2, shared_with_server: true },
        began: "2026-11-27T05:30:00Z".to_owned(),
        lasted_s: f64::from(SECONDS),
        verdict: Verdict { word: Word::Held, why: "all 8 thresholds held and the checker found nothing".to_owned() },
        latencies,
        roles: roles.into_iter().map(|(name, role)| (name.to_owned(), role)).collect(),
        violations: Violations { deliveries_checked: 116_630, deliveries_expected: 101_212, ..Violations::default() },
        errors: [("connect 111", 4021), ("connect 1013", 12_870), ("message 1012", 26)]
            .map(|(name, count)| (name.to_owned(), count))
            .into(),
        stages: stages(&[
            ("De første", 0.0, 600.0),
            ("Ringetid", 600.0, 1500.0),
            ("Første time", 1500.0, 2100.0),
        ]),
        events: vec![
            Event {
                disturbs: true,
                normal_s: Some(98.0),
                ..event(1300.0, "server killed, and started again")
            },
            event(1309.0, "it answers again"),
            event(1325.0, "95 % of staff are back"),
            event(1398.0, "everybody is back"),
        ],
        curve: curve(slowness, seed),
        bottleneck: Bottleneck {
            who: "machine".to_owned(),
            why: "the machine was 97 % busy in its busiest minute: server 1.1 cores, agents 0.6".to_owned(),
        },
        ..Outcome::default()
    };
    figures(&mut outcome);
    judge(
        &mut outcome,
        &[
            ("delivery.message.p99_ms", 250.0),
            ("delivery.class_post.p99_ms", 500.0),
            ("ack.message.p99_ms", 250.0),
            ("connect.p99_ms", 2000.0),
            ("reconnect.p99_ms", 30_000.0),
            ("staff.back_95_s", 30.0),
            ("violations", 0.0),
            ("server.resident_bytes_max", 209_715_200.0),
        ],
    );
    outcome
}

/// Slow, with messages that were lost and one that reached the wrong person.
pub(crate) fn broken() -> Outcome {
    let mut outcome = monday(30.0, 5);
    outcome.verdict = Verdict {
        word: Word::Broken,
        why:
            "the checker found 41 missing and 1 leaked; delivery.message.p99_ms was over its bound"
                .to_owned(),
    };
    let evidence = |kind: &str, at_s: f64, what: &str| Evidence {
        kind: kind.to_owned(),
        at_s,
        login: "uni-g10001-p417".to_owned(),
        channel: "person:uni-g10001-p417".to_owned(),
        what: what.to_owned(),
    };
    outcome.violations.counts = [("missing", 41), ("leaked", 1), ("doubled", 0)]
        .map(|(kind, count)| (kind.to_owned(), count))
        .into();
    outcome.violations.evidence = vec![
        evidence(
            "missing",
            641.2,
            "offset 17 was followed by 19 in the same epoch; 18 never came within 30 s",
        ),
        evidence(
            "missing",
            701.0,
            "marker a41c… sent by G10001.p3 to 45 recipients did not reach this one",
        ),
        evidence(
            "leaked",
            1012.7,
            "marker <77e0…> is for the family of G10001.p12 & reached somebody outside it",
        ),
    ];
    for (at, count) in [(641, 12), (701, 29), (1012, 1)] {
        outcome.curve[at].violations = count;
    }
    figures(&mut outcome);
    let bounds: Vec<(String, f64)> = outcome
        .thresholds
        .iter()
        .filter_map(|judged| judged.at_most.map(|most| (judged.figure.clone(), most)))
        .collect();
    let bounds: Vec<(&str, f64)> = bounds
        .iter()
        .map(|(name, most)| (name.as_str(), *most))
        .collect();
    judge(&mut outcome, &bounds);
    outcome.bottleneck = Bottleneck {
        who: "server".to_owned(),
        why: "its one busy thread stood at 1.0 cores for 9 minutes".to_owned(),
    };
    outcome
}

/// Stopped after some seconds, with no server that could be asked.
pub(crate) fn incomplete() -> Outcome {
    let mut outcome = monday(1.0, 3);
    outcome.verdict = Verdict {
        word: Word::Incomplete,
        why: "agent 2 ended after 11 s with exit code 101".to_owned(),
    };
    outcome.lasted_s = 11.4;
    outcome.curve.truncate(11);
    for point in &mut outcome.curve {
        point.server = None;
        point.machine_busy = None;
    }
    outcome.curve.drain(4..6);
    outcome.stages = stages(&[("De første", 0.0, 600.0)]);
    outcome.events = vec![event(11.2, "agent 2 ended")];
    outcome.latencies.retain(|kind, _| kind == "connect");
    outcome.roles.clear();
    outcome.violations = Violations::default();
    outcome.errors.clear();
    outcome.bottleneck = Bottleneck::default();
    outcome.figures.clear();
    for judged in &mut outcome.thresholds {
        judged.measured = None;
        judged.held = false;
    }
    outcome
}

/// Nothing at all.
pub(crate) fn empty() -> Outcome {
    Outcome {
        format: FORMAT,
        ..Outcome::default()
    }
}
