//! Whose connections they are, for the figures: each stands under the role of who is behind it, from the moment it is open
//! and as long as that role holds.

use std::rc::Rc;

use super::connections::Connection;
use super::shard::Shard;
use crate::hub::ConnKey;
use crate::people::{LoginRole, day};
use crate::session::{Entitlement, Event};

impl Shard {
    /// When the command that a session works on came; 0 when the session is gone.
    pub(super) fn asked_us(&self, key: ConnKey) -> u64 {
        let core = self.core.borrow();
        let connection = core.connections.find(key);
        connection.map_or(0, |it| it.session.asked_us())
    }

    /// A connect command was granted.
    pub(super) fn opened(&self, key: ConnKey) {
        let now_ms = self.now_ms();
        let core = self.core.borrow();
        let Some(connection) = core.connections.find(key) else {
            return;
        };
        let role = connection.role(now_ms);
        let is_resumed = connection.session.is_resumed();
        let (door, since_us) = (connection.door, connection.since_us);
        core.tally.connected(door, role, is_resumed, since_us);
        connection.link.stand(core.tally.standing(door, Some(role)));
    }

    /// What a person may see changed, and perhaps who they are.
    pub(super) fn entitle(self: &Rc<Self>, key: ConnKey, entitlements: Vec<Entitlement>) {
        self.happen(key, Event::Entitlements(entitlements));
        let now_ms = self.now_ms();
        let core = self.core.borrow();
        if let Some(connection) = core.connections.find(key)
            && connection.session.is_open()
        {
            let role = connection.role(now_ms);
            let standing = core.tally.standing(connection.door, Some(role));
            connection.link.stand(standing);
        }
    }
}

impl Connection {
    /// Who is behind it.
    fn role(&self, now_ms: u64) -> LoginRole {
        match self.person.as_deref() {
            Some(person) => {
                let today = day::day_at(now_ms);
                let words = person.words.iter().filter_map(|(_, word)| word.as_ref());
                let sights = words.flat_map(|word| word.on(today));
                LoginRole::of_session(sights, &person.scope)
            }
            None if self.user.is_empty() => LoginRole::Anonymous,
            None => LoginRole::Other,
        }
    }
}
