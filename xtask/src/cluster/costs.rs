//! `--costs`: what a commit and a delivery cost on a store of one's own, on one node of Cassandra, and on three with one to three nodes of
//! Klokke, beside each other (`klokke-bench nodes`).

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::lab::NODES;
use crate::{bench, cassandra, house::House, nats::Nats, setup};

/// See the file.
pub(super) fn run(
    house: &House,
    sockets: usize,
    json: Option<&Path>,
    picture: Option<&Path>,
) -> Result<()> {
    let server = setup::server(house)?;
    let driver = bench::alone(house)?;
    let (archives, nats) = (setup::cassandra(house)?, setup::nats(house)?);
    let folder = house.target().join(format!("costs-{}", std::process::id()));
    let measured = (|| {
        println!("  starting one node of Cassandra, and {NODES} others");
        let one =
            cassandra::Cluster::start(&archives, &folder.join("one"), 1, cassandra::Life::Long)?;
        let three = cassandra::Cluster::start(
            &archives,
            &folder.join("three"),
            NODES,
            cassandra::Life::Long,
        )?;
        let nats = Nats::of(&nats)?;
        let file = |name: &str, stores: &[SocketAddr]| -> Result<PathBuf> {
            let file = folder.join(format!("{name}.toml"));
            fs::write(&file, sections(name, stores, nats.address()))?;
            Ok(file)
        };
        let mut cases = vec!["klokke=1".to_owned()];
        let on_one = file("on_one", &one.addresses())?;
        cases.push(format!("1_cassandra=1={}", on_one.display()));
        for nodes in 1..=NODES {
            let on_three = file(&format!("on_three_{nodes}"), &three.addresses())?;
            let name = format!("{NODES}_cassandra_{nodes}_nodes");
            cases.push(format!("{name}={nodes}={}", on_three.display()));
        }
        let mut driver = driver
            .arguments(["nodes", "--klokke"])
            .arguments([&server])
            .arguments(["--sockets", &sockets.to_string()]);
        for case in &cases {
            driver = driver.arguments(["--case", case]);
        }
        for (name, path) in [("--json", json), ("--picture", picture)] {
            if let Some(path) = path {
                driver = driver.arguments([name.as_ref(), path.as_os_str()]);
            }
        }
        driver.must()
    })();
    let _ = fs::remove_dir_all(&folder); // Or the next `cargo clean`.
    measured?;
    Ok(())
}

/// What is added to the driver's configuration of a node. Each case has tables of its own.
fn sections(name: &str, stores: &[SocketAddr], nats: SocketAddr) -> String {
    let nodes: Vec<String> = stores.iter().map(|it| format!("\"{it}\"")).collect();
    format!(
        "[store.scylla]
nodes = [{}]
keyspace = \"{name}\"
replication_factor = {}
[cluster]
nats = [\"nats://{nats}\"]
name = \"{name}\"
",
        nodes.join(", "),
        stores.len(),
    )
}
