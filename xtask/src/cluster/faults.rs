//! What can break, in order, and how each is broken and mended.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Result;

use super::lab::{Lab, SMALL_DISK, fill};

/// One thing that breaks.
pub(super) struct Fault {
    /// Its name, for `--only`.
    pub(super) name: &'static str,
    /// What happens, for people.
    pub(super) what: &'static str,
    /// How the scenario says it: lines of an event. `None`: the word is given to this program, which does it.
    event: Option<&'static str>,
    /// Until the next fault, in seconds: it is over and everything as before by then.
    pub(super) takes_s: u32,
}

/// All that break, each with time to recover.
pub(super) const FAULTS: [Fault; 11] = [
    Fault {
        name: "kill-node",
        what: "a node of Klokke killed (kill -9), started again at once",
        event: Some("do = \"kill_server\"\nserver = 1\n"),
        takes_s: 45,
    },
    Fault {
        name: "stop-node",
        what: "a node of Klokke stopped for 20 s, then continued",
        event: Some("do = \"pause_server\"\nserver = 2\nlasts = \"20s\"\n"),
        takes_s: 60,
    },
    Fault {
        name: "kill-store",
        what: "a node of Cassandra killed, back after 20 s",
        event: None,
        takes_s: 75,
    },
    Fault {
        name: "kill-nats",
        what: "NATS away for a minute",
        event: None,
        takes_s: 80,
    },
    Fault {
        name: "cut-bus",
        what: "a node cut off from NATS alone, for 30 s",
        event: None,
        takes_s: 50,
    },
    Fault {
        name: "cut-store",
        what: "a node cut off from the store alone, for 30 s",
        event: None,
        takes_s: 75,
    },
    Fault {
        name: "full-disk",
        what: "the disk of a node of Cassandra full for 20 s, then that node started again",
        event: None,
        takes_s: 75,
    },
    Fault {
        name: "wrong-clock",
        what: "the clock of a node of Klokke 30 s ahead, for 30 s",
        event: None,
        takes_s: 45,
    },
    Fault {
        name: "roll-1",
        what: "the first node rolled: drained, ended, started again",
        event: Some("do = \"roll_server\"\nserver = 1\n"),
        takes_s: 50,
    },
    Fault {
        name: "roll-2",
        what: "the second node rolled",
        event: Some("do = \"roll_server\"\nserver = 2\n"),
        takes_s: 50,
    },
    Fault {
        name: "roll-3",
        what: "the third node rolled",
        event: Some("do = \"roll_server\"\nserver = 3\n"),
        takes_s: 50,
    },
];

impl Fault {
    /// The event of a scenario.
    pub(super) fn event(&self, at_s: u32, signal: &str) -> String {
        let done = self.event.map_or_else(
            || format!("do = \"run\"\ncommand = \"{signal} {}\"\n", self.name),
            str::to_owned,
        );
        format!("[[event]]\nat = \"{at_s}s\"\n{done}")
    }
}

/// Does what is signalled, as long as the program lives. Gives where.
pub(super) fn listen(lab: Arc<Mutex<Lab>>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut word = String::new();
            if BufReader::new(stream).read_line(&mut word).is_ok() {
                let lab = Arc::clone(&lab);
                let word = word.trim().to_owned();
                thread::spawn(move || {
                    if let Err(error) = act(&lab, &word) {
                        println!("  {word}: {error:#}");
                    }
                });
            }
        }
    });
    Ok(address)
}

fn act(lab: &Mutex<Lab>, word: &str) -> Result<()> {
    let with = |how: &dyn Fn(&mut Lab) -> Result<()>| {
        how(&mut lab.lock().unwrap_or_else(PoisonError::into_inner))
    };
    let wait = |seconds| thread::sleep(Duration::from_secs(seconds));
    let last = usize::from(super::lab::NODES) - 1;
    match word {
        "kill-store" => {
            with(&|lab| lab.cassandra.kill(last))?;
            wait(20);
            with(&|lab| lab.cassandra.start_again(last))
        }
        "kill-nats" => {
            with(&|lab| {
                lab.nats.kill();
                Ok(())
            })?;
            wait(60);
            with(&|lab| lab.nats.start_again())
        }
        "cut-bus" | "cut-store" => {
            let cut = |is_cut: bool| {
                with(&|lab| {
                    let ways = if word == "cut-bus" {
                        &lab.to_nats[..1]
                    } else {
                        &lab.to_store[..]
                    };
                    ways.iter().for_each(|way| way.cut(is_cut));
                    Ok(())
                })
            };
            cut(true)?;
            wait(30);
            cut(false)
        }
        "full-disk" => {
            let disk = lab
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .small_disk();
            let Some(disk) = disk else {
                println!("  full-disk: left out, there is no disk to fill");
                return Ok(());
            };
            let file = fill(&disk)?;
            wait(20);
            std::fs::remove_file(file)?;
            with(&|lab| {
                lab.cassandra.kill(SMALL_DISK)?;
                lab.cassandra.start_again(SMALL_DISK)
            })
        }
        "wrong-clock" => {
            with(&|lab| {
                if !lab.skew(30)? {
                    println!("  wrong-clock: left out, there is no clock to set");
                }
                Ok(())
            })?;
            wait(30);
            with(&|lab| lab.skew(0).map(drop))
        }
        _ => anyhow::bail!("nothing is called so"),
    }
}
