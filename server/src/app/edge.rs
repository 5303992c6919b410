//! The running node as the HTTP edge sees it: adapters between two rooms that do not know each other.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join;
use klokke_protocol::{ChannelName, ClientInfo, Disconnect, ErrorReply, Position, Unsubscribe};

use super::figures;
use crate::bus::{Asks, Refused, kind};
use crate::http::api::{
    ConnectionInfo, Failure, NodeInfo, NodeMetrics, NodeProcess, Outgoing, Range, Realtime, Who,
};
use crate::runtime::{Control, Listing, Publishing, Target, nodes};
use crate::session::{HistoryPage, PresenceCount, RESERVED, ServerSubscription};
use crate::telemetry::{ProcessFigures, Telemetry};

/// The node behind the server API.
pub(super) struct RunningNode {
    control: Control,
    asks: Asks,
    telemetry: Telemetry,
    uid: String,
    name: String,
    since: Instant,
}

impl RunningNode {
    pub(super) fn new(control: Control, asks: Asks, telemetry: Telemetry, name: String) -> Self {
        Self {
            control,
            uid: asks.own().to_string(),
            asks,
            telemetry,
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
            arrived_us: outgoing.arrived_us,
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
            .await
            .map_err(failure)
    }

    async fn unsubscribe(
        &self,
        who: Who,
        channel: Option<ChannelName>,
        unsubscribe: Unsubscribe,
    ) -> Result<(), Failure> {
        self.control
            .unsubscribe(target(who, Vec::new()), channel, unsubscribe)
            .await
            .map_err(failure)
    }

    async fn disconnect(
        &self,
        who: Who,
        disconnect: Disconnect,
        spared: Vec<String>,
    ) -> Result<(), Failure> {
        self.control
            .disconnect(target(who, spared), disconnect)
            .await
            .map_err(failure)
    }

    async fn refresh(
        &self,
        who: Who,
        expires_at_ms: Option<u64>,
        info: Option<Bytes>,
    ) -> Result<(), Failure> {
        self.control
            .refresh(target(who, Vec::new()), expires_at_ms, info)
            .await
            .map_err(failure)
    }

    async fn channels(&self) -> Result<Vec<(ChannelName, u32)>, Failure> {
        let channels = self.control.channels().await.map_err(failure)?;
        let generic = channels
            .into_iter()
            .filter(|(name, _)| !RESERVED.contains(&name.namespace()));
        Ok(generic.map(|(name, count)| (name, number(count))).collect())
    }

    async fn connections(
        &self,
        user: Option<String>,
        after: &str,
        limit: usize,
    ) -> Result<Vec<ConnectionInfo>, Failure> {
        let listing = Listing {
            target: Target {
                user: user.unwrap_or_default(),
                ..Target::default()
            },
            after: after.to_owned(),
            limit,
        };
        let open = self.control.connections(&listing).await.map_err(failure)?;
        let shown = open.into_iter().map(|it| ConnectionInfo {
            client: it.client,
            user: it.user,
            transport: it.transport.into_owned(),
            protocol: it.protocol.into_owned(),
            channels: it.channels,
        });
        Ok(shown.collect())
    }

    async fn nodes(&self) -> Result<Vec<NodeInfo>, Failure> {
        let others = nodes::everybody(&self.asks, kind::INFO, Bytes::new());
        let (own, others) = try_join(self.info(), others).await.map_err(failure)?;
        let others: Option<Vec<NodeInfo>> = others.into_iter().map(figures::read).collect();
        let mut all = others.ok_or_else(Failure::internal)?;
        all.push(own);
        all.sort_unstable_by(|a, b| (&a.name, &a.uid).cmp(&(&b.name, &b.uid)));
        Ok(all)
    }
}

impl RunningNode {
    /// This node's figures, for others.
    pub(super) async fn figures(&self) -> Result<Bytes, Refused> {
        let info = self.info().await.map_err(|error| Refused {
            code: error.code,
            text: error.message,
        })?;
        Ok(figures::write(info))
    }

    async fn info(&self) -> Result<NodeInfo, ErrorReply> {
        let counts = self.control.counts().await?;
        let process = ProcessFigures::now();
        let interval = self.since.elapsed().as_secs_f64();
        let totals = self.telemetry.totals().into_iter();
        Ok(NodeInfo {
            uid: self.uid.clone(),
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            num_clients: number(counts.connections),
            num_users: number(counts.users),
            num_channels: number(counts.channels),
            num_subs: number(counts.subscriptions),
            uptime: self.since.elapsed().as_secs(),
            metrics: NodeMetrics {
                interval,
                items: totals.map(|(name, sum)| (name.to_owned(), sum)).collect(),
            },
            process: NodeProcess {
                cpu: 100.0 * process.cpu_seconds / interval.max(1.0),
                rss: process.resident_bytes,
            },
        })
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
