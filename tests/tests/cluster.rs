//! Two nodes on one real Cassandra with a real NATS between them: what is written at one is heard at the other, once and in order,
//! whatever of the rest is killed or frozen.

#[path = "cluster/leave.rs"]
mod leave;
#[path = "cluster/nodes.rs"]
mod nodes;
#[path = "cluster/routing.rs"]
mod routing;

use std::{
    net::SocketAddr,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use klokke_tests::{
    client::Client,
    http,
    nats::Nats,
    server::{Server, Settings, command},
    token,
};
use serde_json::{Value, json};

const CHANNEL: &str = "kept:schoolyard";
/// How long something may take that must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// So often a node looks at the store where it hears nothing.
const LOOK: &str = "500ms";

/// Two nodes or more, and what lies between and under them.
struct Case {
    nats: Nats,
    nodes: Vec<Server>,
}

/// Each test has tables of its own.
fn keyspace() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("cluster_{}_{nth}", std::process::id())
}

fn shared(keyspace: &str) -> Result<String> {
    let nodes = std::env::var("KLOKKE_CASSANDRA")
        .context("KLOKKE_CASSANDRA does not name a node: run `cargo xtask test --only cluster`")?;
    let nodes: Vec<&str> = nodes.split(',').collect();
    Ok(format!(
        "[store.scylla]\nnodes = {}\nkeyspace = \"{keyspace}\"\nreplication_factor = 1\n",
        serde_json::to_string(&nodes)?
    ))
}

