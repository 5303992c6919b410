//! What must hold, looked at from outside: by what was ever durable, and by what clients have shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use klokke_protocol::ChannelName;

use super::client::{Device, Shown};
use super::doers::Seen;
use super::school::{STOPPED, chat, class, is_followed, subject, town};
use super::world::World;
use crate::domain::testing::ledger as school;
use crate::ledger::{Commit, IdempotencyKey, LedgerId, State as _};
use crate::people::{Roster, Word, day};

/// What was durable, looked through once.
pub(super) struct Truth {
    written: BTreeMap<LedgerId, Vec<Arc<Commit>>>,
    /// Of each person, the channels of the school they may see after each commit of it, from the first on.
    seen: BTreeMap<u32, Vec<BTreeSet<ChannelName>>>,
    /// By which commit each offset was written, and what it says.
    entries: BTreeMap<ChannelName, Vec<(u64, bytes::Bytes)>>,
    rosters: BTreeMap<LedgerId, Roster>,
}

impl Truth {
    pub(super) fn of(world: &World, people: &[u32]) -> Self {
        let written = world.written();
        let mut truth = Self {
            seen: people.iter().map(|who| (*who, Vec::new())).collect(),
            entries: BTreeMap::new(),
            rosters: BTreeMap::new(),
            written,
        };
        for (ledger, commits) in &truth.written {
            let mut roster = Roster::new(ledger);
            for (nth, commit) in commits.iter().enumerate() {
                if commit.seq != nth as u64 + 1 {
                    world.complain(format!(
                        "{ledger} has {} where {} comes",
                        commit.seq,
                        nth + 1
                    ));
                }
                roster.apply(commit);
                for entry in &commit.entries {
                    for (channel, offset) in &entry.channels {
                        let said = truth.entries.entry(channel.clone()).or_default();
                        if *offset != said.len() as u64 + 1 {
                            world.complain(format!("{channel} has {offset} after {}", said.len()));
                        }
                        said.push((commit.seq, entry.content.full.clone()));
                    }
                }
                if *ledger == school() {
                    for (who, seen) in &mut truth.seen {
                        seen.push(sees(&roster, *who, commit.time_ms));
                    }
                }
            }
            truth.rosters.insert(ledger.clone(), roster);
        }
        truth
    }

    /// Whether somebody could see a channel of the school after one of these commits.
    fn could_see(&self, who: u32, channel: &ChannelName, from: u64, to: u64) -> bool {
        let seen = &self.seen[&who];
        (from.max(1)..=to).any(|seq| self.at(seen, seq).contains(channel))
    }

    /// Whether they could after each of them.
    fn always_saw(&self, who: u32, channel: &ChannelName, from: u64, to: u64) -> bool {
        let seen = &self.seen[&who];
        (from.max(1)..=to).all(|seq| self.at(seen, seq).contains(channel))
    }

