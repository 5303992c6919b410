//! The certificate of a listener: read from files, and read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs as provider;
use rustls::server::ProducesTickets;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// How often certificate files are looked at.
pub(super) const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(30);

/// What a private key becomes the seed of other keys by.
const SEED_CONTEXT: &str = "klokke 2026-11-27 seed of a node's keys";

/// Where a certificate lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, the server's own certificate first.
    pub chain: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// Why a certificate could not be used. The former one stays in use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read, or holds no PEM of its kind.
    #[error("{} is not readable PEM", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What reading it said.
        source: rustls_pki_types::pem::Error,
    },
    /// The chain file holds no certificate.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// Key and certificate do not belong together, or are of a kind we cannot use.
    #[error("certificate and key cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// A certificate in use.
pub struct Certificate {
    files: CertificateFiles,
    /// Kept over renewals of the certificate: whoever was here before resumes all the same. It changes its keys itself.
    tickets: Arc<dyn ProducesTickets>,
    configs: ArcSwap<Configs>,
    seed: [u8; 32],
    modified: Mutex<Option<SystemTime>>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn load(files: CertificateFiles) -> Result<Self, CertificateError> {
        let modified = last_modified(&files);
        let tickets = provider::Ticketer::new()?;
        let configs = read(&files, &tickets)?;
        let seed = seed(&files)?;
        Ok(Self {
            files,
            tickets,
            configs: ArcSwap::from(configs),
            seed,
            modified: Mutex::new(modified),
        })
    }

    /// What a new connection over TCP is served with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.configs.load().tcp)
    }

    /// And over QUIC.
    pub(super) fn quic(&self) -> Arc<quinn::ServerConfig> {
        Arc::clone(&self.configs.load().quic)
    }

    /// A key of a node for some use: the same in every life of the node, and no other node's.
    pub(super) fn key_for(&self, node: &str, usage: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher
            .update(usage.as_bytes())
            .update(&[0])
            .update(node.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Reads the files again if they changed since, and says so in the log.
    pub(super) fn look(&self) {
        match self.reload_if_changed() {
            Ok(true) => tracing::info!("certificate reloaded"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "certificate not reloaded, former one stays"),
        }
    }

    /// Reads the files again. Open connections keep what they have.
    ///
    /// # Errors
    /// [`CertificateError`]; the certificate in use stays.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let modified = last_modified(&self.files);
        self.configs.store(read(&self.files, &self.tickets)?);
        *self.modified.lock().unwrap_or_else(PoisonError::into_inner) = modified;
        Ok(())
    }

    /// Reads the files again if they changed since; says whether they did.
    ///
    /// # Errors
    /// [`CertificateError`]; the certificate in use stays.
    pub fn reload_if_changed(&self) -> Result<bool, CertificateError> {
        let known = *self.modified.lock().unwrap_or_else(PoisonError::into_inner);
        if last_modified(&self.files) == known {
            return Ok(false);
        }
        self.reload()?;
        Ok(true)
    }
}

fn last_modified(files: &CertificateFiles) -> Option<SystemTime> {
    let of = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|meta| meta.modified())
            .ok()
    };
    of(&files.chain).max(of(&files.key))
}

/// A certificate put to use.
struct Configs {
    tcp: Arc<ServerConfig>,
    quic: Arc<quinn::ServerConfig>,
}

fn unreadable(
    path: &Path,
) -> impl FnOnce(rustls_pki_types::pem::Error) -> CertificateError + Clone {
    let path = path.to_path_buf();
    move |source| CertificateError::Unreadable { path, source }
}

fn seed(files: &CertificateFiles) -> Result<[u8; 32], CertificateError> {
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable(&files.key))?;
    Ok(blake3::derive_key(SEED_CONTEXT, key.secret_der()))
}

fn read(
    files: &CertificateFiles,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<Arc<Configs>, CertificateError> {
    let chain = CertificateDer::pem_file_iter(&files.chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable(&files.chain))?;
    if chain.is_empty() {
        return Err(CertificateError::Empty(files.chain.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable(&files.key))?;
    let suites = Arc::new(provider::default_provider());
    let mut config = ServerConfig::builder_with_provider(suites)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Tickets let a phone that comes back skip the costly half of the handshake, and cost the
    // server no memory.
    config.ticketer = Arc::clone(tickets);
    let quic = super::quic::server_config(config.clone())?;
    Ok(Arc::new(Configs {
        tcp: Arc::new(config),
        quic,
    }))
}
