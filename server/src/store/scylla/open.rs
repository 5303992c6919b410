//! How the store on a cluster is opened, and why it may not be.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use scylla::statement::{Consistency, SerialConsistency};

use crate::telemetry::Meters;

/// How the store on a cluster is opened.
#[derive(Clone)]
pub struct Options {
    /// Some of the cluster's nodes, as `host:port`; the others are found through them.
    pub nodes: Vec<String>,
    /// Where nodes are reached whose own address leads nowhere: own, reached.
    pub address_translation: Vec<(SocketAddr, SocketAddr)>,
    /// Where the tables are.
    pub keyspace: String,
    /// Copies of everything, when the keyspace is created.
    pub replication_factor: u8,
    /// The datacenter to talk to; empty for any.
    pub datacenter: String,
    /// Whether a majority of that datacenter is enough. Right only when nobody writes in another.
    pub is_local: bool,
    /// User and password, when the cluster asks for them.
    pub login: Option<(String, String)>,
    /// TLS to the nodes.
    pub tls: Option<Tls>,
    /// Longest time for one request to a node.
    pub request_timeout: Duration,
    /// Longest time for one call of the store, with all its requests.
    pub deadline: Duration,
    /// Requests under way at once; further ones wait.
    pub in_flight_max: usize,
    /// How commits and entries are spread over partitions.
    pub spread: Spread,
    /// Where is counted.
    pub meters: Meters,
}

/// TLS to the cluster.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Certificates in PEM that sign the nodes'; the system's own when there is none.
    pub authority: Option<PathBuf>,
    /// Certificate chain and key in PEM by which this node proves itself.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How many things lie in one partition. Part of what is stored: it must never change for a keyspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Sequence numbers of a partition of commits. At 1 KiB a commit that is 256 KiB; at the most a commit may have
    /// (4 MiB) it is 1 GiB, which both databases still bear.
    pub commits: u64,
    /// Offsets of a partition of a channel's entries, some 100 bytes each.
    pub entries: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            commits: 256,
            entries: 4_096,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            address_translation: Vec::new(),
            keyspace: "klokke".to_owned(),
            replication_factor: 3,
            datacenter: String::new(),
            is_local: false,
            login: None,
            tls: None,
            request_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(15),
            in_flight_max: 1_024,
            spread: Spread::default(),
            meters: Meters::default(),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the login.
        f.debug_struct("Options")
            .field("nodes", &self.nodes)
            .field("keyspace", &self.keyspace)
            .finish_non_exhaustive()
    }
}

impl Options {
    pub(super) fn quorum(&self) -> Consistency {
        if self.is_local {
            Consistency::LocalQuorum
        } else {
            Consistency::Quorum
        }
    }

    pub(super) fn serial(&self) -> SerialConsistency {
        if self.is_local {
            SerialConsistency::LocalSerial
        } else {
            SerialConsistency::Serial
        }
    }

    pub(super) fn serial_read(&self) -> Consistency {
        if self.is_local {
            Consistency::LocalSerial
        } else {
            Consistency::Serial
        }
    }

    pub(super) fn replication(&self) -> String {
        let place = match self.datacenter.as_str() {
            "" => "replication_factor",
            name => name,
        };
        let place = place.replace('\'', "''");
        let factor = self.replication_factor;
        format!("{{'class': 'NetworkTopologyStrategy', '{place}': {factor}}}")
    }
}

/// Why the store on a cluster cannot be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No node could be talked to, or none would have us.
    #[error("the cluster cannot be used: {0}")]
    Cluster(String),
    /// Something it was told is wrong in itself.
    #[error("{0}")]
    Setting(String),
    /// The keyspace is not there, or may not be used.
    #[error("the keyspace {0} cannot be used ({1}); `klokke store migrate` makes it")]
    Keyspace(String, String),
    /// The schema was made by a newer program.
    #[error(
        "the schema has version {found}, and this version of klokke knows version {known}: run the version that made it, or a newer one"
    )]
    Newer {
        /// What the cluster has.
        found: i32,
        /// What this program reads and writes.
        known: i32,
    },
    /// The schema is missing or was made by an older program.
    #[error(
        "the schema has version {found}, and this version of klokke needs version {known}: run `klokke store migrate`"
    )]
    Older {
        /// What the cluster has; 0 for none.
        found: i32,
        /// What this program reads and writes.
        known: i32,
    },
    /// An older program wrote ledgers whose rows this one looks for elsewhere.
    #[error(
        "the keyspace was written with version {found} of the schema, whose records lie elsewhere: copy it into a folder with the version of klokke that wrote it (`klokke store copy --from scylla --to embedded`), and with this one from there into a new keyspace"
    )]
    Elsewhere {
        /// What the cluster has.
        found: i32,
    },
    /// The thread that talks to the cluster did not start.
    #[error(transparent)]
    Io(#[from] std::sync::Arc<std::io::Error>),
}
