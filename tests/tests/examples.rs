//! The example configurations against the programs that read them: whoever copies one begins with something that is accepted.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use klokke_tests::server::command;
use serde_json::Value;

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn compose() -> Result<Value> {
    let path = house().join("config/cluster/compose.yaml");
    let file = fs::read_to_string(&path)?;
    serde_saphyr::from_str(&file).context("compose.yaml is no YAML")
}

/// `klokke config check`, with what only the operator has given otherwise.
fn check(file: &Path, settings: &[(&str, &str)]) -> Result<()> {
    let mut klokke = command()?;
    klokke.args(["config", "check", "--config"]).arg(file);
    for (name, value) in settings {
        klokke.args(["--set", &format!("{name}={value}")]);
    }
    let ran = klokke.output()?;
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    ensure!(ran.status.success(), "{}: {said}", file.display());
    Ok(())
}

#[test]
fn klokke_takes_its_files() -> Result<()> {
    let config = house().join("config");
    check(&config.join("municipality.toml"), &[])?;
    let secret = ("client.token.hmac_secret_key", "of nobody");
    for name in ["publish-subscribe.toml", "try.toml"] {
        check(&config.join(name), &[secret])?;
    }
    // Files with secrets that only the operator has: others are put in their place.
    let folder = tempfile::tempdir()?;
    let given = folder.path().join("given");
    fs::write(&given, "of nobody")?;
    let authority = folder.path().join("authority.pem");
    let signer = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    fs::write(&authority, signer.cert.pem())?;
    for name in ["cluster.toml", "cluster/klokke.toml"] {
        let text = fs::read_to_string(config.join(name))?;
        let text = ["store-ca.pem", "nats-ca.pem"]
            .iter()
            .fold(text, |text, file| {
                text.replace(
                    &format!("/etc/klokke/{file}"),
                    &authority.display().to_string(),
                )
            });
        let mut parts = text.split("\"file:");
        let mut copy = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (_, rest) = part.split_once('"').context("a text that ends")?;
            copy.push_str(&format!("\"file:{}\"{rest}", given.display()));
        }
        let file = folder.path().join("klokke.toml");
        fs::write(&file, copy)?;
        check(&file, &[]).with_context(|| name.to_owned())?;
    }
    Ok(())
}

#[test]
fn nats_takes_its_file_and_lets_klokke_in() -> Result<()> {
    let file = house().join("config/cluster/nats.conf");
    let program =
        std::env::var_os("KLOKKE_NATS").context("KLOKKE_NATS does not name the program")?;
    let ran = Command::new(program)
        .arg("-t")
        .arg("-c")
        .arg(&file)
        .output()?;
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    ensure!(ran.status.success(), "{said}");
    let (nats, klokke) = (
        fs::read_to_string(file)?,
        fs::read_to_string(house().join("config/cluster/klokke.toml"))?,
    );
    for shared in ["for this machine alone", "klokke"] {
        ensure!(nats.contains(shared) && klokke.contains(shared), "{shared}");
    }
    Ok(())
}

#[test]
fn prometheus_takes_its_file() -> Result<()> {
    let program =
        std::env::var_os("KLOKKE_PROMTOOL").context("KLOKKE_PROMTOOL does not name the program")?;
    let file = house().join("config/cluster/prometheus.yml");
    // The rules are made by another step, and looked at there.
    let ran = Command::new(program)
        .args(["check", "config", "--syntax-only"])
        .arg(file)
        .output()?;
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    ensure!(ran.status.success(), "{said}");
    Ok(())
}

/// What is there without being committed: made by a command that the file's head names.
const MADE: [&str; 3] = ["token.secret", "dist/prometheus", "dist/grafana"];

#[test]
fn the_parts_of_compose_are_there_and_name_each_other_rightly() -> Result<()> {
    let (compose, folder) = (compose()?, house().join("config/cluster"));
    let services = compose["services"].as_object().context("services")?;
    let names: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().context("a volume")?;
            let source = volume.split(':').next().unwrap_or_default();
            let is_made = MADE.iter().any(|made| source.ends_with(made));
            ensure!(
                is_made || !source.starts_with('.') || folder.join(source).exists(),
                "{name} mounts {source}, which is not there"
            );
        }
        let needed = match &service["depends_on"] {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            Value::Object(all) => all.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        for needed in needed {
            ensure!(
                names.contains(needed),
                "{name} needs {needed}, which is not there"
            );
        }
    }
    let nodes: BTreeSet<&str> = names
        .iter()
        .copied()
        .filter(|name| name.starts_with("klokke-"))
        .collect();
    ensure!(nodes.len() == 3, "{nodes:?}");
    for file in ["haproxy.cfg", "prometheus.yml"] {
        let text = fs::read_to_string(folder.join(file))?;
        for node in &nodes {
            ensure!(
                text.contains(&format!("{node}:8000")),
                "{file} misses {node}"
            );
        }
    }
    let klokke = fs::read_to_string(folder.join("klokke.toml"))?;
    for part in ["\"scylla:9042\"", "nats://nats:4222"] {
        ensure!(klokke.contains(part), "klokke.toml misses {part}");
    }
    ensure!(
        names.contains("scylla") && names.contains("nats"),
        "{names:?}"
    );
    // Its balancer must send nobody new before anybody is sent away, and nobody may be cut off while leaving.
    let grace = compose["services"]["klokke-1"]["stop_grace_period"].as_str();
    ensure!(
        grace == Some("60s"),
        "{grace:?} is not longer than notice and timeout"
    );
    Ok(())
}
