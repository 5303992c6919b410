//! TLS as phones do it: a full handshake for who comes first, a resumed one for who comes again.
//!
//! A phone keeps the tickets it was given. Here they go into one pool, from which who comes again takes one: the same work for the
//! server, without two kilobytes for each person.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore};

/// Tickets in the pool; a server gives two or more at each connect. At a kilobyte each this is what 4,000 people who come at the same
/// moment take.
const TICKETS_MAX: usize = 4_096;

/// How one kind of phone begins TLS.
#[derive(Clone)]
pub(super) struct Handshake {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Handshake {
    pub(super) fn begin(&self) -> Result<ClientConnection, rustls::Error> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone())
    }
}

/// Both kinds.
pub(super) struct Handshakes {
    /// Of who was never here.
    pub(super) first: Handshake,
    /// Of who comes again.
    pub(super) again: Handshake,
}

impl Handshakes {
    /// For a server by this name. `authority` holds the certificates (PEM) that are trusted; without them those of the machine are.
    ///
    /// # Errors
    /// When the name or a certificate is none.
    pub(super) fn new(host: &str, authority: Option<&str>) -> Result<Self> {
        let name = ServerName::try_from(host.to_owned())
            .with_context(|| format!("{host} is no name that a certificate can carry"))?;
        let roots = Arc::new(roots(authority)?);
        let pool = Arc::new(Mutex::new(VecDeque::new()));
        let kind = |takes: bool| {
            let builder = ClientConfig::builder_with_provider(
                rustls::crypto::aws_lc_rs::default_provider().into(),
            );
            let builder = builder
                .with_safe_default_protocol_versions()
                .context("no TLS version")?;
            let mut config = builder
                .with_root_certificates(Arc::clone(&roots))
                .with_no_client_auth();
            let pool = Arc::clone(&pool);
            config.resumption = Resumption::store(Arc::new(Pool { takes, pool }));
            anyhow::Ok(Handshake {
                config: Arc::new(config),
                name: name.clone(),
            })
        };
        Ok(Self {
            first: kind(false)?,
            again: kind(true)?,
        })
    }
}

fn roots(authority: Option<&str>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = authority {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.context("--tls-ca holds what is no certificate")?;
            roots
                .add(certificate)
                .context("--tls-ca holds a certificate that cannot be trusted")?;
        }
        ensure!(!roots.is_empty(), "--tls-ca holds no certificate");
        return Ok(roots);
    }
    // One that cannot be read does not spoil the others.
    for certificate in rustls_native_certs::load_native_certs().certs {
        let _ = roots.add(certificate);
    }
    ensure!(
        !roots.is_empty(),
        "this machine trusts nobody: give the certificate that the server's is signed with, with --tls-ca"
    );
    Ok(roots)
}

/// The tickets of everybody; who was never here has none to take.
#[derive(Debug)]
struct Pool {
    takes: bool,
    pool: Arc<Mutex<VecDeque<Tls13ClientSessionValue>>>,
}

impl ClientSessionStore for Pool {
    // Nothing is remembered: then it is asked for again.
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    // The server speaks TLS 1.3; who is made to speak 1.2 does it in full each time.
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() >= TICKETS_MAX {
            pool.pop_front();
        }
        pool.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest: an old one may have been given by a server that was ended since.
        if self.takes { pool.pop_back() } else { None }
    }
}
