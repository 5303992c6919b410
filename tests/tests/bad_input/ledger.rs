//! `klokke ledger verify | show | export` and `serve` on stores of every kind: whole, in use, missing, of a newer format,
//! with a damaged file, with lost commits. What they print, and their exit codes (docs/errors.md).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context, Result, ensure};
use klokke_tests::{
    client::Client,
    server::{Server, Settings, command},
    token,
};
use serde_json::{Value, json};

const PUBLICATIONS: u64 = 40;
const DONE: i32 = 0;
const FAILED: i32 = 1;
const WRONG: i32 = 2;
const DAMAGED: i32 = 3;

/// A server that has stored something.
fn server() -> Result<Server> {
    let server = Settings::new().start()?;
    let mut client = Client::connect(server.address(), &token::of("anna"))?;
    for number in 0..PUBLICATIONS {
        let what = json!({"channel": "kept:ledger", "data": number});
        client.must("publish", &what)?;
    }
    Ok(server)
}

/// Runs `klokke` on the server's store; it must end with this code.
fn run(server: &Server, data: &Path, verb: &[&str], code: i32) -> Result<(String, String)> {
    let mut command = command()?;
    command.args(verb).arg("--config").arg(server.config());
    command.arg("--set").arg("listen.address=127.0.0.1:0");
    let store = format!("store.path={}", data.display());
    let Output {
        status,
        stdout,
        stderr,
    } = command.arg("--set").arg(store).output()?;
    let (out, err) = (String::from_utf8(stdout)?, String::from_utf8(stderr)?);
    ensure!(
        status.code() == Some(code),
        "{verb:?}: {status}\n{out}\n{err}"
    );
    ensure!(!err.contains("panicked"), "{verb:?}: {err}");
    Ok((out, err))
}

/// The file of a keyspace that lists its tables, by what `current` says.
fn version_file(data: &Path) -> Result<PathBuf> {
    let folder = data.join("data/keyspaces/2");
    let current = fs::read(folder.join("current"))?;
    let number = current.first_chunk().context("a number")?;
    Ok(folder.join(format!("v{}", u64::from_le_bytes(*number))))
}

#[test]
fn a_whole_store_is_shown_whole() -> Result<()> {
    let mut server = server()?;
    server.terminate()?;
    let data = server.data();
    let (out, _) = run(&server, &data, &["ledger", "verify"], DONE)?;
    ensure!(
        out.starts_with(&format!(
            "1 ledgers, {PUBLICATIONS} commits checked: 0 damaged"
        )),
        "{out}"
    );
    let (out, _) = run(&server, &data, &["ledger", "verify", "--json"], DONE)?;
    let report: Value = serde_json::from_str(&out)?;
    ensure!(
        report["commits"] == PUBLICATIONS && report["findings"] == json!([]),
        "{out}"
    );

    let (out, _) = run(&server, &data, &["ledger", "show", "--json"], DONE)?;
    let listed: Value = serde_json::from_str(&out)?;
    let ledger = listed["ledger"].as_str().context("a ledger")?;
    let last = (PUBLICATIONS - 1).to_string();
    let show = ["ledger", "show", ledger, "--after", &last, "--json"];
    let (out, _) = run(&server, &data, &show, DONE)?;
    let shown: Value = serde_json::from_str(&out)?;
    ensure!(
        shown["seq"] == PUBLICATIONS && shown["operation"] == "publish",
        "{out}"
    );
    let (out, _) = run(&server, &data, &["ledger", "export"], DONE)?;
    ensure!(out.lines().count() as u64 == PUBLICATIONS, "{out}");
    let first: Value = serde_json::from_str(out.lines().next().context("a line")?)?;
    ensure!(
        first["entries"][0]["full"] == 0,
        "content is exported: {first}"
    );

    let (_, err) = run(&server, &data, &["ledger", "verify", "nobody"], FAILED)?;
    ensure!(err.contains("there is no ledger nobody"), "{err}");
    // A position is one in a ledger.
    run(&server, &data, &["ledger", "export", "--after", "3"], WRONG)?;
    Ok(())
}

#[test]
fn a_store_in_use_or_missing_is_said_to_be() -> Result<()> {
    let server = server()?;
    for verb in ["verify", "show", "export"] {
        let (_, err) = run(&server, &server.data(), &["ledger", verb], FAILED)?;
        ensure!(err.contains("in use by another process"), "{err}");
        let nowhere = server.data().with_file_name("nowhere");
        let (_, err) = run(&server, &nowhere, &["ledger", verb], FAILED)?;
        ensure!(err.contains("there is no store in this folder"), "{err}");
        ensure!(!nowhere.exists(), "looking makes no store");
    }
    Ok(())
}

#[test]
fn a_store_of_another_format_is_refused() -> Result<()> {
    let mut server = server()?;
    server.terminate()?;
    let marker = server.data().join("FORMAT");
    fs::write(&marker, "klokke store, format 2\n")?;
    for verb in [&["ledger", "verify"][..], &["serve"]] {
        let (_, err) = run(&server, &server.data(), verb, FAILED)?;
        ensure!(
            err.contains("format 2") && err.contains("knows format 1"),
            "{err}"
        );
    }
    fs::write(&marker, "something else")?;
    let (_, err) = run(&server, &server.data(), &["serve"], DAMAGED)?;
    ensure!(err.contains("FORMAT is damaged"), "{err}");
    Ok(())
}

#[test]
fn a_damaged_file_is_named_by_every_verb() -> Result<()> {
    let mut server = server()?;
    server.terminate()?;
    let version = version_file(&server.data())?;
    let mut bytes = fs::read(&version)?;
    // The upper end of a count that says how much memory is needed.
    let sections = bytes.windows(4).rposition(|four| four == b"TOC!");
    let count = sections.context("a table of contents")? - 1;
    bytes[count] ^= 0x80;
    fs::write(&version, &bytes)?;
    let name = version.display().to_string();
    for verb in [
        &["ledger", "verify"][..],
        &["ledger", "show"],
        &["ledger", "export"],
        &["serve"],
    ] {
        let (_, err) = run(&server, &server.data(), verb, DAMAGED)?;
        ensure!(err.contains(&name) && err.contains("backup"), "{err}");
    }
    let (out, _) = run(
        &server,
        &server.data(),
        &["ledger", "verify", "--json"],
        DAMAGED,
    )?;
    let report: Value = serde_json::from_str(&out)?;
    let what = report["findings"][0]["what"].as_str().unwrap_or_default();
    ensure!(what.contains(&name), "{out}");
    ensure!(fs::read(&version)? == bytes, "nothing was changed");
    Ok(())
}

#[test]
fn lost_commits_are_said_beside_what_is_left() -> Result<()> {
    let mut server = server()?;
    server.kill()?;
    let journal = server.data().join("data/0.jnl");
    let bytes = fs::read(&journal)?;
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .context("a journal")?;
    fs::write(&journal, &bytes[..end / 2])?;
    let lost = format!("acknowledged commits up to {PUBLICATIONS} are missing");
    let (out, _) = run(&server, &server.data(), &["ledger", "verify"], DAMAGED)?;
    ensure!(out.contains(&lost), "{out}");
    for verb in ["show", "export"] {
        let (out, err) = run(&server, &server.data(), &["ledger", verb], DAMAGED)?;
        ensure!(!out.is_empty() && err.contains(&lost), "{verb}: {out}{err}");
    }
    Ok(())
}
