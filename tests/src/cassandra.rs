//! Real Apache Cassandra as child processes on loopback addresses: started in a folder of its own, stopped by process id.
//!
//! Names nothing of this project, so that `cargo xtask`, which brings the archives, starts its nodes with the same code.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// How long a start may take; alone it takes some ten seconds, beside other tests a multiple.
const START_MAX: Duration = Duration::from_secs(180);

/// What a node says when clients may come.
const READY: &str = "Starting listening for CQL clients";

/// What the first node says when it has made the one user there is at the beginning.
const HAS_USER: &str = "Created default superuser role";

/// That user, and the password it begins with.
pub const LOGIN: (&str, &str) = ("cassandra", "cassandra");

/// Guards the key that is made for a test and thrown away with it.
const KEY_PASSWORD: &str = "for-tests";

/// What Cassandra's own start script gives Java 17, as `module/package`.
const EXPORTS: &[&str] = &[
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
];
const OPENS: &[&str] = &[
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
];

/// How long a node is to live, which says how much compiling its program pays back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// A test: it is up sooner, and every request costs it more.
    Short,
    /// A measurement of minutes.
    Long,
}

/// Nodes that know each other. Dropping it kills them.
pub struct Cluster {
    archives: PathBuf,
    folder: PathBuf,
    ports: Ports,
    count: u8,
    life: Life,
    /// Further lines of every node's configuration.
    extra: String,
    nodes: Vec<Option<Node>>,
}

/// One number each for all nodes, whose addresses differ.
#[derive(Clone, Copy)]
struct Ports {
    storage: u16,
    native: u16,
}

impl Cluster {
    /// Starts `count` nodes at 127.0.0.1, 127.0.0.2 … from the archives in a folder, one after the other.
    ///
    /// # Errors
    /// When one does not come up; what it said last is part of the error.
    pub fn start(archives: &Path, folder: &Path, count: u8, life: Life) -> Result<Self> {
        Self::start_with(archives, folder, count, life, "", &[READY])
    }

    /// As [`Cluster::start`], but the nodes ask for the [`LOGIN`], and take TLS as well as plain connections.
    ///
    /// # Errors
    /// As there, and when no certificate can be made.
    pub fn start_guarded(archives: &Path, folder: &Path, count: u8) -> Result<Self> {
        fs::create_dir_all(folder)?;
        make_certificate(folder, count)?;
        let keys = folder.join(KEYS);
        let extra = format!(
            "authenticator: PasswordAuthenticator
client_encryption_options:
  enabled: true
  optional: true
  keystore: \"{}\"
  keystore_password: {KEY_PASSWORD}
  store_type: PKCS12",
            keys.display()
        );
        let signs = [READY, HAS_USER];
        Self::start_with(archives, folder, count, Life::Short, &extra, &signs)
    }

    /// Starts them; the first must give all of these signs.
    fn start_with(
        archives: &Path,
        folder: &Path,
        count: u8,
        life: Life,
        extra: &str,
        signs: &[&'static str],
    ) -> Result<Self> {
        let ports = Ports {
            storage: free_port(count)?,
            native: free_port(count)?,
        };
        let mut cluster = Self {
            archives: archives.to_owned(),
            folder: folder.to_owned(),
            ports,
            count,
            life,
            extra: extra.to_owned(),
            nodes: Vec::new(),
        };
        for nth in 0..count {
            cluster.nodes.push(None);
            let signs = if nth == 0 { signs } else { &[READY] };
            cluster.run(usize::from(nth), signs)?;
        }
        Ok(cluster)
    }

    /// The certificate in PEM that signs those of nodes that are guarded.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join(AUTHORITY)
    }

