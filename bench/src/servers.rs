//! The servers that are measured: how each is started, reached and stopped.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::wire::Wire;

/// Secret of the measurement's own connection tokens.
pub(crate) const SECRET: &str = "measured-with-this-secret-and-no-other";

/// Where the programs are.
pub(crate) struct Programs {
    pub(crate) klokke: PathBuf,
    pub(crate) centrifuge: Option<PathBuf>,
    pub(crate) nats: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Klokke,
    KlokkeTls,
    KlokkeQuic,
    Limit,
    Centrifuge,
    CentrifugeTls,
    Nats,
}

impl Server {
    /// The name in tables and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Klokke => "klokke",
            Self::KlokkeTls => "klokke_tls",
            Self::KlokkeQuic => "klokke_quic",
            Self::Limit => "limit",
            Self::Centrifuge => "centrifuge_go",
            Self::CentrifugeTls => "centrifuge_go_tls",
            Self::Nats => "nats",
        }
    }

    fn wire(self) -> Wire {
        match self {
            Self::Limit => Wire::Plain,
            Self::Nats => Wire::Nats,
            _ => Wire::Centrifugal,
        }
    }

    fn is_tls(self) -> bool {
        matches!(
            self,
            Self::KlokkeTls | Self::KlokkeQuic | Self::CentrifugeTls
        )
    }
}

/// A started server; dropping it stops the process.
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) address: SocketAddr,
    pub(crate) wire: Wire,
    /// Where it is reached over QUIC.
    pub(crate) quic: Option<SocketAddr>,
    /// The certificate to trust, for the servers that speak TLS.
    pub(crate) certificate: Option<PathBuf>,
    /// `None` for a server that somebody else runs.
    owned: Option<(Child, TempDir)>,
}

impl Running {
    /// A server that runs already, reached at `ws://address:port/...`; its process cannot be looked into.
    pub(crate) fn elsewhere(url: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("ws://")
            .context("--url must begin with ws://")?;
        let address = rest
            .split('/')
            .next()
            .unwrap_or(rest)
            .parse()
            .context("--url: address:port")?;
        Ok(Self::at(address))
    }

