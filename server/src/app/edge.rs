//! The running node as the HTTP edge sees it: adapters between two rooms that do not know each other.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use klokke_protocol::{ChannelName, ClientInfo, Disconnect, ErrorReply, Position, Unsubscribe};

use crate::http::api::{ConnectionInfo, Failure, NodeInfo, Outgoing, Range, Realtime, Who};
use crate::http::health::{Ailment, Vitals};
use crate::runtime::{Control, Publishing, Target};
use crate::session::{HistoryPage, PresenceCount, RESERVED, ServerSubscription};
use crate::store::Store;

/// The node behind the server API.
pub(super) struct RunningNode {
    control: Control,
    uid: String,
    name: String,
    since: Instant,
}

impl RunningNode {
    pub(super) fn new(control: Control, uid: String, name: String) -> Self {
        Self {
            control,
            uid,
            name,
            since: Instant::now(),
        }
    }
}

#[async_trait]
impl Realtime for RunningNode {
    async fn publish(
        &self,
        channel: &ChannelName,
        outgoing: Outgoing,
    ) -> Result<Option<Position>, Failure> {
        let publishing = Publishing {
            data: outgoing.data,
            tags: outgoing.tags,
            idempotency: outgoing.idempotency_key,
            delta: outgoing.delta,
            skip_history: outgoing.skip_history,
            ..Publishing::default()
        };
        let published = self
            .control
            .publish(channel, publishing)
            .await
            .map_err(failure)?;
        let position = Position {
            offset: published.offset,
            epoch: published.epoch,
        };
        Ok((position.offset > 0).then_some(position))
    }

    async fn history(&self, channel: &ChannelName, range: Range) -> Result<HistoryPage, Failure> {
        let limit = range.limit.unwrap_or(u32::MAX);
        self.control
            .history(channel, limit, range.since, range.reverse)
            .await
            .map_err(failure)
    }

    async fn history_remove(&self, channel: &ChannelName) -> Result<(), Failure> {
        self.control.history_remove(channel).await.map_err(failure)
    }

    async fn presence(&self, channel: &ChannelName) -> Result<Vec<ClientInfo>, Failure> {
        let present = self.control.presence(channel).await.map_err(failure)?;
        Ok(present.into_iter().map(Arc::unwrap_or_clone).collect())
    }

    async fn presence_stats(&self, channel: &ChannelName) -> Result<PresenceCount, Failure> {
        self.control.presence_stats(channel).await.map_err(failure)
    }

    async fn subscribe(&self, who: Who, subscription: ServerSubscription) -> Result<(), Failure> {
        self.control
            .subscribe(target(who, Vec::new()), subscription)
            .await;
        Ok(())
    }

    async fn unsubscribe(
        &self,
        who: Who,
        channel: Option<ChannelName>,
        unsubscribe: Unsubscribe,
    ) -> Result<(), Failure> {
        self.control
            .unsubscribe(target(who, Vec::new()), channel, unsubscribe)
            .await;
        Ok(())
    }

    async fn disconnect(
        &self,
        who: Who,
        disconnect: Disconnect,
        spared: Vec<String>,
    ) -> Result<(), Failure> {
        self.control
            .disconnect(target(who, spared), disconnect)
            .await;
        Ok(())
    }

    async fn refresh(
        &self,
        who: Who,
        expires_at_ms: Option<u64>,
        info: Option<Bytes>,
    ) -> Result<(), Failure> {
        self.control
            .refresh(target(who, Vec::new()), expires_at_ms, info)
            .await;
        Ok(())
    }

    async fn channels(&self) -> Result<Vec<(ChannelName, u32)>, Failure> {
        let channels = self.control.channels().await.map_err(failure)?;
        let generic = channels
            .into_iter()
            .filter(|(name, _)| !RESERVED.contains(&name.namespace()));
        Ok(generic.map(|(name, count)| (name, number(count))).collect())
    }

    async fn connections(&self, user: Option<String>) -> Result<Vec<ConnectionInfo>, Failure> {
        let target = Target {
            user: user.unwrap_or_default(),
            ..Target::default()
        };
        let open = self.control.connections(&target).await.map_err(failure)?;
        let shown = open.into_iter().map(|it| ConnectionInfo {
            client: it.client,
            user: it.user,
            transport: it.transport.to_owned(),
            protocol: it.protocol.to_owned(),
            channels: it.channels,
        });
        Ok(shown.collect())
    }

    async fn nodes(&self) -> Result<Vec<NodeInfo>, Failure> {
        let counts = self.control.counts().await.map_err(failure)?;
        Ok(vec![NodeInfo {
            uid: self.uid.clone(),
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            num_clients: number(counts.connections),
            num_users: number(counts.users),
            num_channels: number(counts.channels),
            num_subs: number(counts.subscriptions),
            uptime: self.since.elapsed().as_secs(),
        }])
    }
}

fn target(who: Who, spared: Vec<String>) -> Target {
    Target {
        user: who.user,
        client: who.client,
        session: who.session,
        spared,
    }
}

fn failure(error: ErrorReply) -> Failure {
    Failure::new(error.code, error.message)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether the node is well.
pub(super) struct NodeVitals {
    store: Arc<dyn Store>,
}

impl NodeVitals {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

impl Vitals for NodeVitals {
    fn ailments(&self) -> Vec<Ailment> {
        let damage = self.store.damage();
        let mut ailments: Vec<Ailment> = Vec::new();
        if let Some(first) = damage.first() {
            let reason = format!(
                "{} findings of damage, the first: {first}; those ledgers refuse to serve, all others go on",
                damage.len()
            );
            ailments.push(Ailment {
                part: "store",
                reason,
                serving: true,
            });
        }
        if let Some(why) = self.store.refuses_writes() {
            // Everybody still reads and hears; taken out of service, they would not even do that.
            let reason = format!(
                "nothing new is stored until the cause is gone and the server is restarted: {why}"
            );
            ailments.push(Ailment {
                part: "store",
                reason,
                serving: true,
            });
        }
        ailments
    }
}
