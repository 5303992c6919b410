//! The catalogue keeps its own rules, and what is counted is what is exposed.

use std::collections::HashSet;

use super::catalogue::{self, CATALOGUE};
use super::*;

/// One series of every metric, with the first value each label allows.
fn one_of_each(meters: &Meters) {
    for (position, spec) in CATALOGUE.iter().enumerate() {
        let labels: Vec<&str> = spec
            .labels
            .iter()
            .map(|label| match label.values {
                Values::OneOf(set) => set[0],
                Values::AtMost(_) => "some",
            })
            .collect();
        match spec.kind {
            Kind::Counter => meters.counter(Counter(position), &labels).add(1),
            Kind::Gauge => meters.gauge(Gauge(position), &labels).add(1),
            Kind::Age => meters.age(Age(position), &labels).set(Some(1)),
            Kind::Histogram(_) => meters
                .histogram(Histogram(position), &labels)
                .observe(0.002),
        }
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn every_metric_is_well_declared() {
    let mut names = HashSet::new();
    for spec in CATALOGUE {
        assert!(names.insert(spec.name), "{} is there twice", spec.name);
        assert!(is_name(spec.name), "{} is no name", spec.name);
        assert!(
            spec.help.len() > 10 && spec.help.ends_with('.'),
            "{}: help is a sentence",
            spec.name
        );
        let ours = spec.name.strip_prefix("klokke_");
        assert!(
            ours.is_some() || spec.name.starts_with("centrifugo_"),
            "{}",
            spec.name
        );
        if ours.is_some() {
            assert_eq!(
                spec.kind == Kind::Counter,
                spec.name.ends_with("_total"),
                "{}: our counters, and only they, end in _total",
                spec.name
            );
            assert_eq!(
                spec.unit == Unit::Seconds,
                spec.name.contains("_seconds"),
                "{}: the unit is in the name",
                spec.name
            );
        }
        if let Kind::Histogram(bounds) = spec.kind {
            assert!(
                bounds.is_sorted_by(|a, b| a < b),
                "{}: bounds ascend",
                spec.name
            );
        }
        for label in spec.labels {
            assert!(is_name(label.name), "{}: label {}", spec.name, label.name);
            match label.values {
                Values::OneOf(set) => {
                    let distinct: HashSet<_> = set.iter().collect();
                    assert_eq!(distinct.len(), set.len(), "{}: {}", spec.name, label.name);
                    assert!(!set.is_empty(), "{}: {}", spec.name, label.name);
                }
                Values::AtMost(limit) => assert!((1..=256).contains(&limit), "{}", spec.name),
            }
        }
    }
}

#[test]
fn every_metric_is_exposed_with_its_help() {
    let telemetry = Telemetry::new();
    one_of_each(&telemetry.meters());
    let text = telemetry.exposition();
    for spec in CATALOGUE {
        let kind = match spec.kind {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Age => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert!(text.contains(&format!("# HELP {} {}\n", spec.name, spec.help)));
        assert!(
            text.contains(&format!("# TYPE {} {kind}\n", spec.name)),
            "{}",
            spec.name
        );
    }
    assert!(
        text.contains("process_resident_memory_bytes"),
        "the process's own figures"
    );
}

#[test]
fn what_has_no_labels_is_there_from_the_start() {
    let text = Telemetry::new().exposition();
    assert!(text.contains("\ncentrifugo_node_num_clients 0\n"));
    assert!(text.contains("\nklokke_store_damage_total 0\n"));
    assert!(text.contains("klokke_store_commit_duration_seconds_bucket{le=\"+Inf\"} 0\n"));
}

#[test]
fn threads_are_summed() {
    let telemetry = Telemetry::new();
    let (one, two) = (telemetry.meters(), telemetry.meters());
    one.gauge(catalogue::NODE_NUM_CLIENTS, &[]).add(5);
    two.gauge(catalogue::NODE_NUM_CLIENTS, &[]).add(-2);
    for meters in [&one, &two] {
        let spread = meters.histogram(catalogue::STORE_COMMIT_SECONDS, &[]);
        spread.observe(0.0001); // on a bound: belongs to it
        spread.observe(99.0);
    }
    let text = telemetry.exposition();
    assert!(text.contains("\ncentrifugo_node_num_clients 3\n"));
    assert!(text.contains("klokke_store_commit_duration_seconds_bucket{le=\"0.0001\"} 2\n"));
    assert!(text.contains("klokke_store_commit_duration_seconds_bucket{le=\"10\"} 2\n"));
    assert!(text.contains("klokke_store_commit_duration_seconds_count 4\n"));
}

#[test]
fn a_label_never_takes_a_value_outside_its_set() {
    let telemetry = Telemetry::new();
    let meters = telemetry.meters();
    meters.count(catalogue::SLOW_CONSUMERS, &["carrier pigeon"]);
    for nth in 0..200 {
        let namespace = format!("n{nth}");
        meters.count(catalogue::NODE_TAGS_FILTERED, &[&namespace]);
    }
    let text = telemetry.exposition();
    assert!(text.contains("klokke_slow_consumers_total{transport=\"other\"} 1\n"));
    assert!(!text.contains("pigeon"));
    let series = text
        .lines()
        .filter(|line| line.starts_with("centrifugo_node_tags_filter_dropped_publications{"))
        .count();
    assert_eq!(series, 65, "64 namespaces and `other`");
    assert!(text.contains(
        "centrifugo_node_tags_filter_dropped_publications{channel_namespace=\"other\"} 136\n"
    ));
}

#[test]
fn series_of_a_metric_are_bounded() {
    let telemetry = Telemetry::new();
    let meters = telemetry.meters();
    for path in 0..60 {
        for status in 0..30 {
            let labels = [&*format!("/p{path}"), "GET", &*format!("{status}")];
            meters.count(catalogue::NODE_HTTP_REQUESTS, &labels);
        }
    }
    let text = telemetry.exposition();
    let series: Vec<u64> = text
        .lines()
        .filter(|line| line.starts_with("centrifugo_node_incoming_http_requests_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    assert!(
        series.len() <= SERIES_MAX + 1,
        "{} series and one `other`",
        series.len()
    );
    assert_eq!(series.iter().sum::<u64>(), 1800, "nothing goes uncounted");
}

#[test]
fn an_age_grows_by_itself_and_the_oldest_counts() {
    let telemetry = Telemetry::new();
    let (one, two) = (telemetry.meters(), telemetry.meters());
    let age_of = |telemetry: &Telemetry| {
        let text = telemetry.exposition();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("klokke_outbox_oldest_seconds "));
        line.and_then(|value| value.parse::<f64>().ok())
            .expect("always there")
    };
    assert!(
        age_of(&telemetry).abs() < f64::EPSILON,
        "nothing is old yet"
    );
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .expect("after 1970")
        .as_millis();
    let now_ms = u64::try_from(now_ms).expect("before the sun goes out");
    let since = one.age(catalogue::OUTBOX_OLDEST_SECONDS, &[]);
    since.set(Some(now_ms - 60_000));
    two.age(catalogue::OUTBOX_OLDEST_SECONDS, &[])
        .set(Some(now_ms - 3_000));
    assert!((60.0..120.0).contains(&age_of(&telemetry)));
    since.set(None);
    assert!((3.0..60.0).contains(&age_of(&telemetry)));
}
