//! TLS: large frames, sessions that go on, a certificate that is renewed.

use super::*;

pub(super) struct Tls {
    pub(super) certificate: Arc<Certificate>,
    pub(super) root: rustls_pki_types::CertificateDer<'static>,
    files: CertificateFiles,
    _folder: tempfile::TempDir,
}

fn self_signed() -> (rcgen::CertifiedKey<rcgen::KeyPair>, String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    (made, chain, key)
}

pub(super) fn tls() -> Tls {
    let folder = tempfile::tempdir().unwrap();
    let (made, chain, key) = self_signed();
    let files = CertificateFiles {
        chain: folder.path().join("chain.pem"),
        key: folder.path().join("key.pem"),
    };
    std::fs::write(&files.chain, chain).unwrap();
    std::fs::write(&files.key, key).unwrap();
    Tls {
        certificate: Arc::new(Certificate::load(files.clone()).unwrap()),
        root: made.cert.der().clone(),
        files,
        _folder: folder,
    }
}

pub(super) fn tls_client(
    root: &rustls_pki_types::CertificateDer<'static>,
) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config).into()
}

#[test]
fn a_websocket_over_tls_carries_large_frames_and_resumes() {
    on_shard(async {
        let tls = tls();
        let certificate = Some(Arc::clone(&tls.certificate));
        let server = Server::start_with(small(), Limits::default(), certificate);
        let connector = tls_client(&tls.root);
        for round in 0..2 {
            let name = "localhost".try_into().unwrap();
            let stream = connector.connect(name, server.tcp().await).await.unwrap();
            let resumed = stream.get_ref().1.handshake_kind();
            let url = "wss://localhost/connection/websocket";
            let (mut socket, _) = client_async(url, stream).await.unwrap();
            for size in [1, 20_000, 65_536] {
                let text = "x".repeat(size);
                socket.send(text.clone().into()).await.unwrap();
                assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
            }
            socket.close(None).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
            assert_eq!(server.echo.cause_of(round).await, Cause::Client);
            if round == 1 {
                assert_eq!(resumed, Some(rustls::HandshakeKind::Resumed));
            }
        }
    });
}

#[test]
fn a_changed_certificate_is_used_and_a_broken_one_is_not() {
    let tls = tls();
    assert!(!tls.certificate.reload_if_changed().unwrap());
    std::fs::write(&tls.files.key, "no key").unwrap();
    assert!(tls.certificate.reload().is_err());
    let (made, chain, key) = self_signed();
    std::fs::write(&tls.files.chain, chain).unwrap();
    std::fs::write(&tls.files.key, key).unwrap();
    tls.certificate.reload().unwrap();
    on_shard(async {
        let server = Server::start_with(small(), Limits::default(), Some(tls.certificate));
        let root = made.cert.der().clone();
        let name = "localhost".try_into().unwrap();
        let connected = tls_client(&root).connect(name, server.tcp().await).await;
        assert!(connected.is_ok(), "{connected:?}");
    });
}
