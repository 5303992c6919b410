//! What a session counts of itself.

use super::*;
use crate::telemetry::Telemetry;

/// A session with where it is counted.
struct Counted {
    bench: Bench,
    telemetry: Telemetry,
    watch: Stopwatch,
}

impl Counted {
    fn new(settings: Settings) -> Self {
        let telemetry = Telemetry::new();
        let watch = Stopwatch::default();
        let link = Link {
            counts: counts(&telemetry.meters(), &watch),
            ..link(Wire::WebSocketJson)
        };
        Self {
            bench: Bench::over(settings, link),
            telemetry,
            watch,
        }
    }

    /// What a series stands at, written as it is exposed.
    fn series(&self, series: &str) -> f64 {
        let text = self.telemetry.exposition();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    #[track_caller]
    fn check(&self, rows: &[(&str, f64)]) {
        for (series, expected) in rows {
            let seen = self.series(series);
            assert!(
                (seen - expected).abs() < 1e-9,
                "{series}: {seen} and not {expected}"
            );
        }
    }
}

#[test]
fn connections_and_subscriptions_are_counted_from_their_begin_to_their_end() {
    let mut counted = Counted::new(settings());
    let name = r#"{"id":1,"connect":{"name":"js","version":"anything at all"}}"#;
    counted.bench.send(name);
    counted
        .bench
        .send(r#"{"id":2,"subscribe":{"channel":"stream:a"}}"#)
        .answer(Answer::Subscribed(Ok(Subscribed::default())));
    let connection =
        "{transport=\"websocket\",accept_protocol=\"h1\",client_name=\"js\",client_version=\"\"}";
    let subscription = "{client_name=\"js\",channel_namespace=\"stream\"}";
    let accepted = format!("centrifugo_client_connections_accepted{connection}");
    let open = format!("centrifugo_client_connections_inflight{connection}");
    let granted = format!("centrifugo_client_subscriptions_accepted{subscription}");
    let held = format!("centrifugo_client_subscriptions_inflight{subscription}");
    counted.check(&[
        (&accepted, 1.0),
        (&open, 1.0),
        (&granted, 1.0),
        (&held, 1.0),
    ]);
    counted
        .bench
        .send(r#"{"id":3,"unsubscribe":{"channel":"stream:a"}}"#);
    counted.check(&[(&granted, 1.0), (&held, 0.0)]);
    counted
        .bench
        .send(r#"{"id":4,"subscribe":{"channel":"stream:a"}}"#)
        .answer(Answer::Subscribed(Ok(Subscribed::default())));
    counted.check(&[(&granted, 2.0), (&held, 1.0)]);
    let Counted {
        bench,
        telemetry,
        watch,
    } = counted;
    drop(bench);
    let gone = Counted {
        bench: Bench::new(settings()),
        telemetry,
        watch,
    };
    gone.check(&[(&accepted, 1.0), (&open, 0.0), (&held, 0.0)]);
}

#[test]
fn commands_are_measured_from_their_arrival_to_their_reply() {
    let mut counted = Counted::new(settings());
    counted.bench.send(r#"{"id":1,"connect":{}}"#);
    counted.watch.tell(1_000_000);
    counted
        .bench
        .send(r#"{"id":2,"publish":{"channel":"stream:a","data":{}}}"#);
    // It waits behind the first.
    counted
        .bench
        .send(r#"{"id":3,"history":{"channel":"none:a"}}"#);
    counted.watch.tell(1_300_000);
    counted.bench.answer(Answer::Published(Ok(())));
    let seconds = "centrifugo_client_command_duration_seconds_histogram";
    let publish = format!("{seconds}_sum{{method=\"publish\",channel_namespace=\"stream\"}}");
    let history = format!("{seconds}_sum{{method=\"history\",channel_namespace=\"other\"}}");
    counted.check(&[
        (&publish, 0.3),
        (&history, 0.3),
        (
            "centrifugo_client_num_reply_errors{method=\"history\",code=\"102\",channel_namespace=\"other\"}",
            1.0,
        ),
    ]);
}

#[test]
fn messages_and_bytes_are_counted_both_ways() {
    let mut counted = Counted::new(settings());
    let connect = r#"{"id":1,"connect":{}}"#;
    let publish = r#"{"id":2,"publish":{"channel":"stream:a","data":{}}}"#;
    counted.bench.send(connect);
    let said = counted.bench.said.len();
    counted
        .bench
        .send(publish)
        .answer(Answer::Published(Ok(())));
    counted
        .bench
        .event(Event::Message(Bytes::from_static(b"1")));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let number = |count: usize| count as f64;
    let labels = |frame: &str, namespace: &str| {
        format!(
            "{{transport=\"websocket\",frame_type=\"{frame}\",channel_namespace=\"{namespace}\"}}"
        )
    };
    let received = "centrifugo_transport_messages_received";
    let sent = "centrifugo_transport_messages_sent";
    counted.check(&[
        (&format!("{received}{}", labels("connect", "")), 1.0),
        (
            &format!("{received}_size{}", labels("connect", "")),
            number(connect.len()),
        ),
        (
            &format!("{received}_size{}", labels("publish", "stream")),
            number(publish.len()),
        ),
        (
            &format!("{sent}_size{}", labels("connect", "")),
            number(said),
        ),
        (&format!("{sent}{}", labels("publish", "stream")), 1.0),
        (&format!("{sent}{}", labels("push_message", "")), 1.0),
    ]);
}

#[test]
fn pings_are_measured_until_their_pong() {
    let mut counted = Counted::new(settings());
    counted.bench.send(r#"{"id":1,"connect":{}}"#);
    counted.watch.tell(5_000_000);
    // The first ping comes after half the interval.
    counted.bench.pass(13_000);
    counted.watch.tell(5_020_000);
    counted.bench.send("{}");
    counted.check(&[
        (
            "centrifugo_client_ping_pong_duration_seconds_sum{transport=\"websocket\"}",
            0.02,
        ),
        (
            "centrifugo_transport_messages_sent{transport=\"websocket\",frame_type=\"server_ping\",channel_namespace=\"\"}",
            1.0,
        ),
        (
            "centrifugo_transport_messages_received{transport=\"websocket\",frame_type=\"client_pong\",channel_namespace=\"\"}",
            1.0,
        ),
    ]);
}

#[test]
fn recoveries_and_ends_by_the_server_are_counted() {
    let mut counted = Counted::new(settings());
    counted.bench.send(r#"{"id":1,"connect":{}}"#);
    let recover = r#"{"id":2,"subscribe":{"channel":"stream:a","recover":true,"epoch":"e"}}"#;
    counted
        .bench
        .send(recover)
        .answer(Answer::Subscribed(Ok(Subscribed {
            epoch: Epoch::from("other"),
            ..Subscribed::default()
        })));
    counted.bench.event(Event::PositionLost {
        channel: ChannelName::parse("stream:a").expect("a name"),
    });
    counted.check(&[
        (
            "centrifugo_client_recover{recovered=\"no\",has_recovered_publications=\"no\",channel_namespace=\"stream\"}",
            1.0,
        ),
        (
            "centrifugo_client_num_server_unsubscribes{code=\"2500\",channel_namespace=\"stream\"}",
            1.0,
        ),
    ]);
}

#[test]
fn recoveries_are_counted_by_outcome_and_source() {
    let mut counted = Counted::new(settings());
    counted.bench.send(r#"{"id":1,"connect":{}}"#);
    let mut id = 1;
    let mut recover = |channel: &str, flag: u32, answer: Answer| {
        id += 1;
        let command = format!(
            r#"{{"id":{id},"subscribe":{{"channel":"{channel}","recover":true,"epoch":"e","flag":{flag}}}}}"#
        );
        counted.bench.send(&command).answer(answer);
    };
    let gone = |source| {
        Answer::Subscribed(Ok(Subscribed {
            epoch: Epoch::from("other"),
            source,
            ..Subscribed::default()
        }))
    };
    recover("stream:a", 0, read(1, 3));
    recover("stream:b", 0, gone(Source::Store));
    recover("stream:c", 2, gone(Source::Memory));
    let refused = ErrorReply::from(ErrorCode::INTERNAL);
    let refused = Answer::Subscribed(Err(SubscribeFailure::Refused(refused)));
    recover("stream:d", 0, refused);
    let series = |outcome: &str, source: &str| {
        format!("klokke_recoveries_total{{outcome=\"{outcome}\",source=\"{source}\"}}")
    };
    counted.check(&[
        (&series("complete", "memory"), 1.0),
        (&series("incomplete", "store"), 1.0),
        (&series("failed", "memory"), 1.0),
        (&series("failed", "none"), 1.0),
    ]);
}

#[test]
fn what_a_client_may_not_do_with_a_channel_is_a_denial() {
    let mut settings = settings();
    settings.domain = true;
    let mut counted = Counted::new(settings);
    counted.bench.send(r#"{"id":1,"connect":{}}"#);
    for (id, command) in [
        (2, r#""subscribe":{"channel":"unit:G1"}"#),
        (3, r#""history":{"channel":"unit:G1"}"#),
        (4, r#""subscribe":{"channel":"nowhere:a"}"#),
    ] {
        counted.bench.send(&format!(r#"{{"id":{id},{command}}}"#));
    }
    counted.check(&[("klokke_rights_denied_total{reason=\"channel\"}", 2.0)]);
}

#[test]
fn changed_entitlements_are_counted_by_what_they_mean() {
    let mut settings = settings();
    settings.domain = true;
    let mut counted = Counted::new(settings);
    counted.bench.send(r#"{"id":1,"connect":{}}"#);
    let lens = |full_until_ms| Lens {
        full_until_ms,
        ..Lens::OPEN
    };
    let mut told = |lenses: &[(&str, Lens)]| {
        let entitlements = lenses.iter().map(|(channel, lens)| Entitlement {
            channel: ChannelName::parse(channel).expect("a name"),
            lens: *lens,
        });
        let entitlements = entitlements.collect();
        counted.bench.event(Event::Entitlements(entitlements));
        let subscribe = |effect: &Effect| matches!(effect, Effect::Subscribe(_));
        while counted.bench.asked.iter().any(subscribe) {
            counted
                .bench
                .answer(Answer::Subscribed(Ok(Subscribed::default())));
            counted.bench.asked.clear();
        }
    };
    told(&[("unit:G1", lens(0))]);
    told(&[("unit:G1", lens(9))]);
    told(&[("unit:G1", lens(5))]);
    told(&[]);
    for change in ["added", "widened", "narrowed", "removed"] {
        let series = format!("klokke_entitlements_changed_total{{change=\"{change}\"}}");
        counted.check(&[(&series, 1.0)]);
    }
}
