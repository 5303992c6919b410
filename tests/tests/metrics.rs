//! Every metric that docs/metrics.md promises is really counted: a server lives a short and eventful life, and what
//! `/metrics` says afterwards is held against the page. No sample may tell who or what it was about.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use klokke_tests::{
    client::Client,
    http,
    raw::{Frame, PATIENCE, Raw},
    server::{Server, Settings},
    token,
};
use serde_json::{Value, json};

/// What people read, and what `cargo xtask tidy` compares with the catalogue in the code.
const PAGE: &str = include_str!("../../docs/metrics.md");

/// Stands in names, channels, methods and payloads, and must stand in no sample.
const SECRET_WORD: &str = "hemmeligtord";

/// Metrics that a healthy server does not count, with what shows that they are counted when it is not.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "klokke_quic_arrivals_total",
        "somebody must come over QUIC: tests/tests/quic.rs",
    ),
    (
        "klokke_quic_datagrams_handed_on_total",
        "somebody over QUIC must change its address: tests/tests/quic.rs",
    ),
    (
        "klokke_shard_mailbox_full_total",
        "8,192 things must wait at one shard at once: server/src/runtime/mailbox.rs",
    ),
    (
        "klokke_ledger_mailbox_full_total",
        "1,024 calls must wait at one ledger at once: server/src/ledger/figures_tests.rs",
    ),
    (
        "klokke_ledger_read_backs_total",
        "the store must answer unclearly or have another writer: server/src/ledger/figures_tests.rs",
    ),
    (
        "klokke_admission_waiting",
        "connects must come faster than they can be done: server/src/runtime/tests/admitting.rs, tests/tests/admission.rs",
    ),
    (
        "klokke_admission_refused_total",
        "connects must wait too long, or the node be late: tests/tests/admission.rs",
    ),
    (
        "klokke_admission_level",
        "the node must be late for a second: tests/tests/admission.rs",
    ),
    (
        "klokke_tls_handshakes_total",
        "clients must speak TLS: tests/tests/tls.rs",
    ),
    (
        "klokke_outbox_pending",
        "an item waits for a millisecond unless it is refused for now: server/src/ledger/figures_tests.rs",
    ),
    (
        "klokke_outbox_oldest_seconds",
        "as klokke_outbox_pending: server/src/ledger/waiting.rs",
    ),
    (
        "klokke_cluster_odd_nodes",
        "another node must have other settings or another clock: server/src/bus/tests.rs",
    ),
    (
        "klokke_cluster_routed_total",
        "there must be another node: tests/tests/cluster/routing.rs",
    ),
    (
        "klokke_cluster_ledgers_taken_over_total",
        "another node must leave: tests/tests/cluster/leave.rs",
    ),
    (
        "klokke_ledger_conflicts_total",
        "the store must have another writer: server/src/ledger/figures_tests.rs",
    ),
    (
        "klokke_store_errors_total",
        "the disk must fail: server/src/store/fjall/group_tests.rs",
    ),
    (
        "klokke_store_damage_total",
        "the files must be damaged: server/src/store/fjall/damage/mod.rs",
    ),
    (
        "klokke_bus_up",
        "there must be other nodes: server/src/bus/tests.rs, tests/tests/cluster.rs",
    ),
    (
        "klokke_bus_messages_total",
        "there must be other nodes: server/src/bus/tests.rs",
    ),
    (
        "klokke_bus_dropped_total",
        "the bus must be away: server/src/bus/tests.rs",
    ),
    (
        "klokke_bus_asked_total",
        "there must be other nodes: server/src/bus/asks_tests.rs, tests/tests/cluster/nodes.rs",
    ),
    (
        "klokke_bus_answered_total",
        "there must be other nodes: server/src/bus/asks_tests.rs",
    ),
    (
        "klokke_bus_ask_duration_seconds",
        "there must be other nodes: server/src/bus/asks_tests.rs",
    ),
    (
        "klokke_bus_looks_total",
        "the bus must be away: server/src/bus/tests.rs",
    ),
    (
        "klokke_ledger_foreign_commits_total",
        "another node must write: server/src/ledger/foreign_tests.rs, tests/tests/cluster.rs",
    ),
    (
        "klokke_ledger_renewed_total",
        "another node must have removed what this one lacks: server/src/ledger/foreign_tests.rs",
    ),
    (
        "klokke_ledger_forks_total",
        "another node must tell of another history: server/src/ledger/foreign_tests.rs",
    ),
    (
        "klokke_store_lwt_total",
        "the store must be a cluster: tests/tests/cassandra.rs",
    ),
    (
        "klokke_store_replayed_commits_total",
        "as klokke_store_lwt_total, and a write be left half done; not held to its count yet",
    ),
    (
        "klokke_store_requests_in_flight",
        "as klokke_store_lwt_total: server/src/store/scylla/tests.rs",
    ),
    (
        "klokke_store_shared_reads_total",
        "as klokke_store_lwt_total, and two ask for the same at once: server/src/store/scylla/flights.rs",
    ),
    (
        "klokke_store_unclear_writes_total",
        "as klokke_store_lwt_total, and an answer be lost; not held to its count yet",
    ),
];

