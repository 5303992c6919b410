//! `klokke dev`: an invented municipality to try things on, with tokens to paste and a page to open.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::cli::Dev;
use super::{import, offline, serve, settings, stores, token};
use crate::auth::mint::SigningKey;
use crate::config::Config;
use crate::ledger::LedgerId;
use crate::people::record::Person;
use crate::people::sample::{self, CLASS_SCHOOL};
use crate::people::{Roster, SubjectId};
use crate::telemetry::{Meters, Telemetry};

/// Signs the tokens of invented people. Not a secret: nothing but a trial on one machine uses it.
const SECRET: &str = "klokke dev: invented people only";

/// How long the tokens of invented people are good for: a working day and some more.
const TOKEN_SECONDS: u64 = 24 * 3600;

/// Assurance level of the tokens that people begin with, and of those they step up with (NSIS low, substantial).
const LOW: u8 = 2;
const SUBSTANTIAL: u8 = 3;

/// Somebody who signs in on the page.
struct Cast {
    /// The login.
    subject: &'static str,
    /// What programs know the part by.
    role: &'static str,
    /// What people read.
    danish: &'static str,
    /// The same in English.
    english: &'static str,
}

const fn cast(
    subject: &'static str,
    role: &'static str,
    danish: &'static str,
    english: &'static str,
) -> Cast {
    Cast {
        subject,
        role,
        danish,
        english,
    }
}

/// Who signs in on the page; their class, the child and its parents belong together.
const CAST: [Cast; 5] = [
    cast("teacher", "teacher", "lærer i 2.A", "teacher of 2.A"),
    cast("leader", "leader", "skoleleder", "school leader"),
    cast(
        "parent-1",
        "parent",
        "forælder til elev i 2.A",
        "parent of a pupil of 2.A",
    ),
    cast(
        "parent-2",
        "parent",
        "forælder til samme elev",
        "parent of the same pupil",
    ),
    cast("pupil", "pupil", "elev i 2.A", "pupil of 2.A"),
];

pub(super) async fn run(arguments: &Dev) -> Result<ExitCode> {
    let config = config(arguments)?;
    let telemetry = Telemetry::new();
    serve::set_up_logs(&config, &telemetry)?;
    let people = prepare(arguments, &config).await?;
    let store = stores::open(&config, stores::Missing::Make, telemetry.meters()).await?;
    let door = {
        let people = people.clone();
        axum::routing::get(move || std::future::ready(served(&people)))
    };
    let more = axum::Router::new().route("/dev/people.json", door);
    let server = serve::start(&config, store, telemetry, Some(more)).await?;
    let address = server.addresses.first().context("listens nowhere")?;
    greet(*address, &people, arguments.web.is_some())?;
    super::leave::until_told_to_stop(server, &config).await
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
#[derive(Debug, Clone, serde::Serialize)]
struct DevPerson {
    subject: &'static str,
    role: &'static str,
    role_da: &'static str,
    role_en: &'static str,
    name: String,
    unit: &'static str,
    unit_name: String,
    token: String,
}

/// Makes the municipality when it is not there yet, and tokens for its people.
async fn prepare(arguments: &Dev, config: &Config) -> Result<Vec<DevPerson>> {
    let store = stores::open(config, stores::Missing::Make, Meters::default()).await?;
    let mut file = Vec::new();
    sample::write(arguments.seed, &mut file)?;
    offline::with_ledgers(store, async |ledgers| {
        let plan = import::plan(ledgers, import::read_from(file.as_slice())?, &[]).await?;
        if !plan.is_empty() {
            import::apply(ledgers, plan).await?;
        }
        let school = LedgerId::parse(CLASS_SCHOOL).context("the school's code")?;
        let names = ledgers.inspect(&school, |roster: &Roster| {
            let unit = roster.unit().map(|unit| unit.name.clone());
            (unit, CAST.map(|cast| name_of(roster, cast.subject)))
        });
        let (unit, names) = names.await?;
        let unit_name = unit.unwrap_or_default();
        CAST.iter()
            .zip(names)
            .map(|(cast, name)| dev_person(cast, name, unit_name.clone()))
            .collect()
    })
    .await
}

fn name_of(roster: &Roster, subject: &str) -> String {
    let subject = subject.parse::<SubjectId>().ok();
    let person = subject.and_then(|subject| roster.person_of(&subject).map(Person::shown_name));
    person.unwrap_or("?").to_owned()
}

fn dev_person(cast: &Cast, name: String, unit_name: String) -> Result<DevPerson> {
    Ok(DevPerson {
        subject: cast.subject,
        role: cast.role,
        role_da: cast.danish,
        role_en: cast.english,
        name,
        unit: CLASS_SCHOOL,
        unit_name,
        token: mint(cast.subject, LOW)?,
    })
}

/// A token of a login that happened just now.
fn mint(subject: &str, loa: u8) -> Result<String> {
    let key = SigningKey::hmac(SECRET.as_bytes());
    Ok(key.mint(&token::claims(subject, TOKEN_SECONDS, Some(loa)))?)
}

/// The people with a strong login each, made for whoever asks: one from when the server started would have lapsed
/// after twenty minutes.
fn served(people: &[DevPerson]) -> std::result::Result<axum::Json<Value>, http::StatusCode> {
    let with_login = people.iter().map(|person| {
        let mut shown = json!(person);
        shown["step_up_token"] = mint(person.subject, SUBSTANTIAL)?.into();
        Ok(shown)
    });
    let all: Result<Vec<Value>> = with_login.collect();
    all.map(|all| axum::Json(Value::Array(all)))
        .map_err(|_| http::StatusCode::INTERNAL_SERVER_ERROR)
}

fn greet(address: SocketAddr, people: &[DevPerson], has_page: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nklokke is ready on {address}\n")?;
    if has_page {
        writeln!(out, "  page        http://{address}/")?;
        writeln!(
            out,
            "              http://{address}/?as=0,2 signs in as the teacher and a parent"
        )?;
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
            person.name, person.role_da, person.role_en, person.token
        )?;
    }
    writeln!(
        out,
        "Newer, stronger logins for session.step_up: http://{address}/dev/people.json\nCtrl-C ends it."
    )?;
    Ok(out.flush()?)
}
