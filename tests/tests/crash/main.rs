//! Killed with SIGKILL at random moments under load, then restarted: no acknowledged commit lost, none doubled, order kept,
//! and clients recover by themselves.
//!
//! `KLOKKE_KILLS` says how often (20 when it says nothing), `KLOKKE_LISTENERS` how many listen (1). The seed of the moments is
//! printed with the figures.

mod listen;
mod write;

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use klokke_tests::{
    client::Client,
    raw,
    server::{Server, Settings, command},
    token,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    listen::Listener,
    write::{Publisher, Writer},
};

/// Kills when nothing else is asked for; enough to hit every stage of a commit several times over.
const KILLS: usize = 20;
/// Connections that publish, two to a channel.
const PUBLISHERS: u64 = 4;
/// Connections that send messages to people.
const WRITERS: u64 = 2;
/// Listeners when nothing else is asked for: with more, the machine does little but deliver to them.
const LISTENERS: usize = 1;
/// How long the server lives between kills.
const LIFE_MS: std::ops::Range<u64> = 30..700;
/// How long the last recovery may take.
const RECOVERY_MAX: Duration = Duration::from_secs(60);

pub(crate) const CHANNELS: [&str; 2] = ["kept:crash-0", "kept:crash-1"];

fn asked(variable: &str, otherwise: usize) -> usize {
    let asked = std::env::var(variable).ok();
    asked
        .and_then(|count| count.parse().ok())
        .unwrap_or(otherwise)
}

/// A school in which one teacher writes to one pupil.
fn with_school() -> Result<Server> {
    let settings = Settings::new()
        .set("client.recovery_max_publication_limit", "20000")
        .set("client.queue_max_size_bytes", "16777216");
    let mut server = settings.start()?;
    server.terminate()?;
    let lines = [
        json!({"type": "unit", "code": "M1", "name": "Kommune", "kind": "municipality"}),
        json!({"type": "unit", "code": "G1", "name": "Skole", "kind": "school", "parent": "M1"}),
        json!({"type": "person", "id": "teacher", "name": "Lærer"}),
        json!({"type": "person", "id": "pupil", "name": "Elev"}),
        json!({"type": "account", "subject": "teacher", "person": "teacher"}),
        json!({"type": "account", "subject": "pupil", "person": "pupil"}),
        json!({"type": "profile", "id": "G1.p1", "person": "teacher", "kind": "pedagogical_staff"}),
        json!({"type": "profile", "id": "G1.p2", "person": "pupil", "kind": "pupil"}),
    ];
    let file = server.config().with_file_name("people.jsonl");
    fs::write(
        &file,
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )?;
    let ran = command()?
        .args(["import", "--apply", "--config"])
        .arg(server.config())
        .arg("--set")
        .arg(format!("store.path={}", server.data().display()))
        .arg(&file)
        .output()?;
    ensure!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    server.start_again()?;
    Ok(server)
}

#[test]
fn an_orderly_stop_says_that_nothing_is_wrong() -> Result<()> {
    let mut server = Settings::new().start()?;
    let mut client = Client::connect(server.address(), &token::of("anna"))?;
    let published = json!({"channel": CHANNELS[0], "data": 1});
    client.must("publish", &published)?;
    let (status, said) = server.last_words()?;
    ensure!(status.success(), "{status}: {said}");
    ensure!(!said.contains("ERROR"), "{said}");
    Ok(())
}

/// A stream without entries has an epoch for as long as the process lives. Who listened to it and comes back after a kill gets what
/// was said meanwhile or is told that it may have missed something; never is it told that it has everything.
#[test]
fn nobody_is_told_of_a_whole_stream_who_missed_its_first_entry() -> Result<()> {
    for is_published in [false, true] {
        let mut server = Settings::new().start()?;
        let mut listener = Client::connect(server.address(), &token::of("anna"))?;
        let stood = listener.must("subscribe", &json!({"channel": CHANNELS[0]}))?;
        server.kill()?;
        server.start_again()?;
        if is_published {
            let mut publisher = Client::connect(server.address(), &token::of("bo"))?;
            publisher.must("publish", &json!({"channel": CHANNELS[0], "data": 1}))?;
        }
        let mut listener = Client::connect(server.address(), &token::of("anna"))?;
        let wanted =
            json!({"channel": CHANNELS[0], "recover": true, "epoch": stood["epoch"], "offset": 0});
        let stands = listener.must("subscribe", &wanted)?;
        ensure!(stands["was_recovering"] == true, "{stands}");
        let told = stands["publications"].as_array().map_or(0, Vec::len);
        let is_whole = told == usize::from(is_published);
        ensure!(stands["recovered"] != true || is_whole, "{stands}");
        // From here on it is a stream like any other.
        let mut publisher = Client::connect(server.address(), &token::of("bo"))?;
        publisher.must("publish", &json!({"channel": CHANNELS[0], "data": 2}))?;
        let next = listener.push(CHANNELS[0])?;
        ensure!(
            next["pub"]["offset"] == u64::from(is_published) + 1,
            "{next}"
        );
    }
    Ok(())
}

