//! How the node is, as `/health` tells it: what its rooms say of themselves, put into words for operators.

use std::sync::Arc;
use std::time::Instant;

use super::leave::Leave;
use crate::admission::{Level, Load, Work};
use crate::auth::jwks::KeySet;
use crate::bus::{Member, Shared};
use crate::http::health::{Ailment, Draining, Vitals};
use crate::store::Store;
use crate::transport::admission::Admission;

/// Whether the node is well.
pub(super) struct NodeVitals {
    pub(super) store: Arc<dyn Store>,
    /// Its end.
    pub(super) leave: Arc<Leave>,
    /// The other nodes, where there can be any.
    pub(super) cluster: Option<Peers>,
    /// Keys of identity providers.
    pub(super) key_sets: Vec<Arc<KeySet>>,
    /// How busy the node is.
    pub(super) load: Arc<Load>,
    /// Who gets in.
    pub(super) admission: Arc<Admission>,
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
        if self.leave.is_begun() {
            ailments.push(Ailment {
                part: "drain",
                reason: "the node stops: who is connected is sent to another one soon".to_owned(),
                serving: false,
            });
        }
        if self.admission.failing().lasts(Instant::now()) {
            ailments.push(Ailment {
                part: "accept",
                reason: "connections cannot be accepted, for file handles or memory are short: who is connected is served"
                    .to_owned(),
                serving: true,
            });
        }
        let level = self.load.level();
        if level > Level::NORMAL {
            let put_off: Vec<_> = level.put_off().map(Work::name).collect();
            // Who is served is served, and others find no better node: all are as busy.
            let reason = format!(
                "more is asked than the node can do: level {}, put off are {}",
                level.number(),
                put_off.join(", ")
            );
            ailments.push(Ailment {
                part: "admission",
                reason,
                serving: true,
            });
        }
        if let Some(peers) = &self.cluster {
            ailments.extend(peers.ailments());
        }
        // Every node has the same provider: to take them all away would help nobody.
        let key_sets = self.key_sets.iter().filter_map(|set| set.ailing());
        ailments.extend(key_sets.map(|what| Ailment {
            part: "keys",
            reason: what.to_owned(),
            serving: true,
        }));
        ailments
    }
    fn draining(&self) -> Option<Draining> {
        self.leave.is_begun().then(|| Draining {
            connections: self.admission.open(),
        })
    }

    fn drain(&self) {
        self.leave.begin();
    }
}

/// The other nodes of a cluster, as far as they concern how this one is.
pub(super) struct Peers {
    pub(super) members: Shared,
    /// Whether there should be a bus.
    pub(super) has_bus: bool,
    /// This node's own digest of what must be the same on all.
    pub(super) settings: u64,
    /// How far clocks may differ.
    pub(super) skew_max: std::time::Duration,
}

impl Peers {
    /// Degraded, never failing: whoever is connected is served, and to take all nodes away would help nobody.
    fn ailments(&self) -> Vec<Ailment> {
        let mut reasons = Vec::new();
        if self.has_bus && !self.members.is_up() {
            reasons.push(
                "NATS is away: what is written at other nodes is read from the store, and comes later".to_owned(),
            );
        }
        let (settings, clock) = self.members.read(|members| {
            let all = || members.others().map(|(_, member)| member);
            let settings: Vec<_> = all()
                .filter(|it| it.hello.settings != self.settings)
                .collect();
            let clock: Vec<_> = all().filter(|it| it.skew() > self.skew_max).collect();
            let names = |of: Vec<&Member>| {
                let names: Vec<&str> = of.iter().map(|it| &*it.hello.name).collect();
                names.join(", ")
            };
            (names(settings), names(clock))
        });
        if !settings.is_empty() {
            reasons.push(format!(
                "other settings, where all nodes must have the same, has {settings}: compare `klokke config print`"
            ));
        }
        if !clock.is_empty() {
            reasons.push(format!(
                "another clock than this node has {clock}: set them by the same source"
            ));
        }
        let ailment = |reason| Ailment {
            part: "cluster",
            reason,
            serving: true,
        };
        reasons.into_iter().map(ailment).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::jwks::KeySetSource;
    use crate::store::memory::MemoryStore;
    use crate::transport::admission::Limits;

    #[tokio::test]
    async fn what_ails_a_node_is_told() {
        let missing = KeySetSource::File("/no/such/file".into());
        let vitals = NodeVitals {
            store: Arc::new(MemoryStore::new()),
            leave: Arc::default(),
            cluster: None,
            key_sets: vec![Arc::new(KeySet::new(missing))],
            load: Arc::new(Load::new(1)),
            admission: Admission::new(Limits::default()),
        };
        let parts = || {
            let found = vitals.ailments().into_iter();
            found.map(|it| (it.part, it.serving)).collect::<Vec<_>>()
        };
        assert_eq!(parts(), [], "nothing was fetched yet");
        assert!(vitals.key_sets[0].fetch().await.is_err());
        assert_eq!(parts(), [("keys", true)]);
        vitals.drain();
        assert_eq!(vitals.draining().map(|it| it.connections), Some(0));
        assert_eq!(parts(), [("drain", false), ("keys", true)]);
        vitals.load.set_level(Level::of(2));
        let expected = [("drain", false), ("admission", true), ("keys", true)];
        assert_eq!(parts(), expected);
        let told = vitals.ailments().remove(1).reason;
        assert!(vitals.admission.failing().note(Instant::now()).is_some());
        assert_eq!(parts()[1], ("accept", true));
        assert!(
            told.ends_with("level 2, put off are posts, lists"),
            "{told}"
        );
    }
}
