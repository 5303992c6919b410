//! An agent: one thread that plays thousands of people against a server, and watches what each of them gets.
//!
//! It is told what to play by the coordinator (`control`). Everything is due at a moment that the scenario alone decides; latency
//! counts from there. Sockets are driven by readiness, so an idle person costs a socket and a few hundred bytes.

mod answers;
mod attack;
mod cast;
mod deed;
mod doing;
mod door;
mod hearing;
mod line;
mod log;
pub(crate) mod plan;
mod stage;
mod tally;
mod tls;
pub(crate) mod transport;
pub(crate) mod user;
pub(crate) mod watch;
mod world;

use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::{Events, Poll, Token, Waker};

use crate::control::{FromAgent, Setup, ToAgent, VERSION, hear, say};
use crate::procfs::{self, unix_us};
use crate::scenario::Scenario;
use crate::town;
use door::Door;
use stage::Stage;
use tls::Handshakes;
use world::World;

/// Descriptors kept for everything that is no simulated person.
const DESCRIPTORS_SPARE: u64 = 400;

/// Events taken from the kernel at once.
const EVENTS: usize = 4096;

/// Wakes the loop when the coordinator says something.
const CONTROL: Token = Token(usize::MAX - 1);

/// What `klokke-load agent` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The coordinator's control address: host:port.
    #[arg(long)]
    join: String,
    /// Files of the population on this machine, when they lie elsewhere than at the coordinator's.
    #[arg(long)]
    people: Vec<PathBuf>,
    /// A file with the server's client.token.hmac_secret_key. Each agent reads its own: it never goes over the control channel.
    #[arg(long, env = "KLOKKE_LOAD_TOKEN_SECRET_FILE")]
    token_secret_file: PathBuf,
}

impl Arguments {
    fn secret(&self) -> Result<String> {
        let path = self.token_secret_file.display();
        let secret = std::fs::read_to_string(&self.token_secret_file)
            .with_context(|| format!("cannot read the token secret from {path}"))?;
        Ok(secret.trim().to_owned())
    }
}

/// Plays until the coordinator says that it is over.
///
/// # Errors
/// When the coordinator cannot be reached or breaks off.
pub fn run(arguments: &Arguments) -> Result<()> {
    let secret = arguments.secret()?;
    let stream = TcpStream::connect(&arguments.join).with_context(|| {
        format!(
            "no coordinator answers at {}; start `klokke-load run … --listen {}` there first",
            arguments.join, arguments.join
        )
    })?;
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let hello = FromAgent::Hello {
        version: VERSION,
        sockets_max: procfs::descriptors_max().saturating_sub(DESCRIPTORS_SPARE),
        pid: std::process::id(),
    };
    say(&hello, &mut out)?;
    let poll = Poll::new().context("no readiness from the kernel")?;
    let waker = Waker::new(poll.registry(), CONTROL)?;
    let (told, tells) = channel();
    std::thread::spawn(move || listen(stream, &told, &waker));
    let mut agent = Agent {
        poll,
        tells,
        out,
        stage: None,
    };
    match agent.play(&arguments.people, &secret) {
        Ok(()) => Ok(()),
        Err(error) => {
            let why = format!("{error:#}");
            let _ = say(&FromAgent::Failed { why }, &mut agent.out); // Who is gone cannot be told.
            Err(error)
        }
    }
}

/// Hands on what the coordinator says; its end is the last thing handed on.
fn listen(stream: TcpStream, told: &Sender<ToAgent>, waker: &Waker) {
    let mut from = BufReader::new(stream);
    while let Ok(Some(message)) = hear(&mut from) {
        if told.send(message).is_err() || waker.wake().is_err() {
            return;
        }
    }
    let _ = told.send(ToAgent::End); // The loop may have ended already.
    let _ = waker.wake();
}

struct Agent {
    poll: Poll,
    tells: Receiver<ToAgent>,
    out: TcpStream,
    stage: Option<Stage>,
}

