//! Scenarios: readable TOML files, parsed into what is known to be possible.
//!
//! Rates are of the whole country; a run multiplies them by the part of the country's logins it has. Unknown keys, unknown names
//! and stages that cannot be are refused with a sentence, before anything is started.

mod figure;
mod time;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use figure::is_known as is_known_figure;

use crate::town::Role;

/// Logins of the whole country, to which rates refer: everybody of the invented country but the children in daycare
/// (docs/population.md).
pub const COUNTRY_LOGINS: f64 = 1_765_511.0;

/// What people do. Check-ins are notices of staff to the child's guardians until attendance is there.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A child is checked in or out at the door: its guardians are notified.
    CheckIn,
    /// A member of staff writes to a class: a thread with everybody who sees it.
    Message,
    /// A guardian writes to one member of staff, or staff to one guardian.
    Direct,
    /// Staff write something sensitive to a child's guardians, in a session that stepped up.
    Sensitive,
    /// A post on a class's wall.
    ClassPost,
    /// A post of the town hall on the wall of the whole municipality.
    Notice,
    /// Somebody looks at their threads.
    Browse,
}

impl Action {
    /// All, in order.
    pub const ALL: [Self; 7] = [
        Self::CheckIn,
        Self::Message,
        Self::Direct,
        Self::Sensitive,
        Self::ClassPost,
        Self::Notice,
        Self::Browse,
    ];

    /// Its name in files and results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CheckIn => "check_in",
            Self::Message => "message",
            Self::Direct => "direct",
            Self::Sensitive => "sensitive",
            Self::ClassPost => "class_post",
            Self::Notice => "notice",
            Self::Browse => "browse",
        }
    }
}

/// A scenario.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its title.
    pub title: String,
    /// What it stands for.
    pub about: String,
    /// Who takes part.
    #[serde(default)]
    pub people: Taking,
    /// What they do besides the rates.
    #[serde(default)]
    pub behaviour: Behaviour,
    /// What happens, in order.
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
    /// What happens once.
    #[serde(default, rename = "event")]
    pub events: Vec<Event>,
    /// What must hold, by figure.
    #[serde(default)]
    pub thresholds: BTreeMap<String, Threshold>,
}

/// The part of each role's logins that takes part, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Taking {
    /// Of staff.
    pub staff: f64,
    /// Of guardians.
    pub guardian: f64,
    /// Of pupils.
    pub pupil: f64,
    /// Of others.
    pub other: f64,
    /// Of those adults, the part that comes with a fresh and strong login.
    pub stepped_up: f64,
    /// The part that speaks Protobuf; the others speak JSON.
    pub protobuf: f64,
}

impl Default for Taking {
    fn default() -> Self {
        Self {
            staff: 1.0,
            guardian: 1.0,
            pupil: 1.0,
            other: 1.0,
            stepped_up: 0.3,
            protobuf: 0.3,
        }
    }
}

impl Taking {
    /// The part of a role.
    #[must_use]
    pub const fn of(&self, role: Role) -> f64 {
        match role {
            Role::Staff => self.staff,
            Role::Guardian => self.guardian,
            Role::Pupil => self.pupil,
            Role::Other => self.other,
        }
    }
}

/// What everybody does who comes online.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// Asks for the first screen right after connecting.
    pub first_screen: bool,
    /// The part of people who then look at their threads.
    pub browses: f64,
    /// How long they think before each look, on average; counted from when it was due, not from when the last one was answered.
    #[serde(with = "time")]
    pub think: Duration,
    /// How many times they look.
    pub looks: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            first_screen: true,
            browses: 0.3,
            think: Duration::from_secs(20),
            looks: 2,
        }
    }
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How long it lasts.
    #[serde(with = "time")]
    pub lasts: Duration,
    /// Who is online at its end, of those who take part; left out, as at the end of the stage before.
    #[serde(default)]
    pub online: Option<Online>,
    /// How they come and go.
    #[serde(default)]
    pub shape: Shape,
    /// The part of those online who lose their network each minute, and come back.
    #[serde(default)]
    pub drops: f64,
    /// What is done, a second in the whole country.
    #[serde(default)]
    pub rates: BTreeMap<Action, f64>,
    /// What somebody hostile does, a second, whatever the size of the population.
    #[serde(default)]
    pub attack: BTreeMap<Attack, f64>,
}

/// The part of those who take part that is online, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Online {
    /// The same for everybody.
    Everybody(f64),
    /// By role; who is left out stays as they were.
    ByRole(OnlineByRole),
}

/// See [`Online`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnlineByRole {
    staff: Option<f64>,
    guardian: Option<f64>,
    pupil: Option<f64>,
    other: Option<f64>,
}

