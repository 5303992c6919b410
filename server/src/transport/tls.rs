//! The certificate of a listener: read from files, and read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac::{HMAC_SHA256, Key};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs as provider;
use rustls::server::ProducesTickets;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::quic::CidKey;

/// How often certificate files are looked at.
pub(super) const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(30);

/// What a private key becomes the keys of QUIC by. They are the same in every life of a node.
const RESET_CONTEXT: &str = "klokke 2026-11-27 QUIC stateless resets";
const CID_CONTEXT: &str = "klokke 2026-11-27 QUIC connection ids";

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
    reset_key: Arc<Key>,
    cid_key: CidKey,
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
        let (reset_key, cid_key) = quic_keys(&files)?;
        Ok(Self {
            files,
            tickets,
            configs: ArcSwap::from(configs),
            reset_key: Arc::new(reset_key),
            cid_key,
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

    /// By which a node tells clients that it knows nothing of their connection (RFC 9000, section 10.3). It comes from the private
    /// key, so that a node that was started again can tell those of before.
    pub(super) fn reset_key(&self) -> Arc<Key> {
        Arc::clone(&self.reset_key)
    }

    /// By which a node knows the ids of its connections.
    pub(super) fn cid_key(&self) -> CidKey {
        self.cid_key.clone()
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

fn quic_keys(files: &CertificateFiles) -> Result<(Key, CidKey), CertificateError> {
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable(&files.key))?;
    let derived = |context| blake3::derive_key(context, key.secret_der());
    let reset = Key::new(HMAC_SHA256, &derived(RESET_CONTEXT));
    Ok((reset, CidKey::new(derived(CID_CONTEXT))))
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
