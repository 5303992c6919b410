//! A whole cluster on this machine: Cassandra, NATS, and the configuration of each node of Klokke, with ways between them that can be cut.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};

use super::proxy::Way;
use crate::{cassandra, house::House, nats::Nats, process::Program, setup};

/// Nodes of each kind: the fewest of which one may be away.
pub(super) const NODES: u8 = 3;

/// The node of Cassandra whose disk can be full: its folder has a size of its own.
pub(super) const SMALL_DISK: usize = 1;
const DISK: &str = "size=1500m";

/// The node of Klokke whose clock can be wrong.
const WRONG_CLOCK: usize = 2;

/// How often making the tables is tried.
const MIGRATE_TRIES: u32 = 30;
const MIGRATE_PAUSE: Duration = Duration::from_secs(2);

/// Over how many seconds a node that leaves sends its people away.
#[derive(Clone, Copy)]
pub(super) struct Spread(pub(super) u32);

/// What a drain may take beyond that.
const TIMEOUT_MORE_S: u32 = 30;

/// See the file. Dropping it ends and removes everything.
pub(super) struct Lab {
    pub(super) cassandra: cassandra::Cluster,
    pub(super) nats: Nats,
    /// From each node to NATS.
    pub(super) to_nats: Vec<Way>,
    /// From the first node to each of Cassandra.
    pub(super) to_store: Vec<Way>,
    /// Where the nodes of Klokke listen.
    pub(super) nodes: Vec<SocketAddr>,
    pub(super) folder: PathBuf,
    server: PathBuf,
    clock: Option<PathBuf>,
    disk: Option<Disk>,
}

/// A folder with a size of its own. Dropping it gives the memory back.
struct Disk(PathBuf);

impl Disk {
    /// Nothing where no disk can be mounted.
    fn mount(folder: PathBuf) -> Result<Option<Self>> {
        fs::create_dir_all(&folder)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "klokke"])
            .arg(&folder)
            .stderr(Stdio::null())
            .status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        Ok(is_mounted.then_some(Self(folder)))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status(); // Or the machine's next start does.
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.end();
    }
}

impl Lab {
    /// Ends every part and removes what they wrote. Safe to do again.
    pub(super) fn end(&mut self) {
        self.nats.kill();
        for nth in 0..usize::from(NODES) {
            let _ = self.cassandra.kill(nth); // It may be away already.
        }
        self.disk = None;
        let _ = fs::remove_dir_all(&self.folder); // Or the next `cargo clean`.
    }
}

impl Lab {
    /// Starts the real parts, makes the tables, and writes the nodes' files.
    pub(super) fn start(house: &House, spread: Spread) -> Result<Self> {
        let server = setup::server(house)?;
        let (archives, nats) = (setup::cassandra(house)?, setup::nats(house)?);
        let clock = match setup::faketime(house) {
            Ok(library) => Some(library),
            Err(error) => {
                println!("  no clock will be set wrong: {error:#}");
                None
            }
        };
        let folder = house
            .target()
            .join(format!("cluster-{}", std::process::id()));
        let disk = Disk::mount(folder.join(format!("node-{}", SMALL_DISK + 1)))?;
        if disk.is_none() {
            println!("  no disk will be full: only root can mount one of its own");
        }
        println!("  starting {NODES} nodes of Cassandra");
        let cassandra =
            cassandra::Cluster::start(&archives, &folder, NODES, cassandra::Life::Long)?;
        let nats = Nats::of(&nats)?;
        let stores = cassandra.addresses();
        let to_store = stores.iter().map(|address| Way::to(*address));
        let to_store: Vec<Way> = to_store.collect::<Result<_>>()?;
        let to_nats = (0..NODES).map(|_| Way::to(nats.address()));
        let to_nats: Vec<Way> = to_nats.collect::<Result<_>>()?;
        let nodes = (0..NODES).map(|_| free_port()).collect::<Result<_>>()?;
        let lab = Self {
            cassandra,
            nats,
            to_nats,
            to_store,
            nodes,
            folder,
            server,
            clock,
            disk,
        };
        fs::write(lab.secret(), SECRET)?;
        for nth in 0..lab.nodes.len() {
            fs::write(lab.file(nth), lab.settings(nth, &stores, spread))?;
            fs::write(lab.clock_file(nth), "+0")?;
        }
        println!("  making the tables");
        // Nodes of Cassandra that have just found each other do not always answer in time; it is safe to run again.
        let mut tries = MIGRATE_TRIES;
        while !lab.klokke(&["store", "migrate"])?.run()?.ok {
            tries -= 1;
            ensure!(tries > 0, "the tables cannot be made; the output is above");
            thread::sleep(MIGRATE_PAUSE);
        }
        Ok(lab)
    }

