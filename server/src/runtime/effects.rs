//! What sessions want, done: each effect is carried out here, and each question answered.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join;
use klokke_protocol::{
    ChannelName, ClientInfo, Codec, Disconnect, DisconnectCode, ErrorCode, ErrorReply,
};
use tokio::sync::oneshot;

use super::doors::goodbye;
use super::mailbox::{ConnectionInfo, Counts, Listing, Question, ShardInput};
use super::nodes;
use super::publish::{self, Publishing};
use super::shard::Shard;
use super::streams::{self, PageWish, Reader};
use crate::hub::{
    self, ActivateError, Announcement, Attempt, Backlog, ConnKey, Lens, Movement, PresenceTally,
};
use crate::ledger::LedgerId;
use crate::session::{
    Answer, BacklogWish, Effect, HistoryEffect, PresenceCount, Source, SubscribeEffect,
    SubscribeFailure, Subscribed, Ticket,
};
use crate::transport::{Kind, Last, Written, frame};

impl Shard {
    /// Does one thing a session wants.
    pub(super) fn carry_out(self: &Rc<Self>, key: ConnKey, effect: Effect) {
        match effect {
            Effect::Write { frame, .. } => self.write(key, &frame),
            Effect::Ping => self.write(key, &frame(Kind::Ping, b"")),
            Effect::Close(disconnect) => self.close(key, &disconnect),
            Effect::Verify { ticket, token } => self.verify(key, ticket, token),
            Effect::VerifySubscription { ticket, token } => {
                self.verify_subscription(key, ticket, token);
            }
            Effect::Admit { ticket, identity } => self.admit(key, ticket, &identity),
            Effect::Enter { ticket, identity } => self.enter(key, ticket, identity),
            Effect::Reassess { identity } => self.review(key, identity),
            Effect::Subscribe(subscribe) => self.subscribe(key, *subscribe),
            Effect::Release => {
                self.core.borrow_mut().hub.release(key);
                self.opened(key);
            }
            Effect::Announce { channel, info } => self.announce(Announcement {
                channel,
                movement: Movement::Join,
                info,
            }),
            Effect::Unsubscribe { channel } => {
                let ended = {
                    let core = &mut *self.core.borrow_mut();
                    let ended = core.hub.unsubscribe(key, &channel);
                    core.tally.holds(&core.connections, &core.hub);
                    ended
                };
                if let Some(ended) = ended {
                    self.say_left(ended);
                }
            }
            Effect::SetLens { channel, lens } => {
                self.core.borrow_mut().hub.set_lens(key, &channel, lens);
            }
            Effect::Publish {
                ticket,
                channel,
                data,
                info,
            } => self.publish(key, ticket, channel, data, info),
            Effect::History(history) => self.history(key, *history),
            Effect::Presence { ticket, channel } => self.presence(key, ticket, &channel),
            Effect::PresenceStats { ticket, channel } => self.presence_stats(key, ticket, &channel),
            Effect::Rpc {
                ticket,
                method,
                data,
            } => self.rpc(key, ticket, &method, data),
            Effect::StepUp { ticket, data } => self.step_up(key, ticket, data),
            // Nobody is configured to hear these; the session says so to the client.
            Effect::Message { .. } => {}
        }
    }

    /// Gives a session the answer to its question.
    pub(super) fn answer(self: &Rc<Self>, key: ConnKey, ticket: Ticket, answer: Answer) {
        let now = self.now_ms();
        self.with_session(key, |session| session.handle_answer(ticket, answer, now));
    }

    fn write(&self, key: ConnKey, frame: &Bytes) {
        let written = {
            let core = self.core.borrow();
            core.connections.find(key).map(|it| it.link.write(frame))
        };
        if written == Some(Written::Overflow) {
            self.cut_off(key, DisconnectCode::SLOW);
        }
    }

    fn close(&self, key: ConnKey, disconnect: &Disconnect) {
        if let Some(gone) = self.forget(key) {
            let core = self.core.borrow();
            core.tally.disconnected(gone.door, disconnect.code);
            drop(core);
            let goodbye = goodbye(gone.door, disconnect.code, &disconnect.reason);
            gone.link.end_with(disconnect.code);
            gone.link.finish(goodbye, Last::AfterQueue);
        }
    }

