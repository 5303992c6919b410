//! `klokke-load run`: the coordinator. It reads the scenario, gathers agents, lets them play, and judges.
//!
//! Exit code 0: held. 99: a threshold or a promise was broken. 1: it could not be carried out; what there is was kept, and nothing
//! is said to hold.

mod agents;
mod gather;
mod judge;
mod machine;
mod normal;
mod play;
mod progress;
mod sampler;
mod servers;
mod state;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};

use crate::outcome::{Outcome, Word};
use crate::scenario::{Happening, Scenario};
use crate::{target, town};

/// Exit code of a run that broke a threshold or a promise.
const BROKEN: u8 = 99;

/// What `klokke-load run` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// A scenario's name (`klokke-load scenarios` lists them) or the path of a file.
    scenario: String,
    /// Import files of the people that the server has, or folders of them.
    #[arg(long, required = true)]
    people: Vec<PathBuf>,
    /// The server, as in ws://127.0.0.1:8000 or wss://klokke.example; given several times, people spread over them, and come back to
    /// the next one.
    #[arg(long, required = true)]
    server: Vec<String>,
    /// A file with certificates (PEM) to trust with wss://; left out, those that this machine trusts.
    #[arg(long)]
    tls_ca: Option<PathBuf>,
    /// A file with the server's client.token.hmac_secret_key; it signs the tokens of the invented people.
    #[arg(long, env = "KLOKKE_LOAD_TOKEN_SECRET_FILE")]
    token_secret_file: PathBuf,
    /// How many times faster than written: durations are divided, rates multiplied.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Agents to start on this machine; left out, as many as its limit of open files makes necessary.
    #[arg(long)]
    agents: Option<u32>,
    /// Where agents of other machines join: host:port. Needs --expect.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Agents of other machines to wait for.
    #[arg(long, default_value_t = 0)]
    expect: u32,
    /// The command that runs the server, started and ended by this run; needed for scenarios that kill it. Of several servers, each
    /// has one, in the same order.
    #[arg(long)]
    serve: Vec<String>,
    /// Kills the server at this time of the scenario and starts it again, as in --kill-at 20m, whatever the scenario says. Needs
    /// --serve.
    #[arg(long)]
    kill_at: Option<String>,
    /// Where the server tells its figures; left out, /metrics at the server's address. "none": it is not asked. Of several servers
    /// each may have one; they are summed.
    #[arg(long)]
    metrics: Vec<String>,
    /// Folder for the result (JSON) and the report (HTML).
    #[arg(long, default_value = "klokke-load-results")]
    out: PathBuf,
    /// An earlier result to compare with.
    #[arg(long)]
    compare: Option<PathBuf>,
}

/// Runs a scenario.
///
/// # Errors
/// When it cannot be begun; the sentence says what to do.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (name, text) = scenario_text(&arguments.scenario)?;
    let text = match &arguments.kill_at {
        Some(at) => format!("{text}\n[[event]]\nat = \"{at}\"\ndo = \"kill_server\"\n"),
        None => text,
    };
    let scenario = Scenario::parse(Path::new(&name), &text)?;
    ensure!(
        arguments.speed.is_finite() && arguments.speed > 0.0,
        "--speed must be above 0, as in --speed 6"
    );
    let addresses = arguments.server.iter().map(|url| target::parse(url));
    let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    ensure!(
        addresses.iter().all(|it| it.is_tls == addresses[0].is_tls),
        "all servers are reached with ws://, or all with wss://"
    );
    ensure!(
        arguments.serve.is_empty() || arguments.serve.len() == addresses.len(),
        "{} servers and {} commands: give each --server its --serve, or none",
        addresses.len(),
        arguments.serve.len()
    );
    for event in &scenario.events {
        if event.what != Happening::Run && arguments.serve.is_empty() {
            bail!(
                "scenario {name} kills or stops the server: give the command that runs it with --serve, as in --serve 'klokke serve --config klokke.toml'"
            );
        }
        ensure!(
            event.server <= addresses.len(),
            "scenario {name} does something to server {}; there are {}",
            event.server,
            addresses.len()
        );
    }
    let earlier = arguments
        .compare
        .as_deref()
        .map(Outcome::read)
        .transpose()?;
    let tls_ca = arguments.tls_ca.as_deref().map(|path| {
        std::fs::read_to_string(path)
            .with_context(|| format!("cannot read certificates from {}", path.display()))
    });
    let tls_ca = tls_ca.transpose()?;
    let today = jiff::Zoned::now().date();
    let files = town::files(&arguments.people)?;
    progress::note(&format!("reading the people of {} file(s)", files.len()));
    let town = town::read(&files, today)?;
    let play = play::Play {
        name,
        text,
        scenario,
        addresses,
        tls_ca,
        today,
        arguments: arguments.clone(),
    };
    let outcome = play.run(&town)?;
    let json = keep(&outcome, earlier.as_ref(), &arguments.out)?;
    progress::verdict(&outcome, &json)?;
    Ok(match outcome.verdict.word {
        Word::Held => ExitCode::SUCCESS,
        Word::Broken => ExitCode::from(BROKEN),
        Word::Incomplete => ExitCode::FAILURE,
    })
}

