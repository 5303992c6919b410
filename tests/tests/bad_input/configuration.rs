//! Configurations that are wrong are refused with the place and what was meant, before anything starts.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use klokke_tests::server::command;

const CASES: &[(&str, &str, &[&str])] = &[
    (
        "an unknown key",
        "[client]\nping_intervall = \"10s\"\n",
        &["2", "ping_interval"],
    ),
    (
        "an unknown section",
        "[klient]\nping_interval = \"10s\"\n",
        &["klient"],
    ),
    (
        "a wrong type",
        "[client]\n\nchannel_limit = \"many\"\n",
        &["3", "channel_limit"],
    ),
    ("broken TOML", "[client\n", &["1"]),
    (
        "half a pair",
        "[namespace.news]\nhistory_size = 10\n",
        &["history_ttl"],
    ),
    (
        "a reserved namespace",
        "[namespace.person]\n",
        &["person", "reserved"],
    ),
    (
        "pings that overtake their pongs",
        "[client]\nping_interval = \"2s\"\npong_timeout = \"3s\"\n",
        &["pong_timeout"],
    ),
];

#[test]
fn a_wrong_configuration_is_refused_with_the_place_and_a_hint() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("klokke.toml");
    for (what, text, words) in CASES {
        fs::write(
            &file,
            format!("{text}[client.token]\nhmac_secret_key = \"hemmeligtord\"\n"),
        )?;
        for verb in [&["config", "check"][..], &["serve"]] {
            let ran = command()?.args(verb).arg("--config").arg(&file).output()?;
            let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
            ensure!(!ran.status.success(), "{what}: {verb:?} accepted it");
            ensure!(
                words.iter().all(|word| said.contains(word)),
                "{what}: {verb:?} said {said}"
            );
            ensure!(
                !said.contains("hemmeligtord"),
                "{what}: a secret was shown: {said}"
            );
        }
    }
    Ok(())
}

/// Says what is wrong with a configuration by both verbs, which must agree.
fn refused(file: &Path, data: &Path, what: &str, words: &[&str]) -> Result<()> {
    for verb in [&["config", "check"][..], &["serve"]] {
        let ran = command()?
            .args(verb)
            .arg("--config")
            .arg(file)
            .args(["--set", "listen.address=127.0.0.1:0", "--set"])
            .arg(format!("store.path={}", data.display()))
            .output()?;
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        ensure!(!ran.status.success(), "{what}: {verb:?} accepted it");
        ensure!(
            words.iter().all(|word| said.contains(word)),
            "{what}: {verb:?} said {said}"
        );
    }
    ensure!(!data.exists(), "{what}: a store was made all the same");
    Ok(())
}

#[test]
fn a_server_that_nobody_could_connect_to_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    fs::write(path("empty"), "\n")?;
    for (text, words) in [
        (
            "",
            &["nobody could connect", "client.token.hmac_secret_key"][..],
        ),
        (
            &format!(
                "[client.token]\nhmac_secret_key = \"file:{}\"\n",
                path("empty").display()
            ),
            &["hmac_secret_key", "is not empty"],
        ),
        (
            "[client.token]\nhmac_secret_key = \"x\"\n[client.subscription_token]\nenabled = true\n",
            &["[client.subscription_token]"],
        ),
    ] {
        fs::write(path("klokke.toml"), text)?;
        refused(&path("klokke.toml"), &path("data"), text, words)?;
    }
    Ok(())
}

#[test]
fn certificates_that_cannot_be_used_are_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    for name in ["one", "other"] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(path(&format!("{name}.pem")), made.cert.pem())?;
        fs::write(
            path(&format!("{name}.key")),
            made.signing_key.serialize_pem(),
        )?;
    }
    for (chain, key, word) in [
        ("none.pem", "one.key", "none.pem"),
        ("one.pem", "none.key", "none.key"),
        ("one.pem", "other.key", "certificate and key cannot be used"),
    ] {
        let text = format!(
            "[client]\ninsecure = true\n[listen]\ntls_address = \"127.0.0.1:0\"\n\
             tls_certificate = \"{}\"\ntls_key = \"{}\"\n",
            path(chain).display(),
            path(key).display()
        );
        fs::write(path("klokke.toml"), text)?;
        refused(&path("klokke.toml"), &path("data"), word, &[word])?;
    }
    Ok(())
}

#[test]
fn a_store_that_another_server_holds_is_refused() -> Result<()> {
    let server = klokke_tests::server::Settings::new().start()?;
    let ran = command()?
        .arg("serve")
        .arg("--config")
        .arg(server.config())
        .args(["--set", "listen.address=127.0.0.1:0", "--set"])
        .arg(format!("store.path={}", server.data().display()))
        .output()?;
    ensure!(!ran.status.success(), "two servers on one store");
    ensure!(!ran.stderr.is_empty(), "it said nothing");
    Ok(())
}

#[test]
fn the_example_and_the_printed_configuration_are_accepted_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("klokke.toml");
    let example = command()?.args(["config", "example"]).output()?;
    ensure!(example.status.success(), "no example");
    fs::write(&file, &example.stdout)?;
    let mut checked = command()?;
    checked
        .args([
            "config",
            "check",
            "--set",
            "client.token.hmac_secret_key=x",
            "--config",
        ])
        .arg(&file);
    let ran = checked.output()?;
    ensure!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    Ok(())
}
