//! Nodes that leave and come back: what they hand over, what their clients feel, and what the others hear of it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use klokke_client::{Client as Sdk, Config, Event};
use klokke_tests::{balancer::Balancer, client::Client, http, server::command, token};
use serde_json::json;

use super::{CHANNEL, Case, PATIENCE, history_of, listener, publish};

/// Clients of the SDK that listen through it all.
const LISTENERS: u64 = 10;
/// Back ends that write through it all.
const WRITERS: u64 = 3;

/// `klokke drain`, from outside. What it says.
fn drain(node: SocketAddr) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key");
    std::fs::write(&key, http::API_KEY)?;
    let ran = command()?
        .args(["drain", "--server", &format!("http://{node}")])
        .arg("--api-key-file")
        .arg(&key)
        .output()?;
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    ensure!(ran.status.success(), "{said}");
    Ok(said)
}

#[test]
fn a_node_that_stops_says_so_and_another_has_its_ledgers_at_hand() -> Result<()> {
    let mut case = Case::start_with(&[("cluster.gone_after", "60s")])?;
    let [one, other] = [0, 1].map(|nth| case.nodes[nth].address());
    // Of a lot of ledgers, each node is preferred by some.
    for n in 0..20 {
        let request = json!({"channel": format!("kept:{n}"), "data": n});
        http::api(one, "publish", &request)?;
    }
    case.nodes[0].terminate()?;
    case.until(other, "centrifugo_node_num_nodes", 1.0)?;
    // It goes at once, as nobody is connected; what it had is loaded a moment later.
    let deadline = Instant::now() + PATIENCE;
    while http::metric(other, "klokke_cluster_ledgers_taken_over_total", &[])? < 1.0 {
        ensure!(Instant::now() < deadline, "nothing was taken over");
        thread::yield_now();
    }
    case.nodes[0].start_again()?;
    // It serves when it has heard the other.
    let nodes = http::metric(one, "centrifugo_node_num_nodes", &[])?;
    ensure!(nodes > 1.5, "it took itself for the only node");
    Ok(())
}

#[test]
fn an_operator_drains_a_node_and_sees_its_end() -> Result<()> {
    let mut case = Case::start()?;
    let [one, other] = [0, 1].map(|nth| case.nodes[nth].address());
    let mut here = listener(one)?;
    let refused = http::request(one, "POST", "/api/drain", &[], "{}")?;
    ensure!(refused.status == 401, "without a key: {}", refused.status);
    let said = thread::spawn(move || drain(one));
    ensure!(here.close_code()? == 3001, "not a code to come back by");
    // Who comes meanwhile is sent elsewhere; who was there goes on at the other node where they were.
    publish(other, 7)?;
    let said = said.join().ok().context("it did not end")??;
    ensure!(
        said.contains("1 connections left") && said.contains("the node has ended"),
        "{said}"
    );
    ensure!(case.nodes[0].wait()?.success(), "not a clean end");
    let mut there = Client::connect(other, &token::of("anna"))?;
    let subscribe = json!({"channel": CHANNEL, "recover": true, "offset": 0});
    let subscribed = there.must("subscribe", &subscribe)?;
    ensure!(subscribed["publications"][0]["data"] == 7, "{subscribed}");
    Ok(())
}

/// Writes numbers through the balancer until told to stop. An answer that says no is a failure; no answer is asked for again.
struct Writing {
    next: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
}