impl Case {
    fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// With more settings.
    fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_of(&["one", "other"], settings)
    }

    /// Nodes of these names.
    fn start_of(names: &[&str], settings: &[(&str, &str)]) -> Result<Self> {
        let nats = Nats::start()?;
        let keyspace = keyspace();
        let more = shared(&keyspace)?;
        migrate(&more)?;
        let node = |name: &&str| {
            let bus = format!(
                "[cluster]\nnats = [\"{}\"]\nname = \"{keyspace}\"\nlook_interval_without_bus = \"{LOOK}\"\n",
                nats.url()
            );
            let all = Settings::new()
                .with(&format!("{more}{bus}"))
                .set("store.backend", "scylla")
                .set("node.name", *name)
                .set("client.channel_position_check_delay", "1s")
                // Who listens in a test is not read, and answers no ping, while it waits for something else.
                .set("client.ping_interval", "10m");
            let set = |all: Settings, (key, value): &(&str, &str)| all.set(key, *value);
            settings.iter().fold(all, set).start()
        };
        let nodes: Vec<Server> = names.iter().map(node).collect::<Result<_>>()?;
        let all = f64::from(u32::try_from(nodes.len())?);
        let case = Self { nats, nodes };
        for node in &case.nodes {
            case.until(node.address(), "klokke_bus_up", 1.0)?;
            case.until(node.address(), "centrifugo_node_num_nodes", all)?;
        }
        Ok(case)
    }

    fn until(&self, node: SocketAddr, metric: &str, wanted: f64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = http::metric(node, metric, &[]).unwrap_or(f64::NAN);
            if (found - wanted).abs() < f64::EPSILON {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{metric} is {found}, not {wanted}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// `klokke store migrate`, as an operator does it first of all.
fn migrate(more: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("klokke.toml");
    std::fs::write(
        &file,
        format!("{}\n{more}", include_str!("../real-parts.toml")),
    )?;
    let ran = command()?
        .args([
            "store",
            "migrate",
            "--set",
            "store.backend=scylla",
            "--config",
        ])
        .arg(&file)
        .output()?;
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    ensure!(ran.status.success(), "{said}");
    Ok(())
}

/// Publishes a number, again until it is acknowledged; once in effect, by its key.
fn publish(node: SocketAddr, number: u64) -> Result<()> {
    let request = json!({
        "channel": CHANNEL,
        "data": number,
        "idempotency_key": format!("n{number}"),
    });
    let deadline = Instant::now() + PATIENCE;
    loop {
        match http::api(node, "publish", &request) {
            Ok(_) => return Ok(()),
            Err(error) => ensure!(
                Instant::now() < deadline,
                "{number} was never taken: {error:#}"
            ),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn listener(node: SocketAddr) -> Result<Client> {
    let mut client = Client::connect(node, &token::of("anna"))?;
    client.must("subscribe", &json!({"channel": CHANNEL}))?;
    Ok(client)
}

/// Takes what is pushed until so many were heard; offsets are dense from `first`.
fn hear(client: &mut Client, first: u64, count: u64) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for offset in first..first + count {
        let push = client.push(CHANNEL)?;
        ensure!(
            push["pub"]["offset"] == offset,
            "not offset {offset}: {push}"
        );
        let number = push["pub"]["data"].as_u64();
        numbers.push(number.context("not a number")?);
    }
    Ok(numbers)
}

/// The whole history as a node tells it.
fn history(node: SocketAddr) -> Result<Vec<u64>> {
    let request = json!({"channel": CHANNEL, "limit": 100_000});
    let answer = http::api(node, "history", &request)?;
    let all = answer["publications"].as_array().cloned();
    let numbers = all.unwrap_or_default();
    let number = |it: &Value| it["data"].as_u64().context("not a number");
    numbers.iter().map(number).collect()
}

/// The history once it holds so many: what another node wrote is heard a moment later.
fn history_of(node: SocketAddr, count: usize) -> Result<Vec<u64>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = history(node)?;
        if told.len() >= count || Instant::now() > deadline {
            return Ok(told);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_written_at_one_node_is_heard_at_both() -> Result<()> {
    let case = Case::start()?;
    let [one, other] = [0, 1].map(|nth| case.nodes[nth].address());
    let (mut here, mut there) = (listener(one)?, listener(other)?);
    let writers = [(one, 0u64), (other, 1)].map(|(node, first)| {
        thread::spawn(move || (0..50).try_for_each(|n| publish(node, 2 * n + first)))
    });
    let (heard_here, heard_there) = (hear(&mut here, 1, 100)?, hear(&mut there, 1, 100)?);
    for writer in writers {
        writer.join().ok().context("a writer failed")??;
    }
    ensure!(heard_here == heard_there, "two orders");
    let mut all = heard_here.clone();
    all.sort_unstable();
    ensure!(all == (0..100).collect::<Vec<_>>(), "each once: {all:?}");
    ensure!(
        history_of(other, 100)? == heard_here,
        "the history is another"
    );
    // Whichever of the two writes the ledger, the other hears of it.
    let by_bus = || -> Result<f64> {
        let name = "klokke_ledger_foreign_commits_total";
        let of = |node| http::metric(node, name, &["way=\"bus\""]);
        Ok(of(one)? + of(other)?)
    };
    let before = by_bus()?;
    for number in 100..110 {
        publish(one, number)?;
    }
    hear(&mut there, 101, 10)?;
    ensure!(by_bus()? > before, "nothing came over the bus");
    Ok(())
}

#[test]
fn without_the_bus_everything_comes_only_later() -> Result<()> {
    let mut case = Case::start()?;
    let [one, other] = [0, 1].map(|nth| case.nodes[nth].address());
    let mut there = listener(other)?;
    publish(one, 0)?;
    hear(&mut there, 1, 1)?;
    case.nats.kill();
    case.until(other, "klokke_bus_up", 0.0)?;
    for number in 1..=20 {
        publish(if number % 2 == 0 { one } else { other }, number)?;
    }
    let heard = hear(&mut there, 2, 20)?;
    ensure!(heard == (1..=20).collect::<Vec<_>>(), "{heard:?}");
    case.nats.start_again()?;
    case.until(one, "klokke_bus_up", 1.0)?;
    case.until(other, "klokke_bus_up", 1.0)?;
    publish(one, 21)?;
    hear(&mut there, 22, 1)?;
    Ok(())
}

#[test]
fn a_node_that_is_killed_takes_nothing_with_it() -> Result<()> {
    /// Numbers that no answer came for from the node that was killed.
    const TURNED: u64 = 20;
    let mut case = Case::start()?;
    let [one, other] = [0, 1].map(|nth| case.nodes[nth].address());
    let mut there = listener(other)?;
    // Whoever gets no answer from the first asks the second; the key makes it once in effect.
    let writer = thread::spawn(move || {
        let (mut number, mut turned) = (0, 0);
        while turned < TURNED {
            let request = json!({
                "channel": CHANNEL,
                "data": number,
                "idempotency_key": format!("n{number}"),
            });
            if http::api(one, "publish", &request).is_err() {
                turned += 1;
                publish(other, number)?;
            }
            number += 1;
        }
        anyhow::Ok(number)
    });
    let mut heard = hear(&mut there, 1, 20)?;
    case.nodes[0].kill()?;
    let count = writer.join().ok().context("the writer failed")??;
    heard.extend(hear(&mut there, 21, count - 20)?);
    ensure!(heard == (0..count).collect::<Vec<_>>(), "{heard:?}");
    case.until(other, "centrifugo_node_num_nodes", 1.0)?;
    case.nodes[0].start_again()?;
    ensure!(
        history(one)? == heard,
        "the node that came back tells another history"
    );
    Ok(())
}

#[test]
fn a_node_that_was_frozen_does_no_harm() -> Result<()> {
    let case = Case::start()?;
    let [one, other] = [0, 1].map(|nth| case.nodes[nth].address());
    let (mut here, mut there) = (listener(one)?, listener(other)?);
    publish(one, 0)?;
    hear(&mut here, 1, 1)?;
    hear(&mut there, 1, 1)?;
    let signal = |name: &str| -> Result<()> {
        let pid = case.nodes[0].pid().context("it runs")?.to_string();
        let sent = Command::new("kill").args([name, &pid]).status()?;
        ensure!(sent.success(), "the signal was not sent");
        Ok(())
    };
    signal("-STOP")?;
    for number in 1..=10 {
        publish(other, number)?;
    }
    hear(&mut there, 2, 10)?;
    case.until(other, "centrifugo_node_num_nodes", 1.0)?;
    signal("-CONT")?;
    // It took itself for the ledger's writer, and everything it knew was old.
    publish(one, 11)?;
    let heard = hear(&mut here, 2, 11)?;
    ensure!(heard == (1..=11).collect::<Vec<_>>(), "{heard:?}");
    ensure!(hear(&mut there, 12, 1)? == [11]);
    case.until(other, "centrifugo_node_num_nodes", 2.0)?;
    Ok(())
}
