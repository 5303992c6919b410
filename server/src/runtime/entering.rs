//! What a person may see in the domain: asked of their units' ledgers when they come and when the day
//! turns, and told by each commit that changes it.
//!
//! Answers come through the same queue as the ledgers' commits, so the last word heard of a unit is its
//! latest. A word says what is seen today and tomorrow, so the day turns here without asking. A session is always given everything its person may see by all units together: a channel that
//! two units open is lost only when both say so.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use klokke_protocol::{ErrorCode, ErrorReply};

use super::connections::{Entering, Person};
use super::positions::Tops;
use super::shard::Shard;
use crate::domain::OperationError;
use crate::hub::ConnKey;
use crate::ledger::{CallError, LedgerId, ShardAnswer};
use crate::people::{Scope, SubjectId, Word, day};
use crate::session::{Answer, Identity, Ticket};

/// When a ledger could not say what somebody sees, it is asked again this much later: by then a store that was
/// away for a moment is back, and one that is damaged is not asked often.
const UNKNOWN_RETRY: Duration = Duration::from_secs(5);

/// A ledger's answer: what each login sees by its word, at one place of its order.
struct Looked {
    ledger: LedgerId,
    found: Vec<(SubjectId, Said)>,
}

/// What a ledger says of a login.
enum Said {
    /// This.
    Word(Word),
    /// Nothing for now: its store is away.
    Away,
    /// Nothing: it is damaged.
    Damaged,
}

/// Asks a ledger; the answer comes back to the shard in order with the ledger's commits.
fn look(shard: &Shard, ledger: &LedgerId, subjects: Vec<SubjectId>) -> Result<(), CallError> {
    let today = day::day_at(shard.now_ms());
    let asked = ledger.clone();
    let ledgers = shard.services.domain.ledgers();
    ledgers.enter(
        ledger,
        shard.index,
        |_| Vec::new(),
        move |entered| {
            let found = subjects.into_iter().map(|subject| {
                let said = match &entered {
                    Ok(at) => Said::Word(Word::of(at.state, &subject, today)),
                    Err(error) if error.is_temporary() => Said::Away,
                    Err(_) => Said::Damaged,
                };
                (subject, said)
            });
            ShardAnswer::new(Looked {
                found: found.collect(),
                ledger: asked,
            })
        },
    )
}

impl Shard {
    /// Somebody said who they are: find their units, and ask each.
    pub(super) fn enter(self: &Rc<Self>, key: ConnKey, ticket: Ticket, identity: Arc<Identity>) {
        let Ok(subject) = identity.subject.parse::<SubjectId>() else {
            // No login of ours has such a name, so nobody has a record of it.
            self.answer(key, ticket, Answer::Entered(Ok(Vec::new())));
            return;
        };
        let person = Person {
            scope: Scope::from_claim(&identity.profiles),
            identity,
            subject: subject.clone(),
            words: Vec::new(),
            entering: Some(Entering {
                ticket,
                units_known: false,
            }),
            watched_until_ms: 0,
        };
        let assurance = person.assurance();
        // Known before the ledgers are asked, so that no change in between is missed.
        self.core.borrow_mut().connections.entered(key, person);
        let domain = self.services.domain.clone();
        let asked = subject.clone();
        let units = async move {
            let units = domain.units_of(&asked).await?;
            let watched_until_ms = domain.watch(&units, &asked, assurance).await;
            // What could not be written down is not shown in full; all else is.
            Ok::<_, OperationError>((units, watched_until_ms.unwrap_or(0)))
        };
        self.ask(units, move |shard, units| match units {
            Ok((units, until_ms)) => {
                shard.watched(key, &units, until_ms);
                shard.enter_units(key, &subject, &units);
            }
            Err(_) => shard.entry_failed(key, ErrorCode::INTERNAL.into()),
        });
    }

    /// Keeps until when it is written down, in these units, that a session hears what is sensitive in full. With a
    /// unit that came meanwhile it is not whole, and counts for nothing.
    pub(super) fn watched(&self, key: ConnKey, units: &[LedgerId], until_ms: u64) {
        if let Some(person) = self.core.borrow_mut().connections.person_mut(key) {
            let is_whole = person.words.iter().all(|(unit, _)| units.contains(unit));
            person.watched_until_ms = if is_whole { until_ms } else { 0 };
        }
    }

