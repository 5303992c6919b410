//! What coordinator and agents say to each other: one JSON object a line over one TCP connection an agent.
//!
//! It is small on purpose: the scenario, the beginning, a summary a second, and at the end what was done and what was found.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::outcome::Evidence;
use crate::scenario::Action;
use crate::town::{GroupIx, LoginIx, ProfileIx};

/// Version of this language; both sides must be of the same.
pub const VERSION: u32 = 3;

/// Longest line. All actions of a long run are the largest: about 100 bytes each.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// What an agent is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToAgent {
    /// What to do. The answer is [`FromAgent::Ready`] or [`FromAgent::Failed`].
    Setup(Box<Setup>),
    /// What time is it there?
    Clock,
    /// The run begins.
    Start {
        /// When, in microseconds since 1970 by the agent's own clock.
        epoch_us: i64,
    },
    /// No new actions: bring to an end what was begun, then say [`FromAgent::Quiet`].
    Quiesce,
    /// Everybody who was ever there comes back, so that what they missed is recovered; then [`FromAgent::Quiet`].
    RollCall,
    /// Say what was done.
    Collect,
    /// All that was done by all agents: find out whether everybody saw what they should.
    Verify(Vec<Deed>),
    /// It is over.
    End,
}

/// What an agent is told to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// [`VERSION`] of the coordinator.
    pub version: u32,
    /// This run's number, in every mark.
    pub run: u32,
    /// Which agent this is.
    pub agent: u32,
    /// Of how many.
    pub agents: u32,
    /// The scenario's text.
    pub scenario: String,
    /// Files of the population, unless the agent was given its own.
    pub people: Vec<PathBuf>,
    /// The day on which it is decided who sees what.
    pub today: jiff::civil::Date,
    /// The servers' addresses: `ws://host:port/connection/websocket`, or `wss`.
    pub urls: Vec<String>,
    /// Certificates (PEM) that are trusted over TLS; without them those of the agent's machine are.
    pub tls_ca: Option<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// How many times faster than written.
    pub speed: f64,
}

/// What an agent tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromAgent {
    /// Who it is.
    Hello {
        /// [`VERSION`] of the agent.
        version: u32,
        /// Connections it can hold.
        sockets_max: u64,
        /// Its process, for messages.
        pid: u32,
    },
    /// Its clock, in microseconds since 1970.
    Clock {
        /// The time.
        now_us: i64,
    },
    /// It can begin.
    Ready {
        /// Fingerprint of its population.
        digest: String,
        /// Who of it takes part, by role in order.
        taking_part: [u64; 4],
    },
    /// It cannot go on, and why.
    Failed {
        /// A sentence.
        why: String,
    },
    /// The last second.
    Tick(Box<Tick>),
    /// Nothing is under way any more.
    Quiet {
        /// People who should be there and are not.
        missing: u64,
        /// Actions without an answer.
        unanswered: u64,
    },
    /// What it did.
    Collected {
        /// What was sent.
        deeds: Vec<Deed>,
        /// How much was due and never could be sent.
        unsent: u64,
    },
    /// What it found.
    Verified(Findings),
}

/// A summary of one second.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tick {
    /// Its end, in microseconds since the run began.
    pub at_us: u64,
    /// Who should be online, by role.
    pub planned: [u64; 4],
    /// Who is.
    pub online: [u64; 4],
    /// Connects granted, by role.
    pub connects: [u64; 4],
    /// Connects refused for the moment, by role.
    pub waits: [u64; 4],
    /// Actions due.
    pub due: u64,
    /// Actions that nobody was online to do: at the very beginning of a ramp.
    #[serde(default)]
    pub skipped: u64,
    /// Actions acknowledged.
    pub acked: u64,
    /// Publications delivered.
    pub deliveries: u64,
    /// Errors by name.
    pub errors: BTreeMap<String, u64>,
    /// Violations by kind.
    pub violations: BTreeMap<String, u64>,
    /// The first of each kind.
    pub evidence: Vec<Evidence>,
    /// Latencies by name: (microseconds, how often).
    pub spreads: BTreeMap<String, Vec<(u64, u64)>>,
    /// CPU used so far, in microseconds.
    pub cpu_us: u64,
    /// Memory resident now.
    pub resident_bytes: u64,
    /// The server's version, once it was told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server: String,
}

/// For whom something was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Everybody who sees a group: in their personal channels, and the sender.
    ThreadOf(GroupIx),
    /// Everybody who sees a group: on its wall.
    Wall(GroupIx),
    /// A child's adults: in their personal channels.
    Adults {
        /// The child.
        child: ProfileIx,
        /// Whether it is a thread, which its sender sees too.
        with_sender: bool,
    },
    /// One profile, and the sender.
    One(ProfileIx),
    /// Everybody of a unit and below: on its wall. The unit is that of this profile, who sent it.
    UnitOf(ProfileIx),
}

/// What became of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Not answered: it may or may not have happened.
    Unknown,
    /// Acknowledged: everybody concerned must see it.
    Acked,
    /// Refused: nobody may see it.
    Refused,
}

/// An action that was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deed {
    /// Its id, as in the mark.
    pub id: u64,
    /// What it was.
    pub action: Action,
    /// The profile that acted.
    pub by: ProfileIx,
    /// Its login.
    pub login: LoginIx,
    /// For whom.
    pub to: Target,
    /// Whether it was sensitive.
    pub sensitive: bool,
    /// When it was first sent, in microseconds since the run began.
    pub sent_us: u64,
    /// When it was acknowledged.
    pub acked_us: u64,
    /// What became of it.
    pub fate: Fate,
    /// Number of the message that the server made of it, for those who only see a bare signal.
    pub message: u32,
}

/// What an agent found at the end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Findings {
    /// Deliveries looked for.
    pub expected: u64,
    /// Deliveries seen.
    pub seen: u64,
    /// People who were not there at the end and could not be checked.
    pub unchecked: u64,
    /// People who wanted to come and never were let in.
    pub never_in: u64,
    /// Violations by kind.
    pub violations: BTreeMap<String, u64>,
    /// The first of each kind.
    pub evidence: Vec<Evidence>,
}

/// Writes one message.
///
/// # Errors
/// When the other side is gone.
pub fn say(message: &impl Serialize, to: &mut impl Write) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Reads one message; `None` when the other side has ended.
///
/// # Errors
/// When it cannot be read or understood.
pub fn hear<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let read = io::Read::take(from, LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}
