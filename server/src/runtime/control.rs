//! The node from outside of its shards: what the server API, operators and shutdown ask of it and, through it, of all nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join;
use klokke_protocol::{
    ChannelName, ClientInfo, ErrorCode, ErrorReply, StreamPosition, Unsubscribe,
};
use tokio::sync::oneshot;

use super::mailbox::{
    ConnectionInfo, Counts, Directive, Judgement, Listing, Question, ShardInput, Shards, Target,
};
use super::publish::{self, Published, Publishing};
use super::streams::{self, PageWish, Reader};
use super::{Services, nodes};
use crate::hub::PresenceTally;
use crate::session::{Event, HistoryPage, Namespace, PresenceCount, ServerSubscription};

/// A handle to the running node. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Control {
    pub(super) shards: Arc<Shards>,
    pub(super) services: Services,
}

impl Control {
    /// Publishes to a generic channel. Channel permissions are not asked: back ends may publish
    /// everywhere but to the domain.
    ///
    /// # Errors
    /// 102 for an unknown namespace, 106 when it is more than nodes tell each other, 107 for an empty payload or a domain channel,
    /// 111 when busy.
    pub async fn publish(
        &self,
        channel: &ChannelName,
        publishing: Publishing,
    ) -> Result<Published, ErrorReply> {
        self.generic(channel)?;
        if publishing.data.is_empty() {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        let streamed = publish::keeps_history(&self.services, channel)?;
        if streamed && !publishing.skip_history {
            let services = self.services.clone();
            return publish::commit(services, channel.clone(), publishing, "api").await;
        }
        let publication = publish::unstreamed(&self.services, channel.clone(), publishing);
        let told = nodes::publication(&self.services, &publication)?;
        let given = self
            .shards
            .give_all(None, || ShardInput::Publish(Arc::clone(&publication)));
        given.map_err(|_| ErrorReply::from(ErrorCode::TOO_MANY_REQUESTS))?;
        nodes::tell(&self.services, told);
        Ok(Published::default())
    }

    /// Publishes what another node was asked for. Nothing when it cannot be read here.
    pub async fn publish_errand(&self, errand: Bytes) -> Option<Bytes> {
        super::errand::run(self.services.clone(), errand).await
    }

    /// Reads history of a generic channel.
    ///
    /// # Errors
    /// 102, 107, 108 when the namespace keeps none, 112 for another epoch.
    pub async fn history(
        &self,
        channel: &ChannelName,
        limit: u32,
        since: Option<StreamPosition>,
        reverse: bool,
    ) -> Result<HistoryPage, ErrorReply> {
        self.generic(channel)?;
        if !publish::keeps_history(&self.services, channel)? {
            return Err(ErrorCode::NOT_AVAILABLE.into());
        }
        if reverse && since.as_ref().is_some_and(|since| since.offset == 0) {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        let wish = PageWish {
            channel: channel.clone(),
            limit,
            since,
            reverse,
        };
        streams::page(self.services.clone(), wish, Reader::SERVER).await
    }

    /// Empties the history of a generic channel; its position stays.
    ///
    /// # Errors
    /// 102, 107, 108 when the namespace keeps none, 100 when the store fails.
    pub async fn history_remove(&self, channel: &ChannelName) -> Result<(), ErrorReply> {
        self.generic(channel)?;
        if !publish::keeps_history(&self.services, channel)? {
            return Err(ErrorCode::NOT_AVAILABLE.into());
        }
        let ledgers = self.services.domain.ledgers();
        let removed = ledgers.remove_history(channel).await;
        removed.map_err(|error| streams::error_of(&error))
    }

    /// Who is present in a channel, on all nodes.
    ///
    /// # Errors
    /// 102, 108 when presence is off, 111 when busy, 100 when another node cannot be asked.
    pub async fn presence(
        &self,
        channel: &ChannelName,
    ) -> Result<Vec<Arc<ClientInfo>>, ErrorReply> {
        self.keeps_presence(channel)?;
        let others = nodes::presence(self.services.asks.clone(), channel.clone());
        let (mut present, others) = try_join(self.presence_here(channel), others).await?;
        present.extend(others.into_iter().map(Arc::new));
        Ok(present)
    }

    /// How many are present in a channel.
    ///
    /// # Errors
    /// See [`Control::presence`].
    pub async fn presence_stats(&self, channel: &ChannelName) -> Result<PresenceCount, ErrorReply> {
        self.keeps_presence(channel)?;
        let others = nodes::tally(self.services.asks.clone(), channel.clone());
        let (mut sum, others) = try_join(self.tally_here(channel), others).await?;
        sum.merge(others);
        Ok(PresenceCount {
            clients: sum.clients(),
            users: sum.users(),
        })
    }

    /// Every channel with a subscriber on any node, with how many.
    ///
    /// # Errors
    /// 111 when busy, 100 when another node cannot be asked.
    pub async fn channels(&self) -> Result<BTreeMap<ChannelName, usize>, ErrorReply> {
        let others = nodes::channels(&self.services.asks);
        let (mut sum, others) = try_join(self.channels_here(), others).await?;
        for (channel, count) in others {
            let all = sum.entry(channel).or_default();
            *all = count.saturating_add(*all);
        }
        Ok(sum)
    }

    /// How much this node holds. Users and channels on several shards count several times.
    ///
    /// # Errors
    /// 111 when busy.
    pub async fn counts(&self) -> Result<Counts, ErrorReply> {
        let parts = self.survey(Question::Counts).await?;
        Ok(parts
            .into_iter()
            .fold(Counts::default(), |sum, part| Counts {
                connections: sum.connections + part.connections,
                users: sum.users + part.users,
                channels: sum.channels + part.channels,
                subscriptions: sum.subscriptions + part.subscriptions,
            }))
    }

    /// A page of the open connections of all nodes, in the order of their ids.
    ///
    /// # Errors
    /// 111 when busy, 100 when another node cannot be asked.
    pub async fn connections(&self, listing: &Listing) -> Result<Vec<ConnectionInfo>, ErrorReply> {
        let others = nodes::connections(&self.services.asks, listing);
        let (mut found, others) = try_join(self.connections_here(listing), others).await?;
        found.extend(others);
        Ok(page(found, listing))
    }

    /// Subscribes the sessions meant.
    ///
    /// # Errors
    /// 102 for an unknown namespace, 103 for a channel of the domain, 107 for a name or a time
    /// that cannot be, 100 when another node cannot be asked.
    pub async fn subscribe(
        &self,
        target: Target,
        subscription: ServerSubscription,
    ) -> Result<(), ErrorReply> {
        let namespaces = &self.services.session.namespaces;
        let channel = ChannelName::parse(&subscription.channel);
        let channel = channel.map_err(|_| ErrorReply::from(ErrorCode::BAD_REQUEST))?;
        match namespaces.resolve(&channel) {
            Some(Namespace::Generic(_)) => {}
            Some(Namespace::Domain) => return Err(ErrorCode::PERMISSION_DENIED.into()),
            None => return Err(ErrorCode::UNKNOWN_CHANNEL.into()),
        }
        let now_ms = self.services.clock.now_ms();
        let is_over = subscription.expires_at_ms.is_some_and(|at| at <= now_ms);
        if is_over || channel.as_str().len() > namespaces.rules().max_length {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        self.tell(target, Event::Subscribe(Box::new(subscription)))
            .await
    }

    /// Ends a subscription (or, without a channel, all) of the sessions meant.
    ///
    /// # Errors
    /// 100 when another node cannot be asked; this one's sessions are done.
    pub async fn unsubscribe(
        &self,
        target: Target,
        channel: Option<ChannelName>,
        unsubscribe: Unsubscribe,
    ) -> Result<(), ErrorReply> {
        let event = Event::Unsubscribe {
            channel,
            unsubscribe,
        };
        self.tell(target, event).await
    }

    /// Ends the connections meant.
    ///
    /// # Errors
    /// 100 when another node cannot be asked; this one's sessions are done.
    pub async fn disconnect(
        &self,
        target: Target,
        disconnect: klokke_protocol::Disconnect,
    ) -> Result<(), ErrorReply> {
        self.tell(target, Event::Disconnect(disconnect)).await
    }

    /// Prolongs the connections meant, or ends them when the moment is past.
    ///
    /// # Errors
    /// 100 when another node cannot be asked; this one's sessions are done.
    pub async fn refresh(
        &self,
        target: Target,
        expires_at_ms: Option<u64>,
        info: Option<Bytes>,
    ) -> Result<(), ErrorReply> {
        let event = Event::Refresh {
            expires_at_ms,
            info,
        };
        self.tell(target, event).await
    }

    /// Ends the connections that may not go on, by who they are.
    pub async fn judge(&self, judgement: Judgement) {
        self.shards
            .send_all(|| ShardInput::Judge(Arc::clone(&judgement)))
            .await;
    }

    /// Closes all connections, spread over some time; takes no new ones.
    pub async fn drain(&self, over: Duration) {
        self.shards.send_all(|| ShardInput::Drain { over }).await;
    }

    /// On all nodes; what can be done is done, also when one of them does not answer.
    async fn tell(&self, target: Target, event: Event) -> Result<(), ErrorReply> {
        let directive = Directive { target, event };
        self.direct_here(directive.clone()).await;
        nodes::direct(&self.services.asks, &directive).await
    }

    pub(super) async fn direct_here(&self, directive: Directive) {
        self.shards
            .send_all(|| ShardInput::Tell(directive.clone()))
            .await;
    }

    pub(super) async fn presence_here(
        &self,
        channel: &ChannelName,
    ) -> Result<Vec<Arc<ClientInfo>>, ErrorReply> {
        let parts = self.survey(|reply| Question::Presence(channel.clone(), reply));
        Ok(parts.await?.into_iter().flatten().collect())
    }

    pub(super) async fn tally_here(
        &self,
        channel: &ChannelName,
    ) -> Result<PresenceTally, ErrorReply> {
        let parts = self.survey(|reply| Question::Tally(channel.clone(), reply));
        let mut sum = PresenceTally::default();
        parts.await?.into_iter().for_each(|part| sum.merge(part));
        Ok(sum)
    }

    pub(super) async fn channels_here(&self) -> Result<BTreeMap<ChannelName, usize>, ErrorReply> {
        let mut sum = BTreeMap::new();
        for (channel, count) in self.survey(Question::Channels).await?.into_iter().flatten() {
            *sum.entry(channel).or_default() += count;
        }
        Ok(sum)
    }

    pub(super) async fn connections_here(
        &self,
        listing: &Listing,
    ) -> Result<Vec<ConnectionInfo>, ErrorReply> {
        let parts = self.survey(|reply| Question::Connections(listing.clone(), reply));
        let found = parts.await?.into_iter().flatten().collect();
        Ok(page(found, listing))
    }

    async fn survey<T>(
        &self,
        question: impl Fn(oneshot::Sender<T>) -> Question,
    ) -> Result<Vec<T>, ErrorReply> {
        let mut parts = Vec::with_capacity(self.shards.count());
        let asked = self.shards.give_all(None, || {
            let (reply, part) = oneshot::channel();
            parts.push(part);
            ShardInput::Ask(question(reply))
        });
        asked.map_err(|_| ErrorReply::from(ErrorCode::TOO_MANY_REQUESTS))?;
        let parts = futures_util::future::try_join_all(parts).await;
        parts.map_err(|_| ErrorCode::INTERNAL.into())
    }

    fn generic(&self, channel: &ChannelName) -> Result<(), ErrorReply> {
        match self.services.session.namespaces.resolve(channel) {
            Some(Namespace::Generic(_)) => Ok(()),
            Some(Namespace::Domain) => Err(ErrorCode::BAD_REQUEST.into()),
            None => Err(ErrorCode::UNKNOWN_CHANNEL.into()),
        }
    }

    fn keeps_presence(&self, channel: &ChannelName) -> Result<(), ErrorReply> {
        let options = self.services.session.namespaces.options(channel);
        match options {
            Some(options) if options.presence => Ok(()),
            Some(_) => Err(ErrorCode::NOT_AVAILABLE.into()),
            None => Err(ErrorCode::UNKNOWN_CHANNEL.into()),
        }
    }
}

/// The page of what several have found.
fn page(mut found: Vec<ConnectionInfo>, listing: &Listing) -> Vec<ConnectionInfo> {
    found.sort_unstable_by(|a, b| a.client.cmp(&b.client));
    found.truncate(listing.limit);
    found
}