    /// Writes it down, where a session is stepped up and it is not known yet; then what it sees is reckoned anew.
    fn watch(self: &Rc<Self>, key: ConnKey) {
        let asked = {
            let mut core = self.core.borrow_mut();
            let person = core.connections.person_mut(key);
            person.map(|it| {
                (
                    it.subject.clone(),
                    it.assurance(),
                    it.units(),
                    it.watched_until_ms,
                )
            })
        };
        let Some((subject, assurance, units, watched_until_ms)) = asked else {
            return;
        };
        let wanted = assurance.is_fresh(self.now_ms());
        if !wanted || assurance.full_until_ms() <= watched_until_ms {
            return;
        }
        let domain = self.services.domain.clone();
        let watched = async move {
            let watched = domain.watch(&units, &subject, assurance).await;
            watched.map(|until_ms| (units, until_ms))
        };
        self.ask(watched, move |shard, watched| {
            let Ok((units, until_ms)) = watched else {
                return shard.watch_later(key); // A bare signal until then.
            };
            shard.watched(key, &units, until_ms);
            let today = day::day_at(shard.now_ms());
            let entitlements = {
                let mut core = shard.core.borrow_mut();
                let person = core.connections.person_mut(key);
                person.map(|it| it.entitlements(today))
            };
            if let Some(entitlements) = entitlements {
                shard.entitle(key, entitlements);
            }
        });
    }

