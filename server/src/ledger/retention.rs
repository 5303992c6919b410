//! What is kept how long: history of channels by size and age, the commits of generic namespaces
//! as long as some entry needs them, idempotency keys for a while. A legal hold beats every rule.
//!
//! Units' ledgers keep all their commits (they are the record of what happened); of their
//! channels only the rows of old entries go, where a rule says so.

use hashbrown::{HashMap, HashSet};

use super::actor::Message;
use super::name::DOMAIN_NAMESPACES;
use super::{CallError, ChannelName, IdempotencyKey, LedgerId, Ledgers, ROUTE_KEY_TTL_MS, State};
use crate::store::{Head, Store, StoreError, Trim};

/// Ledgers, channels, rows and commits looked at at once.
const PAGE: usize = 256;

/// How long the history of a namespace's channels is kept. Without any bound it is kept for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rule {
    /// At most so many entries of each channel.
    pub history_size: Option<u64>,
    /// Entries at most so old, milliseconds.
    pub history_ttl_ms: Option<u64>,
}

/// Marks in the names of generic channels, as configured. Those of the domain are always read by
/// the default ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// Begins a private channel; empty for none.
    pub private_prefix: String,
    /// Ends the namespace.
    pub namespace_boundary: String,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            private_prefix: "$".to_owned(),
            namespace_boundary: ":".to_owned(),
        }
    }
}

impl Marks {
    fn namespace<'a>(&self, channel: &'a ChannelName) -> &'a str {
        if DOMAIN_NAMESPACES.contains(&channel.namespace()) {
            return channel.namespace();
        }
        let name = channel.as_str();
        let name = name.strip_prefix(&self.private_prefix).unwrap_or(name);
        let parts = name.split_once(&self.namespace_boundary);
        parts.map_or("", |(namespace, _)| namespace)
    }
}

/// All rules.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// By namespace; channels without one have `""`. A namespace not named here is kept.
    pub namespaces: HashMap<String, Rule>,
    /// How names are read: what begins a private channel and what ends the namespace.
    pub marks: Marks,
    /// Idempotency keys of callers are remembered so long, milliseconds; 0 keeps them for good.
    pub idempotency_ttl_ms: u64,
    /// Ledgers of which nothing may go.
    pub held_ledgers: HashSet<LedgerId>,
    /// Channels of which nothing may go.
    pub held_channels: HashSet<ChannelName>,
}

impl Rules {
    /// Whether anything of what units keep is ever to go.
    fn bounds_units(&self) -> bool {
        let rules = DOMAIN_NAMESPACES
            .iter()
            .filter_map(|name| self.namespaces.get(*name));
        rules.into_iter().any(|rule| *rule != Rule::default())
    }
}

/// What a run of retention did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Ledgers looked at.
    pub ledgers: u64,
    /// Entries' rows removed.
    pub entries: u64,
    /// Ledgers that could not be trimmed (damaged); the others were.
    pub failed: u64,
}