impl Online {
    /// The part of a role, when it is said.
    #[must_use]
    pub const fn of(&self, role: Role) -> Option<f64> {
        match (self, role) {
            (Self::Everybody(part), _) => Some(*part),
            (Self::ByRole(by), Role::Staff) => by.staff,
            (Self::ByRole(by), Role::Guardian) => by.guardian,
            (Self::ByRole(by), Role::Pupil) => by.pupil,
            (Self::ByRole(by), Role::Other) => by.other,
        }
    }
}

/// How people come and go over a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// As many each second.
    #[default]
    Even,
    /// Most at once: half of them within the first fifth.
    Rush,
}

/// What somebody hostile does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attack {
    /// Connects with a token of nobody's key.
    WrongToken,
    /// Connects and sends a frame far beyond any limit.
    HugeFrame,
    /// Sends bytes that are no HTTP.
    Garbage,
    /// Connects and says nothing.
    Silent,
}

/// Something that happens once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, since the beginning.
    #[serde(with = "time")]
    pub at: Duration,
    /// What.
    #[serde(rename = "do")]
    pub what: Happening,
    /// To which server, in the order of their addresses.
    #[serde(default = "first")]
    pub server: usize,
    /// For how long.
    #[serde(default, with = "time::optional")]
    pub lasts: Option<Duration>,
    /// The command that is run, by the shell of the coordinator's machine.
    #[serde(default)]
    pub command: Option<String>,
}

const fn first() -> usize {
    1
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// The server (or a node of it) is killed without warning and started again.
    KillServer,
    /// It is stopped for a time and goes on as if nothing had been.
    PauseServer,
    /// It is asked to leave, and started again when it has.
    RollServer,
    /// A command is run: for faults that only the operator of what is tested can make.
    Run,
}

impl Event {
    /// What is wrong with it, as a sentence.
    fn impossible(&self) -> Option<String> {
        let (needs_time, needs_command) = (
            self.what == Happening::PauseServer,
            self.what == Happening::Run,
        );
        let at = self.at;
        if self.server == 0 {
            return Some(format!(
                "the event at {at:?} names server 0; they are counted from 1"
            ));
        }
        if needs_time != self.lasts.is_some() {
            let what = "a pause, and nothing else, says how long it lasts, as in lasts = \"20s\"";
            return Some(format!("the event at {at:?}: {what}"));
        }
        if needs_command != self.command.is_some() {
            let what = "run, and nothing else, has a command";
            return Some(format!("the event at {at:?}: {what}"));
        }
        None
    }
}

/// A bound of a figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Threshold {
    /// Most.
    pub at_most: Option<f64>,
    /// Least.
    pub at_least: Option<f64>,
    /// Ends the run when it has been broken for this long without a break: a grace in which a restart of the server, which
    /// people survive, may pass.
    #[serde(with = "time::optional")]
    pub abort_after: Option<Duration>,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read the scenario {path}; `klokke-load scenarios` lists those there are")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or has keys or names that are not known.
    #[error("the scenario {path} cannot be understood")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// It says something that cannot be.
    #[error("the scenario {path} cannot be run: {what}")]
    Impossible {
        /// Which.
        path: PathBuf,
        /// What, and what would be possible.
        what: String,
    },
}