    /// Where clients find the nodes.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        (0..self.nodes.len())
            .map(|nth| SocketAddr::from((address(nth), self.ports.native)))
            .collect()
    }

    /// Process id of a node that runs.
    #[must_use]
    pub fn pid(&self, nth: usize) -> Option<u32> {
        Some(self.nodes.get(nth)?.as_ref()?.child.id())
    }

    /// SIGKILL to one node.
    ///
    /// # Errors
    /// When it was not running.
    pub fn kill(&mut self, nth: usize) -> Result<()> {
        let node = self.nodes.get_mut(nth).and_then(Option::take);
        drop(node.context("that node is not running")?);
        Ok(())
    }

    /// Starts one node, or starts it again with what it has.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self, nth: usize) -> Result<()> {
        self.run(nth, &[READY])
    }

    /// A node alone flushes before it answers. Of several, each write is on others too when one dies; and one disk under all of
    /// them could not flush for each.
    const fn sync(&self) -> &'static str {
        if self.count > 1 {
            "commitlog_sync: periodic\ncommitlog_sync_period: 1s"
        } else {
            "commitlog_sync: batch"
        }
    }

    fn run(&mut self, nth: usize, signs: &[&'static str]) -> Result<()> {
        let home = self.folder.join(format!("node-{}", nth + 1));
        fs::create_dir_all(&home)?;
        let settings = configuration(&home, address(nth), self.ports, self.sync(), &self.extra);
        let node = Node::start(&self.archives, &home, &settings, self.life, signs)
            .with_context(|| format!("Cassandra at {}", address(nth)))?;
        let place = self.nodes.get_mut(nth).context("there is no such node")?;
        *place = Some(node);
        Ok(())
    }
}

/// Files in the cluster's folder.
const KEYS: &str = "keys.p12";
const AUTHORITY: &str = "authority.pem";

/// A key for all nodes, whose certificate is its own authority.
fn make_certificate(folder: &Path, count: u8) -> Result<()> {
    let addresses: Vec<String> = (0..usize::from(count))
        .map(|nth| format!("ip:{}", address(nth)))
        .collect();
    let names = format!("SAN={}", addresses.join(","));
    let keys = folder.join(KEYS);
    let tool = |arguments: &[&str]| -> Result<Vec<u8>> {
        let ran = Command::new("keytool")
            .args(arguments)
            .args(["-alias", "node", "-storepass", KEY_PASSWORD, "-keystore"])
            .arg(&keys)
            .output()
            .context("keytool does not start; it comes with Java")?;
        if !ran.status.success() {
            bail!("keytool: {}", String::from_utf8_lossy(&ran.stdout));
        }
        Ok(ran.stdout)
    };
    let make = [
        "-genkeypair",
        "-keyalg",
        "RSA",
        "-keysize",
        "2048",
        "-dname",
        "CN=node",
    ];
    let kind = [
        "-storetype",
        "PKCS12",
        "-keypass",
        KEY_PASSWORD,
        "-ext",
        &names,
    ];
    tool(&[&make[..], &kind].concat())?;
    fs::write(folder.join(AUTHORITY), tool(&["-exportcert", "-rfc"])?)?;
    Ok(())
}

struct Node {
    child: Child,
}

