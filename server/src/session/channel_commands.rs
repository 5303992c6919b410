//! Commands on channels other than subscribing, and those that go to operations: publish, presence,
//! history, rpc, send.

use klokke_protocol::{
    ChannelName, DisconnectCode, ErrorCode, HistoryRequest, HistoryResult, PresenceRequest,
    PresenceResult, PresenceStatsRequest, PresenceStatsResult, PublishRequest, ReplyResult,
    RpcRequest, RpcResult, SendRequest,
};
use serde::de::IgnoredAny;

use super::machine::{Session, Task};
use super::rights::{self, Asker};
use super::{Answer, ChannelOptions, DataFormat, Effect, HistoryEffect, Namespace};
use crate::hub::Lens;

/// The operation the session runs itself: a newer or higher token for the same person.
const STEP_UP: &str = "session.step_up";

/// What a command's channel turned out to be.
enum Target<'a> {
    Generic(ChannelName, &'a ChannelOptions, Asker<'a>),
    /// A channel of the domain; with how it is seen, when it is.
    Domain(ChannelName, Option<Lens>),
}

impl Session {
    /// Finds a command's channel; answers the command when there is none.
    fn target(&self, name: &str) -> Result<Target<'_>, ErrorCode> {
        let channel = ChannelName::parse(name).map_err(|_| ErrorCode::BAD_REQUEST)?;
        let lens = self.lens(name);
        match self.settings.namespaces.resolve(&channel) {
            None => Err(ErrorCode::UNKNOWN_CHANNEL),
            Some(Namespace::Domain) => Ok(Target::Domain(channel, lens)),
            Some(Namespace::Generic(options)) => Ok(Target::Generic(
                channel,
                options,
                self.asker(lens.is_some()),
            )),
        }
    }

    pub(super) fn on_publish(&mut self, id: u32, request: PublishRequest) {
        if request.channel.is_empty() {
            return self.close(DisconnectCode::BAD_REQUEST);
        }
        let channel = match self.publishable(&request) {
            Ok(channel) => channel,
            Err(code) => return self.refuse(id, code),
        };
        let known = self
            .subscriptions
            .find(channel.as_str())
            .and_then(|it| it.info.clone());
        let info = known.unwrap_or_else(|| self.client_info(bytes::Bytes::new()));
        let ticket = self.wait(id, Task::Publish);
        self.effect(Effect::Publish {
            ticket,
            channel,
            data: request.data,
            info,
        });
    }

    fn publishable(&self, request: &PublishRequest) -> Result<ChannelName, ErrorCode> {
        let Target::Generic(channel, options, asker) = self.target(&request.channel)? else {
            return Err(ErrorCode::PERMISSION_DENIED);
        };
        if !rights::is_well_named(options, self.settings.namespaces.rules(), &request.channel) {
            return Err(ErrorCode::BAD_REQUEST);
        }
        if !rights::may_publish(options, asker) {
            return Err(ErrorCode::PERMISSION_DENIED);
        }
        let is_stream = request.r#type == 0;
        if !is_stream || !options.publication_data_format.takes(&request.data) {
            return Err(ErrorCode::BAD_REQUEST);
        }
        Ok(channel)
    }

    pub(super) fn on_presence(&mut self, id: u32, request: &PresenceRequest) {
        if let Some(channel) = self.presence_channel(id, &request.channel) {
            let ticket = self.wait(id, Task::Presence);
            self.effect(Effect::Presence { ticket, channel });
        }
    }

    pub(super) fn on_presence_stats(&mut self, id: u32, request: &PresenceStatsRequest) {
        if let Some(channel) = self.presence_channel(id, &request.channel) {
            let ticket = self.wait(id, Task::PresenceStats);
            self.effect(Effect::PresenceStats { ticket, channel });
        }
    }

    fn presence_channel(&mut self, id: u32, name: &str) -> Option<ChannelName> {
        if name.is_empty() {
            self.close(DisconnectCode::BAD_REQUEST);
            return None;
        }
        let found = match self.target(name) {
            Err(code) => Err(code),
            Ok(Target::Domain(..)) => Err(ErrorCode::NOT_AVAILABLE),
            Ok(Target::Generic(_, options, _)) if !options.presence => {
                Err(ErrorCode::NOT_AVAILABLE)
            }
            Ok(Target::Generic(channel, options, asker)) => {
                let is_allowed = rights::may_see_presence(options, asker);
                if is_allowed {
                    Ok(channel)
                } else {
                    Err(ErrorCode::PERMISSION_DENIED)
                }
            }
        };
        found.map_err(|code| self.refuse(id, code)).ok()
    }

    pub(super) fn on_history(&mut self, id: u32, request: HistoryRequest) {
        if request.channel.is_empty() {
            return self.close(DisconnectCode::BAD_REQUEST);
        }
        let (channel, lens) = match self.readable(&request) {
            Ok(found) => found,
            Err(code) => return self.refuse(id, code),
        };
        let most = self.settings.history_max_publication_limit;
        // A negative limit asks for all; nobody gets more than the bound.
        let limit = u32::try_from(request.limit).map_or(most, |limit| limit.min(most));
        let ticket = self.wait(id, Task::History);
        self.effect(Effect::History(Box::new(HistoryEffect {
            ticket,
            channel,
            limit,
            since: request.since,
            reverse: request.reverse,
            lens,
        })));
    }

    fn readable(&self, request: &HistoryRequest) -> Result<(ChannelName, Lens), ErrorCode> {
        let found = match self.target(&request.channel)? {
            Target::Domain(channel, Some(lens)) => (channel, lens),
            Target::Domain(_, None) => return Err(ErrorCode::PERMISSION_DENIED),
            Target::Generic(channel, options, asker) => {
                if !options.has_history() {
                    return Err(ErrorCode::NOT_AVAILABLE);
                }
                if !rights::may_read_history(options, asker) {
                    return Err(ErrorCode::PERMISSION_DENIED);
                }
                (channel, Lens::OPEN)
            }
        };
        let is_before_all = request
            .since
            .as_ref()
            .is_some_and(|since| since.offset == 0);
        if request.reverse && is_before_all {
            return Err(ErrorCode::BAD_REQUEST);
        }
        Ok(found)
    }

    pub(super) fn on_rpc(&mut self, id: u32, request: RpcRequest) {
        if !self.settings.rpc {
            return self.refuse(id, ErrorCode::NOT_AVAILABLE);
        }
        if request.method == STEP_UP {
            return self.on_step_up(id, request.data);
        }
        let ticket = self.wait(id, Task::Rpc);
        self.effect(Effect::Rpc {
            ticket,
            method: request.method.into(),
            data: request.data,
        });
    }

    pub(super) fn on_send(&mut self, request: SendRequest) {
        if !self.settings.messages {
            return self.close(DisconnectCode::NOT_AVAILABLE);
        }
        self.effect(Effect::Message { data: request.data });
    }

    pub(super) fn on_channel_answer(&mut self, id: u32, task: &Task, answer: Answer) {
        let reply = match (task, answer) {
            (Task::Publish, Answer::Published(outcome)) => outcome.map(|()| ReplyResult::Publish),
            (Task::Rpc, Answer::Rpc(outcome)) => {
                outcome.map(|data| ReplyResult::Rpc(RpcResult { data }))
            }
            (Task::History, Answer::History(outcome)) => outcome.map(|page| {
                ReplyResult::History(HistoryResult {
                    publications: page.publications,
                    epoch: page.epoch.as_str().to_owned(),
                    offset: page.offset,
                })
            }),
            (Task::Presence, Answer::Presence(outcome)) => outcome.map(|present| {
                let by_client = present
                    .into_iter()
                    .map(|info| (info.client.clone(), (*info).clone()));
                ReplyResult::Presence(PresenceResult {
                    presence: by_client.collect(),
                })
            }),
            (Task::PresenceStats, Answer::PresenceStats(outcome)) => outcome.map(|count| {
                ReplyResult::PresenceStats(PresenceStatsResult {
                    num_clients: count.clients,
                    num_users: count.users,
                })
            }),
            // An answer of another kind than was asked for is the driver's mistake.
            _ => Err(ErrorCode::INTERNAL.into()),
        };
        match reply {
            Ok(result) => self.reply(id, result),
            Err(error) => self.refuse(id, error),
        }
    }
}

impl DataFormat {
    /// Whether a payload may be published.
    #[must_use]
    pub fn takes(self, data: &[u8]) -> bool {
        match self {
            Self::NotEmpty => !data.is_empty(),
            Self::Json => serde_json::from_slice::<IgnoredAny>(data).is_ok(),
            Self::JsonObject => {
                data.trim_ascii_start().starts_with(b"{")
                    && serde_json::from_slice::<IgnoredAny>(data).is_ok()
            }
            Self::Binary => true,
        }
    }
}
