//! A disk that fills up while people are served: refused plainly, connections stay, nothing acknowledged is lost, and after
//! a restart with room all is well. Needs the right to mount a small file system; without it the case says so.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};
use klokke_tests::{
    client::Client,
    http,
    server::{Server, Settings},
    token,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const CHANNEL: &str = "kept:full";
/// Publications that certainly do not all fit.
const PUBLICATIONS_MAX: usize = 4_000;
const PAYLOAD_BYTES: usize = 12_000;

/// A mounted file system in memory; unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let options = ["-t", "tmpfs", "-o", "size=8m", "tmpfs"];
        let mounted = mount(&options, folder.path());
        Ok(mounted.then_some(Self(folder)))
    }

    fn grow(&self) -> Result<()> {
        ensure!(mount(&["-o", "remount,size=64m"], self.0.path()), "grows");
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Without it the folder stays; nothing else depends on it.
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn mount(arguments: &[&str], target: &Path) -> bool {
    let status = Command::new("mount").args(arguments).arg(target).status();
    status.is_ok_and(|status| status.success())
}

fn publish(client: &mut Client, number: usize) -> Result<Value> {
    // Letters that differ from one publication to the next, so that they do not compress to nothing.
    let text: String = (0..PAYLOAD_BYTES / 16)
        .map(|_| format!("{:016x}", rand::random::<u64>()))
        .collect();
    let data = json!({"n": number, "text": text});
    client.call("publish", &json!({"channel": CHANNEL, "data": data}))
}

fn health(server: &Server) -> Result<(u16, Value)> {
    let answer = http::request(server.address(), "GET", "/health", &[], "")?;
    Ok((answer.status, answer.json()?))
}

/// Numbers of the publications that the history has.
fn history(client: &mut Client) -> Result<Vec<usize>> {
    let (mut numbers, mut since) = (Vec::new(), Value::Null);
    loop {
        let mut request = json!({"channel": CHANNEL, "limit": 20});
        if !since.is_null() {
            request["since"] = since;
        }
        let reply = client.must("history", &request)?;
        let page = reply.get("history").unwrap_or(&reply).clone();
        let publications = page["publications"].as_array().cloned().unwrap_or_default();
        let Some(last) = publications.last() else {
            return Ok(numbers);
        };
        since = json!({"offset": last["offset"], "epoch": page["epoch"]});
        let number = |publication: &Value| publication["data"]["n"].as_u64();
        let page = publications.iter().filter_map(number);
        numbers.extend(page.filter_map(|number| usize::try_from(number).ok()));
    }
}

#[test]
fn a_disk_that_fills_up_loses_nothing_that_was_acknowledged() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else {
        eprintln!("not run: a small file system cannot be mounted here");
        return Ok(());
    };
    let store = disk.0.path().join("store").display().to_string();
    let mut server = Settings::new().set("store.path", store).start()?;
    let mut client = Client::connect(server.address(), &token::of("anna"))?;
    let mut acknowledged = 0;
    let refusal = loop {
        let reply = publish(&mut client, acknowledged)?;
        if let Some(error) = reply.get("error") {
            break error.clone();
        }
        acknowledged += 1;
        ensure!(acknowledged < PUBLICATIONS_MAX, "8 MiB never fill up");
    };
    ensure!(acknowledged > 0, "nothing could be written at all");
    ensure!(
        refusal["temporary"] == true,
        "it may be repeated: {refusal}"
    );
    let (status, said) = health(&server)?;
    ensure!(status == 200 && said["status"] == "degraded", "{said}");
    let reason = said["reasons"][0]["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("No space left"), "it says why: {said}");
    ensure!(reason.contains("restarted"), "it says what to do: {said}");

    // The connection is the one from before, and reads go on; so does what is not stored.
    let all: Vec<usize> = (0..acknowledged).collect();
    let shown = history(&mut client)?;
    ensure!(shown == all, "{} of {acknowledged} are shown", shown.len());
    client.must("subscribe", &json!({"channel": "open:full"}))?;
    client.must("publish", &json!({"channel": "open:full", "data": 1}))?;

    // Room alone is not enough: nobody knows what the disk has of the write that failed.
    disk.grow()?;
    let reply = publish(&mut client, acknowledged)?;
    ensure!(reply["error"]["temporary"] == true, "{reply}");
    ensure!(!server.log().contains("panicked"), "{}", server.log());

    server.terminate()?;
    server.start_again()?;
    let mut client = Client::connect(server.address(), &token::of("anna"))?;
    let (_, said) = health(&server)?;
    ensure!(said["status"] == "ok", "{said}");
    let shown = history(&mut client)?;
    // The one whose outcome was unknown may be there; it was answered so.
    ensure!(
        shown.starts_with(&all) && shown.len() <= acknowledged + 1,
        "{acknowledged} were acknowledged, {} are there",
        shown.len()
    );
    let reply = publish(&mut client, acknowledged + 1)?;
    ensure!(reply.get("error").is_none(), "writes again: {reply}");
    Ok(())
}
