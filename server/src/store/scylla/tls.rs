//! TLS to the cluster.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::open::{OpenError, Tls};

impl Tls {
    /// Whether its files can be used.
    ///
    /// # Errors
    /// [`OpenError::Setting`].
    pub fn check(&self) -> Result<(), OpenError> {
        client(self).map(drop)
    }
}

/// Reads the files and makes what connections use.
pub(super) fn client(tls: &Tls) -> Result<Arc<ClientConfig>, OpenError> {
    let mut roots = RootCertStore::empty();
    match &tls.authority {
        Some(path) => {
            for certificate in certificates(path)? {
                let added = roots.add(certificate);
                added.map_err(|error| wrong(path, &error))?;
            }
        }
        None => {
            for certificate in rustls_native_certs::load_native_certs().certs {
                // The system may hold some that are not understood; the others do.
                let _ = roots.add(certificate);
            }
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenError::Setting(error.to_string()))?
        .with_root_certificates(roots);
    let config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = certificates(chain)?;
            let read = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
            let made = builder.with_client_auth_cert(chain, read);
            made.map_err(|error| wrong(key, &error))?
        }
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| wrong(path, &error))?;
    if read.is_empty() {
        let what = format!("{} holds no certificate", path.display());
        return Err(OpenError::Setting(what));
    }
    Ok(read)
}

fn wrong(path: &Path, error: &dyn std::error::Error) -> OpenError {
    OpenError::Setting(format!("{} cannot be used: {error}", path.display()))
}
