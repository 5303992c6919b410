//! Which nodes there are, and which of them a ledger's writes prefer. A machine without I/O.
//!
//! A node is there as long as it says so. Which one a ledger prefers is worked out by everybody alike from that (rendezvous hashing):
//! nobody is asked, and when a node comes or goes only its own ledgers move. It is a preference, never a right: who thinks otherwise
//! for a while writes too, and the store's compare-and-set decides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::wire::Hello;
use crate::ledger::LedgerId;

/// Most nodes remembered. A national installation has some tens; more means that somebody floods the bus.
const NODES_MAX: usize = 1_024;

/// Nodes remembered that said that they are gone, so that a greeting that comes late does not bring them back. Their ids never come
/// again; of those that went before the last sixty-four nothing is on its way any more.
const GONE_MAX: usize = 64;

/// A node's id: drawn anew at each start, so that a node that was restarted is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Uuid);

impl NodeId {
    /// Of a node that starts.
    #[must_use]
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// As [`std::fmt::Display`] writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    pub(super) const fn to_bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Another node, as it last said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it said.
    pub hello: Hello,
    /// When it was heard, by this node's clock.
    pub heard_ms: u64,
    /// How long it may stay silent before it counts as gone, by this node's clock.
    patience_ms: u64,
}

impl Member {
    /// How far its clock was from this node's, the way of the greeting included.
    #[must_use]
    pub const fn skew(&self) -> Duration {
        Duration::from_millis(self.heard_ms.abs_diff(self.hello.now_ms))
    }
}

/// Where this node itself stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Here,
    Leaving,
    Gone,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A node came.
    Joined(NodeId),
    /// A node said that it goes, or was not heard of any more.
    Gone(NodeId),
}

/// See the file.
#[derive(Debug)]
pub struct Members {
    own: NodeId,
    standing: Standing,
    others: BTreeMap<NodeId, Member>,
    /// Of these: who did not answer in time, and was not heard of since.
    suspects: BTreeSet<NodeId>,
    gone: VecDeque<NodeId>,
    gone_after_ms: u64,
    /// When this node last asked itself who is silent.
    ticked_ms: Option<u64>,
}

impl Members {
    /// This node alone.
    #[must_use]
    pub const fn new(own: NodeId, gone_after_ms: u64) -> Self {
        Self {
            own,
            standing: Standing::Here,
            others: BTreeMap::new(),
            suspects: BTreeSet::new(),
            gone: VecDeque::new(),
            gone_after_ms,
            ticked_ms: None,
        }
    }

    /// A node said that it is there.
    pub fn heard(&mut self, from: NodeId, hello: Hello, now_ms: u64) -> Option<Change> {
        if from == self.own || self.gone.contains(&from) {
            return None;
        }
        self.suspects.remove(&from);
        if hello.gone {
            self.gone.truncate(GONE_MAX - 1);
            self.gone.push_front(from);
            return self.others.remove(&from).map(|_| Change::Gone(from));
        }
        let is_known = self.others.contains_key(&from);
        if !is_known && self.others.len() >= NODES_MAX {
            return None;
        }
        let member = Member {
            hello,
            heard_ms: now_ms,
            patience_ms: now_ms.saturating_add(self.gone_after_ms),
        };
        self.others.insert(from, member);
        (!is_known).then_some(Change::Joined(from))
    }

