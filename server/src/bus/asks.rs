//! Questions between nodes: one node asks another, or all, and gets an answer or the reason why there is none.
//!
//! A question goes to the asked node's own subject, its answer to the asker's, with the question's number; both are messages of the bus like
//! all others, so they may be lost, come twice or late. Nothing is asked again here: whether what was asked for was done
//! all the same nobody knows, so who asks again makes it safe to do twice. A
//! question that comes twice is answered once, one that comes after its asker gave up is passed over, and a node that does not answer in
//! time is suspect ([`super::Members::is_suspect`]) until it is heard of again. Large answers come in parts ([`super::parts`]).
//!
//! [`Asks::tell_all`] tells all other nodes something that wants no answer, at most once and in the order of telling.
//! What kinds of questions there are stands in [`super::kind`]; what they mean, only who asks and [`Answering`] know.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::desk::{Desk, Forget, Work, Working};
use super::parts::Part;
use super::wire::{self, Answer, Asked, Outcome};
use super::{Bus, MESSAGE_BYTES_MAX, NodeId, Shared, kind};
use crate::ledger::Clock;
use crate::telemetry::{Count, Meters, catalogue};

/// What the rest of a question's message takes.
const HEAD_BYTES: usize = 256;

/// How much later than its asker's deadline a question is still worked on: clocks differ, by as much as is complained of.
const LATE_BY: Duration = Duration::from_secs(1);

/// How long an answer's part waits before it is looked whether there is room for it.
const FOR_ROOM: Duration = Duration::from_millis(5);

/// Something asked, or told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked: one of [`super::kind`], or what a newer version asks.
    pub kind: u32,
    /// The rest, as the kind says.
    pub body: Bytes,
}

/// A node's reason for not answering.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused with {code}: {text}")]
pub struct Refused {
    /// A code of the protocol's table of errors, or 0 when the question is not known there.
    pub code: u32,
    /// Its text; no content.
    pub text: String,
}

impl Refused {
    /// The question is of a newer version than the node asked.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            code: 0,
            text: "the question is not known here".to_owned(),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The bus is away, or the node is none of the members.
    #[error("the node cannot be reached")]
    Away,
    /// It did not answer in time.
    #[error("the node did not answer in time")]
    Late,
    /// It says no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The question or its answer is larger than allowed.
    #[error("more than a question or an answer may be")]
    TooLarge,
    /// This node or the other has too many questions to look after.
    #[error("too many questions at once")]
    Busy,
}

impl AskError {
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Late => "late",
            Self::Refused(_) => "refused",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
        }
    }
}

/// Answers what other nodes ask this one.
#[async_trait]
pub trait Answering: Send + Sync + 'static {
    /// Answers a question; one of an unknown kind with [`Refused::unknown`]. Questions are worked on side by side, in no order.
    async fn answer(&self, from: NodeId, question: Question) -> Result<Bytes, Refused>;

    /// A node told something that wants no answer. In the order in which it told; must not wait.
    /// False when it is not known here or could not be taken.
    fn told(&self, from: NodeId, told: Question) -> bool {
        let _ = (from, told);
        false
    }
}

/// See the file. Cheap to clone.
#[derive(Clone)]
pub struct Asks(Arc<Inner>);

struct Inner {
    own: NodeId,
    /// None for a node that has no others.
    bus: Option<Arc<dyn Bus>>,
    members: Shared,
    clock: Arc<dyn Clock>,
    meters: Meters,
    answering: OnceLock<Arc<dyn Answering>>,
    desk: Arc<Mutex<Desk>>,
    /// What others asked and is worked on.
    work: Arc<Work>,
    told: Count,
    dropped_out: Count,
    dropped_in: Count,
}

impl Asks {
    /// Of a node; without a bus when it has no others to ask.
    #[must_use]
    pub fn new(
        own: NodeId,
        bus: Option<Arc<dyn Bus>>,
        members: Shared,
        clock: Arc<dyn Clock>,
        meters: &Meters,
    ) -> Self {
        Self(Arc::new(Inner {
            own,
            bus,
            members,
            clock,
            meters: meters.clone(),
            answering: OnceLock::new(),
            desk: Arc::default(),
            work: Arc::default(),
            told: meters.counter(catalogue::BUS_MESSAGES, &["out", "told"]),
            dropped_out: meters.counter(catalogue::BUS_DROPPED, &["out"]),
            dropped_in: meters.counter(catalogue::BUS_DROPPED, &["in"]),
        }))
    }

