//! Opens the store that the configuration names: the one place that knows there are several.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::config::{Backend, Config};
use crate::store::Store;
use crate::store::fjall::{self, FjallStore};
use crate::store::scylla::{self, ScyllaStore, Tls};
use crate::telemetry::Meters;

/// Whether a store is made where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is made. Not on a cluster: its tables are made on purpose, by `klokke store migrate`.
    Make,
    /// That is an error: there must be something to look at.
    Refuse,
}

/// Opens the store in force, counted here.
pub(super) async fn open(
    config: &Config,
    missing: Missing,
    meters: Meters,
) -> Result<Arc<dyn Store>> {
    open_as(config, config.store.backend, missing, meters).await
}

/// Opens a store of this kind.
pub(super) async fn open_as(
    config: &Config,
    backend: Backend,
    missing: Missing,
    meters: Meters,
) -> Result<Arc<dyn Store>> {
    match backend {
        Backend::Embedded => {
            let path = config.store.path.as_deref();
            let path = path.context("store.path is not set")?;
            open_folder(path, config.store.cache_size_bytes, missing, meters)
        }
        Backend::Scylla => {
            let store = ScyllaStore::open(&cluster(config, meters)).await;
            Ok(Arc::new(store.context("cannot open the store")?))
        }
    }
}

fn open_folder(
    path: &Path,
    cache_bytes: usize,
    missing: Missing,
    meters: Meters,
) -> Result<Arc<dyn Store>> {
    let options = fjall::Options {
        cache_bytes: u64::try_from(cache_bytes).unwrap_or(u64::MAX),
        make: missing == Missing::Make,
        meters,
        ..fjall::Options::default()
    };
    let store = FjallStore::open(path, &options)
        .with_context(|| format!("cannot open the store {}", path.display()))?;
    Ok(Arc::new(store))
}

/// How the cluster is talked to.
pub(super) fn cluster(config: &Config, meters: Meters) -> scylla::Options {
    let it = &config.store_scylla;
    let identity = it.tls_certificate.clone().zip(it.tls_key.clone());
    let tls = Tls {
        authority: it.tls_authority.clone(),
        identity,
    };
    let login = (it.user.clone(), it.password.expose().to_owned());
    scylla::Options {
        nodes: it.nodes.clone(),
        address_translation: it
            .address_translation
            .iter()
            .filter_map(|rule| crate::config::translated(rule))
            .collect(),
        keyspace: it.keyspace.clone(),
        replication_factor: it.replication_factor,
        datacenter: it.datacenter.clone(),
        is_local: it.local_quorum,
        login: (!it.user.is_empty()).then_some(login),
        tls: it.tls.then_some(tls),
        request_timeout: it.request_timeout.get(),
        deadline: it.call_timeout.get(),
        in_flight_max: it.requests_in_flight_max,
        meters,
        ..scylla::Options::default()
    }
}
