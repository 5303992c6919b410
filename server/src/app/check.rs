//! What a configuration says beyond its own grammar, found before anything is opened.

use anyhow::{Context as _, Result, ensure};

use super::settings::{self, Verification};
use super::{cluster, stores};
use crate::config::{Backend, Config};
use crate::telemetry::{Meters, logs};
use crate::transport::tls::{Certificate, CertificateFiles};

/// Everything that only shows when it is used: patterns, keys, namespaces, certificates. `serve` asks before it opens
/// anything, and `config check` asks the same, so that what the one refuses the other refuses.
pub(super) fn configuration(config: &Config) -> Result<()> {
    logs::parse_level(&config.log.level)?;
    settings::session(config, "")?;
    settings::sockets(config)?;
    settings::retention(config)?;
    certificate(config)?;
    if config.store.backend == Backend::Scylla {
        if let Some(tls) = stores::cluster(config, Meters::default()).tls {
            tls.check().context("store.scylla")?;
        }
        if !config.cluster.nats.is_empty() {
            cluster::nats(config)?.check().context("cluster")?;
        }
    }
    let verifiers = settings::verification(config, &Meters::default())?;
    somebody_can_connect(config, &verifiers)
}

/// The certificate of the port with TLS, where there is one.
pub(super) fn certificate(config: &Config) -> Result<Option<Certificate>> {
    let listen = &config.listen;
    if listen.tls_address.is_none() && listen.quic_address.is_none() {
        return Ok(None);
    }
    let chain = config.listen.tls_certificate.clone();
    let key = config.listen.tls_key.clone();
    let files = CertificateFiles {
        chain: chain.context("listen.tls_certificate is not set")?,
        key: key.context("listen.tls_key is not set")?,
    };
    Ok(Some(Certificate::load(files)?))
}

/// Refuses a configuration by which every token is wrong and nobody comes without one.
fn somebody_can_connect(config: &Config, verifiers: &Verification) -> Result<()> {
    let client = &config.client;
    if client.insecure || client.allow_anonymous_connect_without_token {
        return Ok(());
    }
    ensure!(
        verifiers.connections.has_keys(),
        "nobody could connect: clients need a token, and there is no key to verify one with. Set \
         `client.token.hmac_secret_key`, a public key, `jwks_file` or `jwks_public_endpoint`, or let clients in without a \
         token by `client.allow_anonymous_connect_without_token`"
    );
    ensure!(
        verifiers.subscriptions.has_keys(),
        "no subscription token could be good: `client.subscription_token.enabled` is true, and there is no key in \
         [client.subscription_token] to verify one with"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_could_let_nobody_in_is_refused() {
        let checked = |text: &str| configuration(&Config::parse(text).expect("well formed"));
        let said = checked("").expect_err("no key").to_string();
        assert!(said.starts_with("nobody could connect:"), "{said}");
        let key = "[client.token]\nhmac_secret_key = \"a secret\"\n";
        let own = "[client.subscription_token]\nenabled = true\n";
        let said = checked(&format!("{key}{own}")).expect_err("no key of its own");
        assert!(said.to_string().contains("[client.subscription_token]"));
        for good in [
            key.to_owned(),
            format!("{key}{own}hmac_secret_key = \"another\"\n"),
            "[client.token]\njwks_file = \"/not/there/yet.json\"\n".to_owned(),
            "[client.token]\njwks_public_endpoint = \"https://login.example/keys\"\n".to_owned(),
            "[client]\ninsecure = true\n".to_owned(),
            "[client]\nallow_anonymous_connect_without_token = true\n".to_owned(),
        ] {
            assert!(checked(&good).is_ok(), "{good}");
        }
    }

    #[test]
    fn files_for_the_cluster_are_read_when_the_configuration_is_checked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let names = vec!["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        std::fs::write(path("ca.pem"), made.cert.pem()).expect("written");
        std::fs::write(path("nonsense.creds"), "no credentials").expect("written");
        let checked = |scylla: &str, cluster: &str| {
            let text = format!(
                "[client]\ninsecure = true\n[store]\nbackend = \"scylla\"\n\
                 [store.scylla]\nnodes = [\"127.0.0.1:9042\"]\n{scylla}\n\
                 [cluster]\nnats = [\"nats://127.0.0.1:4222\"]\n{cluster}\n"
            );
            configuration(&Config::parse(&text).expect("well formed"))
        };
        let authority = |name: &str| format!("tls = true\ntls_authority = \"{}\"", path(name));
        let credentials = |name: &str| format!("credentials_file = \"{}\"", path(name));
        assert!(checked(&authority("ca.pem"), "").is_ok());
        for (scylla, cluster, section) in [
            (authority("none.pem"), String::new(), "store.scylla"),
            (
                String::new(),
                credentials("none.creds"),
                "cluster.credentials_file",
            ),
            (String::new(), credentials("nonsense.creds"), "cluster"),
        ] {
            let refused = checked(&scylla, &cluster).expect_err("must be refused");
            assert!(refused.to_string().contains(section), "{refused:#}");
        }
    }

    #[test]
    fn certificates_are_read_when_the_configuration_is_checked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let names = vec!["localhost".to_owned()];
        let one = rcgen::generate_simple_self_signed(names.clone()).expect("a certificate");
        let other = rcgen::generate_simple_self_signed(names).expect("a certificate");
        std::fs::write(path("chain.pem"), one.cert.pem()).expect("written");
        std::fs::write(path("key.pem"), one.signing_key.serialize_pem()).expect("written");
        std::fs::write(path("other.pem"), other.signing_key.serialize_pem()).expect("written");
        let checked = |chain: &str, key: &str| {
            let text = format!(
                "[client]\ninsecure = true\n[listen]\ntls_address = \"127.0.0.1:0\"\n\
                 tls_certificate = \"{}\"\ntls_key = \"{}\"\n",
                path(chain).display(),
                path(key).display()
            );
            configuration(&Config::parse(&text).expect("well formed"))
        };
        assert!(checked("chain.pem", "key.pem").is_ok());
        let missing = checked("none.pem", "key.pem").expect_err("no such file");
        assert!(missing.to_string().contains("none.pem"), "{missing}");
        let mismatched = checked("chain.pem", "other.pem").expect_err("another's key");
        assert_eq!(mismatched.to_string(), "certificate and key cannot be used");
    }
}
