//! What is under way between nodes: the questions this node waits for, and those of others it works on, all of it bounded.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::NodeId;
use super::asks::AskError;
use super::parts::{JOINING_BYTES_MAX, Joiner, Part, Unjoinable};

/// Questions of this node that may wait for answers at once. A busy node hands some thousand operations a second to others, each
/// some milliseconds under way.
pub const ASKED_MAX: usize = 4_096;

/// Questions of others that may be worked on at once; further ones are told to come again.
pub const ANSWERING_MAX: usize = 1_024;

/// What those may hold of bytes together, questions and answers.
pub const ANSWERING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Numbers of questions remembered, so that one that comes twice is answered once: some seconds of a busy cluster.
const SEEN_MAX: usize = 16_384;

/// What this node asked, and what it was asked.
#[derive(Default)]
pub(super) struct Desk {
    last: u64,
    waiting: HashMap<u64, Waiting>,
    /// Bytes of parts that wait for the rest of their answer.
    joining_bytes: usize,
    seen: HashSet<(NodeId, u64)>,
    /// The same, the oldest first.
    seen_order: VecDeque<(NodeId, u64)>,
    /// From when on all others that live are known; nothing while the bus is away.
    pub(super) whole_from: Option<Instant>,
}

struct Waiting {
    node: NodeId,
    parts: Joiner,
    tell: oneshot::Sender<Result<Bytes, AskError>>,
}

impl Desk {
    /// A question's number, for which an answer is waited from now on.
    pub(super) fn wait(
        &mut self,
        node: NodeId,
        tell: oneshot::Sender<Result<Bytes, AskError>>,
    ) -> Result<u64, AskError> {
        if self.waiting.len() >= ASKED_MAX {
            return Err(AskError::Busy);
        }
        self.last += 1;
        let parts = Joiner::default();
        self.waiting
            .insert(self.last, Waiting { node, parts, tell });
        Ok(self.last)
    }

    /// Whether that node's answer is waited for.
    pub(super) fn waits_for(&self, node: NodeId, number: u64) -> bool {
        self.waiting.get(&number).is_some_and(|it| it.node == node)
    }

    /// A part of an answer came; the whole, if that was the last one missing.
    pub(super) fn join(&mut self, number: u64, part: Part) -> Result<Option<Bytes>, AskError> {
        let Some(it) = self.waiting.get_mut(&number) else {
            return Ok(None);
        };
        let before = it.parts.bytes();
        let joined = it.parts.join(part);
        self.joining_bytes = self.joining_bytes + it.parts.bytes() - before;
        if self.joining_bytes > JOINING_BYTES_MAX {
            return Err(AskError::Busy);
        }
        joined.map_err(|Unjoinable| AskError::TooLarge)
    }

    /// Tells who asked.
    pub(super) fn tell(&mut self, number: u64, answer: Result<Bytes, AskError>) {
        if let Some(it) = self.forget(number) {
            // Who does not ask any more needs no answer.
            let _ = it.tell.send(answer);
        }
    }

    fn forget(&mut self, number: u64) -> Option<Waiting> {
        let it = self.waiting.remove(&number)?;
        self.joining_bytes -= it.parts.bytes();
        Some(it)
    }

    /// Whoever asked these nodes gets no answer.
    pub(super) fn fail(&mut self, which: impl Fn(NodeId) -> bool) {
        let numbers = self.waiting.iter();
        let numbers = numbers.filter(|(_, it)| which(it.node));
        let numbers: Vec<u64> = numbers.map(|(number, _)| *number).collect();
        for number in numbers {
            self.tell(number, Err(AskError::Away));
        }
    }

    /// Whether a question of another node comes for the first time.
    pub(super) fn is_new(&mut self, from: NodeId, number: u64) -> bool {
        if !self.seen.insert((from, number)) {
            return false;
        }
        self.seen_order.push_back((from, number));
        if self.seen_order.len() > SEEN_MAX
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

/// Forgets a question when its asker is gone.
pub(super) struct Forget(pub(super) Arc<Mutex<Desk>>, pub(super) u64);

impl Drop for Forget {
    fn drop(&mut self) {
        let mut desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        desk.forget(self.1);
    }
}

/// How much of others' questions is worked on.
#[derive(Default)]
pub(super) struct Work {
    count: AtomicUsize,
    bytes: AtomicUsize,
}

/// One question's share of it.
pub(super) struct Working {
    all: Arc<Work>,
    bytes: usize,
}

impl Work {
    /// Takes a question on, unless there is too much.
    pub(super) fn begin(self: &Arc<Self>, bytes: usize) -> Option<Working> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut working = Working {
            all: Arc::clone(self),
            bytes: 0,
        };
        (count < ANSWERING_MAX && working.grow(bytes)).then_some(working)
    }
}

impl Working {
    /// It holds more; false when that is too much.
    pub(super) fn grow(&mut self, by: usize) -> bool {
        let before = self.all.bytes.fetch_add(by, Ordering::Relaxed);
        self.bytes += by;
        before + by <= ANSWERING_BYTES_MAX
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.all.count.fetch_sub(1, Ordering::Relaxed);
        self.all.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