    fn at<'a>(&self, seen: &'a [BTreeSet<ChannelName>], seq: u64) -> &'a BTreeSet<ChannelName> {
        &seen[usize::try_from(seq).unwrap_or(usize::MAX).min(seen.len()) - 1]
    }

    fn last(&self) -> u64 {
        self.written
            .get(&school())
            .map_or(0, |all| all.len() as u64)
    }

    /// What somebody may see at the end.
    pub(super) fn sees_now(&self, who: u32) -> BTreeSet<ChannelName> {
        self.seen[&who].last().cloned().unwrap_or_default()
    }

    pub(super) fn top(&self, channel: &ChannelName) -> u64 {
        self.entries
            .get(channel)
            .map_or(0, |said| said.len() as u64)
    }

    pub(super) fn commits(&self) -> u64 {
        self.written.values().map(|all| all.len() as u64).sum()
    }

    /// What is acknowledged is there, once; what is not, at most once.
    pub(super) fn check_writes(&self, world: &World, seen: &Seen) {
        let all = self.written.values().flatten();
        let mut times = BTreeMap::<&str, u32>::new();
        for key in all.filter_map(|commit| key_of(commit)) {
            *times.entry(key).or_default() += 1;
        }
        for (key, times) in &times {
            if *times > 1 {
                world.complain(format!("{key} was done {times} times"));
            }
        }
        let acknowledged = seen.acknowledged.lock().expect("one test");
        for key in acknowledged
            .iter()
            .filter(|key| !times.contains_key(key.as_str()))
        {
            world.complain(format!("{key} was acknowledged and is not kept"));
        }
        let none = Vec::new();
        let kept = self.entries.get(&chat()).unwrap_or(&none);
        for (what, is_acknowledged) in &*seen.said.lock().expect("one test") {
            let times = kept
                .iter()
                .filter(|(_, said)| said == what.as_bytes())
                .count();
            if times > 1 || (*is_acknowledged && times == 0) {
                world.complain(format!(
                    "{what}, acknowledged: {is_acknowledged}, was said {times} times"
                ));
            }
        }
    }

    /// What a device has shown is what was said, and nothing that its person could not see since.
    pub(super) fn check_device(&self, world: &World, device: &Device) {
        let memory = device.memory();
        let complain = |shown: &Shown, what: &str| {
            let Shown {
                channel,
                offset,
                head,
                ..
            } = shown;
            world.complain(format!(
                "{} was shown {channel} {offset} at {head}: {what}",
                device.who
            ));
        };
        let mut last = BTreeMap::<&ChannelName, u64>::new();
        for shown in &memory.shown {
            let before = last.insert(&shown.channel, shown.offset);
            if before.is_some_and(|before| before >= shown.offset) {
                complain(shown, "twice or out of order");
            }
            let said = self
                .entries
                .get(&shown.channel)
                .and_then(|said| said.get(usize::try_from(shown.offset).ok()?.checked_sub(1)?));
            let Some((seq, said)) = said else {
                complain(shown, "nobody said it");
                continue;
            };
            let is_domain = is_followed(&shown.channel);
            if *said != shown.data {
                complain(shown, "it was said otherwise");
            }
            if is_domain && !self.could_see(device.who, &shown.channel, *seq, shown.head) {
                complain(
                    shown,
                    &format!("said at {seq}, after the right to it was lost"),
                );
            }
        }
        for (channel, offset) in &memory.hidden {
            let said = self
                .entries
                .get(channel)
                .and_then(|said| said.get(usize::try_from(*offset).ok()?.checked_sub(1)?));
            let seq = said.map_or(0, |(seq, _)| *seq);
            // In the chat retention has removed it; in the school it must not have been theirs for a while.
            if is_followed(channel) && self.always_saw(device.who, channel, seq, self.last()) {
                world.complain(format!("{} was never shown {channel} {offset}", device.who));
            }
        }
    }

    /// Lists of posts show nothing newer than the right to see them, and are refused to nobody who has it.
    pub(super) fn check_lists(&self, world: &World, seen: &Seen) {
        let mut posted = BTreeMap::new();
        for commit in self.written.get(&school()).into_iter().flatten() {
            if let Some(key) = key_of(commit).filter(|_| &*commit.operation == "post.publish") {
                posted.insert(key, commit.seq);
            }
        }
        for list in &*seen.lists.lock().expect("one test") {
            let (before, after) = list.heads;
            match &list.titles {
                None if self.always_saw(list.who, &class(), before, after) => {
                    world.complain(format!(
                        "a list was refused to {} between {before} and {after}",
                        list.who
                    ));
                }
                None => {}
                Some(titles) => {
                    for title in titles {
                        let seq = posted.get(title.as_str()).copied().unwrap_or(u64::MAX);
                        if !self.could_see(list.who, &class(), seq, after) {
                            let who = list.who;
                            world.complain(format!(
                                "{who} was listed {title}, posted at {seq}, at {after}"
                            ));
                        }
                    }
                }
            }
        }
    }

    /// What the municipality decided is true in the school, each decision taken over once.
    pub(super) fn check_outboxes(&self, world: &World) {
        let none = Vec::new();
        let of = |ledger| self.written.get(ledger).unwrap_or(&none);
        let (town, school) = (town(), school());
        for commit in of(&town) {
            for (item, n) in commit.outbox.iter().zip(0..) {
                let key = IdempotencyKey::of_outbox(&town, commit.seq, n, item);
                let taken = of(&school)
                    .iter()
                    .filter(|it| it.idempotency.as_ref() == Some(&key));
                let times = taken.count();
                if times != 1 {
                    world.complain(format!(
                        "item {n} of {} was taken over {times} times",
                        commit.seq
                    ));
                }
            }
        }
        let stopped = |ledger| {
            self.rosters
                .get(ledger)
                .is_some_and(|it: &Roster| it.is_blocked(STOPPED))
        };
        if stopped(&town) != stopped(&school) {
            world.complain("the school has not what the municipality decided last".to_owned());
        }
    }
}

/// The idempotency key as the caller gave it.
fn key_of(commit: &Commit) -> Option<&str> {
    let key = &*commit.idempotency.as_ref()?.key;
    Some(key.strip_prefix("k/").unwrap_or(key))
}

fn sees(roster: &Roster, who: u32, now_ms: u64) -> BTreeSet<ChannelName> {
    let today = day::day_at(now_ms);
    let word = Word::of(roster, &subject(who), today);
    let channels = word
        .on(today)
        .iter()
        .flat_map(|sight| sight.channels.iter());
    channels.filter(|it| is_followed(it)).cloned().collect()
}
