//! The ways into the shards: one bounded queue each, and what may lie in it.
//!
//! Commits and answers of ledgers share that queue, so a shard hears of both in the order the ledger
//! made them. A shard's loop never waits for another's queue; whoever may not wait is refused instead.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use klokke_protocol::{ChannelName, DisconnectCode};
use tokio::sync::{mpsc, oneshot};

use super::users::Users;
use crate::hub::{Announcement, PresenceTally, Publication};
use crate::ledger::{Delivery, LedgerId, Outlet, ShardAnswer, ShardGone, SpawnTask, Spawner};
use crate::people::{Change, Roster};
use crate::session::{Event, Identity};
use crate::telemetry::{Meters, catalogue};
use crate::transport::Incoming;
use crate::transport::admission::Refused;
use crate::transport::listener::Intake;
use crate::transport::quic::QuicDoor;

/// What may wait at one shard. A shard works through some hundred thousand a second, so a full
/// queue is some tens of milliseconds of work; more waiting would only make everything later.
pub(super) const MAILBOX_MAX: usize = 8192;

/// Everything that can happen to a shard from outside of its thread.
pub(super) enum ShardInput {
    /// A socket to keep for life.
    Socket(Incoming),
    /// Its part of a UDP port, to serve.
    Quic(Box<QuicDoor>),
    /// A durable commit.
    Delivery(Arc<Delivery<Change>>),
    /// What a ledger answers to this shard, in order with its commits.
    Answer(ShardAnswer),
    /// A publication that is in no stream.
    Publish(Arc<Publication>),
    /// Somebody came or went.
    Announce(Arc<Announcement>),
    /// A part of a question to all shards.
    Ask(Question),
    /// Something happens to some sessions.
    Tell(Directive),
    /// Tell everybody how service is.
    Status(Bytes),
    /// Close the sessions that this says may not go on.
    Judge(Judgement),
    /// Commands of an emulated connection that came in on another shard.
    Uplink { secret: Box<str>, frame: Bytes },
    /// Close everything, spread over some time.
    Drain { over: Duration },
    /// End the thread when ledgers have ended.
    Stop,
}

/// Says with which code a session is to be closed, by who it is; `None` lets it go on.
pub type Judgement = Arc<dyn Fn(&Identity) -> Option<DisconnectCode> + Send + Sync>;

/// A question every shard answers for itself. Asking is over when the asker is gone.
pub(super) enum Question {
    Presence(
        ChannelName,
        oneshot::Sender<Vec<Arc<klokke_protocol::ClientInfo>>>,
    ),
    Tally(ChannelName, oneshot::Sender<PresenceTally>),
    Channels(oneshot::Sender<Vec<(ChannelName, usize)>>),
    Counts(oneshot::Sender<Counts>),
    Connections(Listing, oneshot::Sender<Vec<ConnectionInfo>>),
    /// Whether somebody here follows a channel of a ledger or sees by its word.
    Follows(LedgerId, oneshot::Sender<bool>),
}

/// How much one shard or the node holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open connections.
    pub connections: usize,
    /// Named users, counted on each shard for itself.
    pub users: usize,
    /// Channels with a subscriber, counted on each shard for itself.
    pub channels: usize,
    /// Subscriptions.
    pub subscriptions: usize,
}

/// One open connection, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The connection's id.
    pub client: String,
    /// The user; empty when anonymous.
    pub user: String,
    /// By which door it came.
    pub transport: Cow<'static, str>,
    /// How its messages are written: `json` or `protobuf`.
    pub protocol: Cow<'static, str>,
    /// Its channels in generic namespaces.
    pub channels: Vec<String>,
    /// Bytes waiting because it reads slowly.
    pub queued_bytes: usize,
}

/// Which sessions are meant.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Connections of this user.
    pub user: String,
    /// Only this connection, when not empty.
    pub client: String,
    /// Only the connection with this emulation secret, when not empty.
    pub session: String,
    /// All but these connections.
    pub spared: Vec<String>,
}

impl Target {
    /// Whether it names nobody. To act on, that is nobody; to list, it is everybody.
    pub(super) fn is_empty(&self) -> bool {
        self.user.is_empty() && self.client.is_empty() && self.session.is_empty()
    }
}

/// A page of open connections, in the order of their ids.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Which; one that names nobody means all.
    pub target: Target,
    /// Begin after this id.
    pub after: String,
    /// At most so many.
    pub limit: usize,
}

