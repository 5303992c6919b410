//! The way to a running server's API, for the command line: its address, the key, and a client that speaks TLS where the address says so.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use http::{HeaderValue, Uri};
use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A client for requests with bodies of one kind.
pub(super) type RemoteClient<B> = Client<HttpsConnector<HttpConnector>, B>;

/// An address as paths are put behind it.
pub(super) fn address(server: &Uri) -> Result<String> {
    ensure!(
        server.scheme().is_some() && server.authority().is_some(),
        "--server takes an address with its scheme, such as http://127.0.0.1:8000"
    );
    Ok(server.to_string().trim_end_matches('/').to_owned())
}

/// The key that a file holds.
pub(super) fn key(file: &Path) -> Result<HeaderValue> {
    let key =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut key = HeaderValue::from_str(key.trim())
        .with_context(|| format!("{} holds no key", file.display()))?;
    key.set_sensitive(true);
    Ok(key)
}

/// A client.
pub(super) fn client<B>() -> Result<RemoteClient<B>>
where
    B: Body + Send,
    B::Data: Send,
{
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
        .context("cannot read the machine's certificates")?
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}
