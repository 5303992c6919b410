//! One run from beginning to end: agents gathered, told, listened to, asked at the end; whatever breaks off, what there is is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::agents::{Agents, Heard};
use super::gather::Gathered;
use super::judge::{self, Ends, Return};
use super::machine::Busy;
use super::progress::{Progress, note};
use super::sampler::{self, Sample};
use super::servers::Servers;
use super::state::State;
use super::{Arguments, Outcome};
use crate::agent::plan::Plan;
use crate::control::{Fate, FromAgent, Setup, ToAgent, VERSION};
use crate::outcome::{self, FORMAT, Machine, People, Replayed, Stretch, Violations};
use crate::procfs;
use crate::scenario::{COUNTRY_LOGINS, Scenario, Shape};
use crate::target::Address;
use crate::town::{Role, Town};

/// From telling the agents until the run begins.
const BEGIN_IN: Duration = Duration::from_secs(1);
/// How long what was begun may take to end after the last stage.
const QUIET_WITHIN: Duration = Duration::from_secs(90);
/// How long everybody may take to come back at the end.
const BACK_WITHIN: Duration = Duration::from_secs(180);
/// How long agents may take to say what they did, and to find out whether all was well.
const VERIFY_WITHIN: Duration = Duration::from_secs(120);
/// Connections that one agent takes before another one is started.
const SOCKETS_OF_ONE: u64 = 19_000;

/// What is to be run.
pub(super) struct Play {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) scenario: Scenario,
    pub(super) addresses: Vec<Address>,
    pub(super) tls_ca: Option<String>,
    pub(super) today: jiff::civil::Date,
    pub(super) arguments: Arguments,
}

impl Play {
    pub(super) fn run(&self, town: &Town) -> Result<Outcome> {
        let mut servers = Servers::start(self.addresses.clone(), &self.arguments.serve)?;
        let plan = Plan::new(&self.scenario, self.arguments.speed);
        let mut agents = self.agents(town)?;
        let taking_part = self.set_up(&mut agents, town)?;
        let wanted: u64 = taking_part.iter().sum();
        ensure!(
            wanted > 0,
            "nobody takes part: raise the parts in [people] of the scenario, or use more people"
        );
        note(&format!(
            "{wanted} people take part, on {} agent(s)",
            agents.count()
        ));
        let samples = sampler::start(self.metrics());
        let began = jiff::Timestamp::now();
        let mut state = State {
            epoch: agents.start(BEGIN_IN)?,
            gathered: Gathered::default(),
            events: Vec::new(),
            taking_part,
            broken_off: None,
            aborted: None,
            abort_looked_s: 0,
            broken_since: BTreeMap::new(),
            ends: Ends::default(),
            lasted_s: 0.0,
        };
        let played = self.play(
            &plan,
            &mut agents,
            &mut servers,
            samples.as_ref(),
            &mut state,
        );
        if let Err(error) = played {
            state.broken_off.get_or_insert_with(|| format!("{error:#}"));
        }
        state.lasted_s = state.epoch.elapsed().as_secs_f64();
        let count = u32::try_from(agents.count()).unwrap_or(u32::MAX);
        drop(agents);
        Ok(self.outcome(&plan, state, town, began, count))
    }

    /// Where the servers tell their figures.
    fn metrics(&self) -> Vec<String> {
        let given = &self.arguments.metrics;
        if given.iter().any(|url| url == "none") {
            return Vec::new();
        }
        if !given.is_empty() {
            return given.clone();
        }
        if self.addresses.iter().any(|address| address.is_tls) {
            note(
                "the server's figures are not asked for over TLS: say where it tells them with --metrics http://…",
            );
            return Vec::new();
        }
        let all = self.addresses.iter();
        all.map(|it| format!("http://{}:{}/metrics", it.host, it.port))
            .collect()
    }