    /// The same by its address.
    pub(crate) const fn at(address: SocketAddr) -> Self {
        Self {
            pid: 0,
            address,
            wire: Wire::Centrifugal,
            quic: None,
            certificate: None,
            owned: None,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.owned {
            // Already gone is as good as killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a server on a free port of the loopback address; `None` where its program was not given.
pub(crate) fn start(programs: &Programs, server: Server) -> Result<Option<Running>> {
    let folder = tempfile::tempdir()?;
    let certificate = if server.is_tls() {
        Some(write_certificate(folder.path())?)
    } else {
        None
    };
    let command = match server {
        Server::Limit => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("limit");
            command
        }
        Server::Klokke | Server::KlokkeTls | Server::KlokkeQuic => {
            let config = klokke_config(folder.path(), server, certificate.as_deref());
            let mut command = klokke(&programs.klokke, folder.path(), &config)?;
            command.arg("serve");
            command
        }
        Server::Centrifuge | Server::CentrifugeTls => {
            let Some(program) = &programs.centrifuge else {
                return Ok(None);
            };
            let mut command = Command::new(program);
            command.arg("-secret").arg(SECRET);
            if let Some(certificate) = &certificate {
                command.arg("-certificate").arg(certificate);
                command.arg("-key").arg(folder.path().join("key.pem"));
            }
            command
        }
        Server::Nats => {
            let Some(program) = &programs.nats else {
                return Ok(None);
            };
            let config = folder.path().join("nats.conf");
            fs::write(&config, nats_config(folder.path()))?;
            let mut command = Command::new(program);
            command.arg("-c").arg(config);
            command
        }
    };
    spawn(command, server, folder, certificate).map(Some)
}

/// Starts a node of Klokke with further sections in its configuration: on a store that it has to itself without any.
pub(crate) fn start_node(program: &Path, more: &str, nth: usize) -> Result<Running> {
    let folder = tempfile::tempdir()?;
    let config = format!(
        "{}{more}",
        klokke_config(folder.path(), Server::Klokke, None)
    );
    let mut command = klokke(program, folder.path(), &config)?;
    command.args(["serve", "--set", &format!("node.name=node-{nth}")]);
    if !more.is_empty() {
        command.args(ON_CLUSTER);
    }
    spawn(command, Server::Klokke, folder, None)
}

/// Makes the tables that nodes with these sections need.
pub(crate) fn migrate(program: &Path, more: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = format!(
        "{}{more}",
        klokke_config(folder.path(), Server::Klokke, None)
    );
    let mut command = klokke(program, folder.path(), &config)?;
    let ran = command
        .args(["store", "migrate"])
        .args(ON_CLUSTER)
        .output()?;
    if !ran.status.success() {
        bail!("no tables: {}", String::from_utf8_lossy(&ran.stderr));
    }
    Ok(())
}

const ON_CLUSTER: [&str; 2] = ["--set", "store.backend=scylla"];

/// The program with a configuration.
fn klokke(program: &Path, folder: &Path, config: &str) -> Result<Command> {
    let file = folder.join("klokke.toml");
    fs::write(&file, config)?;
    let mut command = Command::new(program);
    // It takes every variable with this prefix for a setting.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KLOKKE_") {
            command.env_remove(name);
        }
    }
    command.env("KLOKKE_CONFIG", file);
    Ok(command)
}

fn spawn(
    mut command: Command,
    server: Server,
    folder: TempDir,
    certificate: Option<PathBuf>,
) -> Result<Running> {
    let log = fs::File::create(folder.path().join("log"))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {}", server.name()))?;
    let (address, quic) = match server {
        Server::Nats => (nats_address(folder.path(), &mut child)?, None),
        _ => ready_address(&mut child).with_context(|| {
            let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            format!(
                "{} did not say that it listens; it said: {log}",
                server.name()
            )
        })?,
    };
    Ok(Running {
        pid: child.id(),
        address,
        wire: server.wire(),
        quic,
        certificate,
        owned: Some((child, folder)),
    })
}

/// Reads lines until one names the address that the server listens on, and that of QUIC if there is one; then keeps draining the pipe.
fn ready_address(child: &mut Child) -> Result<(SocketAddr, Option<SocketAddr>)> {
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    while let Some(line) = lines.next().transpose()? {
        let found = line
            .split(|c: char| c.is_whitespace() || c == '"' || c == '/' || c == ',')
            .find_map(|word| word.parse::<SocketAddr>().ok());
        if let Some(address) = found {
            let quic = line.split_once("QUIC on ");
            let quic = quic.and_then(|(_, address)| address.trim().parse().ok());
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((address, quic));
        }
    }
    bail!("its output ended")
}

/// NATS writes its ports to a file when asked to pick a free one.
fn nats_address(folder: &Path, child: &mut Child) -> Result<SocketAddr> {
    let file = folder.join(format!("nats-server_{}.ports", child.id()));
    for _ in 0..500 {
        if let Ok(text) = fs::read_to_string(&file)
            && let Ok(ports) = serde_json::from_str::<serde_json::Value>(&text)
            && let Some(url) = ports["nats"][0].as_str()
        {
            return Ok(url.trim_start_matches("nats://").parse()?);
        }
        if let Some(status) = child.try_wait()? {
            bail!("nats ended with {status}");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    bail!("nats did not write its ports file")
}

fn nats_config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "listen: \"127.0.0.1:-1\"\nports_file_dir: \"{folder}\"\nmax_pending: 64MB\nwrite_deadline: \"30s\"\n\
         authorization {{ user: \"bench\", password: \"{SECRET}\" }}\n\
         jetstream {{ store_dir: \"{folder}/jetstream\", sync_interval: always }}\n"
    )
}

/// Pings, queues and limits as the peers have them here: no ping falls into a measurement, and nobody is thrown
/// out for reading slowly on a machine that the driver shares.
fn klokke_config(folder: &Path, server: Server, certificate: Option<&Path>) -> String {
    let data = folder.join("data");
    // Over QUIC nobody may rest for longer than a minute.
    let (ping, pong) = match server {
        Server::KlokkeQuic => ("50s", "40s"),
        _ => ("30m", "60s"),
    };
    let plain = "address = \"127.0.0.1:0\"";
    let listen = match certificate {
        None => plain.to_owned(),
        Some(certificate) => {
            // Whoever publishes comes by the plain port all the same.
            let listen = match server {
                Server::KlokkeQuic => format!("{plain}\nquic_address = \"127.0.0.1:0\""),
                _ => "address = \"\"\ntls_address = \"127.0.0.1:0\"".to_owned(),
            };
            let key = folder.join("key.pem");
            format!("{listen}\ntls_certificate = {certificate:?}\ntls_key = {key:?}")
        }
    };
    format!(
        r#"
[listen]
{listen}
[client]
ping_interval = "{ping}"
pong_timeout = "{pong}"
queue_max_size_bytes = 16777216
[client.token]
hmac_secret_key = "{SECRET}"
[store]
path = {data:?}
[namespace.bench]
allow_subscribe_for_client = true
allow_publish_for_client = true
[namespace.kept]
allow_subscribe_for_client = true
allow_publish_for_client = true
history_size = 1000
history_ttl = "10m"
"#
    )
}

fn write_certificate(folder: &Path) -> Result<PathBuf> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()])?;
    let path = folder.join("certificate.pem");
    fs::write(&path, made.cert.pem())?;
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    Ok(path)
}