    /// The secret of the tokens.
    pub(super) fn secret(&self) -> PathBuf {
        self.folder.join("secret")
    }

    fn file(&self, nth: usize) -> PathBuf {
        self.folder.join(format!("klokke-{}.toml", nth + 1))
    }

    fn clock_file(&self, nth: usize) -> PathBuf {
        self.folder.join(format!("clock-{}", nth + 1))
    }

    /// The folder of the small disk, when there is one.
    pub(super) fn small_disk(&self) -> Option<PathBuf> {
        Some(self.disk.as_ref()?.0.clone())
    }

    /// Sets the clock that can be wrong so many seconds ahead. Whether there is one.
    pub(super) fn skew(&self, seconds: u32) -> Result<bool> {
        fs::write(self.clock_file(WRONG_CLOCK), format!("+{seconds}"))?;
        Ok(self.clock.is_some())
    }

    /// `klokke` with the first node's file.
    pub(super) fn klokke(&self, arguments: &[&str]) -> Result<Program> {
        let file = self.file(0);
        Ok(Program::new(&self.server, &self.folder)
            .arguments(arguments)
            .arguments(["--config".as_ref(), file.as_os_str()]))
    }

    /// The command that runs a node, as the load tester takes it.
    pub(super) fn serve(&self, nth: usize) -> String {
        let (server, file) = (self.server.display(), self.file(nth));
        let serve = format!("{server} serve --config {}", file.display());
        match &self.clock {
            Some(library) if nth == WRONG_CLOCK => format!(
                "env LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 {serve}",
                library.display(),
                self.clock_file(nth).display()
            ),
            _ => serve,
        }
    }

    fn settings(&self, nth: usize, stores: &[SocketAddr], spread: Spread) -> String {
        let nodes: Vec<String> = stores.iter().map(|it| format!("\"{it}\"")).collect();
        let ways = stores.iter().zip(&self.to_store);
        // The first node's way to the store can be cut.
        let ways: Vec<String> = ways
            .filter(|_| nth == 0)
            .map(|(own, way)| format!("\"{own}={}\"", way.address))
            .collect();
        let first: Vec<String> = self
            .to_store
            .iter()
            .map(|way| format!("\"{}\"", way.address))
            .collect();
        let known = if nth == 0 { first } else { nodes };
        format!(
            "[node]
name = \"node-{}\"
[listen]
address = \"{}\"
[store]
backend = \"scylla\"
[store.scylla]
nodes = [{}]
address_translation = [{}]
keyspace = \"klokke\"
replication_factor = {NODES}
[cluster]
nats = [\"nats://{}\"]
[client.token]
hmac_secret_key = \"{SECRET}\"
[api]
keys = [\"{SECRET}\"]
[drain]
spread = \"{}s\"
timeout = \"{}s\"
",
            nth + 1,
            self.nodes[nth],
            known.join(", "),
            ways.join(", "),
            self.to_nats[nth].address,
            spread.0,
            spread.0 + TIMEOUT_MORE_S,
        )
    }
}

/// Signs the tokens of invented people; the cluster is reached from this machine alone.
const SECRET: &str = "a secret that only this cluster knows";

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Fills a disk to its last byte, in a file of its own.
pub(super) fn fill(disk: &Path) -> Result<PathBuf> {
    use std::io::Write as _;
    let path = disk.join("full");
    let mut file = fs::File::create(&path)?;
    let block = vec![0; 1 << 20];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&block[..512]).is_ok() {}
    Ok(path)
}