    fn agents(&self, town: &Town) -> Result<Agents> {
        let people = self.scenario.people;
        let most: f64 = Role::ALL
            .iter()
            .map(|role| town.count(*role) as f64 * people.of(*role))
            .sum();
        let of_one = SOCKETS_OF_ONE
            .min(procfs::descriptors_max().saturating_sub(500))
            .max(1);
        let needed = (most / of_one as f64).ceil().max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few agents"
        )]
        let needed = needed as u32;
        let own = self
            .arguments
            .agents
            .unwrap_or(if self.arguments.expect > 0 { 0 } else { needed });
        ensure!(
            own + self.arguments.expect > 0,
            "no agents: --agents 0 needs --expect"
        );
        let arguments = &self.arguments;
        Agents::gather(
            &arguments.listen,
            own,
            arguments.expect,
            &arguments.token_secret_file,
        )
    }

    fn set_up(&self, agents: &mut Agents, town: &Town) -> Result<[u64; 4]> {
        let mut people = Vec::new();
        for path in &self.arguments.people {
            people.push(std::path::absolute(path).context("a path of the people")?);
        }
        let count = u32::try_from(agents.count()).context("too many agents")?;
        let run = u32::try_from(jiff::Timestamp::now().as_millisecond() & 0xffff_ffff).unwrap_or(1);
        for nth in 0..count {
            let setup = Setup {
                version: VERSION,
                run,
                agent: nth,
                agents: count,
                scenario: self.text.clone(),
                people: people.clone(),
                today: self.today,
                urls: self.arguments.server.clone(),
                tls_ca: self.tls_ca.clone(),
                seed: self.arguments.seed,
                speed: self.arguments.speed,
            };
            agents.tell(nth as usize, &ToAgent::Setup(Box::new(setup)))?;
        }
        let mut all = [0; 4];
        for (nth, (digest, taking_part)) in agents.ready()?.into_iter().enumerate() {
            let (here, most) = (taking_part.iter().sum::<u64>(), agents.sockets_max(nth));
            ensure!(
                here <= most,
                "{here} people fall to agent {nth}, which may open {most} connections; raise its limit of open files \
                 (ulimit -n) or start more agents (--agents)"
            );
            ensure!(
                digest == town.digest,
                "an agent read other people than the coordinator: give all the same files"
            );
            for (all, some) in all.iter_mut().zip(taking_part) {
                *all += some;
            }
        }
        Ok(all)
    }

    fn play(
        &self,
        plan: &Plan,
        agents: &mut Agents,
        servers: &mut Servers,
        samples: Option<&Receiver<Sample>>,
        state: &mut State,
    ) -> Result<()> {
        static INTERRUPTED: AtomicBool = AtomicBool::new(false);
        let _ = ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)); // Without it Ctrl-C just ends.
        let ends_s = plan.ends_us() / 1_000_000;
        let (mut progress, mut busy) = (Progress::new(), Busy::default());
        let mut events: Vec<_> = self
            .scenario
            .events
            .iter()
            .map(|it| (it.at.as_secs_f64() / self.arguments.speed, it))
            .collect();
        events.sort_by(|a, b| b.0.total_cmp(&a.0));
        while state.now_s() < plan.ends_us() as f64 / 1e6 {
            ensure!(!INTERRUPTED.load(Ordering::Relaxed), "it was interrupted");
            if let Some((nth, heard)) = agents.listen(Duration::from_millis(100))? {
                state.take(nth, heard)?;
            }
            state.sample(samples, &mut busy);
            while events
                .last()
                .is_some_and(|(at_s, _)| *at_s <= state.now_s())
            {
                let Some((_, event)) = events.pop() else {
                    break;
                };
                let said = servers.happen(event)?;
                state.note(&said);
                state.disturbed();
            }
            for said in servers.go_on()? {
                state.note(&said);
            }
            let stage = plan
                .at(state.now_us())
                .map_or("", |span| self.scenario.stages[span.stage].name.as_str());
            progress.show(&state.gathered, agents.count(), stage, ends_s);
            state.must_make_sense(agents.count(), &self.arguments.server.join(", "))?;
            if let Some(why) = self.aborts(state) {
                state.aborted = Some(why);
                return Ok(());
            }
        }
        self.end(agents, samples, &mut busy, state)
    }

    /// What ends the run now: a threshold that aborts, broken for too long without a break. Looked at once a second.
    fn aborts(&self, state: &mut State) -> Option<String> {
        let mut aborting = self
            .scenario
            .thresholds
            .iter()
            .filter_map(|(name, threshold)| Some((name, threshold, threshold.abort_after?)))
            .peekable();
        if aborting.peek().is_none() || state.abort_looked_s == state.second() {
            return None;
        }
        state.abort_looked_s = state.second();
        let latencies = judge::latencies(&state.gathered);
        let roles = judge::roles(&state.gathered, state.taking_part, None);
        let figures = judge::figures(&state.gathered, &latencies, &roles, &state.ends);
        let (mut all, mut ends) = (BTreeMap::new(), None);
        for (name, threshold, after) in aborting {
            let measured = figures.get(name).copied();
            let broken = measured.filter(|it| !judge::one(name, *threshold, Some(*it)).held);
            let Some(measured) = broken else {
                continue;
            };
            let since = state.broken_since.get(name).copied();
            let since = since.unwrap_or_else(Instant::now);
            all.insert(name.clone(), since);
            if since.elapsed() >= after.div_f64(self.arguments.speed) {
                ends = Some(format!(
                    "it was ended early: {name} was {measured:.3}, for {after:?} without a break"
                ));
            }
        }
        state.broken_since = all;
        ends
    }

    /// After the last stage: all that was begun ends, everybody comes back, and is asked.
    fn end(
        &self,
        agents: &mut Agents,
        samples: Option<&Receiver<Sample>>,
        busy: &mut Busy,
        state: &mut State,
    ) -> Result<()> {
        state.ends.at_s = Some(state.second());
        state.note("nothing new is begun");
        agents.tell_all(|| ToAgent::Quiesce)?;
        self.quiet(agents, samples, busy, state, QUIET_WITHIN);
        // From here on only promises are judged: everybody comes at once, which no scenario asked for.
        state.gathered.is_over = true;
        state.note("roll call: everybody who was there comes back");
        agents.tell_all(|| ToAgent::RollCall)?;
        self.quiet(agents, samples, busy, state, BACK_WITHIN);
        agents.tell_all(|| ToAgent::Collect)?;
        let mut ticks = Vec::new();
        let collected = agents.answers(
            VERIFY_WITHIN,
            |said| match said {
                FromAgent::Collected { deeds, unsent } => Ok((deeds, unsent)),
                other => Err(other),
            },
            |other| ticks.push(other),
        )?;
        let unsent: u64 = collected.iter().map(|(_, unsent)| unsent).sum();
        let deeds: Vec<_> = collected.into_iter().flat_map(|(deeds, _)| deeds).collect();
        let unknown = deeds.iter().filter(|deed| deed.fate == Fate::Unknown);
        state.ends.unanswered = unsent + unknown.count() as u64;
        agents.tell_all(|| ToAgent::Verify(deeds.clone()))?;
        let verified = agents.answers(
            VERIFY_WITHIN,
            |said| match said {
                FromAgent::Verified(findings) => Ok(findings),
                other => Err(other),
            },
            |other| ticks.push(other),
        )?;
        for findings in verified {
            state.ends.unchecked += findings.unchecked;
            state.ends.never_in += findings.never_in;
            state.ends.expected += findings.expected;
            state.gathered.found(findings);
        }
        Ok(())
    }

    /// Waits until all agents are quiet; gives how much stayed unanswered, or `None` when they were not in time.
    fn quiet(
        &self,
        agents: &Agents,
        samples: Option<&Receiver<Sample>>,
        busy: &mut Busy,
        state: &mut State,
        within: Duration,
    ) -> Option<u64> {
        let deadline = Instant::now() + within;
        let (mut quiet, mut all) = (0, 0);
        while Instant::now() < deadline {
            match agents.listen(Duration::from_millis(100)) {
                Ok(Some((_, Heard::Said(FromAgent::Quiet { unanswered, .. })))) => {
                    quiet += 1;
                    all += unanswered;
                    if quiet == agents.count() {
                        return Some(all);
                    }
                }
                Ok(Some((nth, heard))) => {
                    if let Err(error) = state.take(nth, heard) {
                        state.broken_off.get_or_insert_with(|| format!("{error:#}"));
                        return None;
                    }
                }
                Ok(None) => {}
                Err(_) => return None,
            }
            state.sample(samples, busy);
        }
        state.note("not everything came to an end in time");
        None
    }

    fn outcome(
        &self,
        plan: &Plan,
        mut state: State,
        town: &Town,
        began: jiff::Timestamp,
        agents: u32,
    ) -> Outcome {
        state.see_normal();
        let latencies = judge::latencies(&state.gathered);
        let back = self.back(plan, &state);
        let roles = judge::roles(&state.gathered, state.taking_part, back);
        let figures = judge::figures(&state.gathered, &latencies, &roles, &state.ends);
        let thresholds = judge::judge(&self.scenario, &figures);
        let is_here = |host: &str| matches!(host, "localhost" | "::1") || host.starts_with("127.");
        let shared = self.addresses.iter().any(|it| is_here(&it.host));
        let cores = std::thread::available_parallelism()
            .map_or(1, |it| u32::try_from(it.get()).unwrap_or(1));
        let protobuf = self.scenario.people.protobuf;
        let codec = if protobuf <= 0.0 {
            "json"
        } else if protobuf >= 1.0 {
            "protobuf"
        } else {
            "mixed"
        };
        Outcome {
            format: FORMAT,
            tester: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: Replayed {
                name: self.name.clone(),
                title: self.scenario.title.clone(),
                about: self.scenario.about.clone(),
                speed: self.arguments.speed,
                seed: self.arguments.seed,
                codec: codec.to_owned(),
            },
            target: outcome::Target {
                url: self.arguments.server.join(", "),
                version: state.gathered.server_version.clone(),
            },
            people: People {
                logins: town.logins.len() as u64,
                taking_part: state.taking_part.iter().sum(),
                share_of_country: town.logins.len() as f64 / COUNTRY_LOGINS,
            },
            machine: Machine {
                cores,
                memory_bytes: procfs::memory_bytes(),
                agents,
                shared_with_server: shared,
            },
            began: began.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            lasted_s: state.lasted_s,
            verdict: judge::verdict(
                &thresholds,
                state.broken_off.as_deref(),
                state.aborted.as_deref(),
                state.seen_broken().as_deref(),
            ),
            figures,
            thresholds,
            latencies,
            roles,
            violations: Violations {
                deliveries_checked: state.gathered.deliveries,
                deliveries_expected: state.ends.expected,
                counts: state.gathered.violations.clone(),
                evidence: state.gathered.evidence.clone(),
            },
            errors: state.gathered.errors.clone(),
            stages: plan
                .spans
                .iter()
                .map(|span| Stretch {
                    name: self.scenario.stages[span.stage].name.clone(),
                    from_s: span.from_us as f64 / 1e6,
                    to_s: span.to_us as f64 / 1e6,
                })
                .collect(),
            curve: state.gathered.curve(),
            bottleneck: judge::bottleneck(&state.gathered, cores, shared),
            events: state.events,
        }
    }

    /// When everybody had to come back: after the first event, or in the largest rush.
    fn back(&self, plan: &Plan, state: &State) -> Option<Return> {
        let ends_s = plan.ends_us() / 1_000_000;
        if let Some(from_s) = state.ends.disturbed_s {
            return Some(Return {
                from_s,
                until_s: ends_s,
                by_plan: true,
            });
        }
        let grows = |span: &&crate::agent::plan::Span| -> f64 {
            let parts = span.after.iter().zip(&span.before).zip(state.taking_part);
            parts
                .map(|((after, before), people)| (after - before) * people as f64)
                .sum()
        };
        let rushes = plan
            .spans
            .iter()
            .filter(|span| self.scenario.stages[span.stage].shape == Shape::Rush);
        let largest = rushes
            .filter(|span| grows(span) > 0.0)
            .max_by(|a, b| grows(a).total_cmp(&grows(b)))?;
        // Until the next stage in which somebody leaves.
        let leaves =
            |span: &&crate::agent::plan::Span| span.from_us >= largest.to_us && grows(span) < 0.0;
        let until = plan
            .spans
            .iter()
            .find(leaves)
            .map_or(plan.ends_us(), |span| span.from_us);
        Some(Return {
            from_s: largest.from_us / 1_000_000,
            until_s: until / 1_000_000,
            by_plan: false,
        })
    }
}
