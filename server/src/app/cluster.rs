//! This node among the others: who it is, how it hears of them, and which ledgers are its own to look after.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::task::JoinHandle;

use super::serve::node_name;
use super::vitals::Peers;
use crate::bus::{
    self, Asks, BusHerald, Connected, Hello, Members, NatsSettings, NodeId, Pace, Shared,
};
use crate::config::{Backend, Config};
use crate::ledger::{Clock, Herald, Ledgers, NoHerald, State};
use crate::store::Store;
use crate::telemetry::{Meters, catalogue};

/// See the file.
pub(super) struct Cluster {
    own: NodeId,
    hello: Hello,
    pace: Pace,
    asks: Asks,
    /// Nothing for a node whose store nobody else writes.
    connected: Option<Connected>,
    /// Whether there should be a bus.
    has_bus: bool,
    meters: Meters,
    seed: u128,
}

impl Cluster {
    /// As configured.
    ///
    /// # Errors
    /// When the settings of the bus cannot be used. That it cannot be reached is no error.
    pub(super) async fn of(
        config: &Config,
        id: uuid::Uuid,
        clock: Arc<dyn Clock>,
        store: &dyn Store,
        meters: Meters,
    ) -> Result<Self> {
        let own = NodeId::new(id);
        let it = &config.cluster;
        let connected = match config.store.backend {
            Backend::Embedded => None,
            Backend::Scylla if it.nats.is_empty() => Some(bus::nowhere()),
            Backend::Scylla => {
                let settings = NatsSettings {
                    store: store.identity(),
                    ..nats(config)?
                };
                let connected = bus::nats(&settings, own).await;
                Some(connected.context("cannot begin the bus (cluster.nats)")?)
            }
        };
        let settings = settings_digest(config);
        let members = Shared::new(Members::new(own, it.gone_after.as_ms()));
        // Without a bus others may be there, but there is no way to them.
        let bus = connected.as_ref().filter(|_| !it.nats.is_empty());
        let bus = bus.map(|(bus, _)| Arc::clone(bus));
        Ok(Self {
            own,
            hello: Hello {
                name: node_name(config).into(),
                version: env!("CARGO_PKG_VERSION").into(),
                settings: u64::from_le_bytes(first(settings.as_bytes())),
                now_ms: 0,
                leaving: false,
                gone: false,
            },
            pace: Pace {
                hello: it.hello_interval.get(),
                look_when_down: it.look_interval_without_bus.get(),
                look_when_up: it.look_interval.get(),
                skew_max: it.clock_skew_max.get(),
            },
            asks: Asks::new(own, bus, members, clock, &meters),
            connected,
            has_bus: !it.nats.is_empty(),
            meters,
            seed: u128::from_le_bytes(first(blake3::hash(it.name.as_bytes()).as_bytes())),
        })
    }

    /// Who tells the others of this node's commits.
    pub(super) fn herald(&self) -> Arc<dyn Herald> {
        match &self.connected {
            Some((bus, _)) => Arc::new(BusHerald::new(Arc::clone(bus), self.own, &self.meters)),
            None => Arc::new(NoHerald),
        }
    }

    /// What the epochs of new ledgers are made of: the same on all nodes.
    pub(super) fn epoch_seed(&self) -> Option<u128> {
        self.connected.is_some().then_some(self.seed)
    }

    /// How long others may take to be heard before this node serves; nothing where there is nothing to be heard.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.has_bus.then_some(self.pace.hello)
    }

    /// What others have to do with how this node is.
    pub(super) fn peers(&self) -> Option<Peers> {
        self.connected.as_ref().map(|_| Peers {
            members: self.members(),
            has_bus: self.has_bus,
            settings: self.hello.settings,
            skew_max: self.pace.skew_max,
        })
    }

    /// Which ledgers are this node's to look after.
    pub(super) fn members(&self) -> Shared {
        self.asks.members().clone()
    }

    /// How other nodes are asked.
    pub(super) fn asks(&self) -> Asks {
        self.asks.clone()
    }

    /// Follows the other nodes from now on.
    pub(super) fn follow<S: State>(
        self,
        ledgers: Ledgers<S>,
        clock: Arc<dyn Clock>,
    ) -> Option<JoinHandle<()>> {
        let Some(connected) = self.connected else {
            self.meters.gauge(catalogue::NODE_NUM_NODES, &[]).set(1);
            let version = [&*self.hello.version];
            self.meters
                .gauge(catalogue::CLUSTER_MEMBERS, &version)
                .set(1);
            return None;
        };
        let (asks, hello) = (self.asks, self.hello);
        let (pace, meters) = (self.pace, self.meters);
        Some(tokio::spawn(async move {
            bus::follow(ledgers, connected, asks, hello, clock, pace, &meters).await;
        }))
    }
}

/// How the bus is talked to, with the file of credentials read.
pub(super) fn nats(config: &Config) -> Result<NatsSettings> {
    let it = &config.cluster;
    let credentials = it.credentials_file.as_deref().map(|path| {
        std::fs::read_to_string(path)
            .with_context(|| format!("cannot read cluster.credentials_file {}", path.display()))
    });
    let login = (it.user.clone(), it.password.expose().to_owned());
    Ok(NatsSettings {
        urls: it.nats.clone(),
        cluster: it.name.clone(),
        store: None,
        node: node_name(config),
        login: (!it.user.is_empty()).then_some(login),
        credentials: credentials.transpose()?,
        authority: it.tls_authority.clone(),
        certificate: it.tls_certificate.clone().zip(it.tls_key.clone()),
    })
}

/// What must be the same on all nodes: what channels there are, what is kept, and what clients may do.
fn settings_digest(config: &Config) -> blake3::Hash {
    const SAME: [&str; 3] = ["[channel", "[retention", "[client"];
    let printed = crate::config::print(config);
    let mut is_same = false;
    let mut hasher = blake3::Hasher::new();
    for line in printed.lines() {
        if line.starts_with('[') {
            is_same = SAME.iter().any(|section| line.starts_with(section));
        }
        if is_same {
            hasher.update(line.as_bytes());
        }
    }
    hasher.finalize()
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&bytes[..N]);
    taken
}
