//! `cargo xtask cluster`: three nodes of Klokke on three of Cassandra and a NATS, all on this machine, with an invented municipality's people.
//! To use, to replay a scenario against, or to break part by part under load (`--faults`); what such a cluster costs (`--costs`); and a store copied to it and back (`--copy`).

mod copy;
mod costs;
mod faults;
mod lab;
mod proxy;

use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use self::{
    faults::{FAULTS, Fault},
    lab::{Lab, Spread},
};
use crate::{house::House, process::Program, setup};

/// What `cargo xtask cluster` can be told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The part of the country whose people it has.
    #[arg(long, default_value = "1/200")]
    scale: String,
    /// Breaks every part in turn while the load tester plays and checks, and prints a table.
    #[arg(long, group = "table", conflicts_with = "run")]
    faults: bool,
    /// Only these of the faults.
    #[arg(long, requires = "faults")]
    only: Vec<String>,
    /// Replays this scenario instead; what comes after `--` is passed on to the load tester.
    #[arg(long)]
    run: Option<String>,
    /// Rolls the nodes one after the other while that scenario is played, beginning at this time of it, as in --roll-at 20m.
    #[arg(long, requires = "run")]
    roll_at: Option<String>,
    /// Measures commits and fan-out on a store of its own, on one node of Cassandra and on three, beside each other.
    #[arg(long, group = "table", conflicts_with_all = ["faults", "run", "more"])]
    costs: bool,
    /// Copies that part of the country from a store of one's own to Cassandra and back, and compares the hashes.
    #[arg(long, conflicts_with_all = ["table", "run", "more"])]
    copy: bool,
    /// With the costs, so many subscribers at once over three nodes.
    #[arg(long, requires = "costs", default_value_t = 0)]
    sockets: usize,
    /// Writes the table as JSON too.
    #[arg(long, requires = "table")]
    json: Option<PathBuf>,
    /// Writes the picture of the costs (SVG) too.
    #[arg(long, requires = "costs")]
    picture: Option<PathBuf>,
    /// For the load tester.
    #[arg(last = true)]
    more: Vec<String>,
}

/// Before the first fault: everybody comes, and what is normal shows.
const CALM_S: u32 = 120;
const COMING_S: u32 = 60;

/// A third of some hundred people come back at once easily; of thousands they need a minute, on the two cores that three nodes of
/// Cassandra share.
const AT_PLAY: Spread = Spread(10);
const AT_WORK: Spread = Spread(60);

/// People come and write about ten times a second, whatever breaks.
fn scenario(faults: &[&Fault], signal: &str) -> String {
    let lasts_s: u32 = faults.iter().map(|fault| fault.takes_s).sum();
    let mut text = format!(
        r#"title = "Alt går i stykker (everything breaks)"
about = "A small part of the country at work on three nodes, while one part after the other breaks."
[people]
staff = 0.15
guardian = 0.15
pupil = 0.15
other = 0.15
stepped_up = 0.1
protobuf = 0.5
[[stage]]
name = "people come"
lasts = "60s"
online = 1.0
[[stage]]
name = "everything breaks"
lasts = "{}s"
drops = 0.02
rates = {{ check_in = 800, message = 300, direct = 400, sensitive = 50, class_post = 100, notice = 10 }}
[thresholds]
"online_share_end" = {{ at_least = 0.99 }}
"#,
        CALM_S - COMING_S + lasts_s
    );
    let mut at_s = CALM_S;
    for fault in faults {
        text.push_str(&fault.event(at_s, signal));
        at_s += fault.takes_s;
    }
    text
}

/// Starts everything, then does what was asked for.
pub(crate) fn run(house: &House, arguments: &Arguments) -> Result<()> {
    if arguments.costs {
        let (json, picture) = (arguments.json.as_deref(), arguments.picture.as_deref());
        return costs::run(house, arguments.sockets, json, picture);
    }
    if arguments.copy {
        return copy::run(house, &arguments.scale);
    }
    let known = |name: &String| FAULTS.iter().any(|fault| fault.name == name);
    if let Some(unknown) = arguments.only.iter().find(|name| !known(name)) {
        let all: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        bail!("no fault is called {unknown}; there are {}", all.join(", "));
    }
    let tester = setup::load_tester(house)?;
    let spread = match arguments.run {
        Some(_) => AT_WORK,
        None => AT_PLAY,
    };
    let lab = Arc::new(Mutex::new(Lab::start(house, spread)?));
    let done = play(house, arguments, &tester, &lab);
    // Whoever listens for signals holds it too, as long as the program lives.
    lab.lock().unwrap_or_else(PoisonError::into_inner).end();
    done
}

