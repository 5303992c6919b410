//! The load tester against the built server: a sound one holds, one broken on purpose in each way is caught, and what goes wrong
//! around a run is said with a sentence and never passes.

mod rig;

use rig::{Rig, Told};

/// Twelve seconds of a school: everybody comes, staff write, phones drop.
const MORNING: &str = r#"
title = "A short morning"
about = "Twelve seconds of a small municipality."
[people]
stepped_up = 0.4
protobuf = 0.5
[behaviour]
think = "1s"
[[stage]]
name = "they come"
lasts = "3s"
online = 1.0
[[stage]]
name = "they write"
lasts = "9s"
drops = 1.0
rates = { check_in = 60000, message = 60000, direct = 30000, sensitive = 40000, class_post = 30000, notice = 1500 }
[thresholds]
"online_share_end" = { at_least = 0.8 }
"#;

fn held(told: &Told) {
    assert_eq!(told.code, Some(0), "{}", told.text);
    assert_eq!(told.result["verdict"]["word"], "held", "{}", told.text);
}

#[test]
fn a_sound_server_holds_and_every_delivery_was_looked_for() {
    let rig = Rig::new().expect("a municipality");
    let told = rig.run(MORNING, &[], &[]).expect("it runs");
    held(&told);
    let violations = &told.result["violations"];
    let expected = violations["deliveries_expected"].as_u64().expect("counted");
    assert!(expected > 500, "{expected} deliveries were expected");
    assert_eq!(violations["counts"], serde_json::json!({}));
    for kind in [
        "check_in",
        "message",
        "direct",
        "sensitive",
        "class_post",
        "notice",
    ] {
        let count = &told.result["latencies"][format!("delivery.{kind}")]["count"];
        assert!(
            count.as_u64() > Some(0),
            "no {kind} was delivered: {}",
            told.text
        );
    }
    assert!(told.html.starts_with("<!doctype html>") || told.html.starts_with("<!DOCTYPE html>"));
}

#[test]
fn two_agents_one_of_them_joined_from_elsewhere_see_as_one() {
    let rig = Rig::new().expect("a municipality");
    let told = rig.run_with_foreign_agent(MORNING).expect("it runs");
    held(&told);
    assert_eq!(told.result["machine"]["agents"], 2);
}

