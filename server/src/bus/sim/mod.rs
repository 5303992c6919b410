//! A whole cluster in one thread, from one seed: nodes on a store and a bus that delay, lose, double and reorder, nodes that die and
//! freeze, people who write, listen and move. What must hold is looked at from outside.
//!
//! Simulated so far are messages in one channel of one ledger. Records, rights, outboxes, retention and the sessions' own machine are not in
//! it, nor is what `store::scylla` does to keep the contract.
//!
//! Time is tokio's, paused: it goes on only when nothing else can. `cargo xtask sim` runs many seeds; one that fails prints itself, and
//! runs alone with `--seed`.

mod chaos;
mod node;
mod people;
mod store;
mod world;

use std::sync::Arc;
use std::time::Duration;

use self::node::Node;
use self::people::{Listener, Writer};
use self::world::{World, channel, ledger};
use crate::store::{EntryRange, Order, Store as _};

/// How large a run is.
const NODES: usize = 3;
const WRITERS: usize = 3;
const LISTENERS: usize = 4;
const MESSAGES: u64 = 12;

/// After the last fault everything must have come together within this.
const SETTLE_MAX: Duration = Duration::from_secs(180);

/// Runs one seed; what it found wrong.
fn run(seed: u64) -> Result<Figures, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    tokio::task::LocalSet::new().block_on(&runtime, play(seed))
}

/// How much was tried.
#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    commits: u64,
    heard: u64,
    faults: u64,
    seconds: u64,
}

async fn play(seed: u64) -> Result<Figures, String> {
    let world = World::new(seed);
    let nodes: Vec<_> = (0..NODES).map(|nth| Node::new(&world, nth)).collect();
    let nodes = Arc::new(nodes);
    for node in &*nodes {
        node.start();
    }
    let listeners: Vec<_> = (0..LISTENERS)
        .map(|_| Listener::start(&world, &nodes))
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|nth| Writer::start(&world, &nodes, nth as u64, MESSAGES))
        .collect();
    chaos::reign(&world, &nodes).await;
    world.calm();
    let wanted = WRITERS as u64 * MESSAGES;
    let settled = async {
        for writer in &writers {
            writer.done().await;
        }
        while listeners
            .iter()
            .any(|it| (it.heard().len() as u64) < wanted)
            && world.wrong().is_empty()
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let is_settled = tokio::time::timeout(SETTLE_MAX, settled).await.is_ok();
    let mut wrong = world.wrong();
    if !is_settled {
        let heard: Vec<_> = listeners.iter().map(|it| it.heard().len()).collect();
        wrong.push(format!(
            "not settled: of {wanted} messages were heard {heard:?}"
        ));
    }
    let all = EntryRange {
        from: 1,
        to: u64::MAX,
        limit: 100_000,
        order: Order::Ascending,
    };
    let kept = world.memory.entries(&ledger(), &channel(), all).await;
    let kept = kept.map_err(|error| error.to_string())?;
    let order: Vec<String> = kept
        .iter()
        .map(|it| String::from_utf8_lossy(&it.entry.content.full).into_owned())
        .collect();
    let mut once = order.clone();
    once.sort();
    once.dedup();
    if once.len() != order.len() {
        wrong.push(format!("something is kept twice: {order:?}"));
    }
    for acknowledged in world.acknowledged() {
        if !order.contains(&acknowledged) {
            wrong.push(format!("{acknowledged} was acknowledged and is not kept"));
        }
    }
    for (nth, listener) in listeners.iter().enumerate() {
        let heard = listener.heard();
        if order.get(..heard.len()) != Some(&heard[..]) {
            wrong.push(format!("listener {nth} heard {heard:?} of {order:?}"));
        }
    }
    if wrong.is_empty() {
        Ok(Figures {
            commits: order.len() as u64,
            heard: listeners.iter().map(|it| it.heard().len() as u64).sum(),
            faults: world.faults(),
            seconds: world.seconds(),
        })
    } else {
        Err(wrong.join("; "))
    }
}

/// Says how far it is, to whoever runs many.
fn say(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{what}"); // Nobody may be looking.
}

/// After so many seeds it says how far it is.
const PROGRESS: usize = 500;

/// So many seeds in the unit tests; `cargo xtask sim` says more.
const SEEDS: u64 = 40;

#[test]
fn nothing_is_lost_doubled_or_out_of_order_whatever_breaks() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|it| it.parse::<u64>().ok())
    };
    let first = number("KLOKKE_SIM_FIRST").unwrap_or(1);
    let seeds = number("KLOKKE_SIM_SEEDS").unwrap_or(SEEDS);
    let mut sum = Figures::default();
    for (nth, seed) in (first..first + seeds).enumerate() {
        if nth > 0 && nth % PROGRESS == 0 {
            say(&format!("{nth} of {seeds} seeds: {sum:?}"));
        }
        match run(seed) {
            Ok(figures) => {
                sum.commits += figures.commits;
                sum.heard += figures.heard;
                sum.faults += figures.faults;
                sum.seconds += figures.seconds;
            }
            Err(wrong) => panic!("seed {seed}: {wrong}\nalone: cargo xtask sim --seed {seed}"),
        }
    }
    say(&format!("{seeds} seeds hold: {sum:?}"));
}

#[test]
fn one_seed_is_one_history() {
    let once = run(7).expect("it holds");
    let again = run(7).expect("it holds");
    assert_eq!(format!("{once:?}"), format!("{again:?}"));
}