fn play(house: &House, arguments: &Arguments, tester: &Path, lab: &Arc<Mutex<Lab>>) -> Result<()> {
    let people = {
        let lab = lab.lock().unwrap_or_else(PoisonError::into_inner);
        people(&lab, tester, &arguments.scale)?
    };
    let mut played = Program::new(tester, house.root()).arguments(["run"]);
    let address = faults::listen(Arc::clone(lab))?;
    {
        let lab = lab.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen: Vec<&Fault> = FAULTS
            .iter()
            .filter(|fault| {
                arguments.only.is_empty() || arguments.only.iter().any(|name| name == fault.name)
            })
            .collect();
        let file = lab.folder.join("scenario.toml");
        played = match (&arguments.run, arguments.faults) {
            (Some(name), _) if arguments.roll_at.is_none() => played.arguments([name]),
            (Some(name), _) => {
                let at = arguments.roll_at.as_deref().unwrap_or_default();
                fs::write(&file, rolled(house, name, at)?)?;
                played.arguments([&file])
            }
            (None, true) => {
                let program = std::env::current_exe().context("this program finds itself")?;
                let signal = format!("{} signal {address}", program.display());
                fs::write(&file, scenario(&chosen, &signal))?;
                played.arguments([&file])
            }
            (None, false) => return stay(&lab),
        };
        for nth in 0..lab.nodes.len() {
            played = played
                .arguments(["--server", &format!("ws://{}", lab.nodes[nth])])
                .arguments(["--serve", &lab.serve(nth)]);
        }
        let out = house.target().join("cluster-results");
        played = played
            .arguments(["--people".as_ref(), people.as_os_str()])
            .arguments(["--token-secret-file".as_ref(), lab.secret().as_os_str()])
            .arguments(["--out".as_ref(), out.as_os_str()])
            .arguments(&arguments.more);
    }
    let said = played.run()?;
    let result = said
        .lines
        .iter()
        .find_map(|line| line.trim().strip_prefix("result "));
    let result = result.context("the load tester left no result")?;
    let result: Value = serde_json::from_slice(&fs::read(result)?)?;
    if arguments.faults {
        table(&result, arguments.json.as_deref())?;
    }
    ensure!(said.ok, "it did not hold: see above");
    Ok(())
}

/// A scenario of the load tester with the nodes rolled one after the other.
fn rolled(house: &House, name: &str, at: &str) -> Result<String> {
    let own = house
        .path("loadtest/scenarios")
        .join(format!("{name}.toml"));
    let path = if own.is_file() { own } else { name.into() };
    let mut text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    // Whoever is sent away comes back; nothing else may go wrong.
    let share = text
        .lines()
        .find(|line| line.starts_with("\"errors_share\""));
    if let Some(share) = share.map(str::to_owned) {
        text = text.replace(&share, "\"errors_but_reconnects\" = { at_most = 0 }");
    }
    let begin: u32 = at
        .strip_suffix('m')
        .and_then(|minutes| minutes.parse().ok())
        .context("--roll-at takes whole minutes of the scenario, as in 20m")?;
    for nth in 0..u32::from(lab::NODES) {
        // A drain takes as long as it takes whatever the speed; minutes of the scenario leave room at six times the speed.
        text.push_str(&format!(
            "\n[[event]]\nat = \"{}m\"\ndo = \"roll_server\"\nserver = {}\n",
            begin + 5 * nth,
            nth + 1
        ));
    }
    Ok(text)
}

/// Invents the people and imports them; gives their folder.
fn people(lab: &Lab, tester: &Path, scale: &str) -> Result<PathBuf> {
    let folder = lab.folder.join("people");
    println!("  inventing people ({scale} of the country)");
    Program::new(tester, &lab.folder)
        .arguments(["people", "--scale", scale, "--out"])
        .arguments([&folder])
        .must()?;
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    println!("  importing them");
    lab.klokke(&["import", "--apply"])?
        .arguments(&files)
        .must()?;
    Ok(folder)
}

/// Serves until it is interrupted.
fn stay(lab: &Lab) -> Result<()> {
    let spawn = |nth: usize| {
        std::process::Command::new("sh")
            .args(["-c", &format!("exec {}", lab.serve(nth))])
            .spawn()
            .context("start a node")
    };
    let nodes: Vec<_> = (0..lab.nodes.len()).map(spawn).collect::<Result<_>>()?;
    for address in &lab.nodes {
        println!("  ws://{address}/connection/websocket");
    }
    println!(
        "  tokens are signed with what is in {}; Ctrl-C ends everything",
        lab.secret().display()
    );
    for mut node in nodes {
        node.wait()?;
    }
    Ok(())
}

/// What each fault did, for people, and as JSON.
fn table(result: &Value, json: Option<&Path>) -> Result<()> {
    let count = |kind: &str| result["violations"]["counts"][kind].as_u64().unwrap_or(0);
    let events = result["events"].as_array().cloned().unwrap_or_default();
    let mut rows = Vec::new();
    println!("\n  {:<72} as before after", "what broke");
    for event in events.iter().filter(|event| event["disturbs"] == true) {
        let said = event["what"].as_str().unwrap_or_default();
        let signalled = said.rsplit(' ').next().unwrap_or_default();
        let what = FAULTS
            .iter()
            .find(|fault| said.starts_with("run:") && fault.name == signalled)
            .map_or(said, |fault| fault.what);
        let normal_s = event["normal_s"].as_f64();
        let after = normal_s.map_or_else(|| "not in time".to_owned(), |s| format!("{s:.0} s"));
        println!("  {what:<72} {after}");
        rows.push(json!({"what": what, "at_s": event["at_s"], "normal_s": normal_s}));
    }
    let all = ["missing", "doubled", "out_of_order", "leaked"].map(|kind| (kind, count(kind)));
    let told: Vec<String> = all
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let expected = result["violations"]["deliveries_expected"]
        .as_u64()
        .unwrap_or(0);
    println!(
        "  of {expected} deliveries that had to be: {}",
        told.join(", ")
    );
    if let Some(path) = json {
        let counts: serde_json::Map<String, Value> = all
            .iter()
            .map(|(kind, count)| ((*kind).to_owned(), json!(count)))
            .collect();
        let all = json!({"faults": rows, "expected": expected, "violations": counts});
        fs::write(path, serde_json::to_vec_pretty(&all)?)?;
    }
    Ok(())
}

/// Gives a running lab a word.
pub(crate) fn signal(address: &str, word: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address).context("no cluster listens there")?;
    writeln!(stream, "{word}")?;
    Ok(())
}