    fn verify(self: &Rc<Self>, key: ConnKey, ticket: Ticket, token: Box<str>) {
        let verifier = Arc::clone(&self.services.tokens);
        let now = self.now_ms();
        let verdict = async move { verifier.connection(&token, now).await };
        self.ask(verdict, move |shard, verdict| {
            shard.core.borrow().tally.verified(verdict.as_ref().err());
            if let Ok(token) = &verdict
                && !shard.name(key, &token.subject)
            {
                return;
            }
            shard.answer(key, ticket, Answer::Verified(verdict));
        });
    }

    fn verify_subscription(self: &Rc<Self>, key: ConnKey, ticket: Ticket, token: Box<str>) {
        let verifier = Arc::clone(&self.services.subscription_tokens);
        let now = self.now_ms();
        let verdict = async move { verifier.subscription(&token, now).await };
        self.ask(verdict, move |shard, verdict| {
            shard.core.borrow().tally.verified(verdict.as_ref().err());
            shard.answer(key, ticket, Answer::SubscriptionVerified(verdict));
        });
    }

    fn reader(&self, key: ConnKey, lens: Lens) -> Reader {
        let core = self.core.borrow();
        let person = core
            .connections
            .find(key)
            .and_then(|it| it.person.as_deref());
        Reader {
            subject: person.map(|person| person.subject.clone()),
            lens,
        }
    }

    fn subscribe(self: &Rc<Self>, key: ConnKey, effect: SubscribeEffect) {
        let SubscribeEffect {
            ticket,
            channel,
            mut options,
            backlog,
        } = effect;
        let now = self.now_ms();
        let lens = options.lens;
        let is_plain = backlog == BacklogWish::None;
        let waits = is_plain && streams::hears_by_ledger(&self.services, &channel);
        // Nothing goes out before the answer.
        let held_until_answered = waits && !options.held;
        options.held |= waits;
        let subscribed = {
            let core = &mut *self.core.borrow_mut();
            let subscribed = core.hub.subscribe(key, &channel, options, now);
            core.tally.holds(&core.connections, &core.hub);
            subscribed
        };
        let Ok(attempt) = subscribed else {
            let error = ErrorReply::from(ErrorCode::ALREADY_SUBSCRIBED);
            let answer = Answer::Subscribed(Err(SubscribeFailure::Refused(error)));
            return self.answer(key, ticket, answer);
        };
        if waits {
            let listening = streams::listen(self.services.clone(), channel.clone());
            return self.ask(listening, move |shard, listens| {
                shard.begin_plain(key, &channel, attempt, ticket, listens);
                if held_until_answered {
                    let hub = &mut shard.core.borrow_mut().hub;
                    hub.release_one(key, &channel, attempt);
                }
            });
        }
        if is_plain {
            return self.answer(key, ticket, Answer::Subscribed(Ok(Subscribed::default())));
        }
        let services = self.services.clone();
        let reader = self.reader(key, lens);
        let reading = streams::backlog(services, channel.clone(), backlog, reader);
        self.ask(reading, move |shard, read| {
            let is_current = shard.core.borrow().hub.is_current(key, &channel, attempt);
            // Ended meanwhile, perhaps begun anew: this reading is not for that one.
            let outcome = if is_current {
                shard.activate(key, &channel, read)
            } else {
                Err(SubscribeFailure::Ended)
            };
            shard.answer(key, ticket, Answer::Subscribed(outcome));
        });
    }

    /// Answers for a subscription without a position when its ledger is loaded, or cannot be.
    fn begin_plain(
        self: &Rc<Self>,
        key: ConnKey,
        channel: &ChannelName,
        attempt: Attempt,
        ticket: Ticket,
        listens: Result<(), ErrorReply>,
    ) {
        let outcome = {
            let hub = &mut self.core.borrow_mut().hub;
            match listens {
                _ if !hub.is_current(key, channel, attempt) => Err(SubscribeFailure::Ended),
                Ok(()) => Ok(Subscribed::default()),
                Err(error) => {
                    // Nobody was told that it began.
                    let _ = hub.unsubscribe(key, channel);
                    Err(SubscribeFailure::Refused(error))
                }
            }
        };
        self.answer(key, ticket, Answer::Subscribed(outcome));
    }

