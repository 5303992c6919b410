//! Key sets (JWKS) of an identity provider: read from a file or fetched over HTTP, kept by `kid`.
//!
//! Keys in hand are used until newer ones replace them, also while the provider is down. A
//! token with a `kid` we do not know leads to one fetch, shared by all who wait for it, and to
//! no other within [`FETCH_MIN_INTERVAL`]: strangers cannot make us hammer the provider.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::JwkSet;
use tokio::sync::Mutex;

use super::keys::RING_MAX_KEYS;
use super::{KeyRing, VerificationKey};
use crate::telemetry::{Count, Meters, catalogue};

/// Shortest time between two fetches. A rotation announced the moment it is used is seen
/// within it; providers publish new keys hours ahead.
pub const FETCH_MIN_INTERVAL: Duration = Duration::from_secs(10);
/// A fetch that takes longer than this has failed: somebody's connect is waiting for it, and SDKs
/// give up after five seconds, without having heard that they should come again.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(4);
/// How often the set is fetched anew without being asked for.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// Longest answer read: sets of real providers are below 20 KiB.
const BODY_MAX_BYTES: usize = 256 * 1024;

/// Where a key set comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySetSource {
    /// A file in JWKS format.
    File(PathBuf),
    /// An `https` (or, inside a trusted network, `http`) address.
    Url(Uri),
}

/// Why a key set could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The file cannot be read.
    #[error("key set file is unreadable")]
    File(#[source] std::io::Error),
    /// No connection, TLS failure, broken answer, or too long an answer.
    #[error("key set address does not answer")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An answer with another status than 200.
    #[error("key set address answered with status {0}")]
    Status(u16),
    /// Took longer than [`FETCH_TIMEOUT`].
    #[error("key set address did not answer in time")]
    Timeout,
    /// Not a key set, or no key in it that can verify tokens.
    #[error("answer holds no usable key")]
    NoKeys,
}

/// Whether the keys in hand are as fresh as they can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// The provider was asked, now or within the bound: what is not here does not exist.
    Current,
    /// The last fetch failed: what is not here may exist.
    Stale,
}

/// A key set and the way to renew it.
pub struct KeySet {
    source: KeySetSource,
    ring: ArcSwap<KeyRing>,
    generation: AtomicU64,
    last: Mutex<Option<(Instant, Freshness)>>,
    /// Whether the last fetch failed.
    failed: AtomicBool,
    fetches: Count,
    failures: Count,
}

impl KeySet {
    /// An empty set; the first token that needs it, or [`KeySet::keep_fresh`], fills it.
    #[must_use]
    pub fn new(source: KeySetSource) -> Self {
        Self {
            source,
            ring: ArcSwap::from_pointee(KeyRing::default()),
            generation: AtomicU64::new(0),
            last: Mutex::new(None),
            failed: AtomicBool::new(false),
            fetches: Count::default(),
            failures: Count::default(),
        }
    }

    /// The same set, with its fetches counted here.
    #[must_use]
    pub fn counted(mut self, meters: &Meters) -> Self {
        let fetches = |outcome| meters.counter(catalogue::KEYSET_FETCHES, &[outcome]);
        self.fetches = fetches("fetched");
        self.failures = fetches("failed");
        self
    }

    /// The keys in hand.
    pub(super) fn ring(&self) -> Arc<KeyRing> {
        self.ring.load_full()
    }

    /// Grows with every change of keys.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether keys were had at any time since the start.
    pub(super) fn was_had(&self) -> bool {
        self.generation() > 0
    }

