//! What a person may see in the domain: collected from their units' ledgers when they come, and
//! again whenever a ledger, a step-up or the calendar changes it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use klokke_protocol::{DisconnectCode, ErrorCode, ErrorReply};

use super::connections::{Connections, Entering, Person};
use super::shard::Shard;
use crate::hub::ConnKey;
use crate::ledger::{CallError, LedgerId, ShardAnswer};
use crate::people::{Assurance, Roster, SubjectId, day, entitlements};
use crate::session::{Answer, Entitlement, Event, Identity, Ticket};

/// When a ledger was too busy to be asked at midnight, it is asked again this much later.
const MIDNIGHT_RETRY_MS: u64 = 1000;

/// Whose entitlements are asked for.
#[derive(Clone)]
pub(super) struct Whose {
    pub(super) key: ConnKey,
    subject: SubjectId,
    assurance: Assurance,
}

impl Whose {
    pub(super) fn of(connections: &Connections, key: ConnKey) -> Option<Self> {
        let person = connections.find(key)?.person.as_deref()?;
        Some(Self {
            key,
            subject: person.subject.clone(),
            assurance: person.assurance(),
        })
    }
}

/// Why a ledger was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody came.
    Entry,
    /// A commit changed something; entries of the ledger wait for the answer.
    Change,
    /// The person stepped up, or the day turned.
    Review,
}

/// A ledger's answer: what each may see by its word, at one place of its order.
pub(super) struct Looked {
    pub(super) ledger: LedgerId,
    pub(super) purpose: Purpose,
    /// `None` when the ledger could not say.
    found: Vec<(ConnKey, Option<Vec<Entitlement>>)>,
}

