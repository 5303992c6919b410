//! The connections of one shard, found by place, by user, by id and by emulation secret.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use jiff::civil::Date;
use slab::Slab;

use super::admitting::UnderWay;
use super::mailbox::{Listing, Target};
use super::users::Place;
use crate::hub::ConnKey;
use crate::ledger::LedgerId;
use crate::people::{
    Assurance, AssuranceLevel, Lens, Scope, Sight, SubjectId, UserKind, Word, day, entitled,
};
use crate::session::{Entitlement, Identity, Session, Ticket};
use crate::transport::{Door, Link};

/// One connection as its shard keeps it.
pub(super) struct Connection {
    pub(super) generation: u32,
    pub(super) session: Box<Session>,
    pub(super) link: Rc<Link>,
    pub(super) door: Door,
    pub(super) client: Box<str>,
    /// As the verified token says; empty before that and for anonymous ones.
    pub(super) user: Box<str>,
    pub(super) secret: Option<Box<str>>,
    pub(super) person: Option<Box<Person>>,
    /// Its place among the user's connections, where those are limited.
    pub(super) place: Option<Place>,
    /// When it began, for the figures.
    pub(super) since_us: u64,
    /// Its slot at the gate, from when it was let in until it is through.
    pub(super) under_way: Option<UnderWay>,
}

/// What is known of a connection that said who it is in the domain.
pub(super) struct Person {
    pub(super) identity: Arc<Identity>,
    pub(super) subject: SubjectId,
    /// Which profiles the token admits.
    pub(super) scope: Scope,
    /// The latest word of each unit's ledger on what the person sees; `None` is still to come.
    pub(super) words: Vec<(LedgerId, Option<Word>)>,
    /// Set while the first words are being collected.
    pub(super) entering: Option<Entering>,
    /// Until when it is written down, in all units, that this session hears what is sensitive in full; what is sensitive shows
    /// in full no longer than this.
    pub(super) watched_until_ms: u64,
}

/// Somebody whose first entitlements are on their way.
#[derive(Clone, Copy)]
pub(super) struct Entering {
    pub(super) ticket: Ticket,
    /// Whether it is known in which units the person has a record.
    pub(super) units_known: bool,
}

impl Person {
    pub(super) fn assurance(&self) -> Assurance {
        Assurance {
            level: AssuranceLevel::from_claim(self.identity.level),
            authenticated_ms: self.identity.authenticated_ms.unwrap_or(0),
        }
    }

    /// Everything the session may see on a day, by the words of all units.
    pub(super) fn entitlements(&self, day: Date) -> Vec<Entitlement> {
        let words = self.words.iter().filter_map(|(_, word)| word.as_ref());
        let sights = words.flat_map(|word| word.on(day));
        let seen = entitled(sights, &self.scope, self.assurance());
        let seen = seen.into_iter().map(|it| Entitlement {
            channel: it.channel,
            lens: Lens {
                full_until_ms: it.lens.full_until_ms.min(self.watched_until_ms),
                ..it.lens
            },
        });
        seen.collect()
    }

    /// Keeps a ledger's word in place of an older one; `false` when it says nothing new.
    pub(super) fn keep(&mut self, ledger: &LedgerId, word: &Word, day: Date) -> bool {
        let Some((_, known)) = self.words.iter_mut().find(|(it, _)| it == ledger) else {
            self.words.push((ledger.clone(), Some(word.clone())));
            self.watched_until_ms = 0; // Not in this unit yet.
            return true;
        };
        let old = known.as_ref().map_or(&[][..], |old| old.on(day));
        let is_news = known.is_none() || old != word.on(day);
        let is_known = |it: &Sight| old.iter().any(|old| old.profile == it.profile);
        // A first word is of what was written down before it was asked for.
        let is_written_down = known.is_none() || word.on(day).iter().all(is_known);
        *known = Some(word.clone());
        if !is_written_down {
            self.watched_until_ms = 0; // Not as this profile yet.
        }
        is_news
    }

    /// The kinds of the profiles it holds at a time, by the words of all units.
    pub(super) fn kinds(&self, now_ms: u64) -> impl Iterator<Item = UserKind> {
        let today = day::day_at(now_ms);
        let words = self.words.iter().filter_map(|(_, word)| word.as_ref());
        words
            .flat_map(move |word| word.on(today))
            .map(|sight| sight.kind)
    }

    /// The units that have a word to say.
    pub(super) fn units(&self) -> Vec<LedgerId> {
        self.words.iter().map(|(unit, _)| unit.clone()).collect()
    }

    /// Whether every unit has said its word.
    pub(super) fn is_complete(&self) -> bool {
        self.words.iter().all(|(_, word)| word.is_some())
    }
}

/// All connections of a shard.
#[derive(Default)]
pub(super) struct Connections {
    slab: Slab<Connection>,
    generation: u32,
    by_client: HashMap<Box<str>, ConnKey>,
    by_secret: HashMap<Box<str>, ConnKey>,
    by_subject: HashMap<SubjectId, Vec<ConnKey>>,
    by_user: HashMap<Box<str>, Vec<ConnKey>>,
}

impl Connections {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn users(&self) -> usize {
        self.by_user.len()
    }