    /// Who was not heard of for too long. To be asked at least three times in the time after which somebody is gone: half of that time may pass
    /// between two questions before this node counts as frozen.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Change> {
        // While this node was frozen, or its clock was put forward, it heard nobody, and nobody was silent.
        let since = now_ms.saturating_sub(self.ticked_ms.unwrap_or(now_ms));
        let unheard = since.saturating_sub(self.gone_after_ms / 2);
        self.ticked_ms = Some(now_ms);
        let most = now_ms.saturating_add(self.gone_after_ms);
        for member in self.others.values_mut() {
            member.patience_ms = member.patience_ms.saturating_add(unheard).min(most);
        }
        let gone: Vec<NodeId> = self
            .others
            .iter()
            .filter(|(_, member)| now_ms > member.patience_ms)
            .map(|(id, _)| *id)
            .collect();
        for id in &gone {
            self.others.remove(id);
            self.suspects.remove(id);
        }
        gone.into_iter().map(Change::Gone).collect()
    }

    /// A member did not answer in time.
    pub fn suspect(&mut self, node: NodeId) {
        if self.others.contains_key(&node) {
            self.suspects.insert(node);
        }
    }

    /// A member said something else than that it is there.
    pub fn is_alive(&mut self, node: NodeId) {
        self.suspects.remove(&node);
    }

    /// Whether a member did not answer in time and was not heard of since: whoever has a choice asks another.
    #[must_use]
    pub fn is_suspect(&self, node: NodeId) -> bool {
        self.suspects.contains(&node)
    }

    /// This node is about to leave: no ledger prefers it any more, as long as there is another.
    pub fn leave(&mut self) {
        if self.standing == Standing::Here {
            self.standing = Standing::Leaving;
        }
    }

    /// This node writes nothing any more.
    pub const fn go(&mut self) {
        self.standing = Standing::Gone;
    }

    /// Whether this node is about to leave, or gone.
    #[must_use]
    pub fn leaves(&self) -> bool {
        self.standing != Standing::Here
    }

    /// Whether this node writes nothing any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.standing == Standing::Gone
    }

    /// What another node last said.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Option<&Member> {
        self.others.get(&node)
    }

    /// All other nodes.
    pub fn others(&self) -> impl Iterator<Item = (&NodeId, &Member)> {
        self.others.iter()
    }

    /// How many nodes there are, this one included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.others.len() + 1
    }

    /// The node that a ledger's writes prefer.
    #[must_use]
    pub fn preferred(&self, ledger: &LedgerId) -> NodeId {
        let staying = self.others.iter().filter(|(_, it)| !it.hello.leaving);
        let own = (!self.leaves()).then_some(self.own);
        let all = staying.map(|(id, _)| *id).chain(own);
        all.max_by_key(|id| (weight(*id, ledger), *id))
            .unwrap_or(self.own)
    }
}

/// The same for all who ask: the follower writes it down, others read.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Known>);

#[derive(Debug)]
struct Known {
    members: RwLock<Members>,
    /// This node's own standing changed, and others must hear it.
    moved: Notify,
    /// Whether the bus is there.
    up: watch::Sender<bool>,
}

impl Shared {
    /// Of a node that begins.
    #[must_use]
    pub fn new(members: Members) -> Self {
        Self(Arc::new(Known {
            members: RwLock::new(members),
            moved: Notify::new(),
            up: watch::Sender::new(false),
        }))
    }

    /// Whether a ledger's writes, and what is done for it now and then, are this node's.
    #[must_use]
    pub fn prefers(&self, ledger: &LedgerId) -> bool {
        self.read(|members| members.preferred(ledger) == members.own)
    }

    /// Whether there is that other node.
    #[must_use]
    pub fn is_member(&self, node: NodeId) -> bool {
        self.read(|members| members.others.contains_key(&node))
    }

    /// All other nodes.
    #[must_use]
    pub fn ids(&self) -> Vec<NodeId> {
        self.read(|members| members.others.keys().copied().collect())
    }

    /// See [`Members::is_suspect`].
    #[must_use]
    pub fn is_suspect(&self, node: NodeId) -> bool {
        self.read(|members| members.is_suspect(node))
    }

    /// See [`Members::suspect`].
    pub fn suspect(&self, node: NodeId) {
        self.change(|members| members.suspect(node));
    }

    /// Notes that this node is about to leave; others are told at once.
    pub fn leave(&self) {
        self.change(Members::leave);
        self.0.moved.notify_one();
    }

    /// Notes that this node writes nothing any more; others are told at once, and it follows them no longer.
    pub fn go(&self) {
        self.change(Members::go);
        self.0.moved.notify_one();
    }