    /// Answers by this from now on; only the first is taken. Until then others are told to come again.
    pub fn answer_with(&self, answering: Arc<dyn Answering>) {
        if self.0.answering.set(answering).is_err() {
            tracing::error!("a node answers by what it was given first");
        }
    }

    /// This node.
    #[must_use]
    pub fn own(&self) -> NodeId {
        self.0.own
    }

    /// Whether there is a way to others, be they there or not.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.0.bus.is_some()
    }

    /// The nodes there are.
    #[must_use]
    pub fn members(&self) -> &Shared {
        &self.0.members
    }

    /// Whether what all members say together is what the whole cluster says: the bus is there, and has been for long enough to have heard of
    /// all, or there are no others.
    ///
    /// # Errors
    /// [`AskError::Away`].
    pub fn whole(&self) -> Result<(), AskError> {
        if self.0.bus.is_none() {
            return Ok(());
        }
        let from = self.0.desk().whole_from;
        let is_whole = from.is_some_and(|from| from <= tokio::time::Instant::now());
        is_whole.then_some(()).ok_or(AskError::Away)
    }

    /// Asks one node.
    ///
    /// # Errors
    /// [`AskError`]; after `deadline` [`AskError::Late`], and then the node is suspect.
    pub async fn ask(
        &self,
        node: NodeId,
        question: Question,
        deadline: Duration,
    ) -> Result<Bytes, AskError> {
        let (begun, kind) = (Instant::now(), kind::name(question.kind));
        let answered = self.ask_unmeasured(node, question, deadline).await;
        let outcome = answered.as_ref().map_or_else(AskError::outcome, |_| "ok");
        let meters = &self.0.meters;
        meters.count(catalogue::BUS_ASKED, &[kind, outcome]);
        let spread = meters.histogram(catalogue::BUS_ASK_DURATION, &[kind]);
        spread.observe_duration(begun.elapsed());
        answered
    }

    /// Asks all members at once, and says what each answered.
    pub async fn ask_all(
        &self,
        question: Question,
        deadline: Duration,
    ) -> Vec<(NodeId, Result<Bytes, AskError>)> {
        let all = self.0.members.ids().into_iter().map(|node| {
            let question = question.clone();
            async move { (node, self.ask(node, question, deadline).await) }
        });
        join_all(all).await
    }

    /// Tells all others, at most once. False when nobody was told, for the bus is away or behind or this is too large.
    pub fn tell_all(&self, told: &Question) -> bool {
        let Some(bus) = &self.0.bus else {
            return true; // Nobody is left out.
        };
        if told.body.len() + HEAD_BYTES <= MESSAGE_BYTES_MAX
            && bus.tell(wire::told(self.0.own, told))
        {
            self.0.told.add(1);
            return true;
        }
        self.0.dropped_out.add(1);
        false
    }

    async fn ask_unmeasured(
        &self,
        node: NodeId,
        question: Question,
        deadline: Duration,
    ) -> Result<Bytes, AskError> {
        let bus = self.0.bus.as_ref().ok_or(AskError::Away)?;
        if !self.0.members.is_member(node) {
            return Err(AskError::Away);
        }
        if question.body.len() + HEAD_BYTES > MESSAGE_BYTES_MAX {
            return Err(AskError::TooLarge);
        }
        let (tell, answer) = oneshot::channel();
        let number = self.0.desk().wait(node, tell)?;
        // Whoever asks no more waits for nothing.
        let _forget = Forget(Arc::clone(&self.0.desk), number);
        let for_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let asked = Asked {
            number,
            until_ms: self.0.clock.now_ms().saturating_add(for_ms),
            question,
        };
        if !bus.tell_one(node, wire::asked(self.0.own, node, &asked)) {
            return Err(AskError::Away);
        }
        self.0
            .meters
            .count(catalogue::BUS_MESSAGES, &["out", "asked"]);
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(AskError::Away),
            Err(_) => {
                self.0.members.suspect(node);
                Err(AskError::Late)
            }
        }
    }

    /// A node asks this one.
    pub(super) fn asked(&self, from: NodeId, asked: Asked) {
        let kind = kind::name(asked.question.kind);
        let inner = &self.0;
        let count = |outcome| {
            inner
                .meters
                .count(catalogue::BUS_ANSWERED, &[kind, outcome]);
        };
        let late_by = u64::try_from(LATE_BY.as_millis()).unwrap_or(0);
        if inner.clock.now_ms() > asked.until_ms.saturating_add(late_by) {
            return count("late");
        }
        if !inner.desk().is_new(from, asked.number) {
            return count("twice");
        }
        let bytes = asked.question.body.len();
        let (Some(answering), Some(work)) = (inner.answering.get(), inner.work.begin(bytes)) else {
            count("busy");
            return inner.send(
                from,
                Answer {
                    number: asked.number,
                    outcome: Outcome::Busy,
                },
            );
        };
        let (answering, asks) = (Arc::clone(answering), self.clone());
        tokio::spawn(async move {
            let Asked {
                number,
                until_ms,
                question,
            } = asked;
            let answered = answering.answer(from, question).await;
            asks.0
                .reply(from, (number, until_ms), answered, (kind, work))
                .await;
        });
    }

    /// An answer, or a part of one, to what this node asked.
    pub(super) fn answered(&self, from: NodeId, answer: Answer) {
        let mut desk = self.0.desk();
        let number = answer.number;
        if !desk.waits_for(from, number) {
            // The asker gave up, or it came twice.
            return self.0.dropped_in.add(1);
        }
        let answer = match answer.outcome {
            Outcome::Busy => Err(AskError::Busy),
            Outcome::TooLarge => Err(AskError::TooLarge),
            Outcome::Refused(refused) => Err(refused.into()),
            Outcome::Part(part) => match desk.join(number, part) {
                Ok(None) => return,
                Ok(Some(whole)) => Ok(whole),
                Err(error) => Err(error),
            },
        };
        desk.tell(number, answer);
    }

    /// A node told something.
    pub(super) fn told(&self, from: NodeId, told: Question) {
        let answering = self.0.answering.get();
        if !answering.is_some_and(|it| it.told(from, told)) {
            self.0.dropped_in.add(1);
        }
    }

    /// The bus came, and after so long all others that live were heard; or it went, and nobody who was asked can answer.
    pub(super) fn set_up(&self, known_in: Option<Duration>) {
        let mut desk = self.0.desk();
        desk.whole_from = known_in.map(|wait| tokio::time::Instant::now() + wait);
        if known_in.is_none() {
            desk.fail(|_| true);
        }
    }

    /// A node is gone: it answers nothing any more.
    pub(super) fn gone(&self, node: NodeId) {
        self.0.desk().fail(|it| it == node);
    }
}

