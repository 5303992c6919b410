//! Whose connections they are: how many each user has on this node, where that is limited, and who may not go on.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use klokke_protocol::DisconnectCode;

use super::mailbox::Judgement;
use super::shard::Shard;
use crate::hub::ConnKey;
use crate::session::Event;

/// Parts of the table, so that shards rarely wait for each other.
const PARTS: usize = 64;

/// Open connections by user, over all shards. Empty where there is no limit.
pub(super) struct Users {
    parts: Box<[Mutex<Counts>]>,
}

/// Connections by user.
type Counts = HashMap<Box<str>, u32>;

/// One user's right to one connection. Dropping it gives it back.
pub(super) struct Place {
    users: Arc<Users>,
    user: Box<str>,
}

impl Users {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
        })
    }

    /// Counts one more connection of a user, unless they have `limit` already.
    pub(super) fn take(self: &Arc<Self>, user: &str, limit: u32) -> Option<Place> {
        self.with(user, |open| {
            let count = open.entry(user.into()).or_default();
            if *count >= limit {
                return None;
            }
            *count += 1;
            Some(Place {
                users: Arc::clone(self),
                user: user.into(),
            })
        })
    }

    fn with<T>(&self, user: &str, act: impl FnOnce(&mut Counts) -> T) -> T {
        let part = crc32c::crc32c(user.as_bytes()) as usize % PARTS;
        let mut open = self.parts[part]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        act(&mut open)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.users.with(&self.user, |open| {
            if let Some(count) = open.get_mut(&self.user) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&self.user);
                }
            }
        });
    }
}

impl Shard {
    /// A connection's token names its user. `false` when that user has too many connections; then it was
    /// closed. Tokens that come later are of the same user, or are refused.
    pub(super) fn name(self: &Rc<Self>, key: ConnKey, user: &str) -> bool {
        let limit = self.services.session.user_connection_limit;
        let is_free = {
            let core = &mut *self.core.borrow_mut();
            let Some(connection) = core.connections.find_mut(key) else {
                return true;
            };
            if connection.session.is_open() || user.is_empty() {
                return true;
            }
            if limit > 0 && connection.place.is_none() {
                connection.place = self.shards.users.take(user, limit);
            }
            limit == 0 || connection.place.is_some()
        };
        if is_free {
            self.core.borrow_mut().connections.named(key, user);
        } else {
            self.happen(
                key,
                Event::Disconnect(DisconnectCode::CONNECTION_LIMIT.into()),
            );
        }
        is_free
    }

    /// Closes who may not go on.
    pub(super) fn judge(self: &Rc<Self>, judgement: &Judgement) {
        let condemned: Vec<_> = {
            let core = self.core.borrow();
            let connections = &core.connections;
            let judged = connections.keys().filter_map(|key| {
                let code = judgement(connections.find(key)?.session.identity())?;
                Some((key, code))
            });
            judged.collect()
        };
        for (key, code) in condemned {
            self.happen(key, Event::Disconnect(code.into()));
        }
    }
}