    /// Whether the bus is there.
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self.0.up.borrow()
    }

    /// Waits until the bus is there, however long that takes.
    pub async fn until_up(&self) {
        // Never fails: the sender is kept beside.
        let _ = self.0.up.subscribe().wait_for(|is_up| *is_up).await;
    }

    /// Looks at who is there.
    pub fn read<R>(&self, how: impl FnOnce(&Members) -> R) -> R {
        how(&self
            .0
            .members
            .read()
            .unwrap_or_else(PoisonError::into_inner))
    }

    /// This node's standing changed since this was last awaited.
    pub(super) async fn moved(&self) {
        self.0.moved.notified().await;
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.0.up.send_replace(is_up);
    }

    pub(super) fn change<R>(&self, how: impl FnOnce(&mut Members) -> R) -> R {
        how(&mut self
            .0
            .members
            .write()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

fn weight(node: NodeId, ledger: &LedgerId) -> u64 {
    let seed = xxh3_64_with_seed(&node.to_bytes(), 0);
    xxh3_64_with_seed(ledger.as_str().as_bytes(), seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u128) -> NodeId {
        NodeId::new(Uuid::from_u128(n))
    }

    fn hello() -> Hello {
        Hello {
            name: "a".into(),
            version: "1".into(),
            settings: 0,
            now_ms: 0,
            leaving: false,
            gone: false,
        }
    }

    fn ledgers() -> Vec<LedgerId> {
        let name = |n: u32| LedgerId::parse(&format!("G{n}")).expect("valid");
        (0..3_000).map(name).collect()
    }

    #[test]
    fn a_silent_node_is_gone_and_one_that_says_so_at_once() {
        let mut members = Members::new(node(1), 5_000);
        assert_eq!(
            members.heard(node(2), hello(), 0),
            Some(Change::Joined(node(2)))
        );
        assert_eq!(members.heard(node(2), hello(), 4_000), None);
        assert_eq!(members.tick(9_000), []);
        assert_eq!(members.tick(9_001), [Change::Gone(node(2))]);
        assert_eq!(
            members.heard(node(1), hello(), 0),
            None,
            "that is this node"
        );
        members.heard(node(3), hello(), 9_001);
        let gone = Hello {
            gone: true,
            ..hello()
        };
        assert_eq!(
            members.heard(node(3), gone, 9_002),
            Some(Change::Gone(node(3)))
        );
        assert_eq!(members.count(), 1);
        assert_eq!(members.heard(node(3), hello(), 9_003), None, "told before");
        assert_eq!(members.count(), 1);
        for n in 4..=70 {
            members.heard(node(n), hello(), 9_004);
            members.heard(
                node(n),
                Hello {
                    gone: true,
                    ..hello()
                },
                9_004,
            );
        }
        assert_eq!((members.count(), members.gone.len()), (1, GONE_MAX));
    }

    #[test]
    fn who_was_frozen_does_not_take_the_others_for_gone() {
        let mut members = Members::new(node(1), 5_000);
        members.heard(node(2), hello(), 0);
        assert_eq!(members.tick(2_000), []);
        // Frozen for twenty seconds; what the other said meanwhile has still to be read.
        assert_eq!(members.tick(22_000), []);
        assert_eq!(members.heard(node(2), hello(), 22_001), None, "no new node");
        // Really silent from then on.
        assert_eq!(members.tick(24_000), []);
        assert_eq!(members.tick(26_000), []);
        assert_eq!(members.tick(28_000), [Change::Gone(node(2))]);
        // Heard after it, before this node asks itself: no more patience than with anybody.
        members.heard(node(2), hello(), 3_600_000);
        assert_eq!(members.tick(3_600_001), []);
        assert_eq!(members.tick(3_602_500), []);
        assert_eq!(members.tick(3_605_000), []);
        assert_eq!(members.tick(3_605_002), [Change::Gone(node(2))]);
    }

    #[test]
    fn all_nodes_prefer_the_same_and_only_a_lost_ones_ledgers_move() {
        let all = [node(1), node(2), node(3)];
        let seen_by = |own: NodeId, there: &[NodeId]| {
            let mut members = Members::new(own, 5_000);
            for id in there {
                members.heard(*id, hello(), 0);
            }
            members
        };
        let views = all.map(|own| seen_by(own, &all));
        let after = seen_by(node(1), &[node(2)]);
        let mut shares = BTreeMap::new();
        for ledger in ledgers() {
            let preferred = views[0].preferred(&ledger);
            assert!(
                views
                    .iter()
                    .all(|view| view.preferred(&ledger) == preferred)
            );
            *shares.entry(preferred).or_insert(0) += 1;
            if preferred != node(3) {
                assert_eq!(after.preferred(&ledger), preferred);
            }
        }
        assert!(
            shares.values().all(|share| (800..1_200).contains(share)),
            "{shares:?}"
        );
    }

    #[test]
    fn who_leaves_is_preferred_by_nothing() {
        let mut members = Members::new(node(1), 5_000);
        let ledger = ledgers().remove(0);
        members.leave();
        assert_eq!(members.preferred(&ledger), node(1), "there is nobody else");
        members.heard(node(2), hello(), 0);
        assert_eq!(members.preferred(&ledger), node(2));
        members.go();
        members.leave();
        assert!(members.is_gone(), "who is gone does not come back");
    }
}
