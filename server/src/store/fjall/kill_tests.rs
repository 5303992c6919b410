//! The store's process is killed at random moments while tables are written and merged as often
//! as can be. Whatever the files look like then, the next start takes none of it for damage.
//!
//! `KLOKKE_KILLS` sets how many kills (20).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::Rng as _;

use super::{FjallStore, Options};
use crate::store::Store;
use crate::store::chain::Chain;

/// Names the folder to the process that will be killed.
const FOLDER: &str = "KLOKKE_KILLED_STORE";

/// A checkpoint, which writes tables of all keyspaces, after so few batches.
const CHECKPOINT_BATCHES: u64 = 20;

/// How long it may write before it is killed.
const LIFE_MS: u64 = 400;

fn options() -> Options {
    Options {
        checkpoint_batches: CHECKPOINT_BATCHES,
        ..Options::default()
    }
}

fn start(folder: &Path) -> Child {
    let this = std::env::current_exe().expect("this program");
    let mut command = Command::new(this);
    let name = "store::fjall::kill_tests::the_process_that_is_killed";
    command.args([name, "--exact", "--ignored", "--nocapture"]);
    command.env(FOLDER, folder).stdout(Stdio::piped());
    command.spawn().expect("starts")
}

#[tokio::test]
#[ignore = "started by the test below, to be killed"]
async fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = FjallStore::open(Path::new(&folder), &options()).expect("opens");
    assert_eq!(store.damage(), []);
    let mut chain = Chain::new(&format!("K{}", rand::random::<u32>()));
    // Until it is killed. What is said here is what was acknowledged.
    for n in 1_u64.. {
        let batch = chain.batch(|chain, commit| {
            let entry = chain.entry(&["unit:x"], "{\"text\":\"a message of usual size\"}");
            commit.entries.push(entry);
        });
        store.commit(batch).await.expect("commits");
        say(&format!("said {} {n}", chain.ledger));
    }
}

fn say(line: &str) {
    println!("{line}");
}

/// The last line that says what was acknowledged: ledger and number.
fn acknowledged(lines: &[String]) -> Option<(&str, u64)> {
    lines.iter().rev().find_map(|line| {
        let (ledger, number) = line.strip_prefix("said ")?.split_once(' ')?;
        Some((ledger, number.parse().ok()?))
    })
}

#[tokio::test]
async fn a_kill_is_never_taken_for_damage() {
    let kills = std::env::var("KLOKKE_KILLS").ok();
    let kills: u32 = kills.and_then(|text| text.parse().ok()).unwrap_or(20);
    let folder = tempfile::tempdir().expect("a folder");
    let mut commits = 0;
    for kill in 0..kills {
        let mut child = start(folder.path());
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let reader = std::thread::spawn(move || output.lines().map_while(Result::ok).collect());
        // When it dies is what is tried; nothing waits for this.
        let life = Duration::from_millis(rand::rng().random_range(0..LIFE_MS));
        tokio::time::sleep(life).await;
        child.kill().expect("killed");
        child.wait().expect("ended");
        let lines: Vec<String> = reader.join().expect("read");
        let store = FjallStore::open(folder.path(), &options());
        let store = store.unwrap_or_else(|error| panic!("kill {kill} after {life:?}: {error}"));
        assert_eq!(store.damage(), [], "kill {kill} after {life:?}");
        if let Some((ledger, number)) = acknowledged(&lines) {
            let ledger = Chain::new(ledger).ledger;
            let head = store.head(&ledger).await.expect("read").expect("there");
            assert!(head.seq >= number, "kill {kill}: {} of {number}", head.seq);
            commits += number;
        }
    }
    assert!(commits > 0, "nothing was written before the kills");
}
