//! What writes goes to the node that its ledger prefers: fewer conflicts, the same answers, and no harm when that node cannot answer.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use klokke_tests::{client::Client, http, token};
use serde_json::json;

use super::{Case, hear, history, history_of, listener, publish};

/// Publications of each writer.
const EACH: u64 = 100;
/// Channels that somebody reads their own words in.
const CHANNELS: usize = 8;
/// Writers at each node.
const WRITERS: u64 = 2;

/// The sum of a metric over both nodes.
fn both(case: &Case, name: &str, labels: &[&str]) -> Result<f64> {
    let mut sum = 0.0;
    for node in &case.nodes {
        sum += http::metric(node.address(), name, labels)?;
    }
    Ok(sum)
}

/// Writes one channel at both nodes at once. Gives the conflicts, and how long it took.
fn contend(case: &Case) -> Result<(f64, Duration)> {
    let begun = Instant::now();
    let writers: Vec<_> = (0..2 * WRITERS)
        .map(|nth| {
            let node = case.nodes[usize::from(nth % 2 == 1)].address();
            thread::spawn(move || (0..EACH).try_for_each(|n| publish(node, n * 2 * WRITERS + nth)))
        })
        .collect();
    for writer in writers {
        writer.join().ok().context("a writer failed")??;
    }
    let took = begun.elapsed();
    let all: Vec<_> = (0..EACH * 2 * WRITERS).collect();
    let mut numbers = history_of(case.nodes[0].address(), all.len())?;
    numbers.sort_unstable();
    ensure!(numbers == all, "not each once: {numbers:?}");
    Ok((both(case, "klokke_ledger_conflicts_total", &[])?, took))
}

#[test]
fn two_busy_nodes_do_not_get_into_each_others_way() -> Result<()> {
    let off = Case::start_with(&[("cluster.routing", "false")])?;
    let (conflicts_off, took_off) = contend(&off)?;
    let routed = both(&off, "klokke_cluster_routed_total", &[])?;
    ensure!(routed == 0.0, "{routed} were sent although that is off");
    drop(off);
    let on = Case::start()?;
    let (conflicts_on, took_on) = contend(&on)?;
    let done = both(&on, "klokke_cluster_routed_total", &["outcome=\"done\""])?;
    println!(
        "{} publications at two nodes: {conflicts_off} conflicts in {took_off:?} without routing, {conflicts_on} in {took_on:?} with it, {done} sent",
        EACH * 2 * WRITERS
    );
    ensure!(conflicts_off > 10.0, "nothing to be spared");
    ensure!(
        conflicts_on * 10.0 <= conflicts_off,
        "hardly fewer conflicts"
    );
    // One of the two nodes is the preferred one; what came in at the other went there.
    let half = (EACH * WRITERS) as f64;
    ensure!(done >= half * 0.9, "{done} of {half} were sent");
    Ok(())
}

/// A client that publishes over its socket, and reads its own words at once.
#[test]
fn whoever_wrote_reads_it_at_once_and_in_order() -> Result<()> {
    let case = Case::start()?;
    // Of so many ledgers each node is preferred by some.
    for nth in 0..CHANNELS {
        let node = case.nodes[nth % 2].address();
        let mut client = Client::connect(node, &token::of("anna"))?;
        let channel = format!("kept:own{nth}");
        client.must("subscribe", &json!({"channel": channel}))?;
        // Without waiting for the answers.
        let mut asked = Vec::new();
        for number in 0..50 {
            asked.push(client.send("publish", &json!({"channel": channel, "data": number}))?);
        }
        for id in asked {
            let reply = client.reply(id)?;
            ensure!(reply.get("error").is_none(), "{reply}");
        }
        let told = client.must("history", &json!({"channel": channel, "limit": 100}))?;
        let told = told["publications"].as_array().cloned().unwrap_or_default();
        let numbers: Vec<_> = told.iter().map(|it| it["data"].as_u64()).collect();
        ensure!(
            numbers == (0..50).map(Some).collect::<Vec<_>>(),
            "{numbers:?}"
        );
        // A repetition is answered as the first, wherever it is asked.
        let request = json!({"channel": channel, "data": 50, "idempotency_key": "once"});
        let first = http::api(node, "publish", &request)?;
        for again in &case.nodes {
            ensure!(http::api(again.address(), "publish", &request)? == first);
            let other = json!({"channel": channel, "data": 51, "idempotency_key": "once"});
            let refused = http::api(again.address(), "publish", &other);
            let said = refused.err().context("a key for two things")?.to_string();
            ensure!(said.contains("409"), "{said}");
        }
    }
    let sent = both(&case, "klokke_cluster_routed_total", &["outcome=\"done\""])?;
    ensure!(sent >= 50.0, "{sent} were sent");
    Ok(())
}

/// Which of the two nodes the channel's ledger prefers, by who sends what comes in.
fn preferred(case: &Case) -> Result<usize> {
    publish(case.nodes[0].address(), 0)?;
    let sent = http::metric(case.nodes[0].address(), "klokke_cluster_routed_total", &[])?;
    Ok(usize::from(sent > 0.0))
}

fn signal(case: &Case, nth: usize, name: &str) -> Result<()> {
    let pid = case.nodes[nth].pid().context("it runs")?.to_string();
    let sent = std::process::Command::new("kill")
        .args([name, &pid])
        .status()?;
    ensure!(sent.success(), "the signal was not sent");
    Ok(())
}

#[test]
fn a_node_that_is_frozen_keeps_nobody_waiting_for_long() -> Result<()> {
    let case = Case::start()?;
    let nth = preferred(&case)?;
    let (frozen, other): (SocketAddr, SocketAddr) =
        (case.nodes[nth].address(), case.nodes[1 - nth].address());
    let mut there = listener(other)?;
    publish(other, 1)?;
    hear(&mut there, 2, 1)?;
    signal(&case, nth, "-STOP")?;
    let begun = Instant::now();
    let taken = (2..=20).try_for_each(|number| publish(other, number));
    let waited = begun.elapsed();
    signal(&case, nth, "-CONT")?;
    taken?;
    // The first waits until it is sure that there is no answer; the others know.
    ensure!(waited < Duration::from_secs(10), "{waited:?}");
    ensure!(hear(&mut there, 3, 19)? == (2..=20).collect::<Vec<_>>());
    // What waited for the frozen node was done by another meanwhile.
    case.until(frozen, "centrifugo_node_num_nodes", 2.0)?;
    publish(frozen, 21)?;
    // The other hears of it a moment later.
    hear(&mut there, 22, 1)?;
    ensure!(history(other)? == (0..=21).collect::<Vec<_>>());
    println!("19 publications while the preferred node was frozen took {waited:?}");
    Ok(())
}