impl Writing {
    /// Gives how often it was asked again, and how often of that because it was busy.
    fn run(&self, door: SocketAddr) -> Result<(u64, u64)> {
        let headers = [("X-API-Key", http::API_KEY)];
        let (mut again, mut busy) = (0, 0);
        while !self.ends.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let body = json!({"channel": CHANNEL, "data": number, "idempotency_key": format!("n{number}")});
            let deadline = Instant::now() + PATIENCE;
            loop {
                match http::request(door, "POST", "/api/publish", &headers, &body.to_string()) {
                    Ok(answer) if answer.status == 503 => {}
                    Ok(answer) => {
                        let json = answer.json()?;
                        if json.get("error").is_none() {
                            break;
                        }
                        // Both nodes wrote the one ledger at the same time.
                        ensure!(json["error"]["code"] == 111, "{number}: {json}");
                        busy += 1;
                    }
                    Err(_) => {}
                }
                again += 1;
                ensure!(Instant::now() < deadline, "{number} was never taken");
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok((again, busy))
    }
}

/// Listens through the balancer until all numbers were heard. Gives them, and how often it had to connect.
async fn listen(door: SocketAddr, user: String, all: Arc<AtomicU64>) -> Result<(Vec<u64>, u64)> {
    let config = Config {
        token: token::of(&user),
        ..Config::new(format!("ws://{door}/connection/websocket"))
    };
    let (client, mut events) = Sdk::start(config);
    client.subscribe(CHANNEL).await?;
    let (mut heard, mut connects) = (Vec::new(), 0);
    while heard.len() as u64 != all.load(Ordering::Relaxed) {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await;
        match event
            .context("nothing comes any more")?
            .context("the client ended")?
        {
            Event::Publication { publication, .. } => {
                let offset = heard.len() as u64 + 1;
                ensure!(
                    publication.offset == offset,
                    "not offset {offset}: {}",
                    publication.offset
                );
                heard.push(serde_json::from_slice(&publication.data)?);
            }
            Event::Connected { .. } => connects += 1,
            Event::Subscribed {
                recovered,
                was_recovering,
                ..
            } => {
                ensure!(recovered || !was_recovering, "{user} lost its place");
            }
            Event::Disconnected { code, .. } => bail!("{user} was sent away for good with {code}"),
            Event::Unsubscribed { code, .. } => bail!("{user} was unsubscribed with {code}"),
            _ => {}
        }
    }
    Ok((heard, connects))
}

fn roll(case: &mut Case) -> Result<()> {
    for nth in 0..2 {
        let (node, other) = (case.nodes[nth].address(), case.nodes[1 - nth].address());
        let before = http::metric(other, "centrifugo_node_num_clients", &[])?;
        // One as an operator does it, the other as systemd does.
        if nth == 0 {
            drain(node)?;
            case.nodes[nth].wait()?;
        } else {
            ensure!(case.nodes[nth].terminate()?.success(), "not a clean end");
        }
        case.until(other, "centrifugo_node_num_nodes", 1.0)?;
        case.until(other, "centrifugo_node_num_clients", LISTENERS as f64)?;
        ensure!(
            before < LISTENERS as f64,
            "nobody was on the node that left"
        );
        case.nodes[nth].start_again()?;
        case.until(other, "centrifugo_node_num_nodes", 2.0)?;
    }
    Ok(())
}

#[test]
fn both_nodes_are_restarted_in_turn_and_nobody_misses_anything() -> Result<()> {
    let settings = [
        ("cluster.gone_after", "60s"),
        ("drain.notice", "1s"),
        ("drain.spread", "2s"),
        ("drain.timeout", "10s"),
    ];
    let mut case = Case::start_with(&settings)?;
    let balancer = Balancer::start(&[0, 1].map(|nth| case.nodes[nth].address()))?;
    let door = balancer.address();
    let (next, ends) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let all = Arc::new(AtomicU64::new(u64::MAX));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let listeners: Vec<_> = (0..LISTENERS)
        .map(|n| runtime.spawn(listen(door, format!("listener{n}"), Arc::clone(&all))))
        .collect();
    for node in &case.nodes {
        // In turn, so half of them here; without them a node that leaves would leave nobody. Who subscribes after the first word would
        // begin behind it.
        for what in [
            "centrifugo_node_num_clients",
            "centrifugo_node_num_subscriptions",
        ] {
            case.until(node.address(), what, LISTENERS as f64 / 2.0)?;
        }
    }
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let writing = Writing {
                next: Arc::clone(&next),
                ends: Arc::clone(&ends),
            };
            thread::spawn(move || writing.run(door))
        })
        .collect();
    let rolled = roll(&mut case);
    ends.store(true, Ordering::Relaxed);
    let mut again = (0, 0);
    for writer in writers {
        let (asked, busy) = writer.join().ok().context("a writer failed")??;
        again = (again.0 + asked, again.1 + busy);
    }
    if let Err(error) = rolled {
        // What ended before its time says more.
        for listener in listeners.into_iter().filter(|it| it.is_finished()) {
            runtime.block_on(listener)??;
        }
        return Err(error);
    }
    let count = next.load(Ordering::Relaxed);
    all.store(count, Ordering::Relaxed);
    // One more, so that who has heard all already sees that it was all.
    all.fetch_add(1, Ordering::Relaxed);
    publish(case.nodes[0].address(), count)?;
    let mut connects = BTreeMap::new();
    let mut told = None;
    for listener in listeners {
        let (heard, connected) = runtime.block_on(listener)??;
        // Half of them heard it at this node.
        let told = told.get_or_insert_with(|| heard.clone());
        ensure!(heard == *told, "another history");
        *connects.entry(connected).or_insert(0) += 1;
    }
    let told = told.context("nobody listened")?;
    ensure!(
        history_of(case.nodes[1].address(), told.len())? == told,
        "another history is kept"
    );
    let mut numbers = told;
    numbers.sort_unstable();
    ensure!(numbers == (0..=count).collect::<Vec<_>>(), "not each once");
    println!(
        "{count} written over two restarts, {again:?} asked again (of that: busy), connects by listeners {connects:?}"
    );
    ensure!(count > 100, "hardly anything was written");
    Ok(())
}