impl Drop for Node {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    /// Starts one that lives in a folder, and waits until it has given all signs.
    fn start(
        archives: &Path,
        folder: &Path,
        text: &str,
        life: Life,
        signs: &[&'static str],
    ) -> Result<Self> {
        let settings = folder.join("cassandra.yaml");
        fs::write(&settings, text)?;
        let logging = folder.join("logback.xml");
        fs::write(&logging, LOGGING)?;
        let mut command = Command::new("java");
        // A collector without threads of its own.
        command.args(["-Xms512m", "-Xmx1g", "-Xss512k", "-XX:+UseSerialGC"]);
        command.arg("-XX:-UsePerfData");
        if life == Life::Short {
            command.arg("-XX:TieredStopAtLevel=1");
        }
        // What it leaves when it crashes goes away with its folder.
        command.arg(format!(
            "-XX:ErrorFile={}",
            folder.join("crash.log").display()
        ));
        for name in EXPORTS {
            command.arg(format!("--add-exports={name}=ALL-UNNAMED"));
        }
        for name in OPENS {
            command.arg(format!("--add-opens={name}=ALL-UNNAMED"));
        }
        let url = |path: &Path| format!("file:{}", path.display());
        let properties = [
            ("cassandra.config", url(&settings)),
            ("logback.configurationFile", url(&logging)),
            ("cassandra.storagedir", folder.display().to_string()),
            ("cassandra-foreground", "yes".to_owned()),
            ("cassandra.skip_wait_for_gossip_to_settle", "0".to_owned()),
            ("cassandra.ring_delay_ms", "1000".to_owned()),
            // There is nothing to move to a node that joins: they begin together.
            ("cassandra.migration_delay_ms", "500".to_owned()),
            ("cassandra.consistent.rangemovement", "false".to_owned()),
            ("cassandra.superuser_setup_delay_ms", "0".to_owned()),
            ("jdk.attach.allowAttachSelf", "true".to_owned()),
        ];
        for (key, value) in properties {
            command.arg(format!("-D{key}={value}"));
        }
        let mut child = command
            .arg("-cp")
            .arg(archives.join("*"))
            .arg("org.apache.cassandra.service.CassandraDaemon")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("java does not start: install a Java 17 runtime")?;
        let (given, wait) = mpsc::channel();
        let log = Arc::new(Mutex::new(Vec::new()));
        watch(child.stdout.take(), signs, &log, &given);
        watch(child.stderr.take(), &[], &log, &given);
        drop(given);
        let mut node = Self { child };
        for _ in signs {
            if wait.recv_timeout(START_MAX).is_err() {
                let ended = node.child.try_wait()?;
                let log = log.lock().map(|log| log.join("\n")).unwrap_or_default();
                bail!("it is not ready (ended: {ended:?}); it said last:\n{log}");
            }
        }
        Ok(node)
    }
}

fn address(nth: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, u8::try_from(nth + 1).unwrap_or(u8::MAX))
}

/// A port that is free at all addresses.
fn free_port(count: u8) -> Result<u16> {
    for _ in 0..100 {
        let first = TcpListener::bind((address(0), 0))?;
        let port = first.local_addr()?.port();
        let others = 1..usize::from(count);
        if others
            .map(|nth| TcpListener::bind((address(nth), port)))
            .all(|bound| bound.is_ok())
        {
            return Ok(port);
        }
    }
    bail!("no port is free at {count} loopback addresses");
}

fn configuration(
    folder: &Path,
    address: Ipv4Addr,
    ports: Ports,
    sync: &str,
    extra: &str,
) -> String {
    let Ports { storage, native } = ports;
    let folder = folder.display();
    format!(
        "cluster_name: klokke-tests
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
listen_address: {address}
rpc_address: {address}
storage_port: {storage}
native_transport_port: {native}
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: \"127.0.0.1:{storage}\"}}]
data_file_directories: [\"{folder}/data\"]
commitlog_directory: \"{folder}/commitlog\"
saved_caches_directory: \"{folder}/caches\"
hints_directory: \"{folder}/hints\"
cdc_raw_directory: \"{folder}/cdc\"
{sync}
auto_snapshot: false
auto_bootstrap: false
{extra}
"
    )
}

const LOGGING: &str = "<configuration>
  <appender name=\"OUT\" class=\"ch.qos.logback.core.ConsoleAppender\">
    <encoder><pattern>%level %d{ISO8601} %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level=\"INFO\"><appender-ref ref=\"OUT\"/></root>
</configuration>
";

/// Lines kept of what a node said, for the error when it does not come up.
const LOG_LINES_MAX: usize = 60;

/// Keeps the last lines, and tells of each sign when it comes.
fn watch(
    output: Option<impl Read + Send + 'static>,
    signs: &[&'static str],
    log: &Arc<Mutex<Vec<String>>>,
    given: &mpsc::Sender<()>,
) {
    let Some(output) = output else { return };
    let (log, given, mut signs) = (Arc::clone(log), given.clone(), signs.to_vec());
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let before = signs.len();
            signs.retain(|sign| !line.contains(sign));
            for _ in signs.len()..before {
                // Nobody waits any more after a timeout.
                let _ = given.send(());
            }
            if let Ok(mut log) = log.lock() {
                if log.len() >= LOG_LINES_MAX {
                    log.remove(0);
                }
                log.push(line);
            }
        }
    });
}