    fn watch_later(self: &Rc<Self>, key: ConnKey) {
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(UNKNOWN_RETRY).await;
            shard.watch(key);
        });
    }

    fn enter_units(self: &Rc<Self>, key: ConnKey, subject: &SubjectId, units: &[LedgerId]) {
        {
            let mut core = self.core.borrow_mut();
            let Some(person) = core.connections.person_mut(key) else {
                return;
            };
            for unit in units {
                if !person.words.iter().any(|(known, _)| known == unit) {
                    person.words.push((unit.clone(), None));
                }
            }
            if let Some(entering) = &mut person.entering {
                entering.units_known = true;
            }
        }
        for unit in units {
            if look(self, unit, vec![subject.clone()]).is_err() {
                let busy = ErrorCode::TOO_MANY_REQUESTS.into();
                return self.entry_failed(key, busy);
            }
        }
        self.enter_if_complete(key);
    }

    fn entry_failed(self: &Rc<Self>, key: ConnKey, error: ErrorReply) {
        let entering = {
            let mut core = self.core.borrow_mut();
            let person = core.connections.person_mut(key);
            person.and_then(|person| person.entering.take())
        };
        if let Some(entering) = entering {
            self.answer(key, entering.ticket, Answer::Entered(Err(error)));
        }
    }

    fn enter_if_complete(self: &Rc<Self>, key: ConnKey) {
        let today = day::day_at(self.now_ms());
        let complete = {
            let mut core = self.core.borrow_mut();
            core.connections.person_mut(key).and_then(|person| {
                let is_complete = person.is_complete();
                let entering = person
                    .entering
                    .take_if(|entering| entering.units_known && is_complete)?;
                Some((entering.ticket, person.entitlements(today)))
            })
        };
        if let Some((ticket, entitlements)) = complete {
            self.answer(key, ticket, Answer::Entered(Ok(entitlements)));
            self.watch(key); // What could not be written down at first.
        }
    }

    /// Level, time of authentication or profiles of a session changed; what the units say did not.
    pub(super) fn review(self: &Rc<Self>, key: ConnKey, identity: Arc<Identity>) {
        let today = day::day_at(self.now_ms());
        let entitlements = {
            let mut core = self.core.borrow_mut();
            let Some(person) = core.connections.person_mut(key) else {
                return;
            };
            person.scope = Scope::from_claim(&identity.profiles);
            person.identity = identity;
            person.entitlements(today)
        };
        self.entitle(key, entitlements);
        self.watch(key);
    }

    /// Takes what a ledger answered.
    pub(super) fn ledger_answered(self: &Rc<Self>, answer: ShardAnswer) {
        let looked = match answer.downcast::<Looked>() {
            Ok(looked) => looked,
            Err(answer) => {
                return match answer.downcast::<Option<Tops>>() {
                    Ok(tops) => tops.iter().for_each(|tops| self.compare_positions(tops)),
                    Err(_) => {
                        tracing::error!("a ledger's answer is of no kind this shard asks for");
                    }
                };
            }
        };
        for (subject, said) in looked.found {
            match said {
                Said::Word(word) => self.hear(&looked.ledger, &subject, &word),
                Said::Away => self.left_waiting(&looked.ledger, &subject),
                Said::Damaged => {
                    let nothing = Word::nothing(day::day_at(self.now_ms()));
                    self.hear(&looked.ledger, &subject, &nothing);
                    self.ask_later(looked.ledger.clone(), subject);
                }
            }
        }
    }

    /// Takes in a ledger's word on what a login sees there, for all its sessions here.
    ///
    /// A ledger that is damaged takes nothing from the person's other units: of this one nothing is seen until it can be asked again.
    pub(super) fn hear(self: &Rc<Self>, ledger: &LedgerId, subject: &SubjectId, word: &Word) {
        let keys = self.core.borrow().connections.of_subject(subject).to_vec();
        for key in keys {
            self.hear_for(key, ledger, word);
        }
    }

    /// A ledger's store is away. Who is coming is told to come again, rather than let in without what is theirs; who is there keeps what the
    /// ledger said last, which nothing has changed that anybody here could know of.
    fn left_waiting(self: &Rc<Self>, ledger: &LedgerId, subject: &SubjectId) {
        let keys = self.core.borrow().connections.of_subject(subject).to_vec();
        for key in keys {
            self.entry_failed(key, ErrorCode::INTERNAL.into());
        }
        self.ask_later(ledger.clone(), subject.clone());
    }

    fn ask_later(self: &Rc<Self>, ledger: LedgerId, subject: SubjectId) {
        let pair = (ledger.clone(), subject.clone());
        if !self.core.borrow_mut().unsaid.insert(pair.clone()) {
            return;
        }
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(UNKNOWN_RETRY).await;
            let is_here = {
                let mut core = shard.core.borrow_mut();
                core.unsaid.remove(&pair);
                !core.connections.of_subject(&subject).is_empty()
            };
            if is_here && look(&shard, &ledger, vec![subject.clone()]).is_err() {
                shard.ask_later(ledger, subject);
            }
        });
    }

    fn hear_for(self: &Rc<Self>, key: ConnKey, ledger: &LedgerId, word: &Word) {
        let today = day::day_at(self.now_ms());
        let entitlements = {
            let mut core = self.core.borrow_mut();
            let Some(person) = core.connections.person_mut(key) else {
                return;
            };
            let is_news = person.keep(ledger, word, today);
            if person.entering.is_none() && !is_news {
                return;
            }
            person
                .entering
                .is_none()
                .then(|| person.entitlements(today))
        };
        match entitlements {
            Some(entitlements) => {
                self.entitle(key, entitlements);
                self.watch(key); // In a unit that is new.
            }
            None => self.enter_if_complete(key),
        }
    }

    /// When the day has turned: what relations and memberships with dates open begins or ends now, by the
    /// words already here; and each ledger is asked once for the day after.
    pub(super) fn turn_day(self: &Rc<Self>) {
        let now = self.now_ms();
        if now < self.core.borrow().midnight_ms {
            return;
        }
        let today = day::day_at(now);
        let mut asked: HashMap<LedgerId, HashSet<SubjectId>> = HashMap::new();
        let mut changed = Vec::new();
        {
            let mut core = self.core.borrow_mut();
            core.midnight_ms = day::next_midnight_ms(now);
            for (key, person) in core.connections.people() {
                let mut words = person.words.iter().filter_map(|(_, word)| word.as_ref());
                if person.entering.is_none() && words.any(Word::turns) {
                    changed.push(key);
                }
                for (unit, _) in &person.words {
                    let subjects = asked.entry(unit.clone()).or_default();
                    subjects.insert(person.subject.clone());
                }
            }
        }
        for key in changed {
            let entitlements = {
                let mut core = self.core.borrow_mut();
                let Some(person) = core.connections.person_mut(key) else {
                    continue;
                };
                person.watched_until_ms = 0; // A profile may begin today.
                person.entitlements(today)
            };
            self.entitle(key, entitlements);
            self.watch(key);
        }
        for (ledger, subjects) in asked {
            let subjects: Vec<_> = subjects.into_iter().collect();
            if look(self, &ledger, subjects.clone()).is_ok() {
                continue;
            }
            // No haste: the words here say what is seen today.
            for subject in subjects {
                self.ask_later(ledger.clone(), subject);
            }
        }
    }
}