    /// Makes a subscription active with what was read, or ends it.
    fn activate(
        &self,
        key: ConnKey,
        channel: &ChannelName,
        read: Result<(Backlog, Source), ErrorReply>,
    ) -> Result<Subscribed, SubscribeFailure> {
        let now = self.now_ms();
        let hub = &mut self.core.borrow_mut().hub;
        let activated = match read {
            Err(error) => Err(SubscribeFailure::Refused(error)),
            Ok((backlog, source)) => hub
                .activate(key, channel, backlog, now)
                .map(|active| Subscribed {
                    epoch: active.epoch,
                    top: active.top,
                    unbroken_from: active.unbroken_from,
                    publications: active.publications,
                    source,
                })
                .map_err(|error| match error {
                    ActivateError::Inappropriate => {
                        SubscribeFailure::Refused(ErrorCode::NOT_AVAILABLE.into())
                    }
                    _ => SubscribeFailure::Insufficient,
                }),
        };
        if activated.is_err() {
            // It never was active, so nobody was told that it began.
            let _ = hub.unsubscribe(key, channel);
        }
        activated
    }

    fn publish(
        self: &Rc<Self>,
        key: ConnKey,
        ticket: Ticket,
        channel: ChannelName,
        data: Bytes,
        info: Arc<ClientInfo>,
    ) {
        let publishing = Publishing {
            data,
            info: Some(info),
            arrived_us: self.asked_us(key),
            ..Publishing::default()
        };
        match publish::keeps_history(&self.services, &channel) {
            Err(error) => self.answer(key, ticket, Answer::Published(Err(error))),
            Ok(true) => {
                let commit = publish::commit(self.services.clone(), channel, publishing, "rpc");
                self.ask(commit, move |shard, outcome| {
                    shard.answer(key, ticket, Answer::Published(outcome.map(drop)));
                });
            }
            Ok(false) => {
                let publication = publish::unstreamed(&self.services, channel, publishing);
                let outcome = self.publish_unstreamed(&publication);
                self.answer(key, ticket, Answer::Published(outcome));
            }
        }
    }

    /// To subscribers everywhere, at most once.
    fn publish_unstreamed(&self, publication: &Arc<hub::Publication>) -> Result<(), ErrorReply> {
        let told = nodes::publication(&self.services, publication)?;
        let given = self.shards.give_all(Some(self.index), || {
            ShardInput::Publish(Arc::clone(publication))
        });
        given.map_err(|_| ErrorReply::from(ErrorCode::TOO_MANY_REQUESTS))?;
        self.note_message(hub::Kind::Publication, &publication.channel);
        let now = self.now_ms();
        self.core.borrow_mut().hub.publish(publication, now);
        nodes::tell(&self.services, told);
        Ok(())
    }

    fn history(self: &Rc<Self>, key: ConnKey, effect: HistoryEffect) {
        let reader = self.reader(key, effect.lens);
        let wish = PageWish {
            channel: effect.channel,
            limit: effect.limit,
            since: effect.since,
            reverse: effect.reverse,
        };
        let ticket = effect.ticket;
        let page = streams::page(self.services.clone(), wish, reader);
        self.ask(page, move |shard, page| {
            shard.answer(key, ticket, Answer::History(page));
        });
    }

    fn presence(self: &Rc<Self>, key: ConnKey, ticket: Ticket, channel: &ChannelName) {
        let mut present = self.core.borrow().hub.presence(channel);
        let parts = self.survey(|reply| Question::Presence(channel.clone(), reply));
        let others = nodes::presence(self.services.asks.clone(), channel.clone());
        self.ask(try_join(collect(parts), others), move |shard, parts| {
            let answer = parts.map(|(parts, others)| {
                present.extend(parts.into_iter().flatten());
                present.extend(others.into_iter().map(Arc::new));
                present
            });
            shard.answer(key, ticket, Answer::Presence(answer));
        });
    }