/// An event for all sessions meant.
#[derive(Clone)]
pub(super) struct Directive {
    pub(super) target: Target,
    pub(super) event: Event,
}

/// One shard's queues.
pub(super) struct Mailbox {
    inputs: mpsc::Sender<ShardInput>,
    /// Actors to start. Bounded by the number of ledgers, and never waits: a ledger must come to
    /// life also when everything else is full.
    tasks: mpsc::UnboundedSender<SpawnTask>,
    /// Connections the shard holds.
    pub(super) load: AtomicUsize,
}

/// The receiving ends of one shard.
pub(super) struct Inbound {
    pub(super) inputs: mpsc::Receiver<ShardInput>,
    pub(super) tasks: mpsc::UnboundedReceiver<SpawnTask>,
}

/// All shards, seen from outside.
pub(super) struct Shards {
    mailboxes: Box<[Mailbox]>,
    meters: Meters,
    /// Connections by user, where they are limited.
    pub(super) users: Arc<Users>,
}

/// A shard's queue is full, or the shard has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a shard has too much waiting")]
pub struct Busy;

impl Shards {
    pub(super) fn new(count: usize, meters: Meters) -> (Arc<Self>, Vec<Inbound>) {
        let (mailboxes, inbound): (Vec<_>, Vec<_>) = (0..count.max(1))
            .map(|_| {
                let (inputs, incoming) = mpsc::channel(MAILBOX_MAX);
                let (tasks, starting) = mpsc::unbounded_channel();
                let mailbox = Mailbox {
                    inputs,
                    tasks,
                    load: AtomicUsize::new(0),
                };
                let inbound = Inbound {
                    inputs: incoming,
                    tasks: starting,
                };
                (mailbox, inbound)
            })
            .unzip();
        let shards = Self {
            users: Users::new(),
            mailboxes: mailboxes.into_boxed_slice(),
            meters,
        };
        (Arc::new(shards), inbound)
    }

    pub(super) fn count(&self) -> usize {
        self.mailboxes.len()
    }

    pub(super) fn mailbox(&self, shard: usize) -> Option<&Mailbox> {
        self.mailboxes.get(shard)
    }

    /// Gives something to one shard without waiting.
    pub(super) fn give(&self, shard: usize, input: ShardInput) -> Result<(), Busy> {
        let mailbox = self.mailboxes.get(shard).ok_or(Busy)?;
        mailbox.inputs.try_send(input).map_err(|_| self.full())
    }

    /// Gives commands of an emulated connection to the shard that has it, which its secret begins with. One that no shard has is
    /// nobody's: the sender must not learn that.
    pub(super) fn route(&self, secret: &str, frame: Bytes) -> Result<(), Busy> {
        match owner_of(secret) {
            Some(owner) if owner < self.count() => {
                let secret = secret.into();
                self.give(owner, ShardInput::Uplink { secret, frame })
            }
            _ => Ok(()),
        }
    }

    /// Gives something to every shard but `but`, or to none of them.
    pub(super) fn give_all(
        &self,
        but: Option<usize>,
        mut input: impl FnMut() -> ShardInput,
    ) -> Result<(), Busy> {
        let others = self.mailboxes.iter().enumerate();
        let others = others.filter(|(shard, _)| Some(*shard) != but);
        let mut places = Vec::with_capacity(self.mailboxes.len());
        for (_, mailbox) in others {
            places.push(mailbox.inputs.try_reserve().map_err(|_| self.full())?);
        }
        for place in places {
            place.send(input());
        }
        Ok(())
    }

    /// Gives something to every shard, waiting where it must. Not for shards themselves.
    pub(super) async fn send_all(&self, mut input: impl FnMut() -> ShardInput) {
        for mailbox in &self.mailboxes {
            // A shard that has ended needs no news.
            let _ = mailbox.inputs.send(input()).await;
        }
    }

    /// Gives each shard something of its own, in their order and as long as there is something.
    pub(super) async fn give_each(&self, mut input: impl FnMut() -> Option<ShardInput>) {
        for mailbox in &self.mailboxes {
            if let Some(input) = input() {
                // A shard that has ended serves nobody.
                let _ = mailbox.inputs.send(input).await;
            }
        }
    }

    fn full(&self) -> Busy {
        self.meters.count(catalogue::SHARD_MAILBOX_FULL, &[]);
        Busy
    }
}

/// The shard that an emulated connection's secret begins with.
pub(super) fn owner_of(secret: &str) -> Option<usize> {
    usize::from_str_radix(secret.get(..4)?, 16).ok()
}

