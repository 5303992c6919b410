//! A store that was damaged or a disk that is full: said aloud, never passed on as a silent gap.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use klokke_tests::{
    client::Client,
    server::{Server, Settings, command},
    token,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

const PUBLICATIONS: u64 = 200;
/// Rounds of one damage each against the whole server; the store's own test tries a thousand.
const ROUNDS: usize = 12;

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let into = to.join(path.file_name().context("a name")?);
        if path.is_dir() {
            copy(&path, &into)?;
        } else {
            fs::copy(&path, &into)?;
        }
    }
    Ok(())
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else if fs::metadata(&path)?.len() > 0 {
            found.push(path);
        }
    }
    Ok(())
}

/// What the history shows now: everything, or an explicit error. `None` for an error.
fn history(server: &Server) -> Result<Option<Vec<u64>>> {
    let mut client = Client::connect(server.address(), &token::of("anna"))?;
    let mut all = Vec::new();
    let mut since = json!(null);
    loop {
        let mut request = json!({"channel": "kept:damage", "limit": 100});
        if !since.is_null() {
            request["since"] = since.clone();
        }
        let reply = client.call("history", &request)?;
        if reply.get("error").is_some() {
            return Ok(None);
        }
        let page = &reply["history"];
        let publications = page["publications"].as_array().cloned().unwrap_or_default();
        let Some(last) = publications.last() else {
            break;
        };
        since = json!({"offset": last["offset"], "epoch": page["epoch"]});
        all.extend(
            publications
                .iter()
                .filter_map(|publication| publication["data"].as_u64()),
        );
    }
    Ok(Some(all))
}

#[test]
fn damage_in_any_file_is_found_or_harmless() -> Result<()> {
    let seed = rand::random::<u64>();
    let mut chance = StdRng::seed_from_u64(seed);
    let mut server = Settings::new().start()?;
    let mut client = Client::connect(server.address(), &token::of("anna"))?;
    for number in 0..PUBLICATIONS {
        client.must(
            "publish",
            &json!({"channel": "kept:damage", "data": number}),
        )?;
    }
    let whole: Vec<u64> = (0..PUBLICATIONS).collect();
    server.terminate()?;
    let sound = server.data().with_file_name("sound");
    copy(&server.data(), &sound)?;
    for round in 0..ROUNDS {
        fs::remove_dir_all(server.data())?;
        copy(&sound, &server.data())?;
        let mut all = Vec::new();
        files(&server.data(), &mut all)?;
        let victim = &all[chance.random_range(0..all.len())];
        let mut bytes = fs::read(victim)?;
        let at = chance.random_range(0..bytes.len());
        if chance.random_bool(0.3) {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << chance.random_range(0..8);
        }
        fs::write(victim, &bytes)?;
        let place = format!("seed {seed} round {round}: {} at {at}", victim.display());

        let verified = command()?
            .args(["ledger", "verify", "--config"])
            .arg(server.config())
            .arg("--set")
            .arg(format!("store.path={}", server.data().display()))
            .output()?;
        let said =
            String::from_utf8_lossy(&[verified.stdout, verified.stderr].concat()).into_owned();
        ensure!(!said.contains("panicked"), "{place}: {said}");
        // A server that does not start says so and is as explicit as an error.
        let shown = match server.start_again() {
            Ok(()) => history(&server)?,
            Err(_) => None,
        };
        match shown {
            Some(shown) => ensure!(
                shown == whole,
                "{place}: a silent gap: {} of {PUBLICATIONS}",
                shown.len()
            ),
            None => ensure!(
                !verified.status.success(),
                "{place}: an error, and `ledger verify` saw nothing: {said}"
            ),
        }
        ensure!(
            !server.log().contains("panicked"),
            "{place}: {}",
            server.log()
        );
        // It may not be running; then there is nothing to stop.
        let _ = server.kill();
    }
    Ok(())
}
