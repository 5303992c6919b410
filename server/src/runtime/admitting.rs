//! Connects at the shard's gate: as what they come, whose turn it is, and how late the shard is. What the gate decides
//! stands in [`crate::admission`]; here it is carried out and counted.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use klokke_protocol::{ErrorCode, ErrorReply};
use tokio::time::Instant;

use super::shard::Shard;
use crate::admission::{Arrival, Class, Gate, Outcome, Reason, Rules};
use crate::hub::ConnKey;
use crate::people::{LoginRole, SubjectId};
use crate::session::{Answer, Event, Identity, Ticket};
use crate::telemetry::{Level, Meters, Spread, catalogue};

/// How often a shard finds out how late it is while connects are at the gate, and while none are.
const PULSE_BUSY: Duration = Duration::from_millis(10);
const PULSE_IDLE: Duration = Duration::from_millis(50);

/// Connects that go on or away in one turn. At some microseconds until each waits for somebody else, a turn stays short.
const OUTCOMES_PER_TURN: usize = 128;

/// A connect that was let in and is not through yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnderWay {
    class: Class,
    since_ms: u64,
    waited_ms: u64,
}

/// The gate with its figures.
pub(super) struct Keeper {
    gate: Gate<(ConnKey, Ticket)>,
    meters: Meters,
    waiting: [Level; 3],
    waits: [Spread; 3],
}

impl Keeper {
    pub(super) fn new(rules: Rules, meters: Meters) -> Self {
        let name = Class::name;
        Self {
            gate: Gate::new(rules),
            waiting: Class::ALL.map(|it| meters.gauge(catalogue::ADMISSION_WAITING, &[name(it)])),
            waits: Class::ALL
                .map(|it| meters.histogram(catalogue::ADMISSION_WAIT_SECONDS, &[name(it)])),
            meters,
        }
    }

    /// When somebody has waited as long as they may.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.gate.next_due_ms()
    }

    /// One that was let in is gone.
    pub(super) fn gone(&mut self, under_way: UnderWay) {
        self.gate.leave(under_way.class, None);
    }

    fn counted(&self) {
        for (class, level) in Class::ALL.into_iter().zip(&self.waiting) {
            level.set(i64::try_from(self.gate.waiting(class)).unwrap_or(i64::MAX));
        }
    }

    fn admitted(&self, class: Class, waited_ms: u64) {
        self.meters
            .count(catalogue::ADMISSION_ADMITTED, &[class.name()]);
        self.waits[class as usize].observe_duration(Duration::from_millis(waited_ms));
    }

    fn refused(&self, class: Class, why: Reason) {
        let labels = [class.name(), why.name()];
        self.meters.count(catalogue::ADMISSION_REFUSED, &labels);
    }
}

/// The class of a login's role.
const fn class_of(role: LoginRole) -> Class {
    match role {
        LoginRole::Staff => Class::Staff,
        LoginRole::Guardian => Class::Guardian,
        LoginRole::Pupil | LoginRole::Other | LoginRole::Anonymous => Class::Other,
    }
}

impl Shard {
    /// Somebody whose token is good wants to go on.
    pub(super) fn admit(self: &Rc<Self>, key: ConnKey, ticket: Ticket, identity: &Arc<Identity>) {
        let subject = identity.subject.parse::<SubjectId>().ok();
        let Some(subject) = subject else {
            return self.arrive(key, ticket, Class::Other);
        };
        let known = self.services.domain.known_role(&subject);
        if let Some(role) = known {
            return self.arrive(key, ticket, class_of(role));
        }
        if self.core.borrow().keeper.gate.is_open() {
            // Found out on the way, when its units have said their word.
            return self.arrive(key, ticket, Class::Other);
        }
        let domain = self.services.domain.clone();
        let role = async move { domain.role_of(&subject).await };
        self.ask(role, move |shard, role| {
            shard.arrive(key, ticket, class_of(role));
        });
    }

    fn arrive(self: &Rc<Self>, key: ConnKey, ticket: Ticket, class: Class) {
        let now_ms = self.now_ms();
        let arrival = {
            let core = &mut *self.core.borrow_mut();
            let Some(connection) = core.connections.find_mut(key) else {
                return;
            };
            let arrival = core.keeper.gate.arrive(class, (key, ticket), now_ms);
            if arrival == Arrival::Admitted {
                connection.under_way = Some(UnderWay {
                    class,
                    since_ms: now_ms,
                    waited_ms: 0,
                });
            }
            if let Arrival::Refused(why) = arrival {
                core.keeper.refused(class, why);
            }
            core.keeper.counted();
            arrival
        };
        match arrival {
            Arrival::Admitted => self.answer(key, ticket, Answer::Admitted(Ok(()))),
            Arrival::Refused(_) => self.turn_away_for_now(key, ticket),
            Arrival::Waits => self.work.notify_one(),
        }
    }