/// Series that tell kinds apart, each of which the run must have counted.
const TOLD_APART: &[(&str, &[&str])] = &[
    ("klokke_connections", &["role=\"staff\"", "state=\"open\""]),
    ("klokke_connections", &["role=\"pupil\"", "state=\"open\""]),
    (
        "klokke_connections",
        &["role=\"other\"", "state=\"lagging\""],
    ),
    (
        "klokke_connections",
        &["role=\"anonymous\"", "state=\"opening\""],
    ),
    ("klokke_connects_total", &["role=\"staff\"", "kind=\"new\""]),
    (
        "klokke_connects_total",
        &["role=\"guardian\"", "kind=\"new\""],
    ),
    (
        "klokke_connects_total",
        &["role=\"pupil\"", "kind=\"resumed\""],
    ),
    ("klokke_deliveries_total", &["channel_namespace=\"person\""]),
    (
        "klokke_publish_to_write_seconds_count",
        &["channel_namespace=\"person\""],
    ),
    (
        "klokke_recoveries_total",
        &["outcome=\"complete\"", "source=\"memory\""],
    ),
    (
        "klokke_recoveries_total",
        &["outcome=\"complete\"", "source=\"store\""],
    ),
    ("klokke_recoveries_total", &["outcome=\"incomplete\""]),
    ("klokke_rights_denied_total", &["reason=\"not_allowed\""]),
    (
        "klokke_rights_denied_total",
        &["reason=\"step_up_required\""],
    ),
    ("klokke_rights_denied_total", &["reason=\"channel\""]),
    ("klokke_messages_total", &["kind=\"thread\""]),
    ("klokke_messages_total", &["kind=\"message\""]),
    ("klokke_messages_total", &["kind=\"reply\""]),
    ("klokke_shard_memory_bytes", &["part=\"sessions\""]),
    ("klokke_shard_memory_bytes", &["part=\"recent\""]),
    ("klokke_shard_memory_bytes", &["part=\"rosters\""]),
    ("klokke_shard_memory_bytes", &["part=\"queues\""]),
];

/// A row of the page.
struct Row {
    kind: String,
    labels: BTreeSet<String>,
}

fn page() -> Result<BTreeMap<String, Row>> {
    let mut rows = BTreeMap::new();
    for line in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').to_owned();
        let labels = cells[3].split(',').map(|label| label.trim().to_owned());
        let row = Row {
            kind: cells[2].to_owned(),
            labels: labels.filter(|label| !label.is_empty()).collect(),
        };
        rows.insert(name, row);
    }
    ensure!(rows.len() > 30, "the page has {} rows", rows.len());
    Ok(rows)
}

/// The highest that every series stood at whenever somebody looked.
#[derive(Default)]
struct Seen {
    series: BTreeMap<String, f64>,
    /// What the longest exposition had.
    bytes: usize,
}

impl Seen {
    fn look(&mut self, address: SocketAddr) -> Result<()> {
        let answer = http::request(address, "GET", "/metrics", &[], "")?;
        ensure!(answer.status == 200, "/metrics answered {}", answer.status);
        ensure!(
            !answer.body.contains(SECRET_WORD),
            "a sample tells what it was about"
        );
        self.bytes = self.bytes.max(answer.body.len());
        let samples = answer.body.lines().filter(|line| !line.starts_with('#'));
        for line in samples {
            let (series, value) = line.rsplit_once(' ').context("no value")?;
            let value: f64 = value.parse()?;
            let highest = self.series.entry(series.to_owned()).or_insert(value);
            *highest = highest.max(value);
        }
        Ok(())
    }

