//! Who is in a channel: this shard's part, and how the parts of all shards and nodes become one answer.
//!
//! Presence is the list of subscriptions itself, so it needs no time to live: who is gone is not in it.

use std::collections::HashSet;
use std::sync::Arc;

use klokke_protocol::{ChannelName, ClientInfo};

use super::Hub;

impl Hub {
    /// Everybody present in the channel on this shard.
    #[must_use]
    pub fn presence(&self, name: &ChannelName) -> Vec<Arc<ClientInfo>> {
        let channel = self.channel(name);
        let subscribers = channel.into_iter().flat_map(|channel| &channel.subscribers);
        subscribers
            .filter_map(|subscriber| subscriber.present().cloned())
            .collect()
    }

    /// This shard's part of the channel's presence statistics.
    #[must_use]
    pub fn presence_tally(&self, name: &ChannelName) -> PresenceTally {
        let mut tally = PresenceTally::default();
        for info in self.presence(name) {
            tally.clients += 1;
            tally.users.insert(info.user.as_str().into());
        }
        tally
    }
}

/// Connections and users in a channel; add the shards' parts together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresenceTally {
    clients: u32,
    users: HashSet<Box<str>>,
}

impl PresenceTally {
    /// The part of another node.
    #[must_use]
    pub fn of(clients: u32, users: impl IntoIterator<Item = String>) -> Self {
        let users = users.into_iter().map(String::into_boxed_str).collect();
        Self { clients, users }
    }

    /// The users, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.users.iter().map(AsRef::as_ref)
    }

    /// Adds another shard's part.
    pub fn merge(&mut self, other: Self) {
        self.clients = self.clients.saturating_add(other.clients);
        self.users.extend(other.users);
    }

    /// How many connections.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.clients
    }

    /// How many distinct users; a user on two devices, perhaps on two shards, counts once.
    #[must_use]
    pub fn users(&self) -> u32 {
        u32::try_from(self.users.len()).unwrap_or(u32::MAX)
    }
}