/// Asks a ledger; the answer comes back to the shard in order with the ledger's commits.
pub(super) fn look(
    shard: &Shard,
    ledger: &LedgerId,
    whose: Vec<Whose>,
    purpose: Purpose,
) -> Result<(), CallError> {
    let today = day::day_at(shard.now_ms());
    let asked = ledger.clone();
    let see = move |roster: &Roster, it: &Whose| {
        let seen = entitlements(roster, &it.subject, it.assurance, today).into_iter();
        let seen = seen.map(|it| Entitlement {
            channel: it.channel,
            lens: it.lens,
        });
        seen.collect()
    };
    let ledgers = shard.services.domain.ledgers();
    ledgers.enter(
        ledger,
        shard.index,
        |_| Vec::new(),
        move |entered| {
            let found = whose.iter().map(|it| {
                let seen = entered.as_ref().ok().map(|at| see(at.state, it));
                (it.key, seen)
            });
            ShardAnswer::new(Looked {
                found: found.collect(),
                ledger: asked,
                purpose,
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
            identity,
            subject: subject.clone(),
            units: Vec::new(),
            entering: Some(Entering {
                ticket,
                sets: Vec::new(),
            }),
        };
        // Known before the ledgers are asked, so that no change in between is missed.
        self.core.borrow_mut().connections.entered(key, person);
        let domain = self.services.domain.clone();
        let units = async move { domain.units_of(&subject).await };
        self.ask(units, move |shard, units| match units {
            Ok(units) => shard.enter_units(key, &units),
            Err(_) => shard.entry_failed(key, ErrorCode::INTERNAL.into()),
        });
    }

    fn enter_units(self: &Rc<Self>, key: ConnKey, units: &[LedgerId]) {
        let whose = {
            let mut core = self.core.borrow_mut();
            let Some(whose) = Whose::of(&core.connections, key) else {
                return;
            };
            let connection = core.connections.find_mut(key);
            let person = connection.and_then(|it| it.person.as_deref_mut());
            if let Some(person) = person {
                person.units = units.to_vec();
                if let Some(entering) = &mut person.entering {
                    let known = std::mem::take(&mut entering.sets);
                    entering.sets = units.iter().map(|it| (it.clone(), None)).collect();
                    for (ledger, set) in known {
                        keep(&mut entering.sets, ledger, set);
                    }
                }
            }
            whose
        };
        for unit in units {
            if look(self, unit, vec![whose.clone()], Purpose::Entry).is_err() {
                let busy = ErrorCode::TOO_MANY_REQUESTS.into();
                return self.entry_failed(key, busy);
            }
        }
        self.enter_if_complete(key);
    }

    fn entry_failed(self: &Rc<Self>, key: ConnKey, error: ErrorReply) {
        let entering = {
            let mut core = self.core.borrow_mut();
            let connection = core.connections.find_mut(key);
            connection.and_then(|it| it.person.as_deref_mut()?.entering.take())
        };
        if let Some(entering) = entering {
            self.answer(key, entering.ticket, Answer::Entered(Err(error)));
        }
    }

    /// Level, time of authentication or profiles changed.
    pub(super) fn review(self: &Rc<Self>, key: ConnKey, identity: Arc<Identity>) {
        let (whose, units) = {
            let mut core = self.core.borrow_mut();
            let connection = core.connections.find_mut(key);
            let Some(person) = connection.and_then(|it| it.person.as_deref_mut()) else {
                return;
            };
            person.identity = identity;
            let units = person.units.clone();
            let Some(whose) = Whose::of(&core.connections, key) else {
                return;
            };
            (whose, units)
        };
        for unit in &units {
            if look(self, unit, vec![whose.clone()], Purpose::Review).is_err() {
                return self.cut_off(key, DisconnectCode::INSUFFICIENT_STATE);
            }
        }
    }

    /// Takes in what a ledger said.
    pub(super) fn apply(self: &Rc<Self>, looked: Looked) {
        for (key, found) in looked.found {
            let Some(found) = found else {
                self.unknown(key);
                continue;
            };
            let entering = self.note(key, &looked.ledger, &found);
            if entering {
                self.enter_if_complete(key);
                continue;
            }
            let event = Event::Entitlements {
                unit: Some(looked.ledger.as_str().into()),
                entitlements: found,
            };
            self.happen(key, event);
        }
    }

    /// What somebody may see could not be found out.
    fn unknown(self: &Rc<Self>, key: ConnKey) {
        let entering = {
            let core = self.core.borrow();
            let person = core
                .connections
                .find(key)
                .and_then(|it| it.person.as_deref());
            person.is_some_and(|person| person.entering.is_some())
        };
        if entering {
            self.entry_failed(key, ErrorCode::INTERNAL.into());
        } else {
            self.cut_off(key, DisconnectCode::INSUFFICIENT_STATE);
        }
    }

    /// Keeps a unit's word while the others' are still to come. `true` when it is kept.
    fn note(&self, key: ConnKey, ledger: &LedgerId, found: &[Entitlement]) -> bool {
        let mut core = self.core.borrow_mut();
        let connection = core.connections.find_mut(key);
        let Some(person) = connection.and_then(|it| it.person.as_deref_mut()) else {
            return false;
        };
        if !person.units.contains(ledger) {
            person.units.push(ledger.clone());
        }
        let Some(entering) = &mut person.entering else {
            return false;
        };
        keep(&mut entering.sets, ledger.clone(), Some(found.to_vec()));
        true
    }

    fn enter_if_complete(self: &Rc<Self>, key: ConnKey) {
        let complete = {
            let mut core = self.core.borrow_mut();
            let connection = core.connections.find_mut(key);
            connection.and_then(|it| {
                let person = it.person.as_deref_mut()?;
                let sets = &person.entering.as_ref()?.sets;
                if sets.iter().any(|(_, set)| set.is_none()) || sets.len() < person.units.len() {
                    return None;
                }
                person.entering.take()
            })
        };
        if let Some(entering) = complete {
            let all = entering.sets.into_iter().filter_map(|(_, set)| set);
            let answer = Answer::Entered(Ok(all.flatten().collect()));
            self.answer(key, entering.ticket, answer);
        }
    }
}

/// Sets a unit's word, in place of an older one.
fn keep(
    sets: &mut Vec<(LedgerId, Option<Vec<Entitlement>>)>,
    ledger: LedgerId,
    set: Option<Vec<Entitlement>>,
) {
    match sets.iter_mut().find(|(known, _)| *known == ledger) {
        Some((_, known)) => *known = set,
        None => sets.push((ledger, set)),
    }
}

/// The day has turned: relations and memberships with dates begin or end. Each ledger is asked
/// once for all its people here.
pub(super) fn day_turned(shard: &Rc<Shard>, now_ms: u64) {
    let mut asked: HashMap<LedgerId, Vec<Whose>> = HashMap::new();
    {
        let core = shard.core.borrow();
        for key in core.connections.keys() {
            let Some(whose) = Whose::of(&core.connections, key) else {
                continue;
            };
            let person = core
                .connections
                .find(key)
                .and_then(|it| it.person.as_deref());
            for unit in person.into_iter().flat_map(|person| &person.units) {
                asked.entry(unit.clone()).or_default().push(whose.clone());
            }
        }
    }
    let mut all = true;
    for (ledger, whose) in asked {
        all &= look(shard, &ledger, whose, Purpose::Review).is_ok();
    }
    shard.core.borrow_mut().midnight_ms = if all {
        day::next_midnight_ms(now_ms)
    } else {
        now_ms + MIDNIGHT_RETRY_MS
    };
}