impl Spawner for Shards {
    fn shards(&self) -> usize {
        self.mailboxes.len()
    }

    fn spawn(&self, shard: usize, task: SpawnTask) -> Result<(), ShardGone> {
        let mailbox = &self.mailboxes[shard % self.mailboxes.len()];
        mailbox.tasks.send(task).map_err(|_| ShardGone)
    }
}

#[async_trait]
impl Outlet<Roster> for Shards {
    async fn deliver(&self, delivery: Arc<Delivery<Change>>) {
        self.send_all(|| ShardInput::Delivery(Arc::clone(&delivery)))
            .await;
    }

    async fn answer(&self, shard: usize, answer: ShardAnswer) {
        if let Some(mailbox) = self.mailboxes.get(shard) {
            // A shard that has ended waits for no answer.
            let _ = mailbox.inputs.send(ShardInput::Answer(answer)).await;
        }
    }

    async fn follows(&self, ledger: &LedgerId) -> bool {
        for mailbox in &self.mailboxes {
            let (reply, follows) = oneshot::channel();
            let question = Question::Follows(ledger.clone(), reply);
            // A shard that has ended follows nothing.
            let _ = mailbox.inputs.send(ShardInput::Ask(question)).await;
            if follows.await == Ok(true) {
                return true;
            }
        }
        false
    }
}

impl Intake for Shards {
    /// To the shard with the fewest connections.
    fn take(&self, incoming: Incoming) -> Result<(), Incoming> {
        let lightest = self
            .mailboxes
            .iter()
            .min_by_key(|mailbox| mailbox.load.load(Ordering::Relaxed));
        let Some(mailbox) = lightest else {
            return Err(incoming);
        };
        match mailbox.inputs.try_reserve() {
            Ok(place) => {
                // Counted here and not when the shard comes to it: a thousand may come before.
                mailbox.load.fetch_add(1, Ordering::Relaxed);
                place.send(ShardInput::Socket(incoming));
                Ok(())
            }
            Err(_) => {
                self.full();
                Err(incoming)
            }
        }
    }

    fn accepted(&self, tls: bool) {
        let listener = if tls { "tls" } else { "plain" };
        self.meters.count(catalogue::ACCEPTED_SOCKETS, &[listener]);
    }

    fn refused(&self, why: Refused) {
        let reason = match why {
            Refused::Full => "connection_limit",
            Refused::Address => "address_limit",
            Refused::Rate => "rate",
        };
        self.meters.count(catalogue::HANDSHAKES_REFUSED, &[reason]);
        if why == Refused::Full {
            self.meters.count(catalogue::NODE_CONNECTION_LIMIT, &[]);
        }
    }

    fn exhausted(&self) {
        self.meters
            .count(catalogue::HANDSHAKES_REFUSED, &["connection_limit"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    #[test]
    fn what_a_full_shard_refuses_is_counted() {
        let telemetry = Telemetry::new();
        let (shards, _inbound) = Shards::new(2, telemetry.meters());
        for _ in 0..MAILBOX_MAX {
            assert_eq!(shards.give(1, ShardInput::Stop), Ok(()));
        }
        assert_eq!(shards.give(1, ShardInput::Stop), Err(Busy));
        assert_eq!(shards.give_all(None, || ShardInput::Stop), Err(Busy));
        let counted = telemetry.exposition();
        assert!(counted.contains("\nklokke_shard_mailbox_full_total 2\n"));
    }

    #[test]
    fn who_is_not_let_in_is_counted_by_reason() {
        let telemetry = Telemetry::new();
        let (shards, _inbound) = Shards::new(1, telemetry.meters());
        for why in [Refused::Full, Refused::Rate, Refused::Address] {
            shards.accepted(why == Refused::Full);
            shards.refused(why);
        }
        let counted = telemetry.exposition();
        for series in [
            "klokke_transport_sockets_accepted_total{listener=\"plain\"} 2",
            "klokke_transport_sockets_accepted_total{listener=\"tls\"} 1",
            "klokke_transport_handshakes_refused_total{reason=\"connection_limit\"} 1",
            "klokke_transport_handshakes_refused_total{reason=\"rate\"} 1",
            "klokke_transport_handshakes_refused_total{reason=\"address_limit\"} 1",
            "centrifugo_node_client_connection_limit 1",
        ] {
            assert!(counted.contains(&format!("\n{series}\n")), "{series}");
        }
    }
}