    fn presence_stats(self: &Rc<Self>, key: ConnKey, ticket: Ticket, channel: &ChannelName) {
        let mut tally = self.core.borrow().hub.presence_tally(channel);
        let parts = self.survey(|reply| Question::Tally(channel.clone(), reply));
        let others = nodes::tally(self.services.asks.clone(), channel.clone());
        self.ask(try_join(collect(parts), others), move |shard, parts| {
            let answer = parts.map(|(parts, others)| {
                parts.into_iter().for_each(|part| tally.merge(part));
                tally.merge(others);
                count_of(&tally)
            });
            shard.answer(key, ticket, Answer::PresenceStats(answer));
        });
    }

    /// Asks all other shards.
    fn survey<T>(
        &self,
        question: impl Fn(oneshot::Sender<T>) -> Question,
    ) -> Result<Vec<oneshot::Receiver<T>>, ErrorReply> {
        let mut parts = Vec::with_capacity(self.shards.count());
        let asked = self.shards.give_all(Some(self.index), || {
            let (reply, part) = oneshot::channel();
            parts.push(part);
            ShardInput::Ask(question(reply))
        });
        asked.map_err(|_| ErrorReply::from(ErrorCode::TOO_MANY_REQUESTS))?;
        Ok(parts)
    }

    pub(super) fn answer_question(&self, question: Question) {
        let core = self.core.borrow();
        // Whoever asked may have gone; then nobody misses the answer.
        match question {
            Question::Presence(channel, reply) => drop(reply.send(core.hub.presence(&channel))),
            Question::Tally(channel, reply) => drop(reply.send(core.hub.presence_tally(&channel))),
            Question::Channels(reply) => {
                let channels = core.hub.channels();
                drop(
                    reply.send(
                        channels
                            .map(|(name, count)| (name.clone(), count))
                            .collect(),
                    ),
                );
            }
            Question::Counts(reply) => drop(reply.send(Counts {
                connections: core.connections.len(),
                users: core.connections.users(),
                channels: core.hub.channel_count(),
                subscriptions: core.hub.subscription_count(),
            })),
            Question::Connections(listing, reply) => drop(reply.send(self.describe(&listing))),
            Question::Follows(ledger, reply) => {
                let is_of_it =
                    |name: &ChannelName| LedgerId::of_channel(name).is_ok_and(|it| it == ledger);
                let sees_by_it = core
                    .connections
                    .people()
                    .any(|(_, person)| person.words.iter().any(|(unit, _)| *unit == ledger));
                let follows = sees_by_it || core.hub.channels().any(|(name, _)| is_of_it(name));
                let _ = reply.send(follows);
            }
        }
    }

    fn describe(&self, listing: &Listing) -> Vec<ConnectionInfo> {
        let core = self.core.borrow();
        let meant = core.connections.listed(listing);
        let found = meant
            .into_iter()
            .filter_map(|key| core.connections.find(key).map(|it| (key, it)));
        // Channels of the domain tell who is in which unit, which is not for the server API.
        let is_generic = |name: &ChannelName| !crate::session::RESERVED.contains(&name.namespace());
        found
            .map(|(key, it)| ConnectionInfo {
                client: it.client.to_string(),
                user: it.user.to_string(),
                transport: it.door.name().into(),
                protocol: match it.session.wire().codec() {
                    Codec::Json => "json".into(),
                    Codec::Protobuf => "protobuf".into(),
                },
                channels: core
                    .hub
                    .channels_of(key)
                    .iter()
                    .filter(|name| is_generic(name))
                    .map(ToString::to_string)
                    .collect(),
                queued_bytes: it.link.queued_bytes(),
            })
            .collect()
    }
}

/// Waits for every shard's part.
async fn collect<T>(
    parts: Result<Vec<oneshot::Receiver<T>>, ErrorReply>,
) -> Result<Vec<T>, ErrorReply> {
    let parts = futures_util::future::try_join_all(parts?).await;
    // A shard that ended takes its connections with it; the client is about to lose its own.
    parts.map_err(|_| ErrorCode::INTERNAL.into())
}

/// What was read for a subscription that does not follow offsets.
fn count_of(tally: &PresenceTally) -> PresenceCount {
    PresenceCount {
        clients: tally.clients(),
        users: tally.users(),
    }
}