/// Writes result and report; gives the result's path.
fn keep(outcome: &Outcome, earlier: Option<&Outcome>, folder: &Path) -> Result<PathBuf> {
    let stamp: String = outcome
        .began
        .chars()
        .filter(char::is_ascii_digit)
        .take(14)
        .collect();
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let json = folder.join(format!("{}-{stamp}.json", outcome.scenario.name));
    let mut file =
        std::fs::File::create(&json).with_context(|| format!("cannot write {}", json.display()))?;
    serde_json::to_writer(&mut file, outcome)?;
    file.write_all(b"\n")?;
    let html = json.with_extension("html");
    let page = crate::report::html(outcome, earlier);
    std::fs::write(&html, page).with_context(|| format!("cannot write {}", html.display()))?;
    Ok(json)
}

/// The scenarios that come with the tester.
const SCENARIOS: [(&str, &str); 9] = [
    (
        "steady-day",
        include_str!("../../scenarios/steady-day.toml"),
    ),
    (
        "first-monday",
        include_str!("../../scenarios/first-monday.toml"),
    ),
    (
        "sunday-evening",
        include_str!("../../scenarios/sunday-evening.toml"),
    ),
    (
        "national-news",
        include_str!("../../scenarios/national-news.toml"),
    ),
    ("node-dies", include_str!("../../scenarios/node-dies.toml")),
    (
        "municipal-notice",
        include_str!("../../scenarios/municipal-notice.toml"),
    ),
    ("whole-day", include_str!("../../scenarios/whole-day.toml")),
    (
        "ten-hours-away",
        include_str!("../../scenarios/ten-hours-away.toml"),
    ),
    ("bad-actor", include_str!("../../scenarios/bad-actor.toml")),
];

fn scenario_text(wanted: &str) -> Result<(String, String)> {
    if let Some((name, text)) = SCENARIOS.iter().find(|(name, _)| *name == wanted) {
        return Ok(((*name).to_owned(), (*text).to_owned()));
    }
    let path = Path::new(wanted);
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("\"{wanted}\" is neither a scenario that comes with the tester (`klokke-load scenarios`) nor a file that can be read")
    })?;
    let name = path
        .file_stem()
        .map_or_else(|| wanted.to_owned(), |it| it.to_string_lossy().into_owned());
    Ok((name, text))
}

/// Lists the scenarios that come with the tester.
///
/// # Errors
/// When nothing can be written.
pub fn list(as_json: bool) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for (name, text) in SCENARIOS {
        let scenario = Scenario::parse(Path::new(name), text)?;
        let minutes = scenario.lasts().as_secs_f64() / 60.0;
        if as_json {
            let line = serde_json::json!({
                "name": name, "title": scenario.title, "about": scenario.about, "lasts_s": scenario.lasts().as_secs_f64(),
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{name:<18} {minutes:>5.0} min  {}", scenario.title)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