#[test]
#[allow(clippy::print_stderr)] // The figures are what this test is run for.
fn no_acknowledged_commit_is_lost_or_doubled() -> Result<()> {
    let seed = rand::random::<u64>();
    let mut chance = StdRng::seed_from_u64(seed);
    let mut server = with_school()?;
    let address = server.address();
    let stop = Arc::new(AtomicBool::new(false));
    let listeners: Vec<_> = (0..asked("KLOKKE_LISTENERS", LISTENERS).max(1))
        .map(|_| Listener::start(address))
        .collect::<Result<_>>()?;
    let (begun, begins) = mpsc::channel();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| Publisher::new(address, number).start(Arc::clone(&stop), begun.clone()))
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| Writer::new(address, number).start(Arc::clone(&stop)))
        .collect();

    // Positions are good over a kill from a stream's first entry on; what is before has a test of its own.
    for _ in 0..PUBLISHERS {
        begins
            .recv_timeout(raw::PATIENCE)
            .context("a publisher did not begin")?;
    }

    let kills = asked("KLOKKE_KILLS", KILLS);
    let mut slowest = Duration::ZERO;
    for _ in 0..kills {
        // The moment of the kill is what is random here; nothing waits for this to have passed.
        thread::sleep(Duration::from_millis(chance.random_range(LIFE_MS)));
        server.kill()?;
        let begun = Instant::now();
        server
            .start_again()
            .with_context(|| format!("after a kill (seed {seed})"))?;
        slowest = slowest.max(begun.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: Vec<Vec<u64>> = join(publishers)?;
    let sent: Vec<Vec<String>> = join(writers)?;

    let kept = kept(address)?;
    check_publications(&acknowledged, &kept).with_context(|| format!("seed {seed}"))?;
    check_messages(address, &sent).with_context(|| format!("seed {seed}"))?;
    let mut count = 0;
    for (nth, listener) in listeners.iter().enumerate() {
        count += listener
            .check(&kept, &sent, RECOVERY_MAX)
            .with_context(|| format!("listener {nth}, seed {seed}"))?;
    }
    let reconnects: usize = listeners.iter().map(Listener::reconnects).sum();
    let published: usize = acknowledged.iter().map(Vec::len).sum();
    let messages: usize = sent.iter().map(Vec::len).sum();
    eprintln!(
        "{kills} kills, seed {seed}: {published} publications and {messages} messages acknowledged, none lost, none doubled; \
         {count} entries heard by {} over {reconnects} reconnects; slowest start {} ms",
        listeners.len(),
        slowest.as_millis(),
    );
    Ok(())
}

fn join<T>(threads: Vec<thread::JoinHandle<Result<T>>>) -> Result<Vec<T>> {
    threads
        .into_iter()
        .map(|thread| {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a writer panicked"))?
        })
        .collect()
}

/// What each channel's history holds, oldest first, with dense offsets.
fn kept(address: std::net::SocketAddr) -> Result<BTreeMap<&'static str, Vec<Value>>> {
    let mut client = Client::connect(address, &token::of("checker"))?;
    let mut all = BTreeMap::new();
    for channel in CHANNELS {
        let mut entries: Vec<Value> = Vec::new();
        let mut request =
            json!({"channel": channel, "limit": 300, "since": {"offset": 0, "epoch": ""}});
        loop {
            let page = client.must("history", &request)?;
            let publications = page["publications"].as_array().cloned().unwrap_or_default();
            let Some(last) = publications.last() else {
                break;
            };
            request["since"] = json!({"offset": last["offset"], "epoch": page["epoch"]});
            entries.extend(publications);
        }
        for (nth, entry) in entries.iter().enumerate() {
            ensure!(
                entry["offset"] == nth as u64 + 1,
                "{channel}: a gap before {entry}"
            );
        }
        all.insert(channel, entries);
    }
    Ok(all)
}

/// Everything acknowledged is there once; each publisher's own order is kept.
fn check_publications(
    acknowledged: &[Vec<u64>],
    kept: &BTreeMap<&'static str, Vec<Value>>,
) -> Result<()> {
    let mut seen: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for entry in kept.values().flatten() {
        let publisher = entry["data"]["publisher"].as_u64().context("a publisher")?;
        seen.entry(publisher)
            .or_default()
            .push(entry["data"]["number"].as_u64().context("a number")?);
    }
    for (publisher, numbers) in acknowledged.iter().enumerate() {
        let kept = seen.remove(&(publisher as u64)).unwrap_or_default();
        ensure!(
            !numbers.is_empty(),
            "publisher {publisher} got nothing through"
        );
        ensure!(
            kept.windows(2).all(|pair| pair[0] < pair[1]),
            "publisher {publisher}: doubled or out of order"
        );
        let lost = numbers
            .iter()
            .find(|number| kept.binary_search(number).is_err());
        ensure!(
            lost.is_none(),
            "publisher {publisher}: {lost:?} was acknowledged and is lost"
        );
    }
    Ok(())
}

/// Every message sent with retries under its idempotency key stands in its thread once, in order.
fn check_messages(address: std::net::SocketAddr, sent: &[Vec<String>]) -> Result<()> {
    let mut client = Client::connect(address, &token::of("teacher"))?;
    for texts in sent {
        ensure!(!texts.is_empty(), "a writer got nothing through");
        let mut stored = Vec::new();
        for thread in write::threads_of(&mut client, texts)? {
            stored.extend(write::texts_of(&mut client, &thread)?);
        }
        ensure!(
            stored == *texts,
            "{} messages were acknowledged and {} stand there, or in another order",
            texts.len(),
            stored.len()
        );
    }
    Ok(())
}