#[test]
fn over_tls_who_comes_again_resumes() {
    let rig = Rig::new().expect("a municipality");
    let (told, counted) = rig.run_over_tls(MORNING, true).expect("it runs");
    held(&told);
    let handshakes = |kind: &str| {
        let name = format!("klokke_tls_handshakes_total{{kind=\"{kind}\"}} ");
        let line = counted.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|count| count.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    let (full, resumed) = (handshakes("full"), handshakes("resumed"));
    let everybody = told.result["people"]["taking_part"].as_f64();
    let everybody = everybody.expect("counted");
    assert!(
        full >= everybody,
        "{full} full handshakes of {everybody} people"
    );
    assert!(resumed > 0.0, "nobody resumed");
}

#[test]
fn a_certificate_that_nobody_trusts_is_an_error_and_never_a_pass() {
    let rig = Rig::new().expect("a municipality");
    let (told, _) = rig.run_over_tls(MORNING, false).expect("it runs");
    assert_ne!(told.code, Some(0), "{}", told.text);
    assert!(told.text.contains("--tls-ca"), "{}", told.text);
}

/// Each way of breaking, and what it must be called; any of the names will do where one fault can show in several.
#[test]
fn a_server_broken_on_purpose_is_caught_each_time() {
    let rig = Rig::new().expect("a municipality");
    let ways: [(&str, &[&str]); 7] = [
        ("drop", &["missing"]),
        ("drop_quietly", &["missing"]),
        ("double", &["doubled"]),
        ("reorder", &["out_of_order"]),
        ("leak", &["leaked"]),
        ("leak_rights", &["foreign_channel", "leaked"]),
        ("bare", &["sensitive_in_full"]),
    ];
    for (way, names) in ways {
        let told = rig.run_broken(MORNING, way).expect("it runs");
        assert_eq!(told.code, Some(99), "{way}: {}", told.text);
        let counts = &told.result["violations"]["counts"];
        let found = names.iter().any(|name| counts[name].as_u64() > Some(0));
        assert!(found, "{way} was not called {names:?} but {counts}");
        let evidence = told.result["violations"]["evidence"].as_array();
        assert!(
            evidence.is_some_and(|it| !it.is_empty()),
            "{way}: no evidence"
        );
    }
}

#[test]
fn a_server_killed_in_the_middle_loses_nothing() {
    let rig = Rig::new().expect("a municipality");
    let scenario = format!("{MORNING}\n[[event]]\nat = \"6s\"\ndo = \"kill_server\"\n");
    let told = rig.run(&scenario, &[], &[]).expect("it runs");
    held(&told);
    let events = told.result["events"].to_string();
    assert!(events.contains("killed"), "{events}");
    assert!(told.result["latencies"]["reconnect"]["count"].as_u64() > Some(0));
}

#[test]
fn a_server_that_stands_still_and_then_leaves_loses_nothing() {
    let rig = Rig::new().expect("a municipality");
    let events = "
[[event]]
at = \"1s\"
do = \"run\"
command = \"false\"
[[event]]
at = \"4s\"
do = \"pause_server\"
lasts = \"1s\"
[[event]]
at = \"6s\"
do = \"roll_server\"
";
    let scenario = format!("{MORNING}{events}");
    let drain = ["KLOKKE_DRAIN_NOTICE=0s", "KLOKKE_DRAIN_SPREAD=1s"];
    let told = rig.run(&scenario, &[], &drain).expect("it runs");
    held(&told);
    let events = told.result["events"].to_string();
    for what in [
        "failed (exit code 1): false",
        "server goes on",
        "server left (exit code 0), and is started again",
    ] {
        assert!(events.contains(what), "{what}: {events}");
    }
    assert!(events.contains("\"disturbs\":true"), "{events}");
}

#[test]
fn a_broken_threshold_is_named_and_ends_with_99() {
    let rig = Rig::new().expect("a municipality");
    let scenario = format!("{MORNING}\"delivery.all.p50_ms\" = {{ at_most = 0.0 }}\n");
    let told = rig.run(&scenario, &[], &[]).expect("it runs");
    assert_eq!(told.code, Some(99), "{}", told.text);
    assert!(
        told.text.contains("delivery.all.p50_ms is"),
        "{}",
        told.text
    );
}

#[test]
fn a_threshold_that_aborts_ends_the_run_early_and_broken() {
    let rig = Rig::new().expect("a municipality");
    let bound = "\"connect.p50_ms\" = { at_most = 0.0, abort_after = \"1s\" }";
    let scenario = format!("{}{bound}\n", MORNING.replace("9s", "10m"));
    let told = rig.run(&scenario, &[], &[]).expect("it runs");
    assert_eq!(told.code, Some(99), "{}", told.text);
    assert!(told.text.contains("ended early"), "{}", told.text);
}

#[test]
fn what_cannot_be_begun_is_refused_with_a_sentence() {
    let rig = Rig::new().expect("a municipality");
    let rows: [(String, &[&str], &str); 7] = [
        (
            MORNING.replace("drops", "drips"),
            &[],
            "unknown field `drips`",
        ),
        (MORNING.replace("3s", "0s"), &[], "lasts no time"),
        (
            format!("{MORNING}\n[[event]]\nat = \"6s\"\ndo = \"kill_server\"\n"),
            &["--serve", ""],
            "--serve",
        ),
        (
            MORNING.to_owned(),
            &["--serve", "", "--server", "ws://127.0.0.1:9"],
            "no server answers",
        ),
        (
            format!("{MORNING}\n[[event]]\nat = \"6s\"\ndo = \"kill_server\"\nserver = 2\n"),
            &[],
            "there are 1",
        ),
        (
            MORNING.to_owned(),
            &[
                "--server",
                "ws://127.0.0.1:9",
                "--server",
                "ws://127.0.0.1:10",
            ],
            "2 servers and 1 commands",
        ),
        (
            MORNING.to_owned(),
            &["--people", "no/such/folder"],
            "make the people first",
        ),
    ];
    for (scenario, arguments, says) in rows {
        let told = rig.run(&scenario, arguments, &[]).expect("it runs");
        assert_eq!(told.code, Some(1), "{says}: {}", told.text);
        assert!(told.text.contains(says), "{says}: {}", told.text);
    }
}

#[test]
fn refused_tokens_strangers_and_few_descriptors_are_told_apart() {
    let rig = Rig::new().expect("a municipality");
    let told = rig
        .run_with_secret(MORNING, "not the server's")
        .expect("it runs");
    assert_eq!(told.code, Some(1), "{}", told.text);
    assert!(told.text.contains("refuses the tokens"), "{}", told.text);

    let told = rig.run_without_import(MORNING).expect("it runs");
    assert_eq!(told.code, Some(1), "{}", told.text);
    assert!(
        told.text.contains("does not know these people"),
        "{}",
        told.text
    );

    let told = rig.run_with_descriptors(MORNING, 150).expect("it runs");
    assert_eq!(told.code, Some(1), "{}", told.text);
    assert!(told.text.contains("ulimit -n"), "{}", told.text);
}

#[test]
fn an_agent_that_dies_leaves_a_partial_result_and_never_a_pass() {
    let rig = Rig::new().expect("a municipality");
    let told = rig.run_and_kill_agent(MORNING).expect("it runs");
    assert_eq!(told.code, Some(1), "{}", told.text);
    assert_eq!(told.result["verdict"]["word"], "incomplete");
    assert!(told.text.contains("died"), "{}", told.text);
    assert!(
        told.result["curve"]
            .as_array()
            .is_some_and(|it| !it.is_empty()),
        "what there was is kept"
    );
}