    /// Takes a connection in; gives the place it has from now on.
    pub(super) fn insert(&mut self, mut connection: Connection) -> ConnKey {
        self.generation = self.generation.wrapping_add(1);
        connection.generation = self.generation;
        let client = connection.client.clone();
        let secret = connection.secret.clone();
        let index = self.slab.insert(connection);
        let key = ConnKey {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            generation: self.generation,
        };
        self.by_client.insert(client, key);
        if let Some(secret) = secret {
            self.by_secret.insert(secret, key);
        }
        key
    }

    pub(super) fn find(&self, key: ConnKey) -> Option<&Connection> {
        let found = self.slab.get(key.index as usize)?;
        (found.generation == key.generation).then_some(found)
    }

    pub(super) fn find_mut(&mut self, key: ConnKey) -> Option<&mut Connection> {
        let found = self.slab.get_mut(key.index as usize)?;
        (found.generation == key.generation).then_some(found)
    }

    /// Who a connection is in the domain.
    pub(super) fn person_mut(&mut self, key: ConnKey) -> Option<&mut Person> {
        self.find_mut(key)?.person.as_deref_mut()
    }

    /// Everybody of the domain, once a connection.
    pub(super) fn people(&self) -> impl Iterator<Item = (ConnKey, &Person)> {
        self.keys()
            .filter_map(|key| Some((key, self.find(key)?.person.as_deref()?)))
    }

    /// The present tenant of a place.
    pub(super) fn at(&self, index: u32) -> Option<ConnKey> {
        let generation = self.slab.get(index as usize)?.generation;
        Some(ConnKey { index, generation })
    }

    pub(super) fn by_secret(&self, secret: &str) -> Option<ConnKey> {
        self.by_secret.get(secret).copied()
    }

    pub(super) fn of_subject(&self, subject: &SubjectId) -> &[ConnKey] {
        self.by_subject.get(subject).map_or(&[], Vec::as_slice)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = ConnKey> + '_ {
        self.slab.iter().map(|(index, connection)| ConnKey {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            generation: connection.generation,
        })
    }

    /// Notes whose connection it is.
    pub(super) fn named(&mut self, key: ConnKey, user: &str) {
        let Some(connection) = self.find_mut(key) else {
            return;
        };
        if user.is_empty() || *connection.user == *user {
            return;
        }
        let former = std::mem::replace(&mut connection.user, user.into());
        strike(&mut self.by_user, &*former, key);
        self.by_user.entry(user.into()).or_default().push(key);
    }

    /// Notes who it is in the domain.
    pub(super) fn entered(&mut self, key: ConnKey, person: Person) {
        let subject = person.subject.clone();
        if let Some(connection) = self.find_mut(key) {
            connection.person = Some(Box::new(person));
            self.by_subject.entry(subject).or_default().push(key);
        }
    }

    pub(super) fn remove(&mut self, key: ConnKey) -> Option<Connection> {
        self.find(key)?;
        let gone = self.slab.try_remove(key.index as usize)?;
        self.by_client.remove(&gone.client);
        if let Some(secret) = &gone.secret {
            self.by_secret.remove(secret);
        }
        if let Some(person) = &gone.person {
            strike(&mut self.by_subject, &person.subject, key);
        }
        strike(&mut self.by_user, &*gone.user, key);
        Some(gone)
    }

    /// The connections meant.
    pub(super) fn meant(&self, target: &Target) -> Vec<ConnKey> {
        let keys = if !target.client.is_empty() {
            self.by_client
                .get(target.client.as_str())
                .copied()
                .into_iter()
                .collect()
        } else if !target.session.is_empty() {
            self.by_secret(&target.session).into_iter().collect()
        } else {
            self.by_user
                .get(target.user.as_str())
                .cloned()
                .unwrap_or_default()
        };
        keys.into_iter()
            .filter(|key| self.is_meant(*key, target))
            .collect()
    }

    /// The connections of a page, in order of their ids.
    pub(super) fn listed(&self, listing: &Listing) -> Vec<ConnKey> {
        let keys = if listing.target.is_empty() {
            self.keys().collect()
        } else {
            self.meant(&listing.target)
        };
        let found = keys.into_iter().filter_map(|key| {
            let client = &*self.find(key)?.client;
            (*client > *listing.after).then_some((client, key))
        });
        let mut found: Vec<_> = found.collect();
        if found.len() > listing.limit && listing.limit > 0 {
            // Only the page is sorted, not a node's hundred thousand connections.
            found.select_nth_unstable(listing.limit - 1);
        }
        found.truncate(listing.limit);
        found.sort_unstable();
        found.into_iter().map(|(_, key)| key).collect()
    }

    fn is_meant(&self, key: ConnKey, target: &Target) -> bool {
        let Some(connection) = self.find(key) else {
            return false;
        };
        let of_user = target.user.is_empty() || *connection.user == *target.user;
        of_user && !target.spared.iter().any(|it| **it == *connection.client)
    }
}

fn strike<K, Q>(map: &mut HashMap<K, Vec<ConnKey>>, of: &Q, key: ConnKey)
where
    K: std::borrow::Borrow<Q> + Eq + std::hash::Hash,
    Q: Eq + std::hash::Hash + ?Sized,
{
    if let Some(keys) = map.get_mut(of) {
        keys.retain(|it| *it != key);
        if keys.is_empty() {
            map.remove(of);
        }
    }
}
