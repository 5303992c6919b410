//! A disk that fills up, for real: a small tmpfs. Needs the right to mount; without it the test
//! says so and does nothing.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::{FjallStore, Options};
use crate::ledger::{Content, Entry};
use crate::store::chain::Chain;
use crate::store::{CommitError, Store, StoreError};

/// A mounted tmpfs; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let options = format!("size={size}");
        run(&["-t", "tmpfs", "-o", &options, "tmpfs"], folder.path()).then_some(Self(folder))
    }

    fn grow(&self, size: &str) {
        assert!(
            run(&["-o", &format!("remount,size={size}")], self.0.path()),
            "grows"
        );
    }
}

fn run(arguments: &[&str], target: &Path) -> bool {
    let status = Command::new("mount").args(arguments).arg(target).status();
    status.is_ok_and(|status| status.success())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Without it the folder stays; nothing else depends on it.
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing_acknowledged() {
    let Some(disk) = SmallDisk::mount("8m") else {
        let note = "not run: a small file system cannot be mounted here";
        writeln!(std::io::stderr(), "{note}").expect("said");
        return;
    };
    let path = disk.0.path().join("store");
    let store = FjallStore::open(&path, &Options::default()).expect("opens");
    let mut chain = Chain::new("G1");
    let mut acknowledged = Vec::new();
    let refusal = loop {
        let batch = chain.batch(|chain, commit| {
            // Bytes that do not compress.
            let text: String = (0..2_000)
                .map(|_| format!("{:016x}", rand::random::<u64>()))
                .collect();
            let Entry { channels, .. } = (*chain.entry(&["unit:G1"], "")).clone();
            let content = Content {
                full: text.into(),
                ..Content::default()
            };
            commit
                .entries
                .push(std::sync::Arc::new(Entry { channels, content }));
        });
        let sealed = batch.commits[0].clone();
        match store.commit(batch).await {
            Ok(()) => acknowledged.push(sealed),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 10_000, "8 MiB never fill up");
    };
    assert!(
        matches!(
            refusal,
            CommitError::Unknown(_) | CommitError::Store(StoreError::Unavailable(_))
        ),
        "{refusal:?}"
    );
    let mut other = Chain::new("G2");
    let refused = store.commit(other.batch(|_, _| {})).await;
    assert!(
        matches!(refused, Err(CommitError::Store(StoreError::Unavailable(_)))),
        "{refused:?}"
    );
    drop(store);
    disk.grow("64m");
    let store = FjallStore::open(&path, &Options::default()).expect("opens again");
    assert_eq!(store.damage(), []);
    let read = store
        .commits_since(&chain.ledger, 0, usize::MAX)
        .await
        .expect("read");
    assert!(
        read.len() >= acknowledged.len(),
        "an acknowledged commit is missing"
    );
    for (read, wanted) in read.iter().zip(&acknowledged) {
        assert_eq!(read.row, wanted.row);
    }
    let mut fresh = Chain::new("G3");
    store
        .commit(fresh.batch(|_, _| {}))
        .await
        .expect("writes again");
}