    /// What is wrong with it, if anything.
    #[must_use]
    pub fn ailing(&self) -> Option<&'static str> {
        if !self.failed.load(Ordering::Relaxed) {
            return None;
        }
        Some(if !self.was_had() {
            "the keys of the identity provider were not to be had yet: tokens that need them are refused for now, and \
             clients come again by themselves"
        } else {
            "the keys of the identity provider cannot be renewed: tokens are judged by those of the last time"
        })
    }

    /// Fetches now.
    ///
    /// # Errors
    /// [`FetchError`]; the keys in hand stay.
    pub async fn fetch(&self) -> Result<(), FetchError> {
        let mut last = self.last.lock().await;
        self.fetch_locked(&mut last).await
    }

    /// Renews the set for ever, for the caller's runtime to run as a task.
    pub async fn keep_fresh(&self) {
        loop {
            if let Err(error) = self.fetch().await {
                tracing::warn!(%error, "keys of the identity provider could not be renewed");
                tokio::time::sleep(FETCH_MIN_INTERVAL).await;
            } else {
                tokio::time::sleep(REFRESH_INTERVAL).await;
            }
        }
    }

    /// Fetches because a token named a key that is not here, at most once per
    /// [`FETCH_MIN_INTERVAL`]. Callers at the same time wait for the same fetch.
    pub(super) async fn seek(&self, key_id: Option<&str>) -> Freshness {
        let mut last = self.last.lock().await;
        let held = key_id.is_some_and(|id| self.ring.load().holds(id));
        match *last {
            Some((_, freshness)) if held => freshness,
            Some((when, freshness)) if when.elapsed() < FETCH_MIN_INTERVAL => freshness,
            _ => {
                if let Err(error) = self.fetch_locked(&mut last).await {
                    tracing::warn!(%error, "keys of the identity provider could not be fetched");
                    return Freshness::Stale;
                }
                Freshness::Current
            }
        }
    }

    async fn fetch_locked(
        &self,
        last: &mut Option<(Instant, Freshness)>,
    ) -> Result<(), FetchError> {
        let outcome = self.try_fetch(last).await;
        self.failed.store(outcome.is_err(), Ordering::Relaxed);
        outcome
    }

    async fn try_fetch(&self, last: &mut Option<(Instant, Freshness)>) -> Result<(), FetchError> {
        // Noted before the fetch, so that a caller who gives up half way still counts.
        *last = Some((Instant::now(), Freshness::Stale));
        let ring = self.read().await;
        match &ring {
            Ok(_) => self.fetches.add(1),
            Err(_) => self.failures.add(1),
        }
        self.ring.store(Arc::new(ring?));
        self.generation.fetch_add(1, Ordering::AcqRel);
        *last = Some((Instant::now(), Freshness::Current));
        Ok(())
    }

    async fn read(&self) -> Result<KeyRing, FetchError> {
        let body = match &self.source {
            KeySetSource::File(path) => tokio::fs::read(path).await.map_err(FetchError::File)?,
            KeySetSource::Url(uri) => tokio::time::timeout(FETCH_TIMEOUT, get(uri.clone()))
                .await
                .map_err(|_| FetchError::Timeout)??
                .to_vec(),
        };
        parse(&body)
    }
}

fn parse(body: &[u8]) -> Result<KeyRing, FetchError> {
    let set: JwkSet = serde_json::from_slice(body).map_err(|_| FetchError::NoKeys)?;
    let keys: Vec<_> = set
        .keys
        .iter()
        .filter_map(VerificationKey::from_jwk)
        .take(RING_MAX_KEYS)
        .collect();
    if keys.is_empty() {
        return Err(FetchError::NoKeys);
    }
    KeyRing::new(keys).map_err(|_| FetchError::NoKeys)
}

/// One GET on a connection of its own: fetches are minutes apart, a pool would only keep dead
/// connections, and each shard has its own runtime.
async fn get(uri: Uri) -> Result<Bytes, FetchError> {
    let transport = |error: Box<dyn std::error::Error + Send + Sync>| FetchError::Transport(error);
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|error| transport(Box::new(error)))?
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector);
    let response = client
        .get(uri)
        .await
        .map_err(|error| transport(Box::new(error)))?;
    if response.status() != http::StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let body = Limited::new(response.into_body(), BODY_MAX_BYTES);
    Ok(body.collect().await.map_err(transport)?.to_bytes())
}