impl Inner {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, to: NodeId, answer: Answer) {
        if !self.try_send(to, wire::answer(self.own, to, answer)) {
            self.dropped_out.add(1);
        }
    }

    fn try_send(&self, to: NodeId, message: Bytes) -> bool {
        let sent = self
            .bus
            .as_ref()
            .is_some_and(|bus| bus.tell_one(to, message));
        if sent {
            self.meters
                .count(catalogue::BUS_MESSAGES, &["out", "answer"]);
        }
        sent
    }

    /// Sends an answer in as many parts as it takes; waits for room for each.
    async fn reply(
        &self,
        to: NodeId,
        (number, until_ms): (u64, u64),
        answered: Result<Bytes, Refused>,
        (kind, mut work): (&'static str, Working),
    ) {
        let count = |outcome| self.meters.count(catalogue::BUS_ANSWERED, &[kind, outcome]);
        let body = match answered {
            Ok(body) => body,
            Err(refused) => {
                count(if refused.code == 0 {
                    "unknown"
                } else {
                    "refused"
                });
                return self.send(
                    to,
                    Answer {
                        number,
                        outcome: Outcome::Refused(refused),
                    },
                );
            }
        };
        if !work.grow(body.len()) {
            count("busy");
            return self.send(
                to,
                Answer {
                    number,
                    outcome: Outcome::Busy,
                },
            );
        }
        let Some(parts) = Part::all_of(body) else {
            count("too_large");
            return self.send(
                to,
                Answer {
                    number,
                    outcome: Outcome::TooLarge,
                },
            );
        };
        for part in parts {
            let answer = Answer {
                number,
                outcome: Outcome::Part(part),
            };
            let message = wire::answer(self.own, to, answer);
            while !self.try_send(to, message.clone()) {
                if self.clock.now_ms() > until_ms {
                    self.dropped_out.add(1);
                    return count("late");
                }
                tokio::time::sleep(FOR_ROOM).await;
            }
        }
        count("ok");
    }
}
