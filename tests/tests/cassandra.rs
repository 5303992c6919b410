//! The real server on a real cluster: tables made by command, people imported, publications kept over kills, verified, and
//! copied to a folder. Run by `cargo xtask test --only cassandra`, which starts the cluster.

use std::{fs, path::Path, process::Output};

use anyhow::{Context, Result, ensure};
use klokke_tests::{
    client::Client,
    http,
    server::{Settings, command},
    token,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const KEYSPACE: &str = "klokke_whole";
const CHANNEL: &str = "kept:on-a-cluster";
const LWT: &str = "klokke_store_lwt_total";
const KILLS: u64 = 3;
const EACH: u64 = 20;

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| {
        format!(
            "{name} says nothing: run `cargo xtask test --only cassandra`, which starts a cluster"
        )
    })
}

/// The settings by which a server finds the cluster; the password is in a file of the folder.
fn settings(folder: &Path) -> Result<Vec<(&'static str, String)>> {
    let login = variable("KLOKKE_CASSANDRA_LOGIN")?;
    let (user, password) = login.split_once(':').context("USER:PASSWORD")?;
    let file = folder.join("password");
    fs::write(&file, password)?;
    Ok(vec![
        ("store.backend", "scylla".to_owned()),
        ("store.scylla.nodes", variable("KLOKKE_CASSANDRA")?),
        ("store.scylla.keyspace", KEYSPACE.to_owned()),
        ("store.scylla.replication_factor", "1".to_owned()),
        ("store.scylla.user", user.to_owned()),
        ("store.scylla.password", format!("file:{}", file.display())),
        ("store.scylla.tls", "true".to_owned()),
        (
            "store.scylla.tls_authority",
            variable("KLOKKE_CASSANDRA_AUTHORITY")?,
        ),
    ])
}

/// Runs a command of the server, which must end well; what it printed.
fn run(verb: &[&str], settings: &[(&str, String)]) -> Result<String> {
    let (ok, said) = attempt(verb, settings)?;
    ensure!(ok, "{verb:?}: {said}");
    Ok(said)
}

fn attempt(verb: &[&str], settings: &[(&str, String)]) -> Result<(bool, String)> {
    let mut command = command()?;
    command.args(verb);
    for (key, value) in settings {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command.output()?;
    let said = String::from_utf8([stdout, stderr].concat())?;
    ensure!(!said.contains("panicked"), "{verb:?}: {said}");
    Ok((status.success(), said))
}

#[test]
fn a_server_on_a_cluster_loses_nothing_and_its_ledgers_can_be_taken_along() -> Result<()> {
    let folder = TempDir::new()?;
    let mut set = settings(folder.path())?;
    let (ok, said) = attempt(&["ledger", "show"], &set)?;
    ensure!(!ok && said.contains("klokke store migrate"), "{said}");
    let made = run(&["store", "migrate"], &set)?;
    ensure!(made.contains("was made"), "{made}");
    ensure!(run(&["store", "migrate"], &set)?.contains("already"));
    let people = folder.path().join("people.jsonl");
    let lines = [
        json!({"type": "unit", "code": "M1", "name": "Kommune", "kind": "municipality"}),
        json!({"type": "unit", "code": "G1", "name": "Skole", "kind": "school", "parent": "M1"}),
        json!({"type": "unit", "code": "M2", "name": "Kommune", "kind": "municipality"}),
        json!({"type": "person", "id": "teacher", "name": "Lærer"}),
        json!({"type": "account", "subject": "teacher", "person": "teacher"}),
        json!({"type": "profile", "id": "G1.p1", "person": "teacher", "kind": "pedagogical_staff"}),
    ];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&people, lines)?;
    let file = people.to_str().context("a path")?;
    run(&["import", "--apply", file], &set)?;

    let start = set.iter().fold(Settings::new(), |settings, (key, value)| {
        settings.set(key, value.clone())
    });
    let mut server = start.start()?;
    for kill in 0..KILLS {
        let mut client = Client::connect(server.address(), &token::of("anna"))?;
        for number in kill * EACH..(kill + 1) * EACH {
            client.must("publish", &json!({"channel": CHANNEL, "data": number}))?;
        }
        let applied = http::metric(server.address(), LWT, &["outcome=\"applied\""])?;
        ensure!(applied >= EACH as f64, "{applied} of {EACH} were counted");
        server.kill()?;
        server.start_again()?;
    }
    let mut client = Client::connect(server.address(), &token::of("anna"))?;
    let asked = json!({"channel": CHANNEL, "limit": 300});
    let history = client.must("history", &asked)?;
    let kept = history["publications"].as_array().context("publications")?;
    let numbers: Vec<_> = kept.iter().filter_map(|it| it["data"].as_u64()).collect();
    ensure!(
        numbers == (0..KILLS * EACH).collect::<Vec<_>>(),
        "{numbers:?}"
    );
    let (status, said) = server.last_words()?;
    ensure!(status.success() && !said.contains("ERROR"), "{said}");
    let password = variable("KLOKKE_CASSANDRA_LOGIN")?;
    let password = password.split_once(':').context("USER:PASSWORD")?.1;
    ensure!(!said.contains(&format!("password={password}")), "{said}");

    let verified: Value = serde_json::from_str(&run(&["ledger", "verify", "--json"], &set)?)?;
    ensure!(verified["findings"] == json!([]), "{verified}");
    let listed = |set: &[(&str, String)]| -> Result<Vec<String>> {
        let listed = run(&["ledger", "show", "--json"], set)?;
        let mut lines: Vec<_> = listed.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    };
    let of_one = ["store", "copy", "--from", "scylla", "--to", "embedded"];
    let path = |name: &str| ("store.path", folder.path().join(name).display().to_string());
    set.push(path("of-one"));
    let copied = run(&[&of_one[..], &["--municipality", "M1"]].concat(), &set)?;
    ensure!(copied.starts_with("2 ledgers, "), "{copied}");
    set.pop();
    let whole = listed(&set)?;
    set.push(path("whole"));
    let copied = run(&of_one, &set)?;
    ensure!(copied.contains(" 0 ledgers not copied"), "{copied}");
    let embedded = [path("whole")];
    ensure!(listed(&embedded)? == whole, "the copy says something else");
    let ended = run(&["ledger", "verify"], &embedded)?;
    ensure!(ended.contains(" 0 damaged"), "{ended}");

    // The folder was a backup: the keyspace is lost, and made again from it.
    let place = set
        .iter()
        .position(|(name, _)| *name == "store.scylla.keyspace");
    set[place.context("a keyspace of its own")?]
        .1
        .push_str("_restored");
    run(&["store", "migrate"], &set)?;
    let back = ["store", "copy", "--from", "embedded", "--to", "scylla"];
    let copied = run(&back, &set)?;
    ensure!(copied.contains(" 0 ledgers not copied"), "{copied}");
    ensure!(
        listed(&set)? == whole,
        "what was restored says something else"
    );
    let ended = run(&["ledger", "verify"], &set)?;
    ensure!(ended.contains(" 0 damaged"), "{ended}");
    Ok(())
}
