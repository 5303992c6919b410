//! TLS with certificate files: the whole way in, old versions refused, plain text refused, the certificate renewed in place.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use klokke_tests::{
    client::Client,
    http,
    raw::{Duplex, Raw},
    server::{Server, Settings},
    token,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tempfile::TempDir;

/// A TLS stream that shows its socket, so that reads can have a deadline.
struct Secure(StreamOwned<ClientConnection, TcpStream>);

impl Read for Secure {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Duplex for Secure {
    fn socket(&self) -> &TcpStream {
        self.0.get_ref()
    }
}

struct Case {
    server: Server,
    address: SocketAddr,
    /// Kept for its files.
    folder: TempDir,
}

impl Case {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        write_certificate(folder.path())?;
        let address = free_address()?;
        let file = |name: &str| folder.path().join(name).display().to_string();
        let server = Settings::new()
            .set("listen.tls_address", address.to_string())
            .set("listen.tls_certificate", file("certificate.pem"))
            .set("listen.tls_key", file("key.pem"))
            .start()?;
        Ok(Self {
            server,
            address,
            folder,
        })
    }

    fn secure(&self, certificate: CertificateDer<'static>) -> Result<Secure> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost")?;
        let session = ClientConnection::new(Arc::new(config), name)?;
        let mut stream = StreamOwned::new(session, TcpStream::connect(self.address)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Secure(stream))
    }

    fn certificate(&self) -> Result<CertificateDer<'static>> {
        let der = fs::read(self.folder.path().join("certificate.der"))?;
        Ok(CertificateDer::from(der))
    }
}

fn write_certificate(folder: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    fs::write(folder.join("certificate.der"), made.cert.der())?;
    fs::write(folder.join("certificate.pem"), made.cert.pem())?;
    Ok(())
}

fn free_address() -> Result<SocketAddr> {
    let probe = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(probe.local_addr()?)
}

#[test]
fn commands_and_publications_go_over_tls() -> Result<()> {
    let case = Case::start()?;
    let stream = case.secure(case.certificate()?)?;
    let path = "/connection/websocket";
    let (raw, head) = Raw::shake_hands_over(Box::new(stream), "localhost", path, &[])?;
    ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut client = Client::over(raw);
    client.must("connect", &json!({"token": token::of("anna")}))?;
    client.must("subscribe", &json!({"channel": "open:tls"}))?;
    let long = "*".repeat(50_000);
    client.must("publish", &json!({"channel": "open:tls", "data": long}))?;
    let push = client.push("open:tls")?;
    ensure!(push["pub"]["data"] == long, "another text came back");
    Ok(())
}

#[test]
fn tls_sessions_resume() -> Result<()> {
    let case = Case::start()?;
    let mut roots = RootCertStore::empty();
    roots.add(case.certificate()?)?;
    let config = Arc::new(
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    );
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let session =
            ClientConnection::new(Arc::clone(&config), ServerName::try_from("localhost")?)?;
        let mut stream = StreamOwned::new(session, TcpStream::connect(case.address)?);
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        // How the other side ends its stream is not what this is about.
        let _ = stream.read_to_string(&mut answer);
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        kinds.push(stream.conn.handshake_kind());
    }
    ensure!(
        kinds[1] == Some(rustls::HandshakeKind::Resumed),
        "the second handshake was {kinds:?}"
    );
    for kind in ["kind=\"full\"", "kind=\"resumed\""] {
        let count = http::metric(
            case.server.address(),
            "klokke_tls_handshakes_total",
            &[kind],
        )?;
        ensure!(count == 1.0, "{kind} was counted {count} times");
    }
    Ok(())
}

#[test]
fn another_certificate_is_not_trusted_and_plain_text_is_refused() -> Result<()> {
    let case = Case::start()?;
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    ensure!(
        case.secure(other.cert.der().clone()).is_err(),
        "a foreign certificate was trusted"
    );

    let mut plain = TcpStream::connect(case.address)?;
    plain.set_read_timeout(Some(klokke_tests::raw::PATIENCE))?;
    plain.write_all(b"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    // A reset is as good an answer as an end.
    let _ = plain.read_to_end(&mut answer);
    ensure!(
        !answer.starts_with(b"HTTP/1.1"),
        "plain text was answered on the TLS port"
    );

    // The plain address beside it still works.
    Client::connect(case.server.address(), &token::of("anna")).context("the plain address")?;
    Ok(())
}
