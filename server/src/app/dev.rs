//! `klokke dev`: an invented municipality to try things on, with tokens to paste and a page to open.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::cli::Dev;
use super::{import, offline, serve, settings, token};
use crate::auth::mint::SigningKey;
use crate::config::Config;
use crate::ledger::LedgerId;
use crate::people::record::Person;
use crate::people::sample::{self, CLASS_SCHOOL};
use crate::people::{Roster, SubjectId};
use crate::telemetry::Telemetry;

/// Signs the tokens of invented people. Not a secret: nothing but a trial on one machine uses it.
const SECRET: &str = "klokke dev: invented people only";

/// How long the tokens of invented people are good for: a working day and some more.
const TOKEN_SECONDS: u64 = 24 * 3600;

/// Assurance level of the tokens that people begin with, and of those they step up with (NSIS low, substantial).
const LOW: u8 = 2;
const SUBSTANTIAL: u8 = 3;

/// Who signs in on the page: the login, and what they are called there, Danish first.
const PEOPLE: [(&str, &str, &str); 5] = [
    ("teacher", "lærer i 2.A", "teacher of 2.A"),
    ("leader", "skoleleder", "school leader"),
    ("parent-1", "forælder", "parent"),
    ("parent-2", "forælder", "parent"),
    ("pupil", "elev i 2.A", "pupil of 2.A"),
];

pub(super) async fn run(arguments: &Dev) -> Result<ExitCode> {
    let config = config(arguments)?;
    let telemetry = Telemetry::new();
    serve::set_up_logs(&config, &telemetry)?;
    let people = prepare(arguments, &config).await?;
    let store = offline::open_store(&config)?;
    let answer = axum::Json(json!(people));
    let door = axum::routing::get(move || async move { answer });
    let more = axum::Router::new().route("/dev/people.json", door);
    let server = serve::start(&config, store, telemetry, Some(more))?;
    let address = server.addresses.first().context("listens nowhere")?;
    greet(*address, &people, arguments.web.is_some())?;
    serve::until_told_to_stop().await?;
    server.stop(&config).await?;
    Ok(ExitCode::SUCCESS)
}

fn config(arguments: &Dev) -> Result<Config> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(arguments.port)?));
    let mut set = vec![
        format!("listen.address={address}"),
        format!("store.path={}", arguments.data.join("store").display()),
        format!("client.token.hmac_secret_key={SECRET}"),
        "api.insecure=true".to_owned(),
        "log.level=warn".to_owned(),
        // Nobody waits for a trial to end politely.
        "drain.spread=0s".to_owned(),
    ];
    if let Some(folder) = &arguments.web {
        set.push(format!("web.folder={}", folder.display()));
    }
    set.extend(arguments.set.iter().cloned());
    settings::read(None, &set)
}

/// The port asked for, or any that is free.
fn free_port(wanted: u16) -> Result<u16> {
    let asked = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted));
    let listener = match asked {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?,
    };
    Ok(listener.local_addr()?.port())
}

/// Someone of the page.
#[derive(Debug, serde::Serialize)]
struct DevPerson {
    name: String,
    role: &'static str,
    role_en: &'static str,
    unit: &'static str,
    subject: &'static str,
    token: String,
    step_up_token: String,
}

/// Makes the municipality when it is not there yet, and tokens for its people.
async fn prepare(arguments: &Dev, config: &Config) -> Result<Vec<DevPerson>> {
    let store = offline::open_store(config)?;
    let mut file = Vec::new();
    sample::write(arguments.seed, &mut file)?;
    offline::with_ledgers(store, async |ledgers| {
        let plan = import::plan(ledgers, import::read_from(file.as_slice())?, &[]).await?;
        if !plan.is_empty() {
            import::apply(ledgers, plan).await?;
        }
        let school = LedgerId::parse(CLASS_SCHOOL).context("the school's code")?;
        let names = ledgers.inspect(&school, |roster: &Roster| {
            PEOPLE.map(|(subject, ..)| name_of(roster, subject))
        });
        let names = names.await?;
        PEOPLE
            .iter()
            .zip(names)
            .map(|(person, name)| dev_person(*person, name))
            .collect()
    })
    .await
}

fn name_of(roster: &Roster, subject: &str) -> String {
    let subject = subject.parse::<SubjectId>().ok();
    let person = subject.and_then(|subject| roster.person_of(&subject).map(Person::shown_name));
    person.unwrap_or("?").to_owned()
}

fn dev_person(
    (subject, role, role_en): (&'static str, &'static str, &'static str),
    name: String,
) -> Result<DevPerson> {
    let key = SigningKey::hmac(SECRET.as_bytes());
    let mint = |loa| key.mint(&token::claims(subject, TOKEN_SECONDS, Some(loa)));
    Ok(DevPerson {
        name,
        role,
        role_en,
        unit: CLASS_SCHOOL,
        subject,
        token: mint(LOW)?,
        step_up_token: mint(SUBSTANTIAL)?,
    })
}

fn greet(address: SocketAddr, people: &[DevPerson], has_page: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nklokke is ready on {address}\n")?;
    if has_page {
        writeln!(out, "  page        http://{address}/")?;
    }
    writeln!(out, "  websocket   ws://{address}/connection/websocket")?;
    writeln!(out, "  description http://{address}/openapi.json")?;
    writeln!(out, "  figures     http://{address}/metrics\n")?;
    writeln!(
        out,
        "Connection tokens, good for a day; unit {CLASS_SCHOOL}, class 2.A:\n"
    )?;
    for person in people {
        writeln!(
            out,
            "  {} ({}, {})\n  {}\n",
            person.name, person.role, person.role_en, person.token
        )?;
    }
    writeln!(out, "Ctrl-C ends it.")?;
    Ok(out.flush()?)
}