    fn turn_away_for_now(self: &Rc<Self>, key: ConnKey, ticket: Ticket) {
        let busy = ErrorReply::from(ErrorCode::TOO_MANY_REQUESTS);
        self.answer(key, ticket, Answer::Admitted(Err(busy)));
    }

    /// Lets on whose turn it is, and sends away who has waited too long.
    pub(super) fn open_gate(self: &Rc<Self>, now_ms: u64) {
        for _ in 0..OUTCOMES_PER_TURN {
            let outcome = self.core.borrow_mut().keeper.gate.poll(now_ms);
            match outcome {
                None => {
                    self.core.borrow().keeper.counted();
                    return;
                }
                Some(Outcome::Admitted {
                    who: (key, ticket),
                    class,
                    waited_ms,
                }) => {
                    let under_way = UnderWay {
                        class,
                        since_ms: now_ms,
                        waited_ms,
                    };
                    if self.begins(key, under_way) {
                        self.answer(key, ticket, Answer::Admitted(Ok(())));
                    }
                }
                Some(Outcome::Refused {
                    who: (key, ticket),
                    class,
                    ..
                }) => {
                    // Who hung up while waiting was refused by nobody.
                    if self.is_connecting(key) {
                        self.core.borrow().keeper.refused(class, Reason::Wait);
                        self.turn_away_for_now(key, ticket);
                    }
                }
            }
        }
        self.work.notify_one();
    }

    fn is_connecting(&self, key: ConnKey) -> bool {
        let core = &mut *self.core.borrow_mut();
        let connection = core.connections.find_mut(key);
        connection.is_some_and(|it| it.session.is_connecting())
    }

    /// Notes that a connect is under way; `false` when whoever waited has gone meanwhile.
    fn begins(&self, key: ConnKey, under_way: UnderWay) -> bool {
        let core = &mut *self.core.borrow_mut();
        let connection = core.connections.find_mut(key);
        match connection.filter(|it| it.session.is_connecting()) {
            Some(connection) => {
                connection.under_way = Some(under_way);
                true
            }
            None => {
                core.keeper.gone(under_way);
                false
            }
        }
    }

    /// Gives back the slot of a connect that is through or was given up.
    pub(super) fn settle(self: &Rc<Self>, key: ConnKey) {
        let is_open = {
            let core = &mut *self.core.borrow_mut();
            let Some(connection) = core.connections.find_mut(key) else {
                return;
            };
            let is_done = |_: &mut UnderWay| !connection.session.is_connecting();
            let Some(under_way) = connection.under_way.take_if(is_done) else {
                return;
            };
            let now_ms = self.now_ms();
            let is_open = connection.session.is_open();
            let took_ms = is_open.then(|| now_ms.saturating_sub(under_way.since_ms));
            core.keeper.gate.leave(under_way.class, took_ms);
            if is_open {
                let person = connection.person.as_deref();
                let role = person.map(|it| {
                    self.services
                        .domain
                        .note_role(&it.subject, it.kinds(now_ms))
                });
                let class = role.map_or(under_way.class, class_of);
                core.keeper.admitted(class, under_way.waited_ms);
            }
            is_open
        };
        self.work.notify_one();
        if is_open && let Some(notice) = self.present_notice() {
            self.happen(key, Event::Message(notice));
        }
    }

    /// Finds out again and again how late the shard is, as everything on it that waits for its turn.
    pub(super) async fn feel(self: Rc<Self>) {
        loop {
            let is_busy = self.core.borrow().keeper.gate.is_busy();
            let due = Instant::now() + if is_busy { PULSE_BUSY } else { PULSE_IDLE };
            tokio::time::sleep_until(due).await;
            if self.stopping.get() {
                return;
            }
            let late = due.elapsed();
            let lag_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            let now_ms = self.now_ms();
            self.core.borrow_mut().keeper.gate.feel(lag_ms, now_ms);
            self.services.load.note(self.index, lag_ms);
            if is_busy {
                self.work.notify_one();
            }
            if self.index == 0 {
                self.steer();
            }
        }
    }
}