impl<S: State> Ledgers<S> {
    /// Removes what the rules no longer keep. To be called on a timer.
    ///
    /// # Errors
    /// When the list of ledgers cannot be read or the store is unavailable; single damaged
    /// ledgers are counted.
    pub async fn retain(
        &self,
        now_ms: u64,
        rules: &Rules,
        is_ours: &(dyn Fn(&LedgerId) -> bool + Sync),
    ) -> Result<Retained, CallError> {
        let mut done = Retained::default();
        let mut after: Option<LedgerId> = None;
        loop {
            let page = self.store().ledgers(after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(done);
            };
            after = Some(last.clone());
            for (ledger, head) in page.into_iter().filter(|(ledger, _)| is_ours(ledger)) {
                done.ledgers += 1;
                match self.retain_one(&ledger, &head, now_ms, rules).await {
                    Ok(entries) => done.entries += entries,
                    Err(StoreError::Damaged(_)) => done.failed += 1,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Removes the whole history of a channel, as far as it reaches now. Offsets go on.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn remove_history(&self, channel: &ChannelName) -> Result<(), CallError> {
        let ledger = LedgerId::of_channel(channel)?;
        let heads = self
            .store()
            .channel_heads(&ledger, std::slice::from_ref(channel))
            .await?;
        let top = heads.first().map_or(0, |head| head.top);
        let channels = vec![(channel.clone(), top)];
        let trim = Trim {
            ledger: ledger.clone(),
            channels,
            commits_to: 0,
            forget_before_ms: 0,
        };
        self.store().trim(trim).await?;
        self.inner().herald.trimmed(&ledger);
        self.send(&ledger, Message::Trimmed(vec![(channel.clone(), top)]))
    }

    async fn retain_one(
        &self,
        ledger: &LedgerId,
        head: &Head,
        now_ms: u64,
        rules: &Rules,
    ) -> Result<u64, StoreError> {
        if rules.held_ledgers.contains(ledger) {
            return Ok(0);
        }
        let store = &**self.store();
        let forget_before_ms = match rules.idempotency_ttl_ms {
            0 => 0,
            ttl => now_ms.saturating_sub(ttl),
        };
        let mut plan = Plan {
            needed: head.seq,
            ..Plan::default()
        };
        let mut after: Option<ChannelName> = None;
        // A unit has a channel a person: looking at each, where nothing is ever to go, took a core-second a run at 30,000 people.
        while ledger.namespace().is_some() || rules.bounds_units() {
            let page = store.channels(ledger, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            for name in page {
                plan.channel(store, ledger, name, now_ms, rules).await?;
            }
        }
        let commits_to = if ledger.namespace().is_some() {
            removable(store, ledger, plan.needed, forget_before_ms, now_ms).await?
        } else {
            0
        };
        let channels = plan.channels.clone();
        let trim = Trim {
            ledger: ledger.clone(),
            channels,
            commits_to,
            forget_before_ms,
        };
        store.trim(trim).await?;
        if !plan.channels.is_empty() {
            self.inner().herald.trimmed(ledger);
            // A full mailbox loses this; then memory keeps a little longer what the store dropped.
            self.send_if_loaded(ledger, Message::Trimmed(plan.channels));
        }
        Ok(plan.entries)
    }
}

#[derive(Default)]
struct Plan {
    channels: Vec<(ChannelName, u64)>,
    entries: u64,
    /// The first commit that a remaining entry needs.
    needed: u64,
}

impl Plan {
    async fn channel(
        &mut self,
        store: &dyn Store,
        ledger: &LedgerId,
        name: ChannelName,
        now_ms: u64,
        rules: &Rules,
    ) -> Result<(), StoreError> {
        let heads = store
            .channel_heads(ledger, std::slice::from_ref(&name))
            .await?;
        let head = heads.first().copied().unwrap_or_default();
        let held = rules.held_channels.contains(&name);
        let rule = rules.namespaces.get(rules.marks.namespace(&name));
        let rule = rule.filter(|_| !held);
        let rule = rule.copied().unwrap_or_default();
        let mut to = head.trimmed;
        if let Some(size) = rule.history_size {
            to = to.max(head.top.saturating_sub(size));
        }
        if let Some(ttl) = rule.history_ttl_ms {
            to = expired(store, ledger, &name, to, now_ms.saturating_sub(ttl)).await?;
        }
        let first = store.entry_rows(ledger, &name, to, 1).await?;
        if let Some(first) = first.first() {
            self.needed = self.needed.min(first.seq);
        }
        if to > head.trimmed {
            self.entries += to - head.trimmed;
            self.channels.push((name, to));
        }
        Ok(())
    }
}

/// The last offset, from `to` on, up to which all entries are older than `before_ms`.
async fn expired(
    store: &dyn Store,
    ledger: &LedgerId,
    name: &ChannelName,
    mut to: u64,
    before_ms: u64,
) -> Result<u64, StoreError> {
    loop {
        let rows = store.entry_rows(ledger, name, to, PAGE).await?;
        let old = rows
            .iter()
            .take_while(|row| row.time_ms < before_ms)
            .count();
        to = rows
            .get(..old)
            .and_then(|old| old.last())
            .map_or(to, |row| row.offset);
        if old < rows.len() || rows.is_empty() {
            return Ok(to);
        }
    }
}

/// The last commit that nothing needs: below the first one an entry needs, an outbox item waits
/// in, or a remembered call would be answered from.
async fn removable(
    store: &dyn Store,
    ledger: &LedgerId,
    needed: u64,
    forget_before_ms: u64,
    now_ms: u64,
) -> Result<u64, StoreError> {
    let pending = store.outbox_pending(Some(ledger), None, 1).await?;
    let needed = pending.first().map_or(needed, |item| item.seq.min(needed));
    let mut seq = store.anchor(ledger).await?.seq;
    loop {
        let page = store.commits_since(ledger, seq, PAGE).await?;
        for sealed in &page {
            let commit = &sealed.commit;
            let remembered = commit.idempotency.as_ref().is_some_and(|it| {
                let since_ms = match IdempotencyKey::is_of_route(&it.key) {
                    true => forget_before_ms.max(now_ms.saturating_sub(ROUTE_KEY_TTL_MS)),
                    false => forget_before_ms,
                };
                commit.time_ms >= since_ms
            });
            if commit.seq >= needed || remembered {
                return Ok(seq);
            }
            seq = commit.seq;
        }
        if page.is_empty() {
            return Ok(seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::inspect::verify;
    use super::super::testing::{Bench, run_local};
    use super::super::{Actor, Append, Call, Content};
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::store::{EntryRange, Order};

    fn all() -> EntryRange {
        EntryRange {
            from: 1,
            to: u64::MAX,
            limit: 9_999,
            order: Order::Ascending,
        }
    }

    async fn publish(bench: &Bench<()>, channel: &ChannelName, times: usize) {
        let ledger = LedgerId::of_channel(channel).expect("a ledger");
        for i in 0..times {
            let job = Append {
                channels: vec![channel.clone()],
                content: Content::default(),
            };
            let key = IdempotencyKey::new(&format!("{channel}{i}"), "publish", b"");
            let call = Call::new("publish", Actor::default(), job).with_key(key);
            bench.ledgers.call(&ledger, call).await.expect("done");
        }
    }

    async fn offsets(bench: &Bench<()>, channel: &ChannelName) -> Vec<u64> {
        let ledger = LedgerId::of_channel(channel).expect("a ledger");
        let read = bench
            .ledgers
            .read(&ledger, channel, all())
            .await
            .expect("read");
        assert_eq!(read.head.top, 5, "offsets never go back");
        read.entries.iter().map(|entry| entry.offset).collect()
    }

    fn rules(rule: Rule) -> Rules {
        let namespaces = HashMap::from([("chat".to_owned(), rule), ("unit".to_owned(), rule)]);
        Rules {
            namespaces,
            idempotency_ttl_ms: 1,
            ..Rules::default()
        }
    }

    #[test]
    fn the_namespace_is_read_by_the_configured_marks() {
        let marks = Marks {
            private_prefix: "!".to_owned(),
            namespace_boundary: "/".to_owned(),
        };
        let rows = [
            ("chat/a", "chat"),
            ("!chat/a", "chat"),
            ("chat:a", ""),
            ("unit:G1", "unit"),
            ("person:G1/p1", "person"),
        ];
        for (name, namespace) in rows {
            let channel = ChannelName::parse(name).expect("valid");
            assert_eq!(marks.namespace(&channel), namespace, "{name}");
        }
    }

    #[test]
    fn what_a_node_made_a_key_for_is_not_kept_as_long_as_a_callers() {
        run_local(async {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let bench = Bench::<()>::on(Arc::clone(&store));
            let chat = ChannelName::parse("chat:a").expect("valid");
            let ledger = LedgerId::of_channel(&chat).expect("a ledger");
            let forever = Rules {
                idempotency_ttl_ms: 0,
                ..rules(Rule {
                    history_size: Some(1),
                    history_ttl_ms: None,
                })
            };
            for (nth, is_callers) in [false, false, true, false].into_iter().enumerate() {
                let job = Append {
                    channels: vec![chat.clone()],
                    content: Content::default(),
                };
                let name = nth.to_string();
                let key = match is_callers {
                    true => IdempotencyKey::new(&name, "publish", b""),
                    false => IdempotencyKey::of_route(&name, "publish", b""),
                };
                let call = Call::new("publish", Actor::default(), job).with_key(key);
                bench.ledgers.call(&ledger, call).await.expect("done");
            }
            let kept_after = async |passed: Duration| {
                bench.clock.advance(passed);
                let now_ms = super::super::Clock::now_ms(&*bench.clock);
                let done = bench.ledgers.retain(now_ms, &forever, &|_| true).await;
                done.expect("done");
                store.anchor(&ledger).await.expect("read").seq
            };
            let ttl = Duration::from_millis(ROUTE_KEY_TTL_MS);
            assert_eq!(kept_after(ttl / 2).await, 0, "it may still be asked for");
            assert_eq!(kept_after(ttl).await, 2, "up to what a caller may ask for");
            let report = verify(&store, None, &mut |_| {}).await;
            assert_eq!(report.findings, [], "the chain holds from the anchor on");
        });
    }

    #[test]
    fn size_age_and_hold() {
        run_local(async {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let bench = Bench::<()>::on(Arc::clone(&store));
            let name = |text| ChannelName::parse(text).expect("valid");
            let (chat, unit, other) = (name("chat:a"), name("unit:G1"), name("other:a"));
            for channel in [&chat, &unit, &other] {
                publish(&bench, channel, 5).await;
            }
            let ledger = LedgerId::of_channel(&chat).expect("a ledger");
            bench.clock.advance(Duration::from_secs(10));
            let now_ms = super::super::Clock::now_ms(&*bench.clock);
            let two = Rule {
                history_size: Some(2),
                history_ttl_ms: None,
            };
            let held = Rules {
                held_channels: HashSet::from([chat.clone()]),
                ..rules(two)
            };
            bench
                .ledgers
                .retain(now_ms, &held, &|_| true)
                .await
                .expect("done");
            assert_eq!(
                offsets(&bench, &chat).await,
                [1, 2, 3, 4, 5],
                "the hold beats the rule"
            );
            assert_eq!(offsets(&bench, &unit).await, [4, 5]);
            assert_eq!(store.anchor(&ledger).await.expect("read").seq, 0);
            let done = bench
                .ledgers
                .retain(now_ms, &rules(two), &|_| true)
                .await
                .expect("done");
            assert_eq!((done.entries, done.failed), (3, 0));
            assert_eq!(offsets(&bench, &chat).await, [4, 5]);
            assert_eq!(
                offsets(&bench, &other).await,
                [1, 2, 3, 4, 5],
                "no rule, nothing goes"
            );
            assert_eq!(store.anchor(&ledger).await.expect("read").seq, 3);
            let unit_ledger = LedgerId::of_channel(&unit).expect("a ledger");
            assert_eq!(
                store.anchor(&unit_ledger).await.expect("read").seq,
                0,
                "units keep all"
            );
            let aged = Rule {
                history_size: None,
                history_ttl_ms: Some(9_000),
            };
            bench
                .ledgers
                .retain(now_ms, &rules(aged), &|_| true)
                .await
                .expect("done");
            assert_eq!(offsets(&bench, &chat).await, [0u64; 0]);
            bench.ledgers.remove_history(&other).await.expect("done");
            assert_eq!(offsets(&bench, &other).await, [0u64; 0]);
            let report = verify(&store, None, &mut |_| {}).await;
            assert_eq!(report.findings, [], "the chain holds from the anchors on");
        });
    }
}