/// Longest a scenario may last: two days, so that a slip in a unit is seen.
const LASTS_MAX: Duration = Duration::from_secs(48 * 3600);

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, understood or run.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Parses the text of a file.
    ///
    /// # Errors
    /// When it cannot be understood or run.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|source| ScenarioError::Malformed {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        match scenario.impossible() {
            Some(what) => Err(ScenarioError::Impossible {
                path: path.to_owned(),
                what,
            }),
            None => Ok(scenario),
        }
    }

    /// How long it lasts as written.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.stages.iter().map(|stage| stage.lasts).sum()
    }

    fn impossible(&self) -> Option<String> {
        let part = |what: &str, value: f64| {
            (!(0.0..=1.0).contains(&value))
                .then(|| format!("{what} is {value}; a part lies between 0 and 1"))
        };
        let people = &self.people;
        let mut parts: Vec<(String, f64)> = vec![
            ("people.stepped_up".into(), people.stepped_up),
            ("people.protobuf".into(), people.protobuf),
            ("behaviour.browses".into(), self.behaviour.browses),
        ];
        parts.extend(Role::ALL.map(|role| (format!("people.{}", role.name()), people.of(role))));
        if self.stages.is_empty() {
            return Some("it has no stage".into());
        }
        for stage in &self.stages {
            let name = &stage.name;
            if stage.lasts.is_zero() {
                return Some(format!("stage \"{name}\" lasts no time"));
            }
            parts.push((format!("drops of stage \"{name}\""), stage.drops));
            let online = stage
                .online
                .iter()
                .flat_map(|online| Role::ALL.map(|role| online.of(role)));
            parts.extend(
                online
                    .flatten()
                    .map(|it| (format!("online of stage \"{name}\""), it)),
            );
            let rates = stage.rates.values().chain(stage.attack.values());
            if rates
                .into_iter()
                .any(|rate| !rate.is_finite() || *rate < 0.0)
            {
                return Some(format!("stage \"{name}\" has a rate below 0"));
            }
        }
        if self.lasts() > LASTS_MAX {
            return Some("it lasts longer than two days".into());
        }
        if let Some(event) = self.events.iter().find(|event| event.at >= self.lasts()) {
            return Some(format!("an event at {:?} comes after its end", event.at));
        }
        if let Some(what) = self.events.iter().find_map(Event::impossible) {
            return Some(what);
        }
        for (figure, threshold) in &self.thresholds {
            if !figure::is_known(figure) {
                return Some(format!(
                    "there is no figure \"{figure}\" to set a threshold for; there are {}",
                    figure::EXAMPLES
                ));
            }
            if threshold.at_most.is_none() && threshold.at_least.is_none() {
                return Some(format!(
                    "the threshold of \"{figure}\" has neither at_most nor at_least"
                ));
            }
        }
        parts
            .into_iter()
            .find_map(|(what, value)| part(&what, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        title = "T"
        about = "A"
        [[stage]]
        name = "s"
        lasts = "1m 30s"
        online = { staff = 1.0 }
        rates = { message = 170.0 }
        [thresholds]
        "delivery.message.p99_ms" = { at_most = 500.0 }
    "#;

    fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse(Path::new("small.toml"), text)
    }

    #[test]
    fn a_small_one_is_read() {
        let scenario = parse(SMALL).expect("it is sound");
        assert_eq!(scenario.lasts(), Duration::from_secs(90));
        let online = scenario.stages[0].online.expect("said");
        assert_eq!(
            (online.of(Role::Staff), online.of(Role::Pupil)),
            (Some(1.0), None)
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_sentence() {
        for (from, to, says) in [
            ("rates", "ratse", "unknown field `ratse`"),
            ("message =", "mesage =", "unknown variant `mesage`"),
            ("1m 30s", "0s", "lasts no time"),
            ("1m 30s", "soon", "such as 90s, 30m or 1h 30m"),
            ("staff = 1.0", "staff = 1.5", "between 0 and 1"),
            ("170.0", "-1.0", "below 0"),
            ("p99_ms", "p98_ms", "no figure"),
            ("{ at_most = 500.0 }", "{}", "neither"),
        ] {
            let refused = parse(&SMALL.replace(from, to)).expect_err(says);
            let told = format!("{:#}", anyhow::Error::from(refused));
            assert_eq!(told.matches(says).count(), 1, "once: {told}");
        }
    }

    #[test]
    fn an_event_says_what_it_needs_and_nothing_else() {
        for (event, says) in [
            ("do = \"kill_server\"\nserver = 0", "counted from 1"),
            ("do = \"pause_server\"", "how long it lasts"),
            ("do = \"kill_server\"\nlasts = \"1s\"", "how long it lasts"),
            ("do = \"run\"", "has a command"),
            ("do = \"roll_server\"\ncommand = \"true\"", "has a command"),
        ] {
            let text = format!("{SMALL}\n[[event]]\nat = \"9s\"\n{event}\n");
            let refused = parse(&text).expect_err(says);
            assert!(refused.to_string().contains(says), "{refused}");
        }
        let text = format!(
            "{SMALL}\n[[event]]\nat = \"9s\"\ndo = \"pause_server\"\nserver = 3\nlasts = \"20s\"\n"
        );
        let event = parse(&text).expect("sound").events.remove(0);
        assert_eq!(
            (event.server, event.lasts),
            (3, Some(Duration::from_secs(20)))
        );
    }

    #[test]
    fn every_scenario_of_the_folder_can_be_run_and_says_what_it_stands_for() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files: Vec<_> = folder
            .read_dir()
            .expect("the folder is there")
            .flatten()
            .collect();
        assert!(files.len() >= 9, "{} scenarios", files.len());
        for file in files {
            let text = std::fs::read_to_string(file.path()).expect("readable");
            assert!(
                text.starts_with("# "),
                "{}: begins with a comment",
                file.path().display()
            );
            let read = Scenario::read(&file.path());
            assert!(read.is_ok(), "{}", read.expect_err("not sound"));
        }
    }
}
