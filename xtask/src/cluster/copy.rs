//! `--copy`: a part of the invented country goes from a store of one's own to Cassandra and back into an empty one, and is the same
//! there: every commit is read back on the way, and the heads' hashes are compared.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Result, ensure};

use crate::{cassandra, house::House, process::Program, setup};

/// See the file.
pub(super) fn run(house: &House, scale: &str) -> Result<()> {
    let server = setup::server(house)?;
    let tester = setup::load_tester(house)?;
    let archives = setup::cassandra(house)?;
    let folder = house.target().join(format!("copy-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let copied = (|| {
        println!("  inventing people ({scale} of the country)");
        let people = folder.join("people");
        Program::new(&tester, &folder)
            .arguments(["people", "--scale", scale, "--out"])
            .arguments([&people])
            .must()?;
        println!("  starting one node of Cassandra");
        let life = cassandra::Life::Long;
        let cassandra = cassandra::Cluster::start(&archives, &folder.join("cassandra"), 1, life)?;
        let copy = Copy {
            server: &server,
            folder: &folder,
            stores: cassandra.addresses(),
        };
        copy.there_and_back(&people)
    })();
    let _ = fs::remove_dir_all(&folder); // Or the next `cargo clean`.
    copied
}

struct Copy<'a> {
    server: &'a Path,
    folder: &'a Path,
    stores: Vec<SocketAddr>,
}

impl Copy<'_> {
    fn there_and_back(&self, people: &Path) -> Result<()> {
        let (here, again) = (self.file("here")?, self.file("again")?);
        let mut files: Vec<PathBuf> = fs::read_dir(people)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        files.sort();
        self.klokke(&here, &["import", "--apply"])
            .arguments(&files)
            .must()?;
        self.klokke(&here, &["store", "migrate"]).must()?;
        self.timed(&here, ["--from", "embedded", "--to", "scylla"])?;
        self.timed(&again, ["--from", "scylla", "--to", "embedded"])?;
        self.klokke(&again, &["ledger", "verify"]).must()?;
        let heads = |file: &Path| {
            Ok::<_, anyhow::Error>(
                self.klokke(file, &["ledger", "show", "--json"])
                    .must()?
                    .lines,
            )
        };
        let (before, after) = (heads(&here)?, heads(&again)?);
        ensure!(before == after, "the heads are not the same");
        println!("  {} ledgers, the hash of each head equal", before.len());
        Ok(())
    }

    fn timed(&self, file: &Path, way: [&str; 4]) -> Result<()> {
        let began = Instant::now();
        self.klokke(file, &["store", "copy"])
            .arguments(way)
            .must()?;
        println!(
            "  {}: {:.1} s",
            way.join(" "),
            began.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn klokke(&self, file: &Path, arguments: &[&str]) -> Program {
        Program::new(self.server, self.folder)
            .arguments(arguments)
            .arguments(["--config".as_ref(), file.as_os_str()])
    }

    /// A configuration with a folder of its own, and the cluster.
    fn file(&self, name: &str) -> Result<PathBuf> {
        let file = self.folder.join(format!("{name}.toml"));
        let nodes: Vec<String> = self.stores.iter().map(|it| format!("\"{it}\"")).collect();
        let text = format!(
            "[store]
path = \"{}\"
[store.scylla]
nodes = [{}]
keyspace = \"copied\"
replication_factor = 1
",
            self.folder.join(name).display(),
            nodes.join(", ")
        );
        fs::write(&file, text)?;
        Ok(file)
    }
}