impl Agent {
    fn play(&mut self, own_people: &[PathBuf], secret: &str) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            while let Ok(told) = self.tells.try_recv() {
                if !self.obey(told, own_people, secret)? {
                    return Ok(());
                }
            }
            let timeout = match self.stage.as_mut() {
                Some(stage) => {
                    let said = stage.alarms();
                    for message in said {
                        say(&message, &mut self.out).context("the coordinator is gone")?;
                    }
                    stage.until_next()
                }
                None => Duration::from_secs(1),
            };
            match self.poll.poll(&mut events, Some(timeout)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("no readiness from the kernel"),
            }
            if let Some(stage) = self.stage.as_mut() {
                for event in events.iter().filter(|event| event.token() != CONTROL) {
                    stage.ready(event.token(), event.is_read_closed());
                }
            }
        }
    }

    /// Does what was told; `false` when it is over.
    fn obey(&mut self, told: ToAgent, own_people: &[PathBuf], secret: &str) -> Result<bool> {
        let answer = match told {
            ToAgent::Setup(setup) => {
                let stage = self.set_up(*setup, own_people, secret)?;
                let ready = FromAgent::Ready {
                    digest: stage.world.town.digest.clone(),
                    taking_part: stage.taking_part(),
                };
                self.stage = Some(stage);
                Some(ready)
            }
            ToAgent::Clock => Some(FromAgent::Clock { now_us: unix_us() }),
            ToAgent::End => return Ok(false),
            other => {
                let Some(stage) = self.stage.as_mut() else {
                    bail!("the coordinator began before it said what to do");
                };
                match other {
                    ToAgent::Start { epoch_us } => {
                        // Told late, the run began in the past: its clock is not shifted.
                        let (now, ahead_us) = (Instant::now(), epoch_us - unix_us());
                        let distance = Duration::from_micros(ahead_us.unsigned_abs());
                        let epoch = if ahead_us >= 0 {
                            Some(now + distance)
                        } else {
                            now.checked_sub(distance)
                        };
                        stage.start(epoch.unwrap_or(now), epoch_us);
                        None
                    }
                    ToAgent::Quiesce => {
                        stage.quiesce();
                        None
                    }
                    ToAgent::RollCall => {
                        stage.roll_call();
                        None
                    }
                    ToAgent::Collect => {
                        let (deeds, unsent) = stage.deeds();
                        Some(FromAgent::Collected { deeds, unsent })
                    }
                    ToAgent::Verify(deeds) => {
                        let findings = stage.verify(&deeds);
                        Some(FromAgent::Verified(findings))
                    }
                    ToAgent::Setup(_) | ToAgent::Clock | ToAgent::End => None,
                }
            }
        };
        if let Some(answer) = answer {
            say(&answer, &mut self.out).context("the coordinator is gone")?;
        }
        Ok(true)
    }

    fn set_up(&self, setup: Setup, own_people: &[PathBuf], secret: &str) -> Result<Stage> {
        if setup.version != VERSION {
            bail!(
                "the coordinator speaks version {}, this agent {VERSION}; use the same klokke-load",
                setup.version
            );
        }
        let people = if own_people.is_empty() {
            &setup.people
        } else {
            own_people
        };
        let town = town::read(people, setup.today)?;
        let scenario = Scenario::parse("the coordinator's".as_ref(), &setup.scenario)?;
        let doors = setup
            .urls
            .iter()
            .map(|url| door(url, setup.tls_ca.as_deref()));
        let doors = doors.collect::<Result<Vec<_>>>()?;
        let registry = self.poll.registry().try_clone()?;
        let world = World::new(setup, scenario, town, secret, doors, registry);
        Ok(Stage::new(world))
    }
}

/// The door of the server at an address.
fn door(url: &str, tls_ca: Option<&str>) -> Result<Door> {
    let target = crate::target::parse(url)?;
    let mut addresses = (target.host.as_str(), target.port).to_socket_addrs();
    let address: Option<SocketAddr> = addresses.as_mut().ok().and_then(Iterator::next);
    let address = address.with_context(|| format!("nobody knows the host {}", target.host))?;
    let tls = if target.is_tls {
        Some(Handshakes::new(&target.host, tls_ca)?)
    } else {
        None
    };
    Ok(Door::new(&target, address, tls))
}