    /// Looks until a series of this metric with these labels is there and not 0.
    fn look_until(&mut self, address: SocketAddr, metric: &str, labels: &[&str]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.look(address)?;
            if self.sum(metric, labels) > 0.0 {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{metric}{labels:?} stays 0");
        }
    }

    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let of_name = self.series.iter().filter(move |(series, _)| {
            series
                .strip_prefix(name)
                .is_some_and(|after| after.is_empty() || after.starts_with('{'))
        });
        of_name.map(move |(series, value)| (&series[name.len()..], *value))
    }

    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.samples(name)
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .map(|(_, value)| value)
            .sum()
    }
}

/// A municipality (its leader `by`) with a school: a leader, a pupil with a parent, and a group the pupil is not in.
fn people() -> String {
    let mut lines = vec![
        json!({"type": "unit", "code": "M1", "name": SECRET_WORD, "kind": "municipality"}),
        json!({"type": "unit", "code": "G1", "name": SECRET_WORD, "kind": "school", "parent": "M1"}),
        json!({"type": "group", "id": "G1.g1", "name": SECRET_WORD, "kind": "class"}),
    ];
    for (profile, subject, kind) in [
        ("M1.p1", "by", "leader"),
        ("G1.p1", "leder", "leader"),
        ("G1.p2", "elev", "pupil"),
        ("G1.p3", "mor", "guardian"),
    ] {
        lines.push(json!({"type": "person", "id": subject, "name": SECRET_WORD}));
        lines.push(json!({"type": "account", "subject": subject, "person": subject}));
        lines.push(json!({"type": "profile", "id": profile, "person": subject, "kind": kind}));
    }
    let parent = json!({"type": "relation", "adult": "G1.p3", "child": "G1.p2", "kind": "guardian", "custody": true});
    lines.push(parent);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn school() -> Result<Server> {
    let settings = Settings::new()
        .set("client.queue_max_size_bytes", "131072")
        .set("log.level", "warn");
    let mut server = settings.start()?;
    server.terminate()?;
    let (ok, said) = server.import(&people())?;
    ensure!(ok, "the import failed: {said}");
    server.start_again()?;
    Ok(server)
}

fn strong(subject: &str) -> String {
    let now = token::now();
    token::signed(
        &json!({"sub": subject, "exp": now + 600, "loa": "substantial", "auth_time": now}),
    )
}

/// Generic channels: everything a client can do, and some that it cannot.
fn channels(address: SocketAddr) -> Result<()> {
    let connect = json!({"token": token::of("anna"), "name": "js", "version": SECRET_WORD});
    let (mut anna, _) = Client::connect_with(address, &connect)?;
    let foreign = json!({"token": token::of("bent"), "name": SECRET_WORD});
    let (mut bent, _) = Client::connect_with(address, &foreign)?;
    let open = format!("open:{SECRET_WORD}");
    for client in [&mut anna, &mut bent] {
        client.must("subscribe", &json!({"channel": open}))?;
    }
    anna.must("publish", &json!({"channel": open, "data": SECRET_WORD}))?;
    bent.push(&open)?;
    anna.must("presence", &json!({"channel": open}))?;
    bent.refused("subscribe", &json!({"channel": SECRET_WORD}))?;
    bent.refused("subscribe", &json!({"channel": open}))?;
    bent.refused("rpc", &json!({"method": SECRET_WORD}))?;
    bent.refused("subscribe", &json!({"channel": format!("{SECRET_WORD}:a")}))?;

    for _ in 0..2 {
        anna.must("publish", &json!({"channel": "kept:a", "data": 1}))?;
    }
    let page = anna.must("history", &json!({"channel": "kept:a"}))?;
    let recover =
        json!({"channel": "kept:a", "recover": true, "epoch": page["epoch"], "offset": 1});
    let recovered = bent.must("subscribe", &recover)?;
    ensure!(recovered["recovered"] == true, "{recovered}");

    let filter = json!({"channel": "tags:a", "tf": {"cmp": "eq", "key": "kind", "val": "sport"}});
    bent.must("subscribe", &filter)?;
    let tagged = |kind: &str| json!({"channel": "tags:a", "data": kind, "tags": {"kind": kind}});
    http::api(address, "publish", &tagged("weather"))?;
    http::api(address, "publish", &tagged("sport"))?;
    let push = bent.push("tags:a")?;
    ensure!(push["pub"]["data"] == "sport", "the filter let in {push}");

    let end = json!({"user": "bent", "channel": "kept:a"});
    http::api(address, "unsubscribe", &end)?;
    bent.push("kept:a")?;
    http::api(address, "disconnect", &json!({"user": "bent"}))?;
    bent.close_code()?;
    let unknown = json!({"channel": format!("{SECRET_WORD}:a"), "data": 1});
    ensure!(http::api(address, "publish", &unknown).is_err());
    Ok(())
}

/// Those who are not let in, or not for long.
fn refusals(address: SocketAddr) -> Result<()> {
    let foreign = [("Origin", "https://elsewhere.example")];
    let (_, head) = Raw::shake_hands(address, "/connection/websocket", &foreign)?;
    ensure!(head.starts_with("HTTP/1.1 403"), "{head}");
    let mut raw = Raw::open(address)?;
    // The server may close while the rest is still being sent.
    let _ = raw.send(&Frame::text(SECRET_WORD.repeat(10_000)));
    ensure!(Client::over(raw).close_code()? == 1009);
    let bearer = format!("Bearer {SECRET_WORD}");
    let headers = [("Authorization", bearer.as_str())];
    let answer = http::request(address, "GET", "/v1/session", &headers, "")?;
    ensure!(answer.status >= 400, "answered {}", answer.status);
    let answer = http::request(address, "POST", "/api/info", &[], "{}")?;
    ensure!(answer.status == 401, "answered {}", answer.status);
    Ok(())
}

/// The domain: an operation, its retry, a refusal, a level that is too low, rights that change, and word from above.
fn domain(address: SocketAddr, seen: &mut Seen) -> Result<()> {
    let mut leader = Client::connect(address, &strong("leder"))?;
    let mut pupil = Client::connect(address, &token::of("elev"))?;
    let call = |method: &str, data: Value| json!({"method": method, "data": data});
    let thread = json!({"profile": "G1.p1", "subject": SECRET_WORD, "text": SECRET_WORD, "sensitive": true,
        "recipients": [{"profile": "G1.p2"}], "idempotency_key": "once"});
    for _ in 0..2 {
        leader.must("rpc", &call("thread.create", thread.clone()))?;
    }
    let push = pupil.push("person:G1/p2")?;
    ensure!(push["pub"]["data"]["step_up_required"] == true, "{push}");
    words(&mut leader, &mut pupil, address)?;
    let _parent = Client::connect(address, &token::of("mor"))?;
    let gone = json!({"profile": "G1.p1", "thread": "G1.t9999"});
    leader.refused("rpc", &call("thread.get", gone))?;
    let member = json!({"profile": "G1.p1", "group": "G1.g1", "member": "G1.p2"});
    leader.must("rpc", &call("group.add_member", member))?;
    pupil.push("group:G1/g1")?;
    let mut town = Client::connect(address, &strong("by"))?;
    let block = json!({"profile": "M1.p1", "unit": "M1", "kind": "external_actor"});
    town.must("rpc", &call("communication.block", block))?;
    let delivered = ["outcome=\"delivered\""];
    seen.look_until(address, "klokke_outbox_deliveries_total", &delivered)
}

/// Messages, a post and notifications; what nobody may; and a return with a position.
fn words(leader: &mut Client, pupil: &mut Client, address: SocketAddr) -> Result<()> {
    let call = |method: &str, data: Value| json!({"method": method, "data": data});
    let open = json!({"profile": "G1.p1", "subject": SECRET_WORD, "text": SECRET_WORD,
        "recipients": [{"profile": "G1.p2"}]});
    let begun = leader.must("rpc", &call("thread.create", open))?;
    let thread = &begun["data"]["thread"]["id"];
    ensure!(thread.is_string(), "no thread in {begun}");
    let say = |profile: &str| json!({"profile": profile, "thread": thread, "text": SECRET_WORD});
    leader.must("rpc", &call("message.send", say("G1.p1")))?;
    pupil.must("rpc", &call("message.reply", say("G1.p2")))?;
    let post = json!({"profile": "G1.p1", "place": {"unit": "G1"}, "title": SECRET_WORD, "body": SECRET_WORD});
    leader.must("rpc", &call("post.publish", post))?;
    let notice =
        json!({"profile": "G1.p1", "recipients": ["G1.p2", "G1.p3"], "event": "checked_in"});
    leader.must("rpc", &call("notification.create", notice))?;
    let inbox = json!({"profile": "G1.p2", "inbox": "G1.i1", "name": SECRET_WORD, "members": []});
    pupil.refused("rpc", &call("inbox.set", inbox))?;
    pupil.refused("subscribe", &json!({"channel": "unit:G1"}))?;
    let mut weak = Client::connect(address, &token::of("leder"))?;
    let mark = json!({"profile": "G1.p1", "thread": thread, "sensitive": true});
    weak.refused("rpc", &call("thread.set_sensitivity", mark))?;

    let (_, again) = Client::connect_with(address, &json!({"token": token::of("elev")}))?;
    let channel = "person:G1/p2";
    let stands = &again["subs"][channel];
    ensure!(stands["offset"].as_u64() > Some(1), "{again}");
    let position = json!({"recover": true, "epoch": stands["epoch"], "offset": 1});
    let request = json!({"token": token::of("elev"), "subs": {channel: position}});
    let (_back, told) = Client::connect_with(address, &request)?;
    ensure!(told["subs"][channel]["recovered"] == true, "{told}");
    Ok(())
}

/// Who comes back after a restart finds what was missed in the store, or hears that it is gone.
fn return_after_restart(server: &mut Server, seen: &mut Seen) -> Result<()> {
    let address = server.address();
    let mut anna = Client::connect(address, &token::of("anna"))?;
    let page = anna.must("history", &json!({"channel": "kept:a"}))?;
    server.terminate()?;
    server.start_again()?;
    let mut anna = Client::connect(address, &token::of("anna"))?;
    let mut back = |channel: &str, epoch: &Value| {
        let request = json!({"channel": channel, "recover": true, "epoch": epoch, "offset": 1});
        anna.must("subscribe", &request)
    };
    let recovered = back("kept:a", &page["epoch"])?;
    ensure!(recovered["recovered"] == true, "{recovered}");
    let gone = back("kept:b", &json!("another"))?;
    ensure!(gone["recovered"] != true, "{gone}");
    seen.look(address)
}

/// One that does not read, until it is sent away.
fn slow_reader(address: SocketAddr, seen: &mut Seen) -> Result<()> {
    let mut slow = Client::connect(address, &token::of("langsom"))?;
    slow.must("subscribe", &json!({"channel": "open:slow"}))?;
    let text = "*".repeat(30_000);
    for _ in 0..400 {
        let publish = json!({"channel": "open:slow", "data": text});
        http::api(address, "publish", &publish)?;
        seen.look(address)?;
        if seen.sum("klokke_slow_consumers_total", &[]) > 0.0 {
            break;
        }
    }
    let code = slow.close_code()?;
    ensure!(code == 3008, "closed with {code}");
    Ok(())
}

/// A server with little room, short pings, and an identity provider that is not there.
fn narrow(seen: &mut Seen) -> Result<()> {
    let nowhere = tempfile::tempdir()?.path().join("keys.json");
    let settings = Settings::new()
        .set("client.ping_interval", "1s")
        .set("client.pong_timeout", "500ms")
        .set("client.token.jwks_file", nowhere.display().to_string())
        .set("admission.connection_limit", "20");
    let server = settings.start()?;
    let address = server.address();
    let mut client = Client::connect(address, &token::of("anna"))?;
    let deadline = Instant::now() + PATIENCE;
    while seen.sum("centrifugo_client_ping_pong_duration_seconds_count", &[]) == 0.0 {
        // Reads, and answers what is a ping; nothing else comes.
        client.take(Duration::from_millis(300), |_| true)?;
        seen.look(address)?;
        ensure!(Instant::now() < deadline, "no ping came");
    }
    let mut held = Vec::new();
    for _ in 0..40 {
        // Those beyond the limit get no more than a refusal.
        held.extend(Raw::shake_hands(address, "/connection/websocket", &[]));
    }
    // A full server shows its figures all the same.
    seen.look(address)?;
    drop(held);
    seen.look_until(address, "centrifugo_node_client_connection_limit", &[])
}

fn labels_of(series: &str) -> BTreeSet<String> {
    let inside = series.trim_matches(['{', '}']);
    let pairs = inside.split(',').filter_map(|pair| pair.split_once("=\""));
    let names = pairs.map(|(name, _)| name.to_owned());
    names.filter(|name| name != "le").collect()
}

#[test]
fn every_metric_is_counted_with_its_labels() -> Result<()> {
    let mut seen = Seen::default();
    let mut server = school()?;
    let address = server.address();
    channels(address)?;
    refusals(address)?;
    domain(address, &mut seen)?;
    slow_reader(address, &mut seen)?;
    // Held open, so that there is something to be seen open.
    let mut last = Client::connect(address, &token::of("sidste"))?;
    last.must("subscribe", &json!({"channel": "kept:last"}))?;
    let _silent = Raw::open(address)?;
    seen.look(address)?;
    seen.look_until(address, "klokke_connections", &["state=\"opening\""])?;
    // Each said once, whoever asked again; to two that were notified.
    for (series, times) in [
        ("klokke_messages_total{kind=\"thread\"}", 2.0),
        ("klokke_messages_total{kind=\"message\"}", 1.0),
        ("klokke_messages_total{kind=\"reply\"}", 1.0),
        ("klokke_posts_total", 1.0),
        ("klokke_notifications_total", 2.0),
    ] {
        ensure!(
            seen.series.get(series) == Some(&times),
            "{series} is not {times}"
        );
    }
    let log = server.log();
    ensure!(!log.contains(SECRET_WORD), "content in the log:\n{log}");
    return_after_restart(&mut server, &mut seen)?;
    narrow(&mut seen)?;
    for (name, labels) in TOLD_APART {
        ensure!(
            seen.sum(name, labels) > 0.0,
            "{name}{labels:?} was never counted"
        );
    }

    let rows = page()?;
    for (name, _) in ELSEWHERE {
        ensure!(rows.contains_key(*name), "{name} is no metric");
    }
    let mut never = Vec::new();
    for (name, row) in &rows {
        let counted = match row.kind.as_str() {
            "histogram" => format!("{name}_count"),
            _ => name.clone(),
        };
        for (series, _) in seen.samples(&counted) {
            let labels = labels_of(series);
            ensure!(labels == row.labels, "{name} has the labels {labels:?}");
        }
        let elsewhere = ELSEWHERE.iter().any(|(known, _)| known == name);
        if seen.sum(&counted, &[]) <= 0.0 && !elsewhere {
            never.push(name.as_str());
        }
    }
    ensure!(never.is_empty(), "never counted: {never:?}");
    let namespaced = rows
        .iter()
        .filter(|(_, row)| row.labels.contains("channel_namespace"));
    for (name, row) in namespaced {
        let counted = match row.kind.as_str() {
            "histogram" => format!("{name}_count"),
            _ => name.clone(),
        };
        let real = ["open", "kept", "tags"].map(|it| format!("channel_namespace=\"{it}\""));
        let sum: f64 = real.iter().map(|it| seen.sum(&counted, &[it])).sum();
        ensure!(sum > 0.0, "{name} has no sample with a real namespace");
    }
    let unknown = seen
        .series
        .keys()
        .filter(|series| series.starts_with("klokke_") || series.starts_with("centrifugo_"))
        .map(|series| series.split('{').next().unwrap_or_default())
        .map(|name| {
            let stem = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            stem.filter(|stem| rows.contains_key(*stem)).unwrap_or(name)
        })
        .find(|name| !rows.contains_key(*name));
    ensure!(unknown.is_none(), "{unknown:?} stands on no page");
    ensure!(seen.bytes < 200_000, "a scrape has {} bytes", seen.bytes);
    Ok(())
}
