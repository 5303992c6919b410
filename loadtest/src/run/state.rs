//! What happens while a run plays: what was gathered, what was noted, and whether it makes sense to go on.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::agents::Heard;
use super::gather::Gathered;
use super::judge::Ends;
use super::machine::Busy;
use super::normal::normal_s;
use super::progress::note;
use super::sampler::Sample;
use crate::agent::transport::UNTRUSTED;
use crate::control::FromAgent;
use crate::outcome::Event;

/// Nobody connected for this long, though many should be: the server is gone for good.
const ALONE_MAX_S: u64 = 60;
/// Refused at connect this often, with nobody let in: it will not get better.
const REFUSED_ENOUGH: u64 = 20;

/// What happens while it runs.
pub(super) struct State {
    pub(super) gathered: Gathered,
    pub(super) events: Vec<Event>,
    pub(super) taking_part: [u64; 4],
    pub(super) epoch: Instant,
    pub(super) broken_off: Option<String>,
    /// Why a threshold ended it before its time.
    pub(super) aborted: Option<String>,
    pub(super) abort_looked_s: u64,
    /// Since when thresholds that abort are broken.
    pub(super) broken_since: BTreeMap<String, Instant>,
    pub(super) ends: Ends,
    pub(super) lasted_s: f64,
}

impl State {
    pub(super) fn now_s(&self) -> f64 {
        self.epoch.elapsed().as_secs_f64()
    }

    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn second(&self) -> u64 {
        self.epoch.elapsed().as_secs()
    }

    pub(super) fn note(&mut self, what: &str) {
        note(&format!("{:.1} s: {what}", self.now_s()));
        self.events.push(Event {
            at_s: self.now_s(),
            what: what.to_owned(),
            ..Event::default()
        });
    }

    /// What was noted last was done to the servers.
    pub(super) fn disturbed(&mut self) {
        let second = self.second();
        self.ends.disturbed_s.get_or_insert(second);
        if let Some(event) = self.events.last_mut() {
            event.disturbs = true;
        }
    }

    /// Finds out how long it took after each disturbance until everything was as before.
    pub(super) fn see_normal(&mut self) {
        let Some(mut until_s) = self.ends.at_s else {
            return;
        };
        let mut longest = Some(0.0_f64);
        for event in self.events.iter_mut().rev().filter(|event| event.disturbs) {
            let (from_s, found) = normal_s(&self.gathered.seconds, event.at_s, until_s);
            event.normal_s = found;
            longest = longest.zip(found).map(|(all, one)| all.max(one));
            until_s = from_s;
        }
        self.ends.normal_s = longest.filter(|_| self.ends.disturbed_s.is_some());
    }

    pub(super) fn take(&mut self, nth: usize, heard: Heard) -> Result<()> {
        match heard {
            Heard::Said(FromAgent::Tick(tick)) => self.gathered.tick(nth, *tick),
            Heard::Said(FromAgent::Failed { why }) => anyhow::bail!("agent {nth}: {why}"),
            Heard::Said(_) => {}
            Heard::Gone => anyhow::bail!("agent {nth} died {:.1} s into the run", self.now_s()),
        }
        Ok(())
    }

    pub(super) fn sample(&mut self, samples: Option<&Receiver<Sample>>, busy: &mut Busy) {
        for sample in samples.into_iter().flat_map(Receiver::try_iter) {
            // A second is named by its end.
            let at = sample.at.saturating_duration_since(self.epoch).as_secs() + 1;
            self.gathered.sample(at, sample, busy.since());
        }
    }

    /// Promises seen broken so far, as a sentence. Channels that are missing are what a server without these people shows.
    pub(super) fn seen_broken(&self) -> Option<String> {
        let kinds = self.gathered.violations.iter();
        let kinds = kinds.filter(|(kind, _)| *kind != "missing_channel");
        let all: Vec<String> = kinds
            .map(|(kind, count)| format!("{kind}: {count}"))
            .collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// Ends a run that cannot become one, with a sentence that helps.
    pub(super) fn must_make_sense(&self, agents: usize, server: &str) -> Result<()> {
        let gathered = &self.gathered;
        let count = |name: &str| gathered.errors.get(name).copied().unwrap_or(0);
        ensure!(
            gathered.connects > 0 || count("disconnect 3500") < REFUSED_ENOUGH,
            "the server refuses the tokens (3500): give its client.token.hmac_secret_key with --token-secret-file"
        );
        ensure!(
            gathered.connects > 0 || count(UNTRUSTED) < REFUSED_ENOUGH,
            "TLS fails: either the server's certificate is for another name, or nobody here trusts who signed it; give that one's with --tls-ca"
        );
        let strangers = gathered
            .violations
            .get("missing_channel")
            .copied()
            .unwrap_or(0);
        ensure!(
            gathered.deliveries > 0
                || gathered.connects < REFUSED_ENOUGH
                || strangers < gathered.connects,
            "the server does not know these people: import the files first (klokke import), and give the same ones with --people"
        );
        let Some((at, _)) = gathered.latest(agents) else {
            return Ok(());
        };
        let alone = gathered.seconds.range(at.saturating_sub(ALONE_MAX_S)..=at);
        let is_alone = at > ALONE_MAX_S
            && alone
                .clone()
                .all(|(_, second)| second.online.iter().sum::<u64>() == 0)
            && alone
                .clone()
                .all(|(_, second)| second.planned.iter().sum::<u64>() > 0);
        ensure!(
            !is_alone,
            "nobody has been connected to {server} for {ALONE_MAX_S} s: it is gone"
        );
        Ok(())
    }
}
